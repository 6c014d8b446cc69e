"""``gantk plugins check`` once its plugin is found: a few steps of training, and what they show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate import config, plugins
from translate.console import current
from translate.contract import Loading, TaskModel
from translate.data.loader import fixed_batch
from translate.errors import UsageError
from translate.plugins import Plugin
from translate.settings import Run
from translate.testing import Example, Result, examine
from translate.testing.checks import BATCH
from translate.training.request import tables_of

if TYPE_CHECKING:
    from translate.cli.plugins_check import Options


def prove(plugin: Plugin, options: Options) -> int:
    """Show each rule's result as it comes; the exit code states whether the plugin breaks one."""
    task, example = _subject(options.name, plugins.load_plugin(plugin), options.config)
    console = current()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for result in examine(task, example, slow=options.slow):
        counts[result.state] += 1
        console.record(_result(result))
        if not console.json:
            for line in str(result).split("\n"):
                console.output(line)
    console.line(f"{plugin.origin}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    return 1 if counts["failed"] else 0


def _subject(name: str, cls: type[TaskModel], path: Path | None) -> tuple[TaskModel, Example | None]:
    """The model to check, and the data to check it on: None where noise will do."""
    fields = tables_of(cls)
    given = config.merge([config.read_config(path, fields, name, "--config")] if path else [])
    task = config.build(cls, fields["model"], given["model"], name)
    if not given["data"]:
        return task, None
    run = config.build(Run, fields["run"], given["run"], name)
    source = config.build(cls.source, fields["data"], given["data"], name)
    dataset = source.open(Loading(size=run.size))
    if len(dataset) < BATCH:
        raise UsageError(f"--config {path}: expected {BATCH} samples or more to check on, found {len(dataset)}")
    return task, Example(dataset.spec, lambda count: fixed_batch(dataset, count, run.seed))


def _result(result: Result) -> dict[str, Any]:
    problems = [{"expected": p.expected, "found": p.found, "where": p.where} for p in result.problems]
    values = {"check": result.check, "title": result.title, "state": result.state, "problems": problems}
    return values | ({"reason": result.reason} if result.reason else {})
