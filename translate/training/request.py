"""From the flags of a training to what it trains, on what and where to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from translate import config
from translate.contract import Source, TaskModel
from translate.distributed import restarted
from translate.errors import UsageError
from translate.fields import Field, fields_of
from translate.settings import Run
from translate.training.layout import CONFIG

RUNS = Path("runs")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to train, on what, how, and where to."""

    plugin: str
    task: TaskModel
    source: Source
    run: Run
    out: Path
    resume: bool = False
    take_over: bool = False
    """Whether to continue a run whose lock a process on another machine holds."""


def tables_of(cls: type[TaskModel]) -> dict[str, list[Field]]:
    """The fields that a run of the model has, by table of a config file."""
    return {
        "data": fields_of(cls.source, "data"),
        "model": fields_of(cls, "model"),
        "run": fields_of(Run, "run", cls.recipe),
    }


def make_request(
    name: str,
    cls: type[TaskModel],
    given: config.Layer,
    *,
    out: Path | None = None,
    overlays: Sequence[config.Layer] = (),
    resume: bool = False,
    take_over: bool = False,
) -> Request:
    """What to train: flags over ``overlays``, the later over the earlier, over the resumed run's over the recipe."""
    fields = tables_of(cls)
    out = out or default_folder(name, latest=resume or restarted())
    layers: list[config.Layer] = []
    if resume:
        if not (out / CONFIG).is_file():
            raise UsageError(f"--resume: {out} is no run folder ({CONFIG} is missing)")
        layers.append(config.read_config(out / CONFIG, fields, name))
    merged = config.merge([*layers, *overlays, given])
    return Request(
        plugin=name,
        task=config.build(cls, fields["model"], merged["model"], name),
        source=config.build(cls.source, fields["data"], merged["data"], name),
        run=config.build(Run, fields["run"], merged["run"], name),
        out=out,
        resume=resume,
        take_over=take_over,
    )


def default_folder(name: str, *, latest: bool) -> Path:
    """``runs/<model>-N``: the first N that is free after all others, or the ``latest`` there is."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "-", name)
    pattern = re.compile(re.escape(stem) + r"-([0-9]+)")
    taken = [pattern.fullmatch(path.name) for path in RUNS.iterdir()] if RUNS.is_dir() else []
    numbers = [int(match.group(1)) for match in taken if match]
    if latest and not numbers:
        raise UsageError(f"--resume: there is no run {RUNS / stem}-N here; expected --out with a run folder")
    return RUNS / f"{stem}-{max(numbers, default=0) + (0 if latest else 1)}"
