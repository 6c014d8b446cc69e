"""What a run depends on: versions, machine, number format. A resumed run reports what has changed."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import torch

from translate import plugins
from translate.console import current
from translate.errors import UsageError
from translate.files import write_text_whole
from translate.training.engine import Engine
from translate.versions import is_newer

FILE = "environment.json"


def circumstances(plugin: str, engine: Engine) -> dict[str, str]:
    """Versions, machine, device, number format and processes, by name."""
    distribution, version = plugins.origin(plugin)
    return {
        "gantk": metadata.version("gantk"),
        f"plugin {plugin}": f"{distribution} {version}",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.node()} ({platform.system()} {platform.machine()})",
        "device": _name(engine.device),
        "precision": engine.precision,
        "processes": str(engine.world.size),
    }


def check_not_older(folder: Path, plugin: str) -> None:
    """Raise ``UsageError`` where gantk or the plugin is older than those that continued a run last."""
    try:
        before = json.loads((folder / FILE).read_text(encoding="utf-8"))
        recorded = {name: str(before[name]) for name in ("gantk", f"plugin {plugin}") if name in before}
    except (OSError, ValueError, TypeError):  # a damaged record is reported where it is written anew
        return
    distribution, version = plugins.origin(plugin)
    for name, own, now in (("gantk", "gantk", metadata.version("gantk")), (f"plugin {plugin}", distribution, version)):
        there, _, number = recorded.get(name, "").rpartition(" ")
        if there in ("", own) and is_newer(number, now):
            raise UsageError(f"--resume: {folder} was trained by {own} {number}, newer than the installed {own} {now}")


def note(folder: Path, now: Mapping[str, str]) -> None:
    """Record the circumstances in a run folder, and report what differs from those recorded there."""
    file = folder / FILE
    if file.is_file():
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
            changed = [
                (name, before.get(name, "not recorded"), value)
                for name, value in now.items()
                if before.get(name) != value
            ]
        except (ValueError, AttributeError):
            current().line(f"{file} is damaged: what has changed since the last start is not known")
        else:
            for name, old, new in changed:
                current().line(f"{name} was {old}, it is {new} from here on")
    write_text_whole(file, json.dumps(dict(now), indent=0) + "\n")


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
