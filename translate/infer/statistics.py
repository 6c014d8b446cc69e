"""Instance norm over a picture that is never in memory whole, so that its tiles agree.

A layer that normalises by the statistics of the whole picture gives every tile colours of its own if it sees tiles.
What it needs are the statistics s_1 ... s_L of the L norm layers on the whole picture, where s_k depends on those
before it. Running all tiles with frozen statistics s, and pooling over the tiles' cores what each layer then meets,
gives F(s); the wanted ones are its fixed point. Plain iteration s <- F(s) gains one layer per pass, and errors grow on
the way. So we let a *proxy*, a few crops that fit into memory at once, carry each layer's correction to the layers
after it: with m_k the statistics that the proxy meets, each pass learns by how much the picture differs from the proxy,

    mean:  s_k = m_k + (F_k - m_k)_of_the_last_pass        variance:  s_k = m_k * (F_k / m_k)_of_the_last_pass

and the next forward of the proxy, layer by layer, meets m_k under the corrected s_1 ... s_(k-1). Its fixed point is
the same, s = F(s): exact once reached, after L + 1 passes at the latest, in practice after two or three, because proxy
and picture react alike. Each pass writes the picture, and tells how far its statistics were off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from translate.infer.tiling import Tile
from translate.layers.norms import InstanceNorm, moments

TOLERANCE = 1e-3
"""Largest error of a statistic, in standard deviations of its channel, at which a picture counts as done.

Measured (tests, ResNet-9): outputs are then within 0.25/255 of the whole picture's.
"""


class CannotPoolError(Exception):
    """A norm layer's feature map does not lie on the picture's grid, so tiles of it cannot be pooled."""


@dataclass
class Moments:
    """Pooled mean and variance of one layer's input per group, fp64 (groups,), from ``count`` values each."""

    mean: Tensor
    variance: Tensor
    count: int

    def pooled(self, other: Moments) -> Moments:
        """Both together (Chan et al., 1979)."""
        count = self.count + other.count
        share = other.count / count
        apart = other.mean - self.mean
        mean = self.mean + apart * share
        variance = self.variance * (1 - share) + other.variance * share + apart.square() * share * (1 - share)
        return Moments(mean, variance, count)

    def packed(self) -> Tensor:
        """All of it as fp64 (3, groups), on the CPU."""
        mean, variance = (part.to("cpu", torch.float64) for part in (self.mean, self.variance))
        return torch.stack([mean, variance, torch.full_like(mean, self.count)])

    @classmethod
    def of(cls, packed: Tensor, like: torch.device) -> Moments:
        """The inverse of ``packed``, on a device."""
        precise = torch.float32 if like.type == "mps" else torch.float64
        return cls(packed[0].to(like, precise), packed[1].to(like, precise), int(packed[2, 0]))


