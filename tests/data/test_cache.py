"""The scan reads every file once; what it read is not decoded again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from listening import listening
from translate.contract import Loading
from translate.data import cache as cache_module
from translate.data import pictures as pictures_module
from translate.data.decode import Pixels, open_image
from translate.data.listing import list_folders
from translate.data.pictures import Budget, Pictures, scan
from translate.errors import GantkError, UsageError


@dataclass
class Counted:
    """Counts how often each file is decoded."""

    key: str = "counted"
    seen: Counter[str] = field(default_factory=Counter)

    def __call__(self, path: Path) -> Pixels:
        self.seen[path.name] += 1
        return open_image(path, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures of six sizes, and two broken files between them."""
    place = tmp_path / "pictures"
    place.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (8 + number, 9, 3), np.uint8)).save(place / f"{number}.png")
    (place / "1_broken.png").write_bytes((place / "1.png").read_bytes()[:60])
    (place / "4_text.jpg").write_text("no picture")
    return place


Mode = Literal["memory", "disk", "device", "off"]


def load(folder: Path, reader: Counted, mode: Mode, *, lines: list[str] | None = None, **settings: object) -> Pictures:
    loading = Loading(size=8, workers=2, cache=mode, cache_dir=folder.parent / "cache", **settings)  # type: ignore[arg-type]
    with listening(lines):
        return scan(list_folders("--images", [folder]), reader, loading)


def agree(pictures: Pictures) -> bool:
    return all((pixels == open_image(path, 3)).all() for path, pixels in zip(pictures.paths, pictures, strict=True))


@pytest.mark.parametrize("mode", ["memory", "disk", "device", "off"])
def test_unreadable_files_are_told_and_left_out(folder: Path, mode: Mode) -> None:
    lines: list[str] = []
    pictures = load(folder, Counted(), mode, lines=lines)
    assert [path.name for path in pictures.paths] == [f"{number}.png" for number in range(6)]
    assert agree(pictures)
    assert len(lines) == 2
    assert lines[0].startswith(f"left out {folder / '1_broken.png'}: ")
    assert lines[1] == f"left out {folder / '4_text.jpg'}: not an image, or a damaged one"


@pytest.mark.parametrize("mode", ["memory", "disk", "device", "off"])
def test_strict_names_the_first_unreadable_file(folder: Path, mode: Mode) -> None:
    with pytest.raises(UsageError, match=r"1_broken.png: .*--strict-data"):
        load(folder, Counted(), mode, strict=True)
    assert list(folder.parent.glob("cache/*")) == []


@pytest.mark.parametrize("mode", ["memory", "disk", "device"])
def test_nothing_is_decoded_twice(folder: Path, mode: Mode) -> None:
    reader = Counted()
    pictures = load(folder, reader, mode)
    for _ in range(3):
        assert agree(pictures)
    assert set(reader.seen.values()) == {1}


def test_without_a_cache_every_look_decodes(folder: Path) -> None:
    reader = Counted()
    pictures = load(folder, reader, "off")
    assert agree(pictures)
    assert reader.seen["0.png"] == 2


@pytest.mark.parametrize("mode", ["memory", "disk", "device", "off"])
def test_asking_for_a_number_decodes_nothing(folder: Path, mode: Mode) -> None:
    reader = Counted()
    pictures = load(folder, reader, mode)
    reader.seen.clear()
    assert pictures.numbers()[folder / "0.png"] == 0
    assert folder / "1_broken.png" not in pictures.numbers()
    assert len(pictures) == 6
    assert not reader.seen


def test_budget_is_kept_and_told_once(folder: Path) -> None:
    reader, lines = Counted(), []
    pictures = load(folder, reader, "memory", lines=lines, cache_budget=8 * 9 * 3 + 9 * 9 * 3)
    assert agree(pictures)
    assert sum(reader.seen[f"{number}.png"] == 1 for number in range(6)) == 2
    assert sum("2 of 6 decoded images fit into" in line for line in lines) == 1


def test_a_budget_is_shared_by_the_folders_of_a_source(folder: Path) -> None:
    budget = Budget(400)
    assert budget.take(300)
    assert not budget.take(200)
    assert budget.take(100)
    assert not budget.take(1)


