"""The header of a model file, read without torch: what `gantk inspect` shows and what is checked before all else.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON: name, type, shape and place
of every tensor, and text metadata) and the tensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.errors import GantkError, one_line

FILE_NAME = "model.safetensors"
CHECKSUM_KEY = "checksum"
"""Metadata key of the BLAKE2b digest (16 bytes, in hexadecimal) of all that follows the header."""
LARGEST_HEADER = 16 << 20
"""Bytes; the header of a network of ten thousand tensors has one."""


class ModelFileError(GantkError):
    """A model file that is missing, damaged, or not what it says it is."""

    exit_code = 2


@dataclass(frozen=True)
class Entry:
    """One tensor: ``dtype`` as safetensors names it, and its bytes."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """The tensors by name, and the metadata."""

    path: Path
    tensors: Mapping[str, Entry]
    metadata: Mapping[str, str]
    length: int
    """Bytes before the tensors."""


def locate(path: Path) -> Path:
    """The model file that a user means: a file, or the one in a run or hub folder."""
    if path.is_dir():
        file = path / FILE_NAME
        if not file.is_file():
            raise ModelFileError(f"{path}: no {FILE_NAME} here; expected a run folder after its first save, or a file")
        return file
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model; expected a run folder or a .safetensors file")
    return path


def read_header(path: Path) -> Header:
    """The header of a safetensors file, checked against the size of the file. Raises ``ModelFileError``."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
            if length < 0 or length > min(LARGEST_HEADER, size - 8):
                if start.startswith((b"\x80", b"PK")):  # a pickle, or a ZIP file with one inside
                    raise ModelFileError(f"{path}: PyTorch weights; gantk import makes a model file of them")
                raise ModelFileError(f"{path}: not a readable safetensors file ({_wrong_length(length, size)})")
            fields = json.loads(file.read(length))
        metadata = fields.pop("__metadata__", {})
        tensors = {name: _entry(fields[name], size - 8 - length) for name in fields}
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("metadata other than text")
        end = 8 + length + sum(entry.bytes for entry in tensors.values())
        if end != size:
            raise ValueError(f"the header describes {end:,} bytes but the file has {size:,}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path}: not a readable safetensors file ({one_line(error)})") from None
    return Header(path, tensors, metadata, 8 + length)


def verify(header: Header) -> bool:
    """Compare the tensors with the checksum; whether there is one. Raises ``ModelFileError`` where they differ."""
    stated = header.metadata.get(CHECKSUM_KEY)
    if stated is None:
        return False
    digest = hashlib.blake2b(digest_size=16)
    try:
        with header.path.open("rb") as file:
            file.seek(header.length)
            while part := file.read(1 << 22):
                digest.update(part)
    except OSError as error:
        raise ModelFileError(f"{header.path}: cannot be read ({one_line(error)})") from None
    if digest.hexdigest() != stated:
        raise ModelFileError(f"{header.path}: damaged: its tensors are not those that its checksum describes")
    return True


def _entry(fields: Mapping[str, Any], room: int) -> Entry:
    first, last = fields["data_offsets"]
    shape = tuple(fields["shape"])
    if not (0 <= first <= last <= room) or not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError(f"a tensor of shape {shape} at bytes {first} to {last} of {room}")
    return Entry(str(fields["dtype"]), shape, last - first)


def _wrong_length(length: int, size: int) -> str:
    if length < 0:
        return f"{size} bytes"
    return f"a header of {length:,} bytes in a file of {size:,}"
