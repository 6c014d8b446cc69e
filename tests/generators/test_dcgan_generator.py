"""The DCGAN generator's shapes and forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from translate.errors import UsageError
from translate.generators.dcgan import DCGANGenerator


@pytest.mark.parametrize("size", [28, 32, 64, 128])
@pytest.mark.parametrize("projection", ["conv", "dense"])
@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("extra", [0, 1])
def test_sizes(size: int, projection: Any, kernel: Any, extra: int) -> None:
    net = DCGANGenerator(2, size, latent=6, width=2, kernel=kernel, projection=projection, extra=extra)
    image = net(torch.randn(3, 6))
    assert image.shape == (3, 2, size, size)
    assert image.abs().max() <= 1


@pytest.mark.parametrize("size", [30, 16, 100, 56])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match=str(size)):
        DCGANGenerator(3, size)


def weights(net: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(m.weight.shape) for m in net.modules() if isinstance(m, (nn.Linear, nn.ConvTranspose2d))]


def test_form_of_the_pytorch_tutorial() -> None:
    shapes = weights(DCGANGenerator(3, 64))
    assert shapes == [(100, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)]


def test_form_of_the_paper() -> None:
    shapes = weights(DCGANGenerator(3, 64, width=128, kernel=5, projection="dense"))
    assert shapes == [(4 * 4 * 1024, 100), (1024, 512, 5, 5), (512, 256, 5, 5), (256, 128, 5, 5), (128, 3, 5, 5)]


def test_form_of_the_tensorflow_tutorial() -> None:
    net = DCGANGenerator(1, 28, kernel=5, projection="dense", extra=1, slope=0.3)
    assert weights(net) == [(7 * 7 * 256, 100), (256, 128, 5, 5), (128, 64, 5, 5), (64, 1, 5, 5)]
    strides = [m.stride for m in net.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert strides == [(1, 1), (2, 2), (2, 2)]
    assert [m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)] == [0.3] * 3


def test_no_bias_before_batch_norm_and_normal_weights() -> None:
    torch.manual_seed(0)
    net = DCGANGenerator(3, 32, width=32)
    assert all(m.bias is None for m in net.modules() if isinstance(m, nn.ConvTranspose2d))
    convolutions = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, nn.ConvTranspose2d)])
    assert convolutions.std().item() == pytest.approx(0.02, rel=0.02)
