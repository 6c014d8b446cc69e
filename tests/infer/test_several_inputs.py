"""Directions that take several pictures for each result: from folders, in tiles, from Python and as ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from infer_fakes import Fake
from PIL import Image
from torch import Tensor, nn

from translate.contract import Batch, DataSpec, Direction, Nets
from translate.errors import UsageError
from translate.evaluation.evaluate import evaluate
from translate.export.onnx import to_onnx
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.runner import CannotTranslateError, Network
from translate.model import Model
from translate.modelfile.card import Card
from translate.modelfile.model import Published

CLASSES = 5
RANDOM = np.random.default_rng(4)
LABEL = RANDOM.integers(0, CLASSES, (40, 52), np.uint8)
THINGS = RANDOM.integers(0, 900, (40, 52), np.uint16)
TINT = RANDOM.integers(0, 256, (40, 52, 3), np.uint8)


class Painter(nn.Module):
    """Colours by class, shifted where things meet, and tinted: every input counts, and so does what lies around."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.mix = nn.Conv2d(CLASSES + 4, 3, 5, padding=2, padding_mode="reflect")
        with torch.no_grad():
            self.mix.weight.copy_(torch.randn(self.mix.weight.shape, generator=generator) * 0.1)
            self.mix.bias.zero_()

    def forward(self, label: Tensor, things: Tensor, tint: Tensor) -> Tensor:
        meeting = (things != things.roll(1, 3)).float()
        painted: Tensor = self.mix(torch.cat([label, meeting, tint], 1)).tanh()
        return painted


def paint(nets: Nets, x: Batch) -> Tensor:
    painted: Tensor = nets.g(x.label, x.things, x.tint)
    return painted


def painter(order: Sequence[str] = ("label", "things", "tint")) -> Published:
    direction = Direction("paint", tuple(order), "image", ("g",), paint, multiple=4, margin=4)
    channels = {"label": CLASSES, "things": 1, "tint": 3, "image": 3}
    data = DataSpec(16, channels, names={"label": ("sky", "sea", "sand", "tree", "house")}, indexed=("label", "things"))
    card = Card(plugin="fake", distribution="gantk", version="0", model={}, data=data, directions=())
    nets = Nets({"g": Painter().eval().requires_grad_(False)})
    return Published(Path("fake.safetensors"), card, Fake(), nets, (direction,))


