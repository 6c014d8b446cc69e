"""How the networks and phases fit together, and what a training step may and must do."""

from __future__ import annotations

import math
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from translate import API_VERSION, config, fields
from translate.contract import Batch, Nets, Phase, Terms
from translate.errors import UsageError, one_line
from translate.testing.subject import COMPARES, Gradients, Problem, Skipped, Subject, freeze, unequal
from translate.testing.watching import HostReads
from translate.training import checkpoint
from translate.training.engine import Engine


def builds(subject: Subject) -> Iterator[Problem]:
    """networks, phases and directions fit together"""
    task = subject.task
    if task.api != API_VERSION:
        yield Problem(f"api = {API_VERSION}", f"api = {task.api}", subject.place)
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
        for name in direction.input_names if direction.latent is None else ():
            if name not in subject.data.channels:
                have = ", ".join(subject.data.channels)
                yield Problem(f"direction {direction.name}: inputs among {have}", repr(name), where)


def settings(subject: Subject) -> Iterator[Problem]:
    """every hyper-parameter can be written to a config file and read back"""
    task = subject.task
    for field in fields.fields_of(type(task), "model"):
        value = getattr(task, field.name)
        title = f"field {field.name}: a value that TOML has, and gives back"
        try:
            written = config.to_toml({"model": {field.name: value}})
            again = field.from_config(tomllib.loads(written)["model"][field.name], field.name)
        except (TypeError, ValueError, UsageError) as error:
            yield Problem(title, one_line(error), subject.place)
            continue
        if again != value:
            yield Problem(title, f"{value!r} became {again!r}", subject.place)


def stateless(subject: Subject) -> Iterator[Problem]:
    """the task model keeps nothing on itself"""
    task = subject.task
    before = dict(vars(task))
    subject.train(subject.engine(), rounds=2)
    for name, value in vars(task).items():
        if name not in before:
            yield Problem("no new attributes; state is a buffer of a role", f"self.{name}", subject.place)
        elif value is not before[name] and value != before[name]:
            yield Problem(f"self.{name} as before the steps, {before[name]!r}", repr(value), subject.place)


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
        if not found:  # else the engine stumbled over what is reported below
            raise
    yield from found.values()


def device_only(subject: Subject) -> Iterator[Problem]:
    """a loss reads no value on the host: no .item(), no branch on a tensor"""
    found: dict[str, Problem] = {}

    def spy(phase: Phase, nets: Nets, x: Batch) -> Terms:
        with HostReads(subject.code) as reads:
            result = phase.loss(nets, x)
        for place in reads.places:
            expected = f"phase {phase.name}: values that stay on the device, as torch.where keeps them"
            found.setdefault(place, Problem(expected, "one read on the host", place or subject.where(phase.loss)))
        return result

    subject.train(subject.engine(spy=spy), rounds=1)
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
        result = phase.loss(nets, x)
        for name, value in parameters(nets).items():
            if name.partition(".")[0] in phase.updates and not torch.equal(value, state[name]):
                expected = f"phase {phase.name}: weights that no loss moves; Phase.after may clip them"
                found.setdefault(name, Problem(expected, f"{name} moved", subject.where(phase.loss)))
        return result

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
    if subject.task.compares_samples:
        raise Skipped(COMPARES)
    logs: list[Gradients] = []
    for parts in (1, 2):
        log: Gradients = []
        engine = subject.engine(log=log, accumulate=parts)
        freeze(engine.nets)
        subject.train(engine)
        logs.append(log)
    hint = "terms must be means over samples, and random numbers a Phase's noise"
    yield from unequal(logs[0], logs[1], f"{{role}}: the whole batch's gradient from two halves; {hint}", subject)


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
    losses = {phase.name: phase.loss for phase in subject.task.phases(subject.data)}
    for name, value in engine.read().items():
        if not math.isfinite(value):
            where = subject.where(losses[name.partition("/")[0]])
            yield Problem(f"{name}: finite in bf16", str(value), where)


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
