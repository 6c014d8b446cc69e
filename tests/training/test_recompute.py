"""What a step is said to need, and recomputing blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from toy import Toy, toy_batch, toy_data
from translate.contract import Batch, DataSpec, Nets, Networks, Phase, Terms
from translate.errors import UsageError
from translate.generators.resnet import ResnetGenerator
from translate.settings import Run
from translate.training.engine import Engine
from translate.training.estimate import estimate
from translate.training.recompute import recompute_towers


@dataclass(frozen=True, kw_only=True)
class Plain(Toy):
    """One linear layer, whose memory can be counted by hand."""

    averaged = ()

    def networks(self, data: DataSpec) -> Networks:
        return {"g": lambda: nn.Linear(8, 8, bias=False)}

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [Phase("only", ("g",), self.only)]

    def only(self, nets: Nets, x: Batch) -> Terms:
        return {"loss": nets.g(x.a).square().mean()}


@dataclass(frozen=True, kw_only=True)
class Residual(Toy):
    """A generator with a tower of blocks."""

    def networks(self, data: DataSpec) -> Networks:
        return {**super().networks(data), "g": lambda: ResnetGenerator(3, 3, base=2, blocks=3)}


def nets_of(task: Toy) -> Nets:
    return Nets({role: build() for role, build in task.networks(toy_data()).items()})


def test_the_estimate_counts_weights_and_what_the_backward_pass_keeps() -> None:
    task = Plain()
    found = estimate(task, toy_data(), nets_of(task), toy_batch(0))
    assert found is not None
    assert found.state == 4 * 64 * 4  # weight, gradient and two moments of 8 x 8 numbers
    images = 4 * 3 * 8 * 8 * 4
    assert found.activations == 2 * images  # the layer's input, and its output for the square


def test_a_loss_that_needs_values_has_no_estimate() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Peeking(Plain):
        def only(self, nets: Nets, x: Batch) -> Terms:
            loss = nets.g(x.a).mean()
            return {"loss": loss if float(loss) > 0 else -loss}

    task = Peeking()
    assert estimate(task, toy_data(), nets_of(task), toy_batch(0)) is None


def test_recomputing_needs_less_and_changes_nothing() -> None:
    def engine(recompute: bool) -> Engine:
        return Engine(Residual(), toy_data(), Run(batch=4, recompute=recompute))

    plain, thrifty = engine(False), engine(True)
    for one in (plain, thrifty):
        for step in range(2):
            one.train_step(lambda s=step: toy_batch(s), 0.0)
    for key, value in plain.nets.state_dict().items():
        torch.testing.assert_close(thrifty.nets.state_dict()[key], value, rtol=0, atol=1e-6)
    before = estimate(Residual(), toy_data(), plain.nets, toy_batch(0))
    after = estimate(Residual(), toy_data(), thrifty.nets, toy_batch(0))
    assert before is not None
    assert after is not None
    assert after.activations < before.activations


def test_blocks_with_batch_norm_are_not_recomputed() -> None:
    assert recompute_towers(ResnetGenerator(3, 3, base=2, blocks=3)) == 3
    assert recompute_towers(ResnetGenerator(3, 3, base=2, blocks=3, norm="batch")) == 0


def test_a_model_without_blocks_refuses() -> None:
    with pytest.raises(UsageError, match="--recompute: this model has no residual blocks"):
        Engine(Toy(), toy_data(), Run(batch=4, recompute=True))
