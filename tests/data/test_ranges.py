"""Deep pictures, ranges and bands through the sources, the cache and the loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from listening import listening
from translate.contract import Dataset, Loading
from translate.data.images import Images
from translate.data.loader import Loader
from translate.data.lowhigh import LowHigh
from translate.data.paired import Paired
from translate.data.transforms import nearest
from translate.errors import UsageError
from translate.reading import Percentiles

CPU = torch.device("cpu")


def folder(place: Path, kind: str, bands: int = 1, count: int = 3, side: int = 16, low: float = 0) -> Path:
    place.mkdir()
    rng = np.random.default_rng(len(place.name))
    for number in range(count):
        values = rng.random((side, side, bands)) if kind == "float32" else rng.integers(low, 4000, (side, side, bands))
        stored = values.astype(kind) if bands > 1 else values.astype(kind)[..., 0]
        tifffile.imwrite(place / f"{number}.tif", stored, photometric="minisblack", planarconfig="contig")
    return place


def batch(dataset: Dataset, count: int = 3) -> dict[str, torch.Tensor]:
    with Loader(dataset, batch=count, seed=0, workers=0, device=CPU) as loader:
        return loader.next_batch()


def settings(tmp_path: Path, **more: Any) -> Loading:
    return Loading(size=16, cache_dir=tmp_path / "cache", **more)


@pytest.mark.parametrize("cache", ["memory", "disk", "device", "off"])
@pytest.mark.parametrize("kind", ["uint16", "float32"])
@pytest.mark.parametrize("bands", [1, 5])
def test_depth_and_bands_reach_the_network(
    tmp_path: Path, cache: Literal["memory", "disk", "device", "off"], kind: str, bands: int
) -> None:
    place = folder(tmp_path / "in", kind, bands)
    white = 65535 if kind == "uint16" else 1
    expected = {
        tuple((tifffile.imread(path).reshape(-1, bands).T / (white / 2) - 1).round(5).ravel().tolist())
        for path in place.iterdir()
    }
    for _ in range(2):  # the second time from the cache
        dataset = Images(images=(place,), channels=bands).open(settings(tmp_path, cache=cache))
        assert dataset.spec.bits == {"image": 16 if kind == "uint16" else 32}
        images = batch(dataset)["image"]
        assert images.dtype == torch.float32
        given = {tuple(image.reshape(bands, -1).double().numpy().round(5).ravel().tolist()) for image in images}
        for one, other in zip(sorted(given), sorted(expected), strict=True):
            assert np.abs(np.subtract(one, other)).max() < 2e-5


def test_mixed_depths_are_refused(tmp_path: Path) -> None:
    place = folder(tmp_path / "in", "uint16")
    Image.new("L", (16, 16)).save(place / "8.png")
    for cache in ("memory", "disk"):
        with pytest.raises(UsageError, match=r"--images .*in: .* has \d+ bits and .* \d+; expected pictures of one"):
            Images(images=(place,), channels=1).open(settings(tmp_path, cache=cache))
    dataset = Images(images=(place,), channels=1).open(settings(tmp_path, ranges={"": (0, 255)}))
    assert dataset.spec.bits == {"image": 32}
    assert dataset.spec.ranges == {"image": (0, 255)}


def test_other_bands_are_left_out(tmp_path: Path) -> None:
    place = folder(tmp_path / "in", "uint16", 5)
    tifffile.imwrite(place / "x.tif", np.zeros((16, 16, 4), np.uint16), photometric="minisblack", planarconfig="contig")
    lines: list[str] = []
    with listening(lines):
        dataset = Images(images=(place,), channels=5).open(settings(tmp_path))
    assert len(dataset) == 3
    assert any("x.tif: it has 4 bands (grey and 3 more); expected 5 channels" in line for line in lines)


def test_a_range_for_each_domain(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "mr", "uint16"), folder(tmp_path / "ct1", "int16", low=-1000)
    source = Paired(a=(a,), b=(b,), channels_a=1, channels_b=1, resize="none", flip=False)
    with pytest.raises(UsageError, match="no pair of readable images"):
        source.open(settings(tmp_path))
    dataset = source.open(settings(tmp_path, ranges={"b": (-1000, 3000)}))
    assert dataset.spec.bits == {"a": 16, "b": 32}
    assert dataset.spec.ranges == {"b": (-1000, 3000)}
    values = tifffile.imread(b / "0.tif")
    sample = dataset.sample(0, np.random.default_rng(0))
    assert torch.allclose(
        sample["b"][0], torch.from_numpy(np.clip((values + 1000.0) / 2000 - 1, -1, 1)).float(), atol=1e-6
    )


def test_percentiles_are_measured_over_all_files(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    values = np.random.default_rng(0).normal(300, 50, (4, 16, 16)).astype(np.float32)
    for number, one in enumerate(values):
        np.save(place / f"{number}.npy", one)
    lines: list[str] = []
    with listening(lines):
        dataset = Images(images=(place,), channels=1).open(settings(tmp_path, ranges={"image": Percentiles(1, 99)}))
    low, high = np.percentile(values, [1, 99]).tolist()
    assert dataset.spec.ranges["image"] == pytest.approx((low, high))
    assert any("as measured" in line for line in lines)
    np.save(place / "0.npy", np.zeros((16, 16), np.float32))
    for number in range(1, 4):
        (place / f"{number}.npy").unlink()
    with pytest.raises(UsageError, match=r"--range 1%\.\.99%: the numbers in .* do not vary"):
        Images(images=(place,), channels=1).open(settings(tmp_path, ranges={"": Percentiles(1, 99)}))


def test_super_resolution_keeps_depth(tmp_path: Path) -> None:
    place = folder(tmp_path / "in", "uint16", 3, side=32)
    for degradation in ("bicubic", "real"):
        dataset = LowHigh(hr=(place,), channels=3, degradation=degradation).open(settings(tmp_path))
        assert dataset.spec.bits == {"high": 16, "low": 16}
        images = batch(dataset)
        steps = (images["high"].double() + 1) * 32767.5
        assert (steps - steps.round()).abs().max() < 0.01
        assert len(steps.round().unique()) > 500


def test_hidden_colours_stay_hidden_after_resizing(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    image = np.full((40, 40, 4), (255, 255, 255, 255), np.uint8)
    image[:, 20:] = (255, 0, 0, 0)
    for number in range(2):
        Image.fromarray(image).save(place / f"{number}.png")
    for channels in (3, 4):
        dataset = Images(images=(place,), channels=channels).open(settings(tmp_path))
        assert (batch(dataset, 2)["image"][:, :3] == 1).all(), "no red of the unseen half"
        assert dataset.spec.hidden == "fill"


def test_label_maps_with_a_palette_are_not_blended(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    labels = np.random.default_rng(0).integers(0, 4, (50, 46), dtype=np.uint8)
    for number in range(2):
        image = Image.fromarray(labels)
        image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
        image.save(place / f"{number}.png")
    lines: list[str] = []
    with listening(lines):
        dataset = Images(images=(place,), channels=3).open(settings(tmp_path))
    colours = batch(dataset, 2)["image"].permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0)
    assert len(colours) <= 4
    assert any("label maps have: resized by the nearest pixel (2 files)" in line for line in lines)


def test_what_a_user_should_know_of_training_files_is_counted(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    for number in range(2):
        Image.new("CMYK", (16, 16), (1, 2, 3, 4)).save(place / f"{number}.tif")
    lines: list[str] = []
    with listening(lines):
        Images(images=(place,), channels=3).open(settings(tmp_path))
    assert lines == [f"--images {place}: CMYK without a colour profile: its colours are a guess (2 files)"]


def test_nearest_is_pillows(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 23, 1), dtype=np.uint8)
    for width, height in ((10, 12), (23, 37), (64, 80), (5, 100)):
        theirs = Image.fromarray(image[:, :, 0]).resize((width, height), Image.Resampling.NEAREST)
        assert np.array_equal(nearest(image, width, height)[:, :, 0], np.asarray(theirs))
