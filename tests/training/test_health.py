"""Planted failures, each to be named within 200 steps, and good runs, of which nothing is to be said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from toy import Toy, ToyWithBatchNorm, ToyWithPool, toy_data
from translate.cli import app as cli
from translate.contract import Batch, Dataset, DataSpec, Direction, Nets, Networks, Noise, Phase, Terms
from translate.data.loader import fixed_batch
from translate.errors import UsageError
from translate.settings import Run
from translate.training.checkup import Checkup
from translate.training.engine import Engine
from translate.training.health import Finding, Watch, examine, read_records
from translate.training.journal import Journal
from translate.training.memorising import Memory
from translate.training.probe import probe

STEPS = 200


def batch(index: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    coarse = torch.rand(4, 3, 4, 4, generator=generator) * 2 - 1
    a = nn.functional.interpolate(coarse, scale_factor=2) * 0.8
    return {"a": a, "b": (-a + 0.4).roll(1, 2)}


class Few(Dataset):
    """A few pictures of noise, which have nothing in common but what they are."""

    def __init__(self, count: int, seed: int) -> None:
        self.spec = toy_data()
        self._pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._pixels)

    def sample(self, index: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        pixels = torch.from_numpy(self._pixels)
        return {"a": pixels[(7 * index + 3) % len(self)], "b": pixels[index]}


def found(task: Toy, steps: int = STEPS, run: Run | None = None) -> Iterator[Finding]:
    """What a run of the task model shows, looked at as `translate.training.run` does."""
    engine = Engine(task, toy_data(), run or Run(batch=16 if isinstance(task, Sampler) else 4))
    watch = Watch.of(task, engine.phases)
    samples = {**batch(0), "z": torch.randn(8, 5, generator=torch.Generator().manual_seed(0))}
    draw, memory = batch, None
    if isinstance(task, Judge):
        training = Few(task.pictures, 0)
        draw = lambda step: fixed_batch(training, 4, step)  # noqa: E731
        memory = Memory(engine, training, Few(16, 1))
    for step in range(steps):
        engine.train_step(lambda step=step: draw(step), step / steps)  # type: ignore[misc]
        if engine.step % 10 == 0:
            record = {"step": engine.step, "waiting": 0.0, **engine.read()}
            looked = engine.step % 50 == 0
            record |= memory.numbers() if looked and memory is not None else {}
            yield from watch.add(record | (probe(engine, samples) if looked else {}))


@dataclass(frozen=True, kw_only=True)
class Planted(Toy):
    """A toy whose generator is trained on one thing alone."""

    lr: float = 0.02
    goal: Callable[[Nets, Batch], Tensor] = lambda nets, x: (nets.g(x.a).tanh() - x.b).square().mean()
    rate: float = 1.0
    judged: Callable[[Terms], Terms] = lambda terms: terms

    def networks(self, data: DataSpec) -> Networks:
        def generator() -> nn.Module:
            return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(8, 3, 3, padding=1))

        return {**super().networks(data), "g": generator}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        return {"goal": self.goal(nets, x)}

    def critic(self, nets: Nets, x: Batch) -> Terms:
        return self.judged(super().critic(nets, x))

    def lr_at(self, progress: float) -> float:
        return self.rate


@dataclass(frozen=True, kw_only=True)
class Sampler(Planted):
    """Pictures from noise that are all to become the same one."""

    def networks(self, data: DataSpec) -> Networks:
        return {**super().networks(data), "g": lambda: nn.Sequential(nn.Linear(5, 192), nn.Unflatten(1, (3, 8, 8)))}

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [Phase("generator", ("g",), self.generator, noise={"z": Noise((5,))})]

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [Direction("sample", "z", "b", ("g",), lambda nets, x: nets.g(x.z).tanh(), latent=Noise((5,)))]


@dataclass(frozen=True, kw_only=True)
class Judge(Planted):
    """A critic that sees whole pictures, of few or of many; the generator does not follow."""

    pictures: int = 8
    lr: float = 0.003

    def networks(self, data: DataSpec) -> Networks:
        def critic() -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

        return {**super().networks(data), "d": critic}

    def critic(self, nets: Nets, x: Batch) -> Terms:
        real, fake = nets.d(x.b), nets.d(x.z)
        x.scores("d", real=real, fake=fake)
        return {"real": (1 - real).relu().mean(), "fake": (1 + fake).relu().mean()}

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        critic, generator = super().phases(data)
        return [replace(critic, noise={"z": Noise((3, 8, 8), "uniform")}), generator]


CHECKS = torch.tensor([[0.8, -0.8] * 4, [-0.8, 0.8] * 4] * 4)


def two_modes(fakes: Tensor) -> Tensor:
    """How far each picture is from the nearer one of two."""
    return torch.stack([(fakes - mode).square().mean((1, 2, 3)) for mode in (CHECKS, -CHECKS)]).amin(0).mean()


@dataclass(frozen=True, kw_only=True)
class Winning(Planted):
    """A critic whose game is over after 50 steps: from then on, fakes cannot be mistaken for real pictures."""

    def critic(self, nets: Nets, x: Batch) -> Terms:
        side = torch.where(x.step < 50, 1.0, -1.0)
        real, fake = 16 * nets.d(x.b.abs()), 16 * nets.d(side * x.b.roll(1, 3).abs())
        return {"real": nn.functional.softplus(-real).mean(), "fake": nn.functional.softplus(fake).mean()}


@dataclass(frozen=True, kw_only=True)
class Copying(Planted):
    """A translator that hardly changes what it is given."""

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [Direction("a2b", "a", "b", ("g",), lambda nets, x: x.a + 0.01 * nets.g(x.a).tanh())]


def swinging(nets: Nets, x: Batch) -> Tensor:
    """How far the results are from a shade that changes sides every 50 steps, last before each look."""
    shade = torch.where((x.step + 12) // 50 % 2 == 0, 0.9, -0.9)
    return (nets.g(x.a).tanh() - shade - 0.1 * x.b).square().mean()


PLANTED: list[tuple[str, str, Toy]] = [
    ("dead", "generator", Planted(goal=lambda nets, x: nets.g(x.a).mean() * 0)),
    ("dead", "critic", Planted(judged=lambda terms: {n: t * 0 for n, t in terms.items()})),
    ("no-learning-rate", "generator", Planted(rate=0.0)),
    ("constant", "a2b", Planted(goal=lambda nets, x: nets.g(x.a).square().mean())),
    ("saturated", "a2b", Planted(goal=lambda nets, x: -nets.g(x.a).abs().mean(), lr=0.2)),
    ("collapse", "sample", Sampler(goal=lambda nets, x: (nets.g(x.z).tanh() - CHECKS).square().mean(), lr=0.03)),
    ("duplicates", "sample", Sampler(goal=lambda nets, x: two_modes(nets.g(x.z).tanh()), lr=0.03)),
    ("memorises", "d", Judge()),
    ("discriminator-won", "critic", Winning()),
    ("average-far", "a2b", Planted(goal=swinging, lr=0.05)),
    ("copy", "a2b", Copying()),
    ("inverted", "a2b", Planted(goal=lambda nets, x: (nets.g(x.a).tanh() + x.a).square().mean())),
    ("explosion", "generator/goal", Planted(goal=lambda nets, x: -nets.g(x.a).pow(4).mean(), lr=0.01)),
]


@pytest.mark.parametrize(("kind", "where", "task"), PLANTED, ids=[f"{p[0]}-{p[1]}" for p in PLANTED])
def test_a_planted_failure_is_named(kind: str, where: str, task: Toy) -> None:
    finding = next((each for each in found(task) if (each.kind, each.where) == (kind, where)), None)
    assert finding is not None
    assert finding.since <= STEPS
    assert finding.advice
    assert "\n" not in finding.line


def test_a_result_near_its_input_is_no_copy_where_the_target_is_near_too() -> None:
    engine = Engine(Copying(), toy_data(), Run(batch=4))
    a = batch(0)["a"]
    near, far = ({"a": a, "b": a + 0.05}, {"a": a, "b": batch(0)["b"]})
    assert "health/a2b/change" not in probe(engine, near)
    assert probe(engine, far)["health/a2b/change"] < 0.015


def test_a_critic_of_many_pictures_knows_none_by_heart() -> None:
    assert "memorises" not in {finding.kind for finding in found(Judge(pictures=2000, lr=0.001))}


GOOD = [Toy(), ToyWithBatchNorm(), ToyWithPool(), Planted(), Planted(lr=0.002), replace(Toy(), lr=2e-3)]


@pytest.mark.parametrize("task", GOOD, ids=range(len(GOOD)))
def test_nothing_is_said_of_a_good_run(task: Toy) -> None:
    assert list(found(task, steps=250)) == []


def records(**series: Sequence[float]) -> list[dict[str, float]]:
    length = len(next(iter(series.values())))
    return [
        {"step": 20 * (k + 1), **{name.replace("__", "/"): values[k] for name, values in series.items()}}
        for k in range(length)
    ]


def watch() -> Watch:
    return Watch.of(Toy(), Toy().phases(toy_data()))


def test_a_discriminator_that_has_won() -> None:
    falls = [2.0, 1.8, 1.9, 2.1, 2.0, 1e-4, 1e-5, 1e-5, 1e-5]
    (finding,) = examine(watch(), records(critic__grad_norm=falls))
    assert (finding.kind, finding.since, finding.certain) == ("discriminator-won", 120, False)
    assert "--lr-d" in finding.advice
    assert not examine(watch(), records(generator__grad_norm=falls))
    assert not examine(watch(), records(critic__grad_norm=[2.0, 1.0, 0.5, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1]))


def test_data_that_cannot_keep_up() -> None:
    (finding,) = examine(watch(), records(waiting=[0.2] * 3 + [0.95] * 10))
    assert (finding.kind, finding.since) == ("waiting", 80)
    assert not examine(watch(), records(waiting=[0.95, 0.5] * 10))


def test_an_average_far_from_its_weights() -> None:
    (finding,) = examine(watch(), records(health__a2b__average_gap=[0.1, 0.2, 0.7, 0.8, 0.7]))
    assert (finding.kind, finding.where, finding.since) == ("average-far", "a2b", 60)
    assert "--ema" in finding.advice
    assert not examine(watch(), records(health__a2b__average_gap=[0.7, 0.8, 0.2, 0.7, 0.8]))


def test_a_dead_phase_must_stay_dead() -> None:
    assert not examine(watch(), records(generator__grad_norm=[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]))
    (finding,) = examine(watch(), records(generator__grad_norm=[1.0, 0.0, 0.0, 0.0, 0.0]))
    assert (finding.since, finding.certain) == (40, True)


def test_a_resumed_run_reports_nothing_twice() -> None:
    series = records(generator__grad_norm=[1.0, 0.0, 0.0, 0.0, 0.0])
    first = watch()
    (finding,) = [each for record in series[:4] for each in first.add(record)]
    second = watch()
    for record in [*series[:4], finding.record(80)]:
        second.add(record)
    assert second.add(series[4]) == []


def test_records_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"epoch": 2}\n')
    with pytest.raises(UsageError, match=r"metrics\.jsonl: line 2 is no record"):
        list(read_records(file))


def test_the_probe_leaves_no_trace() -> None:
    engine = Engine(ToyWithBatchNorm(), toy_data(), Run(batch=4))
    engine.train_step(lambda: batch(0), 0)
    before = {key: value.clone() for key, value in engine.nets.state_dict().items()}
    modes = [module.training for module in engine.nets.modules()]
    assert probe(engine, batch(1))["health/a2b/contrast"] > 0
    assert [module.training for module in engine.nets.modules()] == modes
    for key, value in engine.nets.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.fixture
def run_folder(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    folders = ["--a", str(tmp_path / "a"), "--b", str(tmp_path / "b"), "--out", str(tmp_path / "run")]
    small = ["--size", "8", "--width", "2", "--blocks", "1", "--patch-layers", "0", "--pool", "0", "--workers", "0"]
    pace = ["--log-every", "10", "--steps", "60", "--device", "cpu", "--precision", "fp32"]
    return ["train", "cyclegan", *folders, *small, *pace]


def test_a_dead_run_stops_and_says_why(
    run_folder: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gantk_cyclegan import CycleGAN

    original = CycleGAN.phases

    def phases(self: CycleGAN, data: DataSpec) -> Sequence[Phase]:
        return [
            replace(phase, loss=lambda nets, x, loss=phase.loss: {n: t * 0 for n, t in loss(nets, x).items()})
            for phase in original(self, data)
        ]

    monkeypatch.setattr(CycleGAN, "phases", phases)
    out = tmp_path / "run"
    assert cli.run(run_folder) == 4
    error = capsys.readouterr().err
    assert "gantk: warning: health: phase generators has no gradient" in error
    assert "gantk: error: stopped at step 30, as training is dead" in error
    assert "--resume --no-stop-when-dead" in error
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["health"] for line in lines if "health" in line] == ["dead", "dead"]
    assert (out / "model.safetensors").is_file()
    assert cli.run([*run_folder, "--resume", "--no-stop-when-dead"]) == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["health"] for line in lines if "health" in line] == ["dead", "dead"]
    assert lines[-1]["step"] == 60
    assert "health/a2b/contrast" in next(line for line in lines if line["step"] == 50)
    capsys.readouterr()
    assert cli.run(["health", str(out)]) == 0
    assert capsys.readouterr().out.count("has no gradient") == 2


def test_a_good_run_says_nothing(run_folder: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(run_folder) == 0
    assert "health:" not in capsys.readouterr().err
    assert cli.run(["health", str(tmp_path / "run")]) == 0
    assert "nothing found" in capsys.readouterr().err
    assert cli.run(["health", str(tmp_path / "a")]) == 2


def test_looks_grow_rare(tmp_path: Path) -> None:
    checkup = Checkup(Engine(Toy(), toy_data(), Run(batch=4)), Journal(), tmp_path, stops=True)
    assert [step for step in range(1, 900) if checkup.due(step)] == [50, 100, 150, 200, 400, 600, 800]


def test_a_rehearsal_leaves_no_trace() -> None:
    engine = Engine(ToyWithPool(), toy_data(), Run(batch=4, diffaug=True))
    engine.train_step(lambda: batch(0), 0)
    before = {key: value.clone() for key, value in engine.nets.state_dict().items()}
    found = engine.rehearse(batch(1), turn=0)
    assert found == engine.rehearse(batch(1), turn=0)
    for key, value in engine.nets.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(parameter.grad is None for parameter in engine.nets.parameters())


def test_scores_of_held_out_pictures_are_recorded(run_folder: list[str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(tmp_path / name, tmp_path / "held" / name)
        for file in (tmp_path / "held" / name).iterdir():
            Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    command = [*run_folder, "--evaluate-every", "60", "--val", str(tmp_path / "held")]
    assert cli.run(command) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    shares = [lines[-1][f"health/{role}/memorised"] for role in ("d_a", "d_b")]
    assert all(0 <= share <= 1 for share in shares)
