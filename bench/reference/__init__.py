"""Training steps as the public codes write them: plain loops in the published order, to measure ours against.

The networks have the published layers (torch's own instance norm); nothing is batched, fused, frozen or cached that the
public codes do not batch, fuse, freeze or cache. Weights of terms, rates and moments are those of the model's settings.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from reference import classes, maps, pairs, samplers, styles, super_resolution, text, unpaired
from reference.loop import Loop, Move
from translate.training.engine import Engine

LOOPS: dict[str, Callable[[Loop], Move]] = {
    "gan": samplers.gan,
    "dcgan": samplers.dcgan,
    "lsgan": samplers.least_squares,
    "wgan": samplers.wgan,
    "wgan-gp": samplers.wgan_gp,
    "cgan": classes.cgan,
    "sagan": classes.sagan,
    "biggan": classes.biggan,
    "r3gan": styles.r3gan,
    "stylegan2": styles.stylegan2,
    "pggan": styles.pggan,
    "pggan-labelled": styles.pggan,
    "cyclegan": unpaired.cyclegan,
    "cut": unpaired.cut,
    "fastcut": unpaired.cut,
    "sincut": unpaired.sincut,
    "uvcgan": unpaired.uvcgan,
    "stargan": unpaired.stargan,
    "pix2pix": pairs.pix2pix,
    "colourise": pairs.pix2pix,
    "video-pix2pix": pairs.video_pix2pix,
    "inpaint": pairs.inpaint,
    "pix2pixhd": maps.pix2pixhd,
    "spade": maps.spade,
    "stackgan": text.stackgan,
    "attngan": text.attngan,
    "srgan": super_resolution.srgan,
    "esrgan": super_resolution.esrgan,
    "realesrgan": super_resolution.realesrgan,
    "restore": super_resolution.realesrgan,
}
"""By model, what sets up its steps."""


def plain_loop(name: str, engine: Engine, autocast: Callable[[], AbstractContextManager[object]] = nullcontext) -> Loop:
    """A model's plain loop from the weights, and with the settings, of an engine."""
    loop = Loop(engine, autocast)
    loop.move = LOOPS[name](loop)
    return loop
