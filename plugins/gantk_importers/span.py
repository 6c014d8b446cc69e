"""SPAN (Wan et al., 2023), with the branches that it was trained with."""

from __future__ import annotations

from math import isqrt

from translate.contract import DataSpec
from translate.generators.span import BLOCKS, SPAN
from translate.importing.family import BASICSR, Family, Layout, PublicForm, State, side

MARK = "no_norm"
"""A tensor that says that the mean colour is not subtracted."""


def read(state: State, plugin: str | None) -> Layout:
    """Scale from the channels of the last convolution, which sub-pixel shuffling turns into a picture."""
    channels, out = side(state, "conv_1.sk.weight", 1), side(state, "upsampler.0.weight", 0)
    scale = isqrt(out // channels)
    wide = ["conv_1", "conv_2", *(f"block_{block}.c{conv}_r" for block in range(1, BLOCKS + 1) for conv in (1, 2, 3))]
    layers = [f"{layer}.{part}" for layer in wide for part in ("sk", "conv.0", "conv.1", "conv.2")]
    return Layout(
        # What the branches come to is saved beside them.
        state={key: tensor for key, tensor in state.items() if ".eval_conv." not in key and key != MARK},
        plugin=plugin or "realesrgan",
        model={"generator": "span", "width": side(state, "conv_1.sk.weight", 0), "normalise": MARK not in state},
        data=DataSpec(256, {"low": channels, "high": channels}, scale=max(1, scale)),
        role="g",
        direction="restore" if scale == 1 else "upscale",
        layers={layer: layer for layer in [*layers, "conv_cat", "upsampler.0"]},
        problem="" if channels * scale**2 == out else f"{channels} channels in and {out} before the sub-pixel shuffle",
    )


FAMILY = Family(
    "span", "SPAN", ("realesrgan",), read, PublicForm(network=SPAN, state=SPAN.spandrel_state, keys=BASICSR)
)
