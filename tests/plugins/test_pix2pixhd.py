"""Pix2PixHD and SPADE against plain loops, coarse to fine, in tiles, and from folders of maps to a published model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import translate
from gantk_pix2pixhd import Pix2PixHD, Spade, edges_of
from plain_loop import adam, assert_same, engine_of, fp64, given
from translate.cli.app import run as command
from translate.contract import Batch, DataSpec
from translate.data.example import noise_pictures
from translate.errors import UsageError
from translate.infer.options import InferOptions
from translate.infer.runner import Network
from translate.modelfile.model import Published, load_published
from translate.modelfile.write import save_published
from translate.testing import check_task_model

CLASSES = 3
MAPS = DataSpec(32, {"label": CLASSES, "instances": 1, "image": 3}, indexed=("label", "instances"))
PLAIN = DataSpec(32, {"label": CLASSES, "image": 3}, indexed=("label",))
SMALL: dict[str, Any] = {
    "width": 4,
    "halvings": 1,
    "blocks": 1,
    "local_blocks": 1,
    "d_width": 2,
    "scales": 2,
    "patch_layers": 1,
    "coarse_steps": 1,
    "alone_steps": 1,
}


def batch_of(spec: DataSpec, count: int = 2, size: int | None = None) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    side = size or spec.size
    batch = {name: noise_pictures(spec, name, count, side, side, generator) for name in spec.channels}
    return {name: tensor.to(torch.get_default_dtype()) for name, tensor in batch.items()}


def plain_edges(instances: Tensor) -> Tensor:
    count, _, height, width = instances.shape
    found = torch.zeros_like(instances)
    for n in range(count):
        for y in range(height):
            for x in range(width):
                for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        differs = instances[n, 0, y, x] != instances[n, 0, y + dy, x + dx]
                        found[n, 0, y, x] = max(found[n, 0, y, x], differs)
    return found


def normed(x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def mirrored(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(F.pad(x, [weight.shape[2] // 2] * 4, mode="reflect"), weight, bias)


def plain_block(left: Iterator[Tensor], x: Tensor) -> Tensor:
    y = normed(mirrored(x, next(left), next(left))).relu()
    return x + normed(mirrored(y, next(left), next(left)))


def plain_trunk(left: Iterator[Tensor], x: Tensor) -> Tensor:
    x = normed(mirrored(x, next(left), next(left))).relu()
    x = normed(F.conv2d(x, next(left), next(left), stride=2, padding=1)).relu()
    x = plain_block(left, x)
    return normed(F.conv_transpose2d(x, next(left), next(left), stride=2, padding=1, output_padding=1)).relu()


def plain_coarse(weights: Sequence[Tensor], x: Tensor) -> Tensor:
    left = iter(weights)
    return mirrored(plain_trunk(left, x), next(left), next(left)).tanh()


def plain_enhanced(coarse: Sequence[Tensor], fine: Sequence[Tensor], x: Tensor) -> Tensor:
    features = plain_trunk(iter(coarse), plain_halved(x))
    left = iter(fine)
    y = normed(mirrored(x, next(left), next(left))).relu()
    y = normed(F.conv2d(y, next(left), next(left), stride=2, padding=1)).relu()
    y = plain_block(left, y + features)
    y = normed(F.conv_transpose2d(y, next(left), next(left), stride=2, padding=1, output_padding=1)).relu()
    return mirrored(y, next(left), next(left)).tanh()


def plain_halved(x: Tensor) -> Tensor:
    """Means over the pixels of 3x3 that there are."""
    ones = torch.ones_like(x[:1, :1])
    kernel = torch.ones(1, 1, 3, 3)
    counts = F.conv2d(ones, kernel, stride=2, padding=1)
    sums = [F.conv2d(x[:, i : i + 1], kernel, stride=2, padding=1) for i in range(x.shape[1])]
    return torch.cat(sums, 1) / counts


def plain_scores(weights: Sequence[Tensor], x: Tensor) -> list[list[Tensor]]:
    """Two patch discriminators of one stride-2 layer: their activations, and the logits as the last."""
    left, found = iter(weights), []
    for scale in range(2):
        image = plain_halved(x) if scale else x
        first = F.leaky_relu(F.conv2d(image, next(left), next(left), stride=2, padding=1), 0.2)
        second = F.leaky_relu(normed(F.conv2d(first, next(left), next(left), padding=1)), 0.2)
        found.append([first, second, F.conv2d(second, next(left), next(left), padding=1)])
    return found


def plain_generator_loss(d: Sequence[Tensor], given: Tensor, fake: Tensor, real: Tensor, game: str) -> Tensor:
    ours, theirs = (plain_scores(d, torch.cat([given, image], 1)) for image in (fake, real))
    loss = torch.zeros(())
    for mine, other in zip(ours, theirs, strict=True):
        loss = loss + (((mine[-1] - 1) ** 2).mean() if game == "lsgan" else -mine[-1].mean())
        loss = loss + 10 / 2 * sum((a - b.detach()).abs().mean() for a, b in zip(mine[:-1], other[:-1], strict=True))
    return loss


def plain_judge_loss(d: Sequence[Tensor], given: Tensor, fake: Tensor, real: Tensor, game: str) -> Tensor:
    loss = torch.zeros(())
    for image, sign in ((real, 1.0), (fake.detach(), -1.0)):
        for scale in plain_scores(d, torch.cat([given, image], 1)):
            logits = scale[-1]
            if game == "lsgan":
                loss = loss + ((logits - float(sign > 0)) ** 2).mean()
            else:
                loss = loss + (1 - sign * logits).relu().mean()
    return loss


def test_edges_lie_on_both_sides_of_a_border() -> None:
    instances = torch.randint(3, (2, 1, 5, 7), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(edges_of(instances), plain_edges(instances))
    assert edges_of(torch.full((1, 1, 4, 4), 40_000.0)).sum() == 0


def test_three_steps_equal_a_plain_loop() -> None:
    """The global generator at half the side, the enhancer alone, both together; the discriminators after each."""
    with fp64():
        engine, batch = engine_of(Pix2PixHD(**SMALL), MAPS, 2), batch_of(MAPS)
        nets = copy.deepcopy(engine.nets)
        g, fine, d = ([*nets[role].parameters()] for role in ("g", "enhancer", "d"))
        g_adam, fine_adam, d_adam = (adam(nets[role]) for role in ("g", "enhancer", "d"))
        for number in range(3):
            engine.step = number
            engine.train_step(lambda: dict(batch), 0.0)
        full = torch.cat([batch["label"], plain_edges(batch["instances"])], 1)
        for number in range(3):
            given, real = (full, batch["image"]) if number else (plain_halved(full), plain_halved(batch["image"]))
            fake = plain_enhanced(g, fine, given) if number else plain_coarse(g, given)
            for optimizer in (g_adam, fine_adam, d_adam):
                optimizer.zero_grad()
            plain_generator_loss(d, given, fake, real, "lsgan").backward()
            for optimizer in ((g_adam,), (fine_adam,), (g_adam, fine_adam))[number]:
                optimizer.step()
            d_adam.zero_grad()
            plain_judge_loss(d, given, fake, real, "lsgan").backward()
            d_adam.step()
    for role in ("g", "enhancer", "d"):
        assert_same(engine.nets[role], nets[role])


def divided(net: Any, name: str) -> Tensor:
    """The weight of a layer, after one power iteration where it is spectrally normalised."""
    state = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    if f"{name}.weight" in state:
        return state[f"{name}.weight"]
    original = state[f"{name}.parametrizations.weight.original"]
    matrix, u = original.flatten(1), state[f"{name}.parametrizations.weight.0._u"]
    with torch.no_grad():
        u = F.normalize(matrix @ state[f"{name}.parametrizations.weight.0._v"], dim=0)
        v = F.normalize(matrix.T @ u, dim=0)
    return original / (u @ matrix @ v)


def plain_spade(net: Any, planes: Tensor, style: Tensor | None = None) -> Tensor:
    """The generator from its weights by name."""

    def convolved(name: str, x: Tensor) -> Tensor:
        weight = divided(net, name)
        return F.conv2d(x, weight, dict(net.named_parameters()).get(f"{name}.bias"), padding=weight.shape[2] // 2)

    def adapted(name: str, x: Tensor) -> Tensor:
        step = planes.shape[2] // x.shape[2]
        hidden = convolved(f"{name}.shared.0", planes[:, :, ::step, ::step]).relu()
        return normed(x) * (1 + convolved(f"{name}.scale", hidden)) + convolved(f"{name}.shift", hidden)

    if style is None:
        x = convolved("first", planes[:, :, ::32, ::32])
    else:
        x = F.linear(style, net.first.weight, net.first.bias)
        x = x.view(len(planes), -1, planes.shape[2] // 32, planes.shape[3] // 32)
    for number in range(7):
        if number in (1, 3, 4, 5, 6):
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        name = f"blocks.{number}"
        y = convolved(f"{name}.conv1", F.leaky_relu(adapted(f"{name}.norm1", x), 0.2))
        y = convolved(f"{name}.conv2", F.leaky_relu(adapted(f"{name}.norm2", y), 0.2))
        if number > 2:
            x = convolved(f"{name}.skip", adapted(f"{name}.norm_skip", x))
        x = x + y
    return convolved("head", F.leaky_relu(x, 0.2)).tanh()


def test_a_step_of_spade_equals_a_plain_loop() -> None:
    spec = DataSpec(64, PLAIN.channels, indexed=PLAIN.indexed)
    with fp64():
        task = Spade(width=2, map_width=3, d_width=2, scales=2, patch_layers=1, spectral=False, spade_norm="instance")
        engine, batch = engine_of(task, spec, 2), batch_of(spec)
        nets = copy.deepcopy(engine.nets)
        g_adam, d_adam = adam(nets.g, 1e-4, (0.0, 0.999)), adam(nets.d, 4e-4, (0.0, 0.999))
        engine.train_step(lambda: dict(batch), 0.0)
        d, label, real = [*nets.d.parameters()], batch["label"], batch["image"]
        fake = plain_spade(nets.g, label)
        g_adam.zero_grad()
        plain_generator_loss(d, label, fake, real, "hinge").backward()
        g_adam.step()
        d_adam.zero_grad()
        plain_judge_loss(d, label, fake, real, "hinge").backward()
        d_adam.step()
    assert_same(engine.nets.g, nets.g)
    assert_same(engine.nets.d, nets.d)


def plain_encoder(net: Any, picture: Tensor) -> tuple[Tensor, Tensor]:
    x = picture
    for number in range(len(net.convolutions)):
        x = F.conv2d(x, divided(net, f"convolutions.{number}"), stride=2, padding=1)
        x = F.leaky_relu(normed(x), 0.2)
    return tuple(F.linear(x.flatten(1), layer.weight, layer.bias) for layer in (net.mean, net.log_variance))  # type: ignore[return-value]


def test_a_step_with_styles_equals_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One optimizer's worth of steps for generator and encoder; the divergence by its formula."""
    spec = DataSpec(64, PLAIN.channels, indexed=PLAIN.indexed)
    with fp64():
        small: dict[str, Any] = {"width": 2, "map_width": 3, "d_width": 2, "scales": 2, "patch_layers": 1}
        task = Spade(spectral=False, spade_norm="instance", style=5, kld=0.3, **small)
        engine, batch = engine_of(task, spec, 2), batch_of(spec)
        with torch.no_grad():  # at their start, styles are so small that they hide
            for layer in (engine.nets.e.mean, engine.nets.e.log_variance, engine.nets.g.first):
                layer.weight.mul_(20)
        nets = copy.deepcopy(engine.nets)
        seen = given(engine, monkeypatch)
        adams = {role: adam(nets[role], 4e-4 if role == "d" else 1e-4, (0.0, 0.999)) for role in ("g", "e", "d")}
        engine.train_step(lambda: dict(batch), 0.0)
        d, label, real = [*nets.d.parameters()], batch["label"], batch["image"]
        mean, log_variance = plain_encoder(nets.e, real)
        fake = plain_spade(nets.g, label, mean + seen[0]["z"] * log_variance.exp().sqrt())
        kld = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        (plain_generator_loss(d, label, fake, real, "hinge") + 0.3 * kld).backward()
        adams["g"].step()
        adams["e"].step()
        adams["d"].zero_grad()
        plain_judge_loss(d, label, fake, real, "hinge").backward()
        adams["d"].step()
    for role in ("g", "e", "d"):
        assert_same(engine.nets[role], nets[role])


