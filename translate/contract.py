"""The contract between the engine and a task model.

A task model is a frozen dataclass: its fields are the hyper-parameters, the config keys and the command-line flags, and
its methods are pure. It says which networks there are, which phases a training step has and which directions the
trained model offers; the engine owns time, hardware and state. Image tensors are float (N, C, H, W) in [-1, 1].
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from translate.dataspec import DataSpec as DataSpec
from translate.errors import UsageError
from translate.holdout import Part
from translate.optimizers import SCHEDULE, Moments, Optimizer, Rate, Schedule, Weights, fall, make_optimizer
from translate.reading import STANDARD, Percentiles, Reading
from translate.settings import Run

Terms = Mapping[str, Tensor]
"""Weighted scalar loss terms by name. Their sum is minimised and each of them is logged."""

Networks = Mapping[str, Callable[[], nn.Module]]
"""For each role, how to build its network. Only the roles that a command needs are built."""


class Nets(nn.ModuleDict):
    """The networks by role: ``nets.g_ab(image)``."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        for role in modules:
            if not role.isidentifier() or hasattr(nn.ModuleDict, role):
                raise ValueError(f"role {role!r} cannot be an attribute of Nets; choose another name")
        super().__init__(dict(modules))

    def __getattr__(self, role: str) -> Any:
        return super().__getattr__(role)


class Batch(dict[str, Tensor]):
    """Tensors by name, readable as attributes: ``x.a``, ``x.image``, ``x.label``, ``x.z``.

    Besides what the source and the phase's noise put in, a training batch has ``x.step``, the number of steps done (a
    scalar int64, the unit of ``Phase.start`` and ``stop``), and ``x.progress``, the share of the run that they are (a
    scalar in [0, 1)).
    """

    def __init__(self, tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] = ()) -> None:
        super().__init__(tensors)
        self.kept: dict[str, Tensor] = {}
        self.logged: dict[str, Tensor] = {}
        self.observed: dict[str, Tensor] = {}

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self[name]
        except KeyError:
            have = ", ".join(sorted(self)) or "nothing"
            raise AttributeError(f"the batch has no {name!r}; it has {have}") from None

    def keep(self, **tensors: Tensor) -> None:
        """Put tensors, detached, into the batch: the later phases of this step read them (``x.fake_b``)."""
        for name, tensor in tensors.items():
            self.kept[name] = self[name] = tensor.detach()

    def log(self, **values: Tensor) -> None:
        """Log values that are not minimised, such as D(x); each is reduced to its mean."""
        for name, value in values.items():
            self.logged[name] = value.detach().float().mean()

    def observe(self, **values: Tensor) -> None:
        """Hand tensors of any shape to the phase's ``after``, averaged over micro-batches and processes, not logged."""
        for name, value in values.items():
            self.observed[name] = value.detach().float()

    def scores(self, role: str, *, real: Tensor, fake: Tensor) -> None:
        """Log how the discriminator of a role judges real and generated images, higher meaning more real.

        Besides the means ``<role>_real`` and ``<role>_fake`` there is ``<role>_sign``, the mean sign on real images,
        which adaptive augmentation follows (``--ada``).
        """
        self.log(**{f"{role}_real": real, f"{role}_fake": fake, f"{role}_sign": real.sign()})


@dataclass(frozen=True)
class Noise:
    """Latent noise: ``shape`` of one sample, N(0, 1) or uniform in [-1, 1)."""

    shape: tuple[int, ...]
    distribution: Literal["normal", "uniform"] = "normal"

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """``count`` samples, (count, \\*shape), on the CPU."""
        if self.distribution == "uniform":
            return torch.rand(count, *self.shape, generator=generator) * 2 - 1
        return torch.randn(count, *self.shape, generator=generator)


