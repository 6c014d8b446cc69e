"""Tiles that agree with the whole picture."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from infer_fakes import publish
from torch import nn

from translate.contract import Batch, Nets
from translate.device import is_out_of_memory
from translate.errors import GantkError
from translate.generators.resnet import ResnetGenerator, resnet_margin
from translate.generators.srresnet import SRResNet
from translate.generators.srresnet import margin as srresnet_margin
from translate.infer import memory
from translate.infer.memory import footprint, free_memory
from translate.infer.options import InferOptions
from translate.infer.runner import CannotTranslateError, Network
from translate.infer.statistics import norms_of_pictures, pooled
from translate.infer.tiling import padded, spans
from translate.modelfile.model import Published

CPU = torch.device("cpu")


def network(model: Published, **options: object) -> Network:
    return Network(model, model.directions[0], CPU, InferOptions(**options))  # type: ignore[arg-type]


def photo(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth on the left, busy on the right, so that tiles differ in their statistics."""
    rng = np.random.default_rng(1)
    ramp = np.linspace(0, 200, width)[None, :, None] * np.ones((height, 1, channels))
    noise = rng.normal(0, 40, (height, width, channels)) * (np.arange(width) > width // 2)[None, :, None]
    return np.clip(ramp + noise + np.arange(height)[:, None, None] / 4, 0, 255).astype(np.uint8)


def difference(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("length", range(8, 200, 4))
def test_cores_cover_the_axis_once_and_have_their_margin(length: int) -> None:
    found = spans(length, 40, 12)
    assert found[0].core_start == 0
    assert found[-1].core_stop == length
    for one, two in pairwise(found):
        assert one.core_stop == two.core_start
    for span in found:
        assert span.stop - span.start == min(40, length)
        assert span.start == 0 or span.core_start - span.start >= 12
        assert span.stop == length or span.stop - span.core_stop >= 12
        assert span.start % 4 == 0


def test_padding_reflects_as_often_as_it_must() -> None:
    tiny = np.array([[[1], [2]], [[3], [4]]], np.uint8)
    grown = padded(tiny, 16)
    assert grown.shape == (16, 16, 1)
    assert grown[0, :5, 0].tolist() == [1, 2, 1, 2, 1]
    assert padded(np.full((1, 1, 3), 7, np.uint8), 4).shape == (16, 16, 3)
    large = np.zeros((32, 48, 3), np.uint8)
    assert padded(large, 16) is large
    assert padded(np.zeros((33, 48, 3), np.uint8), 16).shape == (48, 48, 3)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 50), (17, 64), (65, 31)])
def test_any_size_comes_back(size: tuple[int, int]) -> None:
    model = publish(ResnetGenerator(3, 3, 4, 1), multiple=4, margin=resnet_margin(1))
    (result,) = network(model).translate([photo(*size)])
    assert result.canvas.shape == (*size, 3)


def test_tiles_of_a_convolutional_network_equal_the_whole() -> None:
    torch.manual_seed(0)
    model = publish(ResnetGenerator(3, 3, 4, 2, norm="batch"), multiple=4, margin=resnet_margin(2))
    picture = photo(150, 210)
    (whole,) = network(model, tile="off").translate([picture])
    (tiled,) = network(model, tile="16").translate([picture])
    assert whole.tiles == 1
    assert tiled.tiles > 20
    assert difference(whole.canvas.read(0, 150), tiled.canvas.read(0, 150)) <= 1


@pytest.mark.parametrize("scale", [2, 4])
def test_tiles_of_a_super_resolution_network_equal_the_whole(scale: int) -> None:
    torch.manual_seed(0)
    net = SRResNet(3, scale, width=8, blocks=2)  # type: ignore[arg-type]
    model = publish(net, scale=scale, margin=srresnet_margin(scale, 2))  # type: ignore[arg-type]
    picture = photo(50, 67)
    (whole,) = network(model, tile="off").translate([picture])
    (tiled,) = network(model, tile="16").translate([picture])
    assert whole.canvas.shape == (50 * scale, 67 * scale, 3)
    assert difference(whole.canvas.read(0, 50 * scale), tiled.canvas.read(0, 50 * scale)) <= 1


