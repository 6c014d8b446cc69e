"""Settings of a training run that hold for every task model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from translate.errors import UsageError
from translate.reading import MAX_PIXELS, Hidden, Reading, formats_with, parse_ranges

Precision = Literal["auto", "fp32", "bf16", "fp16"]


UNKNOWN = 10**15
"""More steps than any run has: how many there will be is not known yet."""


@dataclass(frozen=True)
class MayChange:
    """Marks a setting that may change when a run is resumed; all others decide what the run is."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """How long, how large, on what and how often: the flags that every ``gantk train`` has."""

    steps: Annotated[int | None, "training steps (instead of --epochs)", Ge(1), Le(10**12), MayChange()] = None
    epochs: Annotated[int, "passes over the data", Ge(1), Le(10**12), MayChange()] = 200
    minutes: Annotated[
        float | None,
        "as many steps as there is time for, by trial steps of every stage (instead of --steps and --epochs)",
        Gt(0),
        Le(10**7),
    ] = None
    schedule_steps: Annotated[
        int | None, "steps over which the schedules run, where not those of the run", Ge(1), MayChange()
    ] = None
    batch: Annotated[int, "images per step and domain", Ge(1), Le(10**6)] = 1
    size: Annotated[int, "side in pixels of the training images", Ge(4), Le(2**16)] = 256
    device: Annotated[str, "auto, cpu, cuda, cuda:N or mps", MayChange()] = "auto"
    precision: Annotated[
        Precision,
        "number format of the forward pass; auto: bf16 on CPUs that support it, for models shown to train "
        "equally well, else fp32",
        MayChange(),
    ] = "auto"
    compile: Annotated[bool, "compile each phase with torch.compile; on CUDA into graphs", MayChange()] = False
    accumulate: Annotated[
        int,
        "micro-batches per step; saves memory; same result without batch norm or a relativistic loss, which see one "
        "micro-batch at a time",
        Ge(1),
        MayChange(),
    ] = 1
    recompute: Annotated[
        bool, "recompute residual blocks in the backward pass: less memory, a third slower", MayChange()
    ] = False
    clip: Annotated[float | None, "largest norm of a phase's gradient", Gt(0), MayChange()] = None
    ema: Annotated[float, "decay of the moving average, where the model keeps one; 0: none", Ge(0), Lt(1)] = 0.999
    ema_images: Annotated[
        int | None, "half-life of that average in training images (instead of --ema)", Ge(1), Le(10**12)
    ] = None
    init: Annotated[
        tuple[str, ...],
        "model file, run or checkpoint to start from; ROLE=FILE for one network alone",
    ] = ()
    diffaug: Annotated[bool, "differentiable augmentation of what discriminators see (Zhu et al., 2020)"] = False
    ada: Annotated[bool, "adaptive augmentation of what discriminators see (Karras et al., 2020)"] = False
    ada_target: Annotated[float, "mean sign of D on real images that --ada holds", Ge(0), Le(1)] = 0.6
    seed: Annotated[int, "seed of everything random", Ge(0)] = 0
    deterministic: Annotated[bool, "refuse operations that may differ between runs", MayChange()] = False
    workers: Annotated[int, "threads that decode and augment", Ge(0), Le(4096), MayChange()] = 2
    cache: Annotated[
        Literal["memory", "disk", "device", "off"],
        "where decoded images are kept; device: all of them on the GPU, where crops are cut",
        MayChange(),
    ] = "memory"
    cache_budget: Annotated[float, "most memory for decoded images, in GiB", Gt(0), Le(10**6), MayChange()] = 2.0
    strict_data: Annotated[bool, "stop at the first unreadable image instead of leaving it out", MayChange()] = False
    range: Annotated[
        tuple[str, ...],
        "numbers in the files that are black and white, such as 0..4095, or 1%..99% of all; for domain a alone a=0..1 "
        "[what their type says]",
    ] = ()
    hidden: Annotated[
        Hidden, "colours under alpha 0: those of the nearest visible pixels, or white, on which all is laid"
    ] = "fill"
    allow_format: Annotated[tuple[str, ...], "open files of these formats too, such as PSD or FITS", MayChange()] = ()
    max_pixels: Annotated[int, "pictures with more pixels than this are left out", Ge(1), MayChange()] = MAX_PIXELS
    save_every: Annotated[int, "steps between checkpoints", Ge(1), MayChange()] = 1000
    keep: Annotated[int, "checkpoints kept", Ge(1), MayChange()] = 3
    preview_every: Annotated[int, "steps between previews", Ge(1), MayChange()] = 500
    log_every: Annotated[int, "steps between lines in metrics.jsonl", Ge(1), MayChange()] = 20
    evaluate_every: Annotated[
        int | None,
        "steps between evaluations on pictures that are held out of training by their names",
        Ge(1),
        Le(10**12),
    ] = None
    val_share: Annotated[float, "share of the pictures that --evaluate-every holds out", Gt(0), Lt(1)] = 0.1
    patience: Annotated[
        int | None, "evaluations without a better one after which the run ends", Ge(1), Le(10**12), MayChange()
    ] = None
    stop_when_dead: Annotated[
        bool, "stop where more steps cannot help: no gradient, results of one colour (exit code 4)", MayChange()
    ] = True

    def __post_init__(self) -> None:
        formats_with(self.allow_format)
        parse_ranges(self.range)
        if self.batch % self.accumulate:
            raise UsageError(f"--accumulate {self.accumulate} does not divide --batch {self.batch}")
        if self.patience is not None and self.evaluate_every is None:
            raise UsageError("--patience goes with --evaluate-every")
        if self.diffaug and self.ada:
            raise UsageError("--diffaug and --ada exclude each other; give one")

    @property
    def decay(self) -> float:
        """Of the moving average, per step; 0 for none. With ``ema_images`` whatever the batch is: 0.5 ** (batch /
        ema_images), as Karras et al. (2020) state it, where ``batch`` is that of all processes and micro-batches."""
        return self.ema if self.ema_images is None else 0.5 ** (self.batch / self.ema_images)

    @property
    def reading(self) -> Reading:
        """How the pictures of the data are opened."""
        return Reading(formats_with(self.allow_format), self.max_pixels, hidden=self.hidden)

    @classmethod
    def changeable(cls) -> frozenset[str]:
        """The settings marked ``MayChange``."""
        hints = get_type_hints(cls, include_extras=True)
        return frozenset(name for name, hint in hints.items() if MayChange() in getattr(hint, "__metadata__", ()))

    def total_steps(self, samples: int) -> int:
        """Steps of the whole run over a data set of so many samples per epoch; ``UNKNOWN`` with ``minutes``."""
        if self.minutes is not None:
            return UNKNOWN
        return self.steps if self.steps is not None else self.epochs * max(1, samples // self.batch)
