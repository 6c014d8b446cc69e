"""The idx reader: right pixels from right files, one clear line for wrong ones."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from translate.contract import Loading
from translate.data.arrays import find_stored
from translate.data.idx import is_idx, read_idx
from translate.errors import UsageError


def idx_bytes(images: NDArray[np.uint8]) -> bytes:
    return b"\x00\x00\x08\x03" + struct.pack(">III", *images.shape) + images.tobytes()


@pytest.fixture
def digits() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 6, 4), dtype=np.uint8)


@pytest.mark.parametrize("name", ["a-images-idx3-ubyte", "a-images-idx3-ubyte.gz", "odd name"])
def test_reads_what_was_written(tmp_path: Path, digits: NDArray[np.uint8], name: str) -> None:
    path = tmp_path / name
    data = idx_bytes(digits)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert is_idx(path)
    np.testing.assert_array_equal(read_idx(path), digits)


def test_folder_gives_image_files_alone(tmp_path: Path, digits: NDArray[np.uint8]) -> None:
    for name in ("a-images-IDX3-ubyte.gz", "b-images.idx3-ubyte", "a-labels-idx1-ubyte.gz", "notes.txt"):
        (tmp_path / name).write_bytes(idx_bytes(digits))
    stored = find_stored("--images", [tmp_path], Loading(size=28))
    assert stored is not None
    np.testing.assert_array_equal(stored.images[..., 0], np.concatenate([digits, digits]))


@pytest.mark.parametrize("packed", [False, True])
def test_truncated_names_both_byte_counts(tmp_path: Path, digits: NDArray[np.uint8], packed: bool) -> None:
    path = tmp_path / "cut"
    data = idx_bytes(digits)[:100]
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(UsageError, match=r"cut: expected 136 bytes for 5 images of 4x6, found 100 bytes"):
        read_idx(path)


def test_truncated_gzip_stream(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    noise = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)
    path.write_bytes(gzip.compress(idx_bytes(noise))[:4000])
    with pytest.raises(UsageError, match=r"cut\.gz: expected 7856 bytes for 10 images of 28x28, found \d{4} bytes"):
        read_idx(path)


@pytest.mark.parametrize("packed", [False, True])
def test_too_long_is_refused(tmp_path: Path, digits: NDArray[np.uint8], packed: bool) -> None:
    path = tmp_path / "long"
    data = idx_bytes(digits) + b"\x00" * 9
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(UsageError, match=r"long: expected 136 bytes for 5 images of 4x6, found (145 bytes|more)"):
        read_idx(path)


def test_bomb_is_not_unpacked(tmp_path: Path, digits: NDArray[np.uint8]) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx_bytes(digits) + bytes(50_000_000)))
    with pytest.raises(UsageError, match="found more"):
        read_idx(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected an idx header of 16 bytes, found 0 bytes"),
        (b"\x00\x00\x08\x03\x00", "expected an idx header of 16 bytes, found 5 bytes"),
        (b"\x00\x00\x08\x01" + bytes(20), r"expected idx images \(magic 00 00 08 03\), found 00 00 08 01"),
        (b"\x00\x00\x08\x03" + bytes(12), "holds no images"),
        (b"\x1f\x8b\x08\x00damaged beyond repair", "damaged gzip data"),
    ],
)
def test_wrong_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "wrong"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_corrupt_gzip_checksum(tmp_path: Path, digits: NDArray[np.uint8]) -> None:
    path = tmp_path / "bad.gz"
    data = bytearray(gzip.compress(idx_bytes(digits)))
    data[-8] ^= 1  # CRC32 of the trailer
    path.write_bytes(data)
    with pytest.raises(UsageError, match="damaged gzip data"):
        read_idx(path)


def test_missing_file(tmp_path: Path) -> None:
    assert not is_idx(tmp_path / "none")
    with pytest.raises(UsageError, match="none: cannot be read: No such file"):
        read_idx(tmp_path / "none")
