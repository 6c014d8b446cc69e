"""Conditions that most models need: one of several names, a number, a text, noise; and how ``--set`` is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translate.contract import Condition, Direction, Noise
from translate.errors import UsageError, did_you_mean
from translate.fields import LARGEST

ALL = "all"
"""``--set NAME=all``: every choice in turn."""

TO = ".."
"""``--set NAME=A..B``: from one value to another, and on to further ones."""

NONE = "none"
"""``--set NAME=none``: no name of several."""

MEAN = "mean"
"""``--set NAME=mean``: the mean of what else is drawn."""

MOST_WORDS = 24
"""Words of a caption that sources keep, and the length of ``x.text``: the ``length`` of their conditions."""


def choice(names: Sequence[str], help: str, default: str | None = None, *, soft: bool = False) -> Condition:
    """One of ``names``, given to the networks as its index, int64 (N,).

    ``soft``: the networks take shares of all names as well, float32 (N, names), which sum to 1
    (``translate.layers.labels`` has layers that take both).
    """
    index = {name: number for number, name in enumerate(names)}

    def encode(text: str) -> Tensor:
        if text not in index:
            near = did_you_mean(text, list(index))
            raise ValueError(f"expected one of {_listed(names)}{near}")
        return torch.tensor(index[text])

    def shares(text: str) -> Tensor:
        return torch.nn.functional.one_hot(encode(text), len(names)).float()

    return Condition(help, encode, default, tuple(names), shares if soft else None)


def several(names: Sequence[str], help: str) -> Condition:
    """Any of ``names``, parted by commas, or ``none``; given to the networks as 0 or 1 for each, float32 (N, names)."""

    def encode(text: str) -> Tensor:
        given = [] if text == NONE else [name.strip() for name in text.split(",")]
        for name in given:
            if name not in names:
                raise ValueError(f"expected some of {_listed(names)}, or {NONE}{did_you_mean(name, list(names))}")
        return torch.tensor([float(name in given) for name in names])

    return Condition(help, encode, soft=encode)


def number(low: float, high: float, help: str, default: float | None = None) -> Condition:
    """A number from ``low`` to ``high``, given to the networks as it is, float32 (N,)."""

    def encode(text: str) -> Tensor:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return torch.tensor(value, dtype=torch.float32)

    return Condition(help, encode, None if default is None else f"{default:g}", soft=encode, limits=(low, high))


def drawn(noise: Noise, help: str) -> Condition:
    """Noise by the number that it is drawn with, or its mean unless given; float32 (N, *shape)."""

    def encode(text: str) -> Tensor:
        if text == MEAN:
            return torch.zeros(noise.shape)
        if not text.isdecimal() or int(text) > LARGEST:
            raise ValueError(f"expected a whole number from 0 on, or {MEAN}")
        return noise.draw(1, torch.Generator().manual_seed(int(text)))[0]

    return Condition(help, encode, MEAN, soft=encode)


def words(text: str) -> list[str]:
    """The words of a caption in lower case; all but letters, digits and apostrophes parts them."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())


def text(vocabulary: Sequence[str], length: int, help: str, default: str | None = None) -> Condition:
    """At most ``length`` words of ``vocabulary``, given to the networks as their indices, int64 (N, length).

    The first entry of ``vocabulary`` is the empty word, which fills the rest.
    """
    index = {word: number for number, word in enumerate(vocabulary)}

    def encode(caption: str) -> Tensor:
        found = words(caption)
        for word in found:
            if word not in index:
                raise ValueError(f"the model does not know the word {word!r}{did_you_mean(word, list(index))}")
        if not 1 <= len(found) <= length:
            raise ValueError(f"expected 1 to {length} words")
        return torch.tensor([index[word] for word in found] + [0] * (length - len(found)))

    return Condition(help, encode, default)


def conditions_of(direction: Direction, settings: Mapping[str, str], *, but: str | None = None) -> dict[str, Tensor]:
    """One sample's condition tensors by name, from what ``--set NAME=VALUE`` gives, ``but`` one of them.

    Raises ``UsageError`` for a name that the direction does not have, a value that it cannot use, and a condition
    without a default that is not given.
    """
    offered = direction.conditions
    for name in settings:
        if name not in offered:
            near = did_you_mean(name, list(offered)) or (f"; expected {_listed(list(offered))}" if offered else "")
            raise UsageError(f"--set {name}={settings[name]}: {direction.name} has no condition {name!r}{near}")
    tensors: dict[str, Tensor] = {}
    for name, condition in offered.items():
        if name == but:
            continue
        value = settings.get(name, condition.default)
        if value is None:
            expected = f"one of {_listed(condition.choices)}" if condition.choices else condition.help
            raise UsageError(f"--set {name}=...: expected {expected}")
        try:
            tensors[name] = condition.encode(value)
        except ValueError as error:
            raise UsageError(f"--set {name}={value}: {error}") from None
    return tensors


