"""A third party's package, installed into an environment of its own and used from the command line alone."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from environments import MYPY_CACHE, Environment, fresh
from translate.contract import DataSpec, Noise, TaskModel
from translate.settings import Run
from translate.training.engine import Engine

PACKAGE = Path(__file__).parent / "packages" / "gantk-example"
SMALL = ("--width", "2", "--blocks", "2", "--patches", "4", "--projection", "4", "--patch-layers", "1")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("example")


@pytest.fixture(scope="module")
def environment(root: Path) -> Environment:
    return fresh(root / "env")


@pytest.fixture(scope="module")
def untouched(environment: Environment) -> set[str]:
    return environment.files()


@pytest.fixture(scope="module")
def installed(environment: Environment, untouched: set[str], root: Path) -> Environment:
    # A copy, as a build writes into what it builds.
    environment.install(Path(shutil.copytree(PACKAGE, root / "source")))
    return environment


@pytest.fixture(scope="module")
def folders(root: Path) -> tuple[str, str]:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir()
        for index in range(3):
            pixels = rng.integers(0, 256, (19, 22, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return str(root / "a"), str(root / "b")


@pytest.fixture(scope="module")
def run(installed: Environment, folders: tuple[str, str], root: Path) -> Path:
    data = ("--a", folders[0], "--b", folders[1], "--size", "16", "--workers", "1")
    pace = ("--steps", "3", "--save-every", "2", "--log-every", "1", "--out", str(root / "run"))
    result = installed.gantk("train", "fastcut", *data, *SMALL, *pace)
    assert result.returncode == 0, result.stderr
    return root / "run"


def test_both_models_are_listed_with_their_distribution(installed: Environment) -> None:
    rows = [json.loads(line) for line in installed.gantk("plugins", "--json").stdout.splitlines()]
    ours = {row["name"]: row for row in rows if row["distribution"] == "gantk-example"}
    assert ours.keys() == {"cut", "fastcut"}
    assert {row["state"] for row in ours.values()} == {"ready"}
    assert ours["cut"]["title"] == "Unpaired translation in one direction by contrasting patches (Park et al., 2020)."


def test_the_defaults_of_each_model_are_the_papers(installed: Environment) -> None:
    def defaults(name: str) -> dict[str, str]:
        about = json.loads(installed.gantk("plugins", "show", name, "--json").stdout)
        return {flag["flag"]: flag["default"] for flag in about["flags"]["model"]}

    cut, fast = defaults("cut"), defaults("fastcut")
    assert (cut["--nce"], cut["--identity / --no-identity"], cut["--temperature"]) == ("1", "on", "0.07")
    assert (fast["--nce"], fast["--identity / --no-identity"], fast["--mirror / --no-mirror"]) == ("10", "off", "on")


def test_it_trains_with_its_own_loss(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(np.isfinite(line["translate/nce"]) for line in lines)
    assert "mirror = true" in (run / "config.toml").read_text("utf-8")


def test_it_translates_photos_from_the_run_and_from_the_exported_file(
    installed: Environment, run: Path, folders: tuple[str, str], root: Path
) -> None:
    file = root / "fastcut.safetensors"
    exported = installed.gantk("export", str(run), "--out", str(file))
    assert exported.returncode == 0, exported.stderr
    pictures = []
    for model, out in ((run, root / "of-run"), (file, root / "of-file")):
        result = installed.gantk("infer", str(model), folders[0], "--out", str(out))
        assert result.returncode == 0, result.stderr
        with Image.open(out / "0.png") as picture:
            assert picture.size == (22, 19)
            pictures.append(np.asarray(picture))
    assert np.array_equal(*pictures)


def test_its_network_for_training_alone_is_not_published(run: Path) -> None:
    from safetensors import safe_open

    with safe_open(run / "model.safetensors", framework="pt") as file:
        assert {key.partition(".")[0] for key in file.keys()} == {"g"}  # noqa: SIM118 -- not a dict


def test_it_keeps_the_contract(installed: Environment, root: Path) -> None:
    small = root / "small.toml"
    small.write_text(
        "[model]\nwidth = 2\nblocks = 2\npatches = 4\nprojection = 4\npatch_layers = 1\n", encoding="utf-8"
    )
    result = installed.gantk("plugins", "check", "cut", "--config", str(small), "--json")
    states = {record["check"]: record["state"] for record in map(json.loads, result.stdout.splitlines())}
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(states.values()) == {"passed"}
    assert "published" in states


def test_its_own_tests_pass_where_it_is_installed(installed: Environment, root: Path) -> None:
    result = installed.run("-m", "pytest", "-q", "-k", "not contract", cwd=root / "source")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_its_own_proof_of_the_contract_passes(installed: Environment, root: Path) -> None:
    result = installed.run("-m", "pytest", "-q", "-k", "contract", cwd=root / "source")
    assert result.returncode == 0, result.stdout + result.stderr


def test_it_type_checks_and_is_clean() -> None:
    for command in (["mypy", *MYPY_CACHE], ["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        result = subprocess.run([sys.executable, "-m", *command], cwd=PACKAGE, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def test_without_the_package_its_run_says_what_is_missing(
    installed: Environment, untouched: set[str], run: Path, folders: tuple[str, str], root: Path
) -> None:
    assert installed.pip("uninstall", "--yes", "gantk-example").returncode == 0
    assert installed.files() == untouched, "uninstalling leaves no trace"
    result = installed.gantk("infer", str(run), folders[0], "--out", str(root / "never"))
    assert result.returncode == 2
    assert "fastcut" in result.stderr
    assert "gantk-example" in result.stderr
    assert "Traceback" not in result.stderr
    installed.install(root / "source")


@pytest.mark.parametrize("name", ["CUT", "FastCUT"])
def test_one_update_equals_a_plain_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp64, written after the paper's pseudo-code with hooks on copies of the networks."""
    monkeypatch.syspath_prepend(str(PACKAGE))
    from gantk_example import cut

    task: TaskModel = getattr(cut, name)(width=3, blocks=6, patches=7, projection=5, patch_layers=1)
    generator = torch.Generator().manual_seed(0)
    draws = {
        (2, 5, 7): torch.rand(2, 2, 5, 7, generator=generator) * 2 - 1,
        (1, 1, 1): torch.tensor([-0.4, 0.3]).reshape(2, 1, 1, 1),
    }
    monkeypatch.setattr(Noise, "draw", lambda self, count, generator=None: draws[self.shape])
    a, b = (torch.rand(2, 2, 3, 16, 16, generator=generator) * 2 - 1).double()

    engine = Engine(task, DataSpec(16, {"a": 3, "b": 3}), Run(batch=2))
    engine.nets.double()
    g, f, d = (copy.deepcopy(engine.nets[role]) for role in ("g", "f", "d"))
    for net in (g, f, d):
        net.requires_grad_(True)
    engine.train_step(lambda: {"a": a.clone(), "b": b.clone()}, 0.0)
    logged = engine.read()

    places, mirrored = draws[2, 5, 7], torch.tensor([name == "FastCUT", False])
    move_g = torch.optim.Adam([*g.parameters(), *f.parameters()], lr=2e-4, betas=(0.5, 0.999))
    move_d = torch.optim.Adam(d.parameters(), lr=2e-4, betas=(0.5, 0.999))
    fake = g(flip(a, mirrored))
    adversarial = (d(fake) - 1).square().mean()
    contrast = contrastive(g, f, a, fake, places[:, 0], mirrored)
    assert logged["translate/adv"] == pytest.approx(adversarial.item(), rel=1e-5)
    if name == "CUT":
        again = contrastive(g, f, b, g(b), places[:, 1], mirrored)
        assert logged["translate/nce"] == pytest.approx(contrast.item() / 2, rel=1e-5)
        assert logged["translate/nce_identity"] == pytest.approx(again.item() / 2, rel=1e-5)
        total = adversarial + (contrast + again) / 2
    else:
        assert logged["translate/nce"] == pytest.approx(10 * contrast.item(), rel=1e-5)
        total = adversarial + 10 * contrast
    total.backward()
    move_g.step()
    move_d.zero_grad()
    judged = ((d(b) - 1).square().mean() + d(fake.detach()).square().mean()) / 2
    assert logged["judge/adv"] == pytest.approx(judged.item(), rel=1e-5)
    judged.backward()
    move_d.step()
    for role, net in (("g", g), ("f", f), ("d", d)):
        for (key, ours), theirs in zip(engine.nets[role].named_parameters(), net.parameters(), strict=True):
            # Adam's first step has the length of the rate, 2e-4, whatever the gradient's: 1e-5 of that. A bias before
            # an instance norm has none but rounding.
            assert theirs.grad is not None
            apart = (ours - theirs).abs()[theirs.grad.abs() > 1e-10]
            assert (apart < 1e-5 * 2e-4).all(), f"{role}.{key}"


