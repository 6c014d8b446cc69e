"""Whether a discriminator knows its training pictures by heart: its scores of them beside those of held-out ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
from torch import Tensor

from translate.contract import Dataset
from translate.data.loader import fixed_batches
from translate.training.engine import Engine

MOST = 16
"""Samples of each set, or four micro-batches where that is more."""

LEAST = 4
"""Micro-batches of each set, so that their scores have a standard error."""

CERTAIN = 4.0
"""Standard errors by which the scores of both sets must differ."""


class Memory:
    """Compares what the discriminators say of training pictures and of held-out ones, always the same ones."""

    def __init__(self, engine: Engine, training: Dataset, held_out: Dataset) -> None:
        self.engine, self.sets = engine, (training, held_out)

    def numbers(self) -> dict[str, float]:
        """For each discriminator that reports its scores ``health/<role>/memorised``, 0 where the two do not differ.

        (D(train) - D(held out)) / (D(train) - D(fake)), r_v of Karras et al. (2020, eq. 1): 0 where held-out pictures
        are as real as those trained on, 1 where they are no more real than fakes. All processes must call it together.
        """
        training, held_out = (list(self._scores(dataset)) for dataset in self.sets)
        found: dict[str, float] = {}
        for phase in self.engine.phases:
            for role in self.engine.task.discriminators:
                real, fake = f"{phase.name}/{role}_real", f"{phase.name}/{role}_fake"
                if role in phase.updates and real in training[0]:
                    ours, theirs = (np.array([scores[real] for scores in each]) for each in (training, held_out))
                    fakes = np.mean([scores[fake] for scores in training])
                    found[f"health/{role}/memorised"] = round(_share(ours, theirs, float(fakes)), 6)
        return found

    def _scores(self, dataset: Dataset) -> Iterator[Mapping[str, float]]:
        """What each of a few micro-batches logs. Of few samples each is repeated until a micro-batch is full."""
        run = self.engine.run
        size = run.batch // self.engine.world.size // run.accumulate
        distinct = min(size, max(1, min(map(len, self.sets)) // LEAST))
        count = max(LEAST, MOST // size)
        batches = fixed_batches(dataset, count * distinct, run.seed, distinct)
        for turn, samples in enumerate(islice(batches, count)):
            yield self.engine.rehearse({name: _filled(tensor, size) for name, tensor in samples.items()}, turn)


def _share(ours: np.ndarray, theirs: np.ndarray, fake: float) -> float:
    gap, whole = float(ours.mean() - theirs.mean()), float(ours.mean()) - fake
    error = float(np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs)))
    if len(ours) < LEAST or len(theirs) < LEAST or whole <= 0 or gap <= CERTAIN * error:
        return 0.0
    return min(gap / whole, 1.0)


def _filled(tensor: Tensor, count: int) -> Tensor:
    return tensor.repeat(-(-count // len(tensor)), *[1] * (tensor.dim() - 1))[:count]
