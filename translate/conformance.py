"""What every task model must satisfy, one function each. ``translate.testing`` runs them and reports.

A check yields a ``Problem`` for each fault that it finds. It trains through ``translate.engine``, on a task model whose
phases are watched, never on one that is changed.
"""

from __future__ import annotations

import copy
import inspect
import math
import os
import pickle
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translate import checkpoint, plugins
from translate.distributed import World
from translate.engine import Engine
from translate.errors import UsageError
from translate.plugins import API_VERSION
from translate.published import build_nets, load_published, needed_roles, save_published
from translate.task import Batch, DataSpec, Direction, Nets, Phase, TaskModel, Terms

BATCH = 4
"""Samples per step: two micro-batches, or two processes, of two."""

CPU = torch.device("cpu")

Spy = Callable[[Phase, Nets, Batch], Terms]
"""Runs a phase's loss in its place, and looks on."""

Gradients = list[tuple[str, list[Tensor | None]]]
"""For each update in order: the role, and its parameters' gradients."""


@dataclass(frozen=True)
class Problem:
    """One fault: what was expected, what was seen, and the place in the plugin that it concerns."""

    expected: str
    seen: str
    where: str = ""

    def __str__(self) -> str:
        return f"expected {self.expected}; seen: {self.seen}" + (f" ({self.where})" if self.where else "")


class Skipped(Exception):  # noqa: N818 -- not an error
    """Raised by a check that does not apply; says why."""


@dataclass(frozen=True)
class Subject:
    """The task model under examination, and what to feed it."""

    task: TaskModel
    data: DataSpec
    tensors: Mapping[str, Tensor]
    """One batch of ``BATCH`` samples."""
    folder: Path
    """An empty folder for the checks' files."""

    def engine(self, *, spy: Spy | None = None, log: Gradients | None = None, **options: Any) -> Engine:
        """An engine on the task model; ``spy`` runs the losses, ``log`` gets the gradients (and SGD the weights)."""
        task = self.task if spy is None and log is None else copy.copy(self.task)
        if spy is not None:
            phases = [replace(phase, loss=partial(spy, phase)) for phase in task.phases()]
            object.__setattr__(task, "phases", lambda: phases)
        if log is not None:
            # Adam's first steps have the size of the rate whatever the gradient's, so they turn rounding into a
            # difference; SGD keeps it what it is.
            object.__setattr__(task, "optimizer", partial(_Recorder, log))
        return Engine(task, self.data, device=CPU, batch=BATCH, **{"seed": 0, **options})

    def train(self, engine: Engine, rounds: int = 1, first: int = 0) -> None:
        """In each round one step at which each phase is due, whenever it begins."""
        phases = [phase for phase in self.task.phases() if phase.stop is None or phase.stop > phase.start]
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
        if direction.latent is not None:
            return Batch({direction.inputs: direction.latent.draw(count, generator)})
        return Batch({direction.inputs: pictures(self.data, direction.inputs, count, height, width, generator)})

    def where(self, function: object) -> str:
        """``file:line`` of a function of the plugin."""
        function = inspect.unwrap(getattr(function, "__func__", function))  # type: ignore[arg-type]
        code = getattr(function, "__code__", None)
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else type(self.task).__name__


class _Recorder(torch.optim.SGD):
    def __init__(self, log: Gradients, role: str, params: list[nn.Parameter]) -> None:
        super().__init__(params, lr=1e-5)
        self.log, self.role = log, role

    def step(self, closure: Any = None) -> Any:
        params = self.param_groups[0]["params"]
        self.log.append((self.role, [None if p.grad is None else p.grad.detach().clone() for p in params]))
        return super().step(closure)


