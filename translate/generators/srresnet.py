"""SRResNet, the generator of SRGAN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn

from translate.layers.norms import Norm, has_bias, norm_layer

Scale = Literal[2, 3, 4, 8]
Output = Literal["linear", "tanh"]
BodyEnd = Literal["norm", "prelu"]


def upsampling_stages(scale: int) -> list[int]:
    """The factors that make up ``scale``: as many steps of 2 as there are, then 3 in one step."""
    stages = []
    for factor in (2, 3):
        while scale % factor == 0:
            stages.append(factor)
            scale //= factor
    return stages


class ResidualBlock(nn.Module):
    """k3 - norm - PReLU - k3 - norm, added to its input (Ledig et al., 2017, figure 4)."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=has_bias(norm))
        self.norm1 = norm_layer(norm, width)
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=has_bias(norm))
        self.norm2 = norm_layer(norm, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.norm2(self.conv2(self.act(self.norm1(self.conv1(x))))))


class SRResNet(nn.Module):
    """Super-resolution by residual blocks at low resolution and sub-pixel convolutions (Ledig et al., 2017, figure 4).

    (N, channels, H, W) in [-1, 1] -> (N, channels, H * scale, W * scale). As in the paper (section 3.2) the first
    convolution sees the input in [0, 1] and the output is in [-1, 1]: ``linear``, not bounded, as in the paper, or
    through ``tanh``, as some public networks have it. ``body_end`` is what follows the convolution after the residual
    blocks: the norm in the paper, PReLU in some public networks.
    """

    def __init__(
        self,
        channels: int = 3,
        scale: Scale = 4,
        *,
        width: int = 64,
        blocks: int = 16,
        norm: Norm = "batch",
        output: Output = "linear",
        body_end: BodyEnd = "norm",
    ) -> None:
        super().__init__()
        self.output = output
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(width, norm) for _ in range(blocks)))
        if body_end == "norm":
            self.body_end = nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, bias=has_bias(norm)), norm_layer(norm, width)
            )
        else:
            self.body_end = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.PReLU())
        self.up = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(width, width * factor**2, 3, padding=1), nn.PixelShuffle(factor), nn.PReLU())
                for factor in upsampling_stages(scale)
            )
        )
        self.head = nn.Conv2d(width, channels, 9, padding=4)

    def forward(self, low: Tensor) -> Tensor:
        stem = self.stem((low + 1) / 2)
        image = self.head(self.up(stem + self.body_end(self.blocks(stem))))
        return torch.tanh(image) if self.output == "tanh" else cast(Tensor, image)


def margin(scale: Scale, blocks: int) -> int:
    """How many input pixels around a pixel ``SRResNet``'s output depends on, in eval mode."""
    reach = 4  # the 9x9 head, at full resolution
    for factor in reversed(upsampling_stages(scale)):
        reach = -(-reach // factor) + 1
    return reach + 1 + 2 * blocks + 4


def from_leftthomas(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a generator of leftthomas/SRGAN as one of ``SRResNet`` with batch norm and ``tanh``.

    Where its convolutions have a bias before batch norm, which is redundant, the bias goes into the running mean: the
    same function, in eval mode and in training. ``body_end`` is "norm" where the result has "body_end.1.running_mean".
    Raises ``KeyError`` for other key names.
    """
    blocks = len({key.split(".")[0] for key in state if ".conv1." in key})
    body_end, head = f"block{blocks + 2}", f"block{blocks + 3}"
    names = {"block1.0": "stem.0", "block1.1": "stem.1", f"{body_end}.0": "body_end.0", f"{body_end}.1": "body_end.1"}
    normed = {f"{body_end}.1": f"{body_end}.0"}
    for block in range(blocks):
        theirs = f"block{block + 2}"
        layers = {"conv1": "conv1", "bn1": "norm1", "prelu": "act", "conv2": "conv2", "bn2": "norm2"}
        names |= {f"{theirs}.{there}": f"blocks.{block}.{here}" for there, here in layers.items()}
        normed |= {f"{theirs}.bn1": f"{theirs}.conv1", f"{theirs}.bn2": f"{theirs}.conv2"}
    stages = len({key.split(".")[1] for key in state if key.startswith(f"{head}.") and ".conv." in key})
    for stage in range(stages):
        names |= {f"{head}.{stage}.conv": f"up.{stage}.0", f"{head}.{stage}.prelu": f"up.{stage}.2"}
    names[f"{head}.{stages}"] = "head"

    folded = dict(state)
    for norm, conv in normed.items():
        if f"{norm}.running_mean" in folded:
            folded[f"{norm}.running_mean"] = folded[f"{norm}.running_mean"] - folded.pop(f"{conv}.bias")
            folded.setdefault(f"{norm}.num_batches_tracked", torch.zeros((), dtype=torch.long))
    return {f"{names[layer]}.{tensor}": folded[key] for key in folded for layer, _, tensor in [key.rpartition(".")]}
