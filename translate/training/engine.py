"""How a step changes the networks: phases become updates. No task model is known by name.

The engine owns micro-batches, freezing, autocast, backward, the gradient average over processes, the optimizers, the
learning rate, the moving averages and the guard against divergence. Randomness inside a step is a function of
(seed, step, phase, turn, rank), so a resumed run needs no generator states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from translate import distributed
from translate.contract import Batch, DataSpec, Nets, Noise, Phase, TaskModel, rate_at
from translate.device import AUTOCAST, captures_graphs, choose_precision
from translate.distributed import World
from translate.errors import GantkError, UsageError
from translate.layers.layout import memory_format
from translate.optimizers import initialise
from translate.settings import Run
from translate.training.augmentation import Augmentation
from translate.training.averages import Averages
from translate.training.initial import load_initial
from translate.training.ledger import Ledger, Outcome, mean_of
from translate.training.recompute import recompute_all
from translate.training.resting import resting

CPU = torch.device("cpu")

Draw = Callable[[], Mapping[str, Tensor]]
"""Gives the next batch, on the device."""


def seed_of(*parts: int | str) -> int:
    """A seed that depends on all parts, in [0, 2**63)."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Engine:
    """Networks, optimizers and averages of one run, and how a step changes them."""

    def __init__(
        self,
        task: TaskModel,
        data: DataSpec,
        run: Run,
        world: World | None = None,
        device: torch.device = CPU,
    ) -> None:
        self.task, self.data, self.run, self.device = task, data, run, device
        self.world = world or World()
        self.places = self.world.places(run.batch, run.accumulate)
        self.precision = choose_precision(run.precision, device, bf16_proven=task.bf16_proven)
        self.phases = tuple(task.phases(data))
        self.step = 0
        self.ledger = Ledger()
        _check_whole_batches(task, run, self.world)

        self.nets = Nets({role: self._build(role, build) for role, build in task.networks(data).items()})
        self.initialised = load_initial(self.nets, run.init)
        augmented = run.diffaug or run.ada
        self.augmentation = Augmentation(self.nets, task.discriminators, run, self.world) if augmented else None
        self.layout = memory_format(self.nets, device, self.precision, training=True)
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
        if run.recompute:
            recompute_all(self.nets, sorted(moved))
        self._parameters = {role: list(self.nets[role].parameters()) for role in self.nets}
        self.optimizers = {role: task.optimizer_of(role, self._parameters[role]) for role in self.nets if role in moved}
        self._base_lr = {role: [g["lr"] for g in opt.param_groups] for role, opt in self.optimizers.items()}
        self.averages = Averages(self.nets, task.averaged if run.decay else (), run.decay)
        scaled = self.precision == "fp16"
        self.scalers = {phase.name: torch.amp.GradScaler(device.type, enabled=scaled) for phase in self.phases}
        # Torch adds up the gradients of micro-batches wrongly when they lie in a graph's memory (pytorch issue 169545),
        # and what a phase sends to other processes is no part of a graph.
        alone = run.accumulate == 1 and self.world.size == 1
        self._replayed = run.compile and alone and captures_graphs(device)
        self._losses = {phase.name: self._runner(phase) for phase in self.phases}

    def _build(self, role: str, build: Callable[[], nn.Module]) -> nn.Module:
        # One seed per role: adding a role does not change how the others start.
        torch.manual_seed(seed_of(self.run.seed, "init", role))
        net = build()
        if self.task.weight_init != "paper" and any(role in phase.updates for phase in self.phases):
            initialise(net, self.task.weight_init)
        return net

    def _runner(self, phase: Phase) -> Callable[[dict[str, Tensor]], Outcome]:
        def run(tensors: dict[str, Tensor]) -> Outcome:
            x = Batch(tensors)
            terms = dict(phase.loss(self.nets, x))
            return terms, x.kept, x.logged, x.observed

        # "reduce-overhead" is torch's name for CUDA graphs.
        mode = "reduce-overhead" if self._replayed else None
        return torch.compile(run, dynamic=False, mode=mode) if self.run.compile else run

    def train_step(self, draw: Draw, progress: float) -> None:
        """One step: every phase that is due, then the moving averages. ``progress``: share of the run that is done."""
        rate = rate_at(self.task, progress)
        if self._replayed:
            # From here on graphs may overwrite what they gave in the last step: nothing of it outlives its step.
            torch.compiler.cudagraph_mark_step_begin()
        due = [phase for phase in self.phases if phase.due(self.step)]
        # All at once, before anything moves: a step whose data cannot be read leaves the state of the step before.
        batches = iter([draw() for _ in range(1 + sum(phase.repeat - 1 for phase in due) if due else 0)])
        parts: list[Batch] = []
        for phase in due:
            for turn in range(phase.repeat):
                if turn or not parts:
                    parts = self._split(next(batches), progress)
                self._set_lr(phase, rate)
                self._update(phase, parts, turn)
        if self.augmentation is not None:
            self.augmentation.check_reports()
        self.averages.update_from(self.nets, self.step)
        self.step += 1

    def _update(self, phase: Phase, parts: list[Batch], turn: int) -> None:
        torch.manual_seed(seed_of(self.run.seed, self.step, phase.name, turn, self.world.rank))
        self._add_noise(phase, parts, turn)
        for role, parameters in self._parameters.items():
            for parameter in parameters:
                parameter.requires_grad_(role in phase.updates)
        scaler, loss = self.scalers[phase.name], self._losses[phase.name]
        outcomes: list[Outcome] = []
        for number, part in enumerate(parts):
            if self.augmentation is not None:
                self.augmentation.begin(partial(seed_of, self.run.seed, self.step, phase.name, turn), number)
            with self._autocast():
                terms, kept, logged, observed = loss(dict(part))
            if not terms:
                raise GantkError(f"phase {phase.name} returned no loss terms")
            part.update(kept)
            total = torch.stack([term.float() for term in terms.values()]).sum() / len(parts)
            scaler.scale(total).backward()
            outcomes.append((terms, kept, logged, observed))
        terms, logged = mean_of(outcomes)
        self.ledger.add(self.step, phase.name, terms, logged, self._apply(phase, scaler))
        if phase.after is not None or self.augmentation is not None:
            observed = {name: torch.stack([o[3][name] for o in outcomes]).mean(0) for name in outcomes[0][3]}
            self._call_after(phase, {**terms, **logged, **observed})

    @torch.no_grad()
    def _call_after(self, phase: Phase, values: dict[str, Tensor]) -> None:
        flat = torch.cat([value.reshape(-1) for value in values.values()])
        parts = distributed.average(flat, self.world).split([value.numel() for value in values.values()])
        averaged = {name: part.reshape(value.shape) for (name, value), part in zip(values.items(), parts, strict=True)}
        if phase.after is not None:
            phase.after(self.nets, averaged)
        if self.augmentation is not None:
            self.augmentation.follow(phase.updates, averaged)

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
        if self.run.clip is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.run.clip, norm)
        for optimizer in optimizers:
            scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        scaler.update()
        return norm.detach().float()

    def _split(self, tensors: Mapping[str, Tensor], progress: float) -> list[Batch]:
        clock = {
            "step": torch.full((), self.step, device=self.device),
            "progress": torch.full((), progress, device=self.device),
        }
        placed = {
            name: tensor.contiguous(memory_format=self.layout) if tensor.dim() == 4 else tensor
            for name, tensor in tensors.items()
        }
        columns = {name: tensor.chunk(self.run.accumulate) for name, tensor in placed.items()}
        return [
            Batch({**{name: chunks[i] for name, chunks in columns.items()}, **clock})
            for i in range(self.run.accumulate)
        ]

    def _add_noise(self, phase: Phase, parts: list[Batch], turn: int) -> None:
        for name, noise in phase.noise.items():
            for part, z in zip(parts, self._noise(noise, phase.name, name, turn), strict=True):
                part[name] = z

    def _noise(self, noise: Noise, phase: str, name: str, turn: int) -> Iterator[Tensor]:
        # Drawn for the batch of all processes, of which each takes its share: the number of processes and of
        # micro-batches changes nothing.
        generator = torch.Generator().manual_seed(seed_of(self.run.seed, self.step, phase, name, turn))
        share = noise.draw(self.run.batch, generator)[self.places]
        return iter(share.to(self.device, non_blocking=True).chunk(self.run.accumulate))

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        dtype = AUTOCAST.get(self.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def _set_lr(self, phase: Phase, rate: float) -> None:
        for role in phase.updates:
            for group, base in zip(self.optimizers[role].param_groups, self._base_lr[role], strict=True):
                group["lr"] = base * rate * phase.rate

    def read(self) -> dict[str, float]:
        """Mean values since the last reading. Raises ``DivergedError``; call it before anything is saved."""
        return self.ledger.read(self.world, norms_may_overflow=self.precision == "fp16")

    def rehearse(self, tensors: Mapping[str, Tensor], turn: int) -> dict[str, float]:
        """What the phases would log for a micro-batch, by ``phase/name``. Nothing moves, in weights or in state.

        The networks are in eval mode, and noise depends on ``turn`` alone. All processes must call it together.
        """
        x = Batch({name: tensor.to(self.device) for name, tensor in tensors.items()})
        count = len(next(iter(tensors.values())))
        x["step"], x["progress"] = torch.full((), self.step, device=self.device), torch.zeros((), device=self.device)
        state = {name: buffer.clone() for name, buffer in self.nets.named_buffers()}
        found: dict[str, float] = {}
        with resting(self.nets) as nets:
            for phase in self.phases:
                if phase.every > 1 or not phase.due(self.step):
                    continue
                seed = seed_of(self.run.seed, "rehearsal", phase.name, turn)
                torch.manual_seed(seed)
                generator = torch.Generator().manual_seed(seed)
                for name, noise in phase.noise.items():
                    x[name] = noise.draw(count, generator).to(self.device)
                if self.augmentation is not None:
                    self.augmentation.begin(partial(seed_of, seed), 0)
                with torch.enable_grad(), self._autocast():  # penalties take gradients
                    phase.loss(nets, x)
                found |= {f"{phase.name}/{name}": value.item() for name, value in x.logged.items()}
                x.logged.clear()
        for name, buffer in self.nets.named_buffers():
            buffer.copy_(state[name])
        return found

    def try_directions(self, tensors: Mapping[str, Tensor]) -> None:
        """Run every direction once, so that no run ends in a model that cannot be used. Raises ``GantkError``."""
        for direction in self.task.directions(self.data):
            x = Batch({name: tensors[name][:2].to(self.device) for name in direction.arguments})
            with torch.inference_mode(), self._autocast(), self.averages.in_place_of(self.nets) as nets:
                output = direction.run(nets, x)
            if output.dim() != 4 or not bool(torch.isfinite(output).all()):
                shape = tuple(output.shape)
                raise GantkError(f"direction {direction.name}: expected finite pictures (N, C, H, W), found {shape}")

    def preview(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The task model's preview columns, on the CPU, from fixed tensors."""
        x = Batch({name: tensor.to(self.device) for name, tensor in tensors.items()})
        torch.manual_seed(seed_of(self.run.seed, "preview"))
        with torch.inference_mode(), self._autocast(), self.averages.in_place_of(self.nets) as nets:
            return {name: image.float().cpu() for name, image in self.task.preview(nets, x, self.data).items()}


def _check_whole_batches(task: TaskModel, run: Run, world: World) -> None:
    """Neither micro-batches nor processes may divide a batch whose samples are compared."""
    if not task.compares_samples:
        return
    compares = f"{type(task).__name__} compares the samples of a whole batch"
    if run.accumulate > 1:
        raise UsageError(f"--accumulate {run.accumulate}: {compares}; expected 1")
    if world.size > 1:
        raise UsageError(f"{compares}, which {world.size} processes would divide; expected one process")


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
