"""Figures of a run on pictures that it never trains on, the best step so far, and when to stop for want of a better."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate import distributed
from translate.conditions import examples_of
from translate.contract import Batch, Dataset, Direction
from translate.data.loader import fixed_batches
from translate.evaluation.features import RandomFeatures, rows_of
from translate.metrics.bootstrap import Estimate, of_mean, of_sets
from translate.metrics.distances import frechet
from translate.metrics.restoration import Channel, l1, psnr
from translate.preview import to_rgb
from translate.training.engine import Engine, seed_of
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

    Each process judges its share of the batches of samples.
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
        """The figure and its standard error, for metrics.jsonl. All processes must call it together."""
        estimate = self._of_pairs() if self.pairs else self._of_sets()
        return {f"eval/{self.metric}": round(estimate.value, 6), f"eval/{self.metric}_error": round(estimate.error, 6)}

    def _of_pairs(self) -> Estimate:
        def values(result: Tensor, target: Tensor) -> np.ndarray:
            colour: Channel = "y" if result.shape[1] in (1, 3) else "rgb"
            border = self.direction.scale
            found = psnr(result, target, border=border, channel=colour) if self.higher else l1(result, target)
            return found.clamp(max=100).numpy()  # a result that equals its target has an infinite PSNR

        found = (values(result, samples[self.direction.outputs]) for result, samples in self._results())
        return of_mean(self._of_all_processes(found).tolist())

    def _of_sets(self) -> Estimate:
        assert self._rows is not None
        rows = self._rows
        fakes = self._of_all_processes(rows(to_rgb(result)) for result, _ in self._results())
        if self._reals is None:
            batches = fixed_batches(self.dataset, MOST, self.seed, AT_ONCE, self._share)
            self._reals = self._of_all_processes(rows(to_rgb(x[self.direction.outputs])) for x in batches)
        first, second = (each.astype(np.float64) for each in (fakes, self._reals))
        sizes = len(first), len(second)
        return of_sets(lambda i, j: frechet(first[i], second[j]), sizes, frechet(first, second), draws=DRAWS)

    @property
    def _share(self) -> slice:
        """Which of the batches are this process's."""
        return slice(self.engine.world.rank, None, self.engine.world.size)

    def _of_all_processes(self, own: Iterable[np.ndarray]) -> np.ndarray:
        """One row for each sample, in their order, from an array for each of this process's batches."""
        by_rank = distributed.gather_arrays(list(own), self.engine.world)
        return np.concatenate([rows for turn in zip_longest(*by_rank) for rows in turn if rows is not None])

    def _results(self) -> Iterator[tuple[Tensor, Mapping[str, Tensor]]]:
        """What the direction gives for each sample of this process's, on the CPU, and these samples."""
        engine, direction = self.engine, self.direction
        for number, samples in enumerate(fixed_batches(self.dataset, MOST, self.seed, AT_ONCE, self._share)):
            count = len(next(iter(samples.values())))
            batch = number * engine.world.size + engine.world.rank
            generator = torch.Generator().manual_seed(seed_of(self.seed, "held out", batch))
            x = {**samples, **direction.latents(count, generator)}
            x |= examples_of(direction, x, count)
            given = Batch({name: x[name].to(engine.device) for name in direction.arguments})
            with torch.inference_mode(), engine.averages.in_place_of(engine.nets) as nets:
                yield direction.run(nets, given).float().cpu(), samples
