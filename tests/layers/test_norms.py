import pytest
import torch
from torch import nn

from translate.generators.resnet import ResnetGenerator
from translate.layers.norms import InstanceNorm, has_bias, moments, norm_layer, spectrally_normalised

FORMATS = [torch.contiguous_format, torch.channels_last]


def normalised(x: torch.Tensor, over: tuple[int, ...]) -> torch.Tensor:
    """The definition, of which autograd takes the gradient."""
    centred = x - x.mean(over, keepdim=True)
    return centred / (centred.square().mean(over, keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("of_gradient", FORMATS)
@pytest.mark.parametrize("of_input", FORMATS)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kind", ["instance", "batch", "none"])
def test_value_and_gradient_equal_the_fp64_definition(kind, batch, of_input, of_gradient):
    torch.manual_seed(0)
    x, upstream = torch.randn(batch, 5, 6, 7) * 3 + 2, torch.randn(batch, 5, 6, 7)
    exact_in = x.double().requires_grad_()
    over = {"instance": (2, 3), "batch": (0, 2, 3)}.get(kind)
    exact = normalised(exact_in, over) if over else exact_in * 1.0
    (exact_gradient,) = torch.autograd.grad(exact, exact_in, upstream.double())

    ours_in = x.contiguous(memory_format=of_input).requires_grad_()
    ours = norm_layer(kind, 5)(ours_in)
    (gradient,) = torch.autograd.grad(ours, ours_in, upstream.contiguous(memory_format=of_gradient))

    assert ours.detach().double() == pytest.approx(exact.detach(), abs=2e-6)
    assert (gradient - exact_gradient).norm() / exact_gradient.norm() < 1e-6


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("kind", ["instance", "batch"])
def test_statistics_are_fp32_under_autocast(kind, layout):
    torch.manual_seed(0)
    x = (torch.randn(1, 4, 32, 32) * 0.5 + 20).bfloat16()  # in bf16, a mean near 20 has steps of 1/8
    x = x.contiguous(memory_format=layout)
    over = (2, 3) if kind == "instance" else (0, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        ours = norm_layer(kind, 4)(x)
    exact = normalised(x.double(), over)
    assert (ours.double() - exact).norm() / exact.norm() < 4e-3  # half a bf16 step at most


def test_instance_norm_keeps_the_number_format_and_each_image_to_itself():
    x = torch.randn(3, 4, 8, 8)
    norm = InstanceNorm()
    torch.testing.assert_close(norm(x), torch.cat([norm(image) for image in x.split(1)]), rtol=0, atol=0)
    assert norm(x.bfloat16()).dtype == torch.bfloat16
    assert not norm.state_dict()


def test_instance_norm_of_one_pixel_is_an_error():
    with pytest.raises(ValueError, match=r"more than one pixel.*\(2, 3, 1, 1\)"):
        InstanceNorm()(torch.randn(2, 3, 1, 1))


@pytest.mark.parametrize("layout", FORMATS)
def test_instance_norm_has_a_second_derivative(layout):
    norm = InstanceNorm()
    x = torch.randn(2, 2, 3, 3, dtype=torch.double).contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradgradcheck(norm, x)


def test_only_batch_norm_replaces_the_bias():
    assert [has_bias(kind) for kind in ("instance", "batch", "none")] == [True, False, True]


def test_spectral_normalisation_bounds_every_weight():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3))
    assert spectrally_normalised(net) is net
    for _ in range(50):
        net[0](torch.randn(1, 2, 3, 3))
        net[2](torch.randn(1, 8, 1, 1))
    for layer, rows_first in ((net[0], 0), (net[2], 1)):
        matrix = layer.weight.detach().movedim(rows_first, 0).flatten(1)
        assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1.0, abs=1e-3)


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
@pytest.mark.parametrize("layout", FORMATS)
def test_large_pictures_are_normalised_precisely(shape, layout):
    x = picture(shape).contiguous(memory_format=layout)
    with torch.inference_mode():
        y = InstanceNorm()(x)
    assert y.is_contiguous(memory_format=layout)
    assert (y.double() - normalised(x.double(), (2, 3))).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("side", [8, 96, 256])
def test_instance_norm_trains_precisely(side, layout, dtype):
    """Values away from 0, whose statistics bf16 could not hold."""
    torch.manual_seed(0)
    x, upstream = (torch.randn(2, 3, side, side) + 5).to(dtype), torch.randn(2, 3, side, side).to(dtype)
    exact_in = x.double().requires_grad_()
    exact = normalised(exact_in, (2, 3))
    (exact_gradient,) = torch.autograd.grad(exact, exact_in, upstream.double())
    ours_in = x.contiguous(memory_format=layout).requires_grad_()
    ours = InstanceNorm()(ours_in)
    (gradient,) = torch.autograd.grad(ours, ours_in, upstream.contiguous(memory_format=layout))
    tolerance = 2e-5 if dtype == torch.float32 else 4e-3
    assert ours.dtype == gradient.dtype == dtype
    assert ours.is_contiguous(memory_format=layout)
    assert (ours.double() - exact).norm() / exact.norm() < tolerance
    assert (gradient.double() - exact_gradient).norm() / exact_gradient.norm() < tolerance


def test_a_generator_gives_the_same_picture_in_channels_last():
    """With torch's group norm this was off by 3/255 at 3 megapixels."""
    torch.manual_seed(0)
    net = ResnetGenerator(3, 3, 4, 2).eval().requires_grad_(False)
    x = torch.rand(1, 3, 400, 600) * 2 - 1
    exact = net.double()(x.double())
    net.float().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        y = net(x.contiguous(memory_format=torch.channels_last))
    assert (y.double() - exact).abs().max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (8.0, 1.0), (8.0, 0.1)])
def test_moments_of_half_precision_are_precise(dtype, batch, mean, scale):
    torch.manual_seed(0)
    x = (torch.randn(batch, 3, 512, 384) * scale + mean).to(dtype).contiguous(memory_format=torch.channels_last)
    exact = x.double()
    variance = exact.var((0, 2, 3), unbiased=False)
    ours = moments(x)
    assert ((ours[0] - exact.mean((0, 2, 3))) / variance.sqrt()).abs().max() < 1e-4
    assert (ours[1] / variance - 1).abs().max() < 1e-4
