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

IMAGE_MAGIC = b"\x00\x00\x08\x03"
"""Unsigned bytes in three dimensions: count, rows, columns."""

HEADER = 16


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
    return start == IMAGE_MAGIC


def find_idx(folder: Path) -> list[Path]:
    """The idx image files that lie directly in the folder, by their usual names (``*idx3-ubyte``, ``.gz`` or not)."""
    named = (path for path in folder.iterdir() if path.name.lower().removesuffix(".gz").endswith("idx3-ubyte"))
    return sorted(path for path in named if path.is_file())


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The images of an idx file, (count, rows, columns) uint8, read-only.

    Raises ``UsageError`` that names the file, with the expected and the found byte counts where it is cut short.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            header, body, whole = _unpack(file.read()) if packed else _split(file.read())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except zlib.error as error:
        raise UsageError(f"{path}: damaged gzip data: {error}") from None
    if len(header) < HEADER:
        raise UsageError(f"{path}: expected an idx header of {HEADER} bytes, found {len(header)} bytes")
    if header[:4] != IMAGE_MAGIC:
        raise UsageError(f"{path}: expected idx images (magic {IMAGE_MAGIC.hex(' ')}), found {header[:4].hex(' ')}")
    shape = struct.unpack(">III", header[4:])
    expected = math.prod(shape)
    if len(body) != expected:
        count, rows, columns = shape
        found = f"{len(body) + HEADER} bytes" if whole else "more"
        wanted = f"{expected + HEADER} bytes for {count} images of {columns}x{rows}"
        raise UsageError(f"{path}: expected {wanted}, found {found}")
    if not expected:
        raise UsageError(f"{path}: holds no images")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _split(data: bytes) -> tuple[bytes, bytes, bool]:
    return data[:HEADER], data[HEADER:], True


def _unpack(data: bytes) -> tuple[bytes, bytes, bool]:
    """Header and body of gzipped data, as far as they go, and whether that was all of it.

    The body is unpacked no further than one byte past what the header promises, so a small file cannot fill memory.
    """
    unpacker = zlib.decompressobj(wbits=31)
    header = unpacker.decompress(data, HEADER)
    expected = math.prod(struct.unpack(">III", header[4:])) if len(header) == HEADER else 0
    body = unpacker.decompress(unpacker.unconsumed_tail, expected + 1)
    return header, body, len(body) <= expected
