"""`--val DIR`: held-out data of every source in a folder of its own, and what is refused there."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from listening import listening
from translate.contract import Dataset, Source
from translate.data.captioned import Captioned
from translate.data.domains import Domains
from translate.data.heldout import check_apart, held_out_source
from translate.data.images import Images
from translate.data.labelled import Labelled
from translate.data.labelmaps import LabelMaps
from translate.data.lowhigh import LowHigh
from translate.data.paired import Paired
from translate.data.unpaired import Unpaired
from translate.errors import UsageError
from translate.settings import Run
from translate.training.opening import open_parts

RUN = Run(size=16, evaluate_every=10, workers=0)


def write(folder: Path, shade: int, names: Sequence[str] = ("0", "1", "2"), width: int = 16, height: int = 16) -> Path:
    """Pictures of shades near one another, each another one."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (width, height), (shade + number,) * 3).save(folder / f"{name}.png")
    return folder


def parts(source: Source, run: Run = RUN) -> tuple[Dataset, Dataset]:
    training, held_out = open_parts(source, run, lambda spec: None)
    assert held_out is not None
    return training, held_out


def shades(dataset: Dataset, name: str) -> set[int]:
    """Of all samples, the tens of their shades."""
    rng = np.random.default_rng(0)
    samples = [dataset.sample(index % len(dataset), rng)[name] for index in range(6 * len(dataset))]
    return {round(float(sample.float().mean())) // 10 * 10 for sample in samples}


@pytest.mark.parametrize("val", ["", "test", "elsewhere"])
def test_two_domains(tmp_path: Path, val: str) -> None:
    a, b = write(tmp_path / "trainA", 10), write(tmp_path / "trainB", 20)
    root = tmp_path / val
    names = {"": ("testA", "testB"), "test": ("A", "B"), "elsewhere": ("trainA", "trainB")}[val]
    for name, shade in zip(names, (30, 40), strict=True):
        write(root / name, shade)
    for source in (Unpaired(a=(a,), b=(b,), val=root), Paired(a=(a,), b=(b,), val=root)):
        training, held_out = parts(source)
        assert [shades(training, name) for name in "ab"] == [{10}, {20}]
        assert [shades(held_out, name) for name in "ab"] == [{30}, {40}]


def test_pairs_in_one_folder(tmp_path: Path) -> None:
    for name, shade in (("train", 10), ("val", 30), ("test", 50)):
        write(tmp_path / "halves" / name, shade, width=32)
    for source in (
        Paired(ab=(tmp_path / "halves",), val=tmp_path / "halves"),
        Paired(ab=(tmp_path / "halves" / "train",), val=tmp_path / "halves" / "val"),
    ):
        training, held_out = parts(source)
        assert (shades(training, "b"), shades(held_out, "b")) == ({10}, {30})
    for name, shade in (("trainA", 10), ("trainB", 20), ("testA", 30), ("testB", 40)):
        write(tmp_path / "files" / name, shade)
    swapped = Paired(ab=(tmp_path / "files",), val=tmp_path / "files", direction="b2a")
    assert [shades(part, "a") for part in parts(swapped)] == [{20}, {40}]


def test_high_and_low_resolution(tmp_path: Path) -> None:
    for name, shade in (("train", 10), ("valid", 30)):
        write(tmp_path / f"DIV_{name}_HR", shade)
        write(tmp_path / f"DIV_{name}_LR" / "X4", shade + 10, ("0x4", "1x4", "2x4"), 4, 4)
    high, low = tmp_path / "DIV_train_HR", tmp_path / "DIV_train_LR" / "X4"
    training, held_out = parts(LowHigh(hr=(high,), lr_images=(low,), val=tmp_path))
    assert [shades(training, name) for name in ("high", "low")] == [{10}, {20}]
    assert [shades(held_out, name) for name in ("high", "low")] == [{30}, {40}]
    computed = LowHigh(hr=(high,), val=tmp_path / "DIV_valid_HR")
    assert [shades(part, "low") for part in parts(computed)] == [{10}, {30}]


def test_indices_mean_what_they_do_in_training(tmp_path: Path) -> None:
    for name, shade in (("cat", 10), ("dog", 20), ("owl", 30)):
        write(tmp_path / "train" / name, shade)
    write(tmp_path / "test" / "owl", 60)
    for source, key in (
        (Labelled(images=(tmp_path / "train",), balanced=True, val=tmp_path / "test"), "label"),
        (Domains(domains=(tmp_path / "train",), val=tmp_path), "domain"),
    ):
        _, held_out = parts(source)
        assert held_out.spec.names[key] == ("cat", "dog", "owl")
        assert {int(held_out.sample(number, np.random.default_rng(0))[key]) for number in range(3)} == {2}
    write(tmp_path / "test" / "bee", 60)
    with pytest.raises(UsageError, match="the training data has no label bee; it has cat, dog, owl"):
        parts(Labelled(images=(tmp_path / "train",), val=tmp_path / "test"))


def test_a_table_has_its_counterpart(tmp_path: Path) -> None:
    train, val = write(tmp_path / "train", 10), write(tmp_path / "held", 30)
    (train / "labels.csv").write_text("0.png,x\n1.png,y\n2.png,y\n")
    source = Labelled(images=(train,), labels=train / "labels.csv", val=val)
    with pytest.raises(UsageError, match=r"held/labels\.csv is missing, which corresponds to --labels"):
        parts(source)
    (val / "labels.csv").write_text("0.png,y\n1.png,y\n2.png,y\n")
    _, held_out = parts(source)
    assert {int(held_out.sample(number, np.random.default_rng(0))["label"]) for number in range(3)} == {1}
    shutil.move(train / "labels.csv", tmp_path / "labels.csv")
    with pytest.raises(UsageError, match="lies in none of the training folders"):
        parts(Labelled(images=(train,), labels=tmp_path / "labels.csv", val=val))


def test_names_of_classes_hold_for_both(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("sky\nroad\n")
    for part in ("train", "val"):
        write(tmp_path / f"{part}_image", 10 if part == "train" else 30)
        (tmp_path / f"{part}_label").mkdir()
        for number in range(3):
            pixels = np.full((16, 16), number % 2, np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{part}_label" / f"{number}.png")
    labels, images = (tmp_path / "train_label",), (tmp_path / "train_image",)
    _, held_out = parts(LabelMaps(labels=labels, images=images, names=names, val=tmp_path))
    assert held_out.spec.names["label"] == ("sky", "road")
    assert shades(held_out, "image") == {30}


def test_words_keep_their_numbers(tmp_path: Path) -> None:
    train, val = write(tmp_path / "train", 10), write(tmp_path / "held", 30)
    for number in range(3):
        (train / f"{number}.txt").write_text("a red bird")
        (val / f"{number}.txt").write_text("one red apple")
    training, held_out = parts(Captioned(images=(train,), val=val))
    assert held_out.spec.names == training.spec.names
    red = training.spec.names["text"].index("red")
    assert held_out.sample(0, np.random.default_rng(0))["text"][:2].tolist() == [red, 0]


def test_files_of_many_pictures(tmp_path: Path) -> None:
    for name, count in (("train", 6), ("t10k", 4)):
        header = b"\0\0\x08\x03" + b"".join(side.to_bytes(4, "big") for side in (count, 16, 16))
        pixels = bytes(count * 256)
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels))
    training, held_out = parts(Images(images=(tmp_path,), val=tmp_path))
    assert (len(training), len(held_out)) == (6, 4)
    first, second = sorted(tmp_path.iterdir(), reverse=True)
    assert [len(part) for part in parts(Images(images=(first,), val=second))] == [6, 4]


def test_colours_and_ranges_are_those_of_training(tmp_path: Path) -> None:
    train, val = write(tmp_path / "train", 10), tmp_path / "held"
    val.mkdir()
    for number in range(3):
        Image.new("L", (16, 16), 30 + number).save(val / f"{number}.png")
    coloured = tmp_path / "train" / "3.png"
    Image.new("RGB", (16, 16), (200, 10, 10)).save(coloured)
    training, held_out = parts(Images(images=(train,), val=val), Run(size=16, evaluate_every=1, range=("0%..100%",)))
    assert held_out.spec == training.spec
    assert held_out.spec.channels == {"image": 3}


def test_nothing_that_is_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, val = write(tmp_path / "all", 10), write(tmp_path / "all" / "held", 30)
    with pytest.raises(UsageError, match=r"--val .*held: .*0\.png is trained on, as .*0\.png"):
        parts(Images(images=(train,), val=val))
    lines: list[str] = []
    apart = write(tmp_path / "apart", 60)
    shutil.copy(train / "1.png", apart / "copy.png")
    with listening(lines):
        check_apart(apart, sorted(train.glob("*.png")), sorted(apart.iterdir()))
    (line,) = lines
    assert line.startswith(f"--val {apart}: 1 of 4 files are copies of files that are trained on, such as copy.png of")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Images(images=(Path("a"),), val=Path("absent")), "--val absent: no such folder"),
        (Unpaired(a=(Path("a"),), b=(Path("b"),), val=Path("a")), "--val a: expected folders that correspond to a and"),
        (Unpaired(a=(Path("a"),), b=(Path("b"),), val=Path()), "same names, or valA and valB, or testA and testB"),
    ],
)
def test_what_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a", 10)
    write(tmp_path / "b", 20)
    with pytest.raises(UsageError, match=message):
        parts(source)


def test_another_kind_of_data_is_refused(tmp_path: Path) -> None:
    train, val = write(tmp_path / "train", 10), tmp_path / "held"
    val.mkdir()
    for number in range(3):
        Image.fromarray(np.full((16, 16), 300 * number, np.uint16)).save(val / f"{number}.png")
    with pytest.raises(
        UsageError, match=r"--val .*held: its bits are \{'image': 16\}; those of the training data \{\}"
    ):
        parts(Images(images=(train,), channels=1, val=val))


def test_it_goes_with_evaluations(tmp_path: Path) -> None:
    source = Images(images=(write(tmp_path / "a", 10),), val=write(tmp_path / "b", 20))
    with pytest.raises(UsageError, match="--val goes with --evaluate-every"):
        open_parts(source, Run(size=16), lambda spec: None)
    assert held_out_source(source) == Images(images=(tmp_path / "b",))