def test_a_style_is_drawn_by_its_number_or_is_a_pictures(tmp_path: Path) -> None:
    spec = DataSpec(64, PLAIN.channels, indexed=PLAIN.indexed)
    task = Spade(width=2, map_width=2, d_width=2, patch_layers=1, style=5)
    nets = published(task, spec, tmp_path / "m.safetensors").nets
    for parameter in nets.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    path = tmp_path / "n.safetensors"
    save_published(path, plugin="spade", task=task, data=spec, tensors=nets.state_dict(), weights="raw", step=0)
    model, random = translate.load(path), np.random.default_rng(1)
    label = random.integers(CLASSES, size=(70, 100, 1), dtype=np.uint8)
    dark, bright = (random.integers(low, low + 128, size=(70, 100, 3), dtype=np.uint8) for low in (0, 128))
    results = [model(label), model(label, style="3"), model(label, style="4")]
    results += [model(label, image=picture, direction="restyle") for picture in (dark, bright)]
    for one, other in combinations(results, 2):
        assert one.shape == (70, 100, 3)
        assert np.abs(one.astype(int) - other).max() > 2
    assert np.array_equal(results[0], model(label, style="mean"))
    assert np.array_equal(results[1], model(label, style="3"))
    with pytest.raises(UsageError, match="style=red: expected a whole number from 0 on, or mean"):
        model(label, style="red")