@pytest.mark.parametrize("kind", ["house", "torch", "affine", "group"])
def test_tiles_under_instance_norm_equal_the_whole(kind: str) -> None:
    torch.manual_seed(3)
    net = ResnetGenerator(3, 3, 8, 3)
    for name in norms_of_pictures(net):
        channels = 8 if name.startswith(("stem", "up.1")) else 16 if name.startswith(("down.0", "up.0")) else 32
        if kind == "torch":
            net.set_submodule(name, nn.InstanceNorm2d(channels))
        if kind == "affine":
            net.set_submodule(name, nn.InstanceNorm2d(channels, affine=True))
        if kind == "group":
            net.set_submodule(name, nn.GroupNorm(2, channels))
    for module in net.modules():
        if isinstance(module, (nn.InstanceNorm2d, nn.GroupNorm)) and module.affine:
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    model = publish(net, multiple=4, margin=resnet_margin(3))
    picture = photo(201, 322)
    (whole,) = network(model, tile="off").translate([picture])
    (tiled,) = network(model, tile="64").translate([picture])
    assert tiled.tiles >= 12
    assert 2 <= tiled.passes <= 13
    assert difference(whole.canvas.read(0, 201), tiled.canvas.read(0, 201)) <= 1
    # The networks are as they were.
    assert len(norms_of_pictures(net)) == 11


def test_tiles_on_their_own_statistics_would_not() -> None:
    torch.manual_seed(3)
    net = ResnetGenerator(3, 3, 8, 3).eval()
    picture = photo(64, 320)
    model = publish(net, multiple=4)
    (whole,) = network(model, tile="off").translate([picture])
    (part,) = network(model, tile="off").translate([picture[:, :160]])
    assert difference(whole.canvas.read(0, 64)[:, :100], part.canvas.read(0, 64)[:, :100]) > 20


def test_a_layer_used_twice_has_two_statistics() -> None:
    torch.manual_seed(0)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.norm = nn.InstanceNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.norm(self.conv(self.norm(self.conv(x)))))

    model = publish(Twice(), margin=2)
    picture = photo(60, 90)
    (whole,) = network(model, tile="off").translate([picture])
    (tiled,) = network(model, tile="16").translate([picture])
    assert difference(whole.canvas.read(0, 60), tiled.canvas.read(0, 60)) <= 1


def test_running_statistics_are_left_alone() -> None:
    assert not norms_of_pictures(nn.Sequential(nn.InstanceNorm2d(3, track_running_stats=True), nn.BatchNorm2d(3)))


def test_norms_are_put_back_after_an_error() -> None:
    net = nn.Sequential(nn.InstanceNorm2d(3))
    norm = net[0]
    with pytest.raises(RuntimeError), pooled(net):
        raise RuntimeError
    assert net[0] is norm


def test_a_model_that_sees_everything_is_not_tiled() -> None:
    with pytest.raises(CannotTranslateError, match="whole picture at once"):
        network(publish(nn.Identity(), margin=None), tile="16").translate([photo(40, 40)])


class Hungry(nn.Module):
    """Runs out of memory above so many pixels, as torch's CPU allocator puts it."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        self.seen.append(pixels)
        if pixels > self.most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: not enough memory")
        return x


def test_out_of_memory_halves_the_tiles_and_is_remembered() -> None:
    net = Hungry(5000)
    runner = network(publish(net))
    picture = photo(100, 120)
    (result,) = runner.translate([picture])
    assert np.array_equal(result.canvas.read(0, 100), picture)
    assert result.tiles > 1
    net.seen.clear()
    runner.translate([picture])
    assert max(net.seen) <= 5000


def test_out_of_memory_splits_a_batch() -> None:
    net = Hungry(5000)
    results = network(publish(net), tile="off").translate([photo(50, 50)] * 3)
    assert [result.canvas.shape for result in results] == [(50, 50, 3)] * 3


def test_out_of_memory_with_tiles_off_or_for_any_tile_is_said() -> None:
    with pytest.raises(CannotTranslateError, match="tiles are off"):
        network(publish(Hungry(5000)), tile="off").translate([photo(100, 120)])
    with pytest.raises(CannotTranslateError, match="not enough memory"):
        network(publish(Hungry(0))).translate([photo(100, 120)])


def test_a_margin_beyond_memory_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that declares far more than it uses, as deep residual ones do, is tiled by what it uses."""
    torch.manual_seed(0)
    model = publish(nn.Conv2d(3, 3, 7, padding=3), margin=400)
    picture = photo(300, 400)
    (whole,) = network(model, tile="off").translate([picture])
    runner = network(model)
    monkeypatch.setattr(runner, "_room", lambda *, whole: 160.0**2)
    (tiled,) = runner.translate([picture])
    assert tiled.tiles > 4
    assert "measured" in tiled.notes[0]
    assert difference(whole.canvas.read(0, 300), tiled.canvas.read(0, 300)) <= 1