def flip(images: Tensor, which: Tensor) -> Tensor:
    return torch.stack([image.flip(-1) if turn else image for image, turn in zip(images, which, strict=True)])


def contrastive(g: Any, f: nn.Module, source: Tensor, target: Tensor, places: Tensor, mirrored: Tensor) -> Tensor:
    """The paper's appendix: positives by place, negatives from the same image, cross-entropy against the first."""
    seen: list[Tensor] = []
    layers = [g.down[0], g.down[1], g.blocks[0], g.blocks[4]]
    hooks = [layer.register_forward_hook(lambda module, given, found: seen.append(found)) for layer in layers]
    g(source)
    keys = [source, *seen]
    seen.clear()
    g(target)
    queries = [flip(layer, mirrored) for layer in (target, *seen)]
    for hook in hooks:
        hook.remove()
    total = torch.zeros((), dtype=torch.float64)
    for index, (query, key) in enumerate(zip(queries, keys, strict=True)):
        for sample in range(len(query)):
            pixels = query.shape[2] * query.shape[3]
            at = [int((u + 1) / 2 * pixels) for u in places[sample, index].tolist()]
            head = f.heads[index]  # type: ignore[index]
            q, k = (F.normalize(head(x[sample].flatten(1).t()[at]), dim=1) for x in (query, key))
            k = k.detach()
            for p, place in enumerate(at):
                others = [n for n, other in enumerate(at) if other != place]
                logits = torch.stack([q[p] @ k[p], *(q[p] @ k[n] for n in others)]) / 0.07
                total = total - torch.log_softmax(logits, 0)[0] / len(at) / len(query) / len(queries)
    return total
