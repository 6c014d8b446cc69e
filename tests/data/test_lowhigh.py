"""What the folders of super-resolution mean, and what is said where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from listening import listening
from translate.contract import Dataset, Loading
from translate.data.bicubic import resize
from translate.data.decode import open_image
from translate.data.loader import Loader, fixed_batch
from translate.data.lowhigh import LowHigh
from translate.errors import UsageError


def picture(path: Path, width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    for number, (width, height) in enumerate([(50, 41), (32, 32), (64, 36)]):
        picture(tmp_path / "hr" / f"{number}.png", width, height, number)
    return tmp_path / "hr"


def opened(hr: Path, size: int = 16, lines: list[str] | None = None, strict: bool = False, **fields: Any) -> Dataset:
    with listening(lines):
        return LowHigh(hr=(hr,), **fields).open(Loading(size=size, strict=strict))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_patches_are_cut_alike_from_the_bicubic_of_the_whole_image(hr: Path, scale: int) -> None:
    data = opened(hr, scale=scale, flip=False, rotate=False)
    assert len(data) == 3
    assert (data.spec.size, data.spec.scale, dict(data.spec.channels)) == (16, scale, {"low": 3, "high": 3})
    for index in range(3):
        whole = open_image(hr / f"{index}.png", 3)
        height, width = (side - side % scale for side in whole.shape[:2])
        small = resize(whole[:height, :width], 1 / scale)
        sample = data.sample(index, np.random.default_rng(index))
        low, high = (sample[name].numpy().transpose(1, 2, 0) for name in ("low", "high"))
        side = 16 // scale
        places = [
            (y, x)
            for y in range(small.shape[0] - side + 1)
            for x in range(small.shape[1] - side + 1)
            if np.array_equal(small[y : y + side, x : x + side], low)
        ]
        assert places
        assert any(
            np.array_equal(whole[y * scale : y * scale + 16, x * scale : x * scale + 16], high) for y, x in places
        )


def test_flips_and_turns_go_through_both(hr: Path) -> None:
    """The mean of each low-resolution pixel's block stays near it, whatever was turned."""
    smooth = np.linspace(0, 255, 48).astype(np.uint8)
    Image.fromarray(
        np.stack([np.tile(smooth, (48, 1)), np.tile(smooth[:, None], (1, 48)), np.zeros((48, 48), np.uint8)], 2)
    ).save(hr / "smooth.png")
    data = opened(hr, scale=4)
    seen = set()
    for seed in range(40):
        sample = data.sample(3, np.random.default_rng(seed))
        low, high = sample["low"].float(), sample["high"].float()
        blocks = high.view(3, 4, 4, 4, 4).mean(dim=(2, 4))
        assert (blocks - low).abs().max() < 8
        corners = low[:2, [0, 0, -1], [0, -1, 0]]  # of the two ramps: which way they rise
        seen.add(tuple((corners[:, 1:] - corners[:, :1]).sign().flatten().tolist()))
    assert len(seen) == 8


def test_given_pairs_are_matched_by_stem_with_or_without_the_scale(hr: Path, tmp_path: Path) -> None:
    lr = tmp_path / "lr"
    picture(lr / "0x2.png", 25, 20, 10)
    picture(lr / "1.png", 16, 16, 11)
    picture(lr / "elsewhere.png", 16, 16, 12)
    said: list[str] = []
    data = opened(hr, lines=said, lr_images=(lr,), scale=2, flip=False, rotate=False)
    assert len(data) == 2
    assert any("1 of 3 files have no partner" in line and "2.png" in line for line in said)
    assert any("1 of 3 files have no partner" in line and "elsewhere.png" in line for line in said)
    low = data.sample(1, np.random.default_rng(0))["low"].numpy()
    given = open_image(lr / "1.png", 3).transpose(2, 0, 1)
    assert any(np.array_equal(given[:, y : y + 8, x : x + 8], low) for y in range(9) for x in range(9))
    with pytest.raises(UsageError, match=r"2\.png: no partner in --lr-images"):
        opened(hr, lr_images=(lr,), scale=2, strict=True)


