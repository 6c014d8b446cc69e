"""Progressive GAN against its game written out in fp64: every stage, its fading, what is resumed and what is drawn."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_pggan import PGGAN, LabelledPGGAN
from plain_loop import adam, assert_same, engine_of, fp64, given, images
from translate.contract import Batch, DataSpec
from translate.errors import UsageError
from translate.export.onnx import to_onnx
from translate.modelfile.model import load_published
from translate.modelfile.write import save_published
from translate.testing import check_task_model
from translate.training import checkpoint
from translate.training.engine import Engine

SPEC = DataSpec(16, {"image": 3})
SMALL = PGGAN(latent=6, base=128, most=10, group=2, fade=2, steady=1)
"""Stages of 4, 8 and 16 pixels, which begin at the steps 0, 1 and 4."""


def smoothed(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x) * 2**0.5


def conv(layer: nn.Module, x: Tensor, padding: int) -> Tensor:
    scale = layer.weight[0].numel() ** -0.5
    return F.conv2d(x, layer.weight * scale, layer.bias, padding=padding)


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    return x @ layer.weight.T * layer.weight.shape[1] ** -0.5 + layer.bias


def halved(x: Tensor) -> Tensor:
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def larger(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def generate(g: nn.Module, z: Tensor, stage: int, faded: float) -> Tensor:
    def normed(x: Tensor) -> Tensor:
        return x / (x.pow(2).mean(1, keepdim=True) + 1e-8).sqrt()

    (first,) = g.blocks[0].convs
    x = linear(g.first, normed(z)).reshape(len(z), -1, 4, 4)
    x = normed(smoothed(conv(first, normed(smoothed(x)), 1)))
    before = x
    for number in range(1, stage + 1):
        before, x = x, larger(x)
        for layer in g.blocks[number].convs:
            x = normed(smoothed(conv(layer, x, 1)))
    image = conv(g.images[stage], x, 0)
    return image if stage == 0 else faded * image + (1 - faded) * larger(conv(g.images[stage - 1], before, 0))


def judge(d: nn.Module, image: Tensor, stage: int, faded: float) -> Tensor:
    return outputs(d, image, stage, faded)[:, 0]


def outputs(d: nn.Module, image: Tensor, stage: int, faded: float) -> Tensor:
    x = smoothed(conv(d.from_image[stage], image, 0))
    for number in range(stage - 1, -1, -1):
        block = d.blocks[number]
        x = halved(smoothed(conv(block.second, smoothed(conv(block.first, x, 1)), 1)))
        if number == stage - 1:
            x = faded * x + (1 - faded) * smoothed(conv(d.from_image[number], halved(image), 0))
    planes = []
    for pair in x.split(2):
        deviation = ((pair - pair.mean(0)).pow(2).mean(0) + 1e-8).sqrt().mean()
        planes.append(deviation.expand(2, 1, *x.shape[2:]))
    x = smoothed(conv(d.verdict.last, torch.cat([x, torch.cat(planes)], 1), 1))
    return linear(d.verdict.score, smoothed(linear(d.verdict.hidden, x.flatten(1))))


def test_each_stage_equals_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps 0 to 5 are those of 4 pixels, of 8 fading in by halves and whole, of 16 fading in."""
    with fp64():
        engine = engine_of(SMALL, SPEC)
        seen = given(engine, monkeypatch)
        g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
        players = {net: adam(net, 1e-3, (0.0, 0.99)) for net in (g, d)}

        def move(net: nn.Module, loss: Tensor) -> None:
            g.zero_grad()
            d.zero_grad()
            loss.backward()
            players[net].step()

        for step, (stage, faded) in enumerate([(0, 1.0), (1, 0.5), (1, 1.0), (1, 1.0), (2, 0.5), (2, 1.0)]):
            whole = images(SPEC, seed=step)
            seen.clear()
            engine.train_step(lambda whole=whole: {"image": whole}, 0.0)  # type: ignore[misc]
            real = whole
            for _ in range(2 - stage):
                real = halved(real)
            if stage:
                real = faded * real + (1 - faded) * larger(halved(real))
            fake = generate(g, seen[0]["z"], stage, faded).detach()
            share = ((seen[0]["between"] + 1) / 2)[:, None, None, None]
            mixed = (share * real + (1 - share) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(judge(d, mixed, stage, faded).sum(), mixed, create_graph=True)
            penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
            on_real = judge(d, real, stage, faded)
            distance = on_real.mean() - judge(d, fake, stage, faded).mean()
            move(d, 10 * penalty - distance + 0.001 * (on_real**2).mean())
            move(g, -judge(d, generate(g, seen[1]["z"], stage, faded), stage, faded).mean())
            assert engine.read()[f"discriminator_{4 << stage}/distance"] == pytest.approx(distance.item(), abs=1e-6)
            assert engine.nets.g.depth == max(0, stage - 1 + faded)
    assert_same(engine.nets.g, g)
    assert_same(engine.nets.d, d)


def test_labels_equal_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step: the class follows the latent, and is read by D from both kinds of images."""
    spec, label = replace(SPEC, names={"label": ("ship", "horse", "cat")}), torch.tensor([2, 0, 1, 2])
    with fp64():
        engine = engine_of(LabelledPGGAN(latent=6, base=128, most=10, group=2, classify=0.5), spec)
        seen, hot = given(engine, monkeypatch), torch.eye(3)[label]
        g, d = copy.deepcopy(engine.nets.g), copy.deepcopy(engine.nets.d)
        whole = images(spec)
        engine.train_step(lambda: {"image": whole, "label": label}, 0.0)

        def wrong(judged: Tensor) -> Tensor:
            return -0.5 * (judged[:, 1:].log_softmax(1) * hot).sum(1).mean()

        real, fake = halved(halved(whole)), generate(g.net, torch.cat([seen[0]["z"], hot], 1), 0, 1.0).detach()
        share = ((seen[0]["between"] + 1) / 2)[:, None, None, None]
        mixed = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(judge(d, mixed, 0, 1.0).sum(), mixed, create_graph=True)
        on_real, on_fake = outputs(d, real, 0, 1.0), outputs(d, fake, 0, 1.0)
        player = adam(d, 1e-3, (0.0, 0.99))
        loss = on_fake[:, 0].mean() - on_real[:, 0].mean() + 0.001 * (on_real[:, 0] ** 2).mean()
        (loss + 10 * ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean() + wrong(on_real) + wrong(on_fake)).backward()
        player.step()
        player = adam(g, 1e-3, (0.0, 0.99))
        judged = outputs(d, generate(g.net, torch.cat([seen[1]["z"], hot], 1), 0, 1.0), 0, 1.0)
        (wrong(judged) - judged[:, 0].mean()).backward()
        player.step()
    assert_same(engine.nets.g, g)
    assert_same(engine.nets.d, d)


def trained(engine: Engine, steps: range, batch: int = 4) -> Engine:
    for step in steps:
        engine.train_step(lambda step=step: {"image": images(SPEC, batch, step)}, step / 10)  # type: ignore[misc]
    return engine


def test_a_run_resumes_exactly_through_its_stages(tmp_path: Path) -> None:
    for stop in (1, 2, 4):  # before a stage that no weight of was moved yet, and while one fades in
        straight, first, second = (engine_of(SMALL, SPEC, ema=0.9) for _ in range(3))
        trained(straight, range(6))
        path = checkpoint.save_checkpoint(tmp_path / str(stop), trained(first, range(stop)), position=0, keep=1)
        assert path is not None
        checkpoint.load_checkpoint(path, second)
        trained(second, range(stop, 6))
        for one, two in ((straight.nets, second.nets), (straight.averages, second.averages)):
            for name, tensor in one.state_dict().items():
                assert torch.equal(tensor, two.state_dict()[name]), name


def test_micro_batches_of_whole_groups_change_nothing() -> None:
    with fp64():
        task = replace(SMALL, halvings=(8, 16))
        whole, parts = engine_of(task, SPEC, 16), engine_of(task, SPEC, 16, accumulate=2)
        for engine in (whole, parts):
            trained(engine, range(3), 16)
    for name, parameter in whole.nets.named_parameters():
        torch.testing.assert_close(parts.nets.get_parameter(name), parameter, rtol=0, atol=1e-9, msg=name)


@pytest.mark.slow
def test_two_processes_equal_one_whatever_is_halved() -> None:
    check_task_model(replace(SMALL, halvings=(16,)), slow=True, skip={"compiled": "tested with all other models"})


def test_larger_pictures_come_in_smaller_batches_and_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    task = replace(SMALL, halvings=(8, 16))
    assert [(stage.start, stage.fade, stage.stop) for stage in task.stages(16)] == [(0, 1, 1), (1, 4, 7), (7, 8, None)]
    engine = engine_of(task, SPEC, 8)
    judged: list[int] = []
    engine.nets.d.register_forward_pre_hook(lambda module, arguments: judged.append(len(arguments[0])))
    for step, count in ((0, 8), (1, 4), (7, 2)):
        engine.step = step
        judged.clear()
        trained(engine, range(1), 8)
        assert set(judged) == {count}
    x = torch.arange(16)
    assert task.stages(16)[1].part(x, 2).tolist() == [0, 1, 4, 5, 8, 9, 12, 13]
    with pytest.raises(UsageError, match="--batch: 4 images per process and part; expected a multiple of 8"):
        trained(engine_of(task, SPEC, 4), range(1))


def test_the_papers_schedule_and_networks() -> None:
    stages = PGGAN().stages(1024)
    assert [stage.side for stage in stages] == [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert {stage.fade * 16 // stage.parts for stage in stages[1:]} == {800_000}  # images
    assert stages[-1].start + 2 * stages[-1].fade == PGGAN.recipe.steps
    with torch.device("meta"):
        g, d = (PGGAN().networks(DataSpec(1024, {"image": 3}))[role]() for role in "gd")
    widths = [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert [block.convs[-1].weight.shape[0] for block in g.blocks] == widths
    assert [layer.weight.shape[0] for layer in d.from_image] == widths
    counts = [sum(p.numel() for p in net.parameters()) for net in (g, d)]
    assert [round(count / 1e6, 1) for count in counts] == [23.1, 23.1]  # table 2


def test_a_model_draws_what_its_run_had_reached(tmp_path: Path) -> None:
    """A file from a run that was stopped while 8 pixels faded in: enlarged pictures, as ONNX too."""
    engine = trained(engine_of(SMALL, SPEC, ema=0), range(2))
    path = tmp_path / "model.safetensors"
    tensors = checkpoint.published_tensors(engine)
    save_published(path, plugin="pggan", task=SMALL, data=SPEC, tensors=tensors, weights="raw", step=2)
    published, z = load_published(path), torch.randn(2, 6)
    (direction,) = published.directions
    with torch.inference_mode():
        drawn = direction.run(published.nets, Batch({"z": z}))
    torch.testing.assert_close(drawn, larger(generate(engine.nets.g, z, 1, 0.5)), rtol=0, atol=1e-5)
    pytest.importorskip("onnxruntime")
    assert to_onnx(published, direction, tmp_path / "net.onnx") < 1e-3


def test_a_size_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UsageError, match="--size 18: expected 4, 5, 6 or 7 times a power of two"):
        SMALL.networks(DataSpec(18, {"image": 3}))
