"""StarGAN: one generator translates between any two of many domains (Choi et al., 2018, arXiv 1711.09020).

What is done otherwise than in the paper or in the authors' code:

- *Target domains* are drawn evenly, as in the paper's text; the code exchanges those of the pictures of a batch.
  Attributes are on or off with equal chance, each on its own.
- *Gradient penalty.* A picture's score is the mean over its patches, as in the critic's loss; the code penalises the
  gradient of their sum: ``--penalty-on sum``.
- *Instance norm* in the generator takes the statistics of each picture, at inference too; the code gathers running
  ones in training.
- *Duration.* A step has 5 updates of the discriminator, each on its own batch, and one of the generator, so that an
  epoch here is five of the paper's passes over the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import functional as F

from translate.conditions import choice, several
from translate.contract import (
    Batch,
    Condition,
    DataSpec,
    Direction,
    Nets,
    Networks,
    Noise,
    Phase,
    TaskModel,
    Terms,
    linear_decay,
)
from translate.data.domains import Domains
from translate.discriminators.stargan import DomainDiscriminator
from translate.errors import UsageError
from translate.generators.stargan import DomainGenerator, domain_generator_margin
from translate.losses.adversarial import adversarial
from translate.losses.penalties import PenaltyOn, gradient_penalty
from translate.optimizers import Rate
from translate.settings import Run

GAME = adversarial("wasserstein")


@dataclass(frozen=True)
class Codes:
    """How domains are numbers: one-hot where each picture has one of them (``exclusive``), else 0 or 1 for each."""

    names: tuple[str, ...]
    exclusive: bool

    @classmethod
    def of(cls, data: DataSpec) -> Codes:
        exclusive = "domain" in data.names
        return cls(data.names["domain" if exclusive else "attributes"], exclusive)

    def of_batch(self, x: Batch) -> Tensor:
        """(N, names) in fp32, of the pictures in training or of what the user wants at inference."""
        return self.of_index(x.domain) if self.exclusive else x.attributes

    def of_index(self, index: Tensor) -> Tensor:
        """Exclusive domains (N,) int64 -> (N, names)."""
        places = torch.arange(len(self.names), device=index.device)
        return (index[:, None] == places).to(torch.get_default_dtype())  # torch's one_hot reads on the host

    def noise(self) -> Noise:
        return Noise((1 if self.exclusive else len(self.names),), "uniform")

    def drawn(self, noise: Tensor) -> Tensor:
        """Target codes (N, names), evenly spread, from ``noise``."""
        if not self.exclusive:
            return (noise > 0).to(noise.dtype)
        share = (noise[:, 0].float() + 1) / 2
        return self.of_index((share * len(self.names)).long().clamp_(0, len(self.names) - 1)).to(noise.dtype)

    def loss(self, logits: Tensor, code: Tensor) -> Tensor:
        """Cross-entropy of the classification (eq. 2 and 3); of attributes, the sum over them."""
        code = code.to(logits.dtype)
        if self.exclusive:
            return F.cross_entropy(logits, code)
        return F.binary_cross_entropy_with_logits(logits, code, reduction="sum") / len(logits)

    def condition(self) -> Mapping[str, Condition]:
        if self.exclusive:
            return {"domain": choice(self.names, "domain to translate to")}
        return {"attributes": several(self.names, "attributes that the result has, such as a,b; or none")}

    def shown(self, code: Tensor) -> Mapping[str, Tensor]:
        """Target codes for a preview: each domain in turn, or each attribute of the picture turned round."""
        hot = torch.eye(len(self.names), dtype=code.dtype, device=code.device)
        if self.exclusive:
            return {name: row.expand_as(code) for name, row in zip(self.names, hot, strict=True)}
        return {name: (code - row).abs() for name, row in zip(self.names, hot, strict=True)}


@dataclass(frozen=True, kw_only=True)
class StarGAN(TaskModel):
    """Unpaired translation between many domains by one generator (Choi et al., 2018)."""

    api = 2
    source = Domains
    recipe = Run(batch=16, size=128, epochs=200, ema=0.0)  # the paper publishes the weights of the last step
    averaged = ("g",)

    lr: Rate = 1e-4
    critic: Annotated[int, "discriminator updates per generator update", Ge(1)] = 5
    penalty: Annotated[float, "weight of the gradient penalty", Gt(0)] = 10.0
    penalty_on: PenaltyOn = "mean"
    classification: Annotated[float, "weight of the domain classification", Ge(0)] = 1.0
    reconstruction: Annotated[float, "weight of the way back to the input", Ge(0)] = 10.0
    width: Annotated[int, "channels of each network's first layer", Ge(1)] = 64
    blocks: Annotated[int, "residual blocks of the generator", Ge(1)] = 6
    d_layers: Annotated[int, "stride-2 layers of the discriminator", Ge(1), Le(8)] = 6

    def networks(self, data: DataSpec) -> Networks:
        channels, size, codes = data.channels["image"], data.size, len(Codes.of(data).names)
        step = max(4, 2**self.d_layers)
        if size % step:
            near = " or ".join(str(side) for side in (size // step * step, (size // step + 1) * step) if side)
            raise UsageError(f"--size {size}: expected a multiple of {step} with --d-layers {self.d_layers}: {near}")
        return {
            "g": lambda: DomainGenerator(channels, codes, self.width, self.blocks),
            "d": lambda: DomainDiscriminator(channels, size, codes, self.width, self.d_layers),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        codes = Codes.of(data)
        noise = {"target": codes.noise()}
        return [
            Phase(
                "discriminator",
                ("d",),
                lambda nets, x: self.discriminate(nets, x, codes),
                repeat=self.critic,
                noise={**noise, "between": Noise((), "uniform")},
            ),
            Phase("generator", ("g",), lambda nets, x: self.translate(nets, x, codes), noise=noise),
        ]

    def discriminate(self, nets: Nets, x: Batch, codes: Codes) -> Terms:
        """Tell real from fake (eq. 8), and the domain of real pictures (eq. 2)."""
        fake = nets.g(x.image, codes.drawn(x.target))
        real_score, logits = nets.d(x.image)
        fake_score, _ = nets.d(fake)
        x.scores("d", real=real_score, fake=fake_score)
        share = (x.between + 1) / 2
        slope = gradient_penalty(lambda image: nets.d(image)[0], x.image, fake, share, score=self.penalty_on)
        return {
            "real": GAME.real(real_score),
            "fake": GAME.fake(fake_score),
            "penalty": self.penalty * slope,
            "domain": self.classification * codes.loss(logits, codes.of_batch(x)),
        }

    def translate(self, nets: Nets, x: Batch, codes: Codes) -> Terms:
        """Look real, belong to the target domain (eq. 3), and come back to the input (eq. 4)."""
        target = codes.drawn(x.target)
        fake = nets.g(x.image, target)
        score, logits = nets.d(fake)
        back = nets.g(fake, codes.of_batch(x))
        return {
            "adv": GAME.generator(score),
            "domain": self.classification * codes.loss(logits, target),
            "reconstruction": self.reconstruction * F.l1_loss(back, x.image),
        }

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        codes = Codes.of(data)
        return [
            Direction(
                *("translate", "image", "image", ("g",), lambda nets, x: nets.g(x.image, codes.of_batch(x))),
                multiple=4,
                margin=domain_generator_margin(self.blocks),
                conditions=codes.condition(),
            )
        ]

    def lr_at(self, progress: float) -> float:
        return linear_decay(progress, 0.5)

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        """A picture and its translation to each domain, or with each of its attributes turned round."""
        codes = Codes.of(data)
        shown = codes.shown(codes.of_batch(x))
        return {"image": x.image, **{f"to {name}": nets.g(x.image, code) for name, code in shown.items()}}
