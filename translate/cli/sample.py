"""``gantk sample``: pictures from noise."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from translate.cli import derived
from translate.errors import UsageError
from translate.fields import Spelling
from translate.modelfile.card import read_card
from translate.sample.options import FPS, FRAMES, KEYS, PICTURES, STEPS

if TYPE_CHECKING:
    from translate.watermark import Watermark


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw pictures from a trained model into a grid, into a folder, or both; or a walk between them as an animation.

    A condition can be varied: ``--set label=all`` gives -n pictures of each choice, one row each; ``--set
    truncation=0..1`` one row for each of --steps values; in a walk, ``--set label=ship..horse`` goes from one to the
    other. Numbers can go from A to B, and choices of a model whose networks take mixtures of them.
    """

    model: Annotated[Path, "run folder or model file of a sampler", Spelling(positional=True, metavar="MODEL")]
    count: Annotated[
        int | None, f"pictures [{PICTURES}], or latents that a walk goes through [{KEYS}]", Ge(1), Spelling(short="-n")
    ] = None
    seed: Annotated[int, "seed of the latents; picture k depends on it and on k", Ge(0)] = 0
    grid: Annotated[Path | None, "PNG file for all pictures side by side", Spelling(metavar="FILE")] = None
    out: Annotated[Path | None, "folder for one PNG file per picture"] = None
    interpolate: Annotated[bool, "walks of --steps pictures between two latents each"] = False
    mix: Annotated[
        tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)]],
        "rows and columns of a grid of mixed pictures: each row has the coarse styles of its first picture, each "
        "column the fine styles of its own",
        Spelling(metavar="ROWS COLUMNS"),
    ] = (0, 0)
    walk: Annotated[
        Path | None, "animation of a walk through latents: .webp, .gif or .mp4", Spelling(metavar="FILE")
    ] = None
    steps: Annotated[
        int | None,
        f"pictures from one end of an interpolation to the other, values of NAME=A..B [{STEPS}]; frames of a walk from "
        f"one latent to the next [{FRAMES}]",
        Ge(2),
    ] = None
    fps: Annotated[int | None, f"frames per second of a walk [{FPS}]", Ge(1), Le(1000)] = None
    once: Annotated[bool, "end a walk at its last latent, instead of going round and round"] = False
    direction: Annotated[str | None, "which sampler [the first that has the conditions of --set]"] = None
    settings: Annotated[
        tuple[str, ...],
        "a condition of the model, such as label=ship (gantk inspect lists them), label=all or truncation=0..1",
        Spelling(flag="--set", metavar="NAME=VALUE"),
    ] = ()
    watermark: Annotated[
        str | None,
        "add an invisible mark of this key, or of the one in @FILE, that gantk detect finds",
        Spelling(metavar="KEY"),
    ] = None
    batch: Annotated[int, "pictures drawn at once", Ge(1)] = 64
    device: Annotated[str, "auto, cpu, cuda, cuda:N or mps"] = "auto"
    overwrite: Annotated[bool, "replace files that exist"] = False

    def __post_init__(self) -> None:
        if self.walk is None and self.grid is None and self.out is None:
            raise UsageError("nowhere to write: expected --grid FILE, --out PATH or both, or --walk FILE")
        others = {"--grid": self.grid, "--out": self.out, "--interpolate": self.interpolate, "--mix": self.mixes}
        if self.walk is not None and self.watermark is not None:
            raise UsageError("--watermark: of pictures alone; expected no --walk")
        if self.walk is not None and any(others.values()):
            other = next(flag for flag, value in others.items() if value)
            raise UsageError(f"--walk {self.walk}: an animation alone; expected no {other}")
        if self.mixes and not all(self.mix):
            raise UsageError(f"--mix {self.mix[0]} {self.mix[1]}: expected 1 row or more and 1 column or more")
        if self.mixes and (self.grid is None or self.out or self.interpolate or self.count):
            raise UsageError("--mix: expected --grid FILE, and neither --out, --interpolate nor -n")
        if self.walk is None and (self.fps or self.once):
            raise UsageError(f"{'--once' if self.once else f'--fps {self.fps}'}: of a walk alone; expected --walk FILE")
        if self.interpolate and self.pictures % self.apart:
            raise UsageError(f"--count {self.pictures} --interpolate: expected a multiple of {self.apart}")

    @cached_property
    def mark(self) -> Watermark | None:
        """The mark that pictures are to have."""
        from translate.watermark import Watermark, read_key

        return None if self.watermark is None else Watermark(read_key("--watermark", self.watermark))

    @property
    def mixes(self) -> bool:
        """Whether pictures of two latents are drawn."""
        return any(self.mix)

    @property
    def pictures(self) -> int:
        """What is drawn, in each row of a condition that is varied: pictures, or latents of a walk."""
        return self.count or (PICTURES if self.walk is None else KEYS)

    @property
    def apart(self) -> int:
        """Steps from one latent or value to the next."""
        return self.steps or (STEPS if self.walk is None else FRAMES)


def sample(options: Options) -> None:
    """Check what needs no model, then draw."""
    for flag, file in (("--grid", options.grid), ("--walk", options.walk)):
        if file is not None and not options.overwrite and os.path.lexists(file):
            raise UsageError(f"{flag} {file}: exists already; choose another name, or --overwrite")
    _ = options.mark  # refuses a key that is none
    read_card(options.model)
    from translate.cli.sample_pictures import draw

    draw(options)


command = derived.command("sample", Options, sample)
