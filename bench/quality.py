"""What every built-in model's CPU config reaches in a given time, judged on pictures that were held out.

    python bench/quality.py --data ../shared/data --work /tmp/quality --minutes 10
    python bench/quality.py cyclegan dcgan --data ../shared/data --work /tmp/quality --minutes 2 --reference

With --reference the models are trained by their plain loops of bench/reference as well, on the same pictures for the
same time, and judged by the same figures. Time is that of the wall for both: give the bench a core of its own and one
thread (``taskset``, ``OMP_NUM_THREADS=1``). Learning rates fall over that time. Where the public code publishes an
average of the generator's weights (BigGAN, R3GAN, StyleGAN2, PGGAN, AttnGAN, Real-ESRGAN), so does the plain loop;
otherwise the last weights, also of models whose config has an average of ours (SAGAN, StackGAN).

Each run and its figures are kept in --work: what is there is not computed again. The last lines are the rows for
RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import reference
import torch
from PIL import Image
from precision import linked, split
from tables import add_json, append, tell_machine

import translate
from translate import plugins
from translate.config import read_overlays
from translate.data.idx import IMAGES, LABELS, read_idx
from translate.data.loader import Loader
from translate.evaluation.result import Result
from translate.modelfile.header import FILE_NAME
from translate.modelfile.write import save_published
from translate.training import checkpoint
from translate.training.engine import Engine
from translate.training.opening import open_source
from translate.training.request import Request, make_request, tables_of

CONFIGS = Path(__file__).parent.parent / "configs"

DIGITS = 9500
"""Of MNIST's 10,000 test digits, how many are trained on; the others are held out."""

Folders = Mapping[str, Path]


@dataclass(frozen=True)
class Case:
    """A config, the folders that it trains on, and what its result is judged by: functions of data and working folder.

    ``metrics``: the figures that are shown, in their order.
    """

    config: str
    train: Callable[[Path, Path], Folders]
    judge: Callable[[Path, Path], Folders]
    metrics: tuple[str, ...]
    more: tuple[tuple[str, object], ...] = ()


def held(work: Path, folder: Path) -> tuple[Path, Path]:
    """Folders of links to the pictures to train on, and to those that are held out."""
    training, others = split(folder.resolve())
    place = work / "pictures" / f"{folder.parent.name}-{folder.name}"
    return linked(place / "train", training), linked(place / "held", others)


def horses(number: int, names: tuple[str, str]) -> Callable[[Path, Path], Folders]:
    def folders(data: Path, work: Path) -> Folders:
        both = (held(work, data / "horse2zebra" / f"train{domain}")[number] for domain in "AB")
        return dict(zip(names, both, strict=True))

    return folders


def one(flag: str, *parts: str) -> Callable[[Path, Path], Folders]:
    return lambda data, work: {flag: data.joinpath(*parts)}


def faces(number: int, flag: str) -> Callable[[Path, Path], Folders]:
    return lambda data, work: {flag: held(work, data / "anime_faces" / "train")[number]}


def digits(number: int, flag: str) -> Callable[[Path, Path], Folders]:
    """MNIST's test digits as files, a sub-folder for each class: the first ``DIGITS`` to train on."""

    def folders(data: Path, work: Path) -> Folders:
        place = work / "pictures" / "digits"
        if not place.exists():
            images = read_idx(data / "mnist" / "t10k-images-idx3-ubyte.gz", IMAGES)
            labels = read_idx(data / "mnist" / "t10k-labels-idx1-ubyte.gz", LABELS)
            fresh = place.with_name("digits-unfinished")
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                folder = fresh / ("train" if index < DIGITS else "held") / str(label)
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(folder / f"{index:05d}.png")
            fresh.rename(place)
        return {flag: place / ("train", "held")[number]}

    return folders


SAMPLED = 500
"""Pictures that a sampler draws to be judged."""

TRANSLATION = ("frechet", "kernel", "swd", "edges")
SAMPLES = ("frechet", "kernel", "swd")
CASES = {
    "cyclegan": Case(
        "cyclegan-horse2zebra-cpu", horses(0, ("a", "b")), horses(1, ("inputs", "against")), (*TRANSLATION, "cycle-l1")
    ),
    "cut": Case("cut-horse2zebra-cpu", horses(0, ("a", "b")), horses(1, ("inputs", "against")), TRANSLATION),
    "pix2pix": Case(
        "pix2pix-facades-cpu",
        one("ab", "facades", "train"),
        one("ab", "facades", "val"),
        ("l1", "ssim", "frechet"),
        (("direction", "b2a"),),
    ),
    "srgan": Case("srgan-x4-cpu", one("hr", "sr", "BSDS500_train"), one("hr", "sr", "Set5", "HR"), ("psnr", "ssim")),
    "esrgan": Case("esrgan-x4-cpu", one("hr", "sr", "BSDS500_train"), one("hr", "sr", "Set5", "HR"), ("psnr", "ssim")),
    "dcgan": Case("dcgan-anime-cpu", faces(0, "images"), faces(1, "against"), SAMPLES),
    "stylegan2": Case("stylegan2-anime-cpu", faces(0, "images"), faces(1, "against"), SAMPLES),
    **{
        config.partition("-")[0]: Case(config, digits(0, "images"), digits(1, "against"), SAMPLES)
        for config in (
            *("gan-mnist-cpu", "cgan-mnist-cpu", "lsgan-mnist32-cpu", "wgan-mnist32-cpu", "sagan-mnist32-cpu"),
            *("biggan-mnist32-cpu", "r3gan-mnist32-cpu"),
        )
    },
}


