"""Figures of a run on pictures that it never trains on, the best step so far, and when to stop for want of a better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.conditions import examples_of
from translate.contract import Batch, Dataset, Direction
from translate.data.loader import fixed_batches
from translate.evaluation.features import RandomFeatures, rows_of
from translate.metrics.bootstrap import Estimate, of_mean, of_sets
from translate.metrics.distances import frechet
from translate.metrics.restoration import Channel, l1, psnr
from translate.preview import to_rgb
from translate.training.engine import Engine
from translate.training.layout import BEST

MOST = 256
"""Held-out samples that are looked at: a Frechet distance on 224 random features settles with about as many."""

AT_ONCE = 8
"""Of them, how many go through the networks together."""

HIGHER = ("psnr", "ssim")
"""Figures of which the highest is the best."""

DRAWS = 20
"""Draws of the bootstrap behind an interval."""


@dataclass(frozen=True)
class Best:
    """The best figure so far, after which step, and how many evaluations have come since."""

    value: float
    step: int
    since: int = 0


class Validation:
    """Judges the first direction of a task model on held-out samples, with the moving average where there is one.

    ``metric``: PSNR for super-resolution and L1 for other pairs, which compare each result with its target; else the
    Frechet distance between results and real pictures on random features, whose numbers only compare runs on the same
    pictures.
    """

    def __init__(self, engine: Engine, dataset: Dataset, *, pairs: bool, seed: int) -> None:
        self.engine, self.dataset, self.pairs, self.seed = engine, dataset, pairs, seed
        self.direction: Direction = engine.task.directions(engine.data)[0]
        self.metric = ("psnr" if self.direction.scale > 1 else "l1") if pairs else "frechet"
        self.higher = self.metric in HIGHER
        self.best: Best | None = None
        self._rows = None if pairs else rows_of(RandomFeatures(), engine.device)
        self._reals: np.ndarray | None = None

    def follow(self, record: Mapping[str, Any]) -> bool:
        """Take a record of the run; whether it is that of a new best step."""
        value = record.get(f"eval/{self.metric}")
        if value is None:
            return False
        if self.best is not None and (value <= self.best.value if self.higher else value >= self.best.value):
            self.best = Best(self.best.value, self.best.step, self.best.since + 1)
            return False
        self.best = Best(float(value), int(record["step"]))
        return True

    def line(self, record: Mapping[str, Any]) -> str:
        """The figure of a record with its interval, and the best so far, for people."""
        estimate = Estimate(record[f"eval/{self.metric}"], record[f"eval/{self.metric}_error"])
        best = "" if self.best is None else f"; best {self.best.value:.4g} at step {self.best.step:,} ({BEST})"
        interval = f"{estimate.low:.4g} to {estimate.high:.4g}"
        return f"held out, step {record['step']:,}: {self.metric} {estimate.value:.4g} ({interval}){best}"

    def numbers(self) -> dict[str, float]:
        """The figure and its standard error, for metrics.jsonl."""
        estimate = self._of_pairs() if self.pairs else self._of_sets()
        return {f"eval/{self.metric}": round(estimate.value, 6), f"eval/{self.metric}_error": round(estimate.error, 6)}

    def _of_pairs(self) -> Estimate:
        found: list[float] = []
        for result, samples in self._results():
            target = samples[self.direction.outputs]
            if self.higher:
                colour: Channel = "y" if result.shape[1] in (1, 3) else "rgb"
                values = psnr(result, target, border=self.direction.scale, channel=colour)
            else:
                values = l1(result, target)
            found += values.clamp(max=100).tolist()  # a result that equals its target has an infinite PSNR
        return of_mean(found)

    def _of_sets(self) -> Estimate:
        assert self._rows is not None
        fakes = [self._rows(to_rgb(result)) for result, _ in self._results()]
        if self._reals is None:
            batches = fixed_batches(self.dataset, MOST, self.seed, AT_ONCE)
            self._reals = np.concatenate([self._rows(to_rgb(x[self.direction.outputs])) for x in batches])
        first, second = (rows.astype(np.float64) for rows in (np.concatenate(fakes), self._reals))
        sizes = len(first), len(second)
        return of_sets(lambda i, j: frechet(first[i], second[j]), sizes, frechet(first, second), draws=DRAWS)

    def _results(self) -> Iterator[tuple[Tensor, Mapping[str, Tensor]]]:
        """What the direction gives for each of the held-out samples, on the CPU, and these samples."""
        engine, direction = self.engine, self.direction
        generator = torch.Generator().manual_seed(self.seed)
        for samples in fixed_batches(self.dataset, MOST, self.seed, AT_ONCE):
            count = len(next(iter(samples.values())))
            x = {**samples, **direction.latents(count, generator)}
            x |= examples_of(direction, x, count)
            given = Batch({name: x[name].to(engine.device) for name in direction.arguments})
            with torch.inference_mode(), engine.averages.in_place_of(engine.nets) as nets:
                yield direction.run(nets, given).float().cpu(), samples
