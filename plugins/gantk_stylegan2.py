"""StyleGAN2: images from noise by styles (Karras et al., 2019 and 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from translate.conditions import number
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.images import Images
from translate.discriminators.stylegan import StyleGANDiscriminator
from translate.generators.stylegan import Style, StyleGANGenerator, resolutions
from translate.layers.factors import distances, edits
from translate.losses.adversarial import adversarial
from translate.losses.penalties import r1
from translate.optimizers import Moments, Rate, make_optimizer
from translate.settings import Run

LOSS = adversarial("vanilla")
"""Non-saturating logistic loss."""

R1_EVERY, PATH_EVERY = 16, 4
"""Steps from one regularisation to the next (lazy regularisation, section 3.1 of the 2020 paper)."""
PATH_DECAY = 0.01
STYLE_DECAY = 0.005


class PathMean(nn.Module):
    """The running mean of the path lengths, which each path is held at."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))


@dataclass(frozen=True, kw_only=True)
class StyleGAN2(TaskModel):
    """Images from noise by styles, the best-known generator of faces (Karras et al., 2020).

    Configuration F of the paper: modulated convolutions, skips in the generator, a residual discriminator, mixing, lazy
    R1 and path length regularisation, an average of the weights; ``--ada`` adds adaptive augmentation (Karras et al.,
    2020, on limited data). With ``style adain`` the styles act on normalised features, as in StyleGAN (2019), without
    its progressive growing. Path lengths are held at the mean of the steps before, in which this step's has no part
    yet, and are measured on the whole batch, where the public code takes half of it. Sides are 4 to 7 times a power of
    two.
    """

    api = 2
    source = Images
    recipe = Run(batch=32, size=256, steps=780_000, ema=0.998)
    averaged = ("g",)

    lr: Rate = 2e-3
    betas: Moments = (0.0, 0.99)
    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 512
    width: Annotated[int, "numbers in a style", Ge(1)] = 512
    mapping: Annotated[int, "layers of the mapping network", Ge(1)] = 8
    base: Annotated[int, "channels times side of the features", Ge(1)] = 32768
    most: Annotated[int, "most channels of any features", Ge(1)] = 512
    style: Annotated[Style, "styles act on weights (StyleGAN2) or on normalised features (StyleGAN)"] = "modulation"
    group: Annotated[int, "images that D compares, by their standard deviation", Ge(1)] = 4
    mixing: Annotated[float, "share of images with two styles in training", Ge(0), Le(1)] = 0.9
    gamma: Annotated[float, "weight of R1", Ge(0)] = 10.0
    path: Annotated[float, "weight of the path length regularisation", Ge(0)] = 2.0
    noise: Annotated[Literal["on", "off"], "noise beside the styles in training"] = "on"

    def networks(self, data: DataSpec) -> Networks:
        channels, size = data.channels["image"], data.size
        resolutions(size)  # refuses a size that they cannot have, before anything is built
        networks: dict[str, Callable[[], nn.Module]] = {
            "g": lambda: StyleGANGenerator(
                *(channels, size),
                latent=self.latent,
                width=self.width,
                mapping=self.mapping,
                base=self.base,
                most=self.most,
                style=self.style,
            ),
            "d": lambda: StyleGANDiscriminator(channels, size, base=self.base, most=self.most, group=self.group),
        }
        if self.path:
            networks["paths"] = PathMean
        return networks

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        noise = self.noises(data)
        phases = [
            Phase("generator", ("g",), self.generator, noise=noise, after=self.follow_styles),
            Phase("discriminator", ("d",), self.discriminator, noise=noise),
        ]
        if self.gamma:
            phases.append(Phase("r1", ("d",), self.gradient, every=R1_EVERY))
        if self.path:
            direction = {"towards": Noise((data.channels["image"], data.size, data.size))}
            phases.append(
                Phase("path", ("g",), self.lengths, every=PATH_EVERY, noise=noise | direction, after=self.follow_paths)
            )
        return phases

    def noises(self, data: DataSpec) -> dict[str, Noise]:
        """What one batch of images is made from."""
        latent = Noise((self.latent,))
        noises = {"z": latent, "other": latent, "cut": Noise((2,), "uniform")}
        if self.noise == "on":
            sides = resolutions(data.size)
            each = [side for k, side in enumerate(sides) for _ in range(2 if k else 1)]
            noises |= {f"noise_{k}": Noise((1, side, side)) for k, side in enumerate(each)}
        return noises

    def images(self, nets: Nets, x: Batch) -> Tensor:
        """Generated images."""
        return self.synthesise(nets, x, self.mixed(nets, x))

    def mixed(self, nets: Nets, x: Batch) -> Tensor:
        """Styles, in some images another one from a random layer on (mixing regularisation)."""
        w, other = nets.g.styles(x.z), nets.g.styles(x.other)
        mixes, place = ((x.cut + 1) / 2).unbind(1)
        layers = w.shape[1]
        first = torch.where(mixes < self.mixing, 1 + (place * (layers - 1)).floor(), layers)
        layer = torch.arange(layers, device=w.device)
        return torch.where((layer < first[:, None])[:, :, None], w, other)

    def synthesise(self, nets: Nets, x: Batch, w: Tensor) -> Tensor:
        noises = [x[f"noise_{k}"] for k in range(w.shape[1])] if self.noise == "on" else None
        image: Tensor = nets.g.synthesis(w, noises)
        return image

    def generator(self, nets: Nets, x: Batch) -> Terms:
        w = self.mixed(nets, x)
        x.observe(style=w[:, 0].mean(0))
        return {"adv": LOSS.generator(nets.d(self.synthesise(nets, x, w)))}

    def discriminator(self, nets: Nets, x: Batch) -> Terms:
        real, fake = nets.d(x.image), nets.d(self.images(nets, x))
        x.scores("d", real=real, fake=fake)
        return {"real": LOSS.real(real), "fake": LOSS.fake(fake)}

    def gradient(self, nets: Nets, x: Batch) -> Terms:
        """R1 (Mescheder et al., 2018), as much in one step as else in all of an interval."""
        return {"r1": self.gamma * R1_EVERY * r1(nets.d, x.image)}

    def lengths(self, nets: Nets, x: Batch) -> Terms:
        """How far images move when styles do, held at its mean (2020, equation 4)."""
        w = self.mixed(nets, x)

        def moved(styles: Tensor) -> Tensor:
            return (self.synthesise(nets, x, styles) * x.towards).sum() / math.sqrt(x.towards[0, 0].numel())

        lengths = torch.func.grad(moved)(w).square().sum(2).mean(1).sqrt()
        x.log(length=lengths)
        return {"path": self.path * PATH_EVERY * (lengths - nets.paths.mean).square().mean()}

    def follow_styles(self, nets: Nets, values: Mapping[str, Tensor]) -> None:
        """The mean style, which truncation is towards."""
        mean = nets.g.mapping.mean
        mean.lerp_(values["style"].to(mean.dtype), STYLE_DECAY)

    def follow_paths(self, nets: Nets, values: Mapping[str, Tensor]) -> None:
        mean = nets.paths.mean
        mean.lerp_(values["length"].to(mean.dtype), PATH_DECAY)

    def optimizer_of(self, role: str, params: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam with rate and moments corrected for the steps that lazy regularisation adds (appendix B)."""
        every = R1_EVERY if role == "d" and self.gamma else PATH_EVERY if role == "g" and self.path else 0
        share = every / (every + 1) if every else 1.0
        lr = self.lr_d if self.lr_d is not None and role == "d" else self.lr
        betas = (self.betas[0] ** share, self.betas[1] ** share)
        return make_optimizer(self.optimizer, params, lr * share, betas, self.weight_decay)

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        truncation = {"truncation": number(0, 2, "how far styles go from their mean: less is safer and more alike", 1)}
        layers = 2 * len(resolutions(data.size)) - 1
        help = f"layers of {layers}, from the coarsest on, that have the coarse source's style"
        moves, latent = edits(self.width), Noise((self.latent,))
        return [
            Direction(
                *("sample", "z", "image", ("g",)),
                lambda nets, x: nets.g(x.z, x.truncation),
                latent=latent,
                conditions=truncation,
            ),
            Direction(
                *("mix", ("coarse", "fine"), "image", ("g",)),
                lambda nets, x: nets.g.mix(x.coarse, x.fine, x.crossover, x.truncation),
                latent=latent,
                conditions={**truncation, "crossover": number(0, layers, help, layers // 2)},
            ),
            Direction(
                *("edit", "z", "image", ("g",)),
                lambda nets, x: nets.g(x.z, x.truncation, distances(x, moves)),
                latent=latent,
                conditions={**truncation, **moves},
            ),
        ]