def test_styles_are_spades_alone() -> None:
    with pytest.raises(UsageError, match="--style 8: expected --generator spade, not global"):
        Spade(generator="global", style=8)


def test_the_defaults_are_the_papers() -> None:
    spec = DataSpec(512, {"label": 35, "instances": 1, "image": 3}, indexed=("label", "instances"))
    with torch.device("meta"):
        nets = {role: make() for role, make in Pix2PixHD().networks(spec).items()}
        counts = {role: sum(p.numel() for p in net.parameters()) for role, net in nets.items()}
        # As the authors' code has for 35 classes and edges: 182,546,755 of the global generator alone.
        assert counts["g"] == 182_546_755
        assert nets["enhancer"](torch.empty(1, 36, 64, 64), torch.empty(1, 64, 32, 32)).shape == (1, 3, 64, 64)
        spade = Spade().networks(spec)["g"]()
    assert counts["d"] == 3 * sum(p.numel() for p in nets["d"].scales[0].parameters())
    assert [block.conv2.out_channels for block in spade.blocks] == [1024, 1024, 1024, 512, 256, 128, 64]
    task = Spade()
    assert (task.lr, task.lr_d, task.betas, task.loss, task.spectral) == (1e-4, 4e-4, (0.0, 0.999), "hinge", True)


