"""With `--cache device` the pictures lie on the device, and the batches are those of the host, bit for bit."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from toy import Toy
from translate.contract import Dataset, DataSpec, Loading, Source
from translate.data import resident as resident_module
from translate.data.dataset import Cut, CutDataset
from translate.data.images import Images
from translate.data.labelled import Labelled
from translate.data.loader import Loader, fixed_batch
from translate.data.lowhigh import LowHigh
from translate.data.paired import Paired
from translate.data.pictures import Pack, Pictures
from translate.data.resident import Resident
from translate.data.transforms import Geometry
from translate.data.unpaired import Unpaired
from translate.errors import GantkError, UsageError
from translate.settings import Run
from translate.training.opening import open_source
from translate.training.request import Request

CPU = torch.device("cpu")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def folder(place: Path, sizes: list[tuple[int, int]], seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    place.mkdir(parents=True)
    for number, (width, height) in enumerate(sizes):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(place / f"{number}.png")
    return place


VARIED = [(20, 24), (31, 18), (16, 16), (40, 33), (17, 50)]


def unpaired(place: Path) -> Source:
    a, b = folder(place / "a", VARIED), folder(place / "b", VARIED[:3], 1)
    return Unpaired(a=(a,), b=(b,), resize="none", channels=4)


def augmented(place: Path) -> Source:
    a, b = folder(place / "a", VARIED), folder(place / "b", VARIED[:3], 1)
    return Unpaired(a=(a,), b=(b,), augment_device=("brightness",))


def paired(place: Path) -> Source:
    a, b = folder(place / "a", VARIED), folder(place / "b", VARIED, 1)
    return Paired(a=(a,), b=(b,), resize="scale", channels_a=1)


def halves(place: Path) -> Source:
    return Paired(ab=(folder(place, [(40, 20), (44, 30), (36, 18)]),), direction="b2a", channels_b=1)


def images(place: Path) -> Source:
    return Images(images=(folder(place, VARIED),), flip=True)


def digits(place: Path) -> Source:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 12, 12), np.uint8)
    place.mkdir()
    (place / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(b"\x00\x00\x08\x03" + struct.pack(">III", *pixels.shape) + pixels.tobytes())
    )
    return Images(images=(place,), channels=3, flip=True)


def made_low(place: Path) -> Source:
    return LowHigh(hr=(folder(place, VARIED),))


def labelled(place: Path) -> Source:
    for number, name in enumerate(("x", "y", "z")):
        folder(place / name, VARIED[number:], number)
    return Labelled(images=(place,), flip=True, balanced=True)


def given_low(place: Path) -> Source:
    folder(place / "low", [(10, 12), (15, 9), (8, 8)])
    return LowHigh(hr=(folder(place / "high", VARIED[:3]),), lr_images=(place / "low",), scale=2)


def degraded(place: Path) -> Source:
    return LowHigh(hr=(folder(place, VARIED),), degradation="real")


def batches(source: Source, cache: Any, device: str, count: int = 8, **settings: Any) -> list[dict[str, Tensor]]:
    given = {"batch": 3, "seed": 4, "workers": 0, "device": torch.device(device), **settings}
    with Loader(source.open(Loading(size=16, cache=cache)), **given) as loader:
        return [loader.next_batch() for _ in range(count)]


def assert_same(ours: list[dict[str, Tensor]], theirs: list[dict[str, Tensor]]) -> None:
    for x, y in zip(ours, theirs, strict=True):
        assert x.keys() == y.keys()
        for name in x:
            assert x[name].device == y[name].device
            assert x[name].dtype == y[name].dtype == (torch.int64 if name == "label" else torch.float32)
            assert torch.equal(x[name], y[name])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "make", [unpaired, augmented, paired, halves, images, digits, labelled, made_low, given_low, degraded]
)
def test_the_batches_are_those_of_the_host(make: Callable[[Path], Source], device: str, tmp_path: Path) -> None:
    source = make(tmp_path / "data")
    assert_same(batches(source, "memory", device), batches(source, "device", device))


@pytest.mark.parametrize("device", DEVICES)
def test_so_they_are_with_threads_from_any_position_and_for_each_rank(device: str, tmp_path: Path) -> None:
    source = unpaired(tmp_path)
    assert_same(batches(source, "memory", device), batches(source, "device", device, workers=2))
    assert_same(batches(source, "memory", device)[5:], batches(source, "device", device, count=3, position=5))
    half = {"batch": 4, "places": [2, 3]}
    assert_same(batches(source, "memory", device, **half), batches(source, "device", device, **half))


def test_a_preview_is_the_same(tmp_path: Path) -> None:
    source = degraded(tmp_path / "data")
    ours, theirs = (fixed_batch(source.open(Loading(size=16, cache=c)), 4, 0) for c in ("device", "memory"))
    assert ours.keys() == theirs.keys() == {"low", "high"}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


class Turned(CutDataset):
    """One picture of each size, every one cut as ``geometry`` says."""

    spec = DataSpec(size=4, channels={"image": 3})

    def __init__(self, sizes: list[tuple[int, int]], geometry: Callable[[int], Geometry]) -> None:
        rng = np.random.default_rng(0)
        self.originals = [rng.integers(0, 256, (height, width, 3), np.uint8) for width, height in sizes]
        pack = Pack.of(list(self.originals))
        self.pictures = [Pictures(len(sizes), pack.__getitem__, pack=pack)]
        self.geometry = geometry

    def __len__(self) -> int:
        return len(self.originals)

    def draw(self, index: int, rng: np.random.Generator) -> Mapping[str, Cut]:
        return {"image": Cut(self.pictures[0], index, self.pictures[0][index], self.geometry(index))}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_crops_flips_and_turns_are_those_of_kornia(turns: int, flip: bool, device: str) -> None:
    from kornia.geometry.transform import hflip
    from kornia.geometry.transform.crop2d import crop_by_indices

    data = Turned([(9, 7), (4, 5)], lambda index: Geometry(index, 0, 4, 4, flip=flip, turns=turns))
    rng = np.random.default_rng(0)
    where = Resident(data, torch.device(device))
    ours = where.cut(where.places((index, rng) for index in range(2)))["image"]
    assert ours.dtype == torch.uint8
    assert ours.device.type == device
    for index, image in enumerate(ours.cpu()):
        whole = torch.from_numpy(data.originals[index]).permute(2, 0, 1)[None]
        box = torch.tensor([[[0, index], [3, index], [3, index + 3], [0, index + 3]]])
        crop = crop_by_indices(whole, box, (4, 4))
        expected = torch.rot90(hflip(crop) if flip else crop, turns, (2, 3))
        assert torch.equal(image, expected[0])


def test_packing_keeps_the_pixels_and_leaves_one_array() -> None:
    data = Turned([(9, 7), (4, 5), (6, 6)], lambda index: Geometry(0, 0, 4, 4))
    (pack,) = data.packs
    assert pack.pixels.shape == (3 * (63 + 20 + 36),)
    for index, picture in enumerate(data.pictures[0]):
        assert np.array_equal(picture, data.originals[index])
        assert np.shares_memory(picture, pack.pixels)
        assert not picture.flags.writeable


def test_pictures_are_sent_with_the_first_batch_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    from_numpy = torch.from_numpy

    def counted(array: Any) -> Tensor:
        sent.append(array.size)
        return from_numpy(array)

    monkeypatch.setattr(resident_module.torch, "from_numpy", counted)
    data = Turned([(9, 7), (4, 5)], lambda index: Geometry(0, 0, 4, 4))
    with Loader(data, batch=2, seed=0, workers=1, device=CPU) as loader:
        assert not sent
        for _ in range(4):
            loader.next_batch()
    assert sent == [data.packs[0].pixels.size]


def test_what_does_not_fit_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Turned([(9, 7)], lambda index: Geometry(0, 0, 4, 4))
    where = Resident(data, CPU)
    places = where.places([(0, np.random.default_rng(0))])

    def full(*size: int, **settings: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(resident_module.torch, "empty", full)
    with pytest.raises(GantkError, match=r"--cache device: .* do not fit on cpu; use --cache memory"):
        where.cut(places)


def test_cuts_of_several_shapes_are_a_fault_of_the_data_set() -> None:
    data = Turned([(9, 7), (8, 8)], lambda index: Geometry(0, 0, 4 + index, 4))
    with pytest.raises(ValueError, match="one shape"):
        Resident(data, CPU).places([(index, np.random.default_rng(0)) for index in range(2)])


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_oblong_cuts_are_those_of_the_host(turns: int, flip: bool) -> None:
    data = Turned([(9, 7)], lambda index: Geometry(1, 2, 3, 5, flip=flip, turns=turns))
    where = Resident(data, CPU)
    rng = np.random.default_rng(0)
    assert torch.equal(where.cut(where.places([(0, rng)]))["image"][0], data.sample(0, rng)["image"])


def test_without_packs_a_cut_data_set_is_read_from_the_host(tmp_path: Path) -> None:
    data = images(tmp_path / "data").open(Loading(size=16))
    assert isinstance(data, CutDataset)
    assert not data.packs


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (lambda place: Unpaired(a=(place,), b=(place,), augment=("blur",)), "--augment-device"),
        (lambda place: Paired(a=(place,), b=(place,), classes=3), "--classes"),
    ],
)
def test_settings_that_need_the_host_are_refused_before_anything_is_read(
    source: Callable[[Path], Source], names: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"--cache device: .*{names}"):
        source(tmp_path / "nowhere").open(Loading(size=16, cache="device"))


@pytest.mark.parametrize("make", [unpaired, paired, halves, images, digits, made_low])
def test_pictures_beyond_the_budget_are_refused_with_what_would_do(
    make: Callable[[Path], Source], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"--cache device .* take 0\.01 GiB .*of --cache-budget"):
        make(tmp_path / "data").open(Loading(size=16, cache="device", cache_budget=1000))


class Strangers(Dataset):
    """A data set that only knows how to give samples."""

    spec = DataSpec(size=8, channels={"a": 3, "b": 3})

    def __len__(self) -> int:
        return 4

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        return {"a": torch.full((3, 8, 8), index, dtype=torch.uint8)}


class StrangeSource(Source):
    def open(self, loading: Loading) -> Dataset:
        return Strangers()


def request(source: Source, cache: Any, out: Path) -> Request:
    return Request(plugin="toy", task=Toy(), source=source, run=Run(size=16, cache=cache), out=out)


def opened(asked: Request) -> Dataset:
    return open_source(asked.source, asked.run, asked.task.networks)


def test_a_strangers_source_works_as_before_and_is_refused_here(tmp_path: Path) -> None:
    assert isinstance(opened(request(StrangeSource(), "memory", tmp_path)), Strangers)
    with pytest.raises(UsageError, match="--cache device: the source StrangeSource prepares its samples on the host"):
        opened(request(StrangeSource(), "device", tmp_path))


def test_a_run_says_how_much_memory_its_pictures_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [folder(tmp_path / name, [(512, 512)] * 2) for name in ("a", "b")]
    opened(request(Unpaired(a=(folders[0],), b=(folders[1],), resize="none"), "device", tmp_path))
    assert capsys.readouterr().err == "memory: 3.0 MiB of decoded images on the device\n"