class PooledNorms:
    """The norm layers of some networks, taken over for one picture at a time.

    Layers are distinguished by the order of their calls in a forward, so a layer may be used more than once.
    """

    def __init__(self) -> None:
        self._call = 0
        self._tile: Tile | None = None
        self._side = (0, 0)
        self._frozen: list[Moments] = []
        self._proxy: list[Moments] = []
        self._picture: list[Moments] = []
        self._corrections: list[tuple[Moments, Moments]] = []

    @contextmanager
    def proxy(self) -> Iterator[None]:
        """Within it, one forward of all the proxy's crops in one batch; it settles the statistics of the next pass."""
        self._corrections = list(zip(self._proxy, self._picture, strict=True)) if self._picture else []
        self._call, self._tile, self._frozen, self._proxy, self._picture = 0, None, [], [], []
        yield

    @contextmanager
    def tile(self, tile: Tile, height: int, width: int) -> Iterator[None]:
        """Within it, one forward of one tile, (1, C, ``height``, ``width``), of a pass over all tiles."""
        self._call, self._tile, self._side = 0, tile, (height, width)
        yield

    def error(self) -> float:
        """How far the last pass's statistics were from those that its tiles had, in standard deviations."""
        worst = 0.0
        for used, met in zip(self._frozen, self._picture, strict=True):
            deviation = (met.variance + 1e-5).sqrt()
            shift = (used.mean - met.mean).abs() / deviation
            stretch = ((used.variance + 1e-5).sqrt() / deviation - 1).abs()
            worst = max(worst, float(torch.maximum(shift, stretch).nan_to_num(nan=torch.inf).max()))
        return worst

    def state(self) -> dict[str, Tensor]:
        """What ``restore`` needs to continue the pass over all tiles in another process."""
        lists = {"frozen": self._frozen, "proxy": self._proxy, "picture": self._picture}
        return {f"{name}.{at:04}": one.packed() for name, found in lists.items() for at, one in enumerate(found)}

    def restore(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """Take over the ``state`` of another process."""
        self._frozen, self._proxy, self._picture = (
            [Moments.of(state[key], device) for key in sorted(state) if key.startswith(f"{name}.")]
            for name in ("frozen", "proxy", "picture")
        )

    @property
    def layers(self) -> int:
        """Norm layers, counted as often as a forward calls them."""
        return len(self._frozen)

    def normalise(self, x: Tensor, groups: int, eps: float) -> Tensor:
        """What a norm layer does with its input, (N, C, H, W), instead of its own."""
        call = self._call
        self._call += 1
        if self._tile is None:
            self._frozen.append(self._settled(x, groups, call))
        else:
            met = _moments(self._core(x), groups)
            if call < len(self._picture):
                self._picture[call] = self._picture[call].pooled(met)
            else:
                self._picture.append(met)
        moments = self._frozen[call]
        scale = (moments.variance + eps).rsqrt()
        per_group = x.shape[1] // groups
        scale, shift = (
            v.repeat_interleave(per_group).to(torch.float32).view(1, -1, 1, 1) for v in (scale, -moments.mean * scale)
        )
        return torch.addcmul(shift, x.float(), scale).to(x.dtype)

    def _settled(self, x: Tensor, groups: int, call: int) -> Moments:
        met = _moments(x, groups)
        self._proxy.append(met)
        if not self._corrections:
            return met
        proxy, picture = self._corrections[call]
        tiny = torch.finfo(met.variance.dtype).tiny
        stretch = picture.variance.clamp(min=tiny) / proxy.variance.clamp(min=tiny)
        return Moments(met.mean + picture.mean - proxy.mean, met.variance * stretch, picture.count)

    def _core(self, x: Tensor) -> Tensor:
        assert self._tile is not None
        cut = []
        for span, side, own in zip((self._tile.rows, self._tile.columns), self._side, x.shape[2:], strict=True):
            ends = [(span.core_start - span.start) * own, (span.core_stop - span.start) * own]
            if any(end % side for end in ends):
                raise CannotPoolError(f"a feature map of {own} pixels to a tile's {side}")
            cut.append(slice(ends[0] // side, ends[1] // side))
        return x[:, :, cut[0], cut[1]]


class _Pooled(nn.Module):
    """Stands in for a norm layer."""

    def __init__(self, norm: nn.Module, owner: PooledNorms) -> None:
        super().__init__()
        self.norm = norm
        self._owner = owner

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        groups = norm.num_groups if isinstance(norm, nn.GroupNorm) else x.shape[1]
        y = self._owner.normalise(x, groups, cast(float, norm.eps))
        weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
        if isinstance(weight, Tensor):
            y = y * weight.view(1, -1, 1, 1)
        return y + bias.view(1, -1, 1, 1) if isinstance(bias, Tensor) else y


def norms_of_pictures(networks: nn.Module) -> list[str]:
    """The names of the layers that normalise each picture by its own statistics."""
    return [name for name, module in networks.named_modules() if _is_global(module)]


@contextmanager
def pooled(networks: nn.Module) -> Iterator[PooledNorms]:
    """Within it, the norm layers of ``networks`` (in place) obey the yielded ``PooledNorms``."""
    owner = PooledNorms()
    replaced = []
    try:
        for name in norms_of_pictures(networks):
            norm = networks.get_submodule(name)
            networks.set_submodule(name, _Pooled(norm, owner))
            replaced.append((name, norm))
        yield owner
    finally:
        for name, norm in replaced:
            networks.set_submodule(name, norm)


def _is_global(module: nn.Module) -> bool:
    if isinstance(module, _InstanceNorm):
        return not module.track_running_stats
    return isinstance(module, (InstanceNorm, nn.GroupNorm))


def _moments(x: Tensor, groups: int) -> Moments:
    if groups == x.shape[1] and x.device.type == "cpu":
        x = x.contiguous(memory_format=torch.channels_last)  # torch.var_mean takes eight times as long
        return Moments(*moments(x), x.numel() // groups)
    parts = x.float().unflatten(1, (groups, -1))
    variance, mean = torch.var_mean(parts, dim=(0, 2, 3, 4), correction=0)
    precise = torch.float32 if x.device.type == "mps" else torch.float64
    return Moments(mean.to(precise), variance.to(precise), parts.numel() // groups)
