"""Frames of clips: each with the one before it, in natural order, and clips held out whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from translate.contract import Dataset, Loading
from translate.data.frames import Frames
from translate.errors import UsageError
from translate.holdout import Part


def frame(path: Path, level: int, side: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((side, side, 3), level, np.uint8)
    pixels[:, :, 1] = np.arange(side)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two clips of eleven and of two frames, whose red is their number, and 100 more in the targets."""
    for clip, count in (("one", 11), ("two", 2)):
        for number in range(count):
            frame(tmp_path / f"a/{clip}/f{number}.png", number)
            frame(tmp_path / f"b/{clip}/f{number}.png", number + 100)
    return tmp_path


def opened(place: Path, size: int = 16, loading: dict[str, Any] | None = None, **given: Any) -> Dataset:
    folders = {"a": (place / "a",), "b": (place / "b",)}
    return Frames(**{**folders, **given}).open(Loading(size=size, **(loading or {})))


def numbers(dataset: Dataset) -> list[tuple[int, int]]:
    """The number of each frame and of the one before."""
    found = []
    for index in range(len(dataset)):
        drawn = dataset.sample(index, np.random.default_rng(index))
        assert drawn["b"][0, 0, 0] == drawn["a"][0, 0, 0] + 100
        assert drawn["b_before"][0, 0, 0] == drawn["a_before"][0, 0, 0] + 100
        found.append((int(drawn["a_before"][0, 0, 0]), int(drawn["a"][0, 0, 0])))
    return found


def test_a_sample_is_a_frame_and_the_one_before(place: Path) -> None:
    assert numbers(opened(place)) == [(k, k + 1) for k in range(10)] + [(0, 1)]


def test_all_four_pictures_are_one_crop(place: Path) -> None:
    dataset = opened(place, resize="none")
    assert set(dataset.spec.channels) == {"a", "b", "a_before", "b_before"}
    turned = set()
    for seed in range(8):
        drawn = dataset.sample(3, np.random.default_rng(seed))
        columns = [drawn[name][1] for name in ("a", "b", "a_before", "b_before")]
        assert all(torch.equal(each, columns[0]) for each in columns)
        turned.add(bool(columns[0][0, 0] > columns[0][0, 1]))
    assert turned == {False, True}


def test_a_missing_frame_is_a_gap(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a/one/f4.png").write_bytes(b"no picture")
    frame(place / "b/one/f8.png", 108, side=30)
    pairs = numbers(opened(place))
    assert (3, 5) not in pairs
    assert pairs == [(0, 1), (1, 2), (2, 3), (5, 6), (6, 7), (9, 10), (0, 1)]
    assert "f4.png" in capsys.readouterr().err


def test_clips_are_held_out_whole(tmp_path: Path) -> None:
    for clip in range(8):
        for number in range(3):
            for folder in "ab":
                frame(tmp_path / folder / f"clip.{clip}" / f"{number}.png", clip)
    sizes = [len(opened(tmp_path, loading={"part": Part(side, 0.5)})) for side in ("train", "val")]
    assert sum(sizes) == 8 * 2
    assert all(sizes)


def test_the_device_may_hold_each_picture_once(place: Path) -> None:
    dataset = opened(place, loading={"cache": "device"})
    assert len(dataset.packs) == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"b": ()}, "expected --a DIR and --b DIR"),
        ({"load_size": 8}, "--load-size 8 is smaller than --size 16"),
    ],
)
def test_wrong_flags_are_refused(given: dict[str, Any], message: str, place: Path) -> None:
    with pytest.raises(UsageError, match=message):
        opened(place, **given)


def test_single_frames_are_no_clips(tmp_path: Path) -> None:
    for folder in "ab":
        for clip in ("one", "two"):
            frame(tmp_path / folder / clip / "0.png", 1)
    with pytest.raises(UsageError, match="expected sub-folders of two or more frames of one size"):
        opened(tmp_path)
