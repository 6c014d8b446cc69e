"""Does bf16 learn as well as fp32? The same runs in both, with several seeds each, judged on held-out pictures.

    python bench/precision.py cyclegan pix2pix --data DATA --features WEIGHTS --work /tmp/precision
    python bench/precision.py dcgan --seeds 5 --data DATA --features WEIGHTS --work /tmp/precision

Small networks at 64 px (DCGAN 32 px) trained by ``gantk train``, as a user would. Judged are: pix2pix by L1 and SSIM
against the photo, CycleGAN by its cycle loss (both ways) and the Frechet distance of its translations to the target
domain, DCGAN by the Frechet distance of its samples to every second face. Features for the distances: the pooled 128
channels of a MobileNetV1's middle stage (``--features``). A run that is finished in ``--work`` is not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tables import add_json, append
from torch import Tensor, nn
from torch.nn import functional as F

from translate.contract import Batch
from translate.data.decode import open_image
from translate.data.listing import find_images
from translate.data.transforms import resize
from translate.metrics.restoration import ssim
from translate.modelfile.model import Published, load_published
from translate.sample.sampler import Sampler

PRECISIONS = ("fp32", "bf16")
HELD_OUT = 100


class MobileNet(nn.Module):
    """MobileNetV1 of width 0.25 to its middle stage (Howard et al., 2017): (N, 3, H, W) in [-1, 1] -> (N, 128)."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.1))
        widths = [(8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
        self.stage1 = nn.Sequential(first, *(separable(*width) for width in widths))
        self.stage2 = nn.Sequential(separable(64, 128, 2), *(separable(128, 128, 1) for _ in range(5)))
        state = torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
        ours = {name.removeprefix("module."): tensor for name, tensor in state.items()}
        self.load_state_dict({name: ours[name] for name in self.state_dict()})
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        large = F.interpolate(images.clamp(-1, 1), (224, 224), mode="bilinear", antialias=True)
        pooled: Tensor = self.stage2(self.stage1(((large + 1) / 2 - mean) / std)).mean((2, 3))
        return pooled


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
    pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
    norms = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
    return nn.Sequential(depthwise, norms[0], nn.LeakyReLU(0.1), pointwise, norms[1], nn.LeakyReLU(0.1))


def frechet(first: Tensor, second: Tensor) -> float:
    """Frechet distance of two sets of features (N, D), each taken for a normal distribution (Heusel et al., 2017)."""
    first, second = first.double(), second.double()
    cov_1, cov_2 = first.T.cov(), second.T.cov()
    # The trace of the root of a product of two covariances: its eigenvalues are real and not negative.
    root = torch.linalg.eigvals(cov_1 @ cov_2).real.clamp_min(0).sqrt().sum()
    means = (first.mean(0) - second.mean(0)).square().sum()
    return float(means + cov_1.trace() + cov_2.trace() - 2 * root)


def seen(features: nn.Module, images: Tensor) -> Tensor:
    """Features of many images, a few at a time."""
    return torch.cat([features(part) for part in images.split(50)])


def tensors(paths: Sequence[Path], size: int) -> Tensor:
    """Pictures as (N, 3, size, size) in [-1, 1]."""
    pictures = [torch.from_numpy(resize(open_image(path, 3), size, size).copy()) for path in paths]
    return torch.stack(pictures).permute(0, 3, 1, 2) / 127.5 - 1


def split(folder: Path) -> tuple[list[Path], list[Path]]:
    """What to train on, and what is held out: evenly spaced over the sorted names."""
    found = find_images(folder)
    held = {found[i * len(found) // HELD_OUT] for i in range(HELD_OUT)}
    return [path for path in found if path not in held], sorted(held)


def linked(place: Path, paths: Sequence[Path]) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for path in paths:
        link = place / path.name
        if not link.is_symlink():
            link.symlink_to(path)
    return place


def run(model: Published, name: str, inputs: Tensor) -> Tensor:
    direction = model.direction(name)
    with torch.inference_mode():
        parts = [direction.run(model.nets, Batch({direction.input_names[0]: part})) for part in inputs.split(25)]
    return torch.cat(parts).clone()


@dataclass(frozen=True)
class Study:
    """One comparison: the flags that every run has, and what its result is judged by (lower is better but for SSIM)."""

    flags: Callable[[Path, Path], list[str]]
    judge: Callable[[Path, Published, nn.Module], dict[str, float]]


def cyclegan_flags(data: Path, work: Path) -> list[str]:
    folders = (data / "horse2zebra" / f"train{domain}" for domain in "AB")
    a, b = (linked(work / f"cyclegan-{folder.name}", split(folder)[0]) for folder in folders)
    small = ["--width", "32", "--blocks", "4", "--patch-layers", "2", "--size", "64"]
    return ["--a", str(a), "--b", str(b), *small]


def judge_cyclegan(data: Path, model: Published, features: nn.Module) -> dict[str, float]:
    held = {d: tensors(split(data / "horse2zebra" / f"train{d.upper()}")[1], 64) for d in "ab"}
    everything = {d: tensors(find_images(data / "horse2zebra" / f"train{d.upper()}"), 64) for d in "ab"}
    scores = {"cycle L1": 0.0}
    for there, back, source, target in (("a2b", "b2a", "a", "b"), ("b2a", "a2b", "b", "a")):
        fake = run(model, there, held[source])
        scores["cycle L1"] += float(F.l1_loss(run(model, back, fake), held[source]) / 2)
        scores[f"Frechet {there}"] = frechet(seen(features, fake), seen(features, everything[target]))
    return scores


def pix2pix_flags(data: Path, work: Path) -> list[str]:
    small = ["--width", "32", "--norm", "instance", "--patch-layers", "2", "--size", "64", "--batch", "4"]
    return ["--ab", str(data / "facades" / "train"), "--direction", "b2a", *small]


def judge_pix2pix(data: Path, model: Published, features: nn.Module) -> dict[str, float]:
    pairs = [open_image(path, 3) for path in find_images(data / "facades" / "val")]

    def half(start: int) -> Tensor:
        parts = [resize(pair[:, start : start + 256], 64, 64).copy() for pair in pairs]
        return torch.stack([torch.from_numpy(part) for part in parts]).permute(0, 3, 1, 2) / 127.5 - 1

    photos, labels = half(0), half(256)
    fake = run(model, model.directions[0].name, labels)
    scores = {"L1": float(F.l1_loss(fake, photos)), "SSIM": float(ssim(fake, photos).mean())}
    return scores | {"Frechet": frechet(seen(features, fake), seen(features, photos))}


def dcgan_flags(data: Path, work: Path) -> list[str]:
    return ["--images", str(data / "anime_faces" / "train"), "--size", "32", "--width", "32", "--batch", "64"]


def judge_dcgan(data: Path, model: Published, features: nn.Module) -> dict[str, float]:
    faces = tensors(find_images(data / "anime_faces" / "train"), 32)[::2]
    return {"Frechet": frechet(seen(features, Sampler(model=model, seed=1).sample(len(faces))), seen(features, faces))}


STUDIES = {
    "cyclegan": Study(cyclegan_flags, judge_cyclegan),
    "pix2pix": Study(pix2pix_flags, judge_pix2pix),
    "dcgan": Study(dcgan_flags, judge_dcgan),
}


def trained(name: str, precision: str, seed: int, given: argparse.Namespace) -> Path:
    """The run folder of a finished run."""
    out: Path = given.work / f"{name}-{precision}-{seed}"
    finished = out / "finished"
    if not finished.exists():
        flags = ["--precision", precision, "--seed", str(seed), "--steps", str(given.steps), "--out", str(out)]
        flags += ["--device", given.device, "--preview-every", str(given.steps), "--save-every", str(given.steps)]
        verb = (
            ["--resume", str(out)]
            if (out / "config.toml").exists()
            else STUDIES[name].flags(given.data, given.work) + flags
        )
        with (given.work / f"{name}.log").open("a", encoding="utf-8") as log:
            command = [sys.executable, "-m", "translate", "train", name, *verb]
            subprocess.run(command, check=True, stdout=log, stderr=log)
        finished.touch()
    return out


def verdict(scores: Mapping[str, Sequence[dict[str, float]]], judged: str) -> str:
    """How much worse bf16's mean is than fp32's, beside how far fp32's seeds are from each other."""
    values = {precision: [score[judged] for score in of_seeds] for precision, of_seeds in scores.items()}
    error = math.sqrt(sum(statistics.variance(found) / len(found) for found in values.values()))
    spread = max(values["fp32"]) - min(values["fp32"])
    worse = statistics.mean(values["bf16"]) - statistics.mean(values["fp32"])
    worse = -worse if judged == "SSIM" else worse
    shown = "  ".join(f"{p} " + " ".join(f"{value:.4f}" for value in values[p]) for p in PRECISIONS)
    return f"{judged:12} {shown}  bf16 worse by {worse:+.4f} (standard error {error:.4f}), seeds apart by {spread:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", choices=list(STUDIES))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=2, help="two or more, from 0 on")
    parser.add_argument("--data", type=Path, required=True, help="folder of horse2zebra/, facades/ and anime_faces/")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--features",
        type=Path,
        required=True,
        help="model_best.pth.tar of Pytorch_Retinaface",
    )
    add_json(parser)
    given = parser.parse_args()
    if given.seeds < 2:
        parser.error("--seeds: expected two or more")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given.work.mkdir(parents=True, exist_ok=True)
    given.work = given.work.resolve()
    features = MobileNet(given.features)
    for name in given.models:
        scores: dict[str, list[dict[str, float]]] = {precision: [] for precision in PRECISIONS}
        for seed in range(given.seeds):
            for precision in PRECISIONS:
                model = load_published(trained(name, precision, seed, given))
                scores[precision].append(STUDIES[name].judge(given.data, model, features))
                record = {"model": name, "precision": precision, "seed": seed, "steps": given.steps}
                record |= scores[precision][-1]
                print(json.dumps(record), flush=True)
                append(given.json, "precision", record)
        print(f"{name}, {given.steps} steps, torch {torch.__version__}")
        print("\n".join(f"  {verdict(scores, judged)}" for judged in scores["fp32"][0]), flush=True)


if __name__ == "__main__":
    main()
