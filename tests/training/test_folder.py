"""Run folders that are gone on with: by another path to the same weights, and with weights that are tied."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from stranger import WORKING, install
from translate import plugins
from translate.cli import app as cli
from translate.modelfile.card import card_of
from translate.modelfile.header import read_header
from translate.modelfile.model import load_published

TIED = (
    WORKING.replace("nn.Conv2d(3, 3, 1)}", "Twice()}")
    + '''
class Twice(nn.Module):
    """Two layers of one weight and one bias."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.second.weight, self.second.bias = self.first.weight, self.first.bias

    def forward(self, x):
        return self.second(self.first(x))
'''
)

WITH_FILES = (
    WORKING.replace("from dataclasses", "from pathlib import Path\nfrom dataclasses")
    .replace("    tint:", "    weights: Path | None = None\n    styles: tuple[Path, ...] = ()\n    tint:")
    .replace('return {"g"', '[file.read_bytes() for file in (self.weights, *self.styles) if file]\n        return {"g"')
)

DATA = ("--a", "a", "--b", "b", "--size", "16")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where strangers' plugins lie; the current folder is another, with two folders of pictures."""
    monkeypatch.setenv(plugins.VARIABLE, "")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "here" / name).mkdir(parents=True)
        for index in range(3):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "here" / name / f"{index}.png")
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield tmp_path / "site"
    for name in [name for name in sys.modules if name.startswith("stranger_")]:
        del sys.modules[name]


def train(out: Path | str, *more: str) -> int:
    return cli.run(["train", "sepia", "--out", str(out), "--device", "cpu", "--workers", "0", *more])


def test_tied_weights_are_saved_loaded_and_resumed(site: Path) -> None:
    install(site, "tied-tools", code=TIED)
    assert train("run", *DATA, "--steps", "2") == 0
    assert train("run", "--resume", "--steps", "4") == 0
    assert train("straight", *DATA, "--steps", "4") == 0
    assert Path("run/model.safetensors").read_bytes() == Path("straight/model.safetensors").read_bytes()
    tensors = load_file("run/model.safetensors")
    net = load_published(Path("run")).nets.g
    for name in ("weight", "bias"):
        assert torch.equal(tensors[f"g.first.{name}"], tensors[f"g.second.{name}"])
        assert getattr(net.first, name) is getattr(net.second, name)
        assert torch.equal(getattr(net.first, name), tensors[f"g.first.{name}"])


def test_a_run_finds_its_models_files_from_any_folder_and_where_they_have_moved(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "file-tools", code=WITH_FILES)
    here = Path.cwd()
    Path("w.bin").write_bytes(b"w")
    Path("s.bin").write_bytes(b"s")
    assert train("run", *DATA, "--weights", "w.bin", "--styles", "s.bin", "--steps", "2") == 0
    card = card_of(read_header(here / "run" / "model.safetensors")).model
    assert (card["weights"], card["styles"]) == (None, ["s.bin"])

    monkeypatch.chdir(site)
    assert train(here / "run", "--resume", "--steps", "3") == 0
    assert "from here on" not in capsys.readouterr().err
    assert card_of(read_header(here / "run" / "model.safetensors")).model == card

    (here / "w.bin").rename(site / "moved.bin")
    assert train(here / "run", "--resume", "--steps", "4", "--weights", "moved.bin") == 0
    expected = f"--weights was {here / 'w.bin'}, it is {site / 'moved.bin'} from here on"
    assert expected in capsys.readouterr().err
    assert train(here / "run", "--resume", "--steps", "5", "--tint", "0.7") == 2
    assert f"--tint was 0.5 in {here / 'run'} and cannot become 0.7" in capsys.readouterr().err
