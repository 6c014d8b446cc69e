"""What `gantk evaluate` computes, on small models and pictures; what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import translate
from translate.cli import app as cli
from translate.conditions import choice
from translate.contract import Batch, DataSpec, Direction, Nets, Noise
from translate.data import bicubic
from translate.errors import UsageError
from translate.evaluation import result as results
from translate.evaluation.options import EvaluateOptions
from translate.metrics.restoration import psnr
from translate.model import Model
from translate.modelfile.card import Card
from translate.modelfile.model import Published

SIDE = 32


def picture(seed: int, side: int = SIDE, brightness: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.normal(110 + brightness, 50, (side // 4 + 1, side // 4 + 1, 3))
    return np.clip(
        np.kron(coarse, np.ones((4, 4, 1)))[:side, :side] + rng.normal(0, 4, (side, side, 3)), 0, 255
    ).astype(np.uint8)


def write(folder: Path, count: int, first: int = 0, side: int = SIDE, brightness: float = 0.0) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(picture(first + number, side, brightness)).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return write(tmp_path / "a", 12)


@pytest.fixture
def b(tmp_path: Path) -> Path:
    return write(tmp_path / "b", 14, first=100, brightness=40)


def published(*directions: Direction, channels: int = 3, scale: int = 1) -> Published:
    names = {name: channels for each in directions for name in (*each.input_names, each.outputs)}
    card = Card(plugin="fake", distribution="gantk", version="0", model={}, data=DataSpec(SIDE, names), directions=())
    card = replace(card, data=replace(card.data, scale=scale))
    nets = Nets({"g": nn.Identity()})
    return Published(Path("fake.safetensors"), card, None, nets, directions)  # type: ignore[arg-type]


def darker(name: str = "a2b", source: str = "a", target: str = "b", by: float = 0.21) -> Direction:
    def run(nets: Nets, x: Batch) -> Tensor:
        return nets.g(x[source]) - by

    return Direction(name, source, target, ("g",), run, margin=0)


def enlarging(nets: Nets, x: Batch) -> Tensor:
    return nn.functional.interpolate(x.low, scale_factor=2, mode="nearest")


def test_translations(a: Path, b: Path) -> None:
    model = published(darker(), darker("b2a", "b", "a", by=-0.21))
    result = translate.evaluate(model, inputs=a, against=b)
    assert [figure.name for figure in result.figures] == ["swd", "frechet", "kernel", "edges", "cycle-l1"]
    assert result["edges"].value > 0.95
    assert result["cycle-l1"].value < 0.02
    assert result.protocol is None
    remedy = "--inception FILE" if find_spec("torch_fidelity") else "gantk[metrics]"
    assert any(note.startswith("left out fid, kid") and remedy in note for note in result.notes)
    for figure in result.figures:
        assert figure.low < figure.value < figure.high
    nearer = translate.evaluate(published(darker(by=-40 / 127.5)), inputs=a, against=b)
    assert nearer["frechet"].value < result["frechet"].value
    assert "cycle-l1" not in [figure.name for figure in nearer.figures]
    change = translate.evaluate(model, inputs=a, against=b, metric=("change",))["change"]
    assert change.value == pytest.approx(0.1, abs=0.03)
    assert set(change.each or ()) == {path.name for path in a.iterdir()}


def test_pairs_in_folders_and_side_by_side(tmp_path: Path, a: Path) -> None:
    targets, both, swapped = (tmp_path / name for name in ("targets", "both", "swapped"))
    for folder in (targets, both, swapped):
        folder.mkdir()
    for path in sorted(a.iterdir()):
        pixels = np.asarray(Image.open(path))
        target = np.clip(pixels.astype(int) - 10, 0, 255).astype(np.uint8)
        Image.fromarray(target).save(targets / f"{path.stem}.png")
        Image.fromarray(np.concatenate([pixels, target], 1)).save(both / path.name)
        Image.fromarray(np.concatenate([target, pixels], 1)).save(swapped / path.name)
    model = published(darker())
    asked: dict[str, Any] = {"metric": ("l1", "psnr", "ssim")}
    folders = translate.evaluate(model, a=a, b=targets, **asked)
    halves = translate.evaluate(model, ab=both, **asked)
    other = translate.evaluate(model, ab=swapped, swap=True, **asked)
    expected = []
    for path in sorted(a.iterdir()):
        output = torch.from_numpy(np.asarray(Image.open(path)).astype(np.float32)) / 127.5 - 1.21
        target = torch.from_numpy(np.asarray(Image.open(targets / path.name)).astype(np.float32)) / 127.5 - 1
        pair = [tensor.permute(2, 0, 1)[None] for tensor in (output, target)]
        expected.append(psnr(pair[0], pair[1], channel="rgb").item())
    assert folders["psnr"].value == pytest.approx(np.mean(expected), abs=1e-4)
    for result in (halves, other):
        assert [f.value for f in result.figures] == [f.value for f in folders.figures]


def test_super_resolution(tmp_path: Path) -> None:
    high, low = write(tmp_path / "hr", 3, side=45), tmp_path / "lr"
    low.mkdir()
    expected = []
    for path in sorted(high.iterdir()):
        whole = bicubic.crop_to_multiple(np.asarray(Image.open(path)), 2)
        small = bicubic.resize(whole, 1 / 2)
        Image.fromarray(small).save(low / f"{path.stem}x2.png")
        tensors = [torch.from_numpy(x.copy()).permute(2, 0, 1)[None] / 127.5 - 1 for x in (small, whole)]
        output = nn.functional.interpolate(tensors[0], scale_factor=2, mode="nearest")
        expected.append(psnr(output, tensors[1], border=2).item())
    model = published(Direction("up", "low", "high", ("g",), enlarging, scale=2, margin=0), scale=2)
    made, given = translate.evaluate(model, hr=high), translate.evaluate(model, hr=high, lr_images=low)
    for result in (made, given):
        assert [figure.name for figure in result.figures] == ["psnr", "ssim", "l1"]
        assert result["psnr"].value == pytest.approx(np.mean(expected), abs=1e-4)
    assert made.setting["border"] == 2
    assert made.setting["colour"] == "y"
    with pytest.raises(UsageError, match="expected a model that enlarges 4 times, not 2"):
        translate.evaluate(model, hr=write(tmp_path / "five", 5), protocol="set5-y")
    with pytest.raises(UsageError, match=r"expected 5 real pictures .* found 3"):
        translate.evaluate(model, hr=high, protocol="set5-y")
    with pytest.raises(UsageError, match=r"--border 2: --protocol set5-y fixes it at 4"):
        translate.evaluate(model, hr=high, protocol="set5-y", border=2)


def test_samples_depend_on_the_seed_alone(b: Path) -> None:
    def run(nets: Nets, x: Batch) -> Tensor:
        return (x.z.reshape(-1, 3, 1, 1) / 3).expand(-1, -1, 24, 24)

    model = published(Direction("sample", "z", "image", ("g",), run, latent=Noise((3,))))
    first = translate.evaluate(model, against=b, count=20)
    again = translate.evaluate(model, against=b, count=20)
    assert first == again
    assert first.setting["results"] == 20
    with pytest.raises(UsageError, match="draws pictures from noise; expected --against DIR alone"):
        translate.evaluate(model, inputs=b, against=b)
    other = translate.evaluate(model, against=b, count=20, seed=1)
    assert other["frechet"].value != first["frechet"].value


def test_classes_are_judged_each_by_itself(tmp_path: Path) -> None:
    """A sampler that paints the classes the wrong way round fits the whole, but no class."""
    for number, name in enumerate(("dark", "light")):
        (tmp_path / "reals").mkdir(exist_ok=True)
        write(tmp_path / "reals" / name, 10, first=50 * number, brightness=60 * number)

    def sampler(swapped: bool) -> Published:
        def run(nets: Nets, x: Batch) -> Tensor:
            level = (1 - x.label if swapped else x.label).float().reshape(-1, 1, 1, 1) * 60 / 127.5
            return (level - 0.14 + x.z / 3).clamp(-1, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)

        conditions = {"label": choice(("dark", "light"), "class")}
        noise = Noise((3, SIDE // 4, SIDE // 4))
        return published(Direction("sample", "z", "image", ("g",), run, latent=noise, conditions=conditions))

    right, wrong = (translate.evaluate(sampler(s), against=tmp_path / "reals", count=21) for s in (False, True))
    assert right.setting["results"] == 20
    assert right["frechet"].value == pytest.approx(wrong["frechet"].value, rel=0.2)
    assert wrong["intra-frechet"].value > 1.5 * right["intra-frechet"].value
    assert "dark: " in right["intra-frechet"].detail
    one = translate.evaluate(sampler(False), against=tmp_path / "reals", count=10, settings=("label=dark",))
    assert "intra-frechet" not in [figure.name for figure in one.figures]
    with pytest.raises(UsageError, match=r"--set label=dark\.\.light: expected one of dark, light"):
        translate.evaluate(sampler(False), against=tmp_path / "reals", count=10, settings=("label=dark..light",))
    with pytest.raises(UsageError, match="expected two pictures or more of each of 2 classes"):
        translate.evaluate(sampler(False), against=tmp_path / "reals", count=3)


def test_maps_of_classes(tmp_path: Path) -> None:
    maps, inputs = tmp_path / "maps", tmp_path / "inputs"
    for folder in (maps, inputs):
        folder.mkdir()
    right = np.zeros((16, 16), np.uint8)
    right[:, 8:] = 1
    right[0] = 255
    for number in range(3):
        Image.fromarray(right).save(maps / f"{number}.png")
        Image.fromarray(np.full((16, 16, 3), 128, np.uint8)).save(inputs / f"{number}.png")

    def run(nets: Nets, x: Batch) -> Tensor:
        return torch.stack([x.a[:, 0] + 1, x.a[:, 0]], 1)  # the first class everywhere

    direction = Direction("label", "a", "b", ("g",), run, margin=0)
    model = published(direction)
    data = DataSpec(16, {"a": 3, "b": 2}, indexed=("b",))
    model = replace(model, card=replace(model.card, data=data))
    result = translate.evaluate(model, a=inputs, b=maps)
    assert result["pixel-accuracy"].value == pytest.approx(0.5)
    assert result["iou"].value == pytest.approx(0.25)
    with pytest.raises(UsageError, match="--metric psnr: the results are maps of class indices"):
        translate.evaluate(model, a=inputs, b=maps, metric=("psnr",))


def test_results_are_kept_beside_the_model(tmp_path: Path, a: Path, b: Path) -> None:
    file = tmp_path / "run" / "model.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    model = replace(published(darker()), path=file)
    translate.evaluate(model, inputs=a, against=b, metric=("edges",))
    kept = file.parent / "evaluation.json"
    before = kept.read_bytes()
    translate.evaluate(model, inputs=a, against=b, metric=("edges",))
    assert kept.read_bytes() == before
    result = translate.evaluate(model, inputs=a, against=b, metric=("edges", "change"))
    assert [len(each.figures) for each in results.read(kept)] == [1, 2]
    assert results.read(kept)[1] == result
    assert results.place(tmp_path / "best.safetensors") == tmp_path / "best.evaluation.json"
    kept.write_text("{}")
    with pytest.raises(UsageError, match=r"evaluation\.json: not a readable file of results"):
        results.read(kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "got nothing"),
        ({"inputs": "a"}, "--inputs: expected --against DIR too"),
        ({"inputs": "a", "hr": "a"}, "got --inputs and --hr"),
        ({"a": "a"}, "expected --a DIR and --b DIR"),
        ({"a": "a", "b": "a", "ab": "a"}, "expected --a DIR and --b DIR, or --ab DIR alone"),
        ({"against": "a"}, "does not draw pictures; expected --inputs DIR to translate as well"),
        ({"hr": "a", "metric": ("fid", "cycle-l1")}, "--metric cycle-l1: not for super-resolution"),
        ({"inputs": "a", "against": "a", "lr_images": "a"}, "--lr-images goes with --hr"),
        ({"inputs": "a", "against": "a", "network": "resnet5"}, r"did you mean resnet50\?"),
        ({"inputs": "a", "against": "a", "swap": True}, "--swap goes with --ab"),
        (
            {"inputs": "a", "against": "a", "protocol": "set5"},
            r"expected one of .*did you mean set5-y",
        ),
        ({"inputs": "a", "against": "a", "protocol": "set5-y"}, "it is for super-resolution"),
        ({"inputs": "absent", "against": "a"}, "--inputs absent: no such folder"),
        ({"pictures": "a", "against": "a"}, "--pictures goes without a MODEL"),
        ({"inputs": "a", "against": "a", "metric": ("cycle-l1",)}, "the model has no direction back"),
        ({"inputs": "a", "against": "a", "metric": ("iou",)}, "not for translations"),
        ({"inputs": "a", "against": "a", "features": Path("a/00.png")}, "00.png"),
    ],
)
def test_wrong_usage(a: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str) -> None:
    monkeypatch.chdir(a.parent)
    paths = {name: Path(value) if isinstance(value, str) and name not in ("protocol", "network") else value
             for name, value in options.items()}  # fmt: skip
    with pytest.raises(UsageError, match=message):
        translate.evaluate(published(darker()), **paths)


def test_python_takes_what_the_command_takes(a: Path, b: Path) -> None:
    model = published(darker())
    plain = translate.evaluate(model, inputs=a, against=b, metric=("edges",), size=16)
    assert translate.evaluate(Model(model), inputs=str(a), against=str(b), metric="edges", size=16) == plain
    with pytest.raises(UsageError, match=r"no such flag: metrics \(did you mean metric\?\)"):
        translate.evaluate(model, inputs=a, against=b, metrics=("edges",))
    with pytest.raises(UsageError, match="--size 8: expected a whole number >= 16"):
        translate.evaluate(model, inputs=a, against=b, size=8)


def test_an_unreadable_picture_stops_it(a: Path, b: Path) -> None:
    (a / "05.png").write_bytes((a / "05.png").read_bytes()[:300])
    with pytest.raises(translate.GantkError, match=r"05\.png"):
        translate.evaluate(published(darker()), inputs=a, against=b, metric=("edges",))


def test_missing_weights_name_file_source_and_checksum(
    a: Path, b: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch_fidelity")
    pytest.importorskip("torchmetrics")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UsageError, match=r"--metric fid: .*weights-inception.*github.*6726825d.*swd, frechet"):
        translate.evaluate(published(darker()), inputs=a, against=b, metric=("fid",))
    with pytest.raises(UsageError, match=r"--metric lpips: .*alexnet-owt.*7be5be79.*psnr, ssim and l1"):
        translate.evaluate(published(darker()), a=a, b=a.parent / "b", metric=("lpips",))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTK_PLUGINS", "")


def test_the_command_without_extras(a: Path, b: Path, offline: None) -> None:
    """What must always work: no package of an extra, no network."""
    code = (
        "import sys, socket\n"
        "for name in ('torchmetrics', 'torch_fidelity'): sys.modules[name] = None\n"
        "def refuse(*a, **k): raise OSError('no network')\n"
        "socket.socket.connect = refuse\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('torchmetrics', 'torch_fidelity') else find(name, *a)\n"
        "from translate.cli import app\n"
        "sys.exit(app.run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "evaluate", "--pictures", str(a), "--against", str(b), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    record = json.loads(done.stdout)
    assert {figure["name"] for figure in record["figures"]} == {"swd", "frechet", "kernel"}
    assert "gantk[metrics]" in " ".join(record["notes"])


def test_the_command(a: Path, b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], offline: None) -> None:
    out = tmp_path / "new" / "result.json"
    command = ["evaluate", "--pictures", str(a), "--against", str(b), "--metric", "frechet"]
    assert cli.run([*command, "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "frechet" in shown.out
    assert "not comparable" in shown.out
    assert "protocol: none" in shown.err
    assert results.read(out)[0]["frechet"].value > 0
    assert cli.run(["evaluate", "--pictures", str(a)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.run(["evaluate", "--protocol", "list"]) == 0
    assert "set5-y" in capsys.readouterr().out


def test_same_pictures_are_at_no_distance(a: Path) -> None:
    result = translate.evaluate(options=EvaluateOptions(pictures=a, against=a, metric=("frechet", "kernel", "swd")))
    assert result["frechet"].value == pytest.approx(0, abs=1e-6)
    assert abs(result["kernel"].value) < 0.05