def pictures(data: DataSpec, name: str, count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Noise as a domain's images, (count, C, height, width): in [-1, 1], or one-hot planes where it is indexed."""
    channels = data.channels[name]
    if name in data.indexed:
        classes = torch.randint(channels, (count, height, width), generator=generator)
        return nn.functional.one_hot(classes, channels).permute(0, 3, 1, 2).float()
    return torch.rand(count, channels, height, width, generator=generator) * 2 - 1


def builds(subject: Subject) -> Iterator[Problem]:
    """networks, phases and directions fit together"""
    task = subject.task
    if task.api != API_VERSION:
        yield Problem(f"api = {API_VERSION}", f"api = {task.api}", type(task).__name__)
    nets = subject.engine().nets
    where = subject.where(task.directions)
    directions = task.directions(subject.data)
    if not directions:
        yield Problem("one direction or more", "none", where)
    names = [direction.name for direction in directions]
    if len(set(names)) != len(names):
        yield Problem("directions with distinct names", ", ".join(names), where)
    for direction in directions:
        for role in direction.roles:
            if role not in nets:
                yield Problem(f"direction {direction.name}: roles of networks()", repr(role), where)
        if direction.latent is None and direction.inputs not in subject.tensors:
            have = ", ".join(subject.tensors)
            yield Problem(f"direction {direction.name}: inputs among {have}", repr(direction.inputs), where)


def settings(subject: Subject) -> Iterator[Problem]:
    """every hyper-parameter can be written to a config file and read back"""
    from translate import fields, flags

    task = subject.task
    for field in fields.fields_of(type(task), "model"):
        value = getattr(task, field.name)
        title = f"field {field.name}: a value that TOML has, and gives back"
        try:
            written = flags.to_toml({"model": {field.name: value}})
            again = field.from_config(tomllib.loads(written)["model"][field.name], field.name)
        except (TypeError, ValueError, UsageError) as error:
            yield Problem(title, _one_line(error), type(task).__name__)
            continue
        if again != value:
            yield Problem(title, f"{value!r} became {again!r}", type(task).__name__)


def stateless(subject: Subject) -> Iterator[Problem]:
    """the task model keeps nothing on itself"""
    task = subject.task
    before = dict(vars(task))
    subject.train(subject.engine(), rounds=2)
    for name, value in vars(task).items():
        if name not in before:
            yield Problem("no new attributes; state is a buffer of a role", f"self.{name}", type(task).__name__)
        elif value is not before[name] and value != before[name]:
            yield Problem(f"self.{name} as before the steps, {before[name]!r}", repr(value), type(task).__name__)


def terms(subject: Subject) -> Iterator[Problem]:
    """each phase gives the same named, finite, scalar terms every time"""
    found: dict[str, Problem] = {}
    names: dict[str, tuple[str, ...]] = {}

    def spy(phase: Phase, nets: Nets, x: Batch) -> Terms:
        result = phase.loss(nets, x)
        where = subject.where(phase.loss)
        logged = tuple(x.logged)
        if names.setdefault(phase.name, (*result, *logged)) != (*result, *logged):
            before, now = ", ".join(names[phase.name]), ", ".join((*result, *logged))
            found["names"] = Problem(f"phase {phase.name}: the terms {before} again", now, where)
        for name, term in {**result, **x.logged}.items():
            title = f"phase {phase.name}, {name}"
            if not isinstance(term, Tensor) or term.dim():
                kind = f"shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
                found[title] = Problem(f"{title}: a scalar tensor", kind, where)
            elif not math.isfinite(term.item()):
                found[title] = Problem(f"{title}: a finite value", str(term.item()), where)
        if both := sorted(set(result) & set(logged)):
            found["both"] = Problem(f"phase {phase.name}: logged names apart from the terms", both[0], where)
        return result

    try:
        subject.train(subject.engine(spy=spy), rounds=2)
    except Exception:
        if not found:  # else the engine stumbled over what is told below
            raise
    yield from found.values()


def roles(subject: Subject) -> Iterator[Problem]:
    """a phase moves the parameters of the roles it declares, and no others"""
    found: dict[str, Problem] = {}
    state: dict[str, Tensor] = {}
    running: list[Phase] = []

    def parameters(nets: nn.Module) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in nets.named_parameters()}

    def compare(nets: nn.Module) -> None:
        for phase in running:
            for name, value in parameters(nets).items():
                role = name.partition(".")[0]
                if role not in phase.updates and not torch.equal(value, state[name]):
                    expected = f"phase {phase.name} to move {', '.join(phase.updates)} alone"
                    found.setdefault(
                        f"{phase.name} {role}", Problem(expected, f"{name} moved", subject.where(phase.loss))
                    )

    def spy(phase: Phase, nets: Nets, x: Batch) -> Terms:
        compare(nets)
        state.update(parameters(nets))
        running[:] = [phase]
        return phase.loss(nets, x)

    engine = subject.engine(spy=spy)
    subject.train(engine, rounds=2)
    compare(engine.nets)
    yield from found.values()