def test_wrong_ratio(hr: Path, tmp_path: Path) -> None:
    lr = tmp_path / "lr"
    for number, (width, height) in enumerate([(25, 20), (16, 16), (31, 18)]):
        picture(lr / f"{number}.png", width, height)
    said: list[str] = []
    assert len(opened(hr, lines=said, lr_images=(lr,), scale=2)) == 2
    (line,) = said
    assert "2.png: 31x18 pixels" in line
    assert "64x36" in line
    assert "32x18" in line
    with pytest.raises(UsageError, match="31x18 pixels"):
        opened(hr, lr_images=(lr,), scale=2, strict=True)
    with pytest.raises(UsageError, match=r"no pair fits --scale 4.*31x18.*16x9"):
        opened(hr, lr_images=(lr,), scale=4)


def test_no_names_match(hr: Path, tmp_path: Path) -> None:
    picture(tmp_path / "lr" / "a.png", 8, 8)
    with pytest.raises(UsageError, match=r"no file names match.*0x4"):
        opened(hr, lr_images=(tmp_path / "lr",))


def test_images_smaller_than_a_patch(hr: Path) -> None:
    said: list[str] = []
    assert len(opened(hr, size=36, lines=said)) == 2
    (line,) = said
    assert "1.png: 32x32 pixels are less than a patch of --size 36" in line
    with pytest.raises(UsageError, match=r"1\.png: 32x32 pixels"):
        opened(hr, size=36, strict=True)
    with pytest.raises(UsageError, match=r"none of its images can be used.*50x41 pixels.*--size 128"):
        opened(hr, size=128)


def test_unreadable_files_are_left_out(hr: Path) -> None:
    (hr / "broken.png").write_bytes(b"no picture")
    said: list[str] = []
    assert len(opened(hr, lines=said)) == 3
    assert len(said) == 1  # once, although two readers want it
    assert "broken.png" in said[0]


def test_size_and_options_that_do_not_go_together(hr: Path) -> None:
    with pytest.raises(UsageError, match=r"--size 18: must be a multiple of --scale 4, such as 16 or 20"):
        opened(hr, size=18)
    with pytest.raises(UsageError, match="--degradation real"):
        LowHigh(hr=(hr,), lr_images=(hr,), degradation="real")
    with pytest.raises(UsageError, match="no such folder"):
        opened(hr / "nowhere")


def test_grey(hr: Path) -> None:
    sample = opened(hr, channels=1).sample(0, np.random.default_rng(0))
    assert (sample["low"].shape, sample["high"].shape) == ((1, 4, 4), (1, 16, 16))


@pytest.mark.parametrize("cache", ["memory", "disk", "off"])
def test_the_cache_changes_no_pixel(hr: Path, tmp_path: Path, cache: Any) -> None:
    loading = Loading(size=16, cache=cache, cache_dir=tmp_path / "cache")
    for _ in range(2):  # the second time from the disk
        data = LowHigh(hr=(hr,)).open(loading)
        sample = data.sample(2, np.random.default_rng(4))
        expected = opened(hr).sample(2, np.random.default_rng(4))
        assert torch.equal(sample["low"], expected["low"])
        assert torch.equal(sample["high"], expected["high"])
    # A larger patch excludes an image that the cache on disk has.
    assert len(LowHigh(hr=(hr,)).open(Loading(size=36, cache=cache, cache_dir=tmp_path / "cache"))) == 2


def test_real_degradation_on_the_device(hr: Path) -> None:
    data = opened(hr, degradation="real")
    cpu = torch.device("cpu")
    first, again = (Loader(data, batch=3, seed=5, workers=0, device=cpu).next_batch() for _ in range(2))
    assert (first["low"].shape, first["high"].shape) == ((3, 3, 4, 4), (3, 3, 16, 16))
    assert torch.equal(first["low"], again["low"])
    resumed = Loader(data, batch=3, seed=5, workers=0, device=cpu, position=1).next_batch()
    assert not torch.equal(first["low"], resumed["low"])


def test_previews_begin_with_the_degradation_that_is_trained_on(hr: Path) -> None:
    shown, again = (fixed_batch(opened(hr, degradation="real"), 2, 0) for _ in range(2))
    plain = fixed_batch(opened(hr), 2, 0)
    assert shown["low"].shape == plain["low"].shape == (2, 3, 4, 4)
    assert torch.equal(shown["low"], again["low"])
    assert not torch.equal(shown["low"], plain["low"])
    assert shown["low"].abs().max() <= 1
