import pytest
import torch

from translate.layers.resample import upsample_by_two


@pytest.mark.parametrize(("kind", "kernel"), [("deconv", 3), ("deconv", 4), ("resize", 3), ("resize", 4)])
@pytest.mark.parametrize("shape", [(1, 1), (5, 8)])
def test_doubles_the_side(kind, kernel, shape):
    layer = upsample_by_two(kind, 3, 2, kernel=kernel)
    assert layer(torch.randn(2, 3, *shape)).shape == (2, 2, shape[0] * 2, shape[1] * 2)


@pytest.mark.parametrize("kind", ["deconv", "resize"])
def test_bias_is_optional(kind):
    assert not any(name.endswith("bias") for name in upsample_by_two(kind, 3, 2, bias=False).state_dict())


def test_resize_of_a_constant_is_constant_and_deconv_is_not():
    """The checkerboard of transposed convolutions: their outputs see one, two or four taps in turn."""
    constant = torch.ones(1, 1, 6, 6)
    assert upsample_by_two("resize", 1, 1)(constant).std().item() == pytest.approx(0.0, abs=1e-6)
    deconv = upsample_by_two("deconv", 1, 1, kernel=3)
    torch.nn.init.ones_(deconv.weight)
    assert deconv(constant)[..., 2:-2, 2:-2].std().item() > 1