def gradients(subject: Subject) -> Iterator[Problem]:
    """every weight of an updated role receives a gradient"""
    log: Gradients = []
    engine = subject.engine(log=log)
    subject.train(engine, rounds=2)
    reached: dict[str, set[int]] = defaultdict(set)
    for role, grads in log:
        reached[role].update(index for index, grad in enumerate(grads) if grad is not None)
    for role, indices in reached.items():
        missed = [n for index, (n, _) in enumerate(engine.nets[role].named_parameters()) if index not in indices]
        if missed:
            count = f"none for {len(missed)} of its weights, such as {missed[0]}"
            yield Problem(f"role {role}: a gradient for every weight", count, subject.where(subject.task.networks))


def accumulation(subject: Subject) -> Iterator[Problem]:
    """two micro-batches give the gradient of the whole batch (batch statistics and dropout frozen)"""
    logs: list[Gradients] = []
    for parts in (1, 2):
        log: Gradients = []
        engine = subject.engine(log=log, accumulate=parts)
        freeze(engine.nets)
        subject.train(engine)
        logs.append(log)
    hint = "terms must be means over samples, and random numbers a Phase's noise"
    yield from _unequal(logs[0], logs[1], f"{{role}}: the whole batch's gradient from two halves; {hint}", subject)


def seeds(subject: Subject) -> Iterator[Problem]:
    """a seed gives the same weights again, another seed other ones"""
    states = []
    for seed in (0, 0, 1):
        engine = subject.engine(seed=seed)
        subject.train(engine, rounds=2)
        states.append(_state(engine))
    if different := _first_difference(states[0], states[1]):
        where = subject.where(subject.task.phases)
        yield Problem("equal weights from equal seeds", f"{different} differs", where)
    if not _first_difference(states[0], states[2]):
        yield Problem("other weights from another seed", "the same", subject.where(subject.task.networks))


def resume(subject: Subject) -> Iterator[Problem]:
    """saved and loaded, the next step is the same, bit by bit"""
    straight = subject.engine()
    subject.train(straight, rounds=2)
    path = checkpoint.save_checkpoint(subject.folder, straight, position=0, keep=1)
    assert path is not None
    subject.train(straight, first=2)
    loaded = subject.engine()
    checkpoint.load_checkpoint(path, loaded)
    subject.train(loaded, first=2)
    if different := _first_difference(_state(straight), _state(loaded)):
        yield Problem(
            "the same tensors after a resume; all state in parameters and buffers",
            f"{different} differs",
            subject.where(subject.task.networks),
        )


def bfloat16(subject: Subject) -> Iterator[Problem]:
    """a step under bf16 autocast is finite"""
    engine = subject.engine(precision="bf16")
    subject.train(engine)
    values = engine.read()
    yield from (Problem(f"{name}: finite in bf16", str(v)) for name, v in values.items() if not math.isfinite(v))


def directions(subject: Subject) -> Iterator[Problem]:
    """each direction runs with its declared roles alone, at any multiple of its size, each image by itself"""
    for direction in subject.task.directions(subject.data):
        nets = build_nets(subject.task, subject.data, direction.roles).eval()
        size, multiple = subject.data.size // direction.scale, direction.multiple
        height = math.ceil(size / multiple) * multiple
        shapes = [(height, height)] if direction.latent else [(height, height), (height + multiple, height)]
        for shape in shapes:
            x = subject.given(direction, *shape)
            yield from _direction(subject, direction, nets, x, shape)


