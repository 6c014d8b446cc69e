"""``gantk plugins check``: proof that a model keeps the contract."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from translate import config, plugins
from translate.cli import derived
from translate.console import current
from translate.contract import Loading, TaskModel
from translate.data.loader import fixed_batch
from translate.errors import UsageError
from translate.fields import Spelling
from translate.settings import Run
from translate.testing import Example, Result, examine
from translate.testing.checks import BATCH
from translate.training.request import tables_of


@dataclass(frozen=True, kw_only=True)
class Options:
    """Prove that a model keeps the contract: one line a rule; of a fault, what was expected, what was found and where.

    The model trains a few steps on noise, or on the data of --config. Exit code 1: it breaks a rule.
    """

    name: Annotated[str, "a model, or distribution:model", Spelling(positional=True, metavar="NAME")]
    slow: Annotated[bool, "also compile every phase, and train on two processes"] = False
    config: Annotated[
        Path | None,
        "TOML file with other hyper-parameters; where it names data, the model is checked on these",
        Spelling(metavar="FILE"),
    ] = None


def check(options: Options) -> int:
    """Show each rule's result as it comes."""
    plugin = plugins.find(options.name)
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


command = derived.command("check", Options, check)
