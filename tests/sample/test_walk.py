"""Walks and conditions that are varied: what is on the way, and how it becomes a file."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

import translate
from gantk_gan import GAN
from translate.cli import app as cli
from translate.conditions import choice, number, sweep_of, text
from translate.contract import Batch, DataSpec, Direction, Nets, Noise
from translate.errors import UsageError
from translate.modelfile.model import Published, build_nets, load_published
from translate.modelfile.write import save_published
from translate.provenance import TRAINED
from translate.sample.animation import save_animation
from translate.sample.sampler import Sampler, latents, way

NAMES = ("ship", "horse", "cat")


def shown(nets: Nets, x: Batch) -> Tensor:
    """Rows of a picture: the shares of the classes, the strength, the latent."""
    shares = x.label if x.label.is_floating_point() else torch.nn.functional.one_hot(x.label, 3).float()
    values = torch.cat([shares, x.strength[:, None], x.z], 1)
    return values[:, None, :, None].expand(-1, 1, -1, 6).contiguous()


@pytest.fixture
def model(tmp_path: Path) -> Published:
    """A sampler whose pictures hold all that it is given."""
    task, spec = GAN(g_widths=(8,), d_widths=(4,)), DataSpec(8, {"image": 1})
    path = tmp_path / "model.safetensors"
    tensors = build_nets(task, spec, ("g", "d")).state_dict()
    save_published(path, plugin="gan", task=task, data=spec, tensors=tensors, weights="raw", step=1)
    conditions = {"label": choice(NAMES, "class", soft=True), "strength": number(0, 1, "strength", default=1)}
    direction = Direction("sample", "z", "image", ("g",), shown, latent=Noise((4,)), conditions=conditions)
    return dataclasses.replace(load_published(path), directions=(direction,))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model file of its own, for the command line."""
    task, spec = GAN(g_widths=(8,), d_widths=(4,)), DataSpec(8, {"image": 1})
    path = tmp_path / "file.safetensors"
    torch.manual_seed(0)
    tensors = build_nets(task, spec, ("g", "d")).state_dict()
    save_published(path, plugin="gan", task=task, data=spec, tensors=tensors, weights="raw", step=1)
    return path


def columns(pictures: Tensor) -> Tensor:
    return pictures[:, 0, :, 0]


def test_a_number_from_a_to_b_gives_one_row_for_each_value(model: Published) -> None:
    pictures = columns(Sampler(model=model, settings={"label": "cat", "strength": "0..1"}, steps=5).sample(3))
    torch.testing.assert_close(pictures[:, 3], torch.tensor([0, 0.25, 0.5, 0.75, 1]).repeat_interleave(3))
    for row in pictures.split(3):
        torch.testing.assert_close(row[:, 4:], pictures[:3, 4:])
    assert pictures[:, 2].eq(1).all()


