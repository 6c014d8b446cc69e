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

from translate.errors import GantkError, one_line, shortened

FILE_NAME = "model.safetensors"
CHECKSUM_KEY = "checksum"
"""Metadata key of the BLAKE2b digest (16 bytes, in hexadecimal) of the whole file, with zeros in the digest's place."""
NO_CHECKSUM = "0" * 32
LARGEST_HEADER = 16 << 20
"""Bytes; the header of a network of ten thousand tensors has one."""
LONGEST_NAME = 1000
"""Characters of a tensor's name."""
MOST_SIDES = 64
"""PyTorch has no tensor of more."""


class ModelFileError(GantkError):
    """A model file that is missing, damaged, or not what it claims to be."""

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
        if not isinstance(fields, dict):
            raise ValueError("its header is no JSON object")
        metadata = fields.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("metadata other than text")
        tensors = {name: _entry(name, fields[name], size - 8 - length) for name in fields}
        end = 8 + length + sum(entry.bytes for entry in tensors.values())
        if end != size:
            raise ValueError(f"the header describes {end:,} bytes but the file has {size:,}")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: not a readable safetensors file ({one_line(error)})") from None
    return Header(path, tensors, metadata, 8 + length)


def verify(header: Header) -> bool:
    """Compare the file with its checksum; whether it has one. Raises ``ModelFileError`` where they differ."""
    stated = header.metadata.get(CHECKSUM_KEY)
    if stated is None:
        return False
    digest = hashlib.blake2b(digest_size=16)
    try:
        with header.path.open("rb") as file:
            digest.update(_without_checksum(file.read(header.length), stated))
            while part := file.read(1 << 22):
                digest.update(part)
    except OSError as error:
        raise ModelFileError(f"{header.path}: cannot be read ({one_line(error)})") from None
    if digest.hexdigest() != stated:
        raise ModelFileError(f"{header.path}: damaged: its content is not what its checksum describes")
    return True


def _without_checksum(start: bytes, stated: str) -> bytes:
    """The bytes before the tensors as they were when the checksum was computed."""
    field, zeros = (f'"{CHECKSUM_KEY}":"{value}"'.encode() for value in (stated, NO_CHECKSUM))
    return start.replace(field, zeros)


def _entry(name: str, fields: Any, room: int) -> Entry:
    tensor = f"tensor {shortened(name)}"
    if len(name) > LONGEST_NAME:
        raise ValueError(f"{tensor}: a name of {len(name):,} characters")
    keys = ("dtype", "shape", "data_offsets")
    if not isinstance(fields, dict) or not all(key in fields for key in keys):
        raise ValueError(f"{tensor}: expected {', '.join(keys)}")
    dtype, shape, place = (fields[key] for key in keys)
    if not isinstance(dtype, str) or len(dtype) > MOST_SIDES:
        raise ValueError(f"{tensor}: its dtype is no name")
    if not _sizes(shape) or len(shape) > MOST_SIDES:
        raise ValueError(f"{tensor}: its shape is {shortened(json.dumps(shape))}")
    if not _sizes(place) or len(place) != 2 or not place[0] <= place[1] <= room:
        where = " to ".join(map(str, place)) if _sizes(place) else json.dumps(place)
        raise ValueError(f"{tensor}: at bytes {shortened(where)} of {room}")
    return Entry(dtype, tuple(shape), place[1] - place[0])


def _sizes(values: object) -> bool:
    """Whether these are sizes that a file can have."""
    return isinstance(values, list) and all(isinstance(value, int) and 0 <= value < 1 << 63 for value in values)


def _wrong_length(length: int, size: int) -> str:
    if length < 0:
        return f"{size} bytes"
    return f"a header of {length:,} bytes in a file of {size:,}"
