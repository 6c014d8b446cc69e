"""Residual blocks that double or halve a map, of WGAN-GP, SNGAN, SAGAN and BigGAN alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F


class UpBlock(nn.Module):
    """Norm, rectifier, doubling, 3x3 convolution, norm, rectifier, 3x3 convolution; beside it a doubling and a 1x1 one.

    (N, before, H, W) -> (N, after, 2H, 2W) (Gulrajani et al., 2017, appendix F). ``norm``: makes the norm of so many
    channels, which is called with ``condition`` as well where there is one.
    """

    def __init__(self, before: int, after: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(before), norm(after)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, *condition: Tensor | None) -> Tensor:
        # Nearest neighbours after the 1x1 convolution are the same as before it, and less work.
        inner = self.conv1(F.interpolate(F.relu(self.norm1(x, *condition)), scale_factor=2))
        y: Tensor = self.conv2(F.relu(self.norm2(inner, *condition)))
        return y + F.interpolate(self.skip(x), scale_factor=2)


class DownBlock(nn.Module):
    """Rectifier, 3x3 convolution, rectifier, 3x3 convolution, mean of 2x2 pixels; beside it a mean and a 1x1 one.

    (N, before, H, W) -> (N, after, H / 2, W / 2) (Gulrajani et al., 2017, appendix F). ``first``: whether it stands
    next to the image, which is not rectified. Not ``halve``: the map keeps its side, and needs no 1x1 convolution where
    it keeps its channels too.
    """

    def __init__(self, before: int, after: int, *, first: bool = False, halve: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1) if halve or before != after else nn.Identity()
        self.first, self.halve = first, halve

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if not self.halve:
            return cast(Tensor, y + self.skip(x))
        return cast(Tensor, F.avg_pool2d(y, 2) + self.skip(F.avg_pool2d(x, 2)))


def init_he(module: nn.Module) -> None:
    """3x3 convolutions by He et al. (2015), 1x1 ones and linear layers by Glorot and Bengio (2010), uniform; biases 0.

    As Gulrajani et al. (2017) have it. In place; draws from torch's default generator.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
