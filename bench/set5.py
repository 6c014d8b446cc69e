"""PSNR and SSIM of a super-resolution model, and of bicubic, on Set5 and Set14.

    python bench/set5.py runs/srgan-1 --sets DIR

Luma (BT.601), a border of as many pixels as the scale left out, rounded to 8 bits, mean over the images: the protocol
of the papers. Low-resolution images are the sets' own where there are such, or else made by the same bicubic.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from tables import add_json, append
from torch import Tensor

from translate.contract import Batch
from translate.data.bicubic import crop_to_multiple, resize
from translate.data.decode import Pixels, open_image
from translate.metrics.restoration import psnr, ssim
from translate.modelfile.model import Published, load_published


def to_tensor(image: Pixels) -> Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 127.5 - 1


def pairs(folder: Path, scale: int, channels: int) -> list[tuple[str, Pixels, Pixels]]:
    """Stem, low- and high-resolution pixels of each image of a set."""
    found = []
    for path in sorted((folder / "HR").iterdir()):
        high = crop_to_multiple(open_image(path, channels), scale)
        given = folder / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png"
        low = open_image(given, channels) if given.is_file() else resize(high, 1 / scale)
        found.append((path.stem, low, high))
    return found


def enlarge(model: Published, low: Tensor) -> Tensor:
    direction = model.direction()
    with torch.inference_mode():
        return direction.run(model.nets, Batch({direction.input_names[0]: low}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="run folder or model file")
    parser.add_argument("--sets", type=Path, required=True, help="folder of Set5/HR and Set14/HR")
    add_json(parser)
    given = parser.parse_args()
    model = load_published(given.model)
    scale, channels = model.data.scale, model.data.channels["high"]
    print(f"{model.path}: {model.plugin} x{scale}, {model.card.weights} weights after step {model.card.step}")
    print(f"{'':16}{'PSNR, dB':>10}{'bicubic':>10}{'gain':>8}{'SSIM':>10}{'bicubic':>10}")
    for name in ("Set5", "Set14"):
        rows = []
        for stem, low, high in pairs(given.sets / name, scale, channels):
            target = to_tensor(high)
            outputs = enlarge(model, to_tensor(low)), to_tensor(resize(low, scale))
            row = [measure(o, target, border=scale).item() for measure in (psnr, ssim) for o in outputs]
            rows.append(row)
            show(f"  {stem}", row)
        mean = torch.tensor(rows).mean(0).tolist()
        show(f"{name} mean", mean)
        result = {"model": model.path, "plugin": model.plugin, "step": model.card.step, "set": name}
        append(
            given.json, "set5", result | dict(zip(("psnr", "bicubic_psnr", "ssim", "bicubic_ssim"), mean, strict=True))
        )


def show(name: str, row: list[float]) -> None:
    ours, bicubic, ssim_ours, ssim_bicubic = row
    print(f"{name:16}{ours:10.2f}{bicubic:10.2f}{ours - bicubic:+8.2f}{ssim_ours:10.4f}{ssim_bicubic:10.4f}")


if __name__ == "__main__":
    main()
