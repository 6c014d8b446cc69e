"""What a trained model must do, straight from the networks and through a file."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from translate import plugins
from translate.contract import Batch, Direction, Nets
from translate.errors import named_line
from translate.modelfile.model import build_nets, load_published, needed_roles
from translate.modelfile.write import save_published
from translate.testing.subject import BATCH, Problem, Skipped, Subject
from translate.testing.watching import Lengths
from translate.training import checkpoint


def directions(subject: Subject) -> Iterator[Problem]:
    """each direction runs with its declared roles alone, at any multiple of its size, each image by itself"""
    for direction in subject.task.directions(subject.data):
        nets = build_nets(subject.task, subject.data, direction.roles).eval()
        size, multiple = subject.data.size // direction.scale, direction.multiple
        height = math.ceil(size / multiple) * multiple
        shapes = [(height, height)] if direction.latent else [(height, height), (height + multiple, height)]
        for shape in shapes:
            x = subject.given(direction, *shape)
            yield from _direction(subject, direction, nets, x, shape)


def _direction(
    subject: Subject, direction: Direction, nets: Nets, x: Batch, shape: tuple[int, int]
) -> Iterator[Problem]:
    where, title = subject.where(direction.run), f"direction {direction.name}"
    with torch.inference_mode():
        try:
            first, again, chance = (_seeded(direction, nets, x, seed) for seed in (0, 0, 1))
            alone = _seeded(direction, nets, Batch({name: tensor[:1] for name, tensor in x.items()}), 0)
        except Exception as error:
            needs = f"{title} to run on {shape[1]}x{shape[0]} pixels with {', '.join(direction.roles)} alone"
            yield Problem(needs, named_line(error), where)
            return
    channels = subject.data.channels.get(direction.outputs)
    side = (subject.data.size, subject.data.size)
    scaled = side if direction.latent else (shape[0] * direction.scale, shape[1] * direction.scale)
    expected = (len(first), channels or first.shape[1], *scaled)
    if tuple(first.shape) != expected:
        yield Problem(f"{title}: shape {expected}", str(tuple(first.shape)), where)
        return
    if not bool(torch.isfinite(first).all()):
        yield Problem(f"{title}: finite pixels", "nan or inf", where)
        return
    if not torch.equal(first, again):
        yield Problem(f"{title}: the same output from the same torch seed", "another", where)
    for place in _lengths(subject, direction, nets, x):
        yield Problem(f"{title}: any number of samples when it is exported: x.shape[0]", "len(x)", place or where)
    difference = (first[:1] - alone).abs().max().item()
    if torch.equal(first, again) and torch.equal(first, chance) and difference > 1e-3:
        yield Problem(f"{title}: an output that the rest of the batch does not change", f"{difference:.2g}", where)
    yield from _shares(direction, nets, x, where)


def _shares(direction: Direction, nets: Nets, x: Batch, where: str) -> Iterator[Problem]:
    """What ``Condition.soft`` declares: the whole of a choice as a share gives what the choice gives."""
    for name, condition in direction.conditions.items():
        if condition.soft is None or not condition.choices:
            continue
        title = f"direction {direction.name}: {name} as shares of the choices, as its condition's soft declares"
        rows = torch.stack([condition.soft(choice) for choice in condition.choices])
        shares = rows[torch.arange(len(x[name])) % len(rows)]
        with torch.inference_mode():
            expected = _seeded(direction, nets, x, 0)
            try:
                found = _seeded(direction, nets, Batch({**x, name: shares}), 0)
            except Exception as error:
                yield Problem(title, named_line(error), where)
                continue
        if found.shape != expected.shape or not torch.allclose(found, expected, atol=1e-3):
            yield Problem(title, "another output than for the choice itself", where)


def _lengths(subject: Subject, direction: Direction, nets: Nets, x: Batch) -> list[str]:
    with torch.inference_mode(), Lengths(subject.code) as lengths:
        direction.run(nets, Batch(x))
    return list(lengths.places)


def _seeded(direction: Direction, nets: Nets, x: Batch, seed: int) -> Tensor:
    torch.manual_seed(seed)  # a direction may draw
    return direction.run(nets, Batch(x))


def preview(subject: Subject) -> Iterator[Problem]:
    """the preview gives columns of images"""
    tensors = dict(subject.tensors)
    for direction in subject.task.directions(subject.data):
        if direction.latent is not None:
            tensors |= subject.given(direction, 0, 0, BATCH)
    for name, column in subject.engine().preview(tensors).items():
        if column.dim() != 4:
            where = subject.where(subject.task.preview)
            yield Problem(f"column {name}: shape (N, C, H, W)", str(tuple(column.shape)), where)


def published(subject: Subject) -> Iterator[Problem]:
    """a published file holds what inference needs, and gives the same pictures"""
    cls = type(subject.task)
    names = [p.name for p in plugins.installed() if p.value == f"{cls.__module__}:{cls.__qualname__}"]
    if not names:
        raise Skipped(f"{cls.__name__} is not registered as an entry point of group {plugins.GROUP}")
    engine = subject.engine()
    subject.train(engine)
    path = subject.folder / "model.safetensors"
    tensors = checkpoint.published_tensors(engine)
    save_published(path, plugin=names[0], task=subject.task, data=subject.data, tensors=tensors, weights="raw", step=1)
    loaded = load_published(path)
    where = subject.where(subject.task.directions)
    needed = set(needed_roles(loaded.directions))
    if set(loaded.nets) != needed:
        yield Problem(f"the roles {sorted(needed)}", str(sorted(loaded.nets)), where)
    for direction, again in zip(subject.task.directions(subject.data), loaded.directions, strict=True):
        side = math.ceil(subject.data.size / direction.scale / direction.multiple) * direction.multiple
        x = subject.given(direction, side, side)
        with torch.inference_mode(), engine.averages.in_place_of(engine.nets) as nets:
            before, after = _seeded(direction, nets, x, 0), _seeded(again, loaded.nets, x, 0)
        if not torch.allclose(before, after, atol=1e-5):
            difference = (before - after).abs().max().item()
            yield Problem(
                f"direction {direction.name}: the same pictures from the file", f"{difference:.2g} off", where
            )
