"""What is examined: a task model, its data, and ways to look on while it trains."""

from __future__ import annotations

import copy
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translate.conditions import examples_of
from translate.contract import Batch, DataSpec, Direction, Nets, Phase, TaskModel, Terms
from translate.data.example import noise_pictures
from translate.distributed import World
from translate.layers.dropout import DROPOUT
from translate.settings import Run
from translate.training.engine import Engine

BATCH = 8
"""Samples per step: two micro-batches, or two processes, of four, the group that minibatch statistics compare."""

COMPARES = "the model compares the samples of a whole batch (compares_samples)"
"""Why a check of parts of a batch is skipped."""

Spy = Callable[[Phase, Nets, Batch], Terms]
"""Runs a phase's loss in its place, and looks on."""

Gradients = list[tuple[str, list[Tensor | None]]]
"""For each update in order: the role, and its parameters' gradients."""


@dataclass(frozen=True)
class Problem:
    """One fault: what was expected, what was found, and the place in the plugin that it concerns."""

    expected: str
    found: str
    where: str = ""

    def __str__(self) -> str:
        return f"expected {self.expected}; found: {self.found}" + (f" ({self.where})" if self.where else "")


class Skipped(Exception):  # noqa: N818 -- not an error
    """Raised by a check that does not apply, with the reason."""


@dataclass(frozen=True)
class Subject:
    """The task model under examination, and what to feed it."""

    task: TaskModel
    data: DataSpec
    tensors: Mapping[str, Tensor]
    """One batch of ``BATCH`` samples."""
    folder: Path
    """An empty folder for the checks' files."""

    def engine(
        self, *, spy: Spy | None = None, log: Gradients | None = None, world: World | None = None, **options: Any
    ) -> Engine:
        """An engine on the task model; ``spy`` runs the losses, ``log`` gets the gradients (and SGD the weights)."""
        task = self.task if spy is None and log is None else copy.copy(self.task)
        if spy is not None:
            phases = [replace(phase, loss=partial(spy, phase)) for phase in task.phases(self.data)]
            object.__setattr__(task, "phases", lambda data: phases)
        if log is not None:
            # Adam's first steps have the size of the rate whatever the gradient's, so they turn rounding into a
            # difference; SGD keeps it what it is.
            object.__setattr__(task, "optimizer_of", partial(_Recorder, log))
        settings = {"precision": "fp32", "batch": BATCH, "size": self.data.size, **options}
        return Engine(task, self.data, Run(**settings), world)

    def train(self, engine: Engine, rounds: int = 1, first: int = 0) -> None:
        """In each round one step at which each phase is due, whenever it begins."""
        phases = [phase for phase in self.task.phases(self.data) if phase.stop is None or phase.stop > phase.start]
        for number in range(first, first + rounds):
            steps = sorted({phase.start + number * phase.every for phase in phases})
            for index, step in enumerate(steps):
                engine.step = step
                engine.train_step(lambda: self.share(engine.world), index / len(steps))

    def share(self, world: World) -> dict[str, Tensor]:
        """A process's part of the batch."""
        return {name: tensor.chunk(world.size)[world.rank].clone() for name, tensor in self.tensors.items()}

    def given(self, direction: Direction, height: int, width: int, count: int = 2) -> Batch:
        """An input for a direction, of its latents or of images of that size."""
        generator = torch.Generator().manual_seed(1)
        conditions = examples_of(direction, self.tensors, count)
        if direction.latent is not None:
            return Batch({**direction.latents(count, generator), **conditions})
        images = {
            name: noise_pictures(self.data, name, count, height, width, generator) for name in direction.input_names
        }
        return Batch({**images, **conditions})

    def where(self, function: object) -> str:
        """``file:line`` of a function of the plugin."""
        function = inspect.unwrap(getattr(function, "__func__", function))  # type: ignore[arg-type]
        code = getattr(function, "__code__", None)
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else self.place

    @property
    def place(self) -> str:
        """``file:line`` of the task model's class."""
        cls = type(self.task)
        try:
            return f"{Path(inspect.getfile(cls)).name}:{inspect.getsourcelines(cls)[1]}"
        except (OSError, TypeError):  # made up at run time
            return cls.__name__

    @property
    def code(self) -> Path:
        """The file of the plugin's module, or the folder of its package."""
        module = sys.modules[type(self.task).__module__]
        top = sys.modules.get(module.__name__.partition(".")[0], module)
        file = Path(getattr(top, "__file__", None) or getattr(module, "__file__", None) or "?")
        return file.parent if file.name == "__init__.py" else file

    def place_of(self, error: Exception) -> str:
        """``file:line`` of the innermost call in the plugin's own module or package, or of the class if none is."""
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if Path(frame.filename).is_relative_to(self.code):
                return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"
        return self.place


class _Recorder(torch.optim.SGD):
    def __init__(self, log: Gradients, role: str, params: list[nn.Parameter]) -> None:
        super().__init__(params, lr=1e-5)
        self.log, self.role = log, role

    def step(self, closure: Any = None) -> Any:
        params = self.param_groups[0]["params"]
        self.log.append((self.role, [None if p.grad is None else p.grad.detach().clone() for p in params]))
        return super().step(closure)


def freeze(nets: nn.Module) -> None:
    """Make the layers deterministic whose training output depends on the batch or on chance: each declares it."""
    for module in nets.modules():
        kind = type(module).__name__
        if isinstance(module, (nn.modules.batchnorm._NormBase, *DROPOUT)) or "Spectral" in kind:
            module.eval()


def unequal(one: Gradients, two: Gradients, expected: str, subject: Subject) -> Iterator[Problem]:
    """A problem for each role whose gradients differ by more than rounding."""
    reported: set[str] = set()
    where = subject.where(subject.task.phases)
    for (role, first), (_, second) in zip(one, two, strict=True):
        pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
        whole = math.sqrt(sum(a.double().square().sum().item() for a, _ in pairs))
        apart = math.sqrt(sum((a.double() - b.double()).square().sum().item() for a, b in pairs))
        if apart > 1e-3 * whole + 1e-12 and role not in reported:
            reported.add(role)
            yield Problem(expected.format(role=f"role {role}"), f"{apart / whole:.1%} apart", where)
