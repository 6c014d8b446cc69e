import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from translate.discriminators.dcgan import DCGANDiscriminator, dcgan_halvings
from translate.errors import UsageError


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("size", [28, 32, 64, 128])
def test_one_logit_per_image(size, kernel):
    net = DCGANDiscriminator(3, size, width=4, kernel=kernel)
    assert net(torch.randn(2, 3, size, size)).shape == (2,)


def test_64_pixels_are_the_papers_widths():
    net = DCGANDiscriminator(3, 64)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions] == [
        (64, 4, 2),
        (128, 4, 2),
        (256, 4, 2),
        (512, 4, 2),
        (1, 4, 1),
    ]
    assert [c.bias is not None for c in convolutions] == [True, False, False, False, True]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) == 3  # none on the first layer
    assert not any(isinstance(m, nn.Sigmoid) for m in net.modules())


def test_the_width_stops_at_eight_times_the_first():
    widths = [m.out_channels for m in DCGANDiscriminator(1, 256, width=2).modules() if isinstance(m, nn.Conv2d)]
    assert widths == [2, 4, 8, 16, 16, 16, 1]


@pytest.mark.parametrize("size", [0, 16, 27, 48, 100])
def test_other_sizes_are_refused(size):
    with pytest.raises(UsageError, match=f"--size {size}: a DCGAN takes 28 or a power of two"):
        dcgan_halvings(size)
    with pytest.raises(UsageError):
        DCGANDiscriminator(3, size)


def test_dropout_and_norms():
    torch.manual_seed(0)
    images = torch.randn(4, 1, 28, 28)
    net = DCGANDiscriminator(1, 28, width=4, norm="none", dropout=0.3)
    assert not torch.equal(net(images), net(images))
    net.eval()
    assert torch.equal(net(images), net(images))
    alone = DCGANDiscriminator(1, 28, width=4, norm="instance")
    torch.testing.assert_close(alone(images), torch.cat([alone(i) for i in images.split(1)]))


def test_spectral_normalisation_covers_every_convolution():
    net = DCGANDiscriminator(1, 32, width=4, norm="none", spectral=True)
    assert all(parametrize.is_parametrized(m, "weight") for m in net.modules() if isinstance(m, nn.Conv2d))
    assert net(torch.randn(2, 1, 32, 32)).shape == (2,)
