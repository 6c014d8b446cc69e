"""Layouts of public data sets: taken and reported, or refused with the flags that fit."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from listening import listening
from translate.contract import Dataset, Loading, Source
from translate.data.images import Images
from translate.data.lowhigh import LowHigh
from translate.data.paired import Paired
from translate.data.unpaired import Unpaired
from translate.errors import UsageError


def picture(path: Path, shade: int = 0, width: int = 16, height: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (shade, 0, 0)).save(path)


def opened(source: Source, lines: list[str] | None = None, **settings: Any) -> Dataset:
    with listening(lines):
        return source.open(Loading(size=8, **settings))


def shades(data: Dataset, *names: str) -> list[tuple[int, ...]]:
    samples = [data.sample(index, np.random.default_rng(0)) for index in range(len(data))]
    return [tuple(int(x[name][0].float().mean()) for name in names) for x in samples]


def refusal(source: Source) -> str:
    with pytest.raises(UsageError) as error:
        opened(source)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_whole_set_of_two_domains_given_as_one(tmp_path: Path) -> None:
    for name in ("trainA", "trainB", "testA", "testB"):
        picture(tmp_path / name / "1.png")
    flags = f"expected --a {tmp_path}/trainA --b {tmp_path}/trainB"
    for source in (Unpaired(a=(tmp_path,), b=(tmp_path,)), Paired(a=(tmp_path,), b=(tmp_path,))):
        assert refusal(source).endswith(f"has trainA and trainB; {flags}")
    assert f"expected --images {tmp_path}/trainA" in refusal(Images(images=(tmp_path,)))


def test_two_domains_below_one_folder(tmp_path: Path) -> None:
    for shade, name in enumerate(("A/train", "B/train", "A/val", "B/val")):
        picture(tmp_path / name / "1.png", 10 * shade)
    lines: list[str] = []
    assert shades(opened(Paired(ab=(tmp_path,)), lines), "a", "b") == [(0, 10)]
    assert shades(opened(Paired(ab=(tmp_path,), direction="b2a")), "a", "b") == [(10, 0)]
    assert lines == [
        f"--ab {tmp_path}: taking A and B",
        f"--ab {tmp_path / 'A'}: taking train; not used: val",
        f"--ab {tmp_path / 'B'}: taking train; not used: val",
    ]


@pytest.mark.parametrize("kind", ["ab", "images", "hr", "a"])
def test_the_training_part_alone(tmp_path: Path, kind: str) -> None:
    for shade, name in enumerate(("train", "val", "test")):
        for number in range(2):
            picture(tmp_path / f"{name}/{number}.png", 10 * shade, width=32 if kind == "ab" else 16)
            picture(tmp_path / f"other/{number}.png")
    place = tmp_path / "set"
    place.mkdir()
    for name in ("train", "val", "test"):
        (tmp_path / name).rename(place / name)
    source, name = {
        "ab": (Paired(ab=(place,)), "b"),
        "images": (Images(images=(place,)), "image"),
        "hr": (LowHigh(hr=(place,), scale=2), "high"),
        "a": (Unpaired(a=(place,), b=(tmp_path / "other",)), "a"),
    }[kind]
    lines: list[str] = []
    assert shades(opened(source, lines), name) == [(0,), (0,)]
    assert f"--{kind} {place}: taking train; not used: test, val" in lines


def test_pictures_beside_the_training_part_are_not_guessed_at(tmp_path: Path) -> None:
    for name in ("train/1", "test/1", "2"):
        picture(tmp_path / f"{name}.png")
    expected = f"has train, and files such as 2.png beside it; expected --images {tmp_path}/train"
    assert expected in refusal(Images(images=(tmp_path,)))
    (tmp_path / "2.png").rename(tmp_path / "2.txt")
    picture(tmp_path / "@eaDir/thumbnail.png")
    assert len(opened(Images(images=(tmp_path,)))) == 1


def test_photos_are_not_halved(tmp_path: Path) -> None:
    for number, (width, height) in enumerate([(30, 40), (40, 30), (30, 20)]):
        picture(tmp_path / f"x/{number}.png", 0, width, height)
    message = refusal(Paired(ab=(tmp_path / "x",)))
    assert "0.png has 30x40 pixels; expected two halves side by side, twice as wide as high" in message
    assert "--a DIR --b DIR for two folders; --halves" in message
    assert len(opened(Paired(ab=(tmp_path / "x",), halves=True))) == 3
    for number in range(2):
        picture(tmp_path / f"y/input/{number}.png")
        picture(tmp_path / f"y/target/{number}.png")
    expected = f"--a {tmp_path}/y/input --b {tmp_path}/y/target for files of the same names"
    assert expected in refusal(Paired(ab=(tmp_path / "y",)))


def test_wide_pictures_are_halved_and_it_is_reported(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", width=60, height=20)
    lines: list[str] = []
    opened(Paired(ab=(tmp_path,)), lines)
    assert lines == [f"--ab {tmp_path}: 1.png has 60x20 pixels, taken as two halves of 30x20 side by side"]
    picture(tmp_path / "1.png", width=40, height=20)
    lines.clear()
    opened(Paired(ab=(tmp_path,)), lines)
    assert lines == []


def test_pairs_by_letter_in_one_folder(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"{number}_A.png", number)
        picture(tmp_path / f"{number}_B.png", 100 + number)
    lines: list[str] = []
    data = opened(Paired(ab=(tmp_path,)), lines)
    assert shades(data, "a", "b") == [(0, 100), (1, 101), (2, 102)]
    assert lines == [f"--ab {tmp_path}: taking pairs by their names, {{}}_A and {{}}_B"]
    assert shades(opened(Paired(ab=(tmp_path,), direction="b2a")), "a", "b") == [(100, 0), (101, 1), (102, 2)]


def test_results_of_cyclegan_and_pix2pix(tmp_path: Path) -> None:
    for number in range(2):
        for shade, name in enumerate(("real_A", "fake_B", "rec_A")):
            picture(tmp_path / f"{number}_{name}.png", shade)
    assert shades(opened(Paired(ab=(tmp_path,))), "a", "b") == [(0, 1), (0, 1)]
    for number in range(2):
        picture(tmp_path / f"{number}_real_B.png", 9)
    assert "expected --pair '{}_real_A,{}_real_B' or --pair '{}_real_A,{}_fake_B'" in refusal(Paired(ab=(tmp_path,)))
    assert shades(opened(Paired(ab=(tmp_path,), pair="{}_real_A,{}_real_B")), "a", "b") == [(0, 9), (0, 9)]
    for number in range(2):
        picture(tmp_path.parent / f"{tmp_path.name}-b/{number}.png")
    other = tmp_path.with_name(f"{tmp_path.name}-b")
    for source in (
        Images(images=(tmp_path,)),
        Unpaired(a=(tmp_path,), b=(other,)),
        Unpaired(a=(other,), b=(tmp_path,)),
    ):
        assert "holds results, such as *_real_A and *_fake_B; expected a folder of images" in refusal(source)


def test_names_that_follow_a_pattern(tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / f"x/{number}.png", number)
        picture(tmp_path / f"y/{number}_LR.png", 100 + number)
    folders = {"a": (tmp_path / "x",), "b": (tmp_path / "y",)}
    assert "--pair says how names differ, such as --pair '{}_LR'" in refusal(Paired(**folders))
    assert shades(opened(Paired(**folders, pair="{}_LR")), "a", "b") == [(0, 100), (1, 101)]
    (tmp_path / "y").rename(tmp_path / "B")
    (tmp_path / "x").rename(tmp_path / "A")
    back = Paired(ab=(tmp_path,), pair="{}_LR", direction="b2a")
    assert shades(opened(back), "a", "b") == [(100, 0), (101, 1)]
    for wrong in ("_LR", "{}{}", "{},{},{}", "x/{}"):
        with pytest.raises(UsageError, match=r"--pair .*: expected a pattern such as"):
            Paired(**folders, pair=wrong)


def test_low_and_high_resolution_mixed(tmp_path: Path) -> None:
    for name in ("HR/a", "LR_bicubic/X2/ax2", "LR_bicubic/X4/ax4"):
        picture(tmp_path / f"Set/{name}.png")
    expected = f"expected --hr {tmp_path}/Set/HR --lr-images {tmp_path}/Set/LR_bicubic/X4"
    assert expected in refusal(LowHigh(hr=(tmp_path / "Set",)))
    for number in range(2):
        picture(tmp_path / f"mixed/{number}_HR.png", number)
        picture(tmp_path / f"mixed/{number}_LR.png", 100, 8, 8)
    place = tmp_path / "mixed"
    assert f"--hr {place} --lr-images {place} --pair '{{}}_HR,{{}}_LR'" in refusal(LowHigh(hr=(place,), scale=2))
    data = opened(LowHigh(hr=(place,), lr_images=(place,), pair="{}_HR,{}_LR", scale=2))
    assert shades(data, "high", "low") == [(0, 100), (1, 100)]


def test_the_folder_of_the_scale(tmp_path: Path) -> None:
    picture(tmp_path / "HR/a.png", 1)
    picture(tmp_path / "LR/X2/ax2.png", 2, 8, 8)
    picture(tmp_path / "LR/X4/ax4.png", 4, 4, 4)
    lines: list[str] = []
    data = opened(LowHigh(hr=(tmp_path / "HR",), lr_images=(tmp_path / "LR",), scale=2), lines)
    assert shades(data, "high", "low") == [(1, 2)]
    assert f"--lr-images {tmp_path / 'LR'}: taking X2" in lines


def test_a_mac_and_a_pc_spell_one_name(tmp_path: Path) -> None:
    picture(tmp_path / "x" / f"{unicodedata.normalize('NFD', 'Zürich')}.png", 1)
    picture(tmp_path / "y" / f"{unicodedata.normalize('NFC', 'Zürich')}.png", 2)
    assert shades(opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",))), "a", "b") == [(1, 2)]
    for number in range(2):  # the same, where both lie below folders
        picture(tmp_path / "hr" / unicodedata.normalize("NFD", "é") / f"{number}.png", 1)
        picture(tmp_path / "lr" / unicodedata.normalize("NFC", "é") / f"{number}.png", 2, 8, 8)
    assert len(opened(LowHigh(hr=(tmp_path / "hr",), lr_images=(tmp_path / "lr",), scale=2))) == 2


def test_two_images_of_one_name_are_refused_by_every_source_of_pairs(tmp_path: Path) -> None:
    picture(tmp_path / "x/1.png")
    picture(tmp_path / "y/1.png", 0, 8, 8)
    picture(tmp_path / "y/1.bmp", 0, 8, 8)
    for source in (
        Paired(a=(tmp_path / "x",), b=(tmp_path / "y",)),
        LowHigh(hr=(tmp_path / "x",), lr_images=(tmp_path / "y",), scale=2),
    ):
        assert "1.bmp and 1.png: which of them belongs to" in refusal(source)


def test_folders_of_one_flag_are_joined_once_each(tmp_path: Path) -> None:
    for shade, name in enumerate(("p/1", "p/deep/1", "q/1")):
        picture(tmp_path / f"{name}.png", shade)
    source = Images(images=(tmp_path / "p", tmp_path / "p/deep", tmp_path / "q"))
    assert sorted(shades(opened(source), "image")) == [(0,), (1,), (2,)]
    cached = [opened(source, cache="disk", cache_dir=tmp_path / "cache") for _ in range(2)]
    assert sorted(shades(cached[1], "image")) == [(0,), (1,), (2,)]
    assert "q: no such folder" in refusal(Images(images=(tmp_path / "p", tmp_path / "nowhere/q")))


def test_sub_folders_that_are_read_as_one_set(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        picture(tmp_path / f"{name}/1.png")
    lines: list[str] = []
    opened(Images(images=(tmp_path,)), lines)
    assert lines == [f"--images {tmp_path}: its 2 sub-folders are read as one set, without labels"]