def _direction(
    subject: Subject, direction: Direction, nets: Nets, x: Batch, shape: tuple[int, int]
) -> Iterator[Problem]:
    where, title = subject.where(direction.run), f"direction {direction.name}"
    with torch.inference_mode():
        try:
            first, again, chance = (_seeded(direction, nets, x, seed) for seed in (0, 0, 1))
            alone = _seeded(direction, nets, Batch({name: tensor[:1] for name, tensor in x.items()}), 0)
        except Exception as error:
            needs = f"{title} to run on {shape[1]}x{shape[0]} pixels with {', '.join(direction.roles)} alone"
            yield Problem(needs, f"{type(error).__name__}: {_one_line(error)}", where)
            return
    channels = subject.data.channels.get(direction.outputs)
    side = (subject.data.size, subject.data.size)
    scaled = side if direction.latent else (shape[0] * direction.scale, shape[1] * direction.scale)
    expected = (len(first), channels or first.shape[1], *scaled)
    if tuple(first.shape) != expected:
        yield Problem(f"{title}: shape {expected}", str(tuple(first.shape)), where)
        return
    if not bool(torch.isfinite(first).all()):
        yield Problem(f"{title}: finite pixels", "nan or inf", where)
        return
    if not torch.equal(first, again):
        yield Problem(f"{title}: the same output from the same torch seed", "another", where)
    elif torch.equal(first, chance) and (difference := (first[:1] - alone).abs().max().item()) > 1e-3:
        yield Problem(f"{title}: an output that the rest of the batch does not change", f"{difference:.2g}", where)


def _seeded(direction: Direction, nets: Nets, x: Batch, seed: int) -> Tensor:
    torch.manual_seed(seed)  # a direction may draw: pix2pix has its dropout as noise
    return direction.run(nets, Batch(x))


def preview(subject: Subject) -> Iterator[Problem]:
    """the preview gives columns of images"""
    tensors = dict(subject.tensors)
    for direction in subject.task.directions(subject.data):
        if direction.latent is not None:
            tensors |= subject.given(direction, 0, 0, BATCH)
    for name, column in subject.engine().preview(tensors).items():
        if column.dim() != 4:
            where = subject.where(subject.task.preview)
            yield Problem(f"column {name}: shape (N, C, H, W)", str(tuple(column.shape)), where)


def published(subject: Subject) -> Iterator[Problem]:
    """a published file holds what inference needs, and gives the same pictures"""
    cls = type(subject.task)
    names = [p.name for p in plugins.installed() if p.value == f"{cls.__module__}:{cls.__qualname__}"]
    if not names:
        raise Skipped(f"{cls.__name__} is not registered as an entry point of group {plugins.GROUP}")
    engine = subject.engine()
    subject.train(engine)
    path = subject.folder / "model.safetensors"
    tensors = checkpoint.published_tensors(engine)
    save_published(path, plugin=names[0], task=subject.task, data=subject.data, tensors=tensors, weights="raw", step=1)
    loaded = load_published(path)
    where = subject.where(subject.task.directions)
    needed = set(needed_roles(loaded.directions))
    if set(loaded.nets) != needed:
        yield Problem(f"the roles {sorted(needed)}", str(sorted(loaded.nets)), where)
    for direction, again in zip(subject.task.directions(subject.data), loaded.directions, strict=True):
        side = math.ceil(subject.data.size / direction.scale / direction.multiple) * direction.multiple
        x = subject.given(direction, side, side)
        with torch.inference_mode(), engine.averages.in_place_of(engine.nets) as nets:
            before, after = _seeded(direction, nets, x, 0), _seeded(again, loaded.nets, x, 0)
        if not torch.allclose(before, after, atol=1e-5):
            difference = (before - after).abs().max().item()
            yield Problem(
                f"direction {direction.name}: the same pictures from the file", f"{difference:.2g} off", where
            )


def compiled(subject: Subject) -> Iterator[Problem]:
    """each phase compiles whole"""
    seen: dict[str, tuple[Phase, dict[str, Tensor]]] = {}

    def spy(phase: Phase, nets: Nets, x: Batch) -> Terms:
        seen.setdefault(phase.name, (phase, dict(x)))
        return phase.loss(nets, x)

    engine = subject.engine(spy=spy)
    subject.train(engine)
    for phase, tensors in seen.values():
        for role, net in engine.nets.items():
            net.requires_grad_(role in phase.updates)

        def run(tensors: dict[str, Tensor], loss: Callable[[Nets, Batch], Terms] = phase.loss) -> dict[str, Tensor]:
            return dict(loss(engine.nets, Batch(tensors)))

        torch.compiler.reset()
        try:
            torch.compile(run, fullgraph=True, backend="aot_eager", dynamic=False)(tensors)
        except Exception as error:
            where = subject.where(phase.loss)
            yield Problem(f"phase {phase.name} in one graph", f"{type(error).__name__}: {_one_line(error)}", where)


