"""Instance norm of large pictures: as precise in channels_last as fp64 says it is."""

import pytest
import torch
from torch import nn

from translate.generators.resnet import ResnetGenerator
from translate.infer.norms import PreciseNorm, make_precise, moments
from translate.layers.norms import InstanceNorm

LARGE = [(1, 4, 600, 1001), (2, 3, 200, 300), (1, 5, 3, 9000)]


def picture(shape: tuple[int, ...]) -> torch.Tensor:
    torch.manual_seed(0)
    return (torch.randn(shape) * 2 + 3).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", LARGE)
def test_moments_equal_fp64s(shape):
    x = picture(shape)
    mean, variance = moments(x)
    exact = x.double().transpose(0, 1).flatten(1)
    assert mean.dtype == variance.dtype == torch.float64
    assert ((mean - exact.mean(1)).abs() / exact.std(1)).max() < 3e-6
    torch.testing.assert_close(variance, exact.var(1, correction=0), rtol=1e-5, atol=0)


@pytest.mark.parametrize("shape", [*LARGE, (2, 3, 20, 30)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_norm_equals_fp64s_definition(shape, layout):
    x = picture(shape).contiguous(memory_format=layout)
    exact = (x.double() - x.double().mean((2, 3), keepdim=True)) * (
        x.double().var((2, 3), correction=0, keepdim=True) + 1e-5
    ).rsqrt()
    with torch.inference_mode():
        y = PreciseNorm()(x)
    assert y.is_contiguous(memory_format=layout)
    assert y.double() == pytest.approx(exact, abs=1e-5)


def test_under_autocast_only_the_output_is_rounded():
    x = (picture((1, 4, 300, 500)) + 17).bfloat16()  # in bf16, a mean near 20 has steps of 1/8
    exact = torch.nn.functional.instance_norm(x.double())
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        y = PreciseNorm()(x)
    assert y.dtype == torch.bfloat16
    assert (y.double() - exact).norm() / exact.norm() < 4e-3


def test_it_takes_the_place_of_our_instance_norm_alone():
    net = nn.Sequential(InstanceNorm(eps=0.1), nn.GroupNorm(2, 4), nn.Sequential(nn.InstanceNorm2d(4), InstanceNorm()))
    make_precise(net)
    assert [type(m) for m in net.modules() if not isinstance(m, nn.Sequential)] == [
        *(PreciseNorm, nn.GroupNorm, nn.InstanceNorm2d, PreciseNorm),
    ]
    assert net[0].eps == 0.1


def test_a_generator_gives_the_same_picture_in_channels_last():
    """In torch's own channels_last group norm this was off by 3/255 at 3 megapixels."""
    torch.manual_seed(0)
    net = ResnetGenerator(3, 3, 4, 2).eval().requires_grad_(False)
    x = torch.rand(1, 3, 400, 600) * 2 - 1
    exact = net.double()(x.double())
    make_precise(net.float().to(memory_format=torch.channels_last))
    with torch.inference_mode():
        y = net(x.contiguous(memory_format=torch.channels_last))
    assert (y.double() - exact).abs().max() < 1e-4
