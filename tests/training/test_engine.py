"""The engine against loops written by hand, and what it promises about accumulation, freezing and divergence."""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func

from toy import Toy, ToyWithBatchNorm, ToyWithPool, toy_batch, toy_data
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Phase, Terms
from translate.distributed import World
from translate.errors import DivergedError, GantkError, UsageError
from translate.fields import fields_of
from translate.settings import Run
from translate.training.checkpoint import load_checkpoint, published_tensors, save_checkpoint, saved_processes
from translate.training.engine import Engine, seed_of
from translate.training.ledger import Outcome, mean_of


def make(task: Toy | None = None, **settings: object) -> Engine:
    return Engine(task or Toy(), toy_data(), Run(batch=4, **settings))  # type: ignore[arg-type]


class Batches:
    """An endless stream that counts how often it was asked."""

    def __init__(self, count: int = 4, start: int = 0) -> None:
        self.drawn, self.count = start, count

    def __call__(self) -> dict[str, Tensor]:
        self.drawn += 1
        return toy_batch(self.drawn, self.count)


def weights(engine: Engine) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in engine.nets.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float = 0.0) -> None:
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=tolerance, msg=lambda m, k=key: f"{k}: {m}")


def test_steps_equal_a_loop_written_by_hand() -> None:
    engine, batches = make(), Batches()
    g, d, fixed = (copy.deepcopy(engine.nets[role]) for role in ("g", "d", "fixed"))
    opt_g = torch.optim.Adam(g.parameters(), 2e-4, (0.5, 0.999))
    opt_d = torch.optim.Adam(d.parameters(), 2e-4, (0.5, 0.999))
    average = copy.deepcopy(g)
    stream = Batches()
    for step in range(3):
        for group in (*opt_g.param_groups, *opt_d.param_groups):
            group["lr"] = 2e-4 * (1 - step / 10 / 2)
        for _ in range(2):
            x = stream()
            real, fake = d(x["b"]), d(g(x["a"]).detach())
            loss_d = fake.mean() - real.mean() + 0.1 * (real.pow(2).mean() + fake.pow(2).mean())
            opt_d.zero_grad()
            loss_d.backward()
            opt_d.step()
        generator = torch.Generator().manual_seed(seed_of(0, step, "generator", "z", 0))
        z = torch.randn(4, 3, 8, 8, generator=generator)
        fake = g(x["a"])
        loss_g = -d(fake).mean() + (fixed(fake) - fixed(x["a"])).pow(2).mean()
        loss_g = loss_g + 0.5 * (g(x["a"] + z) - x["a"]).abs().mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        with torch.no_grad():
            for kept, new in zip(average.parameters(), g.parameters(), strict=True):
                kept.lerp_(new, 1 - min(0.3, (1 + step) / (10 + step)))

    engine = make(ema=0.3)
    for step in range(3):
        engine.train_step(batches, step / 10)
    for role, net in (("g", g), ("d", d), ("fixed", fixed)):
        assert_same(dict(engine.nets[role].state_dict()), dict(net.state_dict()), 1e-6)
    assert_same(dict(engine.averages["g"].state_dict()), dict(average.state_dict()), 1e-6)
    terms = engine.read()
    assert terms.keys() >= {"critic/gap", "critic/size", "critic/d_real", "generator/adv", "generator/grad_norm"}


def test_without_a_decay_no_average_is_kept_and_the_weights_themselves_are_published() -> None:
    engine = make(ema=0.0)
    engine.train_step(Batches(), 0.0)
    assert dict(engine.averages) == {}
    assert_same(published_tensors(engine), dict(engine.nets.state_dict()))


@pytest.mark.parametrize("parts", [1, 2])
def test_an_average_by_pictures_halves_after_so_many_of_all_micro_batches(parts: int) -> None:
    """0.5 ** (batch / pictures) a step (Karras et al., 2020), once the start is forgotten."""
    engine, batches = make(ema_images=40, accumulate=parts), Batches()
    engine.step = 1000
    engine.train_step(batches, 0.0)
    before = copy.deepcopy(engine.averages["g"])
    engine.train_step(batches, 0.0)
    nets = engine.averages["g"], before, engine.nets.g
    for kept, old, new in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(kept, new + 0.5 ** (4 / 40) * (old - new), rtol=0, atol=1e-7)


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("task", [Toy, ToyWithPool])
def test_accumulation_changes_nothing(task: type[Toy], parts: int) -> None:
    whole, split = make(task()), make(task(), accumulate=parts)
    for engine in (whole, split):
        batches = Batches()
        for step in range(3):
            engine.train_step(batches, step / 10)
    assert_same(weights(whole), weights(split), 1e-6)
    first, second = whole.read(), split.read()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert second[name] == pytest.approx(value, abs=1e-5), name


