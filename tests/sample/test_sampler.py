"""Sampling from a published file: deterministic, independent of the batch, marked as made by a model."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor

from gantk_dcgan import DCGAN
from gantk_gan import GAN
from translate.cli import app as cli
from translate.conditions import choice, number
from translate.contract import Batch, DataSpec, Direction, Nets, Noise, TaskModel
from translate.errors import UsageError
from translate.modelfile.model import Published, build_nets, load_published
from translate.modelfile.write import save_published
from translate.sample.sampler import Sampler, between, latents
from translate.sample.saving import save_each, save_grid, storage_of, to_bytes


def published(path: Path, plugin: str, task: TaskModel, spec: DataSpec) -> Published:
    torch.manual_seed(0)
    tensors = build_nets(task, spec, ("g", "d")).state_dict()
    save_published(path, plugin=plugin, task=task, data=spec, tensors=tensors, weights="raw", step=1)
    return load_published(path)


@pytest.fixture
def faces(tmp_path: Path) -> Published:
    task = DCGAN(width=4, latent=6, kernel=5, projection="dense")
    return published(tmp_path / "faces.safetensors", "dcgan", task, DataSpec(32, {"image": 3}))


@pytest.fixture
def digits(tmp_path: Path) -> Published:
    return published(tmp_path / "d.safetensors", "gan", GAN(g_widths=(8,), d_widths=(4,)), DataSpec(8, {"image": 1}))


def test_file_holds_the_generator_alone(faces: Published) -> None:
    assert list(faces.nets) == ["g"]


def test_sample_depends_on_seed_alone(faces: Published) -> None:
    first = Sampler(model=faces, seed=3).sample(7)
    assert first.shape == (7, 3, 32, 32)
    assert first.abs().max() <= 1
    assert torch.equal(first, Sampler(model=faces, seed=3).sample(7))
    torch.testing.assert_close(first, Sampler(model=faces, seed=3, batch=2).sample(7), rtol=0, atol=1e-6)
    torch.testing.assert_close(first[:4], Sampler(model=faces, seed=3).sample(4), rtol=0, atol=1e-6)
    assert not torch.allclose(first, Sampler(model=faces, seed=4).sample(7))
    assert not torch.allclose(first[0], first[1])


def test_sampling_leaves_the_global_generator_alone(faces: Published) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Sampler(model=faces, seed=1).sample(2)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_latents_are_prefixes_of_each_other(law: str) -> None:
    direction = Direction("pair", ("a", "b"), "image", (), lambda nets, x: x.a, latent=Noise((100,), law))  # type: ignore[arg-type]
    many, few = latents(direction, 50, seed=1), latents(direction, 9, seed=1)
    for name in ("a", "b"):
        assert torch.equal(many[name][:9], few[name])
    assert not torch.equal(few["a"], few["b"])


def test_interpolation_starts_and_ends_at_samples(faces: Published, digits: Published) -> None:
    for model in (faces, digits):
        walks = torch.cat(list(Sampler(model=model, seed=8, steps=5).interpolate(2)))
        ends = Sampler(model=model, seed=8).sample(4)
        assert len(walks) == 10
        torch.testing.assert_close(walks[[0, 4, 5, 9]], ends, rtol=0, atol=1e-5)


def test_walks_stay_as_likely_as_their_ends() -> None:
    shares = torch.linspace(0, 1, 9)
    start, end = Noise((512,)).draw(2, torch.Generator().manual_seed(0))
    norms = between(Noise((512,)), start, end, shares).norm(dim=1)
    assert norms.min() > 0.95 * min(start.norm(), end.norm())
    assert (
        between(Noise((512,), "uniform"), start, end, shares)[4].norm() < 0.8 * start.norm()
    )  # the straight line does not
    same = between(Noise((512,)), start, start, shares)
    torch.testing.assert_close(same, start.expand(9, -1))


def test_grid_and_files_are_exact_and_marked(faces: Published, digits: Published, tmp_path: Path) -> None:
    pictures = Sampler(model=faces, seed=1).sample(6)
    save_grid(tmp_path / "new" / "grid.png", pictures, rows=2)
    with pytest.raises(UsageError, match=r"grid\.jpg: expected a file name that ends in \.png"):
        save_grid(tmp_path / "grid.jpg", pictures)
    with Image.open(tmp_path / "new" / "grid.png") as grid:
        assert grid.size == (3 * 34 + 2, 2 * 34 + 2)
        assert "trainedAlgorithmicMedia" in grid.info["XML:com.adobe.xmp"]
        corner = np.asarray(grid)[2:34, 2:34]
    np.testing.assert_array_equal(corner, to_bytes(pictures)[0])

    paths = save_each(tmp_path / "out", Sampler(model=digits, seed=2, batch=2).batches(5), seed=2)
    assert [p.name for p in paths] == [f"seed2-{k:05d}.png" for k in range(5)]
    assert sorted((tmp_path / "out").iterdir()) == paths
    with Image.open(paths[4]) as digit:
        assert digit.mode == "L"
        assert "trainedAlgorithmicMedia" in digit.info["XML:com.adobe.xmp"]
        np.testing.assert_allclose(
            np.asarray(digit), to_bytes(Sampler(model=digits, seed=2).sample(5))[4][:, :, 0], atol=1
        )


def test_the_command_replaces_nothing_unasked(
    faces: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid, out = tmp_path / "grid.png", tmp_path / "out"

    def command(*words: object) -> int:
        return cli.run(["sample", str(faces.path), "-n", "4", "--device", "cpu", *map(str, words)])

    def refused(*words: object) -> str:
        assert command(*words) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert command("--grid", grid, "--out", out) == 0
    before = grid.read_bytes()
    capsys.readouterr()
    assert f"--grid {grid}: exists already; choose another name, or --overwrite" in refused("--grid", grid, "--seed", 1)
    (out / "seed0-00000.png").unlink()
    assert "seed0-00001.png exists already; choose another folder or --seed" in refused("--out", out)
    assert not (out / "seed0-00000.png").exists()
    assert command("--out", out, "--seed", 1) == 0
    assert grid.read_bytes() == before
    assert command("--grid", grid, "--out", out, "--seed", 1, "--overwrite") == 0
    assert grid.read_bytes() != before
    capsys.readouterr()
    assert "a file is in the way; expected a folder" in refused("--out", grid)
    assert "a file is in the way; expected a folder" in refused("--grid", grid / "x.png")
    assert "expected a file name that ends in .png" in refused("--grid", tmp_path / "x.jpg")
    (tmp_path / "folder.png").mkdir()
    assert "expected a file name that ends in .png" in refused("--grid", tmp_path / "folder.png", "--overwrite")
    assert "--direction x" in refused("--out", tmp_path / "never", "--direction", "x")
    assert not (tmp_path / "never").exists()


def test_files_are_written_as_they_are_made(faces: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[int] = []
    real = Sampler._run

    def watched(*arguments: Any) -> Iterator[torch.Tensor]:
        for pictures in real(*arguments):
            there.append(len(list((tmp_path / "out").glob("*.png"))))
            yield pictures

    monkeypatch.setattr(Sampler, "_run", watched)
    command = ["sample", str(faces.path), "-n", "16", "--batch", "8", "--device", "cpu", "--overwrite"]
    for more in ((), ("--interpolate",), ("--grid", str(tmp_path / "grid.png"))):
        there.clear()
        assert cli.run([*command, "--out", str(tmp_path / "out"), *more]) == 0
        assert there == [0, 8]
        files = sorted((tmp_path / "out").iterdir())
        assert len(files) == 16
        last = np.asarray(Image.open(files[15]))
        for file in files:
            file.unlink()
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "grid.png"))[-34:-2, -34:-2], last)


def test_levels() -> None:
    image = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 5)
    assert to_bytes(image).flatten().tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    "call",
    [
        lambda m: Sampler(model=m).sample(0),
        lambda m: Sampler(model=m, steps=1).interpolate(1),
        lambda m: Sampler(model=m, direction="x").sample(1),
    ],
)
def test_wrong_usage(faces: Published, call: object) -> None:
    assert callable(call)
    with pytest.raises(UsageError):
        call(faces)


@pytest.fixture
def classes(faces: Published) -> Published:
    """A sampler that paints every picture in the value of its class, a little brighter by its first latent."""

    def run(nets: Nets, x: Batch) -> Tensor:
        level = x.label.float() / 10 * x.strength + x.z[:, 0] / 1000
        return level.reshape(-1, 1, 1, 1).expand(-1, 3, 4, 4)

    conditions = {"label": choice(("ship", "horse", "cat"), "class"), "strength": number(0, 1, "strength", default=1)}
    direction = Direction("sample", "z", "image", ("g",), run, latent=Noise((2,)), conditions=conditions)
    return dataclasses.replace(faces, directions=(direction,))


def test_a_condition_reaches_the_network(classes: Published) -> None:
    levels = Sampler(model=classes, seed=1, settings={"label": "horse"}).sample(5).mean((1, 2, 3))
    torch.testing.assert_close(levels, torch.full((5,), 0.1), rtol=0, atol=0.01)
    halved = Sampler(model=classes, seed=1, settings={"label": "horse", "strength": "0.5"}).sample(5).mean((1, 2, 3))
    torch.testing.assert_close(halved, torch.full((5,), 0.05), rtol=0, atol=0.01)


def test_all_draws_every_choice_from_the_same_latents(classes: Published) -> None:
    pictures = Sampler(model=classes, seed=2, settings={"label": "all"}, batch=3).sample(4)
    apart = torch.cat(
        [Sampler(model=classes, seed=2, settings={"label": name}).sample(4) for name in ("ship", "horse", "cat")]
    )
    assert torch.equal(pictures, apart)
    with pytest.raises(UsageError, match="--set strength=all: strength has no list of values"):
        Sampler(model=classes, settings={"label": "cat", "strength": "all"}).sample(4)


def test_a_condition_without_a_value_is_named(classes: Published) -> None:
    with pytest.raises(UsageError, match=re.escape("--set label=...: expected one of ship, horse, cat")):
        Sampler(model=classes).sample(1)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_samples_are_as_deep_as_the_training_pictures(digits: Published, tmp_path: Path, bits: int) -> None:
    data = replace(digits.card.data, bits={"image": bits})
    deep = replace(digits, card=replace(digits.card, data=data))
    direction = deep.direction(None, latent=True)
    values = Sampler(model=digits, seed=3).sample(2).double()
    (first, _) = save_each(tmp_path / "out", iter([values.float()]), 3, storage_of(deep, direction))
    if bits == 32:
        assert first.suffix == ".tiff"
        assert np.abs(tifffile.imread(first) * 2 - 1 - values[0, 0].numpy()).max() < 1e-6
    else:
        levels = imagecodecs.png_decode(first.read_bytes())
        assert levels.dtype == f"uint{bits}"
        assert np.abs(levels.squeeze() - (values[0, 0].numpy() + 1) / 2 * (2**bits - 1)).max() <= 0.51


def test_samples_of_bands_are_tiff(digits: Published, tmp_path: Path) -> None:
    data = replace(digits.card.data, channels={"image": 5}, ranges={"image": (-10.0, 30.0)})
    bands = replace(digits, card=replace(digits.card, data=data))
    storage = storage_of(bands, bands.direction(None, latent=True))
    (path,) = save_each(tmp_path, iter([torch.linspace(-1, 1, 5).view(1, 5, 1, 1).expand(1, 5, 4, 4)]), 0, storage)
    with tifffile.TiffFile(path) as file:
        assert np.allclose(file.asarray()[0, 0], [-10, 0, 10, 20, 30], atol=1e-4)
        assert b"trainedAlgorithmicMedia" in file.pages[0].tags[700].value
