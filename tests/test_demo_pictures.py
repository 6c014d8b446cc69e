"""The scripts behind `make demo`: two picture sets without partners, and the grid that shows what was learnt."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from gantk_cyclegan import CycleGAN
from translate.config import build, read_config
from translate.fields import fields_of
from translate.settings import Run

ROOT = Path(__file__).resolve().parents[1]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "assets" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


animals = script("draw_animals")
before_after = script("before_after")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    animals.draw_sets(folder, count=12, held_out=3, size=32, seed=0)
    return folder


def test_writes_both_sets_and_held_out_ones(drawn: Path) -> None:
    counts = {part: len(list((drawn / part).glob("*.png"))) for part in ("plain", "striped")}
    held_out = {part: len(list((drawn / "held-out" / part).glob("*.png"))) for part in ("plain", "striped")}
    assert counts == {"plain": 12, "striped": 12}
    assert held_out == {"plain": 3, "striped": 3}
    for path in drawn.rglob("*.png"):
        with Image.open(path) as picture:
            assert (picture.size, picture.mode) == ((32, 32), "RGB")


def test_same_seed_same_files_and_another_seed_others(drawn: Path, tmp_path: Path) -> None:
    animals.main(["--out", str(tmp_path / "same"), "--count", "3", "--held-out", "3", "--size", "32"])
    animals.main(["--out", str(tmp_path / "other"), "--count", "3", "--held-out", "3", "--size", "32", "--seed", "1"])
    reference, same, other = contents(drawn), contents(tmp_path / "same"), contents(tmp_path / "other")
    assert same == {name: reference[name] for name in same}
    assert all(other[name] != reference[name] for name in other)


def test_no_picture_is_drawn_twice_nor_has_a_partner(drawn: Path) -> None:
    """Any two differ by more than a change of coat would make: in place, pose or ground."""
    pictures = np.stack([np.asarray(Image.open(path)).astype(float) for path in sorted(drawn.rglob("*.png"))])
    apart = np.abs(pictures[:, None] - pictures[None]).mean((2, 3, 4))
    apart[np.diag_indices(len(apart))] = np.inf
    assert apart.min() > 8


def test_coat_alone_tells_the_sets_apart() -> None:
    """From one seed both kinds get the same animal on the same ground; only its coat changes."""
    plain, striped = (
        np.asarray(animals.draw(kind, 64, np.random.default_rng(5))).astype(float) for kind in animals.KINDS
    )
    change = np.abs(plain - striped).max(2)
    assert (change[:16] < 2).mean() > 0.9
    assert 0.08 < (change > 30).mean() < 0.5
    dark, bright = (striped[change > 30].mean(1) < 90).mean(), (striped[change > 30].mean(1) > 160).mean()
    assert dark > 0.2
    assert bright > 0.2


def test_grid_shows_pictures_of_the_same_name_in_order(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    before_after.main(
        [
            str(drawn / "held-out" / "plain"),
            str(drawn / "held-out" / "striped"),
            "--out",
            str(out),
            "--columns",
            "2",
            "--side",
            "32",
        ]
    )
    grid = np.asarray(Image.open(out))
    left, top, below = before_after.MARGIN, before_after.GAP, before_after.GAP + 34
    first = np.asarray(Image.open(drawn / "held-out" / "plain" / "000.png"))
    translated = np.asarray(Image.open(drawn / "held-out" / "striped" / "000.png"))
    assert (grid[top : top + 32, left : left + 32] == first).all()
    assert (grid[below : below + 32, left : left + 32] == translated).all()


def test_grid_names_a_translation_that_is_missing(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no 000\.png there"):
        before_after.main([str(drawn / "held-out" / "plain"), str(tmp_path), "--out", str(tmp_path / "grid.png")])
    assert not (tmp_path / "grid.png").exists()


def test_scripts_run_on_their_own(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "assets" / "draw_animals.py"), "--out", str(tmp_path), "--count", "1"]
    subprocess.run([*command, "--held-out", "1", "--size", "16"], check=True, capture_output=True)
    assert len(contents(tmp_path)) == 4


def test_demo_config_is_accepted() -> None:
    """Read as `gantk train cyclegan --config` reads it, and short enough for two CPU cores."""
    fields = {
        "data": fields_of(CycleGAN.source, "data"),
        "model": fields_of(CycleGAN, "model"),
        "run": fields_of(Run, "run", CycleGAN.recipe),
    }
    layer = read_config(ROOT / "configs" / "demo.toml", fields, "cyclegan")
    run = build(Run, fields["run"], layer["run"], "cyclegan")
    assert run.size == 64
    assert run.total_steps(200) <= 5000
    build(CycleGAN, fields["model"], layer["model"], "cyclegan")