def test_accumulation_says_that_batch_norm_sees_less() -> None:
    nets = []
    for parts in (1, 2):
        engine = make(ToyWithBatchNorm(), accumulate=parts)
        engine.train_step(Batches(), 0.0)
        nets.append(weights(engine))
    difference = max(float((nets[0][key] - nets[1][key]).abs().max()) for key in nets[0] if "running" not in key)
    assert difference > 1e-4
    (told,) = [field.help for field in fields_of(Run, "run") if field.name == "accumulate"]
    assert "same result without batch norm" in told


def test_every_repeat_start_and_stop() -> None:
    seen: list[tuple[int, str]] = []

    @dataclass(frozen=True, kw_only=True)
    class Scheduled(Toy):
        def phases(self, data: DataSpec) -> list[Phase]:
            def loss(name: str):  # type: ignore[no-untyped-def]
                def run(nets: Nets, x: Batch) -> Terms:
                    seen.append((engine.step, name))
                    return {"loss": nets.g(x.a).mean()}

                return run

            return [
                Phase("warm", ("g",), loss("warm"), stop=2),
                Phase("main", ("g",), loss("main"), start=2, repeat=2),
                Phase("lazy", ("g",), loss("lazy"), start=1, every=2),
            ]

    engine, batches = make(Scheduled()), Batches()
    for _ in range(4):
        engine.train_step(batches, 0.0)
    assert seen == [
        (0, "warm"),
        (1, "warm"),
        (1, "lazy"),
        (2, "main"),
        (2, "main"),
        (3, "main"),
        (3, "main"),
        (3, "lazy"),
    ]
    assert batches.drawn == 1 + 1 + 2 + 2


def test_only_updated_roles_move_and_constants_stay() -> None:
    engine = make()
    before = weights(engine)
    engine.train_step(Batches(), 0.0)
    after = weights(engine)
    assert engine.constants == ("fixed",)
    for key in before:
        moved = not torch.equal(before[key], after[key])
        assert moved == (not key.startswith("fixed")), key


@pytest.mark.parametrize("average", [{"ema": 0.999}, {"ema_images": 6}])
def test_a_resumed_run_is_bit_identical(tmp_path: Path, average: dict[str, Any]) -> None:
    straight, batches = make(**average), Batches()
    for step in range(5):
        straight.train_step(batches, step / 5)

    first, batches = make(**average), Batches()
    for step in range(2):
        first.train_step(batches, step / 5)
    path = save_checkpoint(tmp_path, first, position=batches.drawn, keep=2)
    assert path is not None

    second = make(**average, seed=0)
    with torch.no_grad():
        for parameter in second.nets.parameters():
            if not any(parameter is p for p in second.nets.fixed.parameters()):
                parameter.add_(1.0)  # whatever it started with is replaced
    position = load_checkpoint(path, second)
    batches = Batches(start=position)
    for step in range(2, 5):
        second.train_step(batches, step / 5)
    assert second.step == straight.step
    assert_same(weights(second), weights(straight))
    assert_same(dict(second.averages.state_dict()), dict(straight.averages.state_dict()))


