"""SRGAN: photo-realistic single-image super-resolution (Ledig et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal, cast

from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from translate.contract import Batch, DataSpec, Direction, Nets, Networks, Phase, TaskModel, Terms
from translate.data.lowhigh import LowHigh
from translate.discriminators.srgan import SRGANDiscriminator, check_size
from translate.errors import UsageError
from translate.generators import srresnet
from translate.generators.srresnet import BodyEnd, MSRResNet, Output, Scale, SRResNet
from translate.layers.norms import Norm
from translate.losses.adversarial import adversarial
from translate.losses.perceptual import Classifier, Perceptual, last_layer, vgg
from translate.optimizers import Moments, Rate
from translate.settings import Run

vanilla = adversarial("vanilla")


@dataclass(frozen=True, kw_only=True)
class SRGAN(TaskModel):
    """Photo-realistic super-resolution by a residual network and VGG features (Ledig et al., 2017).

    First the generator alone learns the mean squared error (SRResNet), then the game begins. With ``warmup`` not less
    than the run's steps it never does, and the result is SRResNet.
    """

    api = 2
    source = LowHigh
    recipe = Run(steps=1_200_000, batch=16, size=96)
    averaged = ("g",)

    lr: Rate = 1e-4
    betas: Moments = (0.9, 0.999)
    warmup: Annotated[int, "steps of pre-training on the mean squared error, before the game", Ge(0)] = 1_000_000
    decay_at: Annotated[float, "share of the run after which the learning rate falls to a tenth", Ge(0), Le(1)] = 0.9167
    perceptual: Annotated[Perceptual, "content loss: on features, or none: on pixels (MSE)"] = "vgg19"
    vgg_weights: Annotated[Path | None, "file with torchvision's weights of it; else torch's cache"] = None
    layer: Annotated[Literal["relu2_2", "relu5_4"], "features: phi_2,2, or phi_5,4 (in vgg16 phi_5,3)"] = "relu5_4"
    adversarial: Annotated[float, "weight of the adversarial term, the content loss having 1", Ge(0)] = 1e-3
    generator_net: Annotated[
        Literal["srresnet", "msrresnet"], "the paper's generator, or BasicSR's: without norm, over a bilinear base"
    ] = "srresnet"
    blocks: Annotated[int, "residual blocks of the generator", Ge(1)] = 16
    width: Annotated[int, "channels of the generator's convolutions", Ge(1)] = 64
    d_width: Annotated[int, "channels of the discriminator's first convolution", Ge(1)] = 64
    norm: Annotated[Norm, "the generator's normalisation"] = "batch"
    output: Annotated[Output, "the generator's last activation"] = "linear"
    body_end: Annotated[BodyEnd, "what ends the residual blocks: the norm as in the paper, or PReLU"] = "norm"

    VGG_RESCALE: ClassVar[float] = 1 / 12.75
    """Of feature maps (section 3.2), so that the VGG loss, times about 0.006, is of the size of the MSE."""

    def __post_init__(self) -> None:
        choices = (self.norm, self.output, self.body_end)
        if self.generator_net == "msrresnet" and choices != ("batch", "linear", "norm"):
            raise UsageError("generator-net msrresnet: --norm, --output and --body-end are choices of srresnet alone")

    def networks(self, data: DataSpec) -> Networks:
        check_size(data.size, 16, "SRGAN's discriminator")
        channels = data.channels["high"]
        networks: dict[str, Callable[[], nn.Module]] = {
            "g": self.upscaler(channels, cast(Scale, data.scale)),
            "d": partial(SRGANDiscriminator, channels, data.size, width=self.d_width),
        }
        if self.perceptual != "none":
            networks["features"] = partial(vgg, self.perceptual, self.feature_layer(self.perceptual), self.vgg_weights)
        return networks

    def feature_layer(self, kind: Classifier) -> str:
        """Where the content is compared."""
        return last_layer(kind, 5 if self.layer == "relu5_4" else 2, "relu")

    def upscaler(self, channels: int, scale: Scale) -> Callable[[], nn.Module]:
        """How to build the generator."""
        if self.generator_net == "msrresnet":
            return partial(MSRResNet, channels, scale, width=self.width, blocks=self.blocks)
        return partial(
            SRResNet,
            channels,
            scale,
            width=self.width,
            blocks=self.blocks,
            norm=self.norm,
            output=self.output,
            body_end=self.body_end,
        )

    def phases(self, data: DataSpec) -> Sequence[Phase]:
        return [
            Phase("pretrain", ("g",), self.pretrain, stop=self.warmup),
            Phase("generator", ("g",), self.generator, start=self.warmup),
            Phase("discriminator", ("d",), self.discriminator, start=self.warmup),
        ]

    def pretrain(self, nets: Nets, x: Batch) -> Terms:
        """Equation 4."""
        return {"mse": F.mse_loss(nets.g(x.low), x.high)}

    def generator(self, nets: Nets, x: Batch) -> Terms:
        """Equation 3, with the content loss of equation 5 or 4, and the adversarial loss of equation 6."""
        high = nets.g(x.low)
        x.keep(fake=high)
        if self.perceptual != "none":
            theirs, ours = nets.features(x.high), nets.features(high)
            content = F.mse_loss(ours * self.VGG_RESCALE, theirs * self.VGG_RESCALE)
        else:
            content = F.mse_loss(high, x.high)
        return {"content": content, "adversarial": self.adversarial * vanilla.generator(nets.d(high))}

    def discriminator(self, nets: Nets, x: Batch) -> Terms:
        """Equation 2."""
        real, fake = nets.d(x.high), nets.d(x.fake)
        x.scores("d", real=real, fake=fake)
        return {"real": vanilla.real(real), "fake": vanilla.fake(fake)}

    def directions(self, data: DataSpec) -> Sequence[Direction]:
        reach = srresnet.margin if self.generator_net == "srresnet" else srresnet.msrresnet_margin
        margin = reach(cast(Scale, data.scale), self.blocks)
        return [Direction("upscale", "low", "high", ("g",), self.upscale, scale=data.scale, margin=margin)]

    def upscale(self, nets: Nets, x: Batch) -> Tensor:
        """The generator alone."""
        return cast(Tensor, nets.g(x.low))

    def lr_at(self, progress: float) -> float:
        """1, then 1/10; in the paper (section 3.2) from the middle of the game on."""
        return 1.0 if progress < self.decay_at else 0.1

    def preview(self, nets: Nets, x: Batch, data: DataSpec) -> Mapping[str, Tensor]:
        return {**super().preview(nets, x, data), "high": x.high}
