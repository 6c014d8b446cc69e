"""The conformance kit catches each planted fault by name, and says what, where and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from translate.conditions import choice
from translate.contract import (
    Batch,
    Dataset,
    DataSpec,
    Direction,
    Loading,
    Nets,
    Networks,
    Noise,
    Phase,
    Source,
    TaskModel,
    Terms,
)
from translate.data.example import MadeUp
from translate.data.images import Images
from translate.errors import UsageError
from translate.testing import Example, Result, check_names, check_task_model, examine, example_for


@dataclass(frozen=True, kw_only=True)
class Sound(TaskModel):
    """A task model without fault: a generator, a critic, a place for state."""

    api = 2
    source = Images

    def networks(self, data: DataSpec) -> Networks:
        return {"g": self.generator_net, "d": lambda: nn.Conv2d(3, 1, 3), "count": Counter}

    def generator_net(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 1))

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [
            Phase("critic", ("d",), self.critic, noise={"z": Noise((3, 1, 1))}),
            Phase("generator", ("g",), self.generator, start=5, every=2),
        ]

    def critic(self, nets: Nets, x: Batch) -> Terms:
        nets.count()
        fake = nets.g(x.image + x.z)
        x.log(fake=nets.d(fake))
        return {"gap": nets.d(fake).mean() - nets.d(x.image).mean()}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": -nets.d(nets.g(x.image)).mean()}

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [Direction("paint", "image", "image", ("g",), self.paint)]

    def paint(self, nets: Nets, x: Batch) -> Tensor:
        return nets.g(x.image).tanh()


class Counter(nn.Module):
    """State as it should be: a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))

    def forward(self) -> Tensor:
        return self.steps.add_(1)


EXAMPLE = Example(
    DataSpec(8, {"image": 3}),
    lambda count: {"image": torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1},
)


def failed(task: TaskModel, slow: bool = False) -> dict[str, Result]:
    return {r.check: r for r in examine(task, EXAMPLE, slow=slow) if r.state == "failed"}


def test_a_sound_model_passes() -> None:
    results = check_task_model(Sound(), EXAMPLE)
    assert [r.check for r in results] == check_names()
    assert {r.check: r.reason for r in results if r.state == "skipped"} == {
        "published": "Sound is not registered as an entry point of group gantk.models"
    }


def test_data_is_made_up_for_known_sources() -> None:
    assert {r.state for r in check_task_model(Sound())} == {"passed", "skipped"}


class MovesAnother(Sound):
    def critic(self, nets: Nets, x: Batch) -> Terms:
        with torch.no_grad():
            nets.g[0].weight.mul_(0.9)
        return super().critic(nets, x)


class UnusedLayer(Sound):
    def generator_net(self) -> nn.Module:
        net = super().generator_net()
        net.spare = nn.Linear(2, 2)  # type: ignore[assignment]
        net.forward = lambda x: net[2](net[1](net[0](x)))  # type: ignore[operator, index, method-assign, assignment]
        return net


class NotFinite(Sound):
    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": nets.g(x.image).mean() * float("nan")}


class NotScalar(Sound):
    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": -nets.d(nets.g(x.image)).mean((1, 2, 3))}


class SometimesNamed(Sound):
    def critic(self, nets: Nets, x: Batch) -> Terms:
        odd = nets.count().item() % 2
        return {f"gap{odd}": nets.d(x.image).mean()}


class SumsSamples(Sound):
    def critic(self, nets: Nets, x: Batch) -> Terms:
        return {"gap": nets.d(x.image).sum()}


class DrawsInTheLoss(Sound):
    def critic(self, nets: Nets, x: Batch) -> Terms:
        return {"gap": nets.d(x.image * torch.randn(x.image.shape)).mean()}


class StateOutsideBuffers(Sound):
    def networks(self, data: DataSpec) -> Networks:
        return {**super().networks(data), "d": Ageing}


class Ageing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.age = nn.Conv2d(3, 1, 3), 1.0

    def forward(self, x: Tensor) -> Tensor:
        self.age += 1
        return self.layer(x) * self.age  # type: ignore[no-any-return]


class StateOnTheTask(Sound):
    def generator(self, nets: Nets, x: Batch) -> Terms:
        object.__setattr__(self, "last", x.image)
        return super().generator(nets, x)


class Unseeded(Sound):
    def critic(self, nets: Nets, x: Batch) -> Terms:
        return {"gap": nets.d(x.image).mean() * float(np.random.default_rng().random())}