def test_checkpoints_are_whole_and_only_the_latest_are_kept(tmp_path: Path) -> None:
    engine, batches = make(), Batches()
    for _ in range(4):
        engine.train_step(batches, 0.0)
        save_checkpoint(tmp_path, engine, position=batches.drawn, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000003.safetensors", "step-00000004.safetensors"]
    path = tmp_path / "step-00000004.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(GantkError, match=r"step-00000004\.safetensors: not a readable checkpoint"):
        load_checkpoint(path, make())


@pytest.mark.parametrize(("where", "what"), [("loss", "term noise"), ("gradient", "the gradient")])
def test_divergence_names_phase_term_and_step(where: str, what: str) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Diverging(Toy):
        def generator(self, nets: Nets, x: Batch) -> Terms:
            terms = dict(super().generator(nets, x))
            if engine.step == 2:
                if where == "loss":
                    terms["noise"] = terms["noise"] * float("inf")
                else:  # sqrt has an infinite slope at 0, its value is fine
                    terms["noise"] = (terms["noise"] * 0).sqrt()
            return terms

    engine, batches = make(Diverging()), Batches()
    for _ in range(4):
        engine.train_step(batches, 0.0)
    with pytest.raises(DivergedError, match=f"diverged at step 2: {what} of phase generator is (inf|nan)"):
        engine.read()


def test_nothing_is_read_from_the_device_during_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, batches = make(), Batches()
    engine.train_step(batches, 0.0)

    def refuse(self: Tensor, *args: object) -> None:
        raise AssertionError("a value was copied to the host during a step")

    for name in ("item", "tolist", "__float__", "__bool__", "numpy"):
        monkeypatch.setattr(Tensor, name, refuse)
    # The optimizer's own step counter is on the host already; torch reads nothing else.
    engine.train_step(batches, 0.0)


def test_clipping_bounds_the_update_and_logs_the_whole_norm() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Steep(Toy):
        def optimizer_of(self, role: str, params: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
            return torch.optim.SGD(params, lr=1.0)

        def generator(self, nets: Nets, x: Batch) -> Terms:
            return {"loss": 1e3 * nets.g(x.a).square().mean()}

    engine = make(Steep(critic_steps=1), clip=0.5)
    before = weights(engine)
    engine.train_step(Batches(), 0.0)
    moved = torch.cat([(before[k] - v).flatten() for k, v in weights(engine).items() if k.startswith("g.")])
    assert float(moved.norm()) == pytest.approx(0.5, rel=1e-3)
    assert engine.read()["generator/grad_norm"] > 1.0


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near_fp32(precision: str) -> None:
    full, half = make(), make(precision=precision)
    for engine in (full, half):
        batches = Batches()
        for step in range(3):
            engine.train_step(batches, step / 10)
    first, second = full.read(), half.read()
    assert all(p.dtype == torch.float32 for p in half.nets.parameters())
    for name in ("critic/gap", "generator/noise", "generator/features"):
        assert second[name] == pytest.approx(first[name], abs=0.02), name


@pytest.mark.slow
def test_compiled_phases_equal_eager_ones() -> None:
    eager, compiled = make(), make(compile=True)
    for engine in (eager, compiled):
        batches = Batches()
        for step in range(2):
            engine.train_step(batches, step / 10)
    assert_same(weights(eager), weights(compiled), 1e-5)


class Overwriting:
    """A backend of torch.compile whose graphs, like CUDA graphs, take back all they gave when the next step begins."""

    def __init__(self) -> None:
        self.given: list[Tensor] = []
        self.steps = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        return aot_autograd(fw_compiler=self._remember, bw_compiler=self._remember)(graph, inputs)

    def _remember(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        def run(*arguments: Tensor) -> Any:
            taken = {tensor.data_ptr() for tensor in arguments if isinstance(tensor, Tensor)}
            outputs = graph(*arguments)
            # What is an input, too, is no memory of the graph's.
            fresh = (t for t in outputs if isinstance(t, Tensor) and t.is_floating_point())
            self.given += [tensor for tensor in fresh if tensor.data_ptr() not in taken]
            return outputs

        return make_boxed_func(run)  # type: ignore[no-any-return]

    def step_begins(self) -> None:
        for tensor in self.given:
            tensor.detach().fill_(torch.nan)
        self.steps += len(self.given) > 0
        self.given.clear()


def test_nothing_of_a_replayed_graph_outlives_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, modes = Overwriting(), set()

    def compile_with_it(function: Callable[..., Any], *, dynamic: bool, mode: str | None) -> Any:
        modes.add(mode)
        return torch_compile(function, dynamic=dynamic, backend=backend)

    torch_compile = torch.compile
    monkeypatch.setattr("translate.training.engine.captures_graphs", lambda device: True)
    monkeypatch.setattr(torch, "compile", compile_with_it)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", backend.step_begins)
    eager, replayed = make(ToyWithPool()), make(ToyWithPool(), compile=True)
    terms: list[Tensor] = []

    def watched(outcomes: list[Outcome]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if engine is replayed:
            terms.extend(outcomes[0][0].values())
        return mean_of(outcomes)

    monkeypatch.setattr("translate.training.engine.mean_of", watched)
    for engine in (eager, replayed):
        batches = Batches()
        for step in range(4):
            engine.train_step(batches, step / 10)
    backend.step_begins()
    assert terms
    assert all(term.isnan() for term in terms)  # the backend does take them back
    assert modes == {"reduce-overhead"}
    assert backend.steps == 4
    assert_same(weights(eager), weights(replayed), 1e-6)
    assert_same(dict(eager.averages.state_dict()), dict(replayed.averages.state_dict()), 1e-6)
    assert replayed.read() == pytest.approx(eager.read(), abs=1e-5)


@pytest.mark.gpu
def test_graphs_on_cuda_equal_eager_steps() -> None:
    cuda = torch.device("cuda")
    eager = Engine(ToyWithPool(), toy_data(), Run(batch=4), device=cuda)
    replayed = Engine(ToyWithPool(), toy_data(), Run(batch=4, compile=True), device=cuda)
    for engine in (eager, replayed):
        batches = Batches()
        for step in range(8):  # the first ones are warm-up and recording
            engine.train_step(lambda: {k: v.cuda() for k, v in batches().items()}, step / 10)  # noqa: B023
    assert_same(weights(eager), weights(replayed), 1e-5)
    assert replayed.read() == pytest.approx(eager.read(), abs=1e-4)


def test_micro_batches_are_not_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str | None] = []
    monkeypatch.setattr("translate.training.engine.captures_graphs", lambda device: True)
    monkeypatch.setattr(torch, "compile", lambda function, *, dynamic, mode: modes.append(mode) or function)
    make(compile=True, accumulate=2).train_step(Batches(), 0.0)
    assert set(modes) == {None}


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (Phase("p", ("nobody",), lambda nets, x: {}), "updates 'nobody', which networks"),
        (Phase("p", ("d",), lambda nets, x: {}), "phase p returned no loss terms"),
        (Phase("p", ("d",), lambda nets, x: {"t": nets.g(x.a).mean().requires_grad_()}), "no gradient reaches d"),
    ],
)
def test_faulty_phases_are_named(phase: Phase, message: str) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Faulty(Toy):
        def phases(self, data: DataSpec) -> list[Phase]:
            return [phase]

    with pytest.raises(GantkError, match=message):
        make(Faulty()).train_step(Batches(), 0.0)


@dataclass(frozen=True, kw_only=True)
class Following(Toy):
    """A toy whose critic is clipped, and whose state follows what its generator's phase gave."""

    def networks(self, data: DataSpec) -> Networks:
        return {**super().networks(data), "state": lambda: nn.BatchNorm1d(1, affine=False)}

    def phases(self, data: DataSpec) -> list[Phase]:
        critic, generator = super().phases(data)
        return [replace(critic, after=self.clip), replace(generator, after=self.follow)]

    @staticmethod
    def clip(nets: Nets, values: Mapping[str, Tensor]) -> None:
        for parameter in nets.d.parameters():
            parameter.clamp_(-0.01, 0.01)

    @staticmethod
    def follow(nets: Nets, values: Mapping[str, Tensor]) -> None:
        nets.state.running_mean.mul_(0.5).add_(values["noise"])
        nets.state.num_batches_tracked.add_(1)


def test_after_is_called_once_per_update_with_what_the_phase_gave() -> None:
    engine, batches = make(Following()), Batches()
    expected = torch.zeros(1)
    for step in range(3):
        engine.train_step(batches, step / 10)
        assert all(parameter.abs().max() <= 0.01 for parameter in engine.nets.d.parameters())
        expected = 0.5 * expected + engine.read()["generator/noise"]
    torch.testing.assert_close(engine.nets.state.running_mean, expected)
    assert int(engine.nets.state.num_batches_tracked) == 3


def test_what_after_gets_is_averaged_over_micro_batches() -> None:
    whole, parts = make(Following()), make(Following(), accumulate=2)
    for engine in (whole, parts):
        batches = Batches()
        for step in range(3):
            engine.train_step(batches, step / 10)
    assert int(parts.nets.state.num_batches_tracked) == 3
    assert_same(dict(whole.nets.state.state_dict()), dict(parts.nets.state.state_dict()), 1e-6)


def test_a_loss_may_read_the_number_of_steps() -> None:
    found: list[int] = []

    @dataclass(frozen=True, kw_only=True)
    class Clocked(Toy):
        def generator(self, nets: Nets, x: Batch) -> Terms:
            found.append(int(x.step))
            return super().generator(nets, x)

    engine, batches = make(Clocked()), Batches()
    engine.step = 7
    for _ in range(2):
        engine.train_step(batches, 0.0)
    assert found == [7, 8]


def test_a_model_that_compares_samples_refuses_halves_of_a_batch() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Comparing(Toy):
        compares_samples = True

    with pytest.raises(UsageError, match="--accumulate 2: Comparing compares the samples of a whole batch; expected 1"):
        make(Comparing(), accumulate=2)
    with pytest.raises(UsageError, match="which 2 processes would divide; expected one process"):
        Engine(Comparing(), toy_data(), Run(batch=4), World(rank=1, size=2))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda nets, x: nets.g(x.a) / 0, "direction a2b: expected finite pictures"),
        (lambda nets, x: nets.g(x.a).mean(), "direction a2b: expected finite pictures"),
    ],
)
def test_a_direction_that_cannot_be_used_is_found_before_training(run: Any, message: str) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Useless(Toy):
        def directions(self, data: DataSpec) -> list[Direction]:
            return [Direction("a2b", "a", "b", ("g",), run)]

    with pytest.raises(GantkError, match=message):
        make(Useless()).try_directions(toy_batch(0))
    make().try_directions(toy_batch(0))


