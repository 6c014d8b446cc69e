"""The StyleGAN2 generator of rosinality's public PyTorch code: ``style.1``, ``conv1``, ``convs.0``, ``to_rgbs.0``."""

from __future__ import annotations

import torch
from torch import Tensor

from translate.contract import DataSpec
from translate.importing.family import Family, Layout, State, numbered, side
from translate.layers.equalized import PixelNorm, rectified
from translate.layers.fir import TAPS

RATE = 0.01
"""Learning rate of its mapping network, by which that network's weights are scaled."""
LATENTS = 4096
"""Latents whose styles the mean is of, which its files do not hold beside the generator."""


def read(state: State, plugin: str | None) -> Layout:
    """A styled convolution at 4 pixels and two for each doubling; the first of two enlarges."""
    mapping = numbered(state, r"style\.(\d+)\.weight$")
    doublings = len(numbered(state, r"convs\.(\d+)\.conv\.weight$")) // 2
    convs = ["conv1", *(f"convs.{k}" for k in range(2 * doublings))]
    images = ["to_rgb1", *(f"to_rgbs.{k}" for k in range(doublings))]
    layers = {"style": "mapping", "input": "synthesis"}
    layers |= {f"style.{number}": f"mapping.layers.{place}" for place, number in enumerate(mapping)}
    for kind, theirs in (("convs", convs), ("images", images)):
        for place, name in enumerate(theirs):
            layers |= {
                f"{name}.conv": f"synthesis.{kind}.{place}",
                f"{name}.conv.modulation": f"synthesis.{kind}.{place}.affine",
            }
    size, last = 4 * 2**doublings, convs[-1]
    channels = side(state, f"{last}.conv.weight", 1)
    kernels = [key for key in state if key.endswith(".kernel")]
    odd = next((key for key in kernels if not _is_binomial(state[key])), None)
    return Layout(
        state=_moved(state, convs, images, mapping, kernels),
        plugin=plugin or "stylegan2",
        model={
            "latent": side(state, f"style.{mapping[0]}.weight", 1) if mapping else 1,
            "width": side(state, "conv1.conv.modulation.weight", 1),
            "mapping": max(1, len(mapping)),
            "base": channels * size,
            "most": side(state, "conv1.conv.weight", 1),
        },
        data=DataSpec(size, {"image": side(state, "to_rgb1.conv.weight", 1)}),
        role="g",
        direction="sample",
        others=("mix", "edit"),
        layers=layers,
        problem="" if odd is None else f"{odd} is another filter than 1-3-3-1",
        notes=(f"truncation goes to the mean style of {LATENTS} latents, as the file has none",),
    )


def _moved(
    state: State, convs: list[str], images: list[str], mapping: list[int], kernels: list[str]
) -> dict[str, Tensor]:
    """The state with each layer's tensors under one name and in our shapes, without fixed filters."""
    moved = {key: tensor for key, tensor in state.items() if key not in kernels}
    names = {"input.input": "input.constant"}
    for place, name in enumerate(convs):
        names[f"{name}.noise.weight"] = f"{name}.conv.strength"
        names[f"{name}.activate.bias"] = f"{name}.conv.bias"
        names[f"noises.noise_{place}"] = f"{name}.conv.noise"
    names |= {f"{name}.bias": f"{name}.conv.bias" for name in images}
    for theirs, ours in names.items():
        if theirs in moved:
            moved[ours] = moved.pop(theirs)
    for name in (*convs, *images):
        weight, bias, strength = (f"{name}.conv.{part}" for part in ("weight", "bias", "strength"))
        if weight in moved and moved[weight].dim() == 5:
            # Enlarging, theirs are transposed convolutions, which read a kernel from its other end.
            turned = name in convs[1::2]
            moved[weight] = moved[weight][0].flip(2, 3) if turned else moved[weight][0]
        if bias in moved:
            moved[bias] = moved[bias].flatten()
        if strength in moved and moved[strength].numel() == 1:
            moved[strength] = moved[strength].reshape(())
    if (mean := _mean_style(state, mapping)) is not None:
        moved["style.mean"] = mean
    return moved


def _mean_style(state: State, mapping: list[int]) -> Tensor | None:
    """The mean of what the mapping network makes of ``LATENTS`` latents; None where its layers do not fit."""
    latent = side(state, f"style.{mapping[0]}.weight", 1) if mapping else 0
    w: Tensor = PixelNorm()(torch.randn(LATENTS, latent, generator=torch.Generator().manual_seed(0)))
    for number in mapping:
        weight, bias = (state.get(f"style.{number}.{part}") for part in ("weight", "bias"))
        if weight is None or bias is None or weight.dim() != 2 or weight.shape[1] != w.shape[1]:
            return None
        if bias.shape != weight.shape[:1]:
            return None
        w = rectified(w @ weight.T * (RATE / weight.shape[1] ** 0.5) + bias * RATE)
    return w.mean(0) if mapping else None


def _is_binomial(kernel: Tensor) -> bool:
    """Whether it is 1-3-3-1 both ways, for enlarging: of sum 4."""
    taps = torch.tensor(TAPS)
    whole = 4 * torch.outer(taps, taps) / taps.sum() ** 2
    return kernel.shape == whole.shape and bool(torch.allclose(kernel, whole, atol=1e-5))


FAMILY = Family("rosinality", "the StyleGAN2 generator of rosinality's code", ("stylegan2",), read)
