"""From a foreign file to a model file of ours: recognise, check, rename, publish."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from translate import plugins
from translate.errors import GantkError, UsageError, shortened
from translate.files import make_folder
from translate.importing.family import Family, Layout, layer_of
from translate.importing.read import ForeignFile, read_file
from translate.importing.registry import families_for
from translate.modelfile.model import build_nets, make_task
from translate.modelfile.write import save_published

SHOWN = 3
"""Differing keys that a refusal names of each kind."""
NEAR = 0.2
"""The share of layers that a file must have in common with a family for their differences to mean anything."""
COUNTERS = "num_batches_tracked"
"""Of batch norm; not saved by PyTorch before 0.4.1, and of no use here."""


@dataclass(frozen=True)
class Imported:
    """What became of a foreign file."""

    family: Family
    layout: Layout
    averaged: bool


def import_weights(source: Path, target: Path, plugin: str | None = None) -> Imported:
    """Write the generator of ``source`` to ``target`` as a model file. ``plugin``: what to take it for, or None.

    Raises ``UsageError`` naming the file, the nearest family and the first keys or shapes that differ.
    """
    file = read_file(source)
    family, layout = recognise(file, plugin)
    try:
        cls = plugins.load(layout.plugin)
        task = make_task(cls, layout.model, source)
        net = build_nets(task, layout.data, [layout.role])[layout.role]
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
        weights="averaged" if file.averaged else "raw",
        step=0,
        offered=[layout.direction, *layout.others],
    )
    return Imported(family, layout, file.averaged)


def recognise(file: ForeignFile, plugin: str | None) -> tuple[Family, Layout]:
    """The family whose layers are those of the file. Raises ``UsageError`` with the nearest one and the difference."""
    families = families_for(plugin)
    if not families:
        known = sorted({name for family in families_for(None) for name in family.plugins})
        raise UsageError(f"--as {plugin}: expected one of {', '.join(known)}")
    candidates = [(family, family.read(file.state, plugin)) for family in families]
    family, layout = max(candidates, key=lambda candidate: _likeness(candidate[1]))
    if _likeness(layout) < NEAR:
        keys = ", ".join(shortened(key) for key in list(file.state)[:SHOWN])
        titles = "; ".join(family.title for family in families)
        raise UsageError(f"{file.path}: not recognised, its keys begin with {keys}; expected {titles}")
    layers = {layer_of(key) for key in layout.state}
    missing = [f"{layer}.weight" for layer in layout.layers if layer not in layers]
    unknown = [key for key in layout.state if layer_of(key) not in layout.layers]
    if layout.problem and not missing:
        raise UsageError(f"{file.path}: looks like {family.title}, but cannot be imported: {layout.problem}")
    _compare(file, family, missing, unknown)
    return family, layout


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
    _compare(file, family, missing, list(state))
    return tensors


def _likeness(layout: Layout) -> float:
    """The share of layers that the state and the family's network have in common."""
    expected, found = set(layout.layers), {layer_of(key) for key in layout.state}
    return len(expected & found) / len(expected | found)


def _compare(file: ForeignFile, family: Family, missing: Sequence[str], unknown: Sequence[str]) -> None:
    if not missing and not unknown:
        return
    parts = [
        f"{len(keys)} {kind} ({', '.join(map(shortened, keys[:SHOWN]))}{', ...' if len(keys) > SHOWN else ''})"
        for kind, keys in (("missing", missing), ("unknown", unknown))
        if keys
    ]
    raise UsageError(f"{file.path}: not recognised; nearest to {family.title}: {' and '.join(parts)}")


def describe(imported: Imported) -> dict[str, object]:
    """What was recognised, as JSON values."""
    layout = imported.layout
    return {
        "family": imported.family.name,
        "plugin": layout.plugin,
        "model": dict(layout.model),
        "data": dataclasses.asdict(layout.data),
        "direction": layout.direction,
        "weights": "averaged" if imported.averaged else "raw",
        "notes": list(layout.notes),
    }
