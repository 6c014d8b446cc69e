"""AttnGAN: pictures from a caption in three stages, each of which looks at its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import interpolate, softplus

from gantk_stackgan import GAME, FromCaptions, where_swapped
from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Phase, Terms
from translate.discriminators.text import TextDiscriminator
from translate.generators.text import AttentionalGenerator
from translate.layers.init import init_orthogonal
from translate.layers.text import divergence
from translate.settings import Run

JUDGES = ("d1", "d2", "d3")


@dataclass(frozen=True, kw_only=True)
class AttnGAN(FromCaptions):
    """Pictures from captions by attention to words (Xu et al., 2018)."""

    api = 2
    recipe = Run(batch=20, size=256, epochs=600)
    averaged = ("g",)
    discriminators = JUDGES

    condition: Annotated[int, "numbers of the condition that is drawn around a sentence", Ge(1)] = 100
    width: Annotated[int, "channels of the generator's maps at full size", Ge(1)] = 32
    d_width: Annotated[int, "channels of a discriminator's first layer", Ge(1)] = 64
    fit: Annotated[float, "weight of the matching loss (the paper: 5 for birds, 50 for COCO)", Ge(0)] = 5.0
    kl: Annotated[float, "weight of the divergence of the conditions from the normal distribution", Ge(0)] = 1.0

    def networks(self, data: DataSpec) -> Networks:
        channels, size = data.channels["image"], data.size

        def judge(side: int) -> TextDiscriminator:
            return TextDiscriminator(channels, side, self.features, self.d_width, init=init_orthogonal)

        return {
            **self.encoders(data),
            "g": lambda: AttentionalGenerator(channels, size, self.features, self.condition, self.latent, self.width),
            "d1": lambda: judge(size // 4),
            "d2": lambda: judge(size // 2),
            "d3": lambda: judge(size),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        noise = {"z": self.latents(1)}
        return [
            *self.matching_phase(),
            Phase("discriminators", JUDGES, self.discriminator_loss, start=self.matching, noise=noise),
            Phase("generator", ("g",), self.generator_loss, start=self.matching),
        ]

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        def run(nets: Nets, x: Batch) -> Tensor:
            words, sentence = nets.text_encoder(x.text)
            return self.draw(nets, words, sentence, x)[0][-1]

        roles = ("text_encoder", "g")
        return [Direction("sample", "z", "image", roles, run, latent=self.latents(1), conditions=self.conditions(data))]

    def draw(self, nets: Nets, words: Tensor, sentence: Tensor, x: Batch) -> tuple[list[Tensor], Tensor, Tensor]:
        """Three pictures, the largest last, and the mean and log-variance of the condition."""
        latent, spread = x.z.split((self.latent, self.condition), 1)
        drawn: tuple[list[Tensor], Tensor, Tensor] = nets.g(words, sentence, x.text, latent, spread)
        return drawn

    def discriminator_loss(self, nets: Nets, x: Batch) -> Terms:
        """Of each size: is it a picture, and does it fit its caption (eq. 4)? Captions of others do not fit, as in the
        authors' code, which divides the losses on real and on wrong pictures by their numbers."""
        words, sentence = nets.text_encoder(x.text)
        fakes, _, _ = self.draw(nets, words, sentence, x)
        terms = {}
        for role, fake in zip(JUDGES, fakes, strict=True):
            real = interpolate(x.image, size=fake.shape[2:], mode="area")
            on_real, on_fake = nets[role](real, sentence), nets[role](fake, sentence)
            other = nets[role](real, sentence.roll(1, 0))[:, 0]
            x.scores(role, real=on_real[:, 1], fake=on_fake[:, 1])
            terms[f"{role}_right"] = GAME.real(on_real)
            terms[f"{role}_wrong"] = (2 * GAME.fake(on_fake) + where_swapped(softplus(other), x.text)) / 3
        return terms

    def generator_loss(self, nets: Nets, x: Batch) -> Terms:
        """Eqs. 2 and 3, and the matching loss of the largest picture."""
        words, sentence = nets.text_encoder(x.text)
        fakes, mean, log_variance = self.draw(nets, words, sentence, x)
        terms = {
            f"adv_{role}": 2 * GAME.generator(nets[role](fake, sentence))
            for role, fake in zip(JUDGES, fakes, strict=True)
        }
        fit = self.matching_terms(nets, x, fakes[-1])
        return {
            **terms,
            **{f"fit_{name}": self.fit * value for name, value in fit.items()},
            "kl": self.kl * divergence(mean, log_variance),
        }