@pytest.mark.parametrize(
    ("settings", "make_by_hand"),
    [
        ({"optimizer": "rmsprop"}, lambda p, lr: torch.optim.RMSprop(p, lr, alpha=0.999)),
        ({"optimizer": "sgd", "betas": (0.9, 0.0)}, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)),
        ({"optimizer": "adamw", "weight_decay": 0.1}, lambda p, lr: torch.optim.AdamW(p, lr, (0.5, 0.999), 1e-8, 0.1)),
        ({"weight_decay": 0.1}, lambda p, lr: torch.optim.Adam(p, lr, (0.5, 0.999), 1e-8, 0.1)),
    ],
)
def test_each_player_has_its_optimizer_and_rate(settings: dict[str, Any], make_by_hand: Callable[..., Any]) -> None:
    engine = make(Toy(critic_steps=1, lr=1e-3, lr_d=4e-3, **settings))
    engine.nets.double()
    engine.averages.double()
    before = {role: [p.detach().clone() for p in engine.nets[role].parameters()] for role in ("g", "d")}
    gradients: dict[str, list[Tensor]] = {}
    for role, optimizer in engine.optimizers.items():
        optimizer.register_step_pre_hook(
            lambda o, *_, role=role: gradients.update({role: [p.grad.clone() for p in o.param_groups[0]["params"]]})
        )
    engine.train_step(lambda: {name: tensor.double() for name, tensor in toy_batch(1).items()}, 0.0)
    for role, lr in (("g", 1e-3), ("d", 4e-3)):
        parameters = [nn.Parameter(tensor) for tensor in before[role]]
        for parameter, gradient in zip(parameters, gradients[role], strict=True):
            parameter.grad = gradient
        make_by_hand(parameters, lr).step()
        for expected, now in zip(parameters, engine.nets[role].parameters(), strict=True):
            torch.testing.assert_close(now, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("paper", [0.0, 0.4875, 0.95, 0.75, 0.55]),
        ("constant", [0.0, 0.5, 1.0, 1.0, 1.0]),
        ("linear", [0.0, 0.475, 0.9, 0.5, 0.1]),
        ("cosine", [0.0, 0.4969, 0.9755, 0.5, 0.0245]),
        ("fifths", [0.0, 0.5, 1.0, 0.25, 0.0625]),
        ("halving", [0.0, 0.5, 1.0, 0.125, 0.0625]),
    ],
)
def test_a_schedule_and_a_warm_up(schedule: Any, expected: list[float]) -> None:
    task = Toy(lr=1.0, lr_schedule=schedule, lr_warmup=0.1)
    rates = []
    for progress in (0.0, 0.05, 0.1, 0.5, 0.9):
        engine = make(task)
        engine.train_step(Batches(), progress)
        rates.append(engine.optimizers["g"].param_groups[0]["lr"])
    assert rates == pytest.approx(expected, abs=1e-4)


