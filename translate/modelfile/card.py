"""What a model file states about itself: the only description of its metadata, read without torch.

Under the metadata key ``gantk`` stands a `Card` as canonical JSON.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Len, MaxLen
from pydantic import TypeAdapter, ValidationError

from translate.dataspec import Count, DataSpec
from translate.errors import one_line, shortened
from translate.modelfile.header import Header, ModelFileError, locate, read_header

FORMAT: Literal[2] = 2
METADATA_KEY = "gantk"
LONGEST_TEXT = 10_000
"""Characters of a name, a word or a help line in a card."""

Weights = Literal["raw", "averaged"]
Name = Annotated[str, MaxLen(200)]


@dataclass(frozen=True)
class LatentRecord:
    """``translate.contract.Noise``."""

    shape: Annotated[tuple[Count, ...], Len(1, 8)]
    distribution: Literal["normal", "uniform"]


@dataclass(frozen=True)
class ConditionRecord:
    """``translate.contract.Condition`` without its function."""

    help: str
    default: str | None
    choices: tuple[str, ...]

    @property
    def words(self) -> str:
        """What it is, what can be chosen, and what it is unless chosen, for people."""
        choices = f": {', '.join(self.choices)}" if self.choices else ""
        default = "" if self.default is None else f" (default {self.default})"
        return f"{self.help}{choices}{default}"


@dataclass(frozen=True)
class DirectionRecord:
    """``translate.contract.Direction`` without its functions."""

    name: Name
    inputs: Annotated[tuple[Name, ...], Len(1, 64)]
    outputs: Name
    roles: tuple[Name, ...]
    multiple: Count
    scale: Count
    margin: int | None
    latent: LatentRecord | None
    conditions: Mapping[str, ConditionRecord]
    noise: bool
    sequence: bool


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model file states about itself."""

    plugin: Name
    distribution: Name
    version: Name
    model: Mapping[str, Any]
    """Hyper-parameters: the fields of the task model. Paths of the training machine do not travel."""
    data: DataSpec
    directions: Annotated[tuple[DirectionRecord, ...], Len(1)]
    weights: Weights = "raw"
    """Whether the averaged roles hold their moving average."""
    step: Annotated[int, Ge(0)] = 0
    """Training steps, at least 1; 0 where the weights were imported."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the training's forward passes."""
    init: tuple[str, ...] = ()
    """Names of the files whose weights the training started from."""
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """How training's pictures were prepared: the source's fields, such as ``resize`` and ``flip``, without paths."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    format: Literal[2] = FORMAT

    @property
    def imported(self) -> bool:
        """Whether another code trained it, so that the training size is a guess."""
        return self.step == 0

    @property
    def origin(self) -> str:
        """``after step 1,000``, or ``imported``."""
        return "imported" if self.imported else f"after step {self.step:,}"

    def to_json(self) -> str:
        """Canonical: sorted keys, no spaces, so that equal cards are equal bytes."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


_CARD = TypeAdapter(Card)


def read_card(path: Path) -> Card:
    """What a run folder's or file's model states about itself, from its header alone. Raises ``ModelFileError``."""
    return card_of(read_header(locate(path)))


def card_of(header: Header) -> Card:
    """The card in a header, types and ranges checked. Raises ``ModelFileError``."""
    path = header.path
    if METADATA_KEY not in header.metadata:
        raise ModelFileError(f"{path}: no gantk metadata; gantk import makes a model file of other codes' weights")
    try:
        fields = json.loads(header.metadata[METADATA_KEY])
        if not isinstance(fields, dict):
            raise ValueError("expected an object")
        if fields.get("format") != FORMAT:
            found = shortened(json.dumps(fields.get("format")), 40)
            raise ModelFileError(f"{path}: file format {found}; this gantk ({version('gantk')}) reads format {FORMAT}")
        if (length := _longest(fields)) > LONGEST_TEXT:
            raise ValueError(f"a text of {length:,} characters")
        if unknown := sorted(fields.keys() - {field.name for field in dataclasses.fields(Card)}):
            written = shortened(f"{fields.get('distribution')} {fields.get('version')}")
            by = f"gantk {version('gantk')}"
            raise ModelFileError(f"{path}: unknown key {shortened(unknown[0])!r} (written by {written}, read by {by})")
        missing = [field.name for field in dataclasses.fields(Card) if field.name not in fields]
        if missing:
            raise ValueError(f"{missing[0]}: Field required")
        return _CARD.validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:80]
        raise ModelFileError(f"{path}: damaged gantk metadata ({where}: {first['msg'][:160]})") from None
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: damaged gantk metadata ({one_line(error, 160)})") from None


def _longest(value: Any) -> int:
    """Characters of the longest text in a JSON value."""
    if isinstance(value, dict):
        return max((max(len(key), _longest(inner)) for key, inner in value.items()), default=0)
    if isinstance(value, list):
        return max(map(_longest, value), default=0)
    return len(value) if isinstance(value, str) else 0
