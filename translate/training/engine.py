"""The only training loop: phases become updates. It knows no task model by name.

The engine owns micro-batches, freezing, autocast, backward, the gradient average over processes, the optimizers, the
learning rate, the moving averages and the guard against divergence. Randomness inside a step is a function of
(seed, step, phase, turn, rank), so a resumed run needs no generator states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from translate import distributed
from translate.contract import Batch, DataSpec, Nets, Noise, Phase, TaskModel
from translate.device import AUTOCAST, captures_graphs, memory_format
from translate.distributed import World
from translate.errors import DivergedError, GantkError
from translate.settings import Precision
from translate.training.averages import Averages
from translate.training.recompute import checkpoint_all

Draw = Callable[[], Mapping[str, Tensor]]
"""Gives the next batch, on the device."""

Outcome = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]
"""Of one run of a loss: the terms, what it kept, what it logged."""


def seed_of(*parts: int | str) -> int:
    """A seed that depends on all parts, in [0, 2**63)."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass
class Reading:
    """One update's values, still on the device: the terms, then what was logged, then the gradient's norm."""

    step: int
    phase: str
    names: tuple[str, ...]
    minimised: int
    values: Tensor


@dataclass
class Ledger:
    """What the updates since the last reading gave. Nothing is copied to the host until it is read."""

    readings: list[Reading] = field(default_factory=list)

    def add(self, step: int, phase: str, outcome: Sequence[Outcome], norm: Tensor) -> None:
        """Note one update, averaged over its micro-batches."""
        terms, _, logged = outcome[0]
        rows = [torch.stack([v.detach().float() for v in (*t.values(), *extra.values())]) for t, _, extra in outcome]
        values = torch.cat([torch.stack(rows).mean(0), norm.reshape(1)])
        self.readings.append(Reading(step, phase, (*terms, *logged, "grad_norm"), len(terms), values))

    def latest(self) -> dict[str, float]:
        """The values of the latest step, for a display; ``phase/name``."""
        if not self.readings:
            return {}
        last = self.readings[-1].step
        rows = [reading for reading in self.readings if reading.step == last]
        flat = torch.cat([reading.values for reading in rows]).tolist()
        return dict(zip(_labels(rows), flat, strict=True))

    def read(self, world: World, *, norms_may_overflow: bool) -> dict[str, float]:
        """The mean of every value since the last reading, by ``phase/name``, and start anew.

        Raises ``DivergedError`` for the first loss term or gradient that was not finite.
        """
        readings, self.readings = self.readings, []
        if not readings:
            return {}
        flat = distributed.average(torch.cat([reading.values for reading in readings]), world).cpu()
        sums: dict[str, list[float]] = {}
        finite = torch.isfinite(flat).tolist()
        numbers = flat.tolist()
        position = 0
        for reading in readings:
            for index, name in enumerate(reading.names):
                value, good = numbers[position], finite[position]
                position += 1
                is_norm = index == len(reading.names) - 1
                if not good and (index < reading.minimised or (is_norm and not norms_may_overflow)):
                    what = "the gradient" if is_norm else f"term {name}"
                    raise DivergedError(
                        f"training diverged at step {reading.step}: {what} of phase {reading.phase} is {value}"
                    )
                sums.setdefault(f"{reading.phase}/{name}", []).append(value)
        return {name: sum(values) / len(values) for name, values in sums.items()}


def _labels(readings: Sequence[Reading]) -> list[str]:
    return [f"{reading.phase}/{name}" for reading in readings for name in reading.names]