def parse_settings(given: Sequence[str]) -> dict[str, str]:
    """The values of ``--set NAME=VALUE`` by name. Raises ``UsageError`` for another form and a name given twice."""
    settings: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {pair}: expected NAME=VALUE")
        if name in settings:
            raise UsageError(f"--set {name}: given twice ({settings[name]} and {value})")
        settings[name] = value
    return settings


def each_choice(direction: Direction, settings: Mapping[str, str]) -> list[dict[str, str]]:
    """The settings once for each choice of the condition that is set to ``all``; as they are where none is.

    Raises ``UsageError`` where that condition has no choices, or several are ``all``.
    """
    everything = [
        name
        for name, value in settings.items()
        if value == ALL and name in direction.conditions and ALL not in direction.conditions[name].choices
    ]
    if not everything:
        return [dict(settings)]
    name, *others = everything
    choices = direction.conditions[name].choices
    if others or not choices:
        wrong = others[0] if others else name
        reason = f"{name} is {ALL} already" if others else f"{name} has no list of values"
        raise UsageError(f"--set {wrong}={ALL}: {reason}")
    return [{**settings, name: choice} for choice in choices]


@dataclass(frozen=True)
class Sweep:
    """A condition on its way from one value to the next: ``stops``, (values, \\*shape), in floating point."""

    name: str
    stops: Tensor

    def at(self, shares: Tensor) -> Tensor:
        """The condition at ``shares`` (T,), in [0, 1], of the whole way: (T, \\*shape). All ways between two stops are
        straight and take as long."""
        places = shares.to(self.stops) * (len(self.stops) - 1)
        start = places.floor().clamp(max=len(self.stops) - 2).long()
        rest = (places - start).reshape(-1, *[1] * (self.stops.dim() - 1))
        return torch.lerp(self.stops[start], self.stops[start + 1], rest)


def sweep_of(direction: Direction, settings: Mapping[str, str]) -> Sweep | None:
    """The condition that is set to several values, ``A..B``; None where there is none.

    Raises ``UsageError`` for a value that the condition does not take, a condition between whose values there is
    nothing, and several such conditions.
    """
    sweeps = [
        (name, value)
        for name, value in settings.items()
        if TO in value and name in direction.conditions and not _takes(direction.conditions[name], value)
    ]
    if not sweeps:
        return None
    (name, value), *others = sweeps
    if others:
        raise UsageError(f"--set {others[0][0]}={others[0][1]}: {name} has several values already")
    condition = direction.conditions[name]
    if condition.soft is None:
        raise UsageError(f"--set {name}={value}: expected one value, as this model has nothing between two of {name}")
    try:
        stops = [condition.soft(stop) for stop in value.split(TO)]
    except ValueError as error:
        raise UsageError(f"--set {name}={value}: {error}") from None
    return Sweep(name, torch.stack(stops))


def _takes(condition: Condition, value: str) -> bool:
    try:
        condition.encode(value)
    except ValueError:
        return False
    return True


def rows_of(direction: Direction, settings: Mapping[str, str], steps: int) -> list[dict[str, Tensor]]:
    """One sample's condition tensors for each row of a grid: each choice of a condition that is ``all``, ``steps``
    values of one that goes from A to B, or a single row."""
    sweep = sweep_of(direction, settings)
    rows = each_choice(direction, settings)
    if sweep is None:
        return [conditions_of(direction, row) for row in rows]
    if len(rows) > 1:
        raise UsageError(f"--set {sweep.name}={settings[sweep.name]}: another condition is {ALL} already")
    if steps < 2:
        raise UsageError(f"--steps {steps}: expected 2 or more, from the first value of {sweep.name} to the last")
    fixed = conditions_of(direction, settings, but=sweep.name)
    return [{**fixed, sweep.name: value} for value in sweep.at(torch.linspace(0, 1, steps))]


def examples_of(direction: Direction, batch: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Condition tensors for ``count`` samples that show a direction: every choice in turn, or the batch's own values.

    Raises ``UsageError`` where neither there are choices nor a default nor a tensor of that name in ``batch``.
    """
    tensors: dict[str, Tensor] = {}
    for name, condition in direction.conditions.items():
        if condition.choices:
            rows = torch.stack([condition.encode(value) for value in condition.choices])
        elif condition.default is not None:
            rows = condition.encode(condition.default)[None]
        elif name in batch:
            rows = batch[name]
        else:
            raise UsageError(f"direction {direction.name}: condition {name!r} has neither choices nor a default")
        tensors[name] = rows[torch.arange(count) % len(rows)]
    return tensors


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