def expected(label: Any = LABEL, things: Any = THINGS, tint: Any = TINT) -> np.ndarray[Any, Any]:
    """What the painter makes of pictures, by torch alone."""
    planes = torch.nn.functional.one_hot(torch.from_numpy(label).long(), CLASSES).permute(2, 0, 1)[None].float()
    identities = torch.from_numpy(things.astype(np.float32))[None, None]
    shades = torch.from_numpy(tint).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        painted = Painter()(planes, identities, shades)
    values = ((painted + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return values[0].permute(1, 2, 0).numpy()


def network(published: Published, **options: Any) -> Network:
    return Network(published, published.directions[0], torch.device("cpu"), InferOptions(**options))


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three folders with one photo ``a`` each, and one ``deep/b``."""
    for name in ("a", "deep/b"):
        for folder, picture in (("labels", LABEL), ("things", THINGS), ("tints", TINT)):
            path = tmp_path / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return tmp_path


def also(place: Path) -> tuple[str, ...]:
    return f"things={place / 'things'}", f"tint={place / 'tints'}"


def test_each_input_reaches_the_network_as_what_it_is() -> None:
    maps = [[THINGS[:, :, None]], [TINT]]
    (result,) = network(painter(), tile="off").translate([LABEL[:, :, None]], others=maps)
    assert np.array_equal(result.canvas.read(0, 40), expected())


def test_tiles_carry_all_inputs() -> None:
    (result,) = network(painter(), tile="16").translate([LABEL[:, :, None]], others=[[THINGS[:, :, None]], [TINT]])
    assert result.tiles > 4
    apart = result.canvas.read(0, 40).astype(int) - expected()
    apart[:, 0] = 0  # where Painter rolls around the border, a tile's border is elsewhere
    assert np.abs(apart).max() <= 1


def test_a_folder_of_each_input(folders: Path) -> None:
    options = InferOptions(also=also(folders), batch=2, device="cpu", tile="off")
    summary = infer(painter(), [folders / "labels"], folders / "out", options)
    assert (summary.done, summary.exit_code) == (2, 0)
    for name in ("a", "deep/b"):
        assert np.array_equal(pixels(folders / "out" / f"{name}.png"), expected())


def test_photos_of_a_batch_keep_their_own_partners(folders: Path) -> None:
    other = np.flip(TINT, 0).copy()
    Image.fromarray(other).save(folders / "tints/deep/b.png")
    infer(painter(), [folders / "labels"], folders / "out", InferOptions(also=also(folders), batch=2, device="cpu"))
    assert np.array_equal(pixels(folders / "out/a.png"), expected())
    assert np.array_equal(pixels(folders / "out/deep/b.png"), expected(tint=other))


def test_what_cannot_be_matched_fails_by_name_and_the_others_are_done(folders: Path) -> None:
    for folder, picture in (("labels", LABEL), ("things", THINGS), ("tints", TINT)):
        for name in ("small", "twice"):
            Image.fromarray(picture).save(folders / folder / f"{name}.png")
    (folders / "things/a.png").unlink()
    Image.fromarray(TINT[:20]).save(folders / "tints/small.png")
    Image.fromarray(TINT).save(folders / "tints/twice.jpg")
    broken = folders / "labels/unknown.png"
    Image.fromarray(np.full((40, 52), CLASSES, np.uint8)).save(broken)
    for folder, picture in (("things", THINGS), ("tints", TINT)):
        Image.fromarray(picture).save(folders / folder / "unknown.png")
    summary = infer(painter(), [folders / "labels"], folders / "out", InferOptions(also=also(folders), device="cpu"))
    assert (summary.done, summary.failed, summary.exit_code) == (1, 4, 3)
    reasons = {Path(path).stem: reason for path, reason in summary.failures}
    assert reasons["a"] == f"it has no things: no file a in {folders / 'things'}"
    assert reasons["small"] == f"{folders / 'tints/small.png'}: 52x20 pixels; expected 52x40, as the photo has"
    assert "which of them belongs to" in reasons["twice"]
    assert reasons["unknown"] == "it has class 5; expected 0 to 4, or 255 where nothing is labelled"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "--also things=FOLDER: paint needs things beside label, of the same file names"),
        (("things=t",), "--also tint=FOLDER: paint needs tint beside label, of the same file names"),
        (("things",), "--also things: expected NAME=FOLDER"),
        (("depth=d",), "--also depth=d: paint has no further input 'depth'; expected things, tint"),
        (("label=d",), "--also label=d: paint has no further input 'label'; expected things, tint"),
        (("things=t", "things=u"), "--also things: given twice (t and u)"),
        (("things=none", "tint=none"), "--also things none: no such folder"),
    ],
)
def test_a_wrong_flag_is_refused_before_any_photo(
    given: tuple[str, ...], message: str, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders)
    with pytest.raises(UsageError) as caught:
        infer(painter(), [Path("labels")], Path("out"), InferOptions(also=given, device="cpu"))
    assert str(caught.value) == message
    assert not Path("out").exists()


def test_partners_are_never_overwritten(folders: Path) -> None:
    options = InferOptions(also=also(folders), overwrite=True, device="cpu")
    with pytest.raises(UsageError, match="this is an input"):
        infer(painter(), [folders / "labels"], folders / "tints", options)
    assert np.array_equal(pixels(folders / "tints/a.png"), TINT)
    (folders / "out").mkdir()
    (folders / "tints/a.png").rename(folders / "out/a.png")
    (folders / "tints/a.png").symlink_to(folders / "out/a.png")
    summary = infer(painter(), [folders / "labels"], folders / "out", options)
    assert [reason for _, reason in summary.failures] == [
        "its result would overwrite an input; choose another --out or a --suffix"
    ]
    assert np.array_equal(pixels(folders / "out/a.png"), TINT)


def test_python_takes_further_pictures_as_keywords() -> None:
    model = Model(painter())
    maps = LABEL[:, :, None], THINGS[:, :, None]
    assert np.array_equal(model(maps[0], things=maps[1], tint=TINT, tile="off"), expected())
    palette = Image.fromarray(LABEL, "P")
    palette.putpalette([200, 10, 90] * 256)
    result = model(palette, things=Image.fromarray(THINGS), tint=Image.fromarray(TINT))
    assert np.array_equal(np.asarray(result), expected())


def test_python_names_what_is_missing_or_wrong() -> None:
    model = Model(painter())
    label, things = LABEL[:, :, None], THINGS[:, :, None]
    for wrong, message in (
        ({"things": things}, r"paint needs tint beside label: model\(picture, tint=...\)"),
        ({"things": things, "tint": TINT[:20]}, "tint: 52x20 pixels; expected 52x40"),
        ({"things": things, "tint": Image.fromarray(TINT)}, "tint: expected a ndarray, as the picture is"),
        ({"things": things, "tint": TINT, "depth": TINT}, "no such flag: depth"),
        ({"things": TINT, "tint": TINT}, r"expected a uint8 or uint16 array \(H, W, 1\)"),
    ):
        with pytest.raises(UsageError, match=message):
            model(label, **wrong)
    with pytest.raises(UsageError, match="label: it has class 9; expected 0 to 4"):
        model(np.full_like(label, 9), things=things, tint=TINT)


def test_a_picture_of_another_size_is_refused_by_the_network_too() -> None:
    with pytest.raises(ValueError, match="1 further inputs; expected 2"):
        network(painter()).translate([LABEL[:, :, None]], others=[[TINT]])


def test_an_input_that_is_no_index_map_may_come_first(folders: Path) -> None:
    options = InferOptions(also=(f"label={folders / 'labels'}", f"things={folders / 'things'}"), device="cpu")
    infer(painter(("tint", "label", "things")), [folders / "tints"], folders / "out", options)
    assert np.array_equal(pixels(folders / "out/a.png"), expected())


def test_figures_of_several_inputs(folders: Path) -> None:
    infer(painter(), [folders / "labels"], folders / "real", InferOptions(also=also(folders), device="cpu"))
    given = {"a": folders / "labels", "b": folders / "real", "metric": ("l1",), "also": also(folders)}
    result = evaluate(painter(), **given)
    assert result.figures[0].value == pytest.approx(0, abs=1e-3)
    small = evaluate(painter(), **given, size=16)
    assert small.figures[0].value > 0
    (folders / "things/a.png").unlink()
    with pytest.raises(UsageError, match=r"a\.png: it has no things"):
        evaluate(painter(), **given)


def test_onnx_has_each_input(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    published = painter()
    to_onnx(published, published.directions[0], tmp_path / "paint.onnx", range_="0..1")
    session = onnxruntime.InferenceSession(str(tmp_path / "paint.onnx"), providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["label", "things", "tint"]
    planes = np.eye(CLASSES, dtype=np.float32)[LABEL].transpose(2, 0, 1)[None]
    feed = {"label": planes, "things": THINGS[None, None].astype(np.float32)}
    feed["tint"] = TINT.transpose(2, 0, 1)[None].astype(np.float32) / 255
    (output,) = session.run(None, feed)
    assert np.abs(output[0].transpose(1, 2, 0) * 255 - expected()).max() < 1


def test_too_large_a_picture_names_the_need_for_all_of_it() -> None:
    published = painter()
    whole = replace(published, directions=(replace(published.directions[0], margin=None),))
    with pytest.raises(CannotTranslateError, match="needs the whole picture at once"):
        network(whole, tile="16").translate([LABEL[:, :, None]], others=[[THINGS[:, :, None]], [TINT]])
