"""gantk import: each family against its own layout written out, and everything that must be refused."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from reference_networks import (
    Compact,
    Leftthomas,
    Lornatang,
    Msrresnet,
    Rrdbnet,
    dcgan,
    instance,
    keras,
    pgan,
    resnet,
    shake,
    unet,
)
from safetensors.torch import save_file
from torch import Tensor, nn

from translate.cli import app as cli
from translate.contract import Batch
from translate.data.decode import open_image
from translate.errors import UsageError
from translate.generators.span import SPAN
from translate.importing.convert import import_weights
from translate.importing.registry import families
from translate.metrics.restoration import psnr
from translate.modelfile.model import Published, load_published


def rename(net: nn.Module) -> dict[str, Tensor]:
    """The names that a network of one nn.Sequential has in the public code: in ``model``."""
    return {f"model.{key.partition('.')[2]}": value for key, value in net.state_dict().items()}


def bring(tmp_path: Path, content: object, plugin: str | None = None) -> Published:
    torch.save(content, tmp_path / "theirs.pth")
    import_weights(tmp_path / "theirs.pth", tmp_path / "ours.safetensors", plugin)
    return load_published(tmp_path / "ours.safetensors")


def run(model: Published, image: Tensor) -> Tensor:
    direction = model.directions[0]
    with torch.inference_mode():
        return direction.run(model.nets, Batch({direction.inputs: image}))


def agree(model: Published, theirs: nn.Module, given: Tensor, *, unit: bool = False) -> None:
    """``unit``: their pictures are in 0 to 1."""
    with torch.inference_mode():
        expected = theirs((given + 1) / 2) * 2 - 1 if unit else theirs(given)
    assert expected.std() > 0.01
    torch.testing.assert_close(run(model, given), expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(2)) * 2 - 1


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("lowpass", [False, True])
def test_cyclegan_and_cut_resnets(tmp_path: Path, image: Tensor, dropout: bool, lowpass: bool) -> None:
    net = resnet(3, 3, 4, 2, dropout=dropout, lowpass=lowpass)
    model = bring(tmp_path, rename(net))
    agree(model, net, image)
    assert model.plugin == "cyclegan"
    assert [d.name for d in model.directions] == ["a2b"]
    assert list(model.nets) == ["g_ab"]
    assert model.card.model["blocks"] == 2
    assert model.card.model["dropout"] == (0.5 if dropout else 0)


def test_resnet_between_other_channels(tmp_path: Path) -> None:
    net = resnet(1, 2, 4, 1)
    model = bring(tmp_path, rename(net))
    agree(model, net, torch.rand(2, 1, 8, 8))
    assert dict(model.data.channels) == {"a": 1, "b": 2}


def test_resnet_with_batch_norm_is_pix2pix(tmp_path: Path, image: Tensor) -> None:
    """As their test script runs it: with each image's own statistics, so in train mode on a batch of one."""
    net = resnet(3, 3, 4, 2, nn.BatchNorm2d)
    state = rename(net)
    model = bring(tmp_path, state)
    assert model.plugin == "pix2pix"
    assert [d.name for d in model.directions] == ["a2b"]
    agree(model, net.train(), image)


def test_resnet_with_instance_norm_as_pix2pix(tmp_path: Path, image: Tensor) -> None:
    net = resnet(3, 3, 4, 1)
    agree(bring(tmp_path, rename(net), "pix2pix"), net, image)


def test_statistics_of_old_instance_norm_are_dropped(tmp_path: Path, image: Tensor) -> None:
    net = resnet(3, 3, 4, 1)
    state = rename(net)
    for layer in ("model.2", "model.5", "model.8", "model.10.conv_block.2", "model.10.conv_block.6", "model.12"):
        state |= {f"{layer}.running_mean": torch.ones(4), f"{layer}.running_var": torch.ones(4)}
    agree(bring(tmp_path, state), net, image)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, instance])
@pytest.mark.parametrize("depth", [5, 7])
def test_unets(tmp_path: Path, norm: type[nn.Module], depth: int) -> None:
    net = unet(3, 1, depth, 2, norm, dropout=True)
    model = bring(tmp_path, {f"model.{key.partition('.')[2]}": value for key, value in net.state_dict().items()})
    side = 2**depth
    assert (model.plugin, model.data.size, model.directions[0].multiple) == ("pix2pix", side, side)
    if norm is nn.BatchNorm2d:
        net.train()
        for layer in net.modules():
            if isinstance(layer, nn.Dropout):
                layer.eval()
    agree(model, net, torch.rand(1, 3, 2 * side, side) * 2 - 1)