def test_classes_are_mixed_and_end_as_themselves(model: Published) -> None:
    pictures = columns(Sampler(model=model, settings={"label": "horse..ship..cat"}, steps=5).sample(1))
    expected = [[0, 1, 0], [0.5, 0.5, 0], [1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]]
    torch.testing.assert_close(pictures[:, :3], torch.tensor(expected))
    for name, place in (("horse", 0), ("ship", 2), ("cat", 4)):
        torch.testing.assert_close(
            columns(Sampler(model=model, settings={"label": name}).sample(1))[0], pictures[place]
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": "ship..hose"}, "--set label=ship..hose: expected one of ship, horse, cat (did you mean horse?)"),
        ({"label": "cat", "strength": "0..2"}, "--set strength=0..2: expected a number from 0 to 1"),
        ({"label": "cat..ship", "strength": "0..1"}, "--set strength=0..1: label has several values already"),
        ({"label": "all", "strength": "0..1"}, "--set strength=0..1: another condition is all already"),
        ({"label": "cat", "strength": "0.."}, "--set strength=0..: expected a number from 0 to 1"),
        ({"strength": "0..1"}, "--set label=...: expected one of ship, horse, cat"),
    ],
)
def test_what_cannot_be_varied_is_refused(model: Published, settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Sampler(model=model, settings=settings).sample(1)


def test_whole_classes_and_texts_have_nothing_in_between() -> None:
    conditions = {"label": choice(NAMES, "class"), "text": text(("", "a", "bird"), 4, "caption")}
    direction = Direction("sample", "z", "image", (), shown, latent=Noise((4,)), conditions=conditions)
    with pytest.raises(UsageError, match=re.escape("--set label=cat..ship: expected one value, as this model has")):
        sweep_of(direction, {"label": "cat..ship"})
    assert sweep_of(direction, {"text": "a bird.."}) is None  # a caption with dots


def test_a_walk_passes_the_samples_and_closes(model: Published) -> None:
    sampler = Sampler(model=model, seed=4, settings={"label": "ship"}, steps=6, batch=5)
    keys = sampler.sample(3)
    frames = torch.cat(list(sampler.walk(3)))
    assert len(frames) == 18
    torch.testing.assert_close(frames[::6], keys)
    steps = (columns(frames) - columns(frames).roll(1, 0)).norm(dim=1)
    assert steps[0] < 1.5 * steps[-6:].max()  # from the last frame to the first there is no jump
    once = torch.cat(list(sampler.walk(3, loop=False)))
    assert len(once) == 13
    torch.testing.assert_close(once[::6], keys)


def test_normal_latents_are_walked_on_the_sphere() -> None:
    for law, middle in (("normal", 2**0.5 / 2), ("uniform", 0.5)):
        noise = Noise((2,), law)  # type: ignore[arg-type]
        between = way(noise, torch.eye(2), torch.tensor([0, 0.5, 1]))
        torch.testing.assert_close(between, torch.tensor([[1, 0], [middle, middle], [0, 1.0]]))


def test_a_condition_goes_along_and_back(model: Published) -> None:
    sampler = Sampler(model=model, settings={"label": "ship..cat"}, steps=4)
    frames = columns(torch.cat(list(sampler.walk(1))))
    torch.testing.assert_close(frames[:, 2], torch.tensor([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]))
    assert (frames[:, 4:] == frames[0, 4:]).all()
    once = columns(torch.cat(list(sampler.walk(3, loop=False))))
    torch.testing.assert_close(once[:, 2], torch.linspace(0, 1, 9))
    torch.testing.assert_close(once[::4, 4:], latents(model.directions[0], 3, 0)["z"])


@pytest.mark.parametrize(
    ("count", "settings", "message"),
    [
        (1, {"label": "ship"}, "-n 1: a walk needs two latents or more"),
        (0, {"label": "ship..cat"}, "-n 0: a walk needs two latents or more"),
        (3, {"label": "all"}, "expected no 'all'"),
    ],
)
def test_a_walk_that_goes_nowhere(model: Published, count: int, settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Sampler(model=model, settings=settings).walk(count)


@pytest.mark.parametrize(("suffix", "fps"), [(".webp", 30), (".gif", 24), (".gif", 50)])
@pytest.mark.parametrize("once", [False, True])
def test_animations_of_pillow(file: Path, tmp_path: Path, suffix: str, fps: int, once: bool) -> None:
    path = tmp_path / "new" / f"walk{suffix}"
    words = ["sample", str(file), "--walk", str(path), "-n", "3", "--steps", "4", "--fps", str(fps), "--device", "cpu"]
    assert cli.run([*words, *(["--once"] if once else [])]) == 0
    frames = translate.load(file).walk(3, steps=4, loop=not once)
    with Image.open(path) as image:
        pictures, durations = [], []
        for frame in ImageSequence.Iterator(image):
            pictures.append(np.asarray(frame.convert("RGB"), int))
            durations.append(frame.info["duration"])
        assert image.info.get("loop", 1) == (1 if once else 0)
        marked = image.info["xmp"] if suffix == ".webp" else image.info["comment"]
    assert TRAINED.encode() in marked
    assert len(pictures) == len(frames) == (9 if once else 12)
    assert abs(sum(durations) - 1000 * len(frames) / fps) < 10
    expected = ((frames + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    assert np.abs(np.stack(pictures) - expected).mean() < 12  # both formats lose some
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_mp4(file: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the extra gantk[video]")
    path = tmp_path / "walk.mp4"
    assert cli.run(["sample", str(file), "--walk", str(path), "-n", "2", "--steps", "5", "--fps", "10"]) == 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.average_rate == 10
        assert container.metadata["comment"] == TRAINED
    assert len(pictures) == 10
    frames = translate.load(file).walk(2, steps=5)
    assert np.abs(np.stack(pictures) - ((frames + 1) * 127.5).permute(0, 2, 3, 1).numpy()).mean() < 12
    with pytest.raises(UsageError, match="MP4 needs even sides, not 5x4"):
        save_animation(tmp_path / "odd.mp4", iter([torch.zeros(2, 3, 4, 5)]))
    assert not (tmp_path / "odd.mp4").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--walk", "x.avi"], "--walk x.avi: expected a file name that ends in .webp, .gif or .mp4"),
        (["--walk", "x.gif", "--fps", "60"], "--fps 60: a GIF shows 50 frames per second at most"),
        (["--walk", "x.webp", "--grid", "x.png"], "--walk x.webp: an animation alone; expected no --grid"),
        (["--walk", "x.webp", "--interpolate"], "--walk x.webp: an animation alone; expected no --interpolate"),
        (["--walk", "x.webp", "-n", "1"], "-n 1: a walk needs two latents or more"),
        (["--grid", "x.png", "--fps", "20"], "--fps 20: of a walk alone; expected --walk FILE"),
        (["--grid", "x.png", "--once"], "--once: of a walk alone; expected --walk FILE"),
        (["--grid", "x.png", "--steps", "5"], "--steps 5: expected --interpolate, --walk or --set NAME=A..B"),
        (["--grid", "x.png", "--interpolate", "-n", "8", "--steps", "3"], "expected a multiple of 3"),
    ],
)
def test_wrong_flags_write_nothing(
    file: Path, tmp_path: Path, words: list[str], message: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert cli.run(["sample", str(file), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(Path().iterdir())


def test_mp4_names_what_is_missing_and_no_file_is_replaced(
    file: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "walk.webp"
    path.write_bytes(b"old")
    assert cli.run(["sample", str(file), "--walk", str(path)]) == 2
    assert "exists already; choose another name, or --overwrite" in capsys.readouterr().err
    assert path.read_bytes() == b"old"
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr("translate.sample.animation.find_spec", lambda name: None)
    assert cli.run(["sample", str(file), "--walk", str(tmp_path / "walk.mp4")]) == 2
    assert "MP4 needs av, not installed; pip install 'gantk[video]'" in capsys.readouterr().err
