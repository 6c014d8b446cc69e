"""Inpaint against a plain loop; known pixels stay bit for bit, by alpha and by a mask in a second file."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from gantk_inpaint import Holed, Inpaint
from plain_loop import adam, assert_same, engine_of, fp64
from translate.cli import app as cli
from translate.contract import Batch, DataSpec
from translate.errors import UsageError
from translate.generators.gated import GatedConv, GatedGenerator, gated_margin
from translate.modelfile.model import build_nets
from translate.modelfile.write import save_published

SPEC = DataSpec(16, {"image": 3, "mask": 1, "cutout": 4})
SMALL: dict[str, Any] = {"width": 2, "d_width": 2, "d_layers": 2}


def test_steps_equal_a_plain_loop() -> None:
    with fp64():
        engine = engine_of(Inpaint(**SMALL), SPEC, batch=2)
        generator = torch.Generator().manual_seed(0)
        image = torch.rand(2, 3, 16, 16, generator=generator) * 2 - 1
        hole = (torch.rand(2, 1, 16, 16, generator=generator) > 0.6).double()
        g, d = (copy.deepcopy(engine.nets[role]) for role in ("g", "d"))
        for net in (g, d):
            net.requires_grad_(True)
        moves = adam(g, 1e-4), adam(d, 1e-4)
        for _ in range(2):
            engine.train_step(lambda: {"image": image, "mask": hole * 2 - 1}, 0.0)
            moves[0].zero_grad()
            coarse, fine = plain(g, image, hole)
            filled = fine * hole + image * (1 - hole)
            logits = d(torch.cat([filled, hole], 1))
            ((coarse - image).abs().mean() + (fine - image).abs().mean() - logits.mean()).backward()
            moves[0].step()
            moves[1].zero_grad()
            real, fake = d(torch.cat([image, hole], 1)), d(torch.cat([filled.detach(), hole], 1))
            (0.5 * (1 - real).clamp(min=0).mean() + 0.5 * (1 + fake).clamp(min=0).mean()).backward()
            moves[1].step()
            for role, net in (("g", g), ("d", d)):
                assert_same(engine.nets[role], net)


def plain(g: Any, image: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """The two stages by functional convolutions: 17 layers each, of which the first and the fourth halve."""

    def stage(layers: nn.Sequential, x: Tensor) -> Tensor:
        for number, layer in enumerate(list(layers)[:16]):
            assert isinstance(layer, GatedConv)
            if number in (12, 14):
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            dilation = {6: 2, 7: 4, 8: 8, 9: 16}.get(number, 1)
            padding = 2 if number == 0 else dilation
            weight, bias = layer.conv.weight, layer.conv.bias
            y = F.conv2d(x, weight, bias, 2 if number in (1, 3) else 1, padding, dilation)
            half = y.shape[1] // 2
            x = F.elu(y[:, :half]) * torch.sigmoid(y[:, half:])
        return torch.tanh(layers[16](x))

    ones = torch.ones_like(hole)
    coarse = stage(g.coarse, torch.cat([image * (1 - hole), ones, hole], 1))
    return coarse, stage(g.fine, torch.cat([coarse * hole + image * (1 - hole), ones, hole], 1))


def test_what_lies_in_a_hole_does_not_matter() -> None:
    torch.manual_seed(0)
    net = GatedGenerator(3, width=2)
    image, hole = torch.rand(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    hole[..., 4:9, 5:12] = 1
    other = torch.where(hole > 0, torch.rand(1, 3, 16, 16), image)
    for one, two in zip(net(image, hole), net(other, hole), strict=True):
        torch.testing.assert_close(one, two)


def test_the_margin_is_the_receptive_field() -> None:
    net = GatedGenerator(1, width=2).double()
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.001, 0.002)
    reach = gated_margin()
    side = 2 * (reach // 4 + 2) * 4
    touched = []
    for middle in range(side // 8 * 4, side // 8 * 4 + 4):
        # A band of rows is enough: what is far off matters in rows as it does in columns.
        image = torch.full((1, 1, 4, side), 0.5, dtype=torch.float64, requires_grad=True)
        hole = torch.zeros(1, 1, 4, side, dtype=torch.float64)
        hole[..., ::2, :] = 0.5  # neither, so that both stages look at everything
        (gradient,) = torch.autograd.grad(net(image, hole)[1][0, 0, :, middle].sum(), image)
        found = gradient[0, 0].abs().sum(0).nonzero().flatten()
        touched += [middle - int(found.min()), int(found.max()) - middle]
    assert max(touched) == reach


def test_the_source_gives_holes_and_cut_outs(tmp_path: Path) -> None:
    pictures = torch.rand(3, 3, 32, 32) * 2 - 1
    derived = Holed(images=(tmp_path,)).derive(pictures, torch.Generator().manual_seed(0))
    mask, cutout = derived["mask"], derived["cutout"]
    assert set(mask.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(cutout[:, 3:], -mask)
    assert torch.equal(cutout[:, :3][(mask < 0).expand(-1, 3, -1, -1)], pictures[(mask < 0).expand(-1, 3, -1, -1)])
    assert (cutout[:, :3][(mask > 0).expand(-1, 3, -1, -1)] == 0).all()
    by_alpha, by_mask = Inpaint(**SMALL).directions(SPEC)
    nets = engine_of(Inpaint(**SMALL), SPEC, batch=2).nets
    x = Batch({"image": pictures, **derived})
    torch.testing.assert_close(by_alpha.run(nets, x), by_mask.run(nets, x))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    task = Inpaint(**SMALL)
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    tensors = build_nets(task, SPEC, ["g"]).state_dict()
    save_published(path, plugin="inpaint", task=task, data=SPEC, tensors=tensors, weights="raw", step=1)
    return path


@pytest.mark.parametrize("way", ["alpha", "mask"])
@pytest.mark.parametrize("bits", [8, 16])
def test_known_pixels_come_back_bit_for_bit(model: Path, tmp_path: Path, way: str, bits: int) -> None:
    tifffile = pytest.importorskip("tifffile")
    kind = np.uint8 if bits == 8 else np.uint16
    photo = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (21, 26, 3), dtype=kind)
    hole = np.zeros((21, 26), np.bool_)
    hole[5:12, 6:17] = True
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    command = ["infer", str(model), str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--quiet"]
    if way == "alpha":
        alpha = np.where(hole, 0, np.iinfo(kind).max).astype(kind)[:, :, None]
        tifffile.imwrite(
            tmp_path / "photos/a.tif", np.concatenate([photo, alpha], 2), photometric="rgb", extrasamples=["unassalpha"]
        )
    else:
        tifffile.imwrite(tmp_path / "photos/a.tif", photo, photometric="rgb")
        Image.fromarray(hole).convert("L").save(tmp_path / "masks/a.png")
        command += ["--direction", "inpaint-mask", "--also", f"mask={tmp_path / 'masks'}"]
    assert cli.run(command) == 0
    found = tifffile.imread(tmp_path / "out/a.tif")
    assert found.shape == (21, 26, 3)
    assert found.dtype == kind
    assert np.array_equal(found[~hole], photo[~hole])
    assert (found[hole] != photo[hole]).any(1).mean() > 0.9


def test_a_photo_without_a_hole_is_returned(model: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    photo = np.random.default_rng(0).integers(0, 256, (9, 10, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photos/a.png")
    assert cli.run(["infer", str(model), str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/a.png")), photo)


@pytest.mark.parametrize("direction", ["inpaint", "inpaint-mask"])
def test_both_ways_become_onnx(model: Path, tmp_path: Path, direction: str) -> None:
    """The mask's picture goes in and comes out by one name of ours, for which ONNX needs two."""
    onnxruntime = pytest.importorskip("onnxruntime")
    target = tmp_path / "net.onnx"
    command = ["export", str(model), "--to", "onnx", "--direction", direction, "-o", str(target), "--quiet"]
    assert cli.run(command) == 0
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in (*session.get_inputs(), *session.get_outputs())]
    assert names == (["cutout", "image"] if direction == "inpaint" else ["image", "mask", "image_out"])


def test_the_preview_shows_the_hole() -> None:
    task = Inpaint(**SMALL)
    nets = engine_of(task, SPEC, batch=2).nets
    image, mask = torch.rand(2, 3, 16, 16), -torch.ones(2, 1, 16, 16)
    mask[..., :5] = 1
    cutout = torch.cat([image * (mask < 0), -mask], 1)
    columns = task.preview(nets, Batch({"image": image, "mask": mask, "cutout": cutout}), SPEC)
    assert list(columns) == ["hole", "inpaint", "image"]
    assert {tuple(column.shape) for column in columns.values()} == {(2, 3, 16, 16)}
    assert (columns["hole"][..., :5] == 0).all()
    assert torch.equal(columns["inpaint"][..., 5:], image[..., 5:])


def test_defaults_and_sizes() -> None:
    task = Inpaint()
    assert (task.lr, task.betas, task.l1, task.adversarial, task.d_layers) == (1e-4, (0.5, 0.999), 1, 1, 6)
    assert Holed(images=(Path("x"),)).holes == (1, 1, 0)
    with pytest.raises(UsageError, match="--size 30: expected a multiple of 4: 28 or 32"):
        task.networks(DataSpec(30, SPEC.channels))
