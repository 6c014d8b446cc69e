"""A tiny task model of no paper, for tests of what surrounds a task model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, Source, TaskModel, Terms
from translate.layers.history import ImagePool
from translate.settings import Run


def small(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, outputs, 3, padding=1))


@dataclass(frozen=True, kw_only=True)
class Toy(TaskModel):
    """One generator, one critic, an average, noise and a constant."""

    source = Source
    recipe = Run(batch=4, size=8, epochs=1)
    averaged: ClassVar[tuple[str, ...]] = ("g",)

    weight: Annotated[float, "weight of the noise term"] = 0.5
    critic_steps: Annotated[int, "critic updates per step"] = 2

    def networks(self, data: DataSpec) -> Networks:
        channels = data.channels["a"]
        return {
            "g": lambda: small(channels, channels),
            "d": lambda: small(channels, 1),
            "fixed": lambda: small(channels, 2),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [
            Phase("critic", ("d",), self.critic, repeat=self.critic_steps),
            Phase("generator", ("g",), self.generator, noise={"z": Noise((3, 8, 8))}),
        ]

    def critic(self, nets: Nets, x: Batch) -> Terms:
        real, fake = nets.d(x.b), nets.d(nets.g(x.a))
        x.scores("d", real=real, fake=fake)
        return {"gap": fake.mean() - real.mean(), "size": 0.1 * (real.square().mean() + fake.square().mean())}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        fake = nets.g(x.a)
        x.keep(fake=fake)
        return {
            "adv": -nets.d(fake).mean(),
            "features": (nets.fixed(fake) - nets.fixed(x.a)).square().mean(),
            "noise": self.weight * (nets.g(x.a + x.z) - x.a).abs().mean(),
        }

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        return [Direction("a2b", "a", "b", ("g",), self.a2b)]

    def a2b(self, nets: Nets, x: Batch) -> Tensor:
        return nets.g(x.a).tanh()

    def lr_at(self, progress: float) -> float:
        return 1.0 - progress / 2


@dataclass(frozen=True, kw_only=True)
class ToyWithBatchNorm(Toy):
    """The same with batch norm in the critic, which sees the whole batch on however many processes."""

    def networks(self, data: DataSpec) -> Networks:
        def critic() -> nn.Module:
            return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 1, 3))

        return {**super().networks(data), "d": critic}


@dataclass(frozen=True, kw_only=True)
class ToyWithPool(Toy):
    """The same with a critic that is shown past fakes; two steps fill the pool."""

    def networks(self, data: DataSpec) -> Networks:
        return {**super().networks(data), "pool": lambda: ImagePool(6, data.channels["a"], data.size)}

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        critic, generator = super().phases(data)
        return [replace(critic, noise={"draws": ImagePool.DRAWS}), generator]

    def critic(self, nets: Nets, x: Batch) -> Terms:
        real, fake = nets.d(x.b), nets.d(nets.pool(nets.g(x.a), x.draws))
        return {"gap": (fake - real).mean(), "size": 0.1 * (real.square().mean() + fake.square().mean())}


def toy_data() -> DataSpec:
    return DataSpec(size=8, channels={"a": 3, "b": 3})


def toy_batch(index: int, count: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    return {name: torch.rand(count, 3, 8, 8, generator=generator) * 2 - 1 for name in ("a", "b")}
