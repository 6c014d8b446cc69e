"""The discriminators of SRGAN and ESRGAN: sizes, names of what does not fit, weights as in the papers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from translate.discriminators.srgan import ESRGANDiscriminator, SRGANDiscriminator
from translate.errors import UsageError


@pytest.mark.parametrize("size", [16, 48, 96])
def test_srgan_sizes(size: int) -> None:
    assert SRGANDiscriminator(3, size, width=4)(torch.zeros(2, 3, size, size)).shape == (2, 1)


@pytest.mark.parametrize("size", [32, 96, 256])
def test_esrgan_sizes(size: int) -> None:
    assert ESRGANDiscriminator(1, size, width=4)(torch.zeros(2, 1, size, size)).shape == (2, 1)


def test_the_papers_layers() -> None:
    convolutions = [m for m in SRGANDiscriminator(3, 96).modules() if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, m.stride[0]) for m in convolutions] == [
        (64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2),
    ]  # fmt: skip
    linear = [m.in_features for m in SRGANDiscriminator(3, 96).modules() if isinstance(m, nn.Linear)]
    assert linear == [512 * 6 * 6, 1024]
    # The parameters of BasicSR's VGGStyleDiscriminator for 128 pixels.
    assert sum(p.numel() for p in ESRGANDiscriminator(3, 128).parameters()) == 14_499_401


@pytest.mark.parametrize(("kind", "size", "near"), [
    (SRGANDiscriminator, 100, "96 or 112"), (ESRGANDiscriminator, 80, "64 or 96"),
    (ESRGANDiscriminator, 288, "256 or 320"), (SRGANDiscriminator, 8, "16"),
])  # fmt: skip
def test_sizes_that_do_not_fit(kind: type[SRGANDiscriminator], size: int, near: str) -> None:
    with pytest.raises(UsageError, match=f"--size {size}: .*such as {near}$"):
        kind(3, size)
