"""From a foreign file to a model file of ours: recognise, check, rename, publish."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translate import plugins
from translate.contract import TaskModel
from translate.errors import GantkError, UsageError
from translate.files import make_folder
from translate.importing.family import Family, Layout
from translate.importing.read import ForeignFile, read_file
from translate.importing.recognise import difference, recognise
from translate.modelfile.model import build_nets, make_task
from translate.modelfile.write import save_published

COUNTERS = "num_batches_tracked"
"""Of batch norm; not saved by PyTorch before 0.4.1, and of no use here."""


@dataclass(frozen=True)
class Imported:
    """What became of a foreign file."""

    family: Family
    layout: Layout
    averaged: bool
    key: str
    """Where in the file it was; "" is all of it."""


def import_weights(source: Path, target: Path, plugin: str | None = None, key: str | None = None) -> Imported:
    """Write the generator of ``source`` to ``target`` as a model file.

    ``plugin``: what to take it for; None: what its tensors say. ``key``: where in the file it is; None: wherever.
    Raises ``UsageError`` naming the file, the nearest family and the first keys or shapes that differ.
    """
    file = read_file(source)
    match = recognise(file, plugin, key)
    family, layout, averaged = match.family, match.layout, match.candidate.averaged
    try:
        task, net = build(layout, source)
    except GantkError as error:
        message = str(error).removeprefix(f"{source}: ")
        raise UsageError(f"{source}: looks like {family.title}, but {message}") from None
    tensors = translate(file, family, layout, net.state_dict())
    make_folder(target.parent, f"--out {target}")
    save_published(
        target,
        plugin=layout.plugin,
        task=task,
        data=layout.data,
        tensors={f"{layout.role}.{key}": tensor for key, tensor in tensors.items()},
        weights="averaged" if averaged else "raw",
        step=0,
        offered=[layout.direction, *layout.others],
    )
    return Imported(family, layout, averaged, match.candidate.key)


def build(layout: Layout, source: Path, model: Mapping[str, Any] | None = None) -> tuple[TaskModel, nn.Module]:
    """The task model and the network that a layout describes. ``model``: hyper-parameters that it does not determine.

    Raises ``GantkError`` for sizes that the model does not have.
    """
    task = make_task(plugins.load(layout.plugin), {**(model or {}), **layout.model}, source)
    return task, build_nets(task, layout.data, [layout.role])[layout.role]


def translate(file: ForeignFile, family: Family, layout: Layout, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under our names, checked against ``own``, the state of the network that is to take them."""
    theirs = {ours: there for there, ours in layout.layers.items()}
    state, tensors, missing = dict(layout.state), {}, []
    for key, tensor in own.items():
        layer, _, name = key.rpartition(".")
        foreign = f"{theirs[layer]}.{name}" if layer in theirs else f"(our {key})"
        if foreign in state:
            tensors[key] = state.pop(foreign)
            if tensors[key].shape != tensor.shape:
                found, expected = tuple(tensors[key].shape), tuple(tensor.shape)
                raise UsageError(
                    f"{file.path}: nearest to {family.title}, but {foreign} has shape {found}; expected {expected}"
                )
        elif name == COUNTERS:
            tensors[key] = torch.zeros((), dtype=torch.long)
        else:
            missing.append(foreign)
    if missing or state:
        differing = difference(missing, list(state))
        raise UsageError(f"{file.path}: not recognised; nearest to {family.title}: {differing}")
    return tensors


def describe(imported: Imported) -> dict[str, object]:
    """What was recognised, as JSON values."""
    layout = imported.layout
    return {
        "family": imported.family.name,
        "key": imported.key,
        "plugin": layout.plugin,
        "model": dict(layout.model),
        "data": dataclasses.asdict(layout.data),
        "direction": layout.direction,
        "weights": "averaged" if imported.averaged else "raw",
        "notes": list(layout.notes),
    }
