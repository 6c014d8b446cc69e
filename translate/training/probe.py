"""A look at what the networks of a run give for a few fixed samples, as numbers that measure health."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from translate.contract import Batch, Direction, main_directions
from translate.training.engine import Engine
from translate.training.resting import resting

MOST = 16
"""Samples of a look."""

TWIN = 0.05
"""Distance of two results, as a share of that of two real pictures, below which they are nearly the same."""

APART = 0.075
"""How far inputs and real pictures must be apart, of a range of 1, for a copied input to be a fault: a restored
picture hardly differs from what it was made from."""

FULL = 0.99
"""Values beyond which a pixel counts as black or white."""


def probe(engine: Engine, samples: Mapping[str, Tensor]) -> dict[str, float]:
    """Numbers by ``health/<direction>/<name>``, from the networks as they are in training, and ``<phase>/lr``.

    ``contrast``: deviation within the results, as a share of the real pictures'. ``spread``: deviation between the
    results for different samples, likewise. ``twins``: share of the results that nearly equal another one, which real
    pictures do not. ``saturated``: share of the pixels that are black or white, where real
    ones seldom are. ``change`` and ``correlation``: of results with the pictures that they were made from.
    ``average_gap``: mean difference from the results by the moving average, of a range of 2.
    """
    rates = {phase.name: engine.optimizers[phase.updates[0]].param_groups[0]["lr"] for phase in engine.phases}
    found: dict[str, float] = {f"{name}/lr": float(rate) for name, rate in rates.items()}
    for direction in main_directions(engine.task.directions(engine.data)):
        if direction.outputs in engine.data.indexed or any(name not in samples for name in direction.arguments):
            continue
        x = {name: samples[name][:MOST].to(engine.device) for name in direction.arguments}
        with torch.inference_mode():
            with resting(engine.nets) as nets:
                results = direction.run(nets, Batch(x)).float()
            values = dict(_of_results(direction, results, x, samples, engine.data.indexed))
            if any(role in engine.averages for role in direction.roles):
                with engine.averages.in_place_of(engine.nets) as nets:
                    values["average_gap"] = (direction.run(nets, Batch(x)).float() - results).abs().mean()
        found |= {f"health/{direction.name}/{name}": round(value.item(), 6) for name, value in values.items()}
    return found


def _of_results(
    direction: Direction,
    results: Tensor,
    x: Mapping[str, Tensor],
    samples: Mapping[str, Tensor],
    indexed: tuple[str, ...],
) -> Iterator[tuple[str, Tensor]]:
    reals = samples.get(direction.outputs)
    if reals is not None and reals.dim() == 4:
        reals = reals[:MOST].to(results)
        yield "contrast", _contrast(results) / _contrast(reals).clamp_min(1e-3)
        if len(results) > 1 and len(reals) > 1:
            if not direction.conditions:
                yield "spread", results.std(0).mean() / reals.std(0).mean().clamp_min(1e-3)
            twins, real_twins = (_twins(pictures, reals) for pictures in (results, reals))
            yield "twins", torch.where(real_twins > 0, torch.zeros_like(twins), twins)
        full, real = ((pictures.abs() > FULL).float().mean() for pictures in (results, reals))
        yield "saturated", torch.where(real < 0.5, full, torch.zeros_like(full))
    given = x[direction.input_names[0]]
    if direction.latent is None and given.shape == results.shape and direction.input_names[0] not in indexed:
        if reals is None or reals.shape != given.shape or _apart(reals, given) > APART:
            yield "change", _apart(results, given)
        a, b = (pictures.flatten(1) - pictures.flatten(1).mean(1, keepdim=True) for pictures in (results, given))
        yield "correlation", ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-6)).mean()


def _apart(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().mean() / 2


def _twins(pictures: Tensor, reals: Tensor) -> Tensor:
    """The share of the pictures whose nearest neighbour is nearer than ``TWIN`` of the distance of two real ones."""
    apart = torch.pdist(reals.flatten(1)).median()
    distances = torch.cdist(pictures.flatten(1), pictures.flatten(1)).fill_diagonal_(float("inf"))
    return (distances.min(1).values < TWIN * apart).float().mean()


def _contrast(pictures: Tensor) -> Tensor:
    return pictures.flatten(2).std(2).mean()