def request_of(name: str, given: argparse.Namespace, out: Path) -> Request:
    """The run that ``gantk train NAME --config`` would make, for so many minutes."""
    case = CASES[name]
    folders = {flag: (path,) for flag, path in case.train(given.data, given.work).items()}
    layer = {"data": {**folders, **dict(case.more)}, "run": {"minutes": given.minutes, "device": given.device}}
    cls = plugins.load_plugin(plugins.find(name))
    overlays = read_overlays([CONFIGS / f"{case.config}.toml"], tables_of(cls), name)
    return make_request(name, cls, layer, out=out, overlays=overlays)


def by_gantk(name: str, given: argparse.Namespace, out: Path) -> None:
    """Train as the command line does, in a process of its own."""
    case = CASES[name]
    flags = [word for flag, path in case.train(given.data, given.work).items() for word in (f"--{flag}", str(path))]
    flags += [word for flag, value in case.more for word in (f"--{flag}", str(value))]
    config = ["--config", str(CONFIGS / f"{case.config}.toml"), "--minutes", str(given.minutes)]
    command = [sys.executable, "-m", "translate", "train", name, *config, *flags, "--out", str(out)]
    with (given.work / f"{name}.log").open("a", encoding="utf-8") as log:
        subprocess.run([*command, "--device", given.device], check=True, stdout=log, stderr=log)


def by_reference(name: str, given: argparse.Namespace, out: Path) -> None:
    """Train by the plain loop on the same pictures and write what it has learnt as a model file."""
    request = request_of(name, given, out)
    torch.manual_seed(request.run.seed)
    dataset = open_source(request.source, request.run, request.task.networks)
    engine = Engine(request.task, dataset.spec, request.run)
    loop = reference.plain_loop(name, engine)
    run = request.run
    with Loader(dataset, batch=run.batch, seed=run.seed, workers=run.workers, device=engine.device) as loader:
        began, seconds = time.monotonic(), 60 * given.minutes
        while (elapsed := time.monotonic() - began) < seconds:
            loop.step(loader.next_batch, elapsed / seconds)
    loop.publish()
    out.mkdir(parents=True, exist_ok=True)
    save_published(
        out / FILE_NAME,
        plugin=name,
        task=request.task,
        data=engine.data,
        tensors=checkpoint.published_tensors(engine),
        weights="averaged" if loop.averages else "raw",
        step=loop.done,
        precision="fp32",
    )


def judged(name: str, given: argparse.Namespace, out: Path) -> Result:
    """The figures of a finished run."""
    case = CASES[name]
    how: dict[str, object] = {"device": given.device, "metric": case.metrics, **case.judge(given.data, given.work)}
    if "hr" not in how:
        how["size"] = request_of(name, given, out).run.size
    if "against" in how and "inputs" not in how:
        how["count"] = SAMPLED
    if ("direction", "b2a") in case.more:
        how["swap"] = True
    return translate.evaluate(out, **how)


def rows(name: str, given: argparse.Namespace) -> Iterator[str]:
    """Table rows: gantk's, and those of the plain loop where there is one and it is wanted."""
    ways: list[tuple[str, Callable[[str, argparse.Namespace, Path], None]]] = [("gantk", by_gantk)]
    if given.reference and name in reference.LOOPS:
        ways.append(("plain loop", by_reference))
    for way, train in ways:
        out = given.work / f"{name}-{way.replace(' ', '-')}-{given.minutes:g}"
        if not (out / FILE_NAME).is_file():
            train(name, given, out)
        result = judged(name, given, out)
        figures = "; ".join(f"{f.name} {f.value:.4g} ({f.low:.4g} to {f.high:.4g}){' ' * bool(f.unit)}{f.unit}"
                            for f in result.figures)  # fmt: skip
        steps = result.model["step"]
        append(
            given.json,
            "quality",
            {"config": CASES[name].config, "way": way, "minutes": given.minutes, **result.to_json()},
        )
        yield f"| {name} | {CASES[name].config} | {way} | {given.minutes:g} | {steps:,} | {figures} |"


def main(words: Sequence[str] | None = None) -> None:
    """Train, judge and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help=f"all of them unless given: {', '.join(CASES)}")
    parser.add_argument("--data", type=Path, required=True, help="folder of horse2zebra/, facades/, anime_faces/, sr/")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--minutes", type=float, default=10, help="of training, for each model and each way")
    parser.add_argument("--reference", action="store_true", help="train by the plain loops of bench/reference too")
    parser.add_argument("--device", default="cpu")
    add_json(parser)
    given = parser.parse_args(words)
    if unknown := [name for name in given.models if name not in CASES]:
        parser.error(f"{unknown[0]}: expected one of {', '.join(CASES)}")
    given.data, given.work = given.data.resolve(), given.work.resolve()
    given.work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    print("| model | config | trained by | minutes | steps | figures with 95 % intervals |\n|---|---|---|---|---|---|")
    for name in given.models or CASES:
        for row in rows(name, given):
            print(row, flush=True)
    tell_machine(torch.device(given.device))


if __name__ == "__main__":
    main()
