"""LPIPS and MS-SSIM, as torchmetrics computes them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

# The public class takes no file: it would look for its backbone where torch downloads to.
from torchmetrics.functional.image.lpips import _LPIPS

from translate.errors import UsageError
from translate.evaluation.measures import Each, to_rgb_bytes, to_tensor
from translate.evaluation.pictures import Shown
from translate.evaluation.result import checksum
from translate.importing.read import read_file

BACKBONE = "alexnet-owt-7be5be79.pth"
"""torchvision's file of AlexNet in torch's cache, which LPIPS 0.1 is published on."""

PUBLISHED = "7be5be79"
"""How the checksum of that file begins."""

SMALLEST = 176
"""Side from which five scales of MS-SSIM fit."""


def ms_ssim() -> Each:
    """Multi-scale structural similarity (Wang et al., 2003) of each result and its target, on RGB."""

    def value_of(shown: Shown) -> float:
        output, target = _pair(shown)
        if min(output.shape[2:]) < SMALLEST:
            raise ValueError(f"needs {SMALLEST} x {SMALLEST} pixels, got {tuple(output.shape[2:])}")
        value: Tensor = multiscale_structural_similarity_index_measure(output, target, data_range=(-1.0, 1.0))
        return value.item()

    return Each("ms-ssim", value_of, "higher", how="torchmetrics, RGB")


def lpips(device: torch.device, given: Path | None = None) -> Each:
    """LPIPS (Zhang et al., 2018) of each result and its target, on AlexNet. Nothing is downloaded.

    ``given``: file of torchvision's AlexNet; else the one in torch's cache.
    """
    path = given or Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE
    if not path.is_file():
        raise UsageError(
            f"--metric lpips: the weights of torchvision's alexnet are missing ({path}): expected {BACKBONE} (from "
            f"https://download.pytorch.org/models/{BACKBONE}, SHA-256 {PUBLISHED}...) there, or named with --lpips "
            "FILE; psnr, ssim and l1 work without"
        )
    metric = _LPIPS(net="alex", pnet_rand=True).to(device)
    _load_backbone(metric.net, path)
    digest = checksum(path)

    def value_of(shown: Shown) -> float:
        output, target = _pair(shown)
        with torch.inference_mode():
            return float(metric(output.to(device), target.to(device)))

    how = f"torchmetrics, AlexNet {digest[:16]}, v0.1"
    return Each("lpips", value_of, "lower", how=how, published=digest.startswith(PUBLISHED))


def _load_backbone(network: nn.Module, path: Path) -> None:
    """Fill the slices of an AlexNet, whose layers are called by their numbers in torchvision's."""
    state = read_file(path).state
    wanted = network.state_dict()
    named = {key: f"features.{key.partition('.')[2]}" for key in wanted}
    for key, name in named.items():
        if name not in state or state[name].shape != wanted[key].shape:
            found = tuple(state[name].shape) if name in state else "nothing"
            raise UsageError(
                f"--lpips {path}: not the weights of torchvision's alexnet ({name}: found {found}, expected "
                f"{tuple(wanted[key].shape)})"
            )
    network.load_state_dict({key: state[name] for key, name in named.items()})


def _pair(shown: Shown) -> tuple[Tensor, Tensor]:
    assert shown.target is not None
    if shown.output.shape[:2] != shown.target.shape[:2]:
        raise ValueError(f"images of different sizes: {shown.output.shape[:2]} and {shown.target.shape[:2]}")
    first, second = (to_rgb_bytes(picture)[0].permute(1, 2, 0).numpy() for picture in (shown.output, shown.target))
    return to_tensor(first), to_tensor(second)
