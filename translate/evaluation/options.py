"""The flags of ``gantk evaluate``. Imports nothing heavy, so that ``--help`` stays quick."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from annotated_types import Ge

from translate.errors import UsageError, did_you_mean
from translate.fields import Spelling

Kind = Literal["translations", "pairs", "super-resolution", "samples", "pictures"]
"""What is compared with what; see ``EvaluateOptions.kind``."""

Metric = Literal[
    "psnr", "ssim", "l1", "ms-ssim", "lpips", "pixel-accuracy", "iou",
    "swd", "frechet", "kernel", "density", "coverage", "intra-frechet", "class-accuracy", "modes", "modes-kl",
    "fid", "kid", "is", "precision", "recall",
    "edges", "cycle-l1", "change",
]  # fmt: skip
METRICS: tuple[str, ...] = get_args(Metric)

PAIRED = ("psnr", "ssim", "l1", "ms-ssim", "lpips", "pixel-accuracy", "iou")
"""Metrics that compare each result with the picture that it should be."""
FIDELITY = ("fid", "kid", "is", "precision", "recall")
"""Metrics on torch-fidelity's Inception."""
ON_FEATURES = ("frechet", "kernel", "density", "coverage")
"""The same kind of metrics on the features that ``--features`` names."""
PER_CLASS = "intra-frechet"
"""The Frechet distance within each class, in the mean over the classes."""
ACCURACY = "class-accuracy"
"""The share of samples that ``--classifier`` takes for the class that was asked for."""
MODES = ("modes", "modes-kl")
"""How many classes the samples show by ``--classifier``, and how their shares differ from those of real pictures."""
CONTENT = ("edges", "cycle-l1", "change")
"""Metrics that compare each result with the picture that it was made from."""

OFFERED: Mapping[Kind, tuple[str, ...]] = {
    "translations": (*CONTENT, "swd", *ON_FEATURES, *FIDELITY),
    "pairs": (*PAIRED, *CONTENT, "swd", *ON_FEATURES, *FIDELITY),
    "super-resolution": ("psnr", "ssim", "l1", "ms-ssim", "lpips", "swd", *ON_FEATURES, *FIDELITY),
    "samples": ("swd", *ON_FEATURES, PER_CLASS, ACCURACY, *MODES, *FIDELITY),
    "pictures": ("swd", *ON_FEATURES, *MODES, *FIDELITY),
}
DEFAULTS: Mapping[Kind, tuple[str, ...]] = {
    "translations": ("swd", "frechet", "kernel", "fid", "kid", "edges", "cycle-l1"),
    "pairs": ("psnr", "ssim", "l1", "swd", "frechet"),
    "super-resolution": ("psnr", "ssim", "l1"),
    "samples": ("swd", "frechet", "kernel", "fid", "kid"),
    "pictures": ("swd", "frechet", "kernel", "fid", "kid"),
}

