import pytest
import torch
from torch import nn

from translate.layers.norms import InstanceNorm, has_bias, norm_layer, spectrally_normalised

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


@pytest.mark.parametrize("kind", ["instance", "batch"])
def test_statistics_are_fp32_under_autocast(kind):
    torch.manual_seed(0)
    x = (torch.randn(1, 4, 32, 32) * 0.5 + 20).bfloat16()  # in bf16, a mean near 20 has steps of 1/8
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


def test_instance_norm_has_a_second_derivative():
    norm = InstanceNorm()
    x = torch.randn(2, 2, 3, 3, dtype=torch.double, requires_grad=True)
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
