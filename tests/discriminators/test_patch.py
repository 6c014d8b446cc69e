import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from translate.contract import parameter_count
from translate.discriminators.multiscale import MultiScaleDiscriminator
from translate.discriminators.patch import PatchDiscriminator, smallest_input
from translate.layers.norms import InstanceNorm


def convolutions(net: nn.Module) -> list[nn.Conv2d]:
    return [m for m in net.modules() if isinstance(m, nn.Conv2d)]


def test_three_layers_are_the_papers_c64_c128_c256_c512():
    net = PatchDiscriminator(3)
    assert [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions(net)] == [
        (3, 64, 4, 2),
        (64, 128, 4, 2),
        (128, 256, 4, 2),
        (256, 512, 4, 1),
        (512, 1, 4, 1),
    ]
    kinds = [type(m) for m in net.layers]
    block = [nn.Conv2d, InstanceNorm, nn.LeakyReLU]
    assert kinds == [nn.Conv2d, nn.LeakyReLU, *block * 3, nn.Conv2d]
    assert all(m.negative_slope == 0.2 for m in net.layers if isinstance(m, nn.LeakyReLU))
    assert parameter_count(net) == 2_764_737  # the public code's "2.765 M"
    assert net(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_weights_start_from_the_papers_normal_law():
    torch.manual_seed(0)
    for layer in convolutions(PatchDiscriminator(3, base=32)):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize(("layers", "patch"), [(0, 1), (1, 16), (2, 34), (3, 70)])
def test_receptive_field(layers, patch):
    torch.manual_seed(0)
    net = PatchDiscriminator(1, base=2, layers=layers, norm="none").double()
    for conv in convolutions(net):
        nn.init.uniform_(conv.weight, 0.1, 0.2)  # nothing cancels
    image = torch.ones(1, 1, 112, 112, dtype=torch.double, requires_grad=True)
    logits = net(image)
    middle = logits.shape[-1] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], image)
    rows, columns = gradient[0, 0].nonzero(as_tuple=True)
    assert rows.max() - rows.min() + 1 == patch
    assert columns.max() - columns.min() + 1 == patch


@pytest.mark.parametrize("layers", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("norm", ["instance", "none"])
def test_the_smallest_input_is_the_smallest(layers, norm):
    side = smallest_input(layers)
    net = PatchDiscriminator(1, base=2, layers=layers, norm=norm)
    assert net.smallest_input == side
    assert net(torch.zeros(1, 1, side, side)).numel() >= 1
    if norm == "instance":
        with pytest.raises((RuntimeError, ValueError)):
            net(torch.zeros(1, 1, side - 1, side - 1))


def test_batch_norm_layers_have_no_bias_before_them():
    net = PatchDiscriminator(6, norm="batch")
    assert [c.bias is not None for c in convolutions(net)] == [True, False, False, False, True]
    assert parameter_count(net) == 2_768_705  # pix2pix, 3 + 3 channels


def test_each_image_is_judged_on_its_own():
    torch.manual_seed(0)
    net = PatchDiscriminator(2, base=4).double()
    images = torch.randn(3, 2, 32, 32, dtype=torch.double)
    torch.testing.assert_close(net(images), torch.cat([net(i) for i in images.split(1)]), rtol=1e-12, atol=1e-14)


def test_spectral_normalisation_covers_every_convolution():
    net = PatchDiscriminator(3, base=4, spectral=True)
    assert all(parametrize.is_parametrized(c, "weight") for c in convolutions(net))
    assert net(torch.randn(1, 3, 32, 32)).shape == (1, 1, 2, 2)


def test_multi_scale_sees_halved_images():
    torch.manual_seed(0)
    net = MultiScaleDiscriminator(2, base=4, layers=1, scales=3)
    image = torch.randn(1, 2, 64, 64)
    logits = net(image)
    assert [scale.shape[-1] for scale in logits] == [30, 14, 6]
    torch.testing.assert_close(logits[0], net.scales[0](image))
    half = nn.AvgPool2d(3, 2, 1, count_include_pad=False)(image)
    torch.testing.assert_close(logits[1], net.scales[1](half))
    assert not torch.equal(convolutions(net.scales[0])[0].weight, convolutions(net.scales[1])[0].weight)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_multi_scale_smallest_input(layers):
    net = MultiScaleDiscriminator(1, base=2, layers=layers, scales=3)
    side = net.smallest_input
    assert all(scale.numel() for scale in net(torch.zeros(1, 1, side, side)))
    with pytest.raises((RuntimeError, ValueError)):
        net(torch.zeros(1, 1, side - 1, side - 1))
