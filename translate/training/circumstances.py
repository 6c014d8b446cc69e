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
from translate.files import write_text_whole
from translate.training.engine import Engine

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


def note(folder: Path, now: Mapping[str, str]) -> None:
    """Record the circumstances in a run folder, and report what differs from those recorded there."""
    file = folder / FILE
    if file.is_file():
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
            changed = [(name, before.get(name), value) for name, value in now.items() if before.get(name) != value]
        except (ValueError, AttributeError):
            current().line(f"{file} is damaged: what has changed since the last start is not known")
        else:
            for name, old, new in changed:
                current().line(f"{name} was {old}, it is {new} from here on")
    write_text_whole(file, json.dumps(dict(now), indent=0) + "\n")


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
