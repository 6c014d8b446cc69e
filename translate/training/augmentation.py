"""Augmentation of what the discriminators are shown, real and fake alike, for any model.

It is the engine's and not a model's: a hook before each discriminator transforms its first argument. Random numbers are
drawn for the batch of all processes, of which each takes its share, so that processes and micro-batches change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from translate.contract import Nets
from translate.distributed import World
from translate.errors import UsageError
from translate.layers import ada, diffaug
from translate.settings import Run

ROLE = "ada"
"""The role under which the probabilities of adaptive augmentation are kept."""


class Augmentation:
    """Hooks on the discriminators of one engine, and the random numbers of the update that is running."""

    def __init__(self, nets: Nets, roles: Sequence[str], run: Run, world: World) -> None:
        self.roles = [role for role in roles if role in nets]
        self.batch, self.accumulate = run.batch, run.accumulate
        self.places = world.places(run.batch, run.accumulate)
        self.adaptive, self.target = run.ada, run.ada_target
        if not self.roles:
            raise UsageError(f"--{'ada' if run.ada else 'diffaug'}: this model names no discriminator")
        if run.compile:
            raise UsageError("--compile: augmented discriminators cannot be compiled; expected one or the other")
        self.probabilities = {role: ada.Probability() for role in self.roles} if self.adaptive else {}
        if self.adaptive:
            nets[ROLE] = nn.ModuleDict(self.probabilities)
        self._seed: Callable[[str, int], int] = lambda role, call: 0
        self._part = 0
        self._silent: dict[str, bool] = {}
        self._calls = dict.fromkeys(self.roles, 0)
        for role in self.roles:
            nets[role].register_forward_pre_hook(self._hook(role))

    def begin(self, seed: Callable[[str, int], int], part: int) -> None:
        """A loss is about to run on a micro-batch; ``seed``: of a discriminator's call of that number."""
        self._seed, self._part, self._calls = seed, part, dict.fromkeys(self.roles, 0)

    def follow(self, updates: Sequence[str], values: Mapping[str, Tensor]) -> None:
        """Move the probabilities of the discriminators that were just updated, if the phase reports how they judge."""
        for role, probability in self.probabilities.items():
            if role in updates:
                self._silent.setdefault(role, True)
            if role in updates and f"{role}_sign" in values:
                self._silent[role] = False
                probability.follow(values[f"{role}_sign"], self.batch, self.target)

    def check_reports(self) -> None:
        """Raise ``UsageError`` for an updated discriminator whose judgement of real images no phase reports."""
        for role, silent in self._silent.items():
            if silent:
                raise UsageError(f"--ada: the model does not report the scores of {role} (x.scores)")

    def _hook(self, role: str) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
        def augmented(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            images, *others = arguments
            numbers = ada.NUMBERS if self.adaptive else diffaug.NUMBERS
            u = self._numbers(role, len(images), numbers).to(images.device, non_blocking=True)
            if self.adaptive:
                return ada.ada_augment(images, u, self.probabilities[role].p), *others
            return diffaug.diff_augment(images, u), *others

        return augmented

    def _numbers(self, role: str, count: int, numbers: int) -> Tensor:
        """Uniform numbers for a call on ``count`` images: the micro-batch once, or several times over."""
        call = self._calls[role]
        self._calls[role] += 1
        generator = torch.Generator().manual_seed(self._seed(role, call))
        share = len(self.places) // self.accumulate
        if count % share:
            raise UsageError(f"{role}: augmented discriminators judge whole micro-batches of {share}, found {count}")
        everyones = torch.rand(count // share, self.batch, numbers, generator=generator)
        return everyones[:, self.places].chunk(self.accumulate, 1)[self._part].flatten(0, 1)
