"""StackGAN: pictures from a caption, first small, then four times as large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, interpolate, softplus

from translate.conditions import MOST_WORDS, text
from translate.contract import Batch, Condition, DataSpec, Direction, Nets, Networks, Noise, Phase, TaskModel, Terms
from translate.data.captioned import Captioned
from translate.discriminators.text import TextDiscriminator
from translate.errors import UsageError
from translate.generators.text import StackFirst, StackSecond, doublings
from translate.layers.text import RegionEncoder, TextEncoder, divergence, matching_loss, word_scores
from translate.losses.adversarial import adversarial
from translate.settings import Run

GAME = adversarial("vanilla")
ENCODERS = ("text_encoder", "image_encoder")


@dataclass(frozen=True, kw_only=True)
class FromCaptions(TaskModel):
    """What text-to-picture models share: a text encoder that first learns which caption belongs to which picture."""

    source = Captioned
    compares_samples = True  # a picture is to find its caption among those of the batch, and some are swapped

    matching: Annotated[int, "first steps, in which the text encoder learns captions and pictures", Ge(0)] = 20_000
    features: Annotated[int, "numbers of a word and of a sentence, even", Ge(2)] = 256
    latent: Annotated[int, "numbers in a latent vector", Ge(1)] = 100
    condition: Annotated[int, "numbers of the condition that is drawn around a sentence", Ge(1)] = 128

    def __post_init__(self) -> None:
        if self.features % 2:
            raise UsageError(f"features {self.features}: expected an even number, half for each reading direction")

    def encoders(self, data: DataSpec) -> Networks:
        """Raises ``UsageError`` for a size that the stages cannot reach."""
        try:
            doublings(data.size // 4)
        except ValueError:
            raise UsageError(f"--size {data.size}: expected a power of two from 32") from None
        return {
            "text_encoder": lambda: TextEncoder(len(data.names["text"]), self.features),
            "image_encoder": lambda: RegionEncoder(data.channels["image"], data.size, self.features),
        }

    def matching_phase(self) -> list[Phase]:
        return [Phase("matching", ENCODERS, self.match, stop=self.matching)] if self.matching else []

    def match(self, nets: Nets, x: Batch) -> Terms:
        """The encoders on real pictures (Xu et al., 2018, eq. 14)."""
        return self.matching_terms(nets, x, x.image)

    def matching_terms(self, nets: Nets, x: Batch, images: Tensor) -> dict[str, Tensor]:
        """How well pictures and captions find each other, by words and by sentences."""
        regions, whole = nets.image_encoder(images)
        words, sentence = nets.text_encoder(x.text)
        by_sentence = cosine_similarity(whole[:, None], sentence[None], dim=2)
        return {
            "words": matching_loss(word_scores(regions, words, x.text), x.text),
            "sentences": matching_loss(by_sentence, x.text),
        }

    def latents(self, draws: int) -> Noise:
        """A latent, and ``draws`` conditions around a sentence behind it."""
        return Noise((self.latent + draws * self.condition,))

    def conditions(self, data: DataSpec) -> Mapping[str, Condition]:
        """The caption."""
        help_ = f"what the picture shows, in at most {MOST_WORDS} words of the training captions"
        return {"text": text(data.names["text"], MOST_WORDS, help_)}


@dataclass(frozen=True, kw_only=True)
class StackGAN(FromCaptions):
    """Pictures from captions in two stages (Zhang et al., 2017)."""

    api = 2
    recipe = Run(batch=64, size=256, epochs=1200)
    averaged = ("g1", "g2")
    discriminators = ("d1", "d2")

    first: Annotated[int, "steps of the first stage, before the second one begins", Ge(0)] = 80_000
    width: Annotated[int, "channels of the first stage's last map; the second begins with them", Ge(1)] = 96
    d_width: Annotated[int, "channels of a discriminator's first layer", Ge(1)] = 64
    kl: Annotated[float, "weight of the divergence of the conditions from the normal distribution", Ge(0)] = 2.0

    def networks(self, data: DataSpec) -> Networks:
        channels, small = data.channels["image"], data.size // 4
        return {
            **self.encoders(data),
            "g1": lambda: StackFirst(channels, small, self.features, self.condition, self.latent, self.width),
            "g2": lambda: StackSecond(channels, self.features, self.condition, self.width),
            "d1": lambda: TextDiscriminator(channels, small, self.features, self.d_width, projected=128),
            "d2": lambda: TextDiscriminator(channels, data.size, self.features, self.d_width, projected=128),
        }

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        start = self.matching
        middle = start + self.first
        noise = {"z": self.latents(2)}
        return [
            *self.matching_phase(),
            Phase("first_d", ("d1",), self.first_discriminator, start=start, stop=middle, noise=noise),
            Phase("first_g", ("g1",), self.first_generator, start=start, stop=middle),
            Phase("second_d", ("d2",), self.second_discriminator, start=middle, noise=noise),
            Phase("second_g", ("g2",), self.second_generator, start=middle),
        ]

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        def run(nets: Nets, x: Batch) -> Tensor:
            _, sentence = nets.text_encoder(x.text)
            return self.draw(nets, sentence, x.z)[1]

        roles = ("text_encoder", "g1", "g2")
        return [Direction("sample", "z", "image", roles, run, latent=self.latents(2), conditions=self.conditions(data))]

    def draw(self, nets: Nets, sentence: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The small picture, the large one, and the mean and log-variance of the large one's condition."""
        latent, spread1, spread2 = z.split((self.latent, self.condition, self.condition), 1)
        small, _, _ = nets.g1(sentence, latent, spread1)
        return small, *nets.g2(small, sentence, spread2)

    def first_discriminator(self, nets: Nets, x: Batch) -> Terms:
        _, sentence = nets.text_encoder(x.text)
        small = interpolate(x.image, size=(x.image.shape[2] // 4,) * 2, mode="area")
        fake, _, _ = self._small(nets, sentence, x.z)
        return self._judge(nets.d1, "d1", x, small, fake, sentence)

    def first_generator(self, nets: Nets, x: Batch) -> Terms:
        """Eq. 4."""
        _, sentence = nets.text_encoder(x.text)
        fake, mean, log_variance = self._small(nets, sentence, x.z)
        verdict = nets.d1(fake, sentence)[:, 0]
        return {"adv": GAME.generator(verdict), "kl": self.kl * divergence(mean, log_variance)}

    def second_discriminator(self, nets: Nets, x: Batch) -> Terms:
        _, sentence = nets.text_encoder(x.text)
        return self._judge(nets.d2, "d2", x, x.image, self.draw(nets, sentence, x.z)[1], sentence)

    def second_generator(self, nets: Nets, x: Batch) -> Terms:
        """Eq. 6."""
        _, sentence = nets.text_encoder(x.text)
        _, fake, mean, log_variance = self.draw(nets, sentence, x.z)
        verdict = nets.d2(fake, sentence)[:, 0]
        return {"adv": GAME.generator(verdict), "kl": self.kl * divergence(mean, log_variance)}

    def _small(self, nets: Nets, sentence: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        latent, spread, _ = z.split((self.latent, self.condition, self.condition), 1)
        drawn: tuple[Tensor, Tensor, Tensor] = nets.g1(sentence, latent, spread)
        return drawn

    def _judge(
        self, judge: nn.Module, role: str, x: Batch, real: Tensor, fake: Tensor, sentence: Tensor
    ) -> dict[str, Tensor]:
        """Right pairs are real; fakes, and real pictures with captions of others, are not, each with half the weight
        (section 3.3)."""
        right, other = judge(real, sentence)[:, 0], judge(real, sentence.roll(1, 0))[:, 0]
        on_fake = judge(fake, sentence)[:, 0]
        x.scores(role, real=right, fake=on_fake)
        return {
            "real": GAME.real(right),
            "fake": 0.5 * GAME.fake(on_fake),
            "swapped": 0.5 * where_swapped(softplus(other), x.text),
        }


def where_swapped(losses: Tensor, captions: Tensor) -> Tensor:
    """The mean of ``losses`` (N,) over those samples whose neighbour's caption is another one."""
    swapped = (captions != captions.roll(1, 0)).any(1).to(losses.dtype)
    return (losses * swapped).sum() / swapped.sum().clamp(min=1)
