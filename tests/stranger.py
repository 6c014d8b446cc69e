"""Makes distributions of strangers: a dist-info folder and a module, to be put on ``sys.path`` or ``PYTHONPATH``."""

from __future__ import annotations

from pathlib import Path

WORKING = '''
"""A working task model."""
from __future__ import annotations
from dataclasses import dataclass
from typing import Annotated
from annotated_types import Gt
from torch import nn
from translate import Batch, DataSpec, Direction, Nets, Networks, Phase, Run, TaskModel
from translate.data.unpaired import Unpaired

@dataclass(frozen=True, kw_only=True)
class Sepia(TaskModel):
    """Brown pictures (a stranger, 2026)."""

    api = 2
    source = Unpaired
    recipe = Run(batch=2, size=16, epochs=3)
    tint: Annotated[float, "how brown", Gt(0)] = 0.5

    def networks(self, data):
        return {"g": lambda: nn.Conv2d(3, 3, 1)}

    def phases(self, data: DataSpec):
        return [Phase("fit", ("g",), self.fit)]

    def fit(self, nets, x):
        return {"l1": self.tint * (nets.g(x.a) - x.b).abs().mean()}

    def directions(self, data):
        return [Direction("a2b", "a", "b", ("g",), self.a2b)]

    def a2b(self, nets, x):
        return nets.g(x.a).tanh()
'''


def install(
    folder: Path,
    distribution: str,
    *,
    code: str | None = WORKING,
    module: str = "stranger_sepia",
    entry: str | None = None,
    name: str = "sepia",
    version: str = "2.3",
) -> Path:
    """Put a distribution into ``folder``; ``code`` None: metadata without a module."""
    about = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}", "Summary: A stranger's summary"]
    (about / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    point = entry if entry is not None else f"{module}:Sepia"
    (about / "entry_points.txt").write_text(f"[gantk.models]\n{name} = {point}\n", encoding="utf-8")
    if code is not None:
        (folder / f"{module}.py").write_text(code, encoding="utf-8")
    return folder