def test_a_phase_has_a_rate_of_its_own() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Slow(Toy):
        def phases(self, data: DataSpec) -> list[Phase]:
            critic, generator = super().phases(data)
            return [critic, replace(generator, rate=0.25)]

    engine = make(Slow())
    engine.train_step(Batches(), 0.0)
    assert engine.optimizers["g"].param_groups[0]["lr"] == pytest.approx(0.25 * 2e-4)
    assert engine.optimizers["d"].param_groups[0]["lr"] == pytest.approx(2e-4)


@pytest.mark.parametrize("kind", ["normal", "xavier", "kaiming", "orthogonal"])
def test_initial_weights_can_be_chosen(kind: Any) -> None:
    engine = make(Toy(weight_init=kind))
    untouched = make()
    assert not torch.equal(engine.nets.g[0].weight, untouched.nets.g[0].weight)
    assert torch.equal(engine.nets.fixed[0].weight, untouched.nets.fixed[0].weight)  # a constant keeps its own
    weight = engine.nets.g[0].weight
    if kind == "orthogonal":
        rows = weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, 0.02**2 * torch.eye(4))
    else:
        fans = 27, 36
        deviation = {"normal": 0.02, "xavier": 0.02 * (2 / sum(fans)) ** 0.5, "kaiming": (2 / 27) ** 0.5}[kind]
        assert weight.std().item() == pytest.approx(deviation, rel=0.3)
    assert engine.nets.g[0].bias.abs().max() == 0


