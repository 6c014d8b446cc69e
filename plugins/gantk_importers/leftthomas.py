"""The SRGAN generator of leftthomas/SRGAN: batch norm, PReLU, and (tanh + 1) / 2, which is our tanh in 0 to 1."""

from __future__ import annotations

from gantk_importers.srresnet import layout
from translate.importing.family import Family, Layout, State, numbered


def read(state: State, plugin: str | None) -> Layout:
    """``block1`` stem, then the residual blocks, the body's end and the head with the sub-pixel convolutions."""
    blocks = len(numbered(state, r"block(\d+)\.conv1\."))
    body_end, head = f"block{blocks + 2}", f"block{blocks + 3}"
    stages = len(numbered(state, rf"{head}\.(\d+)\.conv\."))
    normed = f"{body_end}.1.running_mean" in state
    layers = {"block1.0": "stem.0", "block1.1": "stem.1", f"{body_end}.0": "body_end.0", f"{body_end}.1": "body_end.1"}
    norms = {f"{body_end}.1": f"{body_end}.0"} if normed else {}
    for block in range(blocks):
        theirs = f"block{block + 2}"
        names = {"conv1": "conv1", "bn1": "norm1", "prelu": "act", "conv2": "conv2", "bn2": "norm2"}
        layers |= {f"{theirs}.{there}": f"blocks.{block}.{here}" for there, here in names.items()}
        norms |= {f"{theirs}.bn1": f"{theirs}.conv1", f"{theirs}.bn2": f"{theirs}.conv2"}
    for stage in range(stages):
        layers |= {f"{head}.{stage}.conv": f"up.{stage}.0", f"{head}.{stage}.prelu": f"up.{stage}.2"}
    layers[f"{head}.{stages}"] = "head"
    model = {"blocks": blocks, "output": "tanh", "body_end": "norm" if normed else "prelu"}
    return layout(state, plugin, model, layers, norms, stages)


FAMILY = Family("leftthomas", "the SRGAN generator of leftthomas", ("srgan",), read)
