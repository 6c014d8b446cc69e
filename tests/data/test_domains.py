"""Images of several domains: folders, a table of names, a table of attributes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from listening import listening
from translate.contract import Dataset, Loading
from translate.data.domains import Domains
from translate.errors import UsageError


def write(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(path)


def opened(folder: Path, lines: list[str] | None = None, **fields: Any) -> Dataset:
    with listening(lines):
        return Domains(domains=(folder,), **fields).open(Loading(size=8))


def test_folders_are_domains(tmp_path: Path) -> None:
    for shade, name in enumerate(("summer", "winter", "winter")):
        write(tmp_path / f"{name}/{shade}.png", shade)
    data = opened(tmp_path)
    assert data.spec.names["domain"] == ("summer", "winter")
    samples = [data.sample(index, np.random.default_rng(0)) for index in range(3)]
    assert [(int(x["image"][0, 0, 0]), int(x["domain"])) for x in samples] == [(0, 0), (1, 1), (2, 1)]
    even = opened(tmp_path, balanced=True)
    drawn = [int(even.sample(index, np.random.default_rng(index))["domain"]) for index in range(len(even))]
    assert Counter(drawn) == {0: 2, 1: 2}


def test_a_table_of_attributes_that_combine(tmp_path: Path) -> None:
    for shade in range(3):
        write(tmp_path / f"in/{shade}.png", shade)
    table = tmp_path / "a.csv"
    table.write_text("image_id,Blond,Male,Young\n0.png,1,-1,0\n2.png,0,1,1\n", encoding="utf-8")
    lines: list[str] = []
    data = opened(tmp_path / "in", lines, labels=table)
    assert data.spec.names["attributes"] == ("Blond", "Male", "Young")
    x = data.sample(1, np.random.default_rng(0))
    assert int(x["image"][0, 0, 0]) == 2
    assert torch.equal(x["attributes"], torch.tensor([0.0, 1.0, 1.0]))
    assert lines == [f"--domains {tmp_path / 'in'}: 1 of 3 images are left out, no row in {table}: 1.png"]
    chosen = opened(tmp_path / "in", labels=table, attribute=("Young", "Blond"))
    assert chosen.spec.names["attributes"] == ("Young", "Blond")
    assert chosen.sample(0, np.random.default_rng(0))["attributes"].tolist() == [0.0, 1.0]
    with pytest.raises(UsageError, match=r"no column 'Yung'; there are .*did you mean Young"):
        opened(tmp_path / "in", labels=table, attribute=("Yung",))
    with pytest.raises(UsageError, match="--balanced"):
        opened(tmp_path / "in", labels=table, balanced=True)
    table.write_text("image_id,Blond,Male\n0.png,1,maybe\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"'maybe' for 0\.png; expected 0 or 1"):
        opened(tmp_path / "in", labels=table)


def test_a_table_of_domain_names(tmp_path: Path) -> None:
    for shade in range(2):
        write(tmp_path / f"in/{shade}.png", shade)
    table = tmp_path / "d.csv"
    table.write_text("0.png,night\n1.png,day\n", encoding="utf-8")
    data = opened(tmp_path / "in", labels=table)
    assert data.spec.names["domain"] == ("day", "night")
    assert int(data.sample(0, np.random.default_rng(0))["domain"]) == 1
    with pytest.raises(UsageError, match="no column 'Blond'"):
        opened(tmp_path / "in", labels=table, attribute=("Blond",))


def test_one_domain_is_none(tmp_path: Path) -> None:
    write(tmp_path / "summer/1.png", 0)
    with pytest.raises(UsageError, match="found one class, summer"):
        opened(tmp_path)
    with pytest.raises(UsageError, match="--attribute: expected --labels"):
        opened(tmp_path, attribute=("x",))