class Engine:
    """Networks, optimizers and averages of one run, and how a step changes them."""

    def __init__(
        self,
        task: TaskModel,
        data: DataSpec,
        *,
        device: torch.device,
        precision: Precision = "fp32",
        seed: int = 0,
        batch: int = 1,
        accumulate: int = 1,
        clip: float | None = None,
        ema: float = 0.999,
        compile_phases: bool = False,
        checkpointing: bool = False,
        world: World | None = None,
    ) -> None:
        self.task, self.data, self.device, self.seed = task, data, device, seed
        self.world = world or World()
        self.batch, self.accumulate, self.clip = batch, accumulate, clip
        self.places = self.world.places(batch, accumulate)
        self.precision: Precision = precision
        self.phases = tuple(task.phases())
        self.step = 0
        self.ledger = Ledger()

        self.nets = Nets({role: self._build(role, build) for role, build in task.networks(data).items()})
        self.layout = memory_format(self.nets, device, precision, training=True)
        self.nets.to(device).to(memory_format=self.layout)
        _check_roles(task, self.phases, self.nets)
        distributed.broadcast(self.nets, self.world)
        moved = {role for phase in self.phases for role in phase.updates}
        self.constants = tuple(
            role for role, net in self.nets.items() if role not in moved and any(True for _ in net.parameters())
        )
        for role in self.constants:
            self.nets[role].requires_grad_(False).eval()
        distributed.synchronise_batch_norm(self.nets, self.world)
        if checkpointing:
            checkpoint_all(self.nets, sorted(moved))
        self._parameters = {role: list(self.nets[role].parameters()) for role in self.nets}
        self.optimizers = {role: task.optimizer(role, self._parameters[role]) for role in self.nets if role in moved}
        self._base_lr = {role: [g["lr"] for g in opt.param_groups] for role, opt in self.optimizers.items()}
        self.averages = Averages(self.nets, task.averaged if ema else (), ema)
        scaled = precision == "fp16"
        self.scalers = {phase.name: torch.amp.GradScaler(device.type, enabled=scaled) for phase in self.phases}
        # Torch adds up the gradients of micro-batches wrongly when they lie in a graph's memory (pytorch issue 169545),
        # and what a phase sends to other processes is no part of a graph.
        alone = accumulate == 1 and self.world.size == 1
        self._replayed = compile_phases and alone and captures_graphs(device)
        self._losses = {phase.name: self._runner(phase, compile_phases) for phase in self.phases}

    def _build(self, role: str, build: Callable[[], nn.Module]) -> nn.Module:
        # One seed per role: adding a role does not change how the others start.
        torch.manual_seed(seed_of(self.seed, "init", role))
        return build()

    def _runner(self, phase: Phase, compiled: bool) -> Callable[[dict[str, Tensor]], Outcome]:
        def run(tensors: dict[str, Tensor]) -> Outcome:
            x = Batch(tensors)
            terms = dict(phase.loss(self.nets, x))
            return terms, x.kept, x.logged

        # "reduce-overhead" is torch's name for CUDA graphs.
        mode = "reduce-overhead" if self._replayed else None
        return torch.compile(run, dynamic=False, mode=mode) if compiled else run

    def train_step(self, draw: Draw, progress: float) -> None:
        """One step: every phase that is due, then the moving averages. ``progress``: share of the run done."""
        self._set_lr(self.task.lr_at(progress))
        if self._replayed:
            # From here on graphs may write over what they gave in the last step: nothing of it outlives its step.
            torch.compiler.cudagraph_mark_step_begin()
        parts: list[Batch] | None = None
        for phase in self.phases:
            if not phase.due(self.step):
                continue
            for turn in range(phase.repeat):
                if turn or parts is None:
                    parts = self._split(draw(), progress)
                self._update(phase, parts, turn)
        self.averages.update_from(self.nets, self.step)
        self.step += 1

    def _update(self, phase: Phase, parts: list[Batch], turn: int) -> None:
        torch.manual_seed(seed_of(self.seed, self.step, phase.name, turn, self.world.rank))
        self._add_noise(phase, parts, turn)
        for role, parameters in self._parameters.items():
            for parameter in parameters:
                parameter.requires_grad_(role in phase.updates)
        scaler, run = self.scalers[phase.name], self._losses[phase.name]
        outcomes: list[Outcome] = []
        for part in parts:
            with self._autocast():
                terms, kept, logged = run(dict(part))
            if not terms:
                raise GantkError(f"phase {phase.name} returned no loss terms")
            part.update(kept)
            total = torch.stack([term.float() for term in terms.values()]).sum() / len(parts)
            scaler.scale(total).backward()
            outcomes.append((terms, kept, logged))
        self.ledger.add(self.step, phase.name, outcomes, self._apply(phase, scaler))

    def _apply(self, phase: Phase, scaler: torch.amp.GradScaler) -> Tensor:
        """Average, measure and clip the gradient, move the roles; returns the gradient's norm before clipping."""
        parameters = [p for role in phase.updates for p in self._parameters[role]]
        distributed.average_gradients(parameters, self.world)
        optimizers = [self.optimizers[role] for role in phase.updates]
        for optimizer in optimizers:
            scaler.unscale_(optimizer)
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            raise GantkError(f"phase {phase.name}: no gradient reaches {', '.join(phase.updates)}")
        norm = nn.utils.get_total_norm(gradients)
        if self.clip is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.clip, norm)
        for optimizer in optimizers:
            scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        scaler.update()
        return norm.detach().float()

    def _split(self, tensors: Mapping[str, Tensor], progress: float) -> list[Batch]:
        done = torch.full((), progress, device=self.device)
        placed = {
            name: tensor.contiguous(memory_format=self.layout) if tensor.dim() == 4 else tensor
            for name, tensor in tensors.items()
        }
        columns = {name: tensor.chunk(self.accumulate) for name, tensor in placed.items()}
        return [
            Batch({**{name: chunks[i] for name, chunks in columns.items()}, "progress": done})
            for i in range(self.accumulate)
        ]

    def _add_noise(self, phase: Phase, parts: list[Batch], turn: int) -> None:
        for name, noise in phase.noise.items():
            for part, z in zip(parts, self._noise(noise, phase.name, name, turn), strict=True):
                part[name] = z

    def _noise(self, noise: Noise, phase: str, name: str, turn: int) -> Iterator[Tensor]:
        # Drawn for the batch of all processes, of which each takes its share: the number of processes and of
        # micro-batches changes nothing.
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.step, phase, name, turn))
        share = noise.draw(self.batch, generator)[self.places]
        return iter(share.to(self.device, non_blocking=True).chunk(self.accumulate))

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        dtype = AUTOCAST.get(self.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def _set_lr(self, factor: float) -> None:
        for role, optimizer in self.optimizers.items():
            for group, base in zip(optimizer.param_groups, self._base_lr[role], strict=True):
                group["lr"] = base * factor

    def read(self) -> dict[str, float]:
        """Mean values since the last reading. Raises ``DivergedError``; call it before anything is saved."""
        return self.ledger.read(self.world, norms_may_overflow=self.precision == "fp16")

    def preview(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The task model's preview columns, on the CPU, from fixed tensors."""
        x = Batch({name: tensor.to(self.device) for name, tensor in tensors.items()})
        torch.manual_seed(seed_of(self.seed, "preview"))
        with torch.inference_mode(), self._autocast(), self.averages.in_place_of(self.nets) as nets:
            return {name: image.float().cpu() for name, image in self.task.preview(nets, x, self.data).items()}


def _check_roles(task: TaskModel, phases: Sequence[Phase], nets: Nets) -> None:
    """Every role that is named must exist: found before the first image is read, not at step 10,000."""
    name = type(task).__name__
    names = [phase.name for phase in phases]
    if not phases or len(set(names)) != len(names):
        raise GantkError(f"{name}: phases need distinct names, at least one; it has {names}")
    for phase in phases:
        for role in phase.updates:
            if role not in nets:
                raise GantkError(f"{name}: phase {phase.name!r} updates {role!r}, which networks() does not build")
            if not any(True for _ in nets[role].parameters()):
                raise GantkError(f"{name}: phase {phase.name!r} updates {role!r}, which has no parameters")
    for role in task.averaged:
        if role not in nets:
            raise GantkError(f"{name}: averaged role {role!r} is not built by networks()")