@pytest.mark.parametrize("dialect", ["old", "new", "basicsr"])
@pytest.mark.parametrize(("ups", "shuffle"), [(2, 1), (2, 2), (2, 4), (1, 1), (3, 1)])
def test_rrdb(tmp_path: Path, image: Tensor, dialect: str, ups: int, shuffle: int) -> None:
    net = shake(Rrdbnet(dialect, 3, 4, 2, 3, ups, shuffle))
    model = bring(
        tmp_path, {"params": {}, "params_ema": net.state_dict()} if dialect == "basicsr" else net.state_dict()
    )
    assert model.plugin == "esrgan"
    assert model.data.scale == 2**ups // shuffle
    assert model.card.weights == ("averaged" if dialect == "basicsr" else "raw")
    agree(model, net, image, unit=True)


@pytest.mark.parametrize(("ups", "shuffle", "scale"), [(2, 1, 4), (2, 2, 2), (2, 4, 1)])
def test_rrdb_as_realesrgan(tmp_path: Path, image: Tensor, ups: int, shuffle: int, scale: int) -> None:
    net = shake(Rrdbnet("basicsr", 3, 4, 2, 3, ups, shuffle))
    model = bring(tmp_path, {"params_ema": net.state_dict()}, "realesrgan")
    assert (model.plugin, model.data.scale, model.directions[0].multiple) == ("realesrgan", scale, shuffle)
    agree(model, net, image, unit=True)


def test_an_enlargement_that_realesrgan_never_makes_is_refused(tmp_path: Path) -> None:
    net = Rrdbnet("basicsr", 3, 4, 1, 3, 1, 1)
    with pytest.raises(UsageError, match=r"pixel-unshuffle 1 at scale 2 .*; expected --as esrgan"):
        bring(tmp_path, net.state_dict(), "realesrgan")


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_compact(tmp_path: Path, image: Tensor, scale: int) -> None:
    net = shake(Compact(3, 5, 2, scale))
    model = bring(tmp_path, {"params": net.state_dict()})
    assert (model.plugin, model.data.scale) == ("realesrgan", scale)
    assert model.directions[0].name == ("restore" if scale == 1 else "upscale")
    agree(model, net, image, unit=True)


@pytest.mark.parametrize("normalise", [True, False])
def test_span(tmp_path: Path, image: Tensor, normalise: bool) -> None:
    """As other trainers save it: with the merged convolutions beside the branches."""
    net = SPAN(3, 2, width=6, normalise=normalise)
    model = bring(tmp_path, {"params_ema": net.spandrel_state()})
    assert (model.plugin, model.data.scale, model.card.model["normalise"]) == ("realesrgan", 2, normalise)
    agree(model, net, image)


def test_public_compact_weights(shared_data: Path, tmp_path: Path) -> None:
    """The network for drawn films, to 1e-5 of one written apart from it."""
    path = shared_data / "weights/realesrgan/realesr-animevideov3-x4.pth"
    assert cli.run(["import", str(path), "-o", str(tmp_path / "video.safetensors"), "--quiet"]) == 0
    theirs = Compact(3, 64, 16, 4)
    theirs.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["params"])
    model, folder = load_published(tmp_path / "video.safetensors"), shared_data / "sr/Set5"

    def pixels(file: Path) -> Tensor:
        return torch.from_numpy(open_image(file, 3).copy()).permute(2, 0, 1)[None] / 127.5 - 1

    low = pixels(folder / "LR_bicubic/X4/butterflyx4.png")
    with torch.inference_mode():
        assert (run(model, low) - (theirs((low + 1) / 2) * 2 - 1)).abs().max() < 1e-5


