"""Checkpoints: whole or passed over, never silently damaged; ordinary files, and no leftovers."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from toy import Toy, toy_batch, toy_data
from translate.errors import UsageError
from translate.modelfile.header import read_header
from translate.modelfile.write import write_tensors
from translate.settings import Run
from translate.training.checkpoint import (
    METADATA_KEY,
    CheckpointError,
    list_checkpoints,
    load_checkpoint,
    newest_readable,
    save_checkpoint,
)
from translate.training.engine import Engine


def engine(steps: int = 0) -> Engine:
    made = Engine(Toy(), toy_data(), Run(batch=4))
    for step in range(steps):
        made.train_step(lambda s=step: toy_batch(s), 0.0)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = engine()
    for step in range(3):
        made.train_step(lambda s=step: toy_batch(s), 0.0)
        save_checkpoint(tmp_path, made, position=step + 1, keep=9)
    return tmp_path


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ["tensor", "last byte", "cut", "header", "empty"])
def test_a_damaged_checkpoint_is_passed_over_and_never_loaded(folder: Path, damage: str) -> None:
    *_, second, newest = list_checkpoints(folder)
    size = newest.stat().st_size
    if damage == "cut":
        newest.write_bytes(newest.read_bytes()[:-7])
    elif damage == "empty":
        newest.write_bytes(b"")
    else:
        flip(newest, {"tensor": size // 2, "last byte": size - 1, "header": 20}[damage])
    found, faults = newest_readable(folder)
    assert found == second
    assert len(faults) == 1
    assert str(newest) in faults[0]
    with pytest.raises(CheckpointError, match=newest.name):
        load_checkpoint(newest, engine())
    assert load_checkpoint(second, engine()) == 2


def test_every_byte_of_the_tensors_counts(folder: Path) -> None:
    path = list_checkpoints(folder)[0]
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in range(start, len(whole), 997):
        flip(path, place)
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(path, engine())
        path.write_bytes(whole)


def test_a_stray_file_of_a_later_step_does_not_make_rotation_delete_the_new_ones(tmp_path: Path) -> None:
    made = engine(1)
    stray = tmp_path / "step-00099999.safetensors"
    stray.write_bytes(b"from elsewhere")
    for step in range(1, 5):
        made.train_step(lambda s=step: toy_batch(s), 0.0)
        save_checkpoint(tmp_path, made, position=step, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step-00000004.safetensors",
        "step-00000005.safetensors",
        stray.name,
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_the_file_has_the_mode_of_any_file(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        path = save_checkpoint(tmp_path, engine(1), position=1, keep=1)
    finally:
        os.umask(mask)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_equal_states_are_equal_bytes(tmp_path: Path) -> None:
    paths = []
    for name in ("one", "two"):
        torch.manual_seed(0)
        paths.append(save_checkpoint(tmp_path / name, engine(2), position=2, keep=1))
    assert paths[0] is not None
    assert paths[1] is not None
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_every_byte_of_the_header_counts(folder: Path) -> None:
    path = list_checkpoints(folder)[-1]
    whole = path.read_bytes()
    for place in range(0, 8 + int.from_bytes(whole[:8], "little"), 41):
        flip(path, place)
        assert newest_readable(folder)[0] != path, place
        with pytest.raises(CheckpointError):
            load_checkpoint(path, engine())
        path.write_bytes(whole)
    path.write_bytes(whole.replace(b'"checksum"', b'"checksun"'))
    assert newest_readable(folder)[0] != path
    with pytest.raises(CheckpointError, match="no checksum"):
        load_checkpoint(path, engine())


def test_what_another_version_saved_is_refused_by_name(folder: Path) -> None:
    newest = list_checkpoints(folder)[-1]
    header, tensors = read_header(newest), load_file(newest)
    state = json.loads(header.metadata[METADATA_KEY])
    for more, change, reason in (
        ({"later/x": torch.zeros(1)}, {}, "has a tensor later/x, which this gantk does not know"),
        ({}, {"data": {**state["data"], "later": 1}}, "has data.later, which this gantk does not know"),
    ):
        write_tensors(newest, {**tensors, **more}, {METADATA_KEY: json.dumps({**state, **change})})
        with pytest.raises(UsageError, match=reason):
            load_checkpoint(newest, engine())
