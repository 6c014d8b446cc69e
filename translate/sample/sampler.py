"""Drawing from a trained model: deterministic, independent of how many are drawn at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from translate.conditions import rows_of, sweep_of
from translate.contract import Batch, Direction, Noise
from translate.errors import UsageError
from translate.modelfile.model import Published
from translate.sample.options import STEPS

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """What is drawn from a model, and how; all that it draws is float (N, C, H, W) in [-1, 1], on the CPU.

    ``seed``: of the latents; the k-th depends on it and on k alone, not on how many there are. ``direction``: which
    sampler, if there are several; unless it is given, the first that has all conditions of ``settings``, which are by
    name and as ``--set`` has them. With ``all`` for one of them, everything is drawn for each of its choices, choice by
    choice, from the same latents; with ``A..B``, for ``steps`` values from one to the other. ``steps`` is also the
    number of pictures from one latent to the next. ``batch``: pictures drawn at once, which changes rounding at most.

    Raises ``UsageError`` where the model has no sampling direction or none of that name, and for wrong settings.
    """

    model: Published
    seed: int = 0
    direction: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    steps: int = STEPS
    batch: int = 64
    device: torch.device = CPU

    @cached_property
    def chosen(self) -> Direction:
        """The direction that draws."""
        first = self.model.direction(self.direction, latent=True)
        if self.direction is not None:
            return first
        samplers = (each for each in self.model.directions if each.latent is not None)
        return next((each for each in samplers if self.settings.keys() <= each.conditions.keys()), first)

    @cached_property
    def rows(self) -> list[dict[str, Tensor]]:
        """The conditions of one picture, for each value of the condition that is varied; one row where none is."""
        return rows_of(self.chosen, self.settings, self.steps)

    def sample(self, count: int) -> Tensor:
        """``count`` pictures in each row, row by row."""
        return torch.cat(list(self.batches(count)))

    def batches(self, count: int) -> Iterator[Tensor]:
        """The pictures of ``sample``, at most ``batch`` at a time, for more of them than memory holds."""
        if count < 1:
            raise UsageError(f"-n {count}: expected 1 or more")
        return self._each_row(latents(self.chosen, count, self.seed))

    def interpolate(self, walks: int) -> Iterator[Tensor]:
        """``walks`` lines of ``steps`` pictures each between two latents, at most ``batch`` pictures at a time.

        Normal latents are interpolated along the great circle (White, 2016), whose points are as likely as its ends;
        uniform ones along the straight line.
        """
        if walks < 1 or self.steps < 2:
            raise UsageError(
                f"--interpolate: expected 1 walk or more of 2 steps or more, found {walks} of {self.steps}"
            )
        noise, shares = noise_of(self.chosen), torch.linspace(0, 1, self.steps)
        ends = latents(self.chosen, 2 * walks, self.seed)
        pairs = {name: zip(z[0::2], z[1::2], strict=True) for name, z in ends.items()}
        lines = {name: torch.cat([between(noise, *pair, shares) for pair in each]) for name, each in pairs.items()}
        return self._each_row(lines)

    def walk(self, count: int, *, loop: bool = True) -> Iterator[Tensor]:
        """Frames on the way through the first ``count`` latents, ``steps`` from one to the next.

        ``loop``: from the last one on to the first, whose frame is not repeated. A condition ``A..B`` takes the whole
        time for its own way, which ends where it began in a loop; with a single latent it alone moves.
        """
        values, sweep = self.rows, sweep_of(self.chosen, self.settings)
        if sweep is None and len(values) > 1:
            raise UsageError("a walk shows one value of each condition, or several as A..B; expected no 'all'")
        legs = [_legs(count, loop), 0 if sweep is None else _legs(len(sweep.stops), loop)]
        total = self.steps * max(legs)
        if count < 1 or total < 1:
            raise UsageError(f"-n {count}: a walk needs two latents or more, or a condition that goes from A to B")
        shares = torch.arange(total) / total if loop else torch.linspace(0, 1, total + 1)
        drawn = latents(self.chosen, count, self.seed)
        frames = {name: way(noise_of(self.chosen), _closed(z, loop), shares) for name, z in drawn.items()}
        conditions = {name: value.expand(len(shares), *value.shape) for name, value in values[0].items()}
        if sweep is not None:
            conditions[sweep.name] = replace(sweep, stops=_closed(sweep.stops, loop)).at(shares)
        return self._run({**frames, **conditions})

    def mix(self, rows: int, columns: int) -> Tensor:
        """Pictures of two latents each, a grid of 1 + ``rows`` by 1 + ``columns`` of them, row by row.

        Each row has its own first latent and each column its own second one; the first ``rows`` latents of the seed
        are those of the rows, the next ones those of the columns. The first column and the first row show the sources,
        which are mixed with themselves; the corner is white. Raises ``UsageError`` where the sampler has not two
        latents, and for a condition that is varied.
        """
        names = self.chosen.input_names
        if len(names) != 2:
            raise UsageError(f"--mix: expected a sampler of two latents; {self.chosen.name} draws from {len(names)}")
        if len(self.rows) > 1:
            raise UsageError("--mix: its rows are latents; expected one value of each condition")
        z = latents(replace(self.chosen, inputs=names[0]), rows + columns, self.seed)[names[0]]
        sources = torch.zeros(2, 1 + rows, 1 + columns, dtype=torch.int64)
        sources[:, 1:, :1] = torch.arange(rows)[:, None]
        sources[:, :1, 1:] = rows + torch.arange(columns)
        sources[0, 1:, 1:], sources[1, 1:, 1:] = sources[0, 1:, :1], sources[1, :1, 1:]
        pair = (z[numbers.flatten()] for numbers in sources)
        pictures = torch.cat(list(self._each_row(dict(zip(names, pair, strict=True)))))
        pictures[0] = 1
        return pictures

    def _each_row(self, inputs: Mapping[str, Tensor]) -> Iterator[Tensor]:
        count = len(next(iter(inputs.values())))
        for values in self.rows:
            conditions = {name: value.expand(count, *value.shape) for name, value in values.items()}
            yield from self._run({**inputs, **conditions})

    def _run(self, tensors: Mapping[str, Tensor]) -> Iterator[Tensor]:
        for parts in zip(*(tensor.split(self.batch) for tensor in tensors.values()), strict=True):
            x = Batch(zip(tensors, (part.to(self.device) for part in parts), strict=True))
            with self.model.lock, torch.inference_mode():
                pictures = self.chosen.run(self.model.nets.to(self.device).eval(), x)
            yield pictures.float().cpu()


def mixing(model: Published) -> str:
    """The name of the first sampler of two latents. Raises ``UsageError`` where there is none."""
    samplers = [each for each in model.directions if each.latent is not None]
    if found := next((each.name for each in samplers if len(each.input_names) == 2), None):
        return found
    raise UsageError(f"--mix: {model.path}: {model.plugin} has no sampler that mixes two latents")


def noise_of(direction: Direction) -> Noise:
    """The distribution that a sampler draws from."""
    assert direction.latent is not None
    return direction.latent


def latents(direction: Direction, count: int, seed: int) -> dict[str, Tensor]:
    """``count`` latents, (count, \\*shape), for each input of a sampler. The k-th depends on ``seed`` and k alone."""
    generator = torch.Generator().manual_seed(seed)
    each = [direction.latents(1, generator) for _ in range(count)]
    return {name: torch.cat([drawn[name] for drawn in each]) for name in direction.input_names}


def between(noise: Noise, start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """The latents at ``shares`` (T,), in [0, 1], of the way from ``start`` to ``end``, each of the noise's shape."""
    share = shares.reshape(-1, *[1] * start.dim())
    if noise.distribution == "uniform":
        return torch.lerp(start, end, share)
    cosine = torch.nn.functional.cosine_similarity(start.flatten(), end.flatten(), dim=0).clamp(-1, 1)
    angle = cosine.acos()
    if angle.sin().abs() < 1e-6:  # parallel: every great circle, or none, goes through both
        return torch.lerp(start, end, share)
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)


def way(noise: Noise, keys: Tensor, shares: Tensor) -> Tensor:
    """The latents at ``shares`` (T,), in [0, 1], of the way through ``keys``, (K, \\*shape), which all take as long."""
    places = shares * (len(keys) - 1)
    starts = places.floor().long().clamp(0, max(0, len(keys) - 2))
    legs = [
        between(noise, keys[start], keys[min(start + 1, len(keys) - 1)], places[starts == start] - start)
        for start in starts.unique().tolist()
    ]
    return torch.cat(legs)


def _legs(stops: int, loop: bool) -> int:
    return stops if loop and stops > 1 else stops - 1


def _closed(stops: Tensor, loop: bool) -> Tensor:
    return torch.cat([stops, stops[:1]]) if loop and len(stops) > 1 else stops