@dataclass(frozen=True)
class Phase:
    """One kind of move in the game.

    ``updates``: the roles it moves; all others are frozen before the loss runs, so nothing needs ``detach`` or
    ``no_grad``. ``loss``: pure, (nets, batch) -> named, weighted terms. ``every``: runs in one step of so many (lazy
    regularisation). ``repeat``: runs so often per step, each further time on a fresh batch (n_critic). ``start`` and
    ``stop``: first step of the phase, and first step without it (warm-up). ``noise``: drawn afresh for each run of the
    phase and put into the batch by name; later phases of the step see it too. ``rate``: multiplies the learning rates
    of the roles while this phase moves them. ``after``: called once per update, without gradients, with the networks
    and, by name, the phase's terms and its ``x.log`` and ``x.observe`` values, averaged over micro-batches and
    processes. State that training moves is moved here, in buffers of a role: a running mean, a clipped weight, the
    probability of an augmentation. It must not read values on the host.
    """

    name: str
    updates: tuple[str, ...]
    loss: Callable[[Nets, Batch], Terms]
    every: int = 1
    repeat: int = 1
    start: int = 0
    stop: int | None = None
    noise: Mapping[str, Noise] = field(default_factory=dict)
    after: Callable[[Nets, Mapping[str, Tensor]], None] | None = None
    rate: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.updates, str) or not self.updates:
            raise ValueError(f"phase {self.name!r}: updates must be a tuple with at least one role")
        if self.every < 1 or self.repeat < 1 or self.start < 0:
            raise ValueError(f"phase {self.name!r}: every and repeat must be 1 or more, start 0 or more")
        if self.stop is not None and self.stop < self.start:
            raise ValueError(f"phase {self.name!r}: stop ({self.stop}) comes before start ({self.start})")

    def due(self, step: int) -> bool:
        """Whether the phase runs in this step (counted from 0)."""
        return step >= self.start and (self.stop is None or step < self.stop) and (step - self.start) % self.every == 0


