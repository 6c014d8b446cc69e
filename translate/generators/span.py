"""SPAN, the swift parameter-free attention network (Wan et al., 2023, arXiv 2311.12770)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import UsageError
from translate.generators.srresnet import Scale

GAIN = 2
"""How many times more channels a convolution has inside while it is trained."""
BLOCKS = 6
MEAN = (0.4488, 0.4371, 0.4040)
"""Of DIV2K's colours, in 0 to 1."""


class WideConv(nn.Module):
    """A 3x3 convolution, trained as a sum of a 1x1 one and of three through more channels, without a nonlinearity.

    (N, channels, H, W) -> (N, out, H, W). The sum is one convolution, and is computed as that in training too: the
    same function and gradients as the authors' separate branches, at a quarter of the work.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.sk = nn.Conv2d(channels, out, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels * GAIN, 1),
            nn.Conv2d(channels * GAIN, out * GAIN, 3),
            nn.Conv2d(out * GAIN, out, 1),
        )

    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight (out, channels, 3, 3) and bias (out,) of the one convolution."""
        (narrow, first), (middle, second), (wide, third) = (
            (layer.get_parameter("weight"), layer.get_parameter("bias")) for layer in self.conv
        )
        inner = torch.einsum("mihw,ic->mchw", middle, narrow[:, :, 0, 0])
        weight = torch.einsum("om,mchw->ochw", wide[:, :, 0, 0], inner) + F.pad(self.sk.weight, (1, 1, 1, 1))
        bias = wide[:, :, 0, 0] @ (middle.sum((2, 3)) @ first + second) + third
        skip = self.sk.get_parameter("bias")
        return weight, bias + skip

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.merged()
        return F.conv2d(x, weight, bias, padding=1)


class AttentionBlock(nn.Module):
    """Three convolutions whose output is its own attention, odd around 0 (Wan et al., 2023, equations 2 to 5).

    Returns the block's output and what its first convolution gave, activated.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c1_r = WideConv(width, width)
        self.c2_r = WideConv(width, width)
        self.c3_r = WideConv(width, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = F.silu(self.c1_r(x))
        features = self.c3_r(F.silu(self.c2_r(first)))
        return (features + x) * (torch.sigmoid(features) - 0.5), first


class SPAN(nn.Module):
    """Super-resolution by six blocks of attention without weights (Wan et al., 2023, figure 2).

    (N, channels, H, W) in [-1, 1] -> (N, channels, H * scale, W * scale), not bounded. Inside, pictures are in [0, 1]
    and modules have the names by which community loaders know this network. ``normalise``: the input loses DIV2K's mean
    colour and is counted in 255 levels, as in the authors' code; three channels only, ``UsageError`` otherwise.
    """

    def __init__(self, channels: int = 3, scale: Scale = 4, *, width: int = 52, normalise: bool = True) -> None:
        super().__init__()
        if normalise and channels != len(MEAN):
            raise UsageError(
                f"the mean colour that SPAN subtracts has {len(MEAN)} channels, not {channels}; expected --no-normalise"
            )
        self.scale, self.normalise = scale, normalise
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, -1, 1, 1), persistent=False)
        self.conv_1 = WideConv(channels, width)
        for number in range(1, BLOCKS + 1):
            self.add_module(f"block_{number}", AttentionBlock(width))
        self.conv_2 = WideConv(width, width)
        self.conv_cat = nn.Conv2d(4 * width, width, 1)
        self.upsampler = nn.Sequential(nn.Conv2d(width, channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, low: Tensor) -> Tensor:
        unit = (low + 1) / 2
        features = self.conv_1((unit - self.mean) * 255 if self.normalise else unit)
        x, outputs, inner = features, [], features
        for number in range(1, BLOCKS + 1):
            x, inner = self.get_submodule(f"block_{number}")(x)
            outputs.append(x)
        joined = self.conv_cat(torch.cat([features, self.conv_2(x), outputs[0], inner], 1))
        image: Tensor = self.upsampler(joined)
        return image * 2 - 1

    def spandrel_state(self) -> dict[str, Tensor]:
        """The tensors by the names that community loaders detect: ours, the merged convolutions and a mark."""
        state = dict(self.state_dict())
        for name, layer in self.named_modules():
            if isinstance(layer, WideConv):
                weight, bias = layer.merged()
                state |= {f"{name}.eval_conv.weight": weight.detach(), f"{name}.eval_conv.bias": bias.detach()}
        return state if self.normalise else state | {"no_norm": torch.zeros(1)}


def span_margin() -> int:
    """How many input pixels around a pixel ``SPAN``'s output depends on."""
    return 1 + 3 * BLOCKS + 1 + 1
