"""Video-Pix2Pix against a plain loop, on drawn clips, and over folders of frames."""

from __future__ import annotations

import copy
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import translate
from gantk_video_pix2pix import VideoPix2Pix
from plain_loop import adam, assert_same, engine_of, fp64, given
from translate.cli.app import run as command
from translate.contract import Batch, DataSpec
from translate.testing import check_task_model

SPEC = DataSpec(32, {"a": 1, "b": 3, "a_before": 1, "b_before": 3})
SMALL: dict[str, Any] = {"width": 2, "patch_layers": 1, "norm": "instance", "dropout": 0.0}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location("draw_clips", Path(__file__).resolve().parents[2] / "assets/draw_clips.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["draw_clips"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def batch_of(count: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    shape = (SPEC.size, SPEC.size)
    dtype = torch.get_default_dtype()
    return {
        name: torch.rand(count, channels, *shape, generator=generator, dtype=dtype) * 2 - 1
        for name, channels in SPEC.channels.items()
    }


def plain_score(weights: list[Tensor], x: Tensor) -> Tensor:
    """A patch discriminator of one stride-2 layer."""
    left = iter(weights)
    x = F.leaky_relu(F.conv2d(x, next(left), next(left), stride=2, padding=1), 0.2)
    x = F.conv2d(x, next(left), next(left), padding=1)
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    x = F.leaky_relu((x - mean) / (variance + 1e-5).sqrt(), 0.2)
    return F.conv2d(x, next(left), next(left), padding=1)


def says(logits: Tensor, real: bool) -> Tensor:
    chance = logits.sigmoid()
    return -(chance if real else 1 - chance).log().mean()


def test_a_step_equals_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample by sample: half of them go on from the first result, the others from the true frame before."""
    with fp64():
        engine, batch = engine_of(VideoPix2Pix(**SMALL), SPEC), batch_of()
        seen = given(engine, monkeypatch)
        nets = copy.deepcopy(engine.nets)
        d = [*nets.d.parameters()]
        g_adam, d_adam = adam(nets.g), adam(nets.d)
        engine.train_step(lambda: dict(batch), 0.0)
        own = [float(turn) > 0 for turn in seen[0]["turn"]]
        assert 0 < sum(own) < 4
        black = torch.zeros(1, 3, 32, 32)
        terms, judged = [], []
        for n in range(4):
            a, b, a_before, b_before = (batch[name][n : n + 1] for name in ("a", "b", "a_before", "b_before"))
            first = nets.g(torch.cat([a_before, black], 1))
            before = first if own[n] else b_before
            fake = nets.g(torch.cat([a, before], 1))
            shown = torch.cat([a_before, black, first], 1), torch.cat([a, before, fake], 1)
            adversarial = sum(says(plain_score(d, each), True) for each in shown) / 2
            distance = ((first - b_before).abs().mean() + (fake - b).abs().mean()) / 2
            change = ((fake - before) - (b - b_before)).abs().mean()
            terms.append(adversarial + 100 * distance + 100 * change)
            reals = torch.cat([a_before, black, b_before], 1), torch.cat([a, b_before, b], 1)
            judged.append(([each.detach() for each in shown], reals))
        g_adam.zero_grad()
        (sum(terms) / 4).backward()
        g_adam.step()
        d_adam.zero_grad()
        losses = [
            sum(says(plain_score(d, each), real) for each in pictures) / 4
            for fakes, reals in judged
            for pictures, real in ((fakes, False), (reals, True))
        ]
        (sum(losses) / 4).backward()
        d_adam.step()
    assert_same(engine.nets.g, nets.g)
    assert_same(engine.nets.d, nets.d)


def test_a_frame_is_given_the_result_before() -> None:
    engine, batch = engine_of(VideoPix2Pix(**SMALL), SPEC), batch_of()
    (direction,) = engine.task.directions(SPEC)
    assert direction.sequence
    nets = engine.nets.eval()
    with torch.inference_mode():
        x = Batch({"a": batch["a_before"]})
        first = direction.run(nets, x)
        second = direction.run(nets, Batch({"a": batch["a"], **x.kept}))
        assert torch.equal(first, nets.g(torch.cat([batch["a_before"], torch.zeros_like(first)], 1)))
        assert torch.equal(second, nets.g(torch.cat([batch["a"], first], 1)))
        columns = engine.task.preview(nets, Batch(batch), SPEC)
    assert torch.equal(columns["a2b"], second)


def test_the_contract_holds() -> None:
    check_task_model(VideoPix2Pix(**SMALL))


def test_clips_are_drawn_alike_and_move(script: ModuleType, tmp_path: Path) -> None:
    for name in ("one", "two"):
        script.main(["--out", str(tmp_path / name), "--clips", "2", "--frames", "4", "--size", "32"])
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.png"))
    assert len(files) == 2 * 2 * 4
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    frames = [np.asarray(Image.open(tmp_path / f"one/b/clip-000/{time}.png")).astype(int) for time in range(4)]
    changes = [np.abs(after - before).mean() for before, after in pairwise(frames)]
    assert all(0.1 < change < 40 for change in changes)
    shapes = script.shapes_of(np.random.default_rng(3), 0.5)
    corners = [corner for shape in shapes for time in range(0, 400, 7) for point in shape.at(time) for corner in point]
    assert min(corners) >= 0
    assert max(corners) <= 1


def test_from_drawn_clips_to_frames_in_order(script: ModuleType, tmp_path: Path) -> None:
    script.draw_clips(tmp_path, clips=2, frames=3, size=32, seed=0)
    run = translate.train(
        "video-pix2pix",
        a=tmp_path / "a",
        b=tmp_path / "b",
        out=tmp_path / "run",
        **{"size": 32, "batch": 2, "steps": 2, "quiet": True, "device": "cpu", **SMALL},
    )
    assert command(["infer", str(run), str(tmp_path / "a"), "--out", str(tmp_path / "out")]) == 0
    model = translate.load(run)
    frames = [np.asarray(Image.open(tmp_path / f"a/clip-001/{time}.png")) for time in range(3)]
    tensor = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
    results = ((model(tensor) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    written = [np.asarray(Image.open(tmp_path / f"out/clip-001/{time}.png")) for time in range(3)]
    assert np.abs(np.stack(written).astype(int) - results).max() <= 1
    alone = model(frames[2]).astype(int)
    assert np.abs(alone - written[2]).max() > 0  # as the first of a clip it is another picture