NETWORKS = ("inception_v3", "resnet18", "resnet50", "vgg16", "vgg19", "efficientnet_b0", "mobilenet_v2", "densenet121")
"""Networks of torchvision's that ``--network`` takes."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What a trained model is judged by."""

    inputs: Annotated[Path | None, "folder of pictures to translate, with --against"] = None
    against: Annotated[Path | None, "folder of real pictures that the results are compared with"] = None
    a: Annotated[Path | None, "folder of inputs of pairs, with --b"] = None
    b: Annotated[Path | None, "folder of the pictures that they should become"] = None
    ab: Annotated[Path | None, "folder of pairs side by side, the input on the left"] = None
    pair: Annotated[str, "names of the second files where they differ, such as '{}_LR'"] = ""
    also: Annotated[
        tuple[str, ...],
        "folder of the model's further inputs, such as instances=inst/, with files named as the inputs are",
        Spelling(metavar="NAME=FOLDER"),
    ] = ()
    hr: Annotated[Path | None, "folder of high-resolution pictures"] = None
    lr_images: Annotated[Path | None, "folder of low-resolution ones [shrunk from --hr by MATLAB's bicubic]"] = None
    pictures: Annotated[Path | None, "folder of results of any origin, instead of a model, with --against"] = None
    count: Annotated[int, "pictures that a sampler draws", Ge(2), Spelling(short="-n")] = 1000
    metric: Annotated[tuple[Metric, ...], "figure to compute (may be repeated) [by what is compared]"] = ()
    protocol: Annotated[str | None, "published way of measuring; gantk evaluate --protocol list shows them"] = None
    direction: Annotated[str | None, "which way to translate, such as b2a [the model's first]"] = None
    swap: Annotated[bool, "the input in --ab is the right half"] = False
    size: Annotated[int | None, "side that pictures are resized to first, squares [as they are]", Ge(16)] = None
    border: Annotated[int | None, "pixels left out along each side by psnr, ssim, l1 [the scale]", Ge(0)] = None
    colour: Annotated[Literal["y", "rgb"] | None, "what they compare [super-resolution: y, else rgb]"] = None
    features: Annotated[Path | None, "weights of the feature network [a random network]"] = None
    network: Annotated[str, f"its architecture in torchvision, such as {', '.join(NETWORKS[:3])}"] = NETWORKS[0]
    lpips: Annotated[Path | None, "weights of torchvision's AlexNet for lpips [torch's cache]"] = None
    classifier: Annotated[
        Path | None,
        "ONNX file of a classifier, of pictures in 0..1, of the model's classes or --against's sub-folders",
    ] = None
    inception: Annotated[Path | None, "weights of torch-fidelity's Inception [torch's cache]"] = None
    seed: Annotated[int, "seed of latents and of all that is drawn", Ge(0)] = 0
    batch: Annotated[int, "pictures that the feature networks take at once", Ge(1)] = 64
    cache: Annotated[Literal["disk", "off"], "where features of real pictures are kept for the next evaluation"] = (
        "disk"
    )
    device: Annotated[str, "auto, cpu, cuda, cuda:N or mps"] = "auto"
    settings: Annotated[
        tuple[str, ...],
        "a condition of a sampler, such as label=ship (gantk inspect lists them)",
        Spelling(flag="--set", metavar="NAME=VALUE"),
    ] = ()

    @property
    def kind(self) -> Kind:
        """What is compared with what. Raises ``UsageError`` where the folders leave that open."""
        kinds = dict(self._kinds())
        if len(kinds) != 1:
            given = " and ".join(kinds.values()) if kinds else "nothing"
            raise UsageError(
                f"expected one of --inputs DIR --against DIR (translations), --a DIR --b DIR or --ab DIR (pairs), "
                f"--hr DIR (super-resolution), --against DIR (samples) or --pictures DIR --against DIR; got {given}"
            )
        return next(iter(kinds))

    def _kinds(self) -> Iterator[tuple[Kind, str]]:
        if self.pictures is not None:
            yield "pictures", "--pictures"
        if self.inputs is not None:
            yield "translations", "--inputs"
        if self.a is not None or self.b is not None or self.ab is not None:
            yield "pairs", "--ab" if self.a is None and self.b is None else "--a, --b"
        if self.hr is not None:
            yield "super-resolution", "--hr"
        if self.against is not None and self.pictures is None and self.inputs is None:
            yield "samples", "--against"

    def checked(self, *, model: bool) -> Kind:
        """The kind, once everything that goes with it is given and nothing else. Raises ``UsageError``.

        ``model``: whether there is one to judge.
        """
        kind = self.kind
        if kind in ("translations", "pictures") and self.against is None:
            flag = "--inputs" if kind == "translations" else "--pictures"
            raise UsageError(f"{flag}: expected --against DIR too, a folder of real pictures to compare with")
        if kind == "pairs" and ((self.a is None) != (self.b is None) or (self.a is not None) == (self.ab is not None)):
            raise UsageError("expected --a DIR and --b DIR, or --ab DIR alone")
        if self.also and kind not in ("translations", "pairs"):
            raise UsageError("--also goes with --inputs DIR, or with --a DIR and --b DIR")
        if self.lr_images is not None and kind != "super-resolution":
            raise UsageError("--lr-images goes with --hr DIR")
        if self.swap and self.ab is None:
            raise UsageError("--swap goes with --ab DIR; with --a and --b, swap the two folders")
        if self.classifier is not None and kind not in ("samples", "pictures"):
            raise UsageError("--classifier is for samples, and for --pictures")
        if self.lpips is not None and "lpips" not in OFFERED[kind]:
            raise UsageError(f"--lpips: not for {kind}, where results have no targets")
        for name in self.metric:
            if name not in OFFERED[kind]:
                raise UsageError(f"--metric {name}: not for {kind}; expected one of {', '.join(OFFERED[kind])}")
        if self.network not in NETWORKS:
            near = did_you_mean(self.network, list(NETWORKS))
            raise UsageError(f"--network {self.network}: expected one of {', '.join(NETWORKS)}{near}")
        if model == (kind == "pictures"):
            expected = "expected a MODEL, or --pictures DIR without one"
            raise UsageError("--pictures goes without a MODEL" if model else expected)
        return kind
