"""Which of the networks in a foreign file is a generator of a known family."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from translate.errors import UsageError, did_you_mean, shortened
from translate.importing.candidates import Candidate, parts, whole
from translate.importing.family import Family, Layout, layer_of
from translate.importing.read import ForeignFile
from translate.importing.registry import families_for

SHOWN = 3
"""Differing keys that a refusal names of each kind."""
LISTED = 12
"""Keys of networks that a refusal lists."""
NEAR = 0.5
"""The share of layers that a file must have in common with a family to be called near it."""


@dataclass(frozen=True)
class Match:
    """A candidate as a network of the family that it is most like."""

    candidate: Candidate
    family: Family
    layout: Layout

    @cached_property
    def missing(self) -> list[str]:
        """Weights that the family has and the file does not."""
        found = {layer_of(key) for key in self.layout.state}
        return [f"{layer}.weight" for layer in self.layout.layers if layer not in found]

    @cached_property
    def unknown(self) -> list[str]:
        """Tensors that the family does not have."""
        return [key for key in self.layout.state if layer_of(key) not in self.layout.layers]

    @property
    def likeness(self) -> float:
        """The share of layers that the state and the family's network have in common."""
        expected, found = set(self.layout.layers), {layer_of(key) for key in self.layout.state}
        return len(expected & found) / len(expected | found)

    @property
    def complete(self) -> bool:
        """Whether its layers are those of the family."""
        return not self.missing and not self.unknown


def recognise(file: ForeignFile, plugin: str | None, key: str | None = None) -> Match:
    """The one generator in the file, or that under ``key``.

    Raises ``UsageError`` where there are several, listing them, and where there is none, with the nearest family and
    the difference.
    """
    families = families_for(plugin)
    if not families:
        known = sorted({name for family in families_for(None) for name in family.plugins})
        raise UsageError(f"--as {plugin}: expected one of {', '.join(known)}")
    mappings = list(whole(file.content))
    candidates = mappings if key is None else _under(file, mappings, key)
    matches, damaged = _matches(file, candidates, families, plugin)
    if key is None and not any(match.complete for match in matches):
        found, _ = _matches(file, (part for each in mappings for part in parts(each)), families, plugin)
        matches += [match for match in found if match.complete]
    complete = _preferred([match for match in matches if match.complete])
    if len(complete) > 1:
        keys = ", ".join(shortened(match.candidate.key) for match in complete[:LISTED])
        raise UsageError(f"{file.path}: holds {len(complete)} generators: {keys}; choose one with --key")
    if complete and complete[0].layout.problem:
        raise UsageError(_impossible(file, complete[0]))
    if complete:
        return complete[0]
    if damaged:
        raise damaged[0]
    raise UsageError(_refusal(file, matches, families))


def _under(file: ForeignFile, mappings: Sequence[Candidate], key: str) -> list[Candidate]:
    """The candidates of that key. Raises ``UsageError`` listing what there is."""
    candidates = [*mappings, *(part for each in mappings for part in parts(each))]
    found = [candidate for candidate in candidates if candidate.key == key]
    if not found:
        keys = list(dict.fromkeys(candidate.key for candidate in candidates if candidate.key))
        near = did_you_mean(key, keys) or f"; expected one of {', '.join(map(shortened, keys[:LISTED])) or 'none'}"
        raise UsageError(f"--key {key}: {file.path} holds no tensors under it{near}")
    return found[:1]


def _matches(
    file: ForeignFile, candidates: Iterable[Candidate], families: Sequence[Family], plugin: str | None
) -> tuple[list[Match], list[UsageError]]:
    """What each candidate is most like, and why some cannot be read."""
    matches, damaged = [], []
    for candidate in candidates:
        try:
            state = file.plain(candidate)
        except UsageError as error:
            damaged.append(error)
            continue
        found = [Match(candidate, family, family.read(state, plugin)) for family in families]
        matches.append(max(found, key=lambda match: match.likeness))
    return matches, damaged


def _preferred(matches: Sequence[Match]) -> list[Match]:
    """Without what is found twice, and without raw weights where there are averaged ones."""
    different = {frozenset(map(id, match.candidate.state.values())): match for match in reversed(matches)}
    unique = list(different.values())[::-1]
    return [match for match in unique if match.candidate.averaged] or unique


def _impossible(file: ForeignFile, match: Match) -> str:
    return f"{file.path}: looks like {match.family.title}, but cannot be imported: {match.layout.problem}"


def _refusal(file: ForeignFile, matches: Sequence[Match], families: Sequence[Family]) -> str:
    best = max(matches, key=lambda match: match.likeness)
    if best.likeness >= NEAR:
        if best.layout.problem and not best.missing:
            return _impossible(file, best)
        return f"{file.path}: not recognised; nearest to {best.family.title}: {difference(best.missing, best.unknown)}"
    if any(match.candidate.discriminator for match in matches):
        return f"{file.path}: looks like a discriminator; expected a generator"
    keys = ", ".join(shortened(key) for key in list(best.candidate.state)[:SHOWN])
    titles = "; ".join(family.title for family in families)
    return f"{file.path}: not recognised, its keys begin with {keys}; expected {titles}"


def difference(missing: Sequence[str], unknown: Sequence[str]) -> str:
    """How many keys are missing and how many unknown, and the first of them."""
    return " and ".join(
        f"{len(keys)} {kind} ({', '.join(map(shortened, keys[:SHOWN]))}{', ...' if len(keys) > SHOWN else ''})"
        for kind, keys in (("missing", missing), ("unknown", unknown))
        if keys
    )