def published(task: Pix2PixHD, spec: DataSpec, path: Path, steps: int = 0) -> Published:
    engine = engine_of(task, spec, 2)
    for number in range(steps):
        engine.step = number
        engine.train_step(lambda: batch_of(spec), 0.0)
    name = "spade" if isinstance(task, Spade) else "pix2pixhd"
    state = {
        f"{role}.{key}": value
        for direction in task.directions(spec)
        for role in direction.roles
        for key, value in engine.nets[role].state_dict().items()
    }
    save_published(path, plugin=name, task=task, data=spec, tensors=state, weights="raw", step=steps)
    return load_published(path)


def test_results_are_the_coarse_ones_until_the_enhancer_begins(tmp_path: Path) -> None:
    x = Batch(batch_of(MAPS))
    for steps, coarse in ((1, True), (2, False)):
        model = published(Pix2PixHD(**SMALL), MAPS, tmp_path / f"{steps}.safetensors", steps)
        given = torch.cat([x.label, plain_edges(x.instances)], 1)
        with torch.inference_mode():
            half = model.nets.g(plain_halved(given))
            result = model.directions[0].run(model.nets, x)
            larger = F.interpolate(half, scale_factor=2.0, mode="bilinear")
        assert torch.allclose(result, larger, atol=1e-5) == coarse


