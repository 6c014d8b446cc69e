"""``gantk plugins check``: a stranger's plugin with a planted fault is caught by name, with its line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stranger import install
from translate import plugins
from translate.cli import app as cli
from translate.testing import check_names

SOUND = '''
"""A small task model without fault."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F
from translate import Batch, DataSpec, Direction, Nets, Networks, Phase, Run, TaskModel
from translate.data.unpaired import Unpaired

COUNT = itertools.count(1)
tint = 1.0


@dataclass(frozen=True, kw_only=True)
class Sepia(TaskModel):
    """Brown pictures."""

    api = 2
    source = Unpaired
    recipe = Run(batch=2, size=16, epochs=1)
    weight: Annotated[float, "of the distance", Ge(0)] = 1.0
    # more fields

    def networks(self, data):
        return {"g": lambda: nn.Sequential(nn.Conv2d(3, 3, 3, padding=1)), "d": lambda: nn.Conv2d(3, 1, 3)}

    def phases(self, data: DataSpec):
        return [Phase("fit", ("g",), self.fit), Phase("judge", ("d",), self.judge)]

    def fit(self, nets, x):
        fake = nets.g(x.a)
        # more of the loss
        return {"l1": self.weight * tint * (fake - x.b).abs().mean(), "adv": nets.d(fake).square().mean()}

    def judge(self, nets, x):
        return {"adv": (nets.d(x.b) - 1).square().mean()}

    def directions(self, data):
        return [Direction("a2b", "a", "b", ("g",), self.a2b)]

    def a2b(self, nets, x):
        return nets.g(x.a).tanh()
