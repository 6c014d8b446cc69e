"""Two folders of unrelated pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from listening import listening
from translate.contract import Loading
from translate.data.decode import ImageError
from translate.data.loader import Loader
from translate.data.unpaired import Unpaired
from translate.errors import LostDataError, UsageError


def fill(folder: Path, colours: list[tuple[int, int, int]], size: tuple[int, int] = (20, 20)) -> Path:
    folder.mkdir(parents=True)
    for number, colour in enumerate(colours):
        Image.new("RGB", size, colour).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return fill(tmp_path / "a", [(10 * n, 0, 0) for n in range(3)])


@pytest.fixture
def b(tmp_path: Path) -> Path:
    return fill(tmp_path / "b", [(0, 0, 10 * n) for n in range(5)])


def test_every_image_of_the_larger_set_once_and_partners_at_random(a: Path, b: Path) -> None:
    dataset = Unpaired(a=(a,), b=(b,)).open(Loading(size=16))
    assert len(dataset) == 5
    assert dict(dataset.spec.channels) == {"a": 3, "b": 3}
    assert dataset.spec.size == 16
    partners = set()
    for seed in range(40):
        for index in range(5):
            x = dataset.sample(index, np.random.default_rng(seed))
            assert x["a"].shape == x["b"].shape == (3, 16, 16)
            assert x["a"].dtype == torch.uint8
            assert x["a"][0].unique().tolist() == [10 * (index % 3)]
            partners.add((index, int(x["b"][2, 0, 0])))
    assert len(partners) == 25


def test_the_papers_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.arange(64, dtype=np.uint8)[None, :, None].repeat(32, 0).repeat(3, 2) * 4
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.fromarray(ramp).save(tmp_path / name / f"{number}.png")

    def span(**settings: object) -> float:
        source = Unpaired(a=(tmp_path / "a",), b=(tmp_path / "b",), flip=False, **settings)  # type: ignore[arg-type]
        x = source.open(Loading(size=16)).sample(0, np.random.default_rng(0))["a"][0].float()
        return float(x[8, -1] - x[8, 0])

    # How much of the width of 64 (values 0 to 252) a crop of 16 shows.
    assert abs(span() - 252 * 15 / 18) < 12  # squashed to 18 = 16 x 286 / 256
    assert abs(span(load_size=32) - 252 * 15 / 32) < 8
    assert abs(span(resize="scale", load_size=24) - 252 * 15 / 48) < 8
    assert span(resize="none") == 60


@pytest.mark.parametrize("resize", ["resize", "scale", "none"])
def test_pictures_of_any_size(tmp_path: Path, resize: str) -> None:
    for name in ("a", "b"):
        fill(tmp_path / name / "small", [(9, 9, 9)], (5, 7))
        fill(tmp_path / name / "wide", [(9, 9, 9)], (90, 17))
        fill(tmp_path / name / "tall", [(9, 9, 9)], (16, 40))
    dataset = Unpaired(a=(tmp_path / "a",), b=(tmp_path / "b",), resize=resize).open(Loading(size=16))  # type: ignore[arg-type]
    with Loader(dataset, batch=3, seed=0, workers=2, device=torch.device("cpu")) as batches:
        for _ in range(5):
            assert batches.next_batch()["a"].shape == (3, 3, 16, 16)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels(a: Path, b: Path, channels: int) -> None:
    dataset = Unpaired(a=(a,), b=(b,), channels=channels).open(Loading(size=16))  # type: ignore[arg-type]
    assert dict(dataset.spec.channels) == {"a": channels, "b": channels}
    assert dataset.sample(0, np.random.default_rng(0))["b"].shape == (channels, 16, 16)


def test_augmentation_on_both_sides(a: Path, b: Path) -> None:
    dataset = Unpaired(a=(a,), b=(b,), augment=("noise",), augment_device=("noise",)).open(Loading(size=16))
    samples = [dataset.sample(0, np.random.default_rng(seed))["a"] for seed in range(10)]
    assert any(len(sample[0].unique()) > 1 for sample in samples)
    zeros = {"a": torch.zeros(4, 3, 16, 16), "b": torch.zeros(4, 3, 16, 16)}
    x = dataset.on_device(zeros, 3)
    assert not torch.equal(x["a"], zeros["a"])
    assert not torch.equal(x["a"], x["b"])


def broken(folder: Path, name: str = "x.jpg") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("no picture")
    return folder


def test_wrong_folders_are_named_with_their_flag(tmp_path: Path, a: Path, b: Path) -> None:
    one = fill(tmp_path / "one", [(0, 0, 0)])
    empty = tmp_path / "empty"
    empty.mkdir()
    mostly = broken(fill(tmp_path / "mostly", [(0, 0, 0)]))
    none = broken(broken(tmp_path / "none"), "y.jpg")
    cases = [
        (tmp_path / "missing", b, "--a .*missing: no such folder"),
        (a, tmp_path / "missing", "--b .*missing: no such folder"),
        (a / "0.png", b, "--a .*0.png: this is a file; expected a folder of images"),
        (a, empty, "--b .*empty: no images in this folder"),
        (one, b, "--a .*one: expected at least 2 images in this folder, found 1"),
        (a, mostly, "--b .*mostly: expected at least 2 readable images in this folder, found 1"),
        (none, b, "--a .*none: none of its 2 files can be read as an image"),
        (a, a, "--b .*a: the same folder as --a"),
        (a, a / ".." / "a", "--b .*: the same folder as --a"),
        (tmp_path, b, "--b .*b: lies inside --a"),
        (a, tmp_path, "--a .*a: lies inside --b"),
    ]
    for first, second, message in cases:
        with pytest.raises(UsageError, match=message) as error:
            Unpaired(a=(first,), b=(second,)).open(Loading(size=16))
        assert error.value.exit_code == 2
        assert "\n" not in str(error.value)


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_the_same_folder_by_another_name(tmp_path: Path, a: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(a)
    monkeypatch.chdir(tmp_path)
    for other in (tmp_path / "link", Path("a"), Path("link")):
        with pytest.raises(UsageError, match="the same folder as --a"):
            Unpaired(a=(a,), b=(other,)).open(Loading(size=16))


def test_wrong_settings(a: Path, b: Path) -> None:
    with pytest.raises(UsageError, match="--load-size 15 is smaller than --size 16"):
        Unpaired(a=(a,), b=(b,), load_size=15).open(Loading(size=16))
    with pytest.raises(UsageError, match="did you mean blur"):
        Unpaired(a=(a,), b=(b,), augment=("blurr",))
    with pytest.raises(UsageError, match="--augment-device nothing: expected"):
        Unpaired(a=(a,), b=(b,), augment_device=("nothing",))


def draw(batches: Loader, count: int) -> None:
    for _ in range(count):
        batches.next_batch()


def test_a_file_that_vanishes_during_the_run(a: Path, b: Path) -> None:
    dataset = Unpaired(a=(a,), b=(b,)).open(Loading(size=16, cache="off"))
    (b / "2.png").unlink()
    batches = Loader(dataset, batch=2, seed=0, workers=2, device=torch.device("cpu"))
    with batches, pytest.raises(ImageError, match=r"2\.png: no such file"):
        draw(batches, 50)
    lines: list[str] = []
    with Loader(dataset, batch=2, seed=0, workers=2, device=torch.device("cpu"), left_out=lines.append) as batches:
        draw(batches, 50)
    assert lines == [f"left out {b / '2.png'}: no such file or directory"]


def test_a_share_that_is_gone_ends_the_run_in_its_own_way(a: Path, b: Path) -> None:
    dataset = Unpaired(a=(a,), b=(b,)).open(Loading(size=16, cache="off"))
    b.rename(b.with_name("elsewhere"))
    batches = Loader(dataset, batch=2, seed=0, workers=1, device=torch.device("cpu"), left_out=lambda line: None)
    with batches, pytest.raises(LostDataError, match=r"\.png: .*its folder is gone, or empty now"):
        draw(batches, 50)
    b.mkdir()  # what is left where a disk was mounted
    batches = Loader(dataset, batch=2, seed=0, workers=0, device=torch.device("cpu"))
    with batches, pytest.raises(LostDataError, match="its folder is gone, or empty now"):
        draw(batches, 50)


def test_the_cache_does_not_change_the_batches(shared_data: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, name in zip(folders, ("trainA", "trainB"), strict=True):
        folder.mkdir()
        for path in sorted((shared_data / "horse2zebra" / name).iterdir())[:6]:
            (folder / path.name).write_bytes(path.read_bytes())

    def batches(cache: str, workers: int, **settings: object) -> list[torch.Tensor]:
        source = Unpaired(a=(folders[0],), b=(folders[1],))
        loading = Loading(size=64, cache=cache, workers=workers, cache_dir=tmp_path / "cache", **settings)  # type: ignore[arg-type]
        with Loader(source.open(loading), batch=2, seed=0, workers=workers, device=torch.device("cpu")) as loader:
            return [torch.cat(list(loader.next_batch().values())) for _ in range(8)]

    expected = batches("off", 0)
    for other in (
        batches("memory", 2),
        batches("memory", 1, cache_budget=50_000),
        batches("disk", 2),
        batches("disk", 0),
    ):
        assert all(torch.equal(x, y) for x, y in zip(expected, other, strict=True))


def test_a_grey_folder_in_a_colour_run_is_told_of(a: Path, tmp_path: Path) -> None:
    grey = tmp_path / "grey"
    grey.mkdir()
    for number in range(2):
        Image.new("L", (20, 20), 90).save(grey / f"{number}.png")
    told: list[str] = []
    with listening(told):
        Unpaired(a=(a,), b=(grey,)).open(Loading(size=16))
    assert told == [f"--b {grey}: the images look grey; they are taken as 3 channels (--channels 1 would not)"]
    told.clear()
    with listening(told):
        Unpaired(a=(a,), b=(grey,), channels=1).open(Loading(size=16))
    assert not told