WORKER = """
import json, os, sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import toy
from toy import toy_batch, toy_data
from translate import distributed
from translate.training.checkpoint import save_checkpoint
from translate.settings import Run
from translate.training.engine import Engine
torch.set_num_threads(1)
world = distributed.world_from_environment()
distributed.join(torch.device("cpu"), world)
task, settings = getattr(toy, sys.argv[3])(), json.loads(sys.argv[4])
engine = Engine(task, toy_data(), Run(batch=4, **settings), world)
drawn = 0
def draw():
    global drawn
    drawn += 1
    return {k: v[engine.places] for k, v in toy_batch(drawn).items()}
for step in range(3):
    engine.train_step(draw, step / 10)
terms = engine.read()
save_checkpoint(Path(sys.argv[2]).parent, engine, position=drawn, keep=1)
if world.leads:
    torch.save({"weights": engine.nets.state_dict(), "terms": terms}, sys.argv[2])
distributed.leave()
sys.stdout.flush()
os._exit(0)  # gloo's threads may abort the end of the interpreter on a busy machine
"""


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        (Toy, {"accumulate": 2}),
        (ToyWithBatchNorm, {}),
        (ToyWithPool, {}),
        (ToyWithPool, {"accumulate": 2}),
    ],
)
def test_two_processes_equal_one(task: type[Toy], settings: dict[str, Any], tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER, encoding="utf-8")
    engine, batches = make(task(), **settings), Batches()
    for step in range(3):
        engine.train_step(batches, step / 10)
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    helpers, output = Path(__file__).parents[1], tmp_path / "result.pt"
    arguments = [sys.executable, str(script), str(helpers), str(output), task.__name__, json.dumps(settings)]
    ranks = [subprocess.Popen(arguments, env={**environment, "RANK": str(rank)}) for rank in range(2)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    result = torch.load(output, weights_only=True)
    assert_same(weights(engine), result["weights"], 1e-6)
    for name, value in engine.read().items():
        assert result["terms"][name] == pytest.approx(value, abs=2e-6), name
    # What both processes hold alike is written once, and one process goes on with it.
    path = tmp_path / "step-00000003.safetensors"
    assert saved_processes(path) == (2, [])
    alone = make(task(), **settings)
    load_checkpoint(path, alone)
    assert_same(weights(alone), result["weights"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