@dataclass(frozen=True)
class Condition:
    """What a user chooses at inference besides pictures and noise, such as a class; see `translate.conditions`.

    ``encode``: one sample's tensor of what was written, just as a source gives it in training; raises ``ValueError``
    that says what was expected. ``default``: None where it must be given. ``choices``: all that can be written, where
    these are few. ``soft``: the same in floating point, such as one-hot classes, where ``run`` takes in the place of
    what ``encode`` gives any mixture of two of these as well; None where nothing lies between two values. ``limits``:
    of a number, the least and the greatest.
    """

    help: str
    encode: Callable[[str], Tensor]
    default: str | None = None
    choices: tuple[str, ...] = ()
    soft: Callable[[str], Tensor] | None = None
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Direction:
    """One map that a trained model offers, run by ``gantk infer`` and ``gantk sample``.

    ``inputs``, ``outputs``: batch names of the domains; several inputs are pictures that belong together, matched by
    the stems of their file names. ``roles``: the networks that ``run`` needs; these alone are published. ``run``:
    (nets, x) -> (N, C, H * scale, W * scale) in [-1, 1], from ``x[inputs]``, (N, C, H, W) each. ``multiple``: H and W
    are padded to a multiple of it and the output is cropped back. ``margin``: how many input pixels around a pixel its
    output depends on (half the receptive field; None where it is the whole image), apart from the statistics of
    instance norm. ``latent``: set for samplers, whose ``x[inputs]`` is this noise, drawn for each of several.
    ``conditions``: what else ``run`` reads from the batch, by name, one value for each sample. ``noise``: whether the
    result can be drawn anew with the dropout of training (``gantk infer --sample``). ``sequence``: whether pictures
    come in the order of their names, and what ``run`` keeps is in the next one's batch.
    """

    name: str
    inputs: str | tuple[str, ...]
    outputs: str
    roles: tuple[str, ...]
    run: Callable[[Nets, Batch], Tensor]
    multiple: int = 1
    scale: int = 1
    margin: int | None = None
    latent: Noise | None = None
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    noise: bool = False
    sequence: bool = False

    @property
    def input_names(self) -> tuple[str, ...]:
        """The batch names of what goes in: pictures, or the latent of a sampler."""
        return (self.inputs,) if isinstance(self.inputs, str) else self.inputs

    @property
    def arguments(self) -> tuple[str, ...]:
        """The batch names of all that ``run`` reads: the inputs, then the conditions."""
        return (*self.input_names, *self.conditions)

    def latents(self, count: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """What goes into a sampler: ``count`` latents for each input, on the CPU. Nothing where pictures go in."""
        return {} if self.latent is None else {name: self.latent.draw(count, generator) for name in self.input_names}


@dataclass(frozen=True)
class Loading:
    """How to open a source: the run's settings that concern data."""

    size: int
    strict: bool = False
    workers: int = 0
    cache: Literal["memory", "disk", "device", "off"] = "memory"
    """``device``: the dataset to be returned is a ``CutDataset`` with ``packs``; what cannot be is a ``UsageError``."""
    cache_budget: int = 2 << 30
    """Bytes of decoded images kept in memory, and with ``cache="device"`` on the device."""
    reading: Reading = STANDARD
    """Which files are opened, and how they become pixels."""
    ranges: Mapping[str, tuple[float, float] | Percentiles] = field(default_factory=dict)
    """The numbers that are black and white, by batch name, and under "" for all others."""
    cache_dir: Path | None = None
    """Where ``cache="disk"`` writes; None: a folder of the system's temporary directory."""
    like: DataSpec | None = None
    """Set for held-out data: the training data's spec, whose channels, names and ranges it must have. Of a data set's
    parts, the one for validation or test is then read."""
    part: Part | None = None
    """Which part of the files to open, by their names; None: all. What is read by ``translate.data.pictures`` keeps to
    it."""
    expect: Callable[[DataSpec], object] = lambda spec: None
    """Called by ``open`` once it knows the spec, before pictures are read: here a model refuses what it cannot take."""


class Dataset(ABC):
    """An opened source: scanned, counted, ready to be sampled from any thread."""

    spec: DataSpec

    @abstractmethod
    def __len__(self) -> int:
        """Samples per epoch."""

    @abstractmethod
    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """One sample by batch name, without the batch dimension.

        uint8 and uint16 tensors (C, H, W) are images, which the loader turns into float in [-1, 1] after the transfer;
        all others pass as they are. Everything random comes from ``rng``, which depends on (seed, epoch, index) alone.
        """

    def on_device(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """A last step on a whole training batch, already on its device as floats: what is cheaper there.

        Everything random comes from ``seed``, another one for each batch.
        """
        return batch

    def for_preview(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """The same for a preview's batch, of floats on the CPU: what makes the model's input, but no augmentation."""
        return batch


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Flags that name the data. Its fields are command-line flags and config keys, as a task model's are."""

    pairs: ClassVar[bool] = False
    """Whether the pictures of a sample show the same thing, so that a result can be compared with its target."""

    val: Annotated[
        Path | None,
        "held-out data for --evaluate-every: a folder laid out as the training data, or their common root "
        "[--val-share of the training data]",
    ] = None

    @abstractmethod
    def open(self, loading: Loading) -> Dataset:
        """Find and check the files, before the first step. Raises ``UsageError`` naming the folder or file at fault."""

    @classmethod
    def example(cls, size: int) -> Dataset:
        """Made-up data as this source gives it, for checks without any files: see ``translate.data.example.MadeUp``.

        Raises ``UsageError`` where the source has none: then ``gantk plugins check`` needs data by ``--config``.
        """
        raise UsageError(f"{cls.__name__} has no example(size): expected data, by --config or as an Example")


@dataclass(frozen=True, kw_only=True)
class TaskModel(ABC):
    """What a plugin provides: hyper-parameters as fields, networks, phases and directions as pure methods."""

    api: ClassVar[int]
    """The plugin API that the class is written for, `translate.API_VERSION` of its day; a plugin must state it."""
    source: ClassVar[type[Source]]
    recipe: ClassVar[Run] = Run()
    """The run settings (batch, size, epochs) that the paper used: the defaults of ``gantk train``."""
    averaged: ClassVar[tuple[str, ...]] = ()
    """Roles whose moving average is kept, previewed and shipped."""
    bf16_proven: ClassVar[bool] = False
    """Whether whole runs in bf16 were shown to end as well as in fp32; then ``--precision auto`` may choose it."""
    discriminators: ClassVar[tuple[str, ...]] = ("d",)
    """Roles that judge images, where the model has them: ``--lr-d``, ``--diffaug`` and ``--ada`` concern these."""
    compares_samples: ClassVar[bool] = False
    """Whether a loss compares the samples of a batch (minibatch discrimination, a relativistic average): then two
    halves are not one batch, and ``--accumulate`` and several processes are refused."""

    lr: Rate = 2e-4
    betas: Moments = (0.5, 0.999)
    lr_d: Annotated[float | None, "learning rate of the discriminators [that of the others]", Gt(0)] = None
    optimizer: Annotated[Optimizer, "optimizer of all networks; betas are its moments or momentum"] = "adam"
    weight_decay: Annotated[float, "weight decay", Ge(0)] = 0.0
    lr_schedule: Annotated[Schedule, SCHEDULE] = "paper"
    lr_warmup: Annotated[float, "share of the run in which the learning rate rises from 0", Ge(0), Lt(1)] = 0.0
    weight_init: Annotated[Weights, "initial weights; paper: as the model has them"] = "paper"

    @abstractmethod
    def networks(self, data: DataSpec) -> Networks:
        """For each role, a function that builds its network, initialised, on the CPU.

        A role without parameters is a place for state (an image pool, a running mean) in buffers. A role with
        parameters that no phase updates is a constant, such as a feature network: it is kept in eval mode and built
        anew from its own weights rather than checkpointed. Raise ``UsageError`` where ``data`` cannot be served.
        """

    @abstractmethod
    def phases(self, data: DataSpec) -> Sequence[Phase]:
        """The moves of one training step, in order."""

    @abstractmethod
    def directions(self, data: DataSpec) -> Sequence[Direction]:
        """The maps that the trained model offers; the first is the default."""

    def optimizer_of(self, role: str, params: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of a role that some phase updates, by the settings above unless overridden."""
        lr = self.lr_d if self.lr_d is not None and role in self.discriminators else self.lr
        return make_optimizer(self.optimizer, params, lr, self.betas, self.weight_decay)

    def lr_at(self, progress: float) -> float:
        """The model's own schedule: multiplies every learning rate; ``progress`` is the share of the run that is done,
        in [0, 1)."""
        return 1.0

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """The columns of the preview grid, each (N, C, H, W) in [-1, 1], from a fixed batch: inputs and outputs.

        Of several samplers the first draws them all.
        """
        columns: dict[str, Tensor] = {}
        for direction in main_directions(self.directions(data)):
            if direction.latent is None:
                columns.update({name: x[name] for name in direction.input_names})
            columns[direction.name] = direction.run(nets, x)
        return columns


def main_directions(directions: Sequence[Direction]) -> list[Direction]:
    """All directions but further samplers, which draw the same pictures by other conditions."""
    samplers = [direction for direction in directions if direction.latent is not None]
    return [direction for direction in directions if direction not in samplers[1:]]


def rate_at(task: TaskModel, progress: float) -> float:
    """What multiplies every learning rate: the chosen schedule, after the warm-up."""
    falling = task.lr_at(progress) if task.lr_schedule == "paper" else fall(task.lr_schedule, progress)
    return falling * (min(1.0, progress / task.lr_warmup) if task.lr_warmup else 1.0)


def ramped(x: Batch, steps: int, start: int = 0) -> Tensor | float:
    """A weight that rises from 0 to 1 in the ``steps`` steps of training that follow ``start``: a scalar."""
    return ((x.step - start + 1) / steps).clamp(0.0, 1.0) if steps else 1.0


def linear_decay(progress: float, start: float) -> float:
    """1 until ``start``, then falling in a straight line to 0 at the end of the run."""
    return 1.0 if progress < start else max(0.0, (1.0 - progress) / (1.0 - start))


def parameter_count(module: nn.Module) -> int:
    """Number of trainable and frozen weights."""
    return sum(math.prod(p.shape) for p in module.parameters())
