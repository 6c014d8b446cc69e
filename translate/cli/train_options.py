"""What ``gantk train MODEL`` takes besides the fields of its source, its model and the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from translate.fields import Spelling, fields_of

DEFAULT_RESTARTS = 3


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a training takes besides the fields of its source, its model and the run."""

    out: Annotated[Path | None, "run folder, new or empty (default runs/MODEL-N; with --resume the latest of them)"] = (
        None
    )
    config: Annotated[
        tuple[Path, ...],
        "TOML file, over the defaults and under the flags, a further one over the one before; its paths are relative "
        "to the current folder",
        Spelling(metavar="FILE"),
    ] = ()
    nproc: Annotated[
        int,
        "processes on this machine, one per GPU, that share each batch; torchrun does the same over many machines",
        Ge(1),
    ] = 1
    max_restarts: Annotated[
        int, "with --nproc: how often all go back to the last checkpoint after one of them was killed", Ge(0)
    ] = DEFAULT_RESTARTS
    take_over: Annotated[bool, "with --resume, continue a run whose process was on another machine and has ended"] = (
        False
    )
    resume: Annotated[
        bool, "resume the run in --out; settings of the model, batch, size and seed must stay what they were"
    ] = False
    dry_run: Annotated[bool, "check data and settings, show the plan, write nothing"] = False
    tensorboard: Annotated[bool, "write TensorBoard files beside metrics.jsonl; as --tracker tensorboard"] = False
    tracker: Annotated[tuple[str, ...], "an installed tracker that follows the run", Spelling(metavar="NAME")] = ()


OPTIONS = fields_of(Options, "output")
