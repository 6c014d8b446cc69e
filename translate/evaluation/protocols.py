"""Published ways of measuring, by name: the files of ``translate/evaluation/protocols``."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass as checked_dataclass

from translate.errors import UsageError, did_you_mean
from translate.evaluation.options import EvaluateOptions, Kind, Metric


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Protocol:
    """One file. What it fixes is applied, what it expects is checked; ``split`` and ``source`` are for people.

    ``setting``: options of ``gantk evaluate`` that it fixes. ``reals``, ``results``: how many pictures there must be.
    ``scale``: of the model. ``formats``: suffixes that the real pictures may have. ``extractor``: start of the SHA-256
    of the weights of torch-fidelity's Inception.
    """

    title: str
    source: str
    split: str
    kind: Kind
    metrics: tuple[Metric, ...]
    setting: Mapping[str, Any] = field(default_factory=dict)
    reals: Annotated[int, Ge(1)] | None = None
    results: Annotated[int, Ge(1)] | None = None
    scale: Annotated[int, Ge(1)] | None = None
    formats: tuple[str, ...] = ()
    extractor: str | None = None


@dataclass(frozen=True)
class Conformity:
    """What an evaluation really looked at, to be held against a protocol."""

    reals: Sequence[Path]
    results: int
    scale: int
    extractor: str | None


def names() -> list[str]:
    """All protocols."""
    folder = files("translate.evaluation") / "protocols"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> Protocol:
    """The protocol of that name. Raises ``UsageError``."""
    known = names()
    if name not in known:
        raise UsageError(f"--protocol {name}: expected one of {', '.join(known)}{did_you_mean(name, known)}")
    text = (files("translate.evaluation") / "protocols" / f"{name}.toml").read_text(encoding="utf-8")
    return TypeAdapter(Protocol).validate_python(tomllib.loads(text))


def apply(name: str, options: EvaluateOptions) -> EvaluateOptions:
    """The options with what the protocol fixes. Raises ``UsageError`` where they contradict it."""
    protocol = load(name)
    if options.kind != protocol.kind:
        raise UsageError(f"--protocol {name}: it is for {protocol.kind}, but the folders are those of {options.kind}")
    defaults = {each.name: each.default for each in dataclasses.fields(options)}
    fixed = {"metric": protocol.metrics, **protocol.setting}
    for key, value in fixed.items():
        given = getattr(options, key)
        if given not in (defaults[key], value):
            flag = f"--{key.replace('_', '-')}"
            raise UsageError(f"{flag} {given}: --protocol {name} fixes it at {value}; leave out one of the two")
    return dataclasses.replace(options, **fixed)


def check(name: str, found: Conformity) -> None:
    """Raise ``UsageError`` where what was looked at is not what the protocol expects."""
    protocol = load(name)
    for what, expected, count in (
        ("real pictures", protocol.reals, len(found.reals)),
        ("results", protocol.results, found.results),
    ):
        if expected is not None and count != expected:
            raise UsageError(f"--protocol {name}: expected {expected:,} {what} ({protocol.split}), found {count:,}")
    if protocol.scale is not None and found.scale != protocol.scale:
        raise UsageError(f"--protocol {name}: expected a model that enlarges {protocol.scale} times, not {found.scale}")
    if protocol.formats:
        other = next((path for path in found.reals if path.suffix.lower() not in protocol.formats), None)
        if other is not None:
            raise UsageError(f"--protocol {name}: {other}: expected {' or '.join(protocol.formats)} files")
    if protocol.extractor is not None and not (found.extractor or "").startswith(protocol.extractor):
        raise UsageError(
            f"--protocol {name}: expected weights of torch-fidelity's Inception whose SHA-256 begins with "
            f"{protocol.extractor}; leave out --protocol to measure with others"
        )
