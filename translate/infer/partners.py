"""The further pictures of each result (``--also``), which lie where the photo lies and are called as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from translate.contract import Direction
from translate.data.listing import list_folders
from translate.data.pairing import Partners
from translate.errors import UsageError
from translate.infer.plan import OVERWRITES, Job, identity


def folders_of(direction: Direction, also: Sequence[str]) -> dict[str, Path]:
    """The folder of each further input of a direction, in their order, from what ``--also NAME=FOLDER`` gives.

    Raises ``UsageError`` for another form, a name given twice, one that is no further input, and one that is missing.
    """
    photo, *wanted = direction.input_names
    given: dict[str, Path] = {}
    for pair in also:
        name, equals, place = pair.partition("=")
        if not (name and equals and place):
            raise UsageError(f"--also {pair}: expected NAME=FOLDER")
        if name not in wanted:
            expected = f"expected {', '.join(wanted)}" if wanted else "it takes one picture for each result"
            raise UsageError(f"--also {pair}: {direction.name} has no further input {name!r}; {expected}")
        if name in given:
            raise UsageError(f"--also {name}: given twice ({given[name]} and {place})")
        given[name] = Path(place)
    for name in wanted:
        if name not in given:
            raise UsageError(
                f"--also {name}=FOLDER: {direction.name} needs {name} beside {photo}, of the same file names"
            )
    return {name: given[name] for name in wanted}


def with_partners(jobs: Sequence[Job], folders: Mapping[str, Path], out: Path) -> list[Job]:
    """The jobs with the file of each further input, or refused where there is none.

    It is the one at the same place below its folder as the result's below ``out``, whatever its suffix. Raises
    ``UsageError`` for a folder that is none, is empty, or is ``out``.
    """
    if not folders:
        return list(jobs)
    found = []
    for name, folder in folders.items():
        if folder.resolve() == out.resolve():
            raise UsageError(f"--out {out}: this is an input (--also {name}); expected another folder for the results")
        found.append((name, Partners(list_folders(f"--also {name}", [folder]))))
    matched = [_matched(job, found) for job in jobs]
    taken = {known for job in matched for path in job.others if (known := identity(path)) is not None}
    return [replace(job, refusal=OVERWRITES) if identity(job.target) in taken else job for job in matched]


def _matched(job: Job, found: Sequence[tuple[str, Partners]]) -> Job:
    if job.refusal is not None:
        return job
    others = []
    for name, partners in found:
        try:
            others.append(partners.of(job.inside, job.path))
        except LookupError as error:
            return replace(job, refusal=f"it has no {name}: {error}")
    return replace(job, others=tuple(others))
