"""``gantk evaluate``, and ``translate.evaluate`` for programs: figures of one model on one set of pictures."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from translate.console import current, using
from translate.data.decode import probe
from translate.device import choose_device
from translate.errors import UsageError
from translate.evaluation import pictures, protocols
from translate.evaluation.classifier import ClassAccuracy, Classifier, Modes
from translate.evaluation.features import (
    FeatureNetwork,
    Inception,
    RandomFeatures,
    TorchvisionFeatures,
    find_inception,
    without_inception,
)
from translate.evaluation.kept import KeptFeatures, kept_features
from translate.evaluation.measures import (
    ENOUGH_FOR_FID,
    Distances,
    Each,
    Fidelity,
    Labels,
    Measure,
    SetMeasure,
    SlicedWasserstein,
    against_target,
    change,
    cycle,
    edges,
)
from translate.evaluation.options import (
    ACCURACY,
    CONTENT,
    DEFAULTS,
    FIDELITY,
    MODES,
    ON_FEATURES,
    PER_CLASS,
    EvaluateOptions,
    Kind,
)
from translate.evaluation.pictures import Subject, fingerprint, opened
from translate.evaluation.recipe import recipe
from translate.evaluation.result import Result, checksum, keep, place
from translate.fields import fields_of
from translate.infer.options import InferOptions
from translate.infer.runner import Network
from translate.metrics.sliced import SMALLEST
from translate.model import Model, checked
from translate.modelfile.model import Published, load_published

EXTRA = {"lpips": "torchmetrics", "ms-ssim": "torchmetrics", **dict.fromkeys(FIDELITY, "torch_fidelity")}
"""Metrics that need a package of ``gantk[metrics]``."""

LARGEST_PYRAMID = 256


def evaluate(
    model: str | Path | Model | Published | None = None,
    options: EvaluateOptions | None = None,
    *,
    quiet: bool = False,
    **given: Any,
) -> Result:
    """Judge a model, or with ``pictures`` a folder of results, as ``gantk evaluate`` does.

    ``model``: run folder, model file or what `translate.load` gave. ``options``, or its fields as keywords: what to
    compare with what, and how; ``translate.evaluate("runs/zebras", inputs=..., against=...)``. The result is kept in
    ``evaluation.json`` beside the model's file, if there is one. ``quiet``: report nothing but warnings. Raises
    ``UsageError`` before any picture is translated where folders, flags or weights do not fit, and ``ImageError`` for a
    picture that cannot be read: figures of the others alone would be of another set.
    """
    options = options or checked(EvaluateOptions, fields_of(EvaluateOptions, "evaluate"), given)
    with using(current().quieted(quiet)):
        return _evaluate(model, options)


def _evaluate(model: str | Path | Model | Published | None, options: EvaluateOptions) -> Result:
    kind = options.checked(model=model is not None)
    if options.protocol is not None:
        options = protocols.apply(options.protocol, options)
    device = choose_device(options.device)
    published = _published(model)
    subject = _subject(kind, published, options, device)
    wanted, notes = _wanted(kind, subject, published, options)
    inception = find_inception(options.inception) if set(wanted) & set(FIDELITY) else None
    if options.protocol is not None:
        scale = 1 if subject.network is None else subject.network.direction.scale
        extractor = None if inception is None else checksum(inception)
        protocols.check(options.protocol, protocols.Conformity(subject.reals, subject.count, scale, extractor))
    measures = list(_measures(wanted, subject, published, options, device, inception))
    current().line(f"{subject.count} results, {len(subject.reals)} real pictures: {', '.join(wanted)}")
    _look(subject, measures, options)
    figures = tuple(figure for measure in measures for figure in measure.figures())
    order = {name: number for number, name in enumerate(wanted)}
    result = Result(
        _model_fields(published, options),
        _setting(kind, subject, options),
        tuple(sorted(figures, key=lambda figure: order[figure.name])),
        options.protocol,
        tuple(notes),
        {name: version(name) for name in ("gantk", "torch", *sorted(_packages(wanted)))},
    )
    if published is not None and published.path.is_file():
        keep(place(published.path), result)
    return result


def _published(model: str | Path | Model | Published | None) -> Published | None:
    if isinstance(model, (str, Path)):
        return load_published(Path(model))
    return model.published if isinstance(model, Model) else model


def _subject(kind: Kind, model: Published | None, options: EvaluateOptions, device: torch.device) -> Subject:
    if model is None:
        return pictures.folder_of_pictures(options)
    if kind == "samples":
        return pictures.samples(model, options, device)
    if kind == "translations":
        return pictures.translations(model, options, device)
    if kind == "pairs":
        return pictures.pairs(model, options, device)
    return pictures.super_resolution(model, options, device)


def _wanted(
    kind: Kind, subject: Subject, model: Published | None, options: EvaluateOptions
) -> tuple[list[str], list[str]]:
    """The metrics to compute, and what the user should know of those that are not."""
    maps = subject.classes > 0
    wanted: list[str] = list(options.metric or (("pixel-accuracy", "iou") if maps else DEFAULTS[kind]))
    if subject.by_class and not options.metric:
        wanted.append(PER_CLASS)
    of_classes = (ACCURACY,) if subject.choices else MODES
    for names, given in ((of_classes, options.classifier), (("lpips",), options.lpips)):
        if given is not None and not set(names) & set(wanted):
            wanted += names
    left_out: dict[str, list[str]] = {}
    for name in list(wanted):
        missing = _missing(name, subject, model, options)
        if missing and (options.metric or name in (ACCURACY, *MODES)):
            raise UsageError(f"--metric {name}: {missing}")
        if missing:
            wanted.remove(name)
            left_out.setdefault(missing, []).append(name)
    notes = [f"left out {', '.join(names)}: {reason}" for reason, names in left_out.items()]
    if "fid" in wanted and min(subject.count, len(subject.reals)) < ENOUGH_FOR_FID:
        notes.append(
            f"FID of {subject.count} and {len(subject.reals)} pictures is biased upwards: it needs {ENOUGH_FOR_FID:,} "
            "or more of each; KID, beside it, is not biased"
        )
        if "kid" not in wanted:
            wanted.insert(wanted.index("fid") + 1, "kid")
    return wanted, notes


def _missing(name: str, subject: Subject, model: Published | None, options: EvaluateOptions) -> str | None:
    """Why a metric cannot be computed; None where it can."""
    maps, of_maps = subject.classes > 0, name in ("pixel-accuracy", "iou")
    if maps != of_maps:
        return "the results are maps of class indices" if maps else "the results are pictures, not maps of classes"
    if name in CONTENT and subject.network is not None and (subject.network.inputs[0].indexed or maps):
        return "the inputs are maps of class indices"
    if name == "change" and subject.network is not None and subject.network.inputs[0].channels != subject.channels:
        return "inputs and results have other channels"
    if name in (ACCURACY, *MODES) and options.classifier is None:
        return "expected --classifier FILE too, the ONNX file of a classifier"
    if name in (ACCURACY, *MODES) and importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed; expected pip install 'gantk[onnx]'"
    if name in (PER_CLASS, ACCURACY) and not subject.by_class:
        return "expected a model of several classes, and --against with a sub-folder of pictures for each"
    if name in MODES and subject.choices:
        return "the model draws the class that it is asked for; expected --metric class-accuracy"
    if name in MODES and len(set(subject.groups.values())) < 2:
        return "expected --against with a sub-folder of pictures for each class"
    if name == "cycle-l1" and (model is None or subject.network is None or _way_back(model, subject.network) is None):
        return "the model has no direction back"
    package = EXTRA.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        return f"{package.replace('_', '-')} is not installed; expected pip install 'gantk[metrics]'"
    if name in FIDELITY and find_inception(options.inception) is None:
        return without_inception()
    return None


def _way_back(model: Published, network: Network) -> str | None:
    """The direction that undoes the network's; None where the model has none."""
    there = network.direction
    for direction in model.directions:
        back = direction.latent is None and direction.arguments == (there.outputs,)
        if back and there.arguments == (direction.outputs,) and there.scale == direction.scale == 1:
            return direction.name
    return None