@pytest.mark.slow
def test_public_drawings_network_reaches_its_figure_on_set5(shared_data: Path, tmp_path: Path) -> None:
    path, model = shared_data / "weights/realesrgan/realesrgan-x4plus-anime.pth", tmp_path / "anime.safetensors"
    assert cli.run(["import", str(path), "--as", "realesrgan", "-o", str(model), "--quiet"]) == 0
    folders = ("--hr", str(shared_data / "sr/Set5/HR"), "--lr-images", str(shared_data / "sr/Set5/LR_bicubic/X4"))
    out = tmp_path / "result.json"
    assert cli.run(["evaluate", str(model), *folders, "--protocol", "set5-y", "--out", str(out), "--quiet"]) == 0
    (result,) = json.loads(out.read_text("utf-8"))["results"]
    figures = {figure["name"]: figure["value"] for figure in result["figures"]}
    assert figures["psnr"] == pytest.approx(25.220, abs=0.005)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_msrresnet(tmp_path: Path, image: Tensor, scale: int, old: bool) -> None:
    net = shake(Msrresnet(scale, 4, 2, old=old))
    model = bring(tmp_path, {"params": net.state_dict()})
    assert (model.plugin, model.data.scale) == ("srgan", scale)
    agree(model, net, image, unit=True)


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("stages", [1, 2])
def test_leftthomas(tmp_path: Path, image: Tensor, stages: int, normed: bool) -> None:
    """The biases before batch norm, which ours has not, are in the running means."""
    net = shake(Leftthomas(4, stages, normed=normed))
    model = bring(tmp_path, net.state_dict())
    assert (model.plugin, model.data.scale) == ("srgan", 2**stages)
    agree(model, net, image, unit=True)


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_lornatang(tmp_path: Path, image: Tensor, stages: int) -> None:
    net = shake(Lornatang(4, stages))
    model = bring(tmp_path, {"epoch": 3, "state_dict": net.state_dict(), "optimizer": {"state": {0: torch.zeros(3)}}})
    assert (model.plugin, model.data.scale) == ("srgan", 2**stages)
    agree(model, net, image, unit=True)


