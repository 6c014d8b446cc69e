"""Weight initialisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def init_normal(module: M, std: float = 0.02) -> M:
    """Weights of convolutions and linear layers from N(0, std), of batch norms from N(1, std), biases 0.

    DCGAN (Radford et al., 2016) section 4, kept by pix2pix and CycleGAN. In place; returns the module. Draws from
    torch's default generator.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.modules.conv._ConvNd, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, std)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return module


def init_orthogonal(module: M) -> M:
    """Orthogonal weights in convolutions, linear layers and embeddings (Saxe et al., 2014), biases 0; as in BigGAN."""
    return _init(module, nn.init.orthogonal_)


def init_xavier(module: M) -> M:
    """Uniform weights by Glorot and Bengio (2010) in the same layers, biases 0; as in SAGAN."""
    return _init(module, nn.init.xavier_uniform_)


def init_xavier_normal(module: M, gain: float = 0.02) -> M:
    """Normal weights by Glorot and Bengio (2010), times ``gain``, in the same layers, biases 0; as in CUT's code."""
    return _init(module, lambda weight: nn.init.xavier_normal_(weight, gain))


def _init(module: M, draw: Callable[[Tensor], Tensor]) -> M:
    for layer in module.modules():
        if isinstance(layer, (nn.modules.conv._ConvNd, nn.Linear, nn.Embedding)):
            draw(layer.weight)
            if not isinstance(layer, nn.Embedding) and layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module
