"""SRResNet of Lornatang/SRGAN-PyTorch: the paper's network with pictures in 0 to 1."""

from __future__ import annotations

from translate.contract import DataSpec
from translate.importing.family import Family, Layout, State, biases_folded, numbered, side

BLOCK = {"rcb.0": "conv1", "rcb.1": "norm1", "rcb.2": "act", "rcb.3": "conv2", "rcb.4": "norm2"}
UP = {"upsample_block.0": "0", "upsample_block.2": "2"}
ENDS = {"conv1.0": "stem.0", "conv1.1": "stem.1", "conv2.0": "body_end.0", "conv2.1": "body_end.1", "conv3": "head"}


def read(state: State, plugin: str | None) -> Layout:
    """``conv1``, the residual blocks of ``trunk``, ``conv2``, ``upsampling`` and ``conv3``."""
    blocks = len(numbered(state, r"trunk\.(\d+)\.rcb\."))
    stages = len(numbered(state, r"upsampling\.(\d+)\.upsample_block\."))
    layers = dict(ENDS)
    norms = {"conv2.1": "conv2.0"}
    for number in range(blocks):
        layers |= {f"trunk.{number}.{there}": f"blocks.{number}.{ours}" for there, ours in BLOCK.items()}
        norms |= {f"trunk.{number}.rcb.{norm}": f"trunk.{number}.rcb.{conv}" for norm, conv in ((1, 0), (4, 3))}
    for stage in range(stages):
        layers |= {f"upsampling.{stage}.{there}": f"up.{stage}.{ours}" for there, ours in UP.items()}
    channels = side(state, "conv1.0.weight", 1)
    moved = biases_folded(state, norms)
    # What comes out is in [-1, 1] here.
    for key, shift in (("conv3.weight", 0.0), ("conv3.bias", 1.0)):
        if key in moved:
            moved[key] = 2 * moved[key] - shift
    return Layout(
        state=moved,
        plugin=plugin or "srgan",
        model={"width": side(state, "conv1.0.weight", 0), "blocks": max(1, blocks)},
        data=DataSpec(96, {"low": channels, "high": channels}, scale=2**stages),
        role="g",
        direction="upscale",
        layers=layers,
        problem="" if 1 <= stages <= 3 else f"{stages} sub-pixel convolutions; expected 1, 2 or 3",
    )


FAMILY = Family("lornatang", "SRResNet of Lornatang's code", ("srgan",), read)