def test_pixels_are_read_only(folder: Path) -> None:
    for mode in ("memory", "disk", "device"):
        pixels = load(folder, Counted(), mode)[0]
        with pytest.raises(ValueError, match="read-only"):
            pixels[0, 0, 0] = 1


def test_numbers_and_slices(folder: Path) -> None:
    pictures = load(folder, Counted(), "memory")
    assert [image.shape[0] for image in pictures[1:4:2]] == [9, 11]
    with pytest.raises(IndexError):
        pictures[6]


def test_disk_cache_is_reused_by_a_later_run(folder: Path) -> None:
    load(folder, Counted(), "disk")
    later, lines = Counted(), []
    pictures = load(folder, later, "disk", lines=lines)
    assert agree(pictures)
    assert set(later.seen) == {"1_broken.png", "4_text.jpg"}  # what is broken is tried again, as it may be mended
    assert len(lines) == 2


def test_disk_cache_decodes_only_what_changed(folder: Path) -> None:
    load(folder, Counted(), "disk")
    Image.new("RGB", (5, 5), "red").save(folder / "3.png")
    Image.new("RGB", (5, 6), "blue").save(folder / "new.png")
    stamp = (folder / "2.png").stat()
    Image.new("RGB", (5, 7), "blue").save(folder / "2.png")
    os.utime(folder / "2.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # same time, other size
    (folder / "0.png").unlink()
    (folder / "4_text.jpg").unlink()
    Image.new("RGB", (7, 7), "green").save(folder / "1_broken.png")
    later = Counted()
    pictures = load(folder, later, "disk")
    assert set(later.seen) == {"3.png", "new.png", "2.png", "1_broken.png"}
    assert [path.name for path in pictures.paths] == [
        "1.png", "1_broken.png", "2.png", "3.png", "4.png", "5.png", "new.png",
    ]  # fmt: skip
    assert agree(pictures)
    assert len(list(folder.parent.glob("cache/*"))) == 1


def test_another_geometry_is_another_file(folder: Path) -> None:
    load(folder, Counted(), "disk")
    other = Counted(key="other")
    load(folder, other, "disk")
    assert other.seen["0.png"] == 1
    assert len(list(folder.parent.glob("cache/*.pixels"))) == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "offsets"])
def test_a_damaged_cache_file_is_built_anew(folder: Path, damage: str) -> None:
    load(folder, Counted(), "disk")
    (file,) = folder.parent.glob("cache/*.pixels")
    whole = file.read_bytes()
    start = int.from_bytes(whole[-8:], "little")
    broken = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "noise": b"\xff" * len(whole),
        "offsets": whole[:15] + whole[start:-8] + (15).to_bytes(8, "little"),
    }[damage]
    file.write_bytes(broken)
    later = Counted()
    assert agree(load(folder, later, "disk"))
    assert later.seen["0.png"] == 1
    assert agree(load(folder, Counted(), "disk"))


def test_what_a_killed_scan_leaves_goes_at_the_next(folder: Path, killed_writer: Callable[..., Path]) -> None:
    (folder.parent / "cache").mkdir()
    left = killed_writer(folder.parent / "cache" / "x.pixels")
    load(folder, Counted(), "disk")
    assert not left.exists()


def test_a_crash_leaves_the_old_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(folder, Counted(), "disk")
    (file,) = folder.parent.glob("cache/*")
    before = file.read_bytes()
    Image.new("RGB", (5, 5)).save(folder / "new.png")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module.os, "fsync", fail)
    with pytest.raises(GantkError, match=r"cannot write .* \(No space left on device\)"):
        load(folder, Counted(), "disk")
    assert [f.name for f in folder.parent.glob("cache/*")] == [file.name]
    assert file.read_bytes() == before


def test_a_long_scan_says_how_far_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures_module, "_PATIENCE", 0.0)
    monkeypatch.setattr(pictures_module, "_WINDOW", 3)
    lines: list[str] = []
    assert len(load(folder, Counted(), "memory", lines=lines)) == 6
    assert "reading images: 8 of 8" in lines
