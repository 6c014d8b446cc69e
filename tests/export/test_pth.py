"""gantk export --to pth: the names and values that the networks of the public codes load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_models import save_random
from torch import Tensor, nn

from importing.reference_networks import Compact, Msrresnet, Rrdbnet, instance, resnet, shake, unet
from translate.cli import app as cli
from translate.contract import DataSpec, Direction, TaskModel
from translate.generators.span import SPAN
from translate.importing import registry
from translate.importing.family import Family
from translate.plugins import load

State = Mapping[str, Tensor]


def in_model(net: nn.Module) -> State:
    """The names that a network of one nn.Sequential has in the public code: in ``model``."""
    return {f"model.{key.partition('.')[2]}": value for key, value in net.state_dict().items()}


def rrdb(ups: int, shuffle: int) -> State:
    return shake(Rrdbnet("basicsr", 3, 4, 2, 3, ups, shuffle)).state_dict()


PUBLIC = {
    "cyclegan": lambda: in_model(resnet(3, 3, 4, 2)),
    "cyclegan with dropout": lambda: in_model(resnet(1, 2, 4, 1, dropout=True)),
    "cut": lambda: in_model(resnet(3, 3, 4, 2, lowpass=True)),
    "cut with dropout": lambda: in_model(resnet(3, 3, 4, 2, dropout=True, lowpass=True)),
    "pix2pix resnet": lambda: in_model(resnet(3, 1, 4, 2, nn.BatchNorm2d, dropout=True)),
    "pix2pix": lambda: in_model(unet(3, 1, 5, 2, nn.BatchNorm2d, dropout=True)),
    "pix2pix, deeper": lambda: in_model(unet(1, 3, 7, 2, nn.BatchNorm2d)),
    "pix2pix with instance norm": lambda: in_model(unet(3, 3, 6, 2, instance)),
    "rrdb": lambda: {"params_ema": rrdb(2, 1)},
    "rrdb at scale 2": lambda: {"params": rrdb(2, 2)},
    "rrdb at scale 1": lambda: {"params_ema": rrdb(2, 4)},
    "compact": lambda: {"params": shake(Compact(3, 5, 2, 2)).state_dict()},
    "span": lambda: {"params_ema": SPAN(3, 2, width=6).spandrel_state()},
    "span without mean colour": lambda: {"params": SPAN(3, 4, width=6, normalise=False).spandrel_state()},
    "msrresnet": lambda: {"params": shake(Msrresnet(3, 4, 2)).state_dict()},
}


def run(*words: object) -> int:
    return cli.run([*map(str, words), "--quiet"])


def same(theirs: object, ours: object) -> None:
    """The same keys, shapes, types and bits, at whatever depth."""
    assert type(ours) is dict
    assert isinstance(theirs, Mapping)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, Tensor):
            assert ours[key].dtype == value.dtype, key
            assert torch.equal(ours[key], value), key
        else:
            same(value, ours[key])


@pytest.mark.parametrize("kind", list(PUBLIC))
def test_what_was_imported_goes_out_as_it_came(tmp_path: Path, kind: str) -> None:
    theirs = PUBLIC[kind]()
    torch.save(theirs, tmp_path / "theirs.pth")
    models = [tmp_path / name for name in ("first.safetensors", "second.safetensors")]
    assert run("import", tmp_path / "theirs.pth", "-o", models[0]) == 0
    assert run("export", models[0], "--to", "pth", "-o", tmp_path / "ours.pth") == 0
    same(theirs, torch.load(tmp_path / "ours.pth", weights_only=True))
    assert run("import", tmp_path / "ours.pth", "-o", models[1]) == 0
    same(load_file(models[0]), load_file(models[1]))
    assert models[0].read_bytes() == models[1].read_bytes()


@pytest.mark.parametrize("name", ["realesrgan-x4plus-anime", "realesr-animevideov3-x4"])
def test_public_weights_go_out_as_they_came(shared_data: Path, tmp_path: Path, name: str) -> None:
    theirs, model, ours = shared_data / f"weights/realesrgan/{name}.pth", tmp_path / "model", tmp_path / "ours.pth"
    assert run("import", theirs, "-o", model) == 0
    assert run("export", model, "--to", "pth", "-o", ours) == 0
    same(torch.load(theirs, map_location="cpu", weights_only=True), torch.load(ours, weights_only=True))


@pytest.mark.parametrize(
    ("weights", "key", "fields"),
    [
        ("averaged", "params_ema", {"generator": "compact", "blocks": 2}),
        ("raw", "params", {"generator": "span"}),
        ("averaged", "params_ema", {"blocks": 1}),
    ],
)
def test_spandrel_loads_what_basicsr_does(tmp_path: Path, weights: str, key: str, fields: dict[str, object]) -> None:
    spandrel = pytest.importorskip("spandrel")
    data = DataSpec(64, {"low": 3, "high": 3}, scale=2)
    small = {"width": 4, "perceptual": "none", **fields}
    model = save_random(tmp_path / "model.safetensors", "realesrgan", small, data, weights)
    assert run("export", model, "--to", "pth", "-o", tmp_path / "net.pth") == 0
    assert list(torch.load(tmp_path / "net.pth", weights_only=True)) == [key]
    theirs = spandrel.ModelLoader("cpu").load_from_file(tmp_path / "net.pth")
    assert (theirs.scale, theirs.input_channels) == (2, 3)


def test_the_way_back_of_a_cyclegan_is_exported_too(tmp_path: Path) -> None:
    data = DataSpec(32, {"a": 1, "b": 3})
    fields = {"width": 4, "blocks": 2, "identity": 0.0}
    model = save_random(tmp_path / "model.safetensors", "cyclegan", fields, data)
    assert run("export", model, "--to", "pth", "--direction", "b2a", "-o", tmp_path / "latest_net_G.pth") == 0
    theirs = resnet(3, 1, 4, 2)
    state = torch.load(tmp_path / "latest_net_G.pth", weights_only=True)
    theirs.load_state_dict({key.replace("model", "0", 1): tensor for key, tensor in state.items()})
    assert torch.equal(theirs[0][1].weight, load_file(model)["g_ba.stem.0.weight"])


def test_models_that_share_a_public_network_are_exported(tmp_path: Path) -> None:
    """No importer names CUT: its generator comes back as CycleGAN's with the same layers."""
    data = DataSpec(32, {"a": 3, "b": 3})
    model = save_random(tmp_path / "cut.safetensors", "cut", {"width": 4, "blocks": 2}, data)
    assert run("export", model, "--to", "pth", "-o", tmp_path / "net.pth") == 0
    theirs = resnet(3, 3, 4, 2, lowpass=True)
    state = torch.load(tmp_path / "net.pth", weights_only=True)
    theirs.load_state_dict({key.replace("model", "0", 1): tensor for key, tensor in state.items()})


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_statistics_at_inference_do_not_count(tmp_path: Path, norm: str) -> None:
    fields = {"width": 2, "norm": norm, "test_statistics": "running"}
    model = save_random(tmp_path / "model.safetensors", "pix2pix", fields, DataSpec(32, {"a": 3, "b": 3}))
    assert run("export", model, "--to", "pth", "-o", tmp_path / "net.pth") == 0


