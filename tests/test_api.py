"""Trained models as Python objects: every kind of picture, threads, folders, samples, and errors in words."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import translate
from gantk_cyclegan import CycleGAN
from gantk_dcgan import DCGAN
from translate.cli import app as cli
from translate.contract import DataSpec, TaskModel
from translate.modelfile.model import build_nets, needed_roles
from translate.modelfile.write import save_published


def write_model(path: Path, plugin: str, task: TaskModel, data: DataSpec) -> Path:
    torch.manual_seed(0)
    tensors = build_nets(task, data, needed_roles(task.directions(data))).state_dict()
    # Images that do not vary would be refused as a dead network's.
    loud = {name: tensor * (30 if "weight" in name and tensor.dim() > 1 else 1) for name, tensor in tensors.items()}
    save_published(path, plugin=plugin, task=task, data=data, tensors=loud, weights="raw", step=1)
    return path


@pytest.fixture
def horses(tmp_path: Path) -> translate.Model:
    task = CycleGAN(width=4, blocks=1)
    return translate.load(write_model(tmp_path / "h2z.safetensors", "cyclegan", task, DataSpec(32, {"a": 3, "b": 3})))


@pytest.fixture
def faces(tmp_path: Path) -> translate.Model:
    task = DCGAN(width=4, latent=6, kernel=5, projection="dense")
    return translate.load(write_model(tmp_path / "faces.safetensors", "dcgan", task, DataSpec(32, {"image": 3})))


def photo(seed: int = 0, height: int = 37, width: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_each_kind_of_picture_comes_back_as_its_kind(horses: translate.Model) -> None:
    array = horses(photo())
    assert array.dtype == np.uint8
    assert array.shape == (37, 50, 3)
    assert array.std() > 1
    image = horses(Image.fromarray(photo()))
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), array)
    assert not np.array_equal(horses(photo(), direction="b2a"), array)
    tensor = torch.from_numpy(np.stack([photo(), photo(1)])).permute(0, 3, 1, 2).double() / 127.5 - 1
    result = horses(tensor)
    assert (result.shape, result.dtype) == (tensor.shape, torch.float64)
    near = ((result[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    assert np.abs(near - array).max() < 0.501  # the array is rounded, the tensor is not
    assert np.abs(near - near.round()).max() > 0.1
    deep = horses(photo().astype(np.uint16) * 257)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - near).max() < 0.01


def test_an_image_is_turned_upright_and_keeps_its_transparency(horses: translate.Model) -> None:
    turned = Image.fromarray(photo())
    turned.getexif()[0x0112] = 6
    assert horses(turned).size == (37, 50)
    alpha = np.arange(37 * 50, dtype=np.uint8).reshape(37, 50)
    image = horses(Image.fromarray(np.dstack([photo(), alpha])))
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[:, :, 3], alpha)
    grey = horses(Image.fromarray(photo()[:, :, 0]))
    assert np.array_equal(np.asarray(grey), horses(np.repeat(photo()[:, :, :1], 3, axis=2)))


def test_tiles_change_little(horses: translate.Model) -> None:
    whole, tiled = horses(photo(1, 200, 180)), horses(photo(1, 200, 180), tile=64)
    assert np.abs(whole.astype(int) - tiled).max() <= 2
    tensor = torch.from_numpy(photo(1, 200, 180)).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert (horses(tensor) - horses(tensor, tile=64)).abs().max() < 0.02


def test_a_folder_is_what_gantk_infer_makes_of_it(
    horses: translate.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    for seed in range(3):
        Image.fromarray(photo(seed)).save(tmp_path / "photos" / f"{seed}.png")
    entries: list[Any] = []
    with translate.using(translate.Console(quiet=True, records=entries.append)):
        summary = horses.translate_folder(str(tmp_path / "photos"), tmp_path / "ours", direction="b2a", suffix="_x")
    assert (summary.done, summary.failed, len(entries)) == (3, 0, 3)
    assert capsys.readouterr().err == ""
    words = ["infer", str(horses.path), str(tmp_path / "photos"), "--out", str(tmp_path / "theirs"), "--suffix", "_x"]
    assert cli.run([*words, "--direction", "b2a", "--device", "cpu"]) == 0
    for seed in range(3):
        name = f"{seed}_x.png"
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
        assert np.array_equal(np.asarray(Image.open(tmp_path / "ours" / name)), horses(photo(seed), direction="b2a"))


def test_samples_depend_on_the_seed_alone(faces: translate.Model) -> None:
    first = faces.sample(5, seed=7)
    assert first.shape == (5, 3, 32, 32)
    assert first.abs().max() <= 1
    assert torch.equal(faces.sample(3, seed=7), first[:3])
    assert not torch.equal(faces.sample(3, seed=8), first[:3])
    with pytest.raises(translate.UsageError, match="label"):
        faces.sample(2, label="ship")


def test_threads_share_models(horses: translate.Model, faces: translate.Model, tmp_path: Path) -> None:
    """Whole and in tiles (which change the norms meanwhile), a folder, and samples, all at once."""
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo(9)).save(tmp_path / "photos" / "9.png")
    work: list[Any] = []
    for seed in range(4):
        work.append(lambda seed=seed: horses(photo(seed)))
        work.append(lambda seed=seed: horses(photo(seed, 120, 100), tile=64))
        work.append(lambda seed=seed: faces.sample(4, seed=seed).numpy())
    alone = [call() for call in work]

    def folder(number: int) -> np.ndarray:
        out = tmp_path / str(number)
        assert horses.translate_folder(tmp_path / "photos", out).done == 1
        return np.asarray(Image.open(out / "9.png"))

    with ThreadPoolExecutor(6) as pool:
        folders = [pool.submit(folder, number) for number in range(2)]
        together = [future.result() for future in [pool.submit(call) for call in work * 2]]
    for one, other in zip(alone * 2, together, strict=True):
        assert np.array_equal(one, other)
    for future in folders:
        assert np.array_equal(future.result(), horses(photo(9)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: model(photo(), direction="c2a"), "--direction c2a: .* offers a2b, b2a"),
        (lambda model: model(photo(), tile="huge"), "--tile 'huge': expected auto, off or a side"),
        (lambda model: model(photo(), direktion="a2b"), r"no such flag: direktion \(did you mean direction\?\)"),
        (lambda model: model(photo(), sample=True), "--sample: cyclegan draws no noise"),
        (
            lambda model: model(photo()[:, :, :2]),
            r"expected a uint8 or uint16 array \(H, W, 3\), not uint8 \(37, 50, 2\)",
        ),
        (lambda model: model(photo().astype(np.float32)), "expected a uint8 or .* not float32"),
        (lambda model: model(torch.zeros(1, 4, 9, 9)), r"float tensor \(N, 3, H, W\) .* not float32 \(1, 4, 9, 9\)"),
        (lambda model: model(torch.zeros(1, 3, 9, 9, dtype=torch.uint8)), "not uint8"),
        (lambda model: model(torch.full((1, 3, 9, 9), 255.0)), r"values in \[-1, 1\]"),
        (lambda model: model(torch.full((1, 3, 9, 9), float("nan"))), r"values in \[-1, 1\]"),
        (lambda model: model("photo.jpg"), "expected a PIL image.* not str"),
        (lambda model: model.to("cuda:99"), "--device cuda:99: this machine has"),
        (lambda model: model.sample(3), "gantk sample has no use for"),
        (lambda model: model.translate_folder("", "out"), "an empty path"),
        (lambda model: model.translate_folder("absent", "out"), "absent: no such file or folder"),
        (lambda model: model.translate_folder("absent", "out", format="gif"), "--format 'gif': expected keep"),
        (lambda model: model.translate_folder("absent", "out", max_pixels=0), "--max-pixels 0: expected a whole"),
        (lambda model: translate.load("absent"), "absent: "),
        (lambda model: translate.load(""), "an empty path"),
    ],
)
def test_mistakes_are_told_in_the_words_of_the_command_line(horses: translate.Model, call: Any, words: str) -> None:
    with pytest.raises(translate.GantkError, match=words) as caught:
        call(horses)
    assert "\n" not in str(caught.value)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("horses", "zebras", "photos"):
        (tmp_path / name).mkdir()
        for seed in range(2):
            Image.fromarray(photo(seed)).save(tmp_path / name / f"{seed}.png")
    return tmp_path


TINY: dict[str, Any] = {"size": 16, "width": 2, "blocks": 1, "patch_layers": 1, "workers": 0, "device": "cpu"}


def test_train_is_gantk_train(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = translate.train("cyclegan", a="horses/", b=Path("zebras"), steps=2, out="ours", quiet=True, **TINY)
    assert run == Path("ours")
    assert capsys.readouterr() == ("", "")
    words = [word for name, value in TINY.items() for word in ("--" + name.replace("_", "-"), str(value))]
    data = ["--a", "horses", "--b", "zebras", "--steps", "2", "--out", "theirs"]
    assert cli.run(["train", "cyclegan", *data, *words]) == 0
    assert Path("ours/model.safetensors").read_bytes() == Path("theirs/model.safetensors").read_bytes()
    assert Path("ours/config.toml").read_bytes() == Path("theirs/config.toml").read_bytes()
    with pytest.raises(translate.UsageError, match="is at step 2; expected --steps 2 or more, not 1"):
        translate.train("cyclegan", resume=True, out=run, steps=1)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"a": "horses"}, "--b is missing"),
        ({"a": "absent", "b": "zebras"}, "absent"),
        ({"a": "horses", "b": "zebras", "stpes": 3}, r"no such flag: stpes \(did you mean steps\?\)"),
        ({"a": "horses", "b": "zebras", "steps": "many"}, "--steps many: expected a whole number"),
        ({"a": "horses", "b": "zebras", "width": 0}, "--width 0: expected a whole number >= 1"),
        ({"a": "horses", "b": "zebras", "out": "horses"}, "horses"),
        ({"config": "absent.toml"}, "absent.toml: cannot be read"),
    ],
)
def test_mistakes_of_a_training_are_errors_before_it(folders: Path, flags: dict[str, Any], words: str) -> None:
    before = sorted(folders.rglob("*"))
    with pytest.raises(translate.UsageError, match=words):
        translate.train("cyclegan", **{**TINY, **flags})
    assert sorted(folders.rglob("*")) == before


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(translate.UsageError, match=r"cyclegna.*did you mean cyclegan"):
        translate.train("cyclegna")
