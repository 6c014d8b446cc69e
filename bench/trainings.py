"""Training by gantk's engine and by plain loops alike, which only time ends: bench/quality.py and bench/score.py."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Literal

import reference
import torch

from translate.data.loader import Loader
from translate.device import choose_device, keep_freed_memory
from translate.modelfile.header import FILE_NAME
from translate.modelfile.write import save_published
from translate.training import checkpoint
from translate.training.engine import Engine
from translate.training.opening import open_source
from translate.training.request import Request

Way = Literal["gantk", "plain loop"]


class Training:
    """A model in training, of whose time batches and steps alone count, whichever way it is trained.

    On a CPU that is the process's time on the processor, which other work on the machine does not lengthen.
    ``gantk`` has its setting of the allocator and its choice of a number format; the plain loop has neither, and fp32.
    Schedules run over the request's minutes.
    """

    def __init__(self, request: Request, way: Way) -> None:
        run = request.run
        torch.manual_seed(run.seed)
        self.request, self.seconds = request, 60 * (run.minutes or 0)
        self.spent = 0.0
        """Seconds of training so far."""
        dataset = open_source(request.source, run, request.task.networks)
        self.engine = Engine(request.task, dataset.spec, run, device=choose_device(run.device))
        self.loop = reference.plain_loop(request.plugin, self.engine) if way == "plain loop" else None
        if self.loop is None and self.engine.device.type == "cpu":
            keep_freed_memory()
        self.loader = Loader(dataset, batch=run.batch, seed=run.seed, workers=run.workers, device=self.engine.device)

    def close(self) -> None:
        """End the threads that load pictures."""
        self.loader.close()

    @property
    def steps(self) -> int:
        return self.engine.step if self.loop is None else self.loop.done

    def train(self, until: float) -> None:
        """More steps, until training has taken so many seconds, at most all."""
        step = self.engine.train_step if self.loop is None else self.loop.step
        clock = time.process_time if self.engine.device.type == "cpu" else time.monotonic
        began = clock() - self.spent
        while self.spent < until:
            step(self.loader.next_batch, self.spent / self.seconds)
            self.spent = clock() - began

    def publish(self, out: Path) -> None:
        """Write what has been learnt as a model file into a folder."""
        if self.loop is None:
            self.engine.read()  # which refuses what has diverged
        else:
            self.loop.publish()
        averaged = self.engine.averages if self.loop is None else self.loop.averages
        out.mkdir(parents=True, exist_ok=True)
        save_published(
            out / FILE_NAME,
            plugin=self.request.plugin,
            task=self.request.task,
            data=self.engine.data,
            tensors=checkpoint.published_tensors(self.engine),
            weights="averaged" if averaged else "raw",
            step=self.steps,
            precision=self.engine.precision if self.loop is None else "fp32",
        )


def ways_of(name: str) -> tuple[Way, ...]:
    """How a model can be trained."""
    return ("gantk", "plain loop") if name in reference.LOOPS else ("gantk",)


def train(request: Request, way: Way, out: Path) -> None:
    """A whole training, of as many minutes as the request has."""
    with closing(Training(request, way)) as training:
        training.train(training.seconds)
        training.publish(out)
