"""SRVGGNetCompact of Real-ESRGAN, as BasicSR saves it: convolutions at even numbers of ``body``, PReLU at odd ones."""

from __future__ import annotations

from math import isqrt

from translate.contract import DataSpec
from translate.generators.compact import CompactNet
from translate.importing.family import BASICSR, Family, Layout, PublicForm, State, numbered, side


def read(state: State, plugin: str | None) -> Layout:
    """Scale from the channels of the last convolution, which sub-pixel shuffling turns into a picture."""
    last = max(numbered(state, r"body\.(\d+)\."), default=2)
    channels, out = side(state, "body.0.weight", 1), side(state, f"body.{last}.weight", 0)
    scale = isqrt(out // channels)
    problem = ""
    if channels * scale**2 != out:
        problem = f"{channels} channels in and {out} before the sub-pixel shuffle; expected 1, 4, 9, 16 or 64 times"
    return Layout(
        state=state,
        plugin=plugin or "realesrgan",
        model={"generator": "compact", "width": side(state, "body.0.weight", 0), "blocks": max(1, last // 2 - 1)},
        data=DataSpec(256, {"low": channels, "high": channels}, scale=max(1, scale)),
        role="g",
        direction="restore" if scale == 1 else "upscale",
        layers={f"body.{number}": f"body.{number}" for number in range(last + 1)},
        problem=problem,
    )


FAMILY = Family(
    "compact",
    "SRVGGNetCompact of Real-ESRGAN",
    ("realesrgan",),
    read,
    PublicForm(network=CompactNet, state=CompactNet.spandrel_state, keys=BASICSR),
)
