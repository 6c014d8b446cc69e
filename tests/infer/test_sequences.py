"""Frames in their order: what one keeps reaches the next, clip by clip, whatever was done before and fails between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from infer_fakes import publish
from PIL import Image
from torch import Tensor, nn

from translate.contract import Batch, Nets
from translate.data.clips import natural
from translate.errors import GantkError
from translate.evaluation.evaluate import evaluate
from translate.export.check import ExportError
from translate.export.onnx import to_onnx
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.runner import Network
from translate.infer.summary import Summary
from translate.model import Model
from translate.modelfile.model import Published

SIDE = 16


def add(nets: Nets, x: Batch) -> Tensor:
    """Levels of the pictures so far, added up: the k-th frame of level 10 has level 10 k."""
    level = (x.a + 1) / 2
    total = level + x["total"] if "total" in x else level
    x.keep(total=total)
    return total * 2 - 1


def adder() -> Published:
    plain = publish(nn.Identity(), run=add)
    return replace(plain, directions=(replace(plain.directions[0], sequence=True),))


def frame(path: Path, level: int = 10, side: int = SIDE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side, 3), level, np.uint8)).save(path)


def level(path: Path) -> int:
    with Image.open(path) as image:
        (value,) = set(np.asarray(image).flatten().tolist())
    return int(value)


def clip(folder: Path, count: int = 12) -> Path:
    for number in range(1, count + 1):
        frame(folder / f"f{number}.png")
    return folder


def run(place: Path, inputs: Sequence[Path] = (), out: str = "out", **options: Any) -> Summary:
    return infer(adder(), inputs or [place / "in"], place / out, InferOptions(**{"device": "cpu", **options}))


def levels(folder: Path) -> dict[str, int]:
    return {path.name: level(path) for path in folder.iterdir()}


def test_natural_order() -> None:
    names = ["f10.png", "f2.png", "f1b.png", "f1.png", "a²", "a", "10", "9", "f02.png"]  # ties by the name
    assert sorted(names, key=natural) == ["9", "10", "a", "a²", "f1.png", "f1b.png", "f02.png", "f2.png", "f10.png"]


@pytest.mark.parametrize("options", [{}, {"batch": 4, "workers": 3}])
def test_frames_follow_each_other_in_natural_order(options: dict[str, Any], tmp_path: Path) -> None:
    clip(tmp_path / "in")
    assert run(tmp_path, **options).done == 12
    assert levels(tmp_path / "out") == {f"f{k}.png": 10 * k for k in range(1, 13)}


def test_each_folder_is_a_clip(tmp_path: Path) -> None:
    for name in ("in/one", "in/two", "in"):
        clip(tmp_path / name, 3)
    assert run(tmp_path).done == 9
    for name in ("one", "two", "."):
        found = {path.name: level(path) for path in (tmp_path / "out" / name).glob("*.png")}
        assert found == {"f1.png": 10, "f2.png": 20, "f3.png": 30}


def test_a_failed_frame_begins_the_sequence_anew_and_says_so(tmp_path: Path) -> None:
    clip(tmp_path / "in", 6)
    (tmp_path / "in/f3.png").write_bytes(b"no picture")
    (tmp_path / "in/notes").write_bytes(b"no picture, and none promised")
    summary = run(tmp_path)
    assert (summary.done, summary.failed, summary.ignored, summary.exit_code) == (5, 1, 1, 3)
    assert summary.failures[0][1].endswith("; the sequence begins anew with the next frame")
    assert levels(tmp_path / "out") == {"f1.png": 10, "f2.png": 20, "f4.png": 10, "f5.png": 20, "f6.png": 30}


def test_a_frame_of_another_size_begins_the_sequence_anew_and_says_so(tmp_path: Path) -> None:
    clip(tmp_path / "in", 4)
    for number in (3, 4):
        frame(tmp_path / f"in/f{number}.png", side=2 * SIDE)
    summary = run(tmp_path)
    assert levels(tmp_path / "out") == {"f1.png": 10, "f2.png": 20, "f3.png": 10, "f4.png": 20}
    assert summary.notes == {"it has another size than the frame before, so the sequence begins anew with it": 1}


@pytest.mark.parametrize("missing", [(4,), (1, 6), (12,), tuple(range(5, 13))])
def test_a_stopped_clip_is_continued_as_if_it_had_not_been(missing: tuple[int, ...], tmp_path: Path) -> None:
    clip(tmp_path / "in")
    run(tmp_path)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    for number in missing:
        (tmp_path / f"out/f{number}.png").unlink()
    summary = run(tmp_path)
    assert (summary.done, summary.skipped) == (len(missing), 12 - len(missing))
    assert levels(tmp_path / "out") == {f"f{k}.png": 10 * k for k in range(1, 13)}
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert all(kept[f"f{k}.png"] == times[f"f{k}.png"] for k in range(1, 13) if k not in missing)


def test_shards_are_clips(tmp_path: Path) -> None:
    for name in "abc":
        clip(tmp_path / "in" / name, 3)
    assert [run(tmp_path, shard=f"{part}/2").done for part in (1, 2)] == [6, 3]
    for name in "abc":
        assert levels(tmp_path / "out" / name) == {"f1.png": 10, "f2.png": 20, "f3.png": 30}


def test_a_frame_that_cannot_be_written_is_a_gap(tmp_path: Path) -> None:
    clip(tmp_path / "in", 4)
    options = {"overwrite": True, "suffix": ""}
    (tmp_path / "out").mkdir()
    (tmp_path / "out/f2.png").symlink_to(tmp_path / "in/f2.png")
    summary = run(tmp_path, **options)
    assert "overwrite an input" in summary.failures[0][1]
    assert [level(tmp_path / f"out/f{k}.png") for k in (1, 3, 4)] == [10, 10, 20]


def test_a_sequence_is_never_cut_into_tiles(tmp_path: Path) -> None:
    clip(tmp_path / "in", 2)
    for number in (1, 2):
        frame(tmp_path / f"in/f{number}.png", side=64)
    summary = run(tmp_path, tile="16")
    assert (summary.done, summary.failed) == (0, 2)
    assert "needs the whole picture at once" in summary.failures[0][1]


def test_a_failure_in_the_network_begins_anew() -> None:
    calls = []

    def fails_once(nets: Nets, x: Batch) -> Tensor:
        calls.append("total" in x)
        if len(calls) == 2:
            raise GantkError("no")
        return add(nets, x)

    plain = publish(nn.Identity(), run=fails_once)
    direction = replace(plain.directions[0], sequence=True)
    network = Network(plain, direction, torch.device("cpu"), InferOptions(tile="off"))
    picture = np.full((SIDE, SIDE, 3), 10, np.uint8)
    network.translate([picture])
    with pytest.raises(GantkError):
        network.translate([picture])
    network.translate([picture])
    network.translate([picture])
    assert calls == [False, True, False, True]


def test_what_is_tried_out_leaves_no_trace() -> None:
    network = Network(adder(), adder().directions[0], torch.device("cpu"), InferOptions())
    picture = np.full((64, 64, 3), 10, np.uint8)  # as large as the blank picture of a trial
    network.translate([picture])
    network.draws_noise()
    network._measure()
    (result,) = network.translate([picture])
    assert int(result.canvas.read(0, 1)[0, 0, 0]) == 20


def test_python_takes_each_call_as_a_clip() -> None:
    model = Model(adder())
    picture = np.full((SIDE, SIDE, 3), 10, np.uint8)
    assert [int(model(picture)[0, 0, 0]) for _ in range(2)] == [10, 10]
    frames = torch.full((3, 3, SIDE, SIDE), 10 / 127.5 - 1)
    values = ((model(frames)[:, 0, 0, 0] + 1) * 127.5).round().tolist()
    assert values == [10, 20, 30]


def test_figures_follow_the_clips(tmp_path: Path) -> None:
    for name in ("one", "two"):
        clip(tmp_path / "in" / name, 11)
    run(tmp_path)
    result = evaluate(adder(), a=tmp_path / "in", b=tmp_path / "out", metric=("l1",))
    assert result.figures[0].value == pytest.approx(0, abs=1e-3)


def test_onnx_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(ExportError, match="a2b follows frames in order, which an ONNX file cannot"):
        to_onnx(adder(), adder().directions[0], tmp_path / "x.onnx")
