"""A stranger's source, written with what the built-in ones use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from listening import listening
from translate.contract import Dataset, DataSpec, Loading
from translate.data.augment import Augmented
from translate.data.dataset import Cut, CutDataset
from translate.data.example import MadeUp
from translate.data.loader import Loader, fixed_batch
from translate.data.lowhigh import LowHigh
from translate.data.paired import Paired
from translate.data.pictures import Pictures, open_pictures
from translate.data.transforms import Geometry
from translate.errors import UsageError

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Corners(Augmented):
    """The upper left corner of each photo."""

    photos: Annotated[tuple[Path, ...], "folder of photos"]

    def open(self, loading: Loading) -> Dataset:
        self.check_augment(loading)
        pictures = open_pictures("--photos", self.photos, 3, loading)
        spec = DataSpec(loading.size, {"photo": 3})
        return CornerSet(spec, pictures, self)

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"photo": 3}))


class CornerSet(CutDataset):
    def __init__(self, spec: DataSpec, pictures: Pictures, source: Corners) -> None:
        self.spec, self.pictures = spec, (pictures,)
        self.augmentation = source.augmentation(spec, ("photo",))

    def __len__(self) -> int:
        return len(self.pictures[0])

    def draw(self, index: int, rng: np.random.Generator) -> Mapping[str, Cut | Tensor]:
        whole = self.pictures[0][index]
        part = Geometry(0, 0, self.spec.size, self.spec.size)
        return {"photo": Cut(self.pictures[0], index, whole, part), "number": torch.tensor(index)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (20, 16 + number, 3), np.uint8)).save(place / f"{number}.png")
    Image.fromarray(rng.integers(0, 256, (16, 24, 3), np.uint8)).save(place / "turned.jpg", exif=exif(6))
    (place / "broken.png").write_bytes(b"no picture")
    (place / "notes.txt").touch()
    return place


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def batches(source: Any, count: int = 6, position: int = 0, **settings: Any) -> list[dict[str, Tensor]]:
    dataset = source.open(Loading(size=16, **settings))
    with Loader(dataset, batch=3, seed=5, workers=0, device=CPU, position=position) as loader:
        return [loader.next_batch() for _ in range(count)]


def same(ours: list[dict[str, Tensor]], theirs: list[dict[str, Tensor]]) -> bool:
    return all(torch.equal(x[name], y[name]) for x, y in zip(ours, theirs, strict=True) for name in x)


@pytest.mark.parametrize("cache", ["memory", "disk", "device", "off"])
def test_one_line_gives_caches_damaged_files_and_orientation(photos: Path, tmp_path: Path, cache: Any) -> None:
    lines: list[str] = []
    source = Corners(photos=(photos,))
    loading = Loading(size=16, cache=cache, cache_dir=tmp_path / "cache")
    with listening(lines):
        data = source.open(loading)
    assert len(data) == 6
    assert lines == [
        f"--photos {photos}: left out by name: 1 file .txt",
        f"left out {photos / 'broken.png'}: not an image, or a damaged one",
    ]
    assert isinstance(data, CutDataset)
    assert data.pictures[0][5].shape == (24, 16, 3)
    with pytest.raises(UsageError, match=r"broken\.png: .*--strict-data"):
        source.open(Loading(size=16, cache=cache, cache_dir=tmp_path / "cache", strict=True))
    assert same(batches(source), batches(source, cache=cache, cache_dir=tmp_path / "cache"))


def test_its_example_has_its_names() -> None:
    batch = fixed_batch(Corners.example(8), 4, 0)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {"photo": (4, 3, 8, 8)}
    assert fixed_batch(Corners.example(8), 4, 0)["photo"].equal(batch["photo"])


def pairs(photos: Path, tmp_path: Path) -> Paired:
    """The same picture on both sides."""
    (photos / "broken.png").unlink()
    copy = tmp_path / "other"
    copy.mkdir()
    for path in photos.glob("*.png"):
        (copy / path.name).write_bytes(path.read_bytes())
    return Paired(a=(photos,), b=(copy,), augment=("color", "noise"), augment_device=("shift", "brightness"))


def test_augmentation_is_the_same_after_a_resume(photos: Path) -> None:
    source = Corners(photos=(photos,), augment=("noise", "jpeg"), augment_device=("shift", "noise"))
    whole = batches(source)
    assert same(whole[2:], batches(source, count=4, position=2))
    assert not same(whole, batches(Corners(photos=(photos,))))


def test_both_pictures_of_a_pair_are_augmented_alike(photos: Path, tmp_path: Path) -> None:
    for x in batches(pairs(photos, tmp_path)):
        assert torch.equal(x["a"], x["b"])


def test_low_and_high_resolution_stay_versions_of_each_other(tmp_path: Path) -> None:
    for number in range(3):
        picture = Image.new("RGB", (32, 32), (90 + number, 120, 60))
        (tmp_path / "hr").mkdir(exist_ok=True)
        picture.save(tmp_path / f"hr/{number}.png")
    plain = batches(LowHigh(hr=(tmp_path / "hr",), scale=2))
    for names in ({"augment": ("brightness",)}, {"augment_device": ("color", "brightness")}):
        changed = batches(LowHigh(hr=(tmp_path / "hr",), scale=2, **names))  # type: ignore[arg-type]
        assert not same(plain, changed)
        for x in changed:
            assert (x["high"][:, :, ::2, ::2] - x["low"]).abs().max() < 0.02
    with pytest.raises(UsageError, match="--augment-device blur: would not change low and high resolution alike"):
        batches(LowHigh(hr=(tmp_path / "hr",), augment_device=("blur",)))
    batches(LowHigh(hr=(tmp_path / "hr",), augment_device=("blur",), degradation="real"), count=1)


@pytest.mark.parametrize(
    ("flags", "settings", "message"),
    [
        ({"augment": ("blur",)}, {"cache": "device"}, "--cache device: --augment works on the host"),
        ({"augment": ("blurr",)}, {}, "did you mean blur"),
        ({"augment_device": ("blur", "blur")}, {}, "--augment-device: each name at most once"),
    ],
)
def test_augmentation_that_cannot_be(photos: Path, flags: Any, settings: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        batches(Corners(photos=(photos,), **flags), **settings)


def test_index_maps_are_not_augmented(photos: Path) -> None:
    source = Paired(a=(photos,), b=(photos,), classes=3, augment=("blur",))
    with pytest.raises(UsageError, match=r"--augment blur: class indices \(--classes\) cannot be augmented"):
        batches(source)
