"""gantk export: every form against the model it came from, by the other tool's own loader."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_models import save_random
from torch import Tensor

from translate.cli import app as cli
from translate.contract import Batch, DataSpec
from translate.evaluation.result import Figure, Result, checksum, place, write
from translate.modelfile.model import load_published
from translate.modelfile.write import save_published, write_tensors

SMALL: dict[str, tuple[dict[str, object], DataSpec, str]] = {
    "cyclegan": ({"width": 4, "blocks": 1}, DataSpec(32, {"a": 3, "b": 3}), "g_ba"),
    "pix2pix": ({"width": 4}, DataSpec(32, {"a": 1, "b": 3}), "g"),
    "esrgan": ({"width": 4, "blocks": 1, "growth": 32}, DataSpec(64, {"low": 3, "high": 3}, scale=4), "g"),
    "realesrgan": ({"width": 4, "perceptual": "none"}, DataSpec(64, {"low": 3, "high": 3}, scale=4), "g"),
    "srgan": ({"width": 4, "blocks": 1}, DataSpec(96, {"low": 3, "high": 3}, scale=2), "g"),
    "dcgan": ({"width": 2, "latent": 6}, DataSpec(32, {"image": 3}), "g"),
}


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """A model file with random weights of a plugin."""

    def make(plugin: str, weights: str = "raw", step: int = 7, **more: object) -> Path:
        model, data, _ = SMALL[plugin]
        return save_random(tmp_path / f"{plugin}.safetensors", plugin, model | more, data, weights, step)

    return make


def export(*words: object) -> int:
    return cli.run(["export", *map(str, words)])


def test_safetensors_are_byte_identical_and_say_which_weights(
    made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = made("esrgan", "averaged")
    for name in ("one", "two"):
        assert export(model, "-o", tmp_path / name) == 0
    assert "averaged weights, after step 7" in capsys.readouterr().err
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == model.read_bytes()


@pytest.mark.parametrize(
    ("plugin", "direction", "shape"),
    [
        ("cyclegan", "b2a", (1, 3, 36, 20)),
        pytest.param("pix2pix", "a2b", (2, 1, 64, 96), marks=pytest.mark.slow),
        ("dcgan", None, (5, 6)),
    ],
)
def test_onnx_runs_any_size(
    made: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    plugin: str,
    direction: str | None,
    shape: tuple[int, ...],
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model, target = made(plugin), tmp_path / "net.onnx"
    assert (
        export(model, "-o", target, "--to", "onnx", "--json", *(["--direction", direction] if direction else [])) == 0
    )
    record = json.loads(capsys.readouterr().out)
    assert record["max_difference"] < 1e-4
    published = load_published(model)
    chosen = published.direction(direction, latent=plugin == "dcgan")
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    given = torch.rand(shape) * 2 - 1
    (output,) = session.run([chosen.outputs], {chosen.inputs: given.numpy()})
    with torch.inference_mode():
        expected = chosen.run(published.nets, Batch({chosen.inputs: given}))
    torch.testing.assert_close(torch.from_numpy(output), expected, rtol=1e-4, atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["gantk"] == published.card.to_json()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["net.onnx", model.name])


def test_an_onnx_file_that_differs_is_not_kept(
    made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    model = made("srgan")
    assert export(model, "-o", tmp_path / "net.onnx", "--to", "onnx", "--tolerance", "1e-12") == 1
    assert "more than --tolerance 1e-12; nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [model.name]


@pytest.mark.parametrize("form", ["onnx", "spandrel"])
def test_a_missing_extra_is_one_clear_line(
    made: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    monkeypatch.setattr("translate.export.check.find_spec", lambda name: None)
    assert export(made("esrgan"), "-o", tmp_path / "x", "--to", form) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"not installed; pip install 'gantk[{form}]'" in error


@pytest.mark.parametrize(("scale", "unshuffle"), [(4, 1), (2, 1), (2, 2), (1, 4), (8, 1)])
def test_spandrel_detects_and_computes_the_same(
    made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], scale: int, unshuffle: int
) -> None:
    spandrel = pytest.importorskip("spandrel")
    model, data, role = SMALL["esrgan"]
    SMALL["esrgan"] = (model, DataSpec(64, data.channels, scale=scale), role)
    try:
        path = made("esrgan", unshuffle=unshuffle)
    finally:
        SMALL["esrgan"] = (model, data, role)
    target = tmp_path / "net.safetensors"
    assert export(path, "-o", target, "--to", "spandrel") == 0
    assert "maximum difference" in capsys.readouterr().err
    theirs = spandrel.ModelLoader("cpu").load_from_file(target)
    assert (theirs.architecture.id, theirs.scale, theirs.input_channels) == ("ESRGAN", scale, 3)
    low = torch.rand(1, 3, 8, 12)
    published = load_published(path)
    with torch.inference_mode():
        ours = (published.directions[0].run(published.nets, Batch({"low": low * 2 - 1})) + 1) / 2
        torch.testing.assert_close(theirs.model(low), ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize(
    ("architecture", "fields"),
    [
        ("ESRGAN", {"blocks": 1}),
        ("Compact", {"generator": "compact", "blocks": 2}),
        ("SPAN", {"generator": "span"}),
        ("SPAN", {"generator": "span", "normalise": False}),
    ],
)
def test_spandrel_knows_the_generators_of_realesrgan_at_every_scale(
    made: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    architecture: str,
    fields: dict[str, object],
    scale: int,
) -> None:
    spandrel = pytest.importorskip("spandrel")
    model, data, role = SMALL["realesrgan"]
    monkeypatch.setitem(SMALL, "realesrgan", (model, replace(data, scale=scale), role))
    path, target = made("realesrgan", **fields), tmp_path / "net.safetensors"
    assert export(path, "-o", target, "--to", "spandrel") == 0
    theirs = spandrel.ModelLoader("cpu").load_from_file(target)
    assert (theirs.architecture.id, theirs.scale, theirs.input_channels) == (architecture, scale, 3)
    low, published = torch.rand(1, 3, 8, 12), load_published(path)
    with torch.inference_mode():
        ours = (published.directions[0].run(published.nets, Batch({"low": low * 2 - 1})) + 1) / 2
        torch.testing.assert_close(theirs.model(low), ours, rtol=1e-4, atol=1e-4)


def test_what_spandrel_cannot_load_or_has_not_is_refused(
    made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("spandrel")
    target = tmp_path / "net.safetensors"
    for network in ("srresnet", "msrresnet"):
        assert export(made("srgan", generator_net=network), "-o", target, "--to", "spandrel") == 2
        assert "spandrel does not know the network of srgan" in capsys.readouterr().err
    assert export(made("esrgan"), "-o", tmp_path / "net.pth", "--to", "spandrel") == 2
    assert "expected a name ending in .safetensors" in capsys.readouterr().err
    assert export(made("esrgan", growth=8), "-o", target, "--to", "spandrel") == 2
    assert "it has growth 8 and enlarges by 2 and 2" in capsys.readouterr().err
    monkeypatch.setitem(SMALL, "esrgan", ({"width": 4, "blocks": 1}, DataSpec(96, {"low": 3, "high": 3}, scale=3), "g"))
    assert export(made("esrgan"), "-o", target, "--to", "spandrel") == 2
    error = capsys.readouterr().err
    assert "with growth 32 and a scale of 1, 2, 4 or 8 alone; it has growth 32 and enlarges by 3" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*net*")), "no file and no leftover"


def test_a_hub_folder_is_a_model_with_its_card(made: Callable[..., Path], tmp_path: Path) -> None:
    model, folder = made("cyclegan"), tmp_path / "horses"
    facts = ["--license", "mit", "--data-note", 'horses: "350" pictures', "--metric", "FID=77.2", "--metric", "KID=0.5"]
    facts += ["--metric-data", "horse2zebra: testA"]
    assert export(model, "-o", folder, "--to", "hub", *facts) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert load_published(folder).card == load_published(model).card
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert (config["library_name"], config["plugin"], config["step"]) == ("gantk", "cyclegan", 7)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    front = readme.split("---\n")[1]
    try:
        import yaml
    except ImportError:
        return
    card = yaml.safe_load(front)
    assert (card["license"], card["library_name"], card["pipeline_tag"]) == ("mit", "gantk", "image-to-image")
    assert card["tags"] == ["gantk", "cyclegan"]
    (result,) = card["model-index"][0]["results"]
    assert result["dataset"] == {"name": "horse2zebra: testA", "type": "unknown"}
    assert result["metrics"] == [
        {"type": "fid", "name": "FID", "value": 77.2},
        {"type": "kid", "name": "KID", "value": 0.5},
    ]
    assert "datasets" not in card
    assert 'horses: "350" pictures\n\nTraining images of 32 pixels. Channels: a 3, b 3; scale 1.' in readme
    assert "Measured on horse2zebra: testA:\n\n- FID: 77.2\n- KID: 0.5" in readme
    assert "Made for gantk: cyclegan of gantk" in readme
    assert "gantk infer horses photos/ --out results/ --direction b2a" in readme


def test_the_card_of_imported_weights_does_not_know_how_they_were_trained(
    made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = made("srgan", step=0)
    assert export(model, "-o", tmp_path / "hub", "--to", "hub", "--license", "MIT") == 0
    assert "srgan, raw weights, imported" in capsys.readouterr().err
    readme = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    assert readme.startswith('---\nlicense: "mit"\n')
    assert "Weights: raw, imported." in readme
    assert "Not stated.\n\nChannels: high 3, low 3; scale 2." in readme
    assert "Training images" not in readme
    assert "model-index" not in readme
    assert cli.run(["inspect", str(model)]) == 0
    about = capsys.readouterr().out
    assert "raw, imported" in about
    assert "not known, as it was imported" in about


@pytest.mark.parametrize("form", ["safetensors", "hub"])
def test_a_killed_export_leaves_nothing_after_the_next_one(
    form: str, made: Callable[..., Path], tmp_path: Path, killed_writer: Callable[..., Path]
) -> None:
    (tmp_path / "out").mkdir()
    killed_writer(tmp_path / "out" / "dcgan", "folder")
    killed_writer(tmp_path / "out" / "dcgan")
    assert export(made("dcgan"), "-o", tmp_path / "out" / "dcgan", "--to", form) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dcgan"]


def test_a_hub_folder_appears_whole_or_not_at_all(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> str:
        raise OSError("no space left")

    model = made("dcgan")
    monkeypatch.setattr("translate.export.hub.model_card", fail)
    assert export(model, "-o", tmp_path / "hub", "--to", "hub") == 1
    assert [path.name for path in tmp_path.iterdir()] == [model.name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "onnx", "--weights", "raw"], "--weights raw --to onnx"),
        (["--to", "onnx", "--direction", "c2d"], "offers a2b, b2a"),
        (["--direction", "a2b"], "--direction: expected --to onnx or ncnn or spandrel or pth, not safetensors"),
        (["--license", "mit"], "--license: expected --to hub"),
        (["--to", "hub", "--metric", "good", "--metric-data", "x"], "--metric good: expected NAME=NUMBER"),
        (["--to", "hub", "--metric", "FID=3"], "--metric: expected --metric-data as well"),
        (["--to", "hub", "--metric-data", "Set5"], "--metric-data: expected --metric as well"),
        (["--weights", "raw"], "has no checkpoint"),
    ],
)
def test_wrong_usage(
    made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert export(made("cyclegan"), "-o", tmp_path / "x", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_place_that_cannot_be_written_to_is_wrong_usage(
    made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = made("cyclegan")
    assert export(model, "-o", model / "x.safetensors") == 2
    assert f"--out {model / 'x.safetensors'}: a file is in the way" in capsys.readouterr().err


def test_a_direction_alone_can_be_published(made: Callable[..., Path], tmp_path: Path) -> None:
    whole = load_published(made("cyclegan"))
    state: dict[str, Tensor] = whole.nets.state_dict()
    path = tmp_path / "half.safetensors"
    save_published(
        path, plugin="cyclegan", task=whole.task, data=whole.data, tensors=state, weights="raw", step=1, offered=["b2a"]
    )
    half = load_published(path)
    assert [d.name for d in half.directions] == ["b2a"]
    assert list(half.nets) == ["g_ba"]
    assert all(key.startswith("g_ba.") for key in load_file(path))


def test_the_card_has_what_was_found_for_these_weights_alone(made: Callable[..., Path], tmp_path: Path) -> None:
    model = made("cyclegan")
    figure = Figure("frechet", 1.25, 1.0, 1.5, "lower", how="a random network", published=False)
    ours = Result({"sha256": checksum(model)}, {"kind": "translations", "size": 64}, (figure,))
    older = Result({"sha256": "0"}, {"kind": "translations"}, (replace(figure, value=99.0),))
    write(place(model), [older, ours])
    assert export(model, "-o", tmp_path / "horses", "--to", "hub") == 0
    readme = (tmp_path / "horses" / "README.md").read_text(encoding="utf-8")
    expected = "- frechet: 1.25 (1 to 1.5, a random network, not comparable with published numbers)"
    assert "no published protocol (kind: translations; size: 64)" in readme
    assert expected in readme
    assert "99" not in readme.split("## Metrics")[1]


def test_an_onnx_file_depends_neither_on_its_folder_nor_on_the_working_folder(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    model = made("dcgan")
    files = []
    for name in ("first", "second folder"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert export(model, "-o", tmp_path / name / "net.onnx", "--to", "onnx") == 0
        files.append((tmp_path / name / "net.onnx").read_bytes())
    assert files[0] == files[1]
    for path in (str(tmp_path), str(Path(torch.__file__).parent), str(Path(__file__).parents[2]), str(Path.home())):
        assert path.encode() not in files[0]


@pytest.mark.parametrize("value", [1e-05, 2e-7, 1e22, 0.5, 77.2, 3.0, 1.5e-10])
def test_numbers_of_a_model_card_are_numbers_in_yaml(made: Callable[..., Path], tmp_path: Path, value: float) -> None:
    folder = tmp_path / "hub"
    facts = ["--license", "mit", "--metric", f"L1={value}", "--metric-data", "x"]
    assert export(made("dcgan"), "-o", folder, "--to", "hub", *facts) == 0
    readme = (folder / "README.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"value: ([^\s}]+)", readme)
    assert re.fullmatch(r"[-+]?[0-9]+|[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?", text), "YAML 1.1 takes it for text"
    assert float(text) == value


def test_a_damaged_checkpoint_gives_no_raw_weights(
    made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    made("dcgan", weights="averaged").rename(run / "model.safetensors")
    tensors = {f"nets/{key}": t for key, t in load_file(run / "model.safetensors").items()}
    checkpoint = run / "checkpoints" / "step-00000007.safetensors"
    write_tensors(checkpoint, tensors, {})
    content = bytearray(checkpoint.read_bytes())
    content[-3] ^= 1
    checkpoint.write_bytes(content)
    assert export(run, "-o", tmp_path / "raw.safetensors", "--weights", "raw") == 2
    assert not (tmp_path / "raw.safetensors").exists()
    assert checkpoint.name in capsys.readouterr().err
