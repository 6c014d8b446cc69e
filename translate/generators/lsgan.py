"""The LSGAN generator (Mao et al., 2017)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from translate.errors import UsageError
from translate.layers.init import init_normal


class LSGANGenerator(nn.Module):
    """Latents (N, latent) to images (N, channels, size, size) in [-1, 1] (Mao et al., 2017, figure 3).

    A linear layer to a sixteenth of the side, then 3x3 transposed convolutions with batch norm and rectifiers: of
    strides 2, 1, 2, 1 and ``width`` channels, of stride 2 and a half and a quarter of them; the last one, of stride 1,
    gives the image. Raises ``UsageError`` where ``size`` is no multiple of 16.
    """

    def __init__(self, channels: int, size: int, *, latent: int = 1024, width: int = 256) -> None:
        super().__init__()
        if size % 16:
            raise UsageError(f"--size {size}: LSGAN's generator doubles four times; expected a multiple of 16")
        side, half, quarter = size // 16, max(1, width // 2), max(1, width // 4)
        layers: list[nn.Module] = [
            *(nn.Linear(latent, width * side**2, bias=False), nn.Unflatten(1, (width, side, side))),
            *(nn.BatchNorm2d(width), nn.ReLU()),
        ]
        before = width
        for after, stride in ((width, 2), (width, 1), (width, 2), (width, 1), (half, 2), (quarter, 2)):
            step = nn.ConvTranspose2d(before, after, 3, stride, 1, output_padding=stride - 1, bias=False)
            layers += [step, nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(before, channels, 3, 1, 1), nn.Tanh())
        init_normal(self)

    def forward(self, z: Tensor) -> Tensor:
        return cast(Tensor, self.layers(z))
