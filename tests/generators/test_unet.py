import pytest
import torch
from torch import nn

from translate.contract import parameter_count
from translate.generators.unet import UnetGenerator, unet_depth, unet_margin
from translate.layers.norms import InstanceNorm


def test_has_the_reference_networks_parameter_count() -> None:
    with torch.device("meta"):
        # pytorch-CycleGAN-and-pix2pix prints 54.414 M for unet_256 with batch norm, RGB to RGB.
        assert parameter_count(UnetGenerator(3, 3)) == 54_413_955
        # unet_128: one block of 512 channels at both ends fewer.
        fewer = 4 * 4 * 512 * 512 + 4 * 4 * 1024 * 512 + 2 * 2 * 512
        assert parameter_count(UnetGenerator(3, 3, depth=7)) == 54_413_955 - fewer
        # Instance norm has no weights; the convolutions have biases instead of batch norm's.
        batch, instance = UnetGenerator(3, 3), UnetGenerator(3, 3, norm="instance")
    assert [n for n, _ in instance.named_parameters() if n.endswith("0.bias") and "up.0" not in n]
    assert {n for n, _ in batch.named_parameters()} >= {"down.0.0.weight", "down.1.1.weight", "up.7.2.weight"}
    assert "down.0.0.bias" not in dict(batch.named_parameters())


@pytest.mark.parametrize(("size", "depth"), [(256, 8), (512, 8), (64, 6), (96, 5), (320, 6), (250, 1), (255, 0)])
def test_depth_follows_from_the_size(size: int, depth: int) -> None:
    assert unet_depth(size) == depth


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("size", [(16, 16), (32, 48)])
def test_keeps_the_size_and_the_range(norm: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = UnetGenerator(4, 2, depth=4, width=4, norm=norm)  # type: ignore[arg-type]
    out = net(torch.randn(1, 4, *size))
    assert out.shape == (1, 2, *size)
    assert out.abs().max() <= 1
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_the_first_and_the_innermost_convolution_have_no_norm() -> None:
    net = UnetGenerator(3, 3, depth=5, width=4, norm="instance")
    normed = [any(isinstance(layer, InstanceNorm) for layer in level) for level in net.down]
    assert normed == [False, True, True, True, False]
    assert [any(isinstance(layer, InstanceNorm) for layer in level) for level in net.up] == [False, *[True] * 4]


def reference_unet(net: UnetGenerator, image: torch.Tensor) -> torch.Tensor:
    """The nested form in which the paper's codes are written, on the same weights."""

    def block(level: int, x: torch.Tensor) -> torch.Tensor:
        last = len(net.down) - 1
        conv = next(m for m in net.down[level] if isinstance(m, nn.Conv2d))
        back = next(m for m in net.up[level] if isinstance(m, nn.ConvTranspose2d))
        y = conv(x if level == 0 else nn.functional.leaky_relu(x, 0.2))
        if 0 < level < last:
            y = nn.functional.batch_norm(y, None, None, net.down[level][-1].weight, net.down[level][-1].bias, True)
        y = back(torch.relu(y if level == last else block(level + 1, y)))
        if level == 0:
            return torch.tanh(y)
        y = nn.functional.batch_norm(y, None, None, net.up[level][-1].weight, net.up[level][-1].bias, True)
        return torch.cat([x, y], 1)

    return block(0, image)


def test_equals_the_nested_form_of_the_papers_codes() -> None:
    torch.manual_seed(1)
    net = UnetGenerator(3, 3, depth=4, width=6, dropout=0.0).double()
    image = torch.randn(2, 3, 32, 32, dtype=torch.double)
    torch.testing.assert_close(net(image), reference_unet(net, image), rtol=1e-12, atol=1e-12)


def test_dropout_follows_the_first_three_decoder_blocks_and_holds_no_index() -> None:
    torch.manual_seed(2)
    net = UnetGenerator(3, 3, depth=5, width=4, norm="instance")
    shapes: list[tuple[int, ...]] = []
    net.dropout.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape[1:])))
    image = torch.randn(1, 3, 32, 32)
    net(image)
    assert shapes == [(32, 2, 2), (16, 4, 4), (8, 8, 8)]
    net.eval()
    assert torch.equal(net(image), net(image))
    assert (
        net.state_dict().keys() == UnetGenerator(3, 3, depth=5, width=4, norm="instance", dropout=0).state_dict().keys()
    )


@pytest.mark.parametrize("depth", [2, 3])
def test_margin_is_how_far_the_input_is_felt(depth: int) -> None:
    torch.manual_seed(4)
    net = UnetGenerator(1, 1, depth=depth, width=2, norm="none").double().eval()
    side, felt = 2 ** (depth + 4), 0
    image = torch.randn(1, 1, 2**depth, side, dtype=torch.double, requires_grad=True)
    middle = side // 2
    for pixel in range(middle, middle + 2**depth):
        gradient = torch.autograd.grad(net(image)[0, 0, :, pixel].sum(), image)[0]
        columns = gradient.abs().sum((0, 1, 2)).nonzero()
        felt = max(felt, pixel - int(columns.min()), int(columns.max()) - pixel)
    assert felt == unet_margin(depth)


def test_margin_of_the_papers_network() -> None:
    assert unet_margin(8) == 765


def test_refuses_a_network_without_a_skip() -> None:
    with pytest.raises(ValueError, match="depth of 2 or more"):
        UnetGenerator(3, 3, depth=1)
