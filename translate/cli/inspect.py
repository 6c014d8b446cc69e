"""``gantk inspect``: what a model file states about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from translate.cli import derived
from translate.console import current
from translate.dataspec import DataSpec
from translate.errors import SomeFailedError
from translate.fields import Spelling, cut, plain, shown
from translate.modelfile.card import Card, DirectionRecord, card_of
from translate.modelfile.header import FILE_NAME, Header, ModelFileError, locate, read_header, verify
from translate.training.layout import BEST, CHECKPOINTS


@dataclass(frozen=True, kw_only=True)
class Options:
    """Show what a model file holds, from its header alone: no plugin is imported, no weight is read.

    Of a picture it shows what the picture states about its origin: the IPTC source in its XMP, and its C2PA manifest.
    """

    model: Annotated[Path, "run folder, model file or picture", Spelling(positional=True, metavar="MODEL")]
    tensors: Annotated[bool, "list every tensor"] = False
    verify: Annotated[bool, "compare the weights, and a run's checkpoints, with their checksums"] = False


def inspect(options: Options) -> None:
    """Show the header's fields, and the tensors with ``--tensors``."""
    if options.model.is_file() and not _may_be_model(options.model) and _show_picture(options.model):
        return
    if options.verify:
        _verify(options.model)
        return
    header = read_header(locate(options.model))
    card = card_of(header)
    console = current()
    if console.json:
        listed = {key: {"shape": list(entry.shape), "dtype": entry.dtype} for key, entry in header.tensors.items()}
        console.record({"file": str(header.path), **asdict(card), "bytes": _bytes(header), "tensors": listed})
        return
    for key, value in _about(header, card).items():
        console.output(f"{key:12}  {value}")
    if options.tensors:
        for key, entry in sorted(header.tensors.items()):
            console.output(f"  {key}  {' x '.join(map(str, entry.shape)) or 'scalar'}  {entry.dtype}")


def _may_be_model(path: Path) -> bool:
    """Whether a file begins like one of safetensors: with the length of a header that fits into it, and the header."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
        return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size
    except OSError:  # reading the header reports it
        return True


def _show_picture(path: Path) -> bool:
    """Show what a picture states about itself; False where the file is no picture."""
    from translate.cli import inspect_picture

    if not inspect_picture.is_picture(path):
        return False
    console = current()
    found = inspect_picture.about(path)
    if console.json:
        console.record(found)
        return True
    for key, value in found.items():
        console.output(f"{key:12}  {value}")
    return True


def _verify(model: Path) -> None:
    """One line for each file. Raises ``SomeFailedError`` where one is not whole."""
    folder = model / CHECKPOINTS
    published = [model / FILE_NAME, model / BEST] if model.is_dir() else [model]
    paths = [path for path in (*published, *sorted(folder.glob("*.safetensors"))) if path.is_file()]
    damaged = []
    for path in paths or [locate(model)]:
        try:
            header = read_header(path)
            state = "whole" if verify(header) else "no checksum"
            if path.parent == folder and state == "no checksum":
                raise ModelFileError(f"{path}: damaged: no checksum; every checkpoint has one")
            if path.parent != folder:
                card_of(header)
        except ModelFileError as error:
            state = "damaged"
            damaged.append(str(error))
        current().table([{"file": str(path), "state": state}])
    if damaged:
        raise SomeFailedError("; ".join(damaged))


def _about(header: Header, card: Card) -> dict[str, str]:
    numbers: dict[str, int] = {}
    for key, entry in header.tensors.items():
        role = key.partition(".")[0]
        numbers[role] = numbers.get(role, 0) + entry.numbers
    data, source = card.data, {key: value for key, value in card.source.items() if value not in (None, [], "")}
    return {
        "file": f"{header.path} ({header.path.stat().st_size:,} bytes)",
        "model": f"{card.plugin} ({card.distribution} {card.version})",
        "weights": f"{card.weights}, {card.origin}",
        "networks": ", ".join(f"{role}: {count:,} numbers" for role, count in sorted(numbers.items())),
        "tensors": f"{len(header.tensors):,}, {_bytes(header):,} bytes",
        "directions": "; ".join(_direction(direction) for direction in card.directions),
        **_also(card.directions),
        **_conditions(card.directions),
        "trained on": "not known, as it was imported" if card.imported else f"{data.size} pixels, {card.precision}",
        "channels": _pairs({name: _order(count) for name, count in data.channels.items() if name not in data.indexed}),
        **_indexed(data),
        **_numbers(data),
        "scale": str(data.scale),
        "value range": f"{card.value_range[0]:g} to {card.value_range[1]:g}",
        "model flags": _pairs({key: _flag(value) for key, value in card.model.items()}),
        **({"data flags": _pairs({key: _flag(value) for key, value in source.items()})} if source else {}),
    }


def _numbers(data: DataSpec) -> dict[str, str]:
    """How deep the pictures of each domain were, and which numbers were black and white."""
    depths = {
        name: f"{data.bits.get(name, 8)} bits" if data.bits.get(name, 8) <= 16 else "floats"
        for name in data.channels
        if name not in data.indexed
    }
    ranges = {name: f"{low:g} to {high:g}" for name, (low, high) in data.ranges.items()}
    return {
        "depth": _pairs(depths),
        **({"black, white": _pairs(ranges)} if ranges else {}),
        "under alpha": data.hidden,
    }


def _indexed(data: DataSpec) -> dict[str, str]:
    """What the indices in maps mean."""
    found = {}
    for name in data.indexed:
        count, names = data.channels[name], ", ".join(data.names.get(name, ()))
        found[f"map {name}"] = "identities" if count == 1 else f"{count} classes" + (f": {names}" if names else "")
    return found


def _order(channels: int) -> str:
    """How many channels there are, and in which order where that has a name."""
    return {1: "1 (grey)", 3: "3 (RGB)", 4: "4 (RGBA)"}.get(channels, str(channels))


def _bytes(header: Header) -> int:
    return sum(entry.bytes for entry in header.tensors.values())


def _direction(direction: DirectionRecord) -> str:
    source = "noise" if direction.latent else " and ".join(direction.inputs)
    return f"{direction.name} ({source} to {direction.outputs}, multiple {direction.multiple})"


def _also(directions: Sequence[DirectionRecord]) -> dict[str, str]:
    """The pictures that are given beside the first, by name."""
    further = {name: each for each in directions for name in each.inputs[1:]}
    return {
        f"--also {name}": f"folder of {name}, with files named as those of {each.inputs[0]} are, for {each.name}"
        for name, each in further.items()
    }


def _conditions(directions: Sequence[DirectionRecord]) -> dict[str, str]:
    """What can be set at inference, by name."""
    return {f"--set {cut(name)}": each.words for direction in directions for name, each in direction.conditions.items()}


def _flag(value: Any) -> str:
    """A hyper-parameter as it would be typed."""
    if isinstance(value, dict):
        return shown(value)
    return cut(plain(value))


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{cut(key)} {value}" for key, value in values.items())


command = derived.command("inspect", Options, inspect)
