"""Pictures of two latents: which are mixed, where they stand, and what has nothing to mix."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import translate
from gantk_gan import GAN
from gantk_stylegan2 import StyleGAN2
from translate.cli import app as cli
from translate.contract import Batch, DataSpec, TaskModel
from translate.errors import UsageError
from translate.export.onnx import to_onnx
from translate.modelfile.model import build_nets, load_published
from translate.modelfile.write import save_published
from translate.sample.sampler import Sampler
from translate.sample.saving import to_bytes


def saved(path: Path, plugin: str, task: TaskModel, size: int) -> Path:
    torch.manual_seed(0)
    spec = DataSpec(size, {"image": 3})
    tensors = build_nets(task, spec, ("g",)).state_dict()
    tensors = {key: torch.randn_like(tensor) for key, tensor in tensors.items()}
    save_published(path, plugin=plugin, task=task, data=spec, tensors=tensors, weights="raw", step=1)
    return path


@pytest.fixture
def styles(tmp_path: Path) -> Path:
    task = StyleGAN2(latent=6, width=8, mapping=2, base=64, most=8)
    return saved(tmp_path / "styles.safetensors", "stylegan2", task, 16)


def test_sources_stand_in_the_first_row_and_column(styles: Path) -> None:
    model = translate.load(styles)
    grid = model.mix(2, 3, seed=5)
    sources = model.sample(5, seed=5)
    assert grid.shape == (3, 4, 3, 16, 16)
    assert grid[0, 0].eq(1).all()
    torch.testing.assert_close(grid[1:, 0], sources[:2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(grid[0, 1:], sources[2:], rtol=1e-4, atol=1e-4)


def test_coarse_layers_have_the_style_of_the_row(styles: Path) -> None:
    model = load_published(styles)
    g = model.nets.g
    direction = next(each for each in model.directions if each.name == "mix")
    assert direction.conditions["crossover"].default == "2"
    z = torch.cat([Sampler(model=model, seed=1).chosen.latent.draw(1, torch.Generator().manual_seed(1))])  # type: ignore[union-attr]
    grid = translate.load(styles).mix(1, 1, seed=1, crossover=3, truncation=0.7)
    generator = torch.Generator().manual_seed(1)
    coarse, fine = torch.randn(1, 6, generator=generator), torch.randn(1, 6, generator=generator)
    assert torch.equal(coarse, z)
    mean = g.mapping.mean
    w = [mean + 0.7 * (g.mapping(latent) - mean) for latent in (coarse, fine)]
    layers = torch.stack([w[0]] * 3 + [w[1]] * 2, 1)
    torch.testing.assert_close(grid[1, 1][None], g.synthesis(layers), rtol=1e-4, atol=1e-4)
    ends = [translate.load(styles).mix(1, 1, seed=1, crossover=k)[1, 1] for k in (0, 5)]
    whole = translate.load(styles).sample(2, seed=1)
    torch.testing.assert_close(torch.stack(ends), whole.flip(0), rtol=1e-4, atol=1e-4)


def test_the_command_draws_the_grid(styles: Path, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "mix.png"
    words = ["sample", str(styles), "--grid", str(path), "--seed", "2", "--device", "cpu"]
    assert cli.run([*words, "--mix", "2", "3", "--set", "crossover=1"]) == 0
    assert "6 mixed pictures, with their sources" in capsys.readouterr().err
    grid = np.asarray(Image.open(path))
    assert grid.shape == (3 * 18 + 2, 4 * 18 + 2, 3)
    expected = to_bytes(translate.load(styles).mix(2, 3, seed=2, crossover=1).flatten(0, 1))
    for number, picture in enumerate(expected):
        top, left = 2 + 18 * (number // 4), 2 + 18 * (number % 4)
        np.testing.assert_array_equal(grid[top : top + 16, left : left + 16], picture)
    for more, message in (
        (["--set", "crossover=9"], "--set crossover=9: expected a number from 0 to 5"),
        (["--set", "crossover=0..5"], "--mix: its rows are latents; expected one value of each condition"),
        (["--direction", "sample"], "--mix: expected a sampler of two latents; sample draws from 1"),
        (["-n", "4"], "--mix: expected --grid FILE, and neither --out, --interpolate nor -n"),
    ):
        assert cli.run([*words, "--overwrite", "--mix", "1", "1", *more]) == 2
        assert message in capsys.readouterr().err


def test_a_sampler_of_one_latent_mixes_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path / "gan.safetensors", "gan", GAN(g_widths=(8,)), 8)
    with pytest.raises(UsageError, match="gan has no sampler that mixes two latents"):
        translate.load(path).mix(2, 2)


def test_conditions_choose_the_sampler(styles: Path) -> None:
    model = load_published(styles)
    assert Sampler(model=model).chosen.name == "sample"
    assert Sampler(model=model, settings={"truncation": "0.5"}).chosen.name == "sample"
    assert Sampler(model=model, settings={"crossover": "2"}).chosen.name == "mix"
    assert Sampler(model=model, settings={"direction1": "2", "truncation": "0.5"}).chosen.name == "edit"
    with pytest.raises(UsageError, match="did you mean truncation"):
        Sampler(model=model, settings={"trunkation": "2"}).sample(1)


def test_pairs_are_drawn_for_every_input(styles: Path) -> None:
    sampler = Sampler(model=load_published(styles), direction="mix", seed=3)
    pictures = sampler.sample(4)
    torch.testing.assert_close(dataclasses.replace(sampler, batch=3).sample(3), pictures[:3], rtol=1e-4, atol=1e-4)
    assert len(torch.cat(list(sampler.interpolate(1)))) == 8


@pytest.mark.parametrize("name", ["mix", "edit"])
def test_every_sampler_becomes_onnx(styles: Path, tmp_path: Path, name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = load_published(styles)
    direction = model.direction(name, latent=True)
    assert to_onnx(model, direction, tmp_path / "net.onnx") < 1e-3
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == list(direction.arguments)
    given = {each: tensor.numpy() for each, tensor in direction.latents(2).items()}
    settings = {each: torch.full((2,), 1.5).numpy() for each in direction.conditions}
    (pictures,) = session.run(None, {**given, **settings})
    tensors = {each: torch.from_numpy(array) for each, array in (given | settings).items()}
    expected = direction.run(model.nets, Batch(tensors))
    torch.testing.assert_close(torch.from_numpy(pictures), expected, rtol=1e-3, atol=1e-3)