@pytest.mark.parametrize(
    "task",
    [
        Pix2PixHD(**{**SMALL, "norm": "none"}),
        Pix2PixHD(**{**SMALL, "norm": "none", "coarse_steps": 5}),
        Pix2PixHD(generator="global", width=2, halvings=2, blocks=1, d_width=2, scales=1, norm="none"),
        Spade(width=2, map_width=2, d_width=2, patch_layers=1),
    ],
    ids=["local", "coarse", "global", "spade"],
)
def test_tiles_equal_the_whole(task: Pix2PixHD, tmp_path: Path) -> None:
    spec = DataSpec(64, MAPS.channels, indexed=MAPS.indexed)
    model = published(task, spec, tmp_path / "m.safetensors", 2 if task.generator == "local" else 0)
    for parameter in model.nets.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    direction = model.directions[0]
    assert direction.margin is not None
    side = 2 * direction.margin + 96
    random = np.random.default_rng(0)
    label = random.integers(CLASSES, size=(side // 8, side // 8, 1), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    things = random.integers(900, size=(side // 8, side // 8, 1)).astype(np.uint16).repeat(8, 0).repeat(8, 1)
    results = []
    for tile in ("off", "32"):
        network = Network(model, direction, torch.device("cpu"), InferOptions(tile=tile))
        (result,) = network.translate([label], others=[[things]])
        results.append(result.canvas.read(0, label.shape[0]).astype(int))
        assert (result.tiles > 1) == (tile == "32")
    assert results[0].std() > 5
    assert np.abs(results[0] - results[1]).max() <= 1


@pytest.mark.parametrize(
    ("task", "size", "message"),
    [
        (Pix2PixHD(), 100, "--size 100: expected a multiple of 32 for local: 96 or 128"),
        (Pix2PixHD(), 160, "--size 160: expected 186 or more with --scales 3, --patch-layers 3"),
        (Spade(), 40, "--size 40: expected a multiple of 32 for spade: 32 or 64"),
    ],
)
def test_a_size_that_cannot_be_is_refused(task: Pix2PixHD, size: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        task.networks(DataSpec(size, MAPS.channels, indexed=MAPS.indexed))


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(UsageError, match="--width 5: the enhancer has half as many channels"):
        Pix2PixHD(width=5)


@pytest.mark.parametrize(
    "task",
    [
        Pix2PixHD(**SMALL),
        Spade(width=2, map_width=2, d_width=2, patch_layers=1, spade_norm="instance"),
        Spade(width=2, map_width=2, d_width=2, patch_layers=1, spade_norm="instance", style=3),
    ],
    ids=["pix2pixhd", "spade", "styles"],
)
def test_the_contract_holds(task: Pix2PixHD) -> None:
    check_task_model(task)


def test_from_folders_to_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(2)
    for number in range(4):
        pictures = {
            "labels": random.integers(CLASSES, size=(36, 40), dtype=np.uint8),
            "images": random.integers(256, size=(36, 40, 3), dtype=np.uint8),
            "things": random.integers(700, size=(36, 40)).astype(np.uint16),
        }
        for folder, pixels in pictures.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    (tmp_path / "names.txt").write_text("sky\nsea\nsand\n", encoding="utf-8")
    run = translate.train(
        "pix2pixhd",
        labels=tmp_path / "labels",
        images=tmp_path / "images",
        instances=tmp_path / "things",
        names=tmp_path / "names.txt",
        out=tmp_path / "run",
        **{"size": 32, "batch": 2, "steps": 3, "quiet": True, "device": "cpu", **SMALL},
    )
    also = ("--also", f"instances={tmp_path / 'things'}")
    (tmp_path / "things/3.png").unlink()
    assert command(["infer", str(run), str(tmp_path / "labels"), *also, "--out", str(tmp_path / "out")]) == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "2.png"]
    assert "it has no instances: no file 3 in" in capsys.readouterr().err
    assert command(["inspect", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "--also instances" in shown
    assert "3 classes: sky, sea, sand" in shown
    label, things = (np.asarray(Image.open(tmp_path / folder / "0.png")) for folder in ("labels", "things"))
    result = translate.load(run)(label[:, :, None], instances=things[:, :, None])
    assert np.array_equal(result, np.asarray(Image.open(tmp_path / "out/0.png")))
    pytest.importorskip("onnxruntime")
    assert command(["export", str(run), "--to", "onnx", "--out", str(tmp_path / "it.onnx")]) == 0
