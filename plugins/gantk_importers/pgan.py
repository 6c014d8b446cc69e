"""The generator of PyTorch GAN Zoo's PGAN: ``formatLayer``, ``groupScale0``, ``scaleLayers``, ``toRGBLayers``."""

from __future__ import annotations

import math

import torch

from translate.contract import DataSpec
from translate.generators.stylegan import channels_at
from translate.importing.family import Family, Layout, State, numbered, side

FIRST = 4
"""The side of the first pictures."""


def read(state: State, plugin: str | None) -> Layout:
    """A dense layer, a convolution, two more for each doubling, and a 1x1 convolution to a picture at each side."""
    count = len(numbered(state, r"toRGBLayers\.(\d+)\."))
    layers = {"formatLayer.module": "first", "groupScale0.0.module": "blocks.0.convs.0"}
    layers |= {f"toRGBLayers.{number}.module": f"images.{number}" for number in range(count)}
    for number in range(1, count):
        for index in range(2):
            layers[f"scaleLayers.{number - 1}.{index}.module"] = f"blocks.{number}.convs.{index}"
    counts = [side(state, f"toRGBLayers.{number}.module.weight", 1) for number in range(count)] or [1]
    size = FIRST * 2 ** (len(counts) - 1)
    base, most = counts[-1] * size, max(counts)
    problem = ""
    if counts != [channels_at(FIRST * 2**number, base, most) for number in range(len(counts))]:
        problem = f"channels {', '.join(map(str, counts))}; expected them halved where the side doubles, below a most"
    values = {key: tensor * _factor(state, key) for key, tensor in state.items()}
    if count:
        values["whole.depth"] = torch.tensor(float(count - 1))
        layers["whole"] = ""
    return Layout(
        state=values,
        plugin=plugin or "pggan",
        model={"latent": side(state, "formatLayer.module.weight", 1), "base": base, "most": most},
        data=DataSpec(size, {"image": side(state, "toRGBLayers.0.module.weight", 0)}),
        role="g",
        direction="sample",
        layers=layers,
        problem=problem,
        notes=("taken for a network without classes, that normalises its pixels and has grown whole",),
    )


def _factor(state: State, key: str) -> float:
    """What makes a tensor of theirs one of ours.

    Their layers multiply by sqrt(2 / inputs) what comes out, biases too. Ours multiply weights by sqrt(1 / inputs), and
    what comes out of a rectifier by sqrt(2).
    """
    layer, _, name = key.rpartition(".")
    gain = math.sqrt(2) if layer.startswith("toRGBLayers") else 1.0
    weight = state.get(f"{layer}.weight")
    if name != "bias" or weight is None or weight.dim() < 2 or not weight.numel():
        return gain
    return gain / math.sqrt(weight[0].numel())


FAMILY = Family("pgan", "the generator of PyTorch GAN Zoo's PGAN", ("pggan",), read)