SR = DataSpec(64, {"low": 3, "high": 3}, scale=4)
PAIRS = DataSpec(32, {"a": 3, "b": 3})


@pytest.mark.parametrize(
    ("plugin", "fields", "data", "message"),
    [
        (
            "srgan",
            {"width": 4, "blocks": 1},
            replace(SR, size=96),
            "gantk knows no public form of the network of srgan",
        ),
        (
            "srgan",
            {"width": 4, "blocks": 1},
            replace(SR, size=96),
            "expected SRVGGNetCompact of Real-ESRGAN; MSRResNet",
        ),
        (
            *("srgan", {"width": 4, "blocks": 1, "generator_net": "msrresnet"}, replace(SR, size=96, scale=8)),
            "BasicSR's MSRResNet enlarges 2, 3 or 4 times, not 8 times",
        ),
        ("esrgan", {"width": 4, "blocks": 1, "growth": 4}, replace(SR, scale=2), "this network enlarges by 2\n"),
        ("esrgan", {"width": 4, "blocks": 1, "growth": 4}, replace(SR, size=96, scale=3), "enlarges by 3\n"),
        ("cyclegan", {"width": 4, "blocks": 1, "upsample": "resize"}, PAIRS, "does not upsample by resizing"),
        ("pix2pix", {"width": 2, "generator": "resnet", "norm": "none"}, PAIRS, "without norm has other biases"),
        ("pix2pix", {"width": 2, "norm": "none"}, PAIRS, "U-Net without norm has other biases"),
        ("pix2pix", {"width": 2, "patch_layers": 1}, replace(PAIRS, size=16), "5 times or more, not 4 times"),
        (
            "video-pix2pix",
            {"width": 2},
            PAIRS,
            "no public form of the network of video-pix2pix",
        ),
        ("dcgan", {"width": 2}, DataSpec(32, {"image": 3}), "no public form of the network of dcgan"),
    ],
)
def test_what_no_public_code_builds_is_refused_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    plugin: str,
    fields: dict[str, object],
    data: DataSpec,
    message: str,
) -> None:
    model = save_random(tmp_path / "model.safetensors", plugin, fields, data)
    assert run("export", model, "--to", "pth", "-o", tmp_path / "net.pth") == 2
    error = capsys.readouterr().err
    assert error.startswith("gantk: error: --to pth: ")
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [model.name]


def test_another_suffix_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_random(tmp_path / "model.safetensors", "cyclegan", {"width": 4, "blocks": 1}, PAIRS)
    assert run("export", model, "--to", "pth", "-o", tmp_path / "net.safetensors") == 2
    assert "expected a name ending in .pth" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda key, tensor: tensor + 1e-7, "stem.0.weight is another tensor in its public form"),
        (
            lambda key, tensor: tensor[:, :1] if key == "model.4.weight" else tensor,
            "cannot be imported from its public",
        ),
    ],
)
def test_what_does_not_come_back_unchanged_is_not_kept(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: object,
    message: str,
) -> None:
    def wrong(family: Family) -> Family:
        if family.name != "resnet" or family.form is None:
            return family
        right = family.form.state
        return replace(
            family,
            form=replace(family.form, state=lambda net: {k: change(k, t) for k, t in right(net).items()}),  # type: ignore[operator]
        )

    changed = [wrong(family) for family in registry.families()]
    monkeypatch.setattr("translate.export.pth.families", lambda: changed)
    model = save_random(tmp_path / "model.safetensors", "cyclegan", {"width": 4, "blocks": 1}, PAIRS)
    assert run("export", model, "--to", "pth", "-o", tmp_path / "net.pth") == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [model.name]


def test_a_direction_that_does_more_than_its_network_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = load("cut")

    def negatives(self: TaskModel, data: DataSpec) -> list[Direction]:
        return [Direction("a2b", "a", "b", ("g",), lambda nets, x: -nets.g(x.a), multiple=4)]

    monkeypatch.setattr(cut, "directions", negatives)
    model = save_random(tmp_path / "model.safetensors", "cut", {"width": 4, "blocks": 2}, PAIRS)
    assert run("export", model, "--to", "pth", "-o", tmp_path / "net.pth") == 1
    assert "the public code's network alone gives other pictures than a2b" in capsys.readouterr().err
    assert not (tmp_path / "net.pth").exists()
