"""What bench/quality.py and bench/score.py train, a CPU config for each model, and what they judge the results by."""

from __future__ import annotations

import argparse
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import held_out
from held_out import Both
from PIL import Image

import translate
from translate import plugins
from translate.config import read_overlays
from translate.data.listing import find_images
from translate.evaluation.result import Result
from translate.model import Model
from translate.sample.saving import to_bytes
from translate.training.request import Request, make_request, tables_of

CONFIGS = Path(__file__).parent.parent / "configs"

SAMPLED = 500
"""Pictures that a sampler draws to be judged."""

Flags = Mapping[str, object]
Judge = Callable[[Path, Path, Request], Flags]
"""From the data, the working folder and the training: what ``gantk evaluate`` is given, beside a model."""


@dataclass(frozen=True)
class Case:
    """A config, the data flags that it is trained with, and what its result is judged by.

    ``train``: of the data and the working folder. ``metrics``: the figures that are shown, in their order. ``draw``: of
    a model whose results ``gantk evaluate`` cannot make by itself, how to put them into a folder; ``judge``'s folder of
    inputs tells for what.
    """

    config: str
    train: Callable[[Path, Path], Flags]
    judge: Judge
    metrics: tuple[str, ...]
    draw: Callable[[Model, Path, Path], None] | None = None


def horses(data: Path, work: Path) -> tuple[Both, Both]:
    a, b = (held_out.photos(data, work, "horse2zebra", f"train{domain}") for domain in "AB")
    return a, b


def unpaired(config: str, *more: str) -> Case:
    """Horses to zebras."""

    def train(data: Path, work: Path) -> Flags:
        a, b = horses(data, work)
        return {"a": (a[0],), "b": (b[0],)}

    def judge(data: Path, work: Path, request: Request) -> Flags:
        a, b = horses(data, work)
        return {"inputs": a[1], "against": b[1], "size": request.run.size}

    return Case(config, train, judge, ("frechet", "kernel", "swd", "edges", *more))


def sampler(config: str, pictures: Callable[[Path, Path], Both]) -> Case:
    """Pictures from noise."""

    def judge(data: Path, work: Path, request: Request) -> Flags:
        return {"against": pictures(data, work)[1], "count": SAMPLED, "size": request.run.size}

    return Case(config, lambda data, work: {"images": (pictures(data, work)[0],)}, judge, SAMPLES)


def upscaler(config: str, training: str, judged_on: str, lows: str | None = None) -> Case:
    """Super-resolution, judged as published: luma, without a border as wide as the scale."""

    def judge(data: Path, work: Path, request: Request) -> Flags:
        found = {"hr": data / "sr" / judged_on / "HR"}
        return found if lows is None else found | {"lr_images": data / "sr" / judged_on / "LR_bicubic" / lows}

    return Case(config, lambda data, work: {"hr": (data / "sr" / training,)}, judge, ("psnr", "ssim"))


def from_captions(config: str) -> Case:
    """Drawn shapes, as many for each held-out caption as there are pictures of it."""

    def judge(data: Path, work: Path, request: Request) -> Flags:
        held = held_out.shapes(data, work)[1]
        return {"inputs": held, "against": held, "size": request.run.size}

    def draw(model: Model, captions: Path, out: Path) -> None:
        wanted = Counter(path.read_text(encoding="utf-8").strip() for path in sorted(captions.glob("*.txt")))
        for number, (caption, count) in enumerate(sorted(wanted.items())):
            for index, pixels in enumerate(to_bytes(model.sample(count, seed=number, text=caption))):
                Image.fromarray(pixels).save(out / f"{number:03d}-{index}.png")

    return Case(config, lambda data, work: {"images": (held_out.shapes(data, work)[0],)}, judge, SAMPLES, draw)


def from_maps(config: str) -> Case:
    """Facades' photos from maps of class indices."""

    def train(data: Path, work: Path) -> Flags:
        folder = held_out.facades(data, work)[0]
        return {"labels": (folder / "labels",), "images": (folder / "photos",), "classes": len(held_out.FACADE)}

    def judge(data: Path, work: Path, request: Request) -> Flags:
        folder = held_out.facades(data, work)[1]
        return {"a": folder / "labels", "b": folder / "photos", "size": request.run.size}

    return Case(config, train, judge, ("l1", "ssim", "frechet"))


def to_zebra(model: Model, horses: Path, out: Path) -> None:
    model.translate_folder(horses, out, domain="zebra", quiet=True)


def judge_stargan(data: Path, work: Path, request: Request) -> Flags:
    held, size = held_out.domains(data, work)[1], request.run.size
    inputs = held_out.squares(held / "horse", work / "pictures" / f"horses-{size}", size)
    return {"inputs": inputs, "against": held / "zebra", "size": size}


def train_sincut(data: Path, work: Path) -> Flags:
    photo, painting = held_out.single(data)
    return {"a": photo, "b": painting}


def judge_sincut(data: Path, work: Path, request: Request) -> Flags:
    photo, painting = held_out.single(data)
    side = request.run.size
    return {"inputs": photo, "against": held_out.patches(painting, work / "pictures" / f"patches-{side}", side)}


def in_patches(model: Model, photo: Path, out: Path) -> None:
    """The photo in the manner of the painting, cut as the painting is."""
    model.translate_folder(photo, out / "whole", format="png", quiet=True)
    (whole,) = find_images(out / "whole")
    for path in find_images(held_out.patches(whole, out / "patches", model.published.data.size)):
        path.rename(out / path.name)
    shutil.rmtree(out / "whole")
    shutil.rmtree(out / "patches")


def judge_inpaint(data: Path, work: Path, request: Request) -> Flags:
    held, size = landscapes(data, work)[1], request.run.size
    cutout, whole = held_out.cut_out(held, work / "pictures" / f"holes-{size}", size)
    return {"a": cutout, "b": whole}


