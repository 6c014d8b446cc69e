"""A whole folder: what is done, skipped, refused, survived."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from infer_fakes import publish
from PIL import Image
from torch import nn

from listening import listening
from translate import reading
from translate.data.decode import open_image
from translate.errors import InterruptedRunError, UsageError
from translate.files import temporary_beside
from translate.infer import claims
from translate.infer.claims import Claims, claim_path
from translate.infer.folder import InferOptions, infer
from translate.infer.gate import Gate
from translate.infer.outputs import DiskFullError, TakenError, write_result
from translate.infer.runner import Network
from translate.infer.stages import Stages
from translate.infer.summary import Summary
from translate.modelfile.model import Published

AWKWARD = Path(__file__).parents[3] / "shared" / "data" / "awkward"


def pixels(seed: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for i in range(5):
        Image.fromarray(pixels(i, 20 + i // 3)).save(folder / f"{i}.png")
    Image.fromarray(pixels(9)).save(folder / "deep" / "x.jpg")
    return folder


def run(model: Published, folder: Path, out: Path, **options: Any) -> tuple[Summary, list[dict[str, Any]]]:
    records: list[dict[str, Any]] = []
    with listening(records=records.append):
        summary = infer(model, [folder], out, InferOptions(**options))
    json.dumps(records)
    return summary, records


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_every_photo_comes_back(photos: Path, tmp_path: Path) -> None:
    summary, records = run(publish(nn.Identity(), multiple=8), photos, tmp_path / "out")
    assert (summary.done, summary.failed, summary.exit_code) == (6, 0, 0)
    assert files(tmp_path / "out") == files(photos)
    for i in range(5):
        assert np.array_equal(open_image(tmp_path / "out" / f"{i}.png", 3), pixels(i, 20 + i // 3))
    assert {record["status"] for record in records} == {"done"}
    assert set(summary.seconds) == {"decode", "network", "encode", "total"}


def test_batches_and_threads_do_not_change_the_pixels(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.InstanceNorm2d(3), nn.Tanh())
    run(publish(net), photos, tmp_path / "one", batch=1, workers=1)
    run(publish(net), photos, tmp_path / "many", batch=4, workers=3)
    for i in range(5):
        one, many = (open_image(tmp_path / name / f"{i}.png", 3).astype(int) for name in ("one", "many"))
        assert np.abs(one - many).max() <= 1


def test_same_sizes_are_run_together(photos: Path, tmp_path: Path) -> None:
    sizes: list[int] = []

    class Counts(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x))
            return x

    run(publish(Counts()), photos, tmp_path / "out", batch=8, tile="off")
    assert sum(sizes) == 6


def test_dropout_that_is_off_does_not_stand_against_batches(tmp_path: Path) -> None:
    def batch(p: float, training: bool) -> int:
        model = publish(nn.Dropout(p), run=lambda nets, x: nn.functional.dropout(nets.g(x.a), p, training))
        options = InferOptions(batch=4)
        network = Network(model, model.directions[0], torch.device("cpu"), options)
        return Stages(network, threading.RLock(), options).batch

    assert [batch(0.5, False), batch(0.0, True), batch(0.5, True)] == [4, 4, 1]


def test_one_bad_file_does_not_stop_the_folder(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    (photos / "empty.png").touch()
    (photos / "notes.txt").write_text("no picture", encoding="utf-8")
    (photos / "gone.jpg").symlink_to("nowhere")
    (photos / "self.jpg").symlink_to("self.jpg")
    told: list[str] = []
    with listening(told):
        summary = infer(publish(nn.Identity()), [photos], tmp_path / "out")
    assert (summary.done, summary.failed, summary.ignored, summary.exit_code) == (6, 4, 0, 3)
    assert "left out by name: 1 file .txt" in told
    assert {Path(path).name for path, _ in summary.failures} == {"bad.jpg", "empty.png", "gone.jpg", "self.jpg"}
    assert sum(line.startswith("failed: ") for line in told) == 4
    assert told[-1] == "6 done, 4 failed"


def test_a_raw_file_that_cannot_be_opened_is_a_failure(photos: Path, tmp_path: Path) -> None:
    (photos / "DSC_1.CR3").write_bytes(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom")
    summary, _ = run(publish(nn.Identity()), photos, tmp_path / "out")
    assert (summary.done, summary.ignored, summary.exit_code) == (6, 0, 3)
    assert summary.failures[0][1].endswith("; a camera's raw file must be developed first")


def test_a_network_that_gives_transparency_takes_photos_that_have_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.dstack([pixels(0), pixels(1)[:, :, :1]])).save(tmp_path / "in" / "a.png")

    class Fades(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, x[:, :1]], 1)

    summary, _ = run(publish(Fades(), channels=(3, 4)), tmp_path / "in", tmp_path / "out")
    assert summary.failures == []
    result = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert np.array_equal(result[:, :, 3], result[:, :, 0])


def test_a_lossless_webp_stays_so_where_the_format_is_kept(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels(0)).save(tmp_path / "in" / "a.webp", lossless=True)
    run(publish(nn.Identity()), tmp_path / "in", tmp_path / "keep")
    assert np.array_equal(open_image(tmp_path / "keep" / "a.webp", 3), pixels(0))
    run(publish(nn.Identity()), tmp_path / "in", tmp_path / "asked", format="webp:90")
    assert not np.array_equal(open_image(tmp_path / "asked" / "a.webp", 3), pixels(0))


def test_names_are_shown_harmless(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\n\x1b[31mdone.jpg").write_bytes(b"x")
    told: list[str] = []
    with listening(told):
        infer(publish(nn.Identity()), [tmp_path / "in"], tmp_path / "out")
    assert all(line.isprintable() for line in told)


def test_a_rerun_skips_and_overwrite_redoes(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(publish(nn.Identity()), photos, out)
    (out / "0.png").unlink()
    summary, _ = run(publish(nn.Identity()), photos, out)
    assert (summary.done, summary.skipped) == (1, 5)
    assert list(summary.lines())[-1] == "1 done, 5 skipped (their outputs exist; --overwrite redoes them), 0 failed"

    class Negative(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -x

    summary, _ = run(publish(Negative()), photos, out, overwrite=True)
    assert (summary.done, summary.skipped) == (6, 0)
    assert np.array_equal(open_image(out / "1.png", 3), 255 - pixels(1))


def test_a_photo_is_not_taken_for_done_by_anothers_result(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i, name in enumerate(("a.jpg", "a.jpg.png")):
        Image.fromarray(pixels(i)).save(tmp_path / "in" / name)
    model, out = publish(nn.Identity()), tmp_path / "out"
    out.mkdir()
    Image.fromarray(pixels(1)).save(out / "a.jpg.png")
    summary, _ = run(model, tmp_path / "in", out)
    assert (summary.done, summary.skipped) == (1, 1)
    assert files(out) == {"a.jpg", "a.jpg.png"}


def test_a_grey_netpbm_that_gets_colours_says_so_and_is_skipped_when_done(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels(0)[:, :, 0]).save(tmp_path / "in" / "a.pgm")
    Image.fromarray(pixels(1)).save(tmp_path / "in" / "a.ppm")
    out = tmp_path / "out"
    summary, _ = run(publish(nn.Identity()), tmp_path / "in", out)
    assert (summary.done, files(out)) == (2, {"a.ppm", "a.pgm.ppm"})
    assert {path.read_bytes()[:2] for path in out.iterdir()} == {b"P6"}
    assert np.array_equal(open_image(out / "a.ppm", 3), pixels(1))
    assert np.array_equal(open_image(out / "a.pgm.ppm", 1), pixels(0)[:, :, :1])
    summary, _ = run(publish(nn.Identity()), tmp_path / "in", out)
    assert (summary.done, summary.skipped) == (0, 2)
    grey = publish(nn.Identity(), channels=(1, 1))
    summary, _ = run(grey, tmp_path / "in", tmp_path / "grey")
    assert files(tmp_path / "grey") == {"a.pgm", "a.ppm.pgm"}
    assert {path.read_bytes()[:2] for path in (tmp_path / "grey").iterdir()} == {b"P5"}


def test_a_folder_with_an_outputs_name_is_a_failure(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "0.png").mkdir(parents=True)
    summary, _ = run(publish(nn.Identity()), photos, tmp_path / "out")
    assert (summary.done, summary.failed, summary.skipped) == (5, 1, 0)
    assert summary.failures[0][0].endswith("0.png")


def test_out_within_the_input(photos: Path) -> None:
    out = photos / "out"
    run(publish(nn.Identity()), photos, out)
    summary, _ = run(publish(nn.Identity()), photos, out, overwrite=True)
    assert summary.done == 6
    assert "out/out" not in {path.rpartition("/")[0] for path in files(photos)}


def test_an_out_that_cannot_be_written_to_is_wrong_usage(photos: Path) -> None:
    with pytest.raises(UsageError, match=r"--out .*: a file is in the way; expected a folder"):
        run(publish(nn.Identity()), photos, photos / "0.png" / "out")


def test_inputs_are_not_touched(photos: Path, tmp_path: Path) -> None:
    before = {name: (photos / name).read_bytes() for name in files(photos)}
    out = tmp_path / "out"
    out.symlink_to(photos)
    with pytest.raises(UsageError, match="this is an input"):
        run(publish(nn.Identity()), photos, out, overwrite=True)
    (tmp_path / "out2").mkdir()
    os.link(photos / "0.png", tmp_path / "out2" / "0.png")
    summary, _ = run(publish(nn.Identity()), photos, tmp_path / "out2", overwrite=True, strip=True)
    assert summary.failed == 1
    assert {name: (photos / name).read_bytes() for name in files(photos)} == before


def test_a_name_of_the_greatest_length(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("x" * 251 + ".png", "\u5199" * 83 + "x.png"):
        Image.fromarray(pixels(0)).save(tmp_path / "in" / name)
    summary, _ = run(publish(nn.Identity()), tmp_path / "in", tmp_path / "out")
    assert summary.done == 2
    assert files(tmp_path / "out") == files(tmp_path / "in")
    summary, _ = run(publish(nn.Identity()), tmp_path / "in", tmp_path / "tiff", format="tiff")
    assert summary.done == 2


def test_more_pixels_than_allowed(photos: Path, tmp_path: Path) -> None:
    summary, _ = run(publish(nn.Identity()), photos, tmp_path / "out", max_pixels=20 * 30)
    assert (summary.done, summary.failed) == (4, 2)
    assert {reason for _, reason in summary.failures} == {"it has 630 pixels, more than --max-pixels 600"}


def test_a_bomb_is_harmless(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    chunk = b"\0\0\0\r" + header + zlib.crc32(header).to_bytes(4, "big")
    (tmp_path / "in" / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT")
    for most in (1000, reading.MAX_PIXELS, 10**9):  # Pillow's own limit is far below what the header claims
        summary, _ = run(publish(nn.Identity()), tmp_path / "in", tmp_path / "out", max_pixels=most)
        assert [reason for _, reason in summary.failures] == [
            f"it has 3,600,000,000 pixels, more than --max-pixels {most}"
        ]


def test_a_line_that_padding_makes_huge_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.infer.photos.MAX_PIXELS", 1000)
    (tmp_path / "in").mkdir()
    Image.new("RGB", (1, 500)).save(tmp_path / "in" / "line.png")
    Image.new("RGB", (30, 30)).save(tmp_path / "in" / "square.png")
    summary, _ = run(publish(nn.Identity()), tmp_path / "in", tmp_path / "out", max_pixels=900)
    assert summary.done == 1
    ((path, reason),) = summary.failures
    assert path.endswith("line.png")
    assert reason.startswith("1x500 is padded to 8,000 pixels for this model, more than 1,000; --max-pixels")


class Half(nn.Module):
    """Wrong in half precision only."""

    def __init__(self, wrong: float) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu") or self.wrong == 7:
            return torch.full_like(x, self.wrong)
        return x


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 0.0])
@pytest.mark.parametrize("tile", ["off", "16"])
def test_a_broken_output_is_redone_in_fp32(photos: Path, tmp_path: Path, wrong: float, tile: str) -> None:
    summary, records = run(publish(Half(wrong)), photos, tmp_path / "out", precision="bf16", tile=tile, batch=2)
    assert summary.done == 6
    assert records[0]["notes"][-1] == "run again in fp32, as bf16 failed"
    assert np.array_equal(open_image(tmp_path / "out" / "0.png", 3), pixels(0))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_constant_output_is_a_failure_and_not_written(photos: Path, tmp_path: Path, precision: str) -> None:
    Image.new("RGB", (9, 9)).save(photos / "black.png")
    summary, _ = run(publish(Half(7)), photos, tmp_path / "out", precision=precision, batch=4)
    assert (summary.done, summary.failed) == (1, 6)
    assert "constant" in summary.failures[0][1]
    assert files(tmp_path / "out") == {"black.png"}


def test_a_model_that_raises_fails_that_file_alone(photos: Path, tmp_path: Path) -> None:
    class Picky(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[2] == 21:
                raise ValueError("I do not like 21")
            return x

    summary, _ = run(publish(Picky()), photos, tmp_path / "out", tile="off")
    assert (summary.done, summary.failed) == (4, 2)
    assert summary.failures[0][1] == "the model failed (ValueError: I do not like 21)"


def test_a_direction_that_draws_noise_repeats_itself(photos: Path, tmp_path: Path) -> None:
    def sampled(nets: Any, x: Any) -> torch.Tensor:
        return nn.functional.dropout(x.a, 0.5, training=True) + 0 * nets.g(x.a)

    def model() -> Published:
        return publish(nn.Dropout(0.5), margin=None, run=sampled)

    told: list[str] = []
    with listening(told):
        infer(model(), [photos], tmp_path / "all", InferOptions(batch=3))
    assert told[1] == "--batch 3: this direction draws noise for each photo, so each runs by itself"
    run(model(), photos, tmp_path / "again", seed=1)
    infer(model(), [photos / "3.png"], tmp_path / "one")
    one, all_, again = (open_image(tmp_path / name / "3.png", 3) for name in ("one", "all", "again"))
    assert np.array_equal(one, all_)
    assert not np.array_equal(one, again)


def test_a_full_disk_ends_the_work(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first result that does not fit, not after all photos were computed for nothing."""

    class Counts(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Counts.calls += 1
            time.sleep(0.05)
            return x

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for seed in range(20):
        Image.fromarray(pixels(seed)).save(photos / f"more{seed}.png")
    monkeypatch.setattr(os, "fsync", full)
    said: list[str] = []
    full_disk = r"out/.*: the disk is full \(up to [\d,]+ bytes .* [\d,]+ are free\)"
    with pytest.raises(DiskFullError, match=full_disk), listening(said):
        infer(publish(Counts()), [photos], tmp_path / "out", InferOptions(workers=1))
    assert Counts.calls < 10
    assert any(line.startswith("failed: ") for line in said)
    assert files(tmp_path / "out") == set()


def test_ctrl_c_leaves_only_whole_files(photos: Path, tmp_path: Path) -> None:
    before = set(threading.enumerate())

    class Stops(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return x

    with pytest.raises(InterruptedRunError) as stopped:
        run(publish(Stops()), photos, tmp_path / "out", tile="off", workers=1)
    assert stopped.value.exit_code == 130
    for name in files(tmp_path / "out"):
        assert not name.endswith(".part")
        open_image(tmp_path / "out" / name, 3)
    summary, _ = run(publish(nn.Identity()), photos, tmp_path / "out")
    assert summary.done + summary.skipped == 6
    assert set(threading.enumerate()) <= before


def test_what_failed_is_said_when_the_rest_is_stopped(photos: Path, tmp_path: Path) -> None:
    (photos / "0.png").write_bytes(b"no picture")
    told: list[str] = []

    def stop(entry: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError), listening(told, records=stop):
        infer(publish(nn.Identity()), [photos], tmp_path / "out")
    assert told[1:] == [f"failed: {photos / '0.png'}: not an image, or a damaged one"]


def test_a_long_run_says_how_far_it_is(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    from translate.infer import folder, progress

    def slow(*arguments: Any) -> Any:
        time.sleep(0.2)
        return real(*arguments)

    real = folder.plan
    monkeypatch.setattr(folder, "plan", slow)
    monkeypatch.setattr(progress, "LONG", 0.01)
    monkeypatch.setattr(progress, "NOW_AND_THEN", 0.0)
    (photos / "deep" / "x.jpg").write_bytes(b"no picture")
    told: list[str] = []
    with listening(told):
        infer(publish(nn.Identity()), [photos], tmp_path / "out")
    assert told[0] == "looking for photos"
    counted = [line for line in told if " of 6 files, " in line]
    assert [line.split()[0] for line in counted] == list("123456")
    # Whether the damaged photo is reported before or after its neighbours is up to the threads.
    assert re.fullmatch(r"5 of 6 files, [01] failed, 0:00:00 left", counted[-2])
    assert counted[-1] == "6 of 6 files, 1 failed"
    assert set(threading.enumerate()) <= before


def test_sigterm_is_an_orderly_end(photos: Path, tmp_path: Path) -> None:
    class Stops(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            os.kill(os.getpid(), signal.SIGTERM)
            return x

    with pytest.raises(InterruptedRunError) as stopped:
        run(publish(Stops()), photos, tmp_path / "out", tile="off")
    assert stopped.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_results_are_whole_and_never_replace_what_came_between(tmp_path: Path) -> None:
    target = tmp_path / "x.png"

    def write(file: Any) -> str:
        file.write(b"new")
        return "value"

    assert write_result(target, write, overwrite=False) == "value"
    with pytest.raises(TakenError):
        write_result(target, write, overwrite=False)
    assert files(tmp_path) == {"x.png"}
    write_result(target, write, overwrite=True)


def test_leftovers_go_at_the_next_start(photos: Path, tmp_path: Path, killed_writer: Callable[..., Path]) -> None:
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    left = [killed_writer(out / "deep" / "x.png"), killed_writer(out / "1.png")]
    living = temporary_beside(out / "2.png")
    living.write_bytes(b"half")
    run(publish(nn.Identity()), photos, out)
    assert [path.exists() for path in (*left, living)] == [False, False, True]


SLOW = """
import sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
from infer_fakes import publish
from torch import nn
from listening import listening
from translate.infer.folder import infer
from translate.infer.options import InferOptions

class Slow(nn.Module):
    def forward(self, x):
        {act}
        return x

record = lambda entry: print(entry["status"], Path(entry["input"]).name, entry.get("reason", ""), flush=True)
print("ready", flush=True)
with listening(records=record):
    infer(publish(Slow()), [Path("in")], Path("out"), InferOptions(workers=1))
"""


def start(folder: Path, act: str) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    code = SLOW.format(paths=[str(here), str(here.parent)], act=act)
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True)


def test_two_processes_share_a_folder_by_claims(photos: Path, tmp_path: Path) -> None:
    for seed in range(14):
        Image.fromarray(pixels(seed)).save(photos / f"more{seed}.png")
    both = [start(tmp_path, "time.sleep(0.1)") for _ in range(2)]
    lines = [line for process in both for line in process.communicate(timeout=120)[0].splitlines()]
    assert [process.returncode for process in both] == [0, 0]
    assert not [line for line in lines if line.startswith("failed")]
    done = [line.split()[1] for line in lines if line.startswith("done")]
    assert len(done) == len(set(done)) == 20
    assert not [name for name in files(tmp_path / "out") if "gantk" in name]


def test_a_photo_that_kills_its_process_is_left_out_the_third_time(photos: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((31, 31, 3), np.uint8)).save(photos / "deadly.png")
    act = "x.shape[-1] == 31 and __import__('os').kill(__import__('os').getpid(), 9)"
    for _ in range(2):
        killed = start(tmp_path, act)
        killed.communicate(timeout=120)
        assert killed.returncode == -signal.SIGKILL
    third = start(tmp_path, act)
    out, _ = third.communicate(timeout=120)
    failed = [line for line in out.splitlines() if line.startswith("failed")]
    assert len(failed) == 1
    assert "deadly.png 2 processes died while they worked on it; delete .gantk-" in failed[0]
    results = {name for name in files(tmp_path / "out") if "gantk" not in name}
    assert len(results) == 6
    # By hand: the claim is what is remembered.
    claim_path(tmp_path / "out" / "deadly.png").unlink()
    assert start(tmp_path, "pass").communicate(timeout=120)[0].count("done deadly.png") == 1


def test_a_claim_of_another_host_holds_while_it_shows_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = claim_path(tmp_path / "x.png")
    path.write_text("0123456789abcdef 0 network\n", encoding="ascii")
    ours = Claims()
    assert ours.take(tmp_path / "x.png") is None
    monkeypatch.setattr(claims, "SILENCE", 0.05)
    time.sleep(0.1)
    os.utime(path, (1, 1))  # a sign of life
    assert ours.take(tmp_path / "x.png") is None
    time.sleep(0.1)
    taken = ours.take(tmp_path / "x.png")
    assert taken is not None
    assert taken.deaths == 1
    assert Claims().take(tmp_path / "x.png") is None


def test_the_gate_admits_in_order_within_its_budget() -> None:
    gate = Gate(10)
    assert gate.enter(0, 50)
    entered: list[int] = []

    def enter(ticket: int) -> None:
        if gate.enter(ticket, 6):
            entered.append(ticket)

    threads = [threading.Thread(target=enter, args=(ticket,)) for ticket in (2, 1)]
    for thread in threads:
        thread.start()
    assert entered == []
    gate.leave(50)
    threads[1].join(5)
    assert entered == [1]
    gate.close()
    threads[0].join(5)
    assert entered == [1]


@pytest.mark.slow
def test_processes_share_a_folder(photos: Path, tmp_path: Path) -> None:
    script = tmp_path / "shard.py"
    script.write_text(
        "import sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from infer_fakes import publish\n"
        "from torch import nn\n"
        "from translate.console import Console, using\n"
        "from translate.infer.folder import infer\n"
        "console = Console(lines=lambda l: print('TOLD', l), records=lambda r: print('DONE', r['input']))\n"
        "with using(console):\n"
        f"    s = infer(publish(nn.Identity()), [Path({str(photos)!r})], Path({str(tmp_path / 'out')!r}))\n"
        "sys.exit(s.exit_code)\n",
        encoding="utf-8",
    )
    (photos / "bad.png").write_bytes(b"\x89PNG")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert ended.returncode != 0
    done = [line for line in ended.stdout.splitlines() if line.startswith("DONE")]
    assert len(done) == len(set(done)) == 7
    told = [line for line in ended.stdout.splitlines() if line.startswith("TOLD")]
    assert told[-1] == "TOLD 6 done, 1 failed"
    assert sum("failed: " in line for line in told) == 1


@pytest.mark.skipif(not AWKWARD.is_dir(), reason="needs ../shared/data")
def test_awkward_files(tmp_path: Path) -> None:
    options = InferOptions(format="png", max_pixels=1_000_000)
    made: dict[str, str] = {}
    model = publish(nn.Identity(), multiple=4)
    with listening(records=lambda entry: made.update({entry["output"]: entry["input"]})):
        summary = infer(model, [AWKWARD], tmp_path / "out", options)
    bad = {"corrupt-header.jpg", "truncated_image.png", "broken_data_stream.png"}
    failed = {Path(path).name: reason for path, reason in summary.failures}
    too_large = {name for name, reason in failed.items() if "pixels" in reason}
    assert {name for name in failed if not name.endswith((".heic", ".heif"))} - too_large == bad
    assert summary.done == 53 - summary.failed
    assert summary.ignored == 0
    assert len(files(tmp_path / "out")) == summary.done
    for path in (tmp_path / "out").rglob("*.png"):
        assert np.array_equal(open_image(path, 3), open_image(Path(made[str(path)]), 3)), path.name


def test_sample_turns_dropout_on_where_a_direction_has_noise(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(tmp_path / "in" / "grey.png")
    plain = publish(nn.Dropout(0.5))
    with pytest.raises(UsageError, match="--sample: fake draws no noise in direction a2b"):
        infer(plain, [tmp_path / "in"], tmp_path / "no", InferOptions(sample=True))
    assert not (tmp_path / "no").exists()
    model = dataclasses.replace(plain, directions=(dataclasses.replace(plain.directions[0], noise=True),))
    for out, seed in (("one", 1), ("again", 1), ("two", 2)):
        assert infer(model, [tmp_path / "in"], tmp_path / out, InferOptions(sample=True, seed=seed)).done == 1
    one, again, two = (np.asarray(Image.open(tmp_path / out / "grey.png")) for out in ("one", "again", "two"))
    assert one.std() > 10
    assert infer(model, [tmp_path / "in"], tmp_path / "plain").done == 1
    assert np.asarray(Image.open(tmp_path / "plain" / "grey.png")).std() == 0
    assert (one == again).all()
    assert not (one == two).all()


def test_shards_are_parts_of_one_whole(photos: Path, tmp_path: Path) -> None:
    model = publish(nn.Identity())
    parts = [run(model, photos, tmp_path / "parts", shard=f"{number}/4") for number in range(1, 5)]
    assert [summary.done for summary, _ in parts] == [2, 2, 1, 1]
    assert [summary.skipped for summary, _ in parts] == [0, 0, 0, 0]
    run(model, photos, tmp_path / "whole")
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/", "/2", "a/b", "1/2/3", "-1/2", ""])
def test_a_shard_that_is_none_is_refused(shard: str) -> None:
    with pytest.raises(UsageError, match=r"--shard .*: expected I/N with I from 1 to N, such as 2/8"):
        InferOptions(shard=shard)
