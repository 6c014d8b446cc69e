"""SRResNet of Lornatang/SRGAN-PyTorch: the paper's network with pictures in 0 to 1."""

from __future__ import annotations

from gantk_importers.srresnet import layout
from translate.importing.family import Family, Layout, State, numbered

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
    # What comes out is in [-1, 1] here.
    moved = dict(state)
    for key, shift in (("conv3.weight", 0.0), ("conv3.bias", 1.0)):
        if key in moved:
            moved[key] = 2 * moved[key] - shift
    return layout(moved, plugin, {"blocks": max(1, blocks)}, layers, norms, stages)


FAMILY = Family("lornatang", "SRResNet of Lornatang's code", ("srgan",), read)
