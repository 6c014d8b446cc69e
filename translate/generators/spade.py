"""The generator of SPADE, which grows a picture from a label map that is read again on each scale."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from translate.layers.init import init_xavier_normal
from translate.layers.norms import InstanceNorm, Norm, spectrally_normalised
from translate.layers.spade import SpadeBlock

DOUBLINGS = 5
"""How often the side is doubled: 256 pixels begin as 8."""

_WIDTHS = (16, 16, 16, 8, 4, 2, 1)


class SpadeGenerator(nn.Module):
    """Planes of a map to a picture (Park et al., 2019, figure 15): (N, planes, H, W) -> (N, channels_out, H, W) in
    [-1, 1].

    H and W are multiples of 32. ``width``: channels of the last block, the paper's 64; the first ones have 16 times as
    many; ``hidden``, ``norm``: as ``Spade`` has them. ``style``: numbers of a style, of which the first features are
    made in the place of the map; 0 for none. ``size``: of the pictures to learn from, then. All convolutions but those
    of scale and shift are spectrally normalised.
    """

    def __init__(
        self,
        planes: int,
        channels_out: int,
        width: int = 64,
        hidden: int = 128,
        norm: Norm = "batch",
        *,
        style: int = 0,
        size: int = 0,
    ) -> None:
        super().__init__()
        widths = [width * times for times in _WIDTHS]
        self.side = size >> DOUBLINGS
        self.first: nn.Module = nn.Conv2d(planes, widths[0], 3, padding=1)
        if style:
            self.first = nn.Linear(style, widths[0] * self.side**2)
        before = [widths[0], *widths[:-1]]
        self.blocks = nn.ModuleList(
            SpadeBlock(last, wide, planes, hidden, norm) for last, wide in zip(before, widths, strict=True)
        )
        self.head = nn.Conv2d(width, channels_out, 3, padding=1)
        init_xavier_normal(self)
        for block in self.blocks:
            convolutions = [module for name, module in block.named_children() if name in ("conv1", "conv2", "skip")]
            for convolution in convolutions:
                spectrally_normalised(convolution)

    def forward(self, planes: Tensor, style: Tensor | None = None) -> Tensor:
        """``style``: (N, style), where it has one. Its features are stretched to the shape of the map."""
        x = F.interpolate(planes, scale_factor=0.5**DOUBLINGS, mode="nearest")
        if style is None:
            x = self.first(x)
        else:
            features = self.first(style).unflatten(1, (-1, self.side, self.side))
            x = F.interpolate(features, size=x.shape[2:], mode="bilinear")
        for number, block in enumerate(self.blocks):
            if number not in (0, 2):  # the second and third block share a scale
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x, planes)
        return cast(Tensor, self.head(F.leaky_relu(x, 0.2)).tanh())


class StyleEncoder(nn.Module):
    """Mean and log variance of the style of a picture (Park et al., 2019, appendix A): (N, channels, H, W) -> 2 x (N,
    style).

    ``size``: of the pictures to learn from. All are brought to the largest side that halves to 4 pixels, at most the
    paper's 256. ``width``: channels of the first layer, the paper's 64.
    """

    def __init__(self, channels: int, size: int, width: int = 64, style: int = 256) -> None:
        super().__init__()
        halvings = min(6, (size // 4).bit_length() - 1)
        self.side = 4 << halvings
        counts = [channels, *(width * min(8, 1 << number) for number in range(halvings))]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False) for before, after in pairwise(counts)
        )
        self.norm = InstanceNorm()
        self.mean, self.log_variance = (nn.Linear(counts[-1] * 16, style) for _ in range(2))
        init_xavier_normal(self)
        spectrally_normalised(self.convolutions)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        x = F.interpolate(picture, size=(self.side, self.side), mode="bilinear")
        for convolution in self.convolutions:
            x = F.leaky_relu(self.norm(convolution(x)), 0.2)
        return self.mean(x.flatten(1)), self.log_variance(x.flatten(1))


def spade_margin() -> int:
    """How many input pixels around a pixel the output depends on, apart from the statistics of instance norm.

    Follows one output pixel's interval back through the blocks. In each the map counts two pixels further than what
    passes through: those of scale and shift.
    """
    widest = 0
    for pixel in range(1 << DOUBLINGS):
        low, high, shift = pixel - 1, pixel + 1, 0
        for number in reversed(range(len(_WIDTHS))):
            low, high = low - 2, high + 2
            size = 1 << shift
            widest = max(widest, pixel - (low - 2) * size, (high + 2) * size + size - 1 - pixel)
            if number not in (0, 2):
                low, high, shift = low // 2, high // 2, shift + 1
        size = 1 << shift
        widest = max(widest, pixel - (low - 1) * size, (high + 1) * size - pixel)
    return widest