class UndeclaredRole(Sound):
    def paint(self, nets: Nets, x: Batch) -> Tensor:
        return nets.g(x.image) * nets.d(x.image).mean()  # type: ignore[no-any-return]


class OtherChannels(Sound):
    def paint(self, nets: Nets, x: Batch) -> Tensor:
        return nets.g(x.image).mean(1, keepdim=True)  # type: ignore[no-any-return]


class SeesTheBatch(Sound):
    def paint(self, nets: Nets, x: Batch) -> Tensor:
        return nets.g(x.image - x.image.mean(0))  # type: ignore[no-any-return]


class NeedsAMultiple(Sound):
    def paint(self, nets: Nets, x: Batch) -> Tensor:
        return nn.functional.pixel_shuffle(nn.functional.pixel_unshuffle(nets.g(x.image), 2), 2)


class NoShares(Sound):
    """Declares shares of the classes, and takes indices alone."""

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        label = {"label": choice(("sun", "rain", "snow"), "weather", soft=True)}
        return [dataclasses.replace(super().directions(data)[0], conditions=label)]

    def paint(self, nets: Nets, x: Batch) -> Tensor:
        return super().paint(nets, x) * torch.tensor([0.2, 0.5, 1.0])[x.label][:, None, None, None]


class WrongShares(NoShares):
    """Takes shares for something else."""

    def paint(self, nets: Nets, x: Batch) -> Tensor:
        place = x.label.sum(1) if x.label.is_floating_point() else x.label
        return Sound.paint(self, nets, x) * (1 + place[:, None, None, None]) / 3


class NoSuchRole(Sound):
    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [Phase("critic", ("q",), self.critic)]


class OtherApi(Sound):
    api = 99


class NotInBf16(Sound):
    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"adv": nets.d(nets.g(x.image)).flatten().dot(x.image.new_ones(x.image.shape[0] * 36)) / len(x.image)}


class BreaksTheGraph(Sound):
    def generator(self, nets: Nets, x: Batch) -> Terms:
        fake = nets.g(x.image)
        return {"adv": -nets.d(fake).mean() * (2.0 if fake.mean().item() > 0 else 1.0)}


class MovesItsOwn(Sound):
    def critic(self, nets: Nets, x: Batch) -> Terms:
        with torch.no_grad():
            nets.d.weight.clamp_(-0.01, 0.01)
        return super().critic(nets, x)


class ReadsOnTheHost(Sound):
    def critic(self, nets: Nets, x: Batch) -> Terms:
        return {"gap": nets.d(x.image).mean() * x.image.mean().item()}


class BranchesOnProgress(Sound):
    def critic(self, nets: Nets, x: Batch) -> Terms:
        scale = 1.0 if x.progress > 0.5 else 2.0
        return {"gap": nets.d(x.image).mean() * scale}


class TakesTheLength(Sound):
    def paint(self, nets: Nets, x: Batch) -> Tensor:
        return nets.g(x.image) + torch.zeros(len(x.image), 1, 1, 1)  # type: ignore[no-any-return]


class BadPreview(Sound):
    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Any:
        return {"paint": x.image[0]}


FAULTS: list[tuple[type[Sound], str, str, str]] = [
    (MovesAnother, "roles", "phase critic to move d alone", "g.0.weight moved"),
    (
        UnusedLayer,
        "gradients",
        "role g: a gradient for every weight",
        "none for 2 of its weights",
    ),
    (NotFinite, "terms", "phase generator, adv: a finite value", "nan"),
    (NotScalar, "terms", "phase generator, adv: a scalar tensor", "shape (8,)"),
    (SometimesNamed, "terms", "phase critic: the terms gap1.0 again", "gap0.0"),
    (SumsSamples, "accumulation", "role d: the whole batch's gradient from two halves", "apart"),
    (StateOutsideBuffers, "resume", "all state in parameters and buffers", "weight differs"),
    (StateOnTheTask, "stateless", "no new attributes", "self.last"),
    (Unseeded, "seeds", "equal weights from equal seeds", "differs"),
    (UndeclaredRole, "directions", "direction paint to run on 8x8 pixels with g alone", "'d'"),
    (OtherChannels, "directions", "direction paint: shape (2, 3, 8, 8)", "(2, 1, 8, 8)"),
    (NoShares, "directions", "direction paint: label as shares of the choices", "IndexError"),
    (WrongShares, "directions", "direction paint: label as shares of the choices", "another output"),
    (SeesTheBatch, "directions", "the rest of the batch does not change", "0."),
    (NeedsAMultiple, "directions", "direction paint to run on 8x9 pixels", "RuntimeError"),
    (NoSuchRole, "builds", "no error", "phase 'critic' updates 'q'"),
    (OtherApi, "builds", "api = 2", "api = 99"),
    (NotInBf16, "bfloat16", "no error", "RuntimeError"),
    (MovesItsOwn, "roles", "phase critic: weights that no loss moves", "d.weight moved"),
    (ReadsOnTheHost, "device_only", "phase critic: values that stay on the device", "in critic"),
    (BranchesOnProgress, "device_only", "phase critic: values that stay on the device", "in critic"),
    (TakesTheLength, "directions", "any number of samples when it is exported", "len(x)"),
    (BadPreview, "preview", "column paint: shape (N, C, H, W)", "(3, 8, 8)"),
]