def test_public_srgan_weights_reach_their_figure_on_set5(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "weights/srgan/netG_epoch_4_100.pth"
    target = tmp_path / "srgan.safetensors"
    assert cli.run(["import", str(path), "-o", str(target), "--quiet"]) == 0
    model, folder, scores = load_published(target), shared_data / "sr/Set5", []

    def pixels(file: Path) -> Tensor:
        return torch.from_numpy(open_image(file, 3).copy()).permute(2, 0, 1)[None] / 127.5 - 1

    for high in sorted((folder / "HR").iterdir()):
        output = run(model, pixels(folder / f"LR_bicubic/X4/{high.stem}x4.png"))
        target_pixels = pixels(high)[..., : output.shape[2], : output.shape[3]]
        scores.append(psnr(output, target_pixels, border=4).item())
    assert len(scores) == 5
    assert sum(scores) / 5 == pytest.approx(30.65, abs=0.05)


@pytest.mark.parametrize("count", [4, 5])
def test_dcgan(tmp_path: Path, count: int) -> None:
    net = dcgan(7, 2, 3, count)
    state = {key: value for key, value in net.state_dict().items() if "num_batches" not in key}  # as old PyTorch saved
    model = bring(tmp_path, state)
    assert (model.plugin, model.data.size) == ("dcgan", 4 * 2 ** (count - 1))
    agree(model, net, torch.randn(3, 7))


def test_dcgan_under_other_names_with_idle_biases(tmp_path: Path) -> None:
    """Blocks of a convolution and a norm each; a bias before a norm changes nothing."""
    net = dcgan(7, 2, 3, 4)
    names = {"main": "gen", "0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2.0", "7": "2.1", "9": "3"}
    state = {
        ".".join(names.get(part, part) for part in key.split(".")[:2]) + "." + key.split(".")[2]: value
        for key, value in net.state_dict().items()
    }
    state["gen.1.0.bias"] = torch.ones(len(state["gen.1.1.bias"]))
    state["gen.1.1.running_mean"] = state["gen.1.1.running_mean"] + 1
    model = bring(tmp_path, state)
    assert (model.plugin, model.data.size) == ("dcgan", 32)
    agree(model, net, torch.randn(3, 7))


def test_keras_digits(tmp_path: Path) -> None:
    net = keras(6, 4, 1)
    model = bring(tmp_path, {"generator": net.state_dict()})
    assert (model.plugin, model.data.size, model.card.model["projection"]) == ("dcgan", 28, "units")
    agree(model, net, torch.randn(3, 6))


@pytest.mark.parametrize(("widths", "channels"), [([32, 32, 16], 3), ([16], 1)])
def test_pgan(tmp_path: Path, widths: list[int], channels: int) -> None:
    net = pgan(7, widths, channels)
    average = {"avgG": net.state_dict(), "netG": {key: value * 0 for key, value in net.state_dict().items()}}
    model = bring(tmp_path, average)
    assert (model.plugin, model.data.size, model.card.weights) == ("pggan", 4 * 2 ** (len(widths) - 1), "averaged")
    agree(model, net, torch.randn(3, 7))


def wrappings(state: dict[str, Tensor]) -> dict[str, object]:
    return {
        "data parallel": {f"module.{key}": value for key, value in state.items()},
        "compiled": {"_orig_mod." + "module." + key: value for key, value in state.items()},
        "checkpoint": {"epoch": 3, "state_dict": OrderedDict(state), "optimizer": {"lr": 0.1}},
        "netG": {"netG": {"state_dict": state}, "netD": {"model.0.weight": torch.zeros(1)}},
        "average": {"g_ema": state, "generator": {key: value * 0 for key, value in state.items()}},
        "lightning": {
            "state_dict": {
                **{f"generator.{key}": value for key, value in state.items()},
                "discriminator.0.weight": torch.zeros(1),
            }
        },
        "lightning, compiled": {
            "state_dict": {
                **{f"model.net_g._orig_mod.{key}": value for key, value in state.items()},
                **{f"model.net_d._orig_mod.{key}": value[:1] for key, value in list(state.items())[:3]},
            }
        },
        "ema beside raw": {
            "state_dict": {
                **{f"generator.{key}": value * 0 for key, value in state.items()},
                **{f"ema.generator.module.{key}": value for key, value in state.items()},
            }
        },
        "any name": {"checkpoint": {"nets": {"painter": {"weights": state}}}},
        "half": {key: value.half().float().double() for key, value in state.items()},
    }


@pytest.mark.parametrize("kind", list(wrappings({})))
def test_wherever_the_state_dict_is(tmp_path: Path, image: Tensor, kind: str) -> None:
    net = resnet(3, 3, 2, 1)
    if kind == "half":
        net.load_state_dict({key: value.half().float() for key, value in net.state_dict().items()})
    model = bring(tmp_path, wrappings(rename(net))[kind])
    agree(model, net, image)
    assert model.card.weights == ("averaged" if kind in ("average", "ema beside raw") else "raw")


def test_of_several_generators_key_chooses_one(
    tmp_path: Path, image: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    there, back = resnet(3, 3, 2, 1), resnet(3, 3, 2, 2)
    content = {"netG_A": rename(there), "netG_B": rename(back), "netD_A": {"model.0.weight": torch.zeros(4, 3, 4, 4)}}
    torch.save(content, tmp_path / "both.pth")
    out = tmp_path / "out.safetensors"
    assert cli.run(["import", str(tmp_path / "both.pth"), "-o", str(out)]) == 2
    assert "holds 2 generators: netG_A, netG_B; choose one with --key" in capsys.readouterr().err
    assert cli.run(["import", str(tmp_path / "both.pth"), "-o", str(out), "--key", "netG_C"]) == 2
    assert "holds no tensors under it (did you mean" in capsys.readouterr().err
    assert cli.run(["import", str(tmp_path / "both.pth"), "-o", str(out), "--key", "netD_A"]) == 2
    assert "looks like a discriminator; expected a generator" in capsys.readouterr().err
    assert not out.exists()
    assert cli.run(["import", str(tmp_path / "both.pth"), "-o", str(out), "--key", "netG_B"]) == 0
    assert "note: read from netG_B" in capsys.readouterr().err
    agree(load_published(out), back, image)


def test_safetensors_are_read_too(tmp_path: Path, image: Tensor) -> None:
    net = resnet(3, 3, 2, 1)
    save_file(rename(net), tmp_path / "theirs.safetensors")
    import_weights(tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors")
    agree(load_published(tmp_path / "ours.safetensors"), net, image)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize(
    ("form", "reason"), [("zip", "mkdir"), (2, "mkdir"), (4, "refused, because it is not of tensors alone")]
)
def test_a_pickle_that_runs_code_is_refused_without_running_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str | int, reason: str
) -> None:
    file, proof = tmp_path / "bad.pth", tmp_path / "proof"
    content = {"state_dict": {"model.1.weight": torch.zeros(1)}, "extra": Malicious(proof)}
    if isinstance(form, int):
        file.write_bytes(pickle.dumps(content["extra"], form))
    else:
        torch.save(content, file)
    assert cli.run(["import", str(file), "-o", str(tmp_path / "out.safetensors")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert reason in error
    assert "trusted" not in error
    assert not proof.exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 1, 1), tmp_path / "net.pth")
    with pytest.raises(Exception, match=r"net.pth: refused.*torch.nn.modules.conv.Conv2d"):
        import_weights(tmp_path / "net.pth", tmp_path / "out.safetensors")


def states() -> dict[str, tuple[object, str]]:
    state = rename(resnet(3, 3, 2, 1))
    rrdb = shake(Rrdbnet("old", 3, 2, 1, 2, 2, 1)).state_dict()
    smaller = {key: value for key, value in state.items() if key != "model.1.bias"}
    return {
        "missing": (smaller, "nearest to the CycleGAN.*1 missing \\(model.1.bias\\)"),
        "unknown": (state | {"model.99.weight": torch.zeros(1)}, "ResNet generator: 1 unknown \\(model.99.weight\\)"),
        "shape": (state | {"model.4.weight": torch.zeros(4, 3, 3, 3)}, "model.4.weight has shape .*expected"),
        "scalar": (state | {"model.1.weight": torch.zeros(())}, "model.1.weight has shape"),
        "nan": (state | {"model.1.bias": torch.full((2,), torch.nan)}, "model.1.bias holds values that are not finite"),
        "claims": ({"model.1.weight": torch.zeros(1).expand(2**20, 2**20)}, "claims 1,099,511,627,776 values"),
        "sparse": ({"model.1.weight": torch.eye(2).to_sparse()}, "sparse"),
        "plus": (rrdb | {"model.1.sub.0.RDB1.conv1x1.weight": torch.zeros(2, 2, 1, 1)}, "ESRGAN\\+"),
        "channels": (rrdb | {"model.10.weight": torch.zeros(2, 2, 3, 3)}, "3 channels in and 2 out"),
        "SRVGGNetCompact without PReLU": (
            {"params": {f"body.{i}.weight": torch.zeros(4, 4, 3, 3) for i in range(0, 9, 2)}},
            "nearest to SRVGGNetCompact of Real-ESRGAN: 4 missing .body.1.weight",
        ),
        "compact channels": (
            Compact(3, 4, 1, 2).state_dict() | {"body.4.weight": torch.zeros(7, 4, 3, 3)},
            "3 channels in and 7",
        ),
        "old SRResNet": (
            {f"model.1.sub.{i}.res.0.weight": torch.zeros(4, 4, 3, 3) for i in range(16)}
            | {f"model.{i}.weight": torch.zeros(4, 4, 3, 3) for i in (0, 2, 5, 8, 10)},
            "not recognised, its keys begin with model.1.sub.0.res.0.weight",  # and not: nearest to the CycleGAN
        ),
        "strange": ({"stage1.0.weight": torch.zeros(3)}, "not recognised, its keys begin with stage1.0.weight"),
        "discriminator": (
            {f"main.{i}.weight": torch.zeros(b, a, 4, 4) for i, (a, b) in enumerate([(3, 8), (8, 16), (16, 1)])},
            "looks like a discriminator; expected a generator",
        ),
        "no tensors": ({"epoch": 3, "loss": 0.1}, "no tensors.*its keys are epoch, loss"),
        "a list": ([torch.zeros(3)], "its content is of type list; expected a state dict"),
        "uneven pgan": (pgan(4, [4, 4, 1], 3).state_dict(), "channels 4, 4, 1; expected them halved"),
        "small dcgan": (dcgan(4, 2, 3, 3).state_dict(), "its convolutions make 16 pixels"),
        "instance norm with weights": (state | {"model.2.weight": torch.ones(2)}, "cyclegan|missing"),
    }


@pytest.mark.parametrize("kind", list(states()))
def test_what_is_not_recognised_names_the_nearest_family_and_the_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    content, message = states()[kind]
    torch.save(content, tmp_path / "x.pt")
    assert cli.run(["import", str(tmp_path / "x.pt"), "-o", str(tmp_path / "out.safetensors")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"gantk: error: {tmp_path / 'x.pt'}: ")
    assert re.search(message, error), error
    assert not (tmp_path / "out.safetensors").exists()


def packed(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}.pkl", content)
    return file.getvalue()


def saved(content: object, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


WEIGHTS = {"model.1.weight": torch.zeros(64, 3, 7, 7)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty; expected weights"),
        (b"hello", "neither a zip archive nor a pickle"),
        (b"\n<!DOCTYPE html><html>", "a web page; expected the file that was to be downloaded"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"name" + bytes(253) + b"ustar\0", "a tar archive; expected the file of weights that is in it"),
        (b"\x80junk", "damaged"),
        (b"\x80\x02", "cut short"),
        (pickle.dumps(WEIGHTS["model.1.weight"].shape[0], 2), "a pickle that torch.save did not write"),
        (saved(WEIGHTS, zipped=False)[:-9], "cut short"),
        (saved(WEIGHTS, zipped=False)[:300], "cut short"),
        (saved(WEIGHTS)[:20_000], "a zip archive that is cut short: its end is missing"),
        (saved(WEIGHTS)[:4], "a zip archive that is cut short: its end is missing"),
        (saved(WEIGHTS).replace(b"PK\1\2\0\0\0\0", b"PK\1\2\0\0\x7d\0"), "damaged"),
        (packed(data=b"junk"), "damaged"),
        (packed(other=b""), "a zip archive of something else: PyTorch's hold a data.pkl"),
        (packed(data=b"", constants=b""), "a TorchScript archive, which holds code; expected a state dict"),
        (b"\x02\0\0\0\0\0\0\0{]", "not a readable safetensors file"),
        ((1 << 20).to_bytes(8, "little") + b"{", "a header of 1,048,576 bytes in a file of 9"),
    ],
)
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_damaged_files_are_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert cli.run(["import", str(tmp_path / name), "-o", str(tmp_path / "out.safetensors")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"gantk: error: {tmp_path / name}: ")
    assert error.count("\n") == 1
    assert reason in error
    assert "Error" not in error
    assert not (tmp_path / "out.safetensors").exists()


def test_the_content_counts_and_not_the_suffix(tmp_path: Path, image: Tensor) -> None:
    net = resnet(3, 3, 2, 1)
    save_file(rename(net), tmp_path / "theirs.pth")
    torch.save(rename(net), tmp_path / "theirs.safetensors")
    for number, name in enumerate(("theirs.pth", "theirs.safetensors")):
        import_weights(tmp_path / name, tmp_path / f"{number}.safetensors")
        agree(load_published(tmp_path / f"{number}.safetensors"), net, image)


def test_refusals_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(rename(resnet(3, 3, 2, 1, nn.BatchNorm2d)), tmp_path / "batch.pth")
    out = tmp_path / "out.safetensors"

    def refused(*words: str) -> str:
        assert cli.run(["import", *words]) == 2
        return capsys.readouterr().err

    assert "no such file" in refused(str(tmp_path / "none.pth"), "-o", str(out))
    assert "expected --as pix2pix" in refused(str(tmp_path / "batch.pth"), "-o", str(out), "--as", "cyclegan")
    assert "nearest to" in refused(str(tmp_path / "batch.pth"), "-o", str(out), "--as", "esrgan") or not out.exists()
    assert cli.run(["import", str(tmp_path / "batch.pth"), "-o", str(out), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["plugin"], record["family"], record["direction"]) == ("pix2pix", "resnet", "a2b")
    assert "exists already" in refused(str(tmp_path / "batch.pth"), "-o", str(out))
    assert "a file is in the way" in refused(str(tmp_path / "batch.pth"), "-o", str(out / "x.safetensors"))
    assert "gantk model already" in refused(str(out), "-o", str(tmp_path / "again.safetensors"))


def test_family_names_are_unique() -> None:
    names = [family.name for family in families()]
    assert len(set(names)) == len(names)