def judge_restore(data: Path, work: Path, request: Request) -> Flags:
    folder = data / "sr" / "Set14" / "HR"
    low, high = held_out.degraded(folder, work / "pictures" / "degraded", request.source)
    return {"a": low, "b": high, "colour": "y"}


def judge_colours(data: Path, work: Path, request: Request) -> Flags:
    """The model reads the pictures as grey ones, and gives them their colours back."""
    held = landscapes(data, work)[1]
    return {"a": held, "b": held, "size": request.run.size}


def judge_clips(data: Path, work: Path, request: Request) -> Flags:
    folder = held_out.clips(data, work)[1]
    return {"a": folder / "a", "b": folder / "b", "size": request.run.size}


def train_clips(data: Path, work: Path) -> Flags:
    folder = held_out.clips(data, work)[0]
    return {"a": (folder / "a",), "b": (folder / "b",)}


def judge_pix2pix(data: Path, work: Path, request: Request) -> Flags:
    return {"ab": data / "facades" / "val", "swap": True, "size": request.run.size}


def faces(data: Path, work: Path) -> Both:
    return held_out.photos(data, work, "anime_faces", "train")


def landscapes(data: Path, work: Path) -> Both:
    return held_out.photos(data, work, "monet2photo", "trainB")


SAMPLES = ("frechet", "kernel", "swd")
PAIRS = ("l1", "ssim", "frechet")
RESTORED = ("psnr", "ssim", "l1")
CASES = {
    "cyclegan": unpaired("cyclegan-horse2zebra-cpu", "cycle-l1"),
    "cut": unpaired("cut-horse2zebra-cpu"),
    "fastcut": unpaired("fastcut-horse2zebra-cpu"),
    "uvcgan": unpaired("uvcgan-horse2zebra-cpu", "cycle-l1"),
    "sincut": Case("sincut-cpu", train_sincut, judge_sincut, SAMPLES, in_patches),
    "stargan": Case(
        "stargan-128-cpu",
        lambda data, work: {"domains": (held_out.domains(data, work)[0],)},
        judge_stargan,
        SAMPLES,
        to_zebra,
    ),
    "pix2pix": Case(
        "pix2pix-facades-cpu", lambda data, work: {"ab": (data / "facades" / "train",)}, judge_pix2pix, PAIRS
    ),
    "video-pix2pix": Case("video-pix2pix-64-cpu", train_clips, judge_clips, PAIRS),
    "colourise": Case(
        "colourise-cpu", lambda data, work: {"images": (landscapes(data, work)[0],)}, judge_colours, PAIRS
    ),
    "inpaint": Case(
        "inpaint-cpu", lambda data, work: {"images": (landscapes(data, work)[0],)}, judge_inpaint, RESTORED
    ),
    "restore": Case(
        "restore-cpu", lambda data, work: {"images": (data / "sr" / "T91",)}, judge_restore, ("psnr", "ssim")
    ),
    "pix2pixhd": from_maps("pix2pixhd-64-cpu"),
    "spade": from_maps("spade-64-cpu"),
    "srgan": upscaler("srgan-x4-cpu", "BSDS500_train", "Set5"),
    "esrgan": upscaler("esrgan-x4-cpu", "BSDS500_train", "Set5"),
    "realesrgan": upscaler("realesrgan-compact-x2-cpu", "T91", "Set14", "X2"),
    "dcgan": sampler("dcgan-anime-cpu", faces),
    "stylegan2": sampler("stylegan2-anime-cpu", faces),
    **{
        name: sampler(f"{name}-{rest}-cpu", held_out.digits)
        for name, rest in {
            **dict.fromkeys(("gan", "cgan"), "mnist"),
            **dict.fromkeys(("lsgan", "wgan", "sagan", "biggan", "r3gan", "pggan", "pggan-labelled"), "mnist32"),
            "wgan-gp": "mnist16",
        }.items()
    },
    "stackgan": from_captions("stackgan-shapes32-cpu"),
    "attngan": from_captions("attngan-shapes32-cpu"),
}


def request_of(name: str, given: argparse.Namespace) -> Request:
    """The run that ``gantk train NAME --config`` would make, for so many minutes."""
    case = CASES[name]
    layer = {
        "data": dict(case.train(given.data, given.work)),
        "run": {"minutes": given.minutes, "device": given.device},
    }
    cls = plugins.load_plugin(plugins.find(name))
    overlays = read_overlays([CONFIGS / f"{case.config}.toml"], tables_of(cls), name)
    return make_request(name, cls, layer, out=given.work / name, overlays=overlays)


def judged(name: str, request: Request, given: argparse.Namespace, out: Path) -> Result:
    """The figures of a model in a folder."""
    case = CASES[name]
    flags = {"device": given.device, "metric": case.metrics, **case.judge(given.data, given.work, request)}
    if case.draw is None:
        return translate.evaluate(out, quiet=True, **flags)
    results = out / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    case.draw(translate.load(out), flags.pop("inputs"), results)
    return translate.evaluate(None, quiet=True, pictures=results, **flags)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What the scripts that train these have in common."""
    parser.add_argument("models", nargs="*", help=f"all of them unless given: {', '.join(CASES)}")
    parser.add_argument("--data", type=Path, required=True, help="folder of horse2zebra/, facades/, anime_faces/, sr/")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--device", default="cpu")


def parse(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    """The flags, once they are found to be possible."""
    given = parser.parse_args(words)
    if unknown := [name for name in given.models if name not in CASES]:
        parser.error(f"{unknown[0]}: expected one of {', '.join(CASES)}")
    given.data, given.work = given.data.resolve(), given.work.resolve()
    given.work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return given
