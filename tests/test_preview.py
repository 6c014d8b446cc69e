"""Previews: their columns' names travel with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from translate.preview import KEY, grid, save_preview, to_rgb


@pytest.mark.parametrize(("size", "drawn"), [(64, True), (8, False)])
def test_a_preview_names_its_columns(tmp_path: Path, size: int, drawn: bool) -> None:
    columns = {name: torch.rand(2, 3, size, size) * 2 - 1 for name in ("a", "a2b", "b2a")}
    save_preview(tmp_path / "p.png", columns)
    with Image.open(tmp_path / "p.png") as image:
        about = json.loads(image.text[KEY])
        pixels = np.asarray(image)
    assert about["columns"] == ["a", "a2b", "b2a"]
    assert (about["header"] > 0) == drawn
    assert about["rows"] == 2
    np.testing.assert_array_equal(pixels[about["header"] :], grid(columns).permute(1, 2, 0).numpy())
    if drawn:
        header = pixels[: about["header"]]
        for column in range(3):
            assert header[:, column * (size + 2) : (column + 1) * (size + 2)].min() < 100, "there is a name"


def test_a_preview_of_one_column_is_a_square_without_a_header(tmp_path: Path) -> None:
    save_preview(tmp_path / "p.png", {"sample": torch.zeros(4, 1, 32, 32)})
    with Image.open(tmp_path / "p.png") as image:
        assert json.loads(image.text[KEY]) == {"columns": ["sample"], "header": 0, "rows": 2}
        assert image.size == (70, 70)


def test_bands_are_no_classes() -> None:
    bands = torch.tensor([-1.0, 0.0, 1.0, 0.5, 0.2]).view(1, 5, 1, 1)
    assert to_rgb(bands).flatten().tolist() == [0, 128, 255]
    assert to_rgb(bands[:, [0, 3]]).flatten().tolist() == [0, 191, 191]
    planes = torch.eye(5).view(1, 5, 1, 5)
    assert len(to_rgb(planes).unique(dim=3).unbind(3)) == 5, "a colour for each class"
