"""``gantk inspect``: what a model file says about itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from translate.console import current, printable


def inspect(
    model: Annotated[str, typer.Argument(help="run folder or model file", metavar="MODEL")],
    tensors: Annotated[bool, typer.Option("--tensors", help="list every tensor", metavar="")] = False,
) -> None:
    """Show what a model file holds, from its header alone: no plugin is imported, no weight is read."""
    from safetensors import safe_open

    from translate.published import locate, read_card

    path = locate(Path(model))
    card = read_card(path)
    with safe_open(path, framework="pt") as file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 -- not a dict
        shapes = {key: (tuple(part.get_shape()), str(part.get_dtype())) for key, part in slices.items()}
    console = current()
    if console.json:
        listed = {key: {"shape": list(shape), "dtype": dtype} for key, (shape, dtype) in shapes.items()}
        console.record({"file": str(path), **dataclasses.asdict(card), "tensors": listed})
        return
    for key, value in _about(path, card, shapes).items():
        typer.echo(printable(f"{key:12}  {value}"))
    if tensors:
        for key, (shape, dtype) in shapes.items():
            typer.echo(printable(f"  {key}  {' x '.join(map(str, shape)) or 'scalar'}  {dtype}"))


def _about(path: Path, card: Any, shapes: dict[str, tuple[tuple[int, ...], str]]) -> dict[str, str]:
    weights: dict[str, int] = {}
    for key, (shape, _) in shapes.items():
        role, size = key.partition(".")[0], 1
        for side in shape:
            size *= side
        weights[role] = weights.get(role, 0) + size
    data = card.data
    return {
        "file": f"{path} ({path.stat().st_size:,} bytes)",
        "model": f"{card.plugin} ({card.distribution} {card.version})",
        "weights": f"{card.weights}, after step {card.step:,}",
        "networks": ", ".join(f"{role}: {count:,} numbers" for role, count in weights.items()),
        "directions": ", ".join(_direction(direction) for direction in card.directions),
        "trained on": f"{data.size} pixels, channels {_pairs(data.channels)}, scale {data.scale}",
        "value range": f"{card.value_range[0]:g} to {card.value_range[1]:g}",
        "model flags": _pairs(card.model),
    }


def _direction(direction: Any) -> str:
    source = "noise" if direction.get("latent") else direction["inputs"]
    return f"{direction['name']} ({source} to {direction['outputs']}, multiple {direction['multiple']})"


def _pairs(values: Any) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
