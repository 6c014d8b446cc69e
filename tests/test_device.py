"""What a process tells its machine."""

import ctypes
import subprocess
import sys

import pytest
import torch
from PIL import Image
from torch import nn

from translate import device as hardware
from translate import plugins
from translate.cli import app as cli
from translate.device import choose_device
from translate.errors import UsageError
from translate.layers.layout import memory_format
from translate.layers.norms import InstanceNorm

# Takes and frees blocks as large as a training step's tensors; prints what stays with the process, in MiB.
PROGRAM = """
import ctypes, sys
from pathlib import Path
from translate.device import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
obeyed = keep_freed_memory() if sys.argv[1] == "keep" else None
before = resident()
blocks = [libc.malloc(100 << 20) for _ in range(2)]
for block in blocks:
    ctypes.memset(block, 1, 100 << 20)
taken = resident() - before
for block in reversed(blocks):
    libc.free(ctypes.c_void_p(block))
print(obeyed, taken, resident() - before)
"""


GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


@pytest.mark.skipif(not GLIBC, reason="glibc alone has mallopt")
def test_freed_memory_stays_where_it_is_asked_to():
    def left(word: str) -> list[str]:
        command = [sys.executable, "-c", PROGRAM, word]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()

    obeyed, taken, kept = left("keep")
    assert obeyed == "True"
    assert int(taken) >= 199
    assert int(kept) >= 199
    _, taken, kept = left("default")
    assert int(taken) >= 199
    assert int(kept) <= 10


@pytest.mark.parametrize("wanted", ["fp32", "bf16", "fp16"])
def test_a_number_format_that_is_asked_for_is_used(wanted):
    assert hardware.choose_precision(wanted, torch.device("cpu")) == wanted
    assert hardware.choose_precision(wanted, torch.device("cpu"), bf16_proven=True) == wanted


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize("computes", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_auto_is_bf16_only_where_runs_were_compared_and_the_processor_computes_it(
    device, computes, proven, monkeypatch
):
    monkeypatch.setattr(hardware, "_cpu_computes_bf16", lambda: computes)
    chosen = hardware.choose_precision("auto", torch.device(device), bf16_proven=proven)
    assert chosen == ("bf16" if device == "cpu" and computes and proven else "fp32")


def test_the_models_whose_runs_were_compared_are_these():
    built_in = ("cyclegan", "pix2pix", "srgan", "esrgan", "dcgan", "gan")
    assert [name for name in built_in if plugins.load(name).bf16_proven] == ["cyclegan", "pix2pix"]


@pytest.mark.parametrize("flags", [[], ["--precision", "fp32"]])
def test_a_run_says_that_it_is_in_bf16_unasked(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(hardware, "_cpu_computes_bf16", lambda: True)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(2):
            Image.effect_noise((16, 16), 60).convert("RGB").save(tmp_path / name / f"{index}.png")
    data = ["--a", str(tmp_path / "a"), "--b", str(tmp_path / "b"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    small = ["--size", "16", "--width", "4", "--blocks", "1", "--patch-layers", "1", "--steps", "1", "--workers", "0"]
    assert cli.run(["train", "cyclegan", *data, *small, *flags]) == 0
    said = capsys.readouterr().err
    assert ("precision: bf16, which this processor computes; --precision fp32" in said) == (not flags)


def test_each_process_of_a_machine_needs_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("cpu", local_rank=1, local_size=2) == torch.device("cpu")
    for name in ("auto", "cuda"):
        for rank in (0, 1):
            with pytest.raises(UsageError, match=rf"--device {name}: 2 processes, but this machine has 1 CUDA"):
                choose_device(name, rank, local_size=2)


CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
NCHW, LAST = torch.contiguous_format, torch.channels_last


@pytest.mark.parametrize(
    ("norm", "device", "precision", "training", "expected"),
    [
        (nn.BatchNorm2d(4), CPU, "fp32", True, LAST),
        (nn.BatchNorm2d(4), CUDA, "fp32", True, LAST),
        (nn.BatchNorm2d(4), MPS, "fp32", True, NCHW),
        (InstanceNorm(), CPU, "fp32", True, NCHW),  # with a gradient, precise in NCHW alone
        (InstanceNorm(), CPU, "bf16", True, LAST),
        (InstanceNorm(), CPU, "fp32", False, LAST),
        (InstanceNorm(), CUDA, "bf16", True, NCHW),
        (nn.InstanceNorm2d(4), CPU, "bf16", True, NCHW),  # torch's gradient is wrong at batch 1
        (nn.InstanceNorm2d(4), CPU, "fp32", False, NCHW),
        (nn.GroupNorm(2, 4), CPU, "fp32", False, NCHW),
    ],
)
def test_layout_is_chosen_by_norm_device_and_precision(norm, device, precision, training, expected):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), norm)
    assert memory_format(net, device, precision, training=training) == expected
