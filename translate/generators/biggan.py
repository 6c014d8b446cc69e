"""The generator of SAGAN and BigGAN: residual blocks with conditional batch norm and self-attention."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import UsageError
from translate.layers.attention import SelfAttention
from translate.layers.labels import embedded, one_hot
from translate.layers.norms import spectrally_normalised
from translate.layers.resblocks import UpBlock
from translate.layers.standing import ROWS, ConditionalNorm, StandingNorm, kept_share, truncated

MULTIPLES = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
"""Channels of the maps in multiples of the width, from 4x4 on (Brock et al., 2019, appendix B)."""

PROBES = 32
"""Latents from which standing statistics are gathered at once."""


class ClassGenerator(nn.Module):
    """Latents (N, latent) and labels, as ``one_hot`` takes them, to images (N, channels, size, size) in [-1, 1].

    A linear layer to 4x4, residual blocks that double the side, batch norm, and a 3x3 convolution. ``embedding`` 0:
    each class has weights and biases of its own in each norm, and the latent goes in below alone (Zhang et al., 2019).
    Otherwise it is the size of one embedding of the class that all norms share, each with a piece of the latent beside
    it (Brock et al., 2019, figure 15). ``attention``: side of the map with self-attention, 0 for none. ``init``: draws
    the weights. All convolutions are spectrally normalised, the linear layers too but for SAGAN's norms.

    ``truncation`` (N,), of the latents, is for inference, whose statistics ``gather`` has collected in training. Raises
    ``UsageError`` for a ``size`` that is not in ``MULTIPLES`` and a latent that cannot be cut into pieces.
    """

    probes: Tensor
    turn: Tensor

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        latent: int,
        width: int,
        embedding: int,
        attention: int,
        init: Callable[[nn.Module], object],
    ) -> None:
        super().__init__()
        widths = [multiple * width for multiple in multiples(size)]
        self.pieces = pieces(latent, size) if embedding else 1
        self.classes = classes
        each = latent // self.pieces
        given = embedding + each if embedding else classes
        self.embedding = nn.Embedding(classes, embedding) if embedding else None
        self.first = nn.Linear(each, widths[0] * 16)
        self.blocks = nn.ModuleList()
        for number, (before, after) in enumerate(pairwise(widths)):
            self.blocks.append(UpBlock(before, after, lambda channels: ConditionalNorm(channels, given)))
            if 8 << number == attention:
                self.blocks.append(SelfAttention(after))
        self.norm = StandingNorm(widths[-1])
        self.scale, self.shift = nn.Parameter(torch.ones(widths[-1])), nn.Parameter(torch.zeros(widths[-1]))
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)
        init(self)
        for layer in list(self.modules()):
            if isinstance(layer, ConditionalNorm) and not embedding:
                nn.init.zeros_(layer.gain.weight)
                nn.init.zeros_(layer.shift.weight)
            elif isinstance(layer, nn.Conv2d) or layer is self.first:
                spectrally_normalised(layer)
            elif isinstance(layer, ConditionalNorm):
                spectrally_normalised(layer.gain)
                spectrally_normalised(layer.shift)
        # Not in files: they are drawn again from the run's seed, and a trained model needs them no more.
        self.register_buffer("probes", torch.randn(32 * PROBES, latent), persistent=False)
        self.register_buffer("turn", torch.zeros(1, dtype=torch.int64))

    def forward(self, z: Tensor, label: Tensor, truncation: Tensor | None = None) -> Tensor:
        if truncation is None:
            return self._draw(z, label, None)
        kept = kept_share(truncation)
        return self._draw(truncated(z, kept), label, kept * (ROWS - 1))

    def gather(self) -> None:
        """Take the statistics of some latents at one truncation, another one each time; in train mode, no gradient."""
        row = self.turn % ROWS
        numbers = torch.arange(PROBES, device=row.device) + PROBES * (self.turn // ROWS)
        kept = (row / (ROWS - 1)).to(self.probes.dtype)
        self._draw(truncated(self.probes[numbers % len(self.probes)], kept), numbers % self.classes, row)
        self.turn += 1

    def _draw(self, z: Tensor, label: Tensor, place: Tensor | None) -> Tensor:
        parts = z.chunk(self.pieces, 1)
        if self.embedding is None:
            conditions = [one_hot(label, self.classes, z)] * len(self.blocks)
        else:
            conditions = [torch.cat([embedded(self.embedding, label), part], 1) for part in parts[1:]]
        x: Tensor = self.first(parts[0]).unflatten(1, (-1, 4, 4))
        following = iter(conditions)
        for block in self.blocks:
            x = block(x) if isinstance(block, SelfAttention) else block(x, next(following), place)
        x = self.norm(x, place) * self.scale[:, None, None] + self.shift[:, None, None]
        return cast(Tensor, self.last(F.relu(x))).tanh()


def multiples(size: int) -> tuple[int, ...]:
    """``MULTIPLES`` of a size; ``UsageError`` for one that the papers do not have."""
    if size not in MULTIPLES:
        raise UsageError(f"--size {size}: expected one of {', '.join(map(str, MULTIPLES))}")
    return MULTIPLES[size]


def pieces(latent: int, size: int) -> int:
    """Into how many equal pieces the latent is cut; ``UsageError`` where it cannot be."""
    count = len(multiples(size))
    if latent % count:
        raise UsageError(
            f"latent {latent}: at --size {size} it is cut into {count} pieces; expected a multiple of {count}"
        )
    return count
