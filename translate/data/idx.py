"""The idx format of MNIST and its kin: big-endian header, then raw bytes; plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from translate.errors import UsageError

IMAGES = 3
"""Dimensions of a file of images: count, rows, columns."""

LABELS = 1
"""Dimensions of a file of labels: count."""

_KINDS = {IMAGES: "images", LABELS: "labels"}


def _magic(dimensions: int) -> bytes:
    return bytes((0, 0, 8, dimensions))  # 8: unsigned bytes


def is_idx(path: Path) -> bool:
    """Whether the file starts as idx images do, by itself or inside gzip. Unreadable files are not."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start[:2] == b"\x1f\x8b":
            with gzip.open(path) as file:
                start = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return start == _magic(IMAGES)


def read_idx(path: Path, dimensions: int = IMAGES) -> NDArray[np.uint8]:
    """The images (count, rows, columns) or the labels (count,) of an idx file, uint8, read-only.

    Raises ``UsageError`` that names the file, with the expected and the found byte counts where it is cut short.
    """
    kind, magic, size = _KINDS[dimensions], _magic(dimensions), 4 + 4 * dimensions
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            header, body, whole = _unpack(file.read(), size) if packed else _split(file.read(), size)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except zlib.error as error:
        raise UsageError(f"{path}: damaged gzip data: {error}") from None
    if len(header) < size:
        raise UsageError(f"{path}: expected an idx header of {size} bytes, found {len(header)} bytes")
    if header[:4] != magic:
        raise UsageError(f"{path}: expected idx {kind} (magic {magic.hex(' ')}), found {header[:4].hex(' ')}")
    shape = _shape(header)
    expected = math.prod(shape)
    if len(body) != expected:
        found = f"{len(body) + size} bytes" if whole else "more"
        each = f" of {shape[2]}x{shape[1]}" if dimensions == IMAGES else ""
        raise UsageError(f"{path}: expected {expected + size} bytes for {shape[0]} {kind}{each}, found {found}")
    if not expected:
        raise UsageError(f"{path}: holds no {kind}")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _shape(header: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{(len(header) - 4) // 4}I", header[4:])


def _split(data: bytes, size: int) -> tuple[bytes, bytes, bool]:
    return data[:size], data[size:], True


def _unpack(data: bytes, size: int) -> tuple[bytes, bytes, bool]:
    """Header and body of gzipped data, as far as they go, and whether that was all of it.

    The body is unpacked no further than one byte past what the header promises, so a small file cannot fill memory.
    """
    unpacker = zlib.decompressobj(wbits=31)
    header = unpacker.decompress(data, size)
    expected = math.prod(_shape(header)) if len(header) == size else 0
    body = unpacker.decompress(unpacker.unconsumed_tail, expected + 1)
    return header, body, len(body) <= expected