'''
FIELD, LOSS = "# more fields", "# more of the loss"

FAULTS: dict[str, tuple[str, str, str, str]] = {
    # id: what is replaced, by what, the check that must catch it, and what it must say
    "weights of another role, clipped in a loss": (
        LOSS,
        "nets.d.weight.data.clamp_(-0.01, 0.01)",
        "roles",
        "expected phase fit to move g alone; found: d.weight moved",
    ),
    "a weight that no gradient reaches": (
        "nn.Conv2d(3, 1, 3)}",
        "Spare()}",
        "gradients",
        "role d: a gradient for every weight; found: none for 1 of its weights, such as spare",
    ),
    "a term that is not finite": (
        LOSS,
        "fake = (fake.abs() * 0 - 1).log()",
        "terms",
        "phase fit, l1: a finite value; found: nan",
    ),
    "statistics across the samples": (
        LOSS,
        "fake = fake - fake.mean(0, keepdim=True)",
        "accumulation",
        "role g: the whole batch's gradient from two halves",
    ),
    "a counter outside the networks": (LOSS, "fake = fake / next(COUNT)", "resume", "the same tensors after a resume"),
    "state on the task model": (
        LOSS,
        "object.__setattr__(self, 'last', fake)",
        "stateless",
        "no new attributes; state is a buffer of a role; found: self.last",
    ),
    "numpy's random numbers": (LOSS, "fake = fake * np.random.rand()", "seeds", "equal weights from equal seeds"),
    "python's random numbers": (LOSS, "fake = fake * random.random()", "seeds", "equal weights from equal seeds"),
    "another size for odd photos": (
        "nets.g(x.a).tanh()",
        "F.interpolate(F.avg_pool2d(nets.g(x.a), 2), scale_factor=2)",
        "directions",
        "direction a2b: shape (2, 3, 33, 32); found: (2, 3, 32, 32)",
    ),
    "two number formats in one product": (
        LOSS,
        "fake.flatten().dot(x.b.flatten())",
        "bfloat16",
        "expected no error; found: RuntimeError",
    ),
    "a setting that no file can hold": (
        FIELD,
        "act: Callable[[Tensor], Tensor] = torch.tanh",
        "settings",
        "field act: a value that TOML has, and gives back",
    ),
    "a role that a direction does not declare": (
        "nets.g(x.a).tanh()",
        "nets.g(x.a).tanh() * nets.d.bias",
        "directions",
        "direction a2b to run on 32x32 pixels with g alone",
    ),
}

SPARE = """

class Spare(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 1, 3)
        self.spare = nn.Parameter(torch.zeros(1))
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("stranger_sepia", None)


def check(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code and the records of the check of ``sepia``, by name."""
    code = cli.run(["plugins", "check", "sepia", "--json", *more])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, {record["check"]: record for record in records if "check" in record}


def problems(record: dict[str, Any]) -> str:
    return "\n".join(f"expected {p['expected']}; found: {p['found']}" for p in record["problems"])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_by_name(site: Path, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, name, message = FAULTS[fault]
    assert old in SOUND
    install(site, "brown-tools", code=SOUND.replace(old, new) + SPARE)
    code, results = check(capsys)
    assert code == 1
    assert results[name]["state"] == "failed"
    assert message in problems(results[name])
    for problem in results[name]["problems"]:
        file, line = problem["where"].split(" ")[0].split(":")
        assert file == "stranger_sepia.py"
        assert 1 <= int(line) <= SOUND.count("\n") + SPARE.count("\n")


def test_a_plugin_without_fault_passes_with_a_line_for_each_rule(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "brown-tools", code=SOUND)
    assert cli.run(["plugins", "check", "sepia"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[1].rstrip(":") for line in out.splitlines()] == check_names()
    assert err.strip() == f"sepia (brown-tools 2.3): {len(check_names())} passed, 0 failed, 0 skipped"


def test_the_text_names_expectation_sight_and_line(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = SOUND.replace(LOSS, FAULTS["a term that is not finite"][1])
    install(site, "brown-tools", code=code)
    assert cli.run(["plugins", "check", "sepia"]) == 1
    out, err = capsys.readouterr()
    line = code[: code.index("def fit")].count("\n") + 1
    assert f"expected phase fit, l1: a finite value; found: nan (stranger_sepia.py:{line})" in out
    assert "failed" in err
    assert "Traceback" not in out + err


def test_the_config_gives_other_settings_and_the_data(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "brown-tools", code=SOUND)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(8):
            pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    config = tmp_path / "grey.toml"
    lines = [f'a = "{(tmp_path / "a").as_posix()}"', f'b = "{(tmp_path / "b").as_posix()}"', "channels = 1"]
    config.write_text("\n".join(["[data]", *lines]), encoding="utf-8")
    code, results = check(capsys, "--config", str(config))
    assert code == 1
    assert "expected input" in problems(results["stateless"]), "its networks take three channels, the data has one"

    config.write_text("[model]\nweigth = 2.0\n", encoding="utf-8")
    assert cli.run(["plugins", "check", "sepia", "--config", str(config)]) == 2
    assert "unknown key 'weigth' in [model] (did you mean weight?)" in capsys.readouterr().err

    (tmp_path / "a" / "0.png").unlink()
    (tmp_path / "b" / "0.png").unlink()
    config.write_text("\n".join(["[data]", *lines]), encoding="utf-8")
    assert cli.run(["plugins", "check", "sepia", "--config", str(config)]) == 2
    assert "expected 8 samples or more to check on, found 7" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "name", "message"),
    [
        ("fake = fake * 2 if fake.mean() > 0 else fake", "compiled", "phase fit in one graph"),
        ("fake = fake + torch.randn(fake.shape)", "processes", "role g: one process's gradient from two"),
    ],
)
def test_a_fault_that_only_the_slow_checks_see(
    site: Path, line: str, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "brown-tools", code=SOUND.replace(LOSS, line))
    code, results = check(capsys, "--slow")
    assert code == 1
    assert message in problems(results[name])


@pytest.mark.slow
def test_a_plugin_without_fault_passes_the_slow_checks(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "brown-tools", code=SOUND)
    code, results = check(capsys, "--slow")
    assert code == 0
    assert {record["state"] for record in results.values()} == {"passed"}
