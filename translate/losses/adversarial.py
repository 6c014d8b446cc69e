"""The games that generator and discriminator play, on logits, in fp32 also under autocast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.errors import UsageError

GanLoss = Literal["vanilla", "lsgan", "hinge", "wasserstein"]
GameLoss = Literal["vanilla", "lsgan", "hinge", "wasserstein", "relativistic"]
"""With relativistic pairing, for which a generator's loss needs real pictures too; see ``Game``."""

Logits = Tensor | Sequence[Tensor]
"""A discriminator's output of any shape, or one for each scale, whose losses are summed as in pix2pixHD (eq. 3)."""


def score_of(logits: Logits) -> Tensor:
    """How real pictures are, as ``Batch.scores`` takes it: the logits, or (N,) means over the scales."""
    if isinstance(logits, Tensor):
        return logits
    return torch.stack([scale.float().mean((1, 2, 3)) for scale in logits]).mean(0)


def _fp32(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def _summed(term: Callable[[Tensor], Tensor], logits: Logits) -> Tensor:
    if isinstance(logits, Tensor):
        return term(_fp32(logits))
    return torch.stack([term(_fp32(scale)) for scale in logits]).sum()


def _cross_entropy(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


@dataclass(frozen=True)
class AdversarialLoss:
    """Both players' losses, each a scalar to be minimised; ``adversarial`` makes one.

    Means over all of an output's elements, sums over scales. ``discriminator`` is ``real + fake``, without the factor
    0.5 that CycleGAN and pix2pix put before it.
    """

    kind: GanLoss
    real_label: float = 1.0
    saturating: bool = False

    def __post_init__(self) -> None:
        if self.real_label != 1.0 and self.kind in ("hinge", "wasserstein"):
            raise UsageError(
                f"real_label {self.real_label}: the {self.kind} loss has no labels; only vanilla and lsgan do"
            )
        if self.saturating and self.kind != "vanilla":
            raise UsageError(f"saturating: only the vanilla loss has a saturating form, not {self.kind}")

    def generator(self, fake: Logits) -> Tensor:
        """The generator's loss from the discriminator's logits for its pictures."""
        return _summed(self._generator, fake)

    def discriminator(self, real: Logits, fake: Logits) -> Tensor:
        """The discriminator's loss: ``real(real) + fake(fake)``."""
        return self.real(real) + self.fake(fake)

    def real(self, logits: Logits) -> Tensor:
        """The discriminator's term for real pictures."""
        return _summed(self._real, logits)

    def fake(self, logits: Logits) -> Tensor:
        """The discriminator's term for generated pictures."""
        return _summed(self._fake, logits)

    def _generator(self, logits: Tensor) -> Tensor:
        match self.kind:
            case "vanilla" if self.saturating:
                return -_cross_entropy(logits, 0.0)
            case "vanilla":
                return _cross_entropy(logits, 1.0)
            case "lsgan":
                return (logits - 1.0).square().mean()
            case "hinge" | "wasserstein":
                return -logits.mean()

    def _real(self, logits: Tensor) -> Tensor:
        match self.kind:
            case "vanilla":
                return _cross_entropy(logits, self.real_label)
            case "lsgan":
                return (logits - self.real_label).square().mean()
            case "hinge":
                return F.relu(1.0 - logits).mean()
            case "wasserstein":
                return -logits.mean()

    def _fake(self, logits: Tensor) -> Tensor:
        match self.kind:
            case "vanilla":
                return _cross_entropy(logits, 0.0)
            case "lsgan":
                return logits.square().mean()
            case "hinge":
                return F.relu(1.0 + logits).mean()
            case "wasserstein":
                return logits.mean()


def adversarial(kind: GanLoss, *, real_label: float = 1.0, saturating: bool = False) -> AdversarialLoss:
    """The adversarial loss by name.

    - ``vanilla``: cross-entropy (Goodfellow et al., 2014, eq. 1); the generator maximises log D(G(z)), or with
      ``saturating`` minimises log(1 - D(G(z))) as in eq. 1 itself.
    - ``lsgan``: least squares (Mao et al., 2017, eq. 9: a = 0, b = c = 1), without its factor 1/2.
    - ``hinge``: Lim and Ye, 2017; Miyato et al., 2018, eqs. 16 and 17.
    - ``wasserstein``: Arjovsky et al., 2017, eq. 2; needs a penalty or weight clipping.

    ``real_label`` below 1 is one-sided label smoothing (Salimans et al., 2016, section 3.4): it changes the
    discriminator's target for real pictures alone. Raises ``UsageError`` where a loss has no such option.
    """
    return AdversarialLoss(kind, real_label, saturating)


@dataclass(frozen=True)
class RelativisticAverageLoss:
    """Relativistic average GAN (Jolicoeur-Martineau, 2018) as in ESRGAN (Wang et al., 2018, eqs. 1 and 2).

    Both players ask whether a picture is more real than the other kind's mean over the (micro-)batch. Logits of any
    shape; each loss is the sum of its two expectations. ``constant_means``: the discriminator's gradient does not flow
    through the means, as in BasicSR's code.
    """

    constant_means: bool = False

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The generator's loss; its gradient flows through ``fake`` and, where it has any, through ``real``."""
        real, fake = _fp32(real), _fp32(fake)
        return _cross_entropy(real - fake.mean(), 0.0) + _cross_entropy(fake - real.mean(), 1.0)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss."""
        real, fake = _fp32(real), _fp32(fake)
        mean_real, mean_fake = real.mean(), fake.mean()
        if self.constant_means:
            mean_real, mean_fake = mean_real.detach(), mean_fake.detach()
        return _cross_entropy(real - mean_fake, 1.0) + _cross_entropy(fake - mean_real, 0.0)


class RelativisticPairingLoss:
    """Relativistic pairing (Jolicoeur-Martineau, 2018; Huang et al., 2024, eq. 3 with f(t) = -log(1 + exp(-t))).

    Each fake is compared with one real picture, that of the same row, so that micro-batches change nothing. Logits of
    any shape, equal for both, patch by patch; needs gradient penalties at both, R1 and R2, to converge.
    """

    def generator(self, real: Logits, fake: Logits) -> Tensor:
        """The generator's loss; its gradient flows through ``fake`` and, where it has any, through ``real``."""
        return self._behind(fake, real)

    def discriminator(self, real: Logits, fake: Logits) -> Tensor:
        """The discriminator's loss."""
        return self._behind(real, fake)

    def _behind(self, ours: Logits, theirs: Logits) -> Tensor:
        """How far ``ours`` are less real than ``theirs``."""
        if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
            return F.softplus(_fp32(theirs) - _fp32(ours)).mean()
        return torch.stack([self._behind(one, other) for one, other in zip(ours, theirs, strict=True)]).sum()


@dataclass(frozen=True)
class Game:
    """Any of the games above by name, in one form: for models that let the user choose."""

    kind: GameLoss

    def generator(self, fake: Logits, real: Callable[[], Logits]) -> Tensor:
        """The generator's loss. ``real``: gives the logits of real pictures, which only ``relativistic`` asks for."""
        if self.kind == "relativistic":
            return RelativisticPairingLoss().generator(real(), fake)
        return adversarial(self.kind).generator(fake)

    def discriminator(self, real: Logits, fake: Logits) -> dict[str, Tensor]:
        """The discriminator's terms by name: ``real`` and ``fake``, or ``adv`` where they do not part."""
        if self.kind == "relativistic":
            return {"adv": RelativisticPairingLoss().discriminator(real, fake)}
        loss = adversarial(self.kind)
        return {"fake": loss.fake(fake), "real": loss.real(real)}
