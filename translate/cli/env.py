"""``gantk env``: what a bug report needs to know of this machine. Nothing is sent anywhere."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from translate import plugins
from translate.cli import derived
from translate.console import current

CAPABILITIES = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "bf16")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", plugins.VARIABLE, "WORLD_SIZE")


@dataclass(frozen=True)
class Options:
    """Show versions, devices, CPU capabilities and plugins, for a bug report; uses no network."""


def env(options: Options) -> None:
    """Show what `describe` finds."""
    console = current()
    about = describe()
    if console.json:
        console.record(about)
        return
    console.table([{"what": key, "value": value} for key, value in about.items()])


def describe() -> dict[str, Any]:
    """Versions, devices, CPU capabilities and plugins, as plain values by name."""
    import torch

    about: dict[str, Any] = {"python": f"{platform.python_version()} ({sys.executable})", "system": platform.platform()}
    about.update(packages())
    about["cpu"] = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    about["cpu capabilities"] = " ".join(cpu_capabilities()) or "unknown"
    about["torch cpu code"] = torch.backends.cpu.get_cpu_capability()
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.1f} GiB"
        about[f"cuda:{index}"] = f"{properties.name}, {memory}, compute {properties.major}.{properties.minor}"
    about["cuda"] = f"{torch.version.cuda or 'not built in'}, {torch.cuda.device_count()} devices"
    about["mps"] = "yes" if torch.backends.mps.is_available() else "no"
    about.update({name: os.environ[name] for name in VARIABLES if name in os.environ})
    about.update({f"plugin {p.qualified}": f"{p.version}, {plugins.state(p)}" for p in plugins.installed()})
    return about


def cpu_capabilities() -> list[str]:
    """Those of `CAPABILITIES` that Linux reports; elsewhere none is known."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    present = set(lines[0].split()) if lines else set()
    return [name for name in CAPABILITIES if name in present]


def packages() -> dict[str, str]:
    """The versions of gantk and of those packages that are installed of all that it may use."""
    named = [re.match(r"[A-Za-z0-9._-]+", line) for line in metadata.requires("gantk") or []]
    versions = {"gantk": metadata.version("gantk")}
    for name in dict.fromkeys(match.group() for match in named if match):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an extra
    return versions


command = derived.command("env", Options, env)
