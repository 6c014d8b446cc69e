"""The data of a run, from its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from translate.console import current
from translate.contract import Dataset, DataSpec, Loading, Source
from translate.data.dataset import CutDataset
from translate.data.heldout import check_alike, check_apart, files_of, held_out_source
from translate.errors import UsageError
from translate.holdout import Part, Side
from translate.reading import parse_ranges
from translate.settings import Run


def open_parts(source: Source, run: Run, expect: Callable[[DataSpec], object]) -> tuple[Dataset, Dataset | None]:
    """What to train on, and with ``--evaluate-every`` what is held out of it or lies in the folder ``--val``."""
    if run.evaluate_every is None:
        if source.val is not None:
            raise UsageError("--val goes with --evaluate-every")
        return open_source(source, run, expect), None
    if source.val is None:
        return open_source(source, run, expect, "train"), open_source(source, run, expect, "val")
    elsewhere = held_out_source(source)  # where it is not found, nothing is scanned
    dataset = open_source(source, run, expect)
    held_out = open_source(elsewhere, run, expect, like=dataset.spec)
    check_alike(source.val, dataset.spec, held_out.spec)
    check_apart(source.val, files_of(dataset, source), files_of(held_out, elsewhere))
    return dataset, held_out


def open_source(
    source: Source,
    run: Run,
    expect: Callable[[DataSpec], object],
    side: Side | None = None,
    like: DataSpec | None = None,
) -> Dataset:
    """Scan the data, or one part of it; what cannot be used is reported. ``expect``, ``like``: as ``Loading``'s."""
    part = None if side is None else Part(side, run.val_share)
    ranges = {**parse_ranges(run.range), **({} if like is None else like.ranges)}
    dataset = source.open(
        Loading(
            size=run.size,
            strict=run.strict_data,
            workers=run.workers,
            cache=run.cache,
            cache_budget=int(run.cache_budget * 2**30),
            reading=run.reading,
            ranges=ranges,
            like=like,
            part=part,
            expect=expect,
        )
    )
    for name in ranges:
        if name and name not in dataset.spec.channels:
            raise UsageError(f"--range {name}=...: expected one of {', '.join(dataset.spec.channels)}")
    if part is not None and not part.applied:
        name = type(source).__name__
        raise UsageError(f"--evaluate-every: the source {name} cannot hold pictures out by their names")
    if run.cache == "device":
        if not isinstance(dataset, CutDataset) or not dataset.packs:
            name = type(source).__name__
            raise UsageError(f"--cache device: the source {name} prepares its samples on the host; use --cache memory")
        size = sum(pack.nbytes for pack in dataset.packs)
        current().line(f"memory: {size / 2**20:.1f} MiB of decoded images on the device")
    return dataset


def facts_of(dataset: Dataset, held_out: Dataset | None, remarks: Sequence[str]) -> dict[str, Any]:
    """What there is to know of the data later, for data.json; ``remarks``: the lines about what cannot be used."""
    spec = dataset.spec
    return {
        "samples": len(dataset),
        "held_out": 0 if held_out is None else len(held_out),
        "size": spec.size,
        "channels": dict(spec.channels),
        "bits": dict(spec.bits),
        "ranges": {name: list(ends) for name, ends in spec.ranges.items()},
        "scale": spec.scale,
        "names": {name: len(names) for name, names in spec.names.items()},
        "remarks": list(dict.fromkeys(remarks)),
    }
