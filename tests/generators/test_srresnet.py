"""SRResNet: sizes, receptive field, and public weights at their published quality."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from translate.data.images import open_image
from translate.generators.srresnet import SRResNet, from_leftthomas, margin, upsampling_stages
from translate.metrics.restoration import psnr


def images(path: Path) -> torch.Tensor:
    return torch.from_numpy(open_image(path, 3).copy()).permute(2, 0, 1)[None] / 127.5 - 1


def test_public_weights_reach_their_figure_on_set5(shared_data: Path) -> None:
    path = shared_data / "weights/srgan/netG_epoch_4_100.pth"
    state = from_leftthomas(torch.load(path, map_location="cpu", weights_only=True))
    net = SRResNet(blocks=5, output="tanh", body_end="prelu")
    net.load_state_dict(state)
    net.eval()
    folder = shared_data / "sr/Set5"
    scores = []
    for path in sorted((folder / "HR").iterdir()):
        with torch.inference_mode():
            output = net(images(folder / f"LR_bicubic/X4/{path.stem}x4.png"))
        target = images(path)[..., : output.shape[2], : output.shape[3]]
        scores.append(psnr(output, target, border=4).item())
    assert len(scores) == 5
    assert sum(scores) / 5 == pytest.approx(30.65, abs=0.05)


def test_from_leftthomas_folds_the_biases_before_batch_norm() -> None:
    """Against the architecture of that repository's later versions, written out, with batch norm at the body's end."""
    torch.manual_seed(0)
    block = nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
    )
    stem = nn.Sequential(nn.Conv2d(3, 8, 9, padding=4), nn.PReLU())
    end = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
    up = nn.Sequential(nn.Conv2d(8, 32, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())
    head = nn.Conv2d(8, 3, 9, padding=4)
    for norm in (block[1], block[4], end[1]):
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
    state = {f"block1.{key}": value for key, value in stem.state_dict().items()}
    for index, name in enumerate(["conv1", "bn1", "prelu", "conv2", "bn2"]):
        state |= {f"block2.{name}.{key}": value for key, value in block[index].state_dict().items()}
    state |= {f"block3.{key}": value for key, value in end.state_dict().items()}
    state |= {f"block4.0.conv.{key}": value for key, value in up[0].state_dict().items()}
    state |= {f"block4.0.prelu.{key}": value for key, value in up[2].state_dict().items()}
    state |= {f"block4.1.{key}": value for key, value in head.state_dict().items()}
    for part in (block, end):
        part.eval()
    low = torch.rand(2, 3, 7, 9)
    first = stem(low)
    x = first + block(first)
    expected = (torch.tanh(head(up(first + end(x)))) + 1) / 2

    net = SRResNet(scale=2, width=8, blocks=1, output="tanh")
    net.load_state_dict(from_leftthomas(state))
    net.eval()
    torch.testing.assert_close((net(low * 2 - 1) + 1) / 2, expected)
    with pytest.raises(KeyError):
        from_leftthomas({"conv_first.weight": torch.zeros(1)})


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_any_size_and_scale(scale: int, norm: str) -> None:
    net = SRResNet(1, scale, width=4, blocks=1, norm=norm)  # type: ignore[arg-type]
    assert net(torch.zeros(2, 1, 5, 7)).shape == (2, 1, 5 * scale, 7 * scale)


def test_stages() -> None:
    assert [upsampling_stages(scale) for scale in (1, 2, 3, 4, 6, 8)] == [[], [2], [3], [2, 2], [2, 3], [2, 2, 2]]


def test_the_paper_s_network_has_the_paper_s_size() -> None:
    net = SRResNet()
    assert sum(p.numel() for p in net.parameters()) == 1_549_462 - 33 * 64  # less the biases before batch norm


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_margin_is_the_receptive_field(scale: int) -> None:
    """No weight is zero or negative, so each pixel within reach moves the output, and none beyond."""
    net = SRResNet(1, scale, width=1, blocks=2).double().eval()  # type: ignore[arg-type]
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.5, 1)
    reach = margin(scale, 2)  # type: ignore[arg-type]
    side = 2 * reach + 3
    low = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    middle = reach + 1
    block = slice(middle * scale, (middle + 1) * scale)
    net(low)[:, :, block, block].sum().backward()
    assert low.grad is not None
    touched = low.grad[0, 0, middle].nonzero().flatten()
    assert (touched.min().item(), touched.max().item()) == (middle - reach, middle + reach)