def _measures(
    wanted: Sequence[str],
    subject: Subject,
    model: Published | None,
    options: EvaluateOptions,
    device: torch.device,
    inception: Path | None,
) -> Iterator[Measure]:
    yield from _each(wanted, subject, model, options, device)
    if maps := [name for name in wanted if name in ("pixel-accuracy", "iou")]:
        yield Labels(subject.classes, maps)
    if "swd" in wanted:
        yield SlicedWasserstein(_pyramid_side(subject, options), (subject.count, len(subject.reals)), options.seed)
    if on_features := [name for name in wanted if name in (*ON_FEATURES, PER_CLASS)]:
        network: FeatureNetwork = RandomFeatures()
        if options.features is not None:
            network = TorchvisionFeatures(options.network, options.features)
        yield Distances(network, device, options.batch, on_features, _kept(network, subject, options, device))
    if ACCURACY in wanted:
        assert options.classifier is not None
        yield ClassAccuracy(ACCURACY, Classifier(options.classifier, subject.choices))
    if modes := [name for name in wanted if name in MODES]:
        assert options.classifier is not None
        yield Modes(modes, Classifier(options.classifier, sorted(set(subject.groups.values()))))
    if fidelity := [name for name in wanted if name in FIDELITY]:
        assert inception is not None
        extractor = Inception(inception)
        yield Fidelity(extractor, device, options.batch, fidelity, _kept(extractor, subject, options, device))


