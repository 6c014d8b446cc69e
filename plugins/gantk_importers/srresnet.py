"""What the public codes of SRResNet have in common, whatever names they give its layers."""

from __future__ import annotations

from collections.abc import Mapping

from translate.contract import DataSpec
from translate.importing.family import Layout, State, biases_folded, side


def layout(
    state: State,
    plugin: str | None,
    model: Mapping[str, object],
    layers: Mapping[str, str],
    norms: Mapping[str, str],
    stages: int,
) -> Layout:
    """An enlargement by ``stages`` sub-pixel convolutions. ``norms``: as ``biases_folded`` takes them."""
    stem = f"{next(iter(layers))}.weight"
    channels = side(state, stem, 1)
    return Layout(
        state=biases_folded(state, norms),
        plugin=plugin or "srgan",
        model={"width": side(state, stem, 0), **model},
        data=DataSpec(96, {"low": channels, "high": channels}, scale=2**stages),
        role="g",
        direction="upscale",
        layers=layers,
        problem="" if 1 <= stages <= 3 else f"{stages} sub-pixel convolutions; expected 1, 2 or 3",
    )
