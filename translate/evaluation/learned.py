"""LPIPS and MS-SSIM, as torchmetrics computes them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from translate.errors import UsageError
from translate.evaluation.measures import Each, to_rgb_bytes, to_tensor
from translate.evaluation.pictures import Shown

BACKBONE = "alexnet-owt-7be5be79.pth"
"""torchvision's file of AlexNet in torch's cache, which LPIPS 0.1 is published on."""

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


def lpips(device: torch.device) -> Each:
    """LPIPS (Zhang et al., 2018) of each result and its target, on AlexNet. Nothing is downloaded."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE
    if not path.is_file():
        raise UsageError(
            f"--metric lpips: the weights of torchvision's alexnet are missing: put {BACKBONE} (from "
            f"https://download.pytorch.org/models/{BACKBONE}, SHA-256 7be5be79...) into {path.parent}; psnr, ssim and "
            "l1 work without"
        )
    metric = LearnedPerceptualImagePatchSimilarity(net_type="alex").to(device)

    def value_of(shown: Shown) -> float:
        output, target = _pair(shown)
        with torch.inference_mode():
            return float(metric(output.to(device), target.to(device)))

    return Each("lpips", value_of, "lower", how="torchmetrics, AlexNet, v0.1")


def _pair(shown: Shown) -> tuple[Tensor, Tensor]:
    assert shown.target is not None
    if shown.output.shape[:2] != shown.target.shape[:2]:
        raise ValueError(f"images of different sizes: {shown.output.shape[:2]} and {shown.target.shape[:2]}")
    first, second = (to_rgb_bytes(picture)[0].permute(1, 2, 0).numpy() for picture in (shown.output, shown.target))
    return to_tensor(first), to_tensor(second)
