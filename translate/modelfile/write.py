"""Writing safetensors files: a model with its card, or the tensors of a run.

The writer is ours: that of the safetensors package leaves a file of full size behind where it is killed, and closed to
all but its owner. Equal tensors give equal bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from translate.contract import DataSpec, Direction, Source, TaskModel
from translate.fields import map_paths
from translate.files import write_whole
from translate.modelfile.card import METADATA_KEY, Card, ConditionRecord, DirectionRecord, LatentRecord, Weights
from translate.modelfile.header import CHECKSUM_KEY, NO_CHECKSUM, ModelFileError
from translate.plugins import origin
from translate.settings import Precision

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The types that are written, by safetensors' names."""


def save_published(
    path: Path,
    *,
    plugin: str,
    task: TaskModel,
    data: DataSpec,
    tensors: Mapping[str, Tensor],
    weights: Weights,
    step: int,
    precision: Precision = "fp32",
    init: Sequence[str] = (),
    source: Source | None = None,
    offered: Sequence[str] | None = None,
) -> None:
    """Write the model file, whole or not at all; equal inputs give equal bytes.

    ``tensors``: state of the networks by ``role.key``; roles that no direction needs are left out. ``init``: the names
    of the files that training started from. ``source``: where its pictures came from. ``offered``: names of the
    directions that the file offers; all of the task model's if None.
    """
    directions = [d for d in task.directions(data) if offered is None or d.name in offered]
    roles = {role for direction in directions for role in direction.roles}
    distribution, version = origin(plugin)
    assert precision != "auto"
    card = Card(
        plugin=plugin,
        distribution=distribution,
        version=version,
        model=settings_of(task),
        data=data,
        directions=tuple(describe(direction) for direction in directions),
        weights=weights,
        step=step,
        precision=precision,
        init=tuple(init),
        source={} if source is None else preparation(source),
    )
    write_card(path, card, {k: v for k, v in tensors.items() if k.partition(".")[0] in roles})


def write_card(path: Path, card: Card, tensors: Mapping[str, Tensor]) -> None:
    """Write a card and its tensors as one safetensors file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {METADATA_KEY: card.to_json()})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all, with a checksum of it in its metadata.

    One tensor at a time is copied to the host, so that the file costs no second copy of them all.
    """
    write_whole(path, lambda temporary: stream(temporary, tensors, metadata))


def stream(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file in place, as the callback of ``write_whole``."""
    # Larger elements first, so that every tensor is aligned; then by name.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    place = 0
    for name in names:
        tensor = tensors[name]
        if tensor.dtype not in DTYPES:
            kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
            found = str(tensor.dtype).removeprefix("torch.")
            raise ModelFileError(f"tensor {name} is of type {found}; a safetensors file of ours holds {kinds}")
        end = place + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [place, end]}
        place = end
    # The checksum has a fixed length, so the header is as long with it as with zeros in its place.
    header["__metadata__"][CHECKSUM_KEY] = NO_CHECKSUM
    start = _header_bytes(header)
    with path.open("wb") as file:
        file.write(start)
        digest = hashlib.blake2b(start, digest_size=16)
        for part in _parts(tensors, names):
            file.write(part)
            digest.update(part)
        header["__metadata__"][CHECKSUM_KEY] = digest.hexdigest()
        file.seek(0)
        file.write(_header_bytes(header))


def _parts(tensors: Mapping[str, Tensor], names: Sequence[str]) -> Iterator[memoryview]:
    for name in names:
        flat = tensors[name].detach().to("cpu", memory_format=torch.contiguous_format).contiguous().reshape(-1)
        yield memoryview(flat.view(torch.uint8).numpy())  # type: ignore[arg-type]


def _header_bytes(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def settings_of(part: TaskModel | Source) -> dict[str, Any]:
    """The fields of a task model or source as JSON values, without paths of this machine: of several, their names."""
    fields = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    without = {
        name: None if isinstance(value, Path) else map_paths(value, lambda path: path.name)
        for name, value in fields.items()
    }
    plain: dict[str, Any] = TypeAdapter(dict[str, Any]).dump_python(without, mode="json")
    return plain


def preparation(source: Source) -> dict[str, Any]:
    """The fields of a source that are no paths: names of folders say nothing of how pictures were prepared."""
    values = {field.name: getattr(source, field.name) for field in dataclasses.fields(source)}
    paths = {name for name, value in values.items() if any(isinstance(part, Path) for part in _parts_of(value))}
    return {name: value for name, value in settings_of(source).items() if name not in paths}


def _parts_of(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def describe(direction: Direction) -> DirectionRecord:
    """A direction as it is recorded: everything but its functions."""
    latent = direction.latent
    return DirectionRecord(
        name=direction.name,
        inputs=direction.input_names,
        outputs=direction.outputs,
        roles=direction.roles,
        multiple=direction.multiple,
        scale=direction.scale,
        margin=direction.margin,
        latent=None if latent is None else LatentRecord(latent.shape, latent.distribution),
        conditions={
            name: ConditionRecord(condition.help, condition.default, condition.choices)
            for name, condition in direction.conditions.items()
        },
        noise=direction.noise,
        sequence=direction.sequence,
    )
