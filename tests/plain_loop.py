"""What the tests of a model against a plain loop share: fp64, the noise of each phase, Adam as textbooks have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from translate.contract import DataSpec, TaskModel
from translate.settings import Run
from translate.training.engine import Engine


@contextmanager
def fp64() -> Iterator[None]:
    """Networks, noise and pictures that are made meanwhile are in fp64."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def engine_of(task: TaskModel, spec: DataSpec, batch: int = 4, **settings: Any) -> Engine:
    return Engine(task, spec, Run(batch=batch, seed=3, precision="fp32", **settings))


def images(spec: DataSpec, batch: int = 4, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, spec.channels["image"], spec.size, spec.size, generator=generator) * 2 - 1


def given(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The batch that each run of a phase is given, in order."""
    seen: list[dict[str, Tensor]] = []
    add = engine._add_noise

    def spy(phase: Any, parts: Any, turn: int) -> None:
        add(phase, parts, turn)
        seen.append({name: tensor.clone() for name, tensor in parts[0].items()})

    monkeypatch.setattr(engine, "_add_noise", spy)
    return seen


def adam(net: nn.Module, lr: float = 2e-4, betas: tuple[float, float] = (0.5, 0.999)) -> torch.optim.Optimizer:
    """foreach=False: the textbook loop over parameters, not the fused kernel under test."""
    return torch.optim.Adam(net.parameters(), lr, betas, foreach=False)


def assert_same(ours: nn.Module, plain: nn.Module, tolerance: float = 1e-6) -> None:
    for (name, mine), theirs in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance, msg=lambda text, n=name: f"{n}: {text}")
