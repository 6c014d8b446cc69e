"""U-Nets of junyanz/pytorch-CycleGAN-and-pix2pix: blocks nested in one another, from the outermost to the innermost."""

from __future__ import annotations

from typing import cast

from torch import nn

from translate.contract import DataSpec
from translate.errors import UsageError
from translate.generators.unet import DEEPEST, UnetGenerator
from translate.importing.family import (
    Family,
    Layout,
    PublicForm,
    State,
    renamed,
    side,
    without_instance_statistics,
)

INNER = "model.model.1.model"
"""The block within the outermost one; each further one is ``.3.model`` of the one around it."""
SHALLOWEST = 5
"""Halvings of the smallest U-Net that their code builds."""


def read(state: State, plugin: str | None) -> Layout:
    """Each block is encoder, inner block, decoder; the numbers say how many layers without weights lie between."""
    state = without_instance_statistics(state)
    norm = "batch" if any(key.endswith(".running_mean") for key in state) else "instance"
    depth, inner = 2, INNER
    while f"{inner}.3.model.1.weight" in state:
        depth, inner = depth + 1, f"{inner}.3.model"
    width, channels = side(state, "model.model.0.weight", 0), side(state, "model.model.0.weight", 1)
    head = side(state, "model.model.3.weight", 1)
    return Layout(
        state=state,
        plugin=plugin or "pix2pix",
        # Their dropout leaves no trace and sits one block further out than ours: a2b, without it, is the same.
        model={"generator": "unet", "width": width, "norm": norm, "dropout": 0.0},
        data=DataSpec(2 ** min(depth, DEEPEST), {"a": channels, "b": head}),
        role="g",
        direction="a2b",
        layers=_layers(depth, normed=norm == "batch"),
        problem="" if depth <= DEEPEST else f"{depth} halvings, more than the {DEEPEST} of a U-Net for 256 pixels",
    )


def _layers(depth: int, *, normed: bool) -> dict[str, str]:
    """As ``Layout.layers``; ``normed``: whether norms have weights."""
    layers, block = {"model.model.0": "down.0.0", "model.model.3": "up.0.1"}, INNER
    for level in range(1, depth):
        innermost = level == depth - 1
        up = 3 if innermost else 5
        layers |= {f"{block}.1": f"down.{level}.1", f"{block}.{up}": f"up.{level}.1"}
        if normed:
            layers[f"{block}.{up + 1}"] = f"up.{level}.2"
        if normed and not innermost:
            layers[f"{block}.2"] = f"down.{level}.2"
        block = f"{block}.3.model"
    return layers


def public_state(net: UnetGenerator) -> State:
    """A generator's tensors by their names."""
    depth, norm = len(net.up), cast(nn.Sequential, net.up[-1])[-1]
    if depth < SHALLOWEST:
        raise UsageError(f"the public code's U-Net halves the side {SHALLOWEST} times or more, not {depth} times")
    if isinstance(norm, nn.Identity):
        raise UsageError("the public code's U-Net without norm has other biases; expected norm")
    return renamed(net.state_dict(), _layers(depth, normed=isinstance(norm, nn.BatchNorm2d)))


FAMILY = Family("unet", "the pix2pix U-Net", ("pix2pix",), read, PublicForm(network=UnetGenerator, state=public_state))
