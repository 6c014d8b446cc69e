"""Models that the pages are tried with, without a training."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.conditions import choice, number, text
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, Source, TaskModel
from translate.modelfile.card import Card
from translate.modelfile.model import Published

CHANNELS = {"a": 3, "b": 3}


class Fake(TaskModel):
    """A task model that is only ever applied."""

    source = Source

    def networks(self, data: DataSpec) -> Networks:
        return {}

    def phases(self, data: DataSpec) -> list[Phase]:
        return []

    def directions(self, data: DataSpec) -> list[Direction]:
        return []


def published(*directions: Direction) -> Published:
    """A model of these directions, with a network that does nothing."""
    data = DataSpec(16, CHANNELS)
    card = Card(plugin="fake", distribution="gantk", version="0", model={}, data=data, directions=())
    nets = Nets({"g": nn.Identity().eval()})
    return Published(Path("fake.safetensors"), card, Fake(), nets, directions)


def doubled(nets: Nets, x: Batch) -> Tensor:
    """The negative, at twice the size."""
    return F.interpolate(-x.a, scale_factor=2, mode="nearest")


def tinted(nets: Nets, x: Batch) -> Tensor:
    """The picture in one of three colours, to a degree."""
    mask = F.one_hot(x.hue, 3).to(x.a.dtype)[:, :, None, None]
    return torch.lerp(x.a, mask * 2 - 1 + torch.zeros_like(x.a), x.share[:, None, None, None])


def drawn(nets: Nets, x: Batch) -> Tensor:
    """Pictures of one colour, which the noise decides."""
    return x.z.tanh()[:, :, None, None].expand(-1, -1, 16, 16) * x.truncation[:, None, None, None]


def translator() -> Published:
    """A model that translates photos, in two ways."""
    conditions = {
        "hue": choice(("red", "green", "blue"), "the colour", "red"),
        "share": number(0, 1, "how much of it", 1.0),
    }
    tint = Direction("tint", "a", "b", ("g",), tinted, conditions=conditions)
    return published(tint, Direction("double", "a", "b", ("g",), doubled, scale=2))


def sampler() -> Published:
    """A model that draws from noise, with a number and words as conditions."""
    conditions = {
        "truncation": number(0, 1, "how near to the mean", 1.0),
        "caption": text(("", "red", "horse"), 4, "what to draw", "red"),
    }
    return published(Direction("sample", "z", "b", ("g",), drawn, latent=Noise((3,)), conditions=conditions))