def _kept(
    network: FeatureNetwork, subject: Subject, options: EvaluateOptions, device: torch.device
) -> KeptFeatures | None:
    """Where the real pictures' features are kept between evaluations."""
    if options.cache == "off":
        return None
    return kept_features(network, subject.reals, f"{subject.channels} channels, size {options.size}", device)


def _each(
    wanted: Sequence[str], subject: Subject, model: Published | None, options: EvaluateOptions, device: torch.device
) -> Iterator[Each]:
    """The metrics that are means over pictures."""
    border, colour = _border(subject, options), _colour(subject, options)
    for name in wanted:
        match name:
            case "psnr" | "ssim" | "l1":
                yield against_target(name, border=border, colour=colour)
            case "ms-ssim" | "lpips":
                from translate.evaluation.learned import lpips, ms_ssim

                yield ms_ssim() if name == "ms-ssim" else lpips(device, options.lpips)
            case "edges":
                yield edges()
            case "change":
                yield change()
            case "cycle-l1":
                assert model is not None
                assert subject.network is not None
                back = model.direction(_way_back(model, subject.network))
                yield cycle(Network(model, back, device, InferOptions(tile="off", precision="fp32")))


def _look(subject: Subject, measures: Sequence[Measure], options: EvaluateOptions) -> None:
    """Show every picture to every measure."""
    for shown in subject.results():
        for measure in measures:
            measure.add(shown)
    of_sets = [measure for measure in measures if isinstance(measure, SetMeasure)]
    if of_sets:
        for path in subject.reals:
            picture = cache(partial(opened, path, subject.channels, options.size))
            for measure in of_sets:
                measure.add_real(picture, subject.groups.get(path))


def _pyramid_side(subject: Subject, options: EvaluateOptions) -> int:
    """The side that pictures are brought to: the largest 16 * 2^k that no real picture falls short of, at most 256."""
    smallest = options.size or min(min(probe(path)[:2]) for path in subject.reals)
    side = SMALLEST
    while side * 2 <= min(smallest, LARGEST_PYRAMID):
        side *= 2
    return side


def _border(subject: Subject, options: EvaluateOptions) -> int:
    if options.border is not None:
        return options.border
    scale = 1 if subject.network is None else subject.network.direction.scale
    return scale if scale > 1 else 0


def _colour(subject: Subject, options: EvaluateOptions) -> Any:
    enlarges = subject.network is not None and subject.network.direction.scale > 1
    return options.colour or ("y" if enlarges else "rgb")


def _setting(kind: Kind, subject: Subject, options: EvaluateOptions) -> dict[str, Any]:
    setting: dict[str, Any] = {"kind": kind, "results": subject.count, "size": options.size or "as it is"}
    if subject.reals:
        setting["real pictures"] = fingerprint(subject.reals)
    if kind == "samples":
        setting |= {"seed": options.seed, "conditions": sorted(options.settings)}
    if subject.network is not None:
        setting["inputs"] = fingerprint(subject.files)
        setting |= {"border": _border(subject, options), "colour": _colour(subject, options)}
        setting |= {
            "from": " and ".join(subject.network.direction.input_names),
            "to": subject.network.direction.outputs,
            "swap": options.swap,
        }
    return setting


def _model_fields(model: Published | None, options: EvaluateOptions) -> Mapping[str, Any]:
    if model is None:
        return {"pictures": str(options.pictures)}
    card = model.card
    return {
        "path": str(model.path),
        "plugin": card.plugin,
        "step": card.step,
        "weights": card.weights,
        "sha256": checksum(model.path) if model.path.is_file() else None,
        **recipe(model.path),
    }


def _packages(wanted: Sequence[str]) -> set[str]:
    return {EXTRA[name].replace("_", "-") for name in wanted if name in EXTRA}