def test_a_margin_is_measured_in_fp32_whatever_the_network_runs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from far off weighs next to nothing, but tips roundings: a step of bf16 is ten times what may be."""
    fading = torch.exp(-(torch.arange(65.0) - 32).abs() / 1.5)
    kernel = torch.eye(3).view(3, 3, 1, 1) * (fading / fading.sum())

    class Fades(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            half = torch.is_autocast_enabled("cpu")
            with torch.autocast("cpu", enabled=False):
                y = nn.functional.conv2d(x, kernel, padding="same")
                y = nn.functional.conv2d(y, kernel.mT, padding="same")
            return y.bfloat16().float() if half else y  # torch's own in bf16 take minutes on some machines

    picture = photo(300, 400)
    margins = {}
    for precision in ("fp32", "bf16"):
        runner = network(publish(Fades(), margin=400), precision=precision)
        monkeypatch.setattr(runner, "_room", lambda *, whole: 160.0**2)
        (tiled,) = runner.translate([picture])
        margins[precision] = tiled.notes
    assert "overlap by 32 pixels" in margins["fp32"][0]
    assert margins["bf16"] == margins["fp32"]


def test_a_margin_beyond_memory_that_matters_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Far(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + x.mean((2, 3), keepdim=True) / 4

    runner = network(publish(Far(), margin=400))
    monkeypatch.setattr(runner, "_room", lambda *, whole: 160.0**2)
    monkeypatch.setattr(runner, "_bytes", float(1 << 20))
    with pytest.raises(CannotTranslateError, match=r"about 626\.6 GiB; 25\.0 GiB may be used"):
        runner.translate([photo(300, 400)])


def test_the_footprint_counts_what_is_alive_at_once() -> None:
    def run() -> torch.Tensor:
        a = torch.zeros(1, 8, 32, 32)
        b = a * 2
        del a
        return b.sum(1, keepdim=True)

    assert footprint(run, 32 * 32) == 2 * 8 * 4
    assert free_memory(CPU) > 0


def test_memory_grows_with_the_pictures_and_not_with_what_the_network_makes_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))
    model = publish(net, margin=2, scale=2)
    most = 4 << 20
    monkeypatch.setattr(memory, "LARGEST_TILE", most)
    for side in (600, 900):
        picture = photo(side, side)
        runner = network(model)
        tensors = footprint(lambda: runner.translate([picture]), 1)  # noqa: B023 - called here
        tracemalloc.start()
        (result,) = runner.translate([picture])
        _, arrays = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert result.tiles > 1
        assert tensors < most
        assert arrays < 1.5 * result.canvas.read(0, 2 * side).nbytes + most
        (whole,) = network(model, tile="off").translate([picture])
        assert np.array_equal(result.canvas.read(0, 2 * side), whole.canvas.read(0, 2 * side))


def test_what_running_out_of_memory_looks_like() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_only_dropout_that_is_kept_on_draws_noise() -> None:
    def kept_on(nets: Nets, x: Batch) -> torch.Tensor:
        return nn.functional.dropout(nets.g(x.a), 0.5, training=True)

    def broken(nets: Nets, x: Batch) -> torch.Tensor:
        raise ValueError

    def draws(p: float, run: Callable[[Nets, Batch], torch.Tensor] | None = None, **options: object) -> bool:
        return network(publish(nn.Dropout(p), run=run), **options).draws_noise()

    before = torch.get_rng_state()
    assert [draws(0.0), draws(0.5), draws(0.5, kept_on)] == [False, False, True]
    assert draws(0.5, broken)
    assert draws(0.0, sample=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_class_indices_in_and_out() -> None:
    model = publish(nn.Identity(), channels=(5, 5), indexed=("a", "b"))
    indices = np.random.default_rng(0).integers(0, 5, (20, 30, 1), dtype=np.uint8)
    (result,) = network(model).translate([indices])
    assert np.array_equal(result.canvas.read(0, 20), indices)


@pytest.mark.parametrize("tile", ["auto", "16"])
def test_a_result_of_another_shape_is_no_result(tile: str) -> None:
    for net in (nn.AvgPool2d(2), nn.Upsample(scale_factor=2), nn.Conv2d(3, 5, 1)):
        with pytest.raises(GantkError, match=r"the network gives \(1, .*\); expected \(1, 3, "):
            network(publish(net), tile=tile).translate([photo(64, 64)])