def processes(subject: Subject) -> Iterator[Problem]:
    """two processes give the gradient of one (batch statistics and dropout frozen)"""
    from safetensors.torch import load_file
    from torch.multiprocessing.spawn import ProcessRaisedException, spawn

    one: Gradients = []
    engine = subject.engine(log=one)
    freeze(engine.nets)
    subject.train(engine)
    try:
        spawn(_process, args=(subject, 2), nprocs=2)
    except ProcessRaisedException as error:
        raise RuntimeError(f"in another process: {str(error).strip().splitlines()[-1]}") from error
    except (
        AttributeError,
        TypeError,
        pickle.PicklingError,
    ) as error:  # what pickle says of a class that it cannot import
        raise Skipped(f"the task model cannot be sent to another process ({_one_line(error)})") from None
    kept = load_file(subject.folder / "gradients.safetensors")
    two = [(role, [kept.get(f"{turn}/{i}") for i in range(len(grads))]) for turn, (role, grads) in enumerate(one)]
    yield from _unequal(one, two, "{role}: one process's gradient from two", subject)


def _process(rank: int, subject: Subject, size: int) -> None:
    from safetensors.torch import save_file
    from torch import distributed as dist

    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo") if Path("/sys/class/net/lo").exists() else None
    store = (subject.folder / "store").as_uri()
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    try:
        log: Gradients = []
        engine = subject.engine(log=log, world=World(rank=rank, size=size))
        freeze(engine.nets)
        subject.train(engine)
        if rank == 0:
            flat = {f"{n}/{i}": g for n, (_, grads) in enumerate(log) for i, g in enumerate(grads) if g is not None}
            save_file({k: g.contiguous().clone() for k, g in flat.items()}, subject.folder / "gradients.safetensors")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def freeze(nets: nn.Module) -> None:
    """Make the layers deterministic whose training output depends on the batch or on chance: each says so itself."""
    for module in nets.modules():
        kind = type(module).__name__
        if isinstance(module, (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)) or "Spectral" in kind:
            module.eval()


def _unequal(one: Gradients, two: Gradients, expected: str, subject: Subject) -> Iterator[Problem]:
    """A problem for each role whose gradients differ by more than rounding."""
    told: set[str] = set()
    where = subject.where(subject.task.phases)
    for (role, first), (_, second) in zip(one, two, strict=True):
        pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
        whole = math.sqrt(sum(a.double().square().sum().item() for a, _ in pairs))
        apart = math.sqrt(sum((a.double() - b.double()).square().sum().item() for a, b in pairs))
        if apart > 1e-3 * whole + 1e-12 and role not in told:
            told.add(role)
            yield Problem(expected.format(role=f"role {role}"), f"{apart / whole:.1%} apart", where)


def _state(engine: Engine) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {**engine.nets.state_dict(), **engine.averages.state_dict(prefix="averages.")}
    for role, optimizer in engine.optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            moments = {f"optimizer of {role}, {index}/{n}": v for n, v in values.items() if isinstance(v, Tensor)}
            state.update(moments)
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def _first_difference(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> str | None:
    names = [*one, *(name for name in two if name not in one)]
    return next((n for n in names if n not in one or n not in two or not torch.equal(one[n], two[n])), None)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


Check = Callable[[Subject], Iterator[Problem]]

CHECKS: Sequence[Check] = (
    *(builds, settings, stateless, terms, roles, gradients, accumulation, seeds, resume, bfloat16),
    *(directions, preview, published),
)
"""In the order in which a report shows them. The first must hold for the others to run."""

SLOW_CHECKS: Sequence[Check] = (compiled, processes)
"""Take seconds to minutes."""