@pytest.mark.parametrize(("fault", "check", "expected", "seen"), FAULTS, ids=[row[0].__name__ for row in FAULTS])
def test_fault_is_caught_by_name(fault: type[Sound], check: str, expected: str, seen: str) -> None:
    result = failed(fault())[check]
    text = " | ".join(map(str, result.problems))
    assert expected in text
    assert seen in text


def test_place_is_the_plugin_s_line() -> None:
    problem = failed(NotFinite())["terms"].problems[0]
    assert problem.where == f"test_testing.py:{NotFinite.generator.__code__.co_firstlineno}"
    (problem,) = failed(NotInBf16())["bfloat16"].problems
    assert problem.where.startswith("test_testing.py:")
    assert problem.where.endswith("in generator")


def test_nothing_else_is_tried_when_it_cannot_be_built() -> None:
    results = list(examine(NoSuchRole(), EXAMPLE))
    assert [r.state for r in results] == ["failed"] + ["skipped"] * (len(results) - 1)


def test_assertion_lists_every_fault() -> None:
    with pytest.raises(AssertionError) as caught:
        check_task_model(SumsSamples(), EXAMPLE)
    text = str(caught.value)
    assert text.startswith("SumsSamples breaks 1 rule(s):\nfailed   accumulation: two micro-batches give")
    assert "test_testing.py:" in text


def test_skipping_needs_a_reason_and_a_name() -> None:
    results = check_task_model(SumsSamples(), EXAMPLE, skip={"accumulation": "a sum by design"})
    assert [r.reason for r in results if r.check == "accumulation"] == ["a sum by design"]
    with pytest.raises(UsageError, match="no check is named 'gradient'"):
        check_task_model(Sound(), EXAMPLE, skip={"gradient": ""})


@dataclass(frozen=True, kw_only=True)
class Own(Source):
    """A stranger's source."""

    def open(self, loading: Loading) -> Dataset:
        raise NotImplementedError


def test_own_source_needs_an_example() -> None:
    stranger = type("Stranger", (Sound,), {"source": Own})()
    with pytest.raises(UsageError, match=r"Own has no example\(size\): expected data, by --config or as an Example"):
        check_task_model(stranger)
    check_task_model(stranger, EXAMPLE)


class Shown(Own):
    """A stranger's source that makes up an example."""

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"image": 3}, {"label": ("sun", "rain")}))


def test_own_source_with_an_example_needs_no_data() -> None:
    stranger = type("Stranger", (Sound,), {"source": Shown})()
    assert all(result.state != "failed" for result in check_task_model(stranger))
    example = example_for(stranger)
    assert example.data.names["label"] == ("sun", "rain")
    assert example.batch(4)["label"].dtype == torch.int64


def test_global_random_state_is_left_alone() -> None:
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    check_task_model(Sound(), EXAMPLE)
    assert torch.equal(torch.rand(2), expected)


def test_example_is_not_changed_by_the_checks() -> None:
    assert dataclasses.asdict(EXAMPLE.data) == {**dataclasses.asdict(DataSpec(8, {"image": 3}))}
    check_task_model(Sound(), EXAMPLE)
    assert torch.equal(EXAMPLE.batch(4)["image"], EXAMPLE.batch(4)["image"])


@pytest.mark.slow
def test_graph_break_is_caught_and_processes_agree() -> None:
    results = {r.check: r for r in examine(BreaksTheGraph(), EXAMPLE, slow=True)}
    assert results["compiled"].state == "failed"
    assert "phase generator in one graph" in str(results["compiled"])
    assert results["processes"].state == "passed", str(results["processes"])


@pytest.mark.slow
def test_random_numbers_drawn_in_a_loss_are_caught() -> None:
    assert "two processes" in str(failed(DrawsInTheLoss(), slow=True)["processes"])
