import pytest
import torch
from torch import nn

from translate.contract import parameter_count
from translate.generators.resnet import ResnetGenerator, resnet_margin


@pytest.mark.parametrize(("blocks", "parameters"), [(9, 11_378_179), (6, 7_837_699)])
def test_parameter_counts_are_the_public_codes(blocks, parameters):
    assert parameter_count(ResnetGenerator(3, 3, blocks=blocks)) == parameters


def plain_reference(blocks: int, base: int) -> nn.Sequential:
    """The paper's table (appendix 7.2), written out with torch's own layers."""
    norm, relu = nn.InstanceNorm2d, nn.ReLU

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), norm(width)]
            other = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), norm(width)]
            self.body = nn.Sequential(*half, relu(), *other)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.body(x)

    return nn.Sequential(
        *(nn.ReflectionPad2d(3), nn.Conv2d(3, base, 7), norm(base), relu()),
        *(nn.Conv2d(base, base * 2, 3, 2, 1), norm(base * 2), relu()),
        *(nn.Conv2d(base * 2, base * 4, 3, 2, 1), norm(base * 4), relu()),
        *(Block(base * 4) for _ in range(blocks)),
        *(nn.ConvTranspose2d(base * 4, base * 2, 3, 2, 1, output_padding=1), norm(base * 2), relu()),
        *(nn.ConvTranspose2d(base * 2, base, 3, 2, 1, output_padding=1), norm(base), relu()),
        *(nn.ReflectionPad2d(3), nn.Conv2d(base, 2, 7), nn.Tanh()),
    )


def test_output_and_gradients_equal_the_papers_table():
    torch.manual_seed(0)
    ours, plain = ResnetGenerator(3, 2, base=4, blocks=2).double(), plain_reference(2, 4).double()
    assert [tuple(p.shape) for p in ours.parameters()] == [tuple(p.shape) for p in plain.parameters()]
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        theirs.data.copy_(mine.data)
    image = torch.rand(1, 3, 32, 24, dtype=torch.double) * 2 - 1
    torch.testing.assert_close(ours(image), plain(image), rtol=1e-10, atol=1e-12)
    mine = torch.autograd.grad(ours(image).square().sum(), list(ours.parameters()))
    theirs = torch.autograd.grad(plain(image).square().sum(), list(plain.parameters()))
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-10)


SAMPLING = [("deconv", "stride"), ("resize", "stride"), ("blur", "blur"), ("deconv", "blur")]


@pytest.mark.parametrize(("upsample", "downsample"), SAMPLING)
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_keeps_the_size_and_stays_within_the_range(upsample, downsample, norm):
    net = ResnetGenerator(3, 1, 4, 1, norm, 0.5, upsample, downsample)
    out = net(torch.randn(2, 3, 8, 20) * 9)
    assert out.shape == (2, 1, 8, 20)
    assert out.abs().max() <= 1
    assert net.stem[0].bias is None if norm == "batch" else net.stem[0].bias is not None


def test_dropout_is_off_in_eval():
    torch.manual_seed(0)
    net, image = ResnetGenerator(1, 1, base=4, blocks=1, dropout=0.5), torch.randn(1, 1, 16, 16)
    assert not torch.equal(net(image), net(image))
    net.eval()
    assert torch.equal(net(image), net(image))


@pytest.mark.parametrize(("upsample", "downsample"), SAMPLING)
@pytest.mark.parametrize("blocks", [1, 3])
def test_margin_is_how_far_a_gradient_reaches(upsample, downsample, blocks):
    torch.manual_seed(0)
    net = ResnetGenerator(1, 1, 2, blocks, "none", upsample=upsample, downsample=downsample).double()
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.01, 0.02)  # nothing cancels and no ReLU is shut
    reach = 0
    for pixel in range(60, 64):  # each place within the coarse grid
        image = torch.full((1, 1, 124, 124), 0.01, dtype=torch.double, requires_grad=True)
        (gradient,) = torch.autograd.grad(net(image)[0, 0, pixel, pixel], image)
        seen = gradient[0, 0].sum(0).nonzero().flatten()
        reach = max(reach, pixel - int(seen.min()), int(seen.max()) - pixel)
    assert reach == resnet_margin(blocks, upsample, downsample)


def test_each_image_is_translated_on_its_own():
    torch.manual_seed(0)
    net = ResnetGenerator(2, 2, base=4, blocks=1).double()
    images = torch.randn(3, 2, 16, 16, dtype=torch.double)
    torch.testing.assert_close(net(images), torch.cat([net(i) for i in images.split(1)]), rtol=1e-10, atol=1e-12)
