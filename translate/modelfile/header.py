"""The header of a model file, read without torch: what `gantk inspect` shows and what is checked before all else.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON: name, type, shape and place
of every tensor, and text metadata) and the tensors.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Len
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from translate.errors import GantkError, one_line

FORMAT = 2
METADATA_KEY = "gantk"
FILE_NAME = "model.safetensors"
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


Count = Annotated[int, Ge(1), Le(1 << 20)]
"""A side, a scale, a number of channels: more than this is damage."""


class NoiseFields(TypedDict):
    """``translate.contract.Noise`` as JSON."""

    shape: Annotated[list[Count], Len(1, 8)]
    distribution: Literal["normal", "uniform"]


class ConditionFields(TypedDict):
    """``translate.contract.Condition`` as JSON: everything but its function."""

    help: str
    default: str | None
    choices: list[str]


class DirectionFields(TypedDict):
    """``translate.contract.Direction`` as JSON: everything but its function."""

    name: str
    inputs: Annotated[list[str], Len(1, 64)]
    outputs: str
    roles: list[str]
    multiple: Count
    scale: Count
    margin: int | None
    latent: NoiseFields | None
    conditions: dict[str, ConditionFields]
    noise: bool
    sequence: bool


class DataFields(TypedDict):
    """``translate.contract.DataSpec`` as JSON."""

    size: Count
    channels: dict[str, Count]
    names: dict[str, list[str]]
    scale: Count
    indexed: list[str]
    bits: dict[str, Annotated[int, Ge(1), Le(64)]]
    ranges: dict[str, tuple[float, float]]
    hidden: Literal["fill", "white"]


class CardFields(TypedDict):
    """What stands under the metadata key ``gantk``; see ``translate.modelfile.model.Card``."""

    plugin: str
    distribution: str
    version: str
    model: dict[str, Any]
    data: DataFields
    directions: Annotated[list[DirectionFields], Len(1)]
    weights: Literal["raw", "averaged"]
    step: Annotated[int, Ge(0)]
    value_range: tuple[float, float]
    format: Literal[2]


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
            raise ValueError(f"the header tells of {end:,} bytes, the file has {size:,}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path}: not a readable safetensors file ({one_line(error)})") from None
    return Header(path, tensors, metadata)


def read_fields(header: Header) -> CardFields:
    """What a model file says about itself, types and ranges checked. Raises ``ModelFileError``."""
    path = header.path
    if METADATA_KEY not in header.metadata:
        raise ModelFileError(f"{path}: no gantk metadata; convert foreign weights with gantk import")
    try:
        fields = json.loads(header.metadata[METADATA_KEY])
        if fields.get("format") != FORMAT:
            raise ModelFileError(f"{path}: file format {fields.get('format')!r}; this gantk reads format {FORMAT}")
        card: CardFields = TypeAdapter(CardFields).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelFileError(f"{path}: damaged gantk metadata ({where}: {first['msg']})") from None
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path}: damaged gantk metadata ({one_line(error)})") from None
    return card


def _entry(fields: Mapping[str, Any], room: int) -> Entry:
    first, last = fields["data_offsets"]
    shape = tuple(fields["shape"])
    if not (0 <= first <= last <= room) or not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError(f"a tensor of shape {shape} from byte {first} to {last}, of {room} that there are")
    return Entry(str(fields["dtype"]), shape, last - first)


def _wrong_length(length: int, size: int) -> str:
    if length < 0:
        return f"{size} bytes"
    return f"a header of {length:,} bytes in a file of {size:,}"
