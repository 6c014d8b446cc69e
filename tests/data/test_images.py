"""What `--images` means: folders, trees, idx files, and their failures."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from listening import listening
from translate.contract import Dataset, Loading
from translate.data.images import Images
from translate.errors import UsageError

SHARED = Path(__file__).parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)


def write_idx(path: Path, digits: NDArray[np.uint8]) -> None:
    data = b"\x00\x00\x08\x03" + struct.pack(">III", *digits.shape) + digits.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_image(path: Path, width: int = 12, height: int = 12, mode: str = "RGB") -> NDArray[np.uint8]:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_folder_with_classes_is_read_whole(tmp_path: Path) -> None:
    first = write_image(tmp_path / "cat" / "1.png")
    second = write_image(tmp_path / "dog" / "1.png")
    data = Images(images=(tmp_path,)).open(Loading(size=12))
    assert len(data) == 2
    assert data.spec.channels == {"image": 3}
    assert data.spec.size == 12
    for index, pixels in enumerate((first, second)):
        image = data.sample(index, rng())["image"]
        assert image.dtype == torch.uint8
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), pixels)


def test_centre_of_a_wide_image(tmp_path: Path) -> None:
    pixels = write_image(tmp_path / "wide.png", width=20, height=8)
    image = Images(images=(tmp_path,)).open(Loading(size=8)).sample(0, rng())["image"]
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), pixels[:, 6:14])


@pytest.mark.parametrize(("size", "resize"), [(4, "scale"), (32, "scale"), (16, "resize"), (8, "none"), (48, "none")])
def test_any_size(tmp_path: Path, size: int, resize: str) -> None:
    write_image(tmp_path / "a.png", width=31, height=17)
    data = Images(images=(tmp_path,), resize=resize).open(Loading(size=size))  # type: ignore[arg-type]
    assert data.sample(0, rng())["image"].shape == (3, size, size)


def test_flip_mirrors_half(tmp_path: Path) -> None:
    pixels = write_image(tmp_path / "a.png")
    data = Images(images=(tmp_path,), flip=True).open(Loading(size=12))
    seen = [data.sample(0, rng(seed))["image"].permute(1, 2, 0).numpy() for seed in range(40)]
    mirrored = sum(bool((image == pixels[:, ::-1]).all()) for image in seen)
    straight = sum(bool((image == pixels).all()) for image in seen)
    assert mirrored + straight == 40
    assert 8 < mirrored < 32
    assert (data.sample(0, rng(3))["image"] == data.sample(0, rng(3))["image"]).all()


def test_grey_folder_gives_one_channel_unless_told(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", mode="L")
    assert Images(images=(tmp_path,)).open(Loading(size=8)).spec.channels == {"image": 1}
    assert Images(images=(tmp_path,), channels=3).open(Loading(size=8)).spec.channels == {"image": 3}
    write_image(tmp_path / "b.png")
    assert Images(images=(tmp_path,)).open(Loading(size=8)).spec.channels == {"image": 3}


def test_colour_behind_many_grey_images_is_kept(tmp_path: Path) -> None:
    for number in range(16):
        write_image(tmp_path / f"a{number:02}.png", mode="L")
    told: list[str] = []

    def opened(**fields: int) -> Dataset:
        with listening(told):
            return Images(images=(tmp_path,), **fields).open(Loading(size=8))

    assert opened().spec.channels == {"image": 1}
    grey = f"--images {tmp_path}: the images look grey; they are taken as"
    assert told == [f"{grey} 1 channel (--channels 3 keeps colours)"], "nobody asked for one channel"
    told.clear()
    opened(channels=1)
    assert told == []
    opened(channels=3)
    assert told == [f"{grey} 3 channels (--channels 1 would not)"]
    told.clear()
    write_image(tmp_path / "b.png")
    assert opened().spec.channels == {"image": 3}
    assert told == []


def test_unreadable_files_are_left_out_and_told(tmp_path: Path) -> None:
    write_image(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    told: list[str] = []
    with listening(told):
        assert len(Images(images=(tmp_path,)).open(Loading(size=8))) == 1
    assert any("bad.png" in line for line in told)
    with pytest.raises(UsageError, match=r"bad\.png"):
        Images(images=(tmp_path,)).open(Loading(size=8, strict=True))


@pytest.mark.parametrize("name", ["x-images-idx3-ubyte", "x-images-idx3-ubyte.gz"])
@pytest.mark.parametrize("by_folder", [True, False])
def test_idx_files(tmp_path: Path, name: str, by_folder: bool) -> None:
    digits = RNG.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    write_idx(tmp_path / name, digits)
    (tmp_path / "x-labels-idx1-ubyte").write_bytes(b"labels")
    data = Images(images=(tmp_path if by_folder else tmp_path / name,)).open(Loading(size=28))
    assert len(data) == 3
    assert data.spec.channels == {"image": 1}
    np.testing.assert_array_equal(data.sample(2, rng())["image"].numpy()[0], digits[2])


def test_idx_enlarged_and_in_colour(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", RNG.integers(0, 256, (3, 28, 28), dtype=np.uint8))
    image = Images(images=(tmp_path / "a",), channels=3).open(Loading(size=32)).sample(0, rng())["image"]
    assert image.shape == (3, 32, 32)
    assert torch.equal(image[0], image[2])


def test_all_idx_files_of_a_folder_count(tmp_path: Path) -> None:
    write_idx(tmp_path / "a-idx3-ubyte", RNG.integers(0, 256, (3, 8, 8), dtype=np.uint8))
    write_idx(tmp_path / "b-idx3-ubyte.gz", RNG.integers(0, 256, (2, 8, 8), dtype=np.uint8))
    assert len(Images(images=(tmp_path,)).open(Loading(size=8))) == 5
    write_idx(tmp_path / "c-idx3-ubyte", RNG.integers(0, 256, (2, 8, 9), dtype=np.uint8))
    with pytest.raises(UsageError, match=r"one image size, found a-idx3-ubyte 8x8, .*c-idx3-ubyte 9x8"):
        Images(images=(tmp_path,)).open(Loading(size=8))


def test_wrong_usage_is_one_line(tmp_path: Path) -> None:
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    empty.mkdir()
    broken.mkdir()
    (broken / "a.png").write_bytes(b"no picture")
    write_idx(tmp_path / "digits", RNG.integers(0, 256, (3, 8, 8), dtype=np.uint8))
    write_image(tmp_path / "photo.png")
    wrong = {
        "no such folder": (tmp_path / "none", None),
        "no images": (empty, None),
        "none of its 1 files": (broken, None),
        "expected a folder, an idx file": (tmp_path / "photo.png", None),
        "channels 4": (tmp_path / "digits", 4),
    }
    for message, (path, channels) in wrong.items():
        with pytest.raises(UsageError, match=message) as caught:
            Images(images=(path,), channels=channels).open(Loading(size=8))
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="needs ../shared/data")
def test_real_digits() -> None:
    data = Images(images=(SHARED / "mnist",)).open(Loading(size=32))
    assert len(data) == 10_000
    image = data.sample(9_999, rng())["image"].float()
    assert image.shape == (1, 32, 32)
    assert image.mean() < 80  # light strokes on black
    assert image.max() > 200
