"""The discriminators of SRGAN and ESRGAN: strided convolutions down to a few pixels, then two dense layers."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from translate.errors import UsageError
from translate.layers.norms import norm_layer


class SRGANDiscriminator(nn.Module):
    """Eight 3x3 convolutions, 64 to 512 wide, each second one strided (Ledig et al., 2017, figure 4).

    (N, channels, size, size) -> logits (N, 1), of which the paper's sigmoid makes a probability. Raises ``UsageError``
    where ``size`` is no multiple of 16.
    """

    def __init__(self, channels: int, size: int, *, width: int = 64) -> None:
        super().__init__()
        check_size(size, 16, "SRGAN's discriminator")
        layers: list[nn.Module] = []
        last = channels
        for depth in range(8):
            out = width * 2 ** (depth // 2)
            layers.append(nn.Conv2d(last, out, 3, stride=1 + depth % 2, padding=1, bias=depth == 0))
            if depth:
                layers.append(norm_layer("batch", out))
            layers.append(nn.LeakyReLU(0.2))
            last = out
        self.layers = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Flatten(), nn.Linear(last * (size // 16) ** 2, 16 * width), nn.LeakyReLU(0.2), nn.Linear(16 * width, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.dense(self.layers(image)))


class ESRGANDiscriminator(nn.Module):
    """A VGG-style network of 3x3 convolutions, each followed by a strided 4x4 one (Wang et al., 2018, section 4.1).

    (N, channels, size, size) -> logits (N, 1). Five halvings, or six from 256 pixels on, as in the authors' code, which
    has 128 and 256; any multiple of 32 (64 from 256 on) will do, ``UsageError`` otherwise.
    """

    def __init__(self, channels: int, size: int, *, width: int = 64) -> None:
        super().__init__()
        halvings = 6 if size >= 256 else 5
        check_size(size, 2**halvings, "ESRGAN's discriminator")
        layers: list[nn.Module] = []
        last = channels
        for depth in range(halvings):
            out = width * min(2**depth, 8)
            layers.append(nn.Conv2d(last, out, 3, padding=1, bias=depth == 0))
            if depth:
                layers.append(norm_layer("batch", out))
            layers += [nn.LeakyReLU(0.2), nn.Conv2d(out, out, 4, stride=2, padding=1, bias=False)]
            layers += [norm_layer("batch", out), nn.LeakyReLU(0.2)]
            last = out
        self.layers = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Flatten(), nn.Linear(last * (size >> halvings) ** 2, 100), nn.LeakyReLU(0.2), nn.Linear(100, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.dense(self.layers(image)))


def check_size(size: int, multiple: int, whose: str) -> None:
    """Raise ``UsageError`` where training images of this side cannot be judged."""
    if size % multiple:
        lower, upper = size - size % multiple, size - size % multiple + multiple
        near = f"{lower} or {upper}" if lower else f"{upper}"
        raise UsageError(f"--size {size}: {whose} needs a multiple of {multiple}, such as {near}")
