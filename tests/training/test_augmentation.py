"""Augmentation by the engine: any model, any number of micro-batches, resumed exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from toy import Toy, toy_batch, toy_data
from translate.contract import Batch, Nets, Terms
from translate.errors import UsageError
from translate.settings import Run
from translate.training.checkpoint import load_checkpoint, save_checkpoint
from translate.training.engine import Engine


def trained(steps: int = 4, task: Toy | None = None, **settings: object) -> Engine:
    engine = Engine(task or Toy(), toy_data(), Run(batch=4, ema=0, **settings))  # type: ignore[arg-type]
    for step in range(steps):
        engine.train_step(lambda s=step: toy_batch(s), 0.0)
    return engine


def state(engine: Engine) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in engine.nets.state_dict().items()}


@pytest.mark.parametrize("kind", ["diffaug", "ada"])
def test_micro_batches_change_nothing(kind: str) -> None:
    whole, parts = trained(**{kind: True}), trained(accumulate=2, **{kind: True})
    for name, tensor in state(whole).items():
        torch.testing.assert_close(state(parts)[name], tensor, rtol=0, atol=1e-5)
    plain = state(trained())
    if kind == "diffaug":
        assert any(not torch.equal(tensor, plain[name]) for name, tensor in state(whole).items())


def test_the_probability_is_state_of_the_run(tmp_path: Path) -> None:
    whole = trained(8, ada=True, ada_target=0.0)
    first = trained(3, ada=True, ada_target=0.0)
    path = save_checkpoint(tmp_path, first, position=3, keep=1)
    assert path is not None
    again = trained(0, ada=True, ada_target=0.0)
    load_checkpoint(path, again)
    for step in range(3, 8):
        again.train_step(lambda s=step: toy_batch(s), 0.0)
    assert all(torch.equal(tensor, state(again)[name]) for name, tensor in state(whole).items())
    assert "ada.d.updates" in state(whole)
    assert int(state(whole)["ada.d.updates"]) == 16  # two updates of the critic in each step


def test_a_model_that_reports_no_scores_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Silent(Toy):
        def critic(self, nets: Nets, x: Batch) -> Terms:
            return {"gap": (nets.d(nets.g(x.a)) - nets.d(x.b)).mean()}

    with pytest.raises(UsageError, match="--ada: the model does not report the scores of d"):
        trained(1, Silent(), ada=True)
    trained(1, Silent(), diffaug=True)


def test_without_a_discriminator_or_with_compile_it_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Nameless(Toy):
        discriminators = ()

    with pytest.raises(UsageError, match="--diffaug: this model names no discriminator"):
        trained(0, Nameless(), diffaug=True)
    with pytest.raises(UsageError, match="--compile: augmented discriminators"):
        trained(0, ada=True, compile=True)
    with pytest.raises(UsageError, match="--diffaug and --ada exclude each other"):
        Run(diffaug=True, ada=True)
