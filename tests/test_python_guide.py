"""The blocks of docs/python.md run as they stand, in their order, with few steps of a tiny network."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import translate

GUIDE = Path(__file__).parents[1] / "docs" / "python.md"
TINY: dict[str, dict[str, Any]] = {
    "cyclegan": {"size": 16, "steps": 2, "width": 2, "blocks": 1, "patch_layers": 1},
    "dcgan": {"width": 2, "latent": 4},
    "spade": {"size": 64, "batch": 1, "steps": 1, "width": 2, "d_width": 2, "map_width": 2, "patch_layers": 2},
}


def test_the_guide_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for path in ("horses/1.png", "horses/2.png", "zebras/1.png", "zebras/2.png", "photos/horse.jpg"):
        Path(path).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    maps = {"labels": (4, "L"), "things": (9, "L"), "pictures": (256, "RGB")}
    for folder, (count, mode) in maps.items():
        Path(folder).mkdir()
        values = rng.integers(0, count, (64, 64, len(mode)), dtype=np.uint8)
        Image.fromarray(values.squeeze()).save(f"{folder}/street.png")
    train: Callable[..., Path] = translate.train

    def train_little(plugin: str, **flags: Any) -> Path:
        return train(plugin, **flags | TINY[plugin] | {"workers": 0, "device": "cpu"})

    train_little("spade", labels="labels/", images="pictures/", instances="things/", out="runs/streets")
    monkeypatch.setattr(translate, "train", train_little)
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL))
    names: dict[str, Any] = {}
    exec(compile(code, str(GUIDE), "exec"), names)
    with Image.open("zebra.png") as picture:
        assert picture.size == (50, 40)
    assert names["drawn"].size == (64, 64)
    assert names["array"].shape == (100, 150, 3)
    assert names["tensor"].shape == (2, 3, 64, 64)
    assert names["summary"].done == 1
    assert Path("out/horse_zebra.png").is_file()
    assert names["pictures"].shape == (16, 3, 32, 32)
    printed = capsys.readouterr().out
    assert "['a2b', 'b2a']" in printed
    assert "no such flag: stpes (did you mean steps?)" in printed
