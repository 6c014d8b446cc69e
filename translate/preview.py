"""Preview grids: one row per sample, one column per image that a task model shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn import functional as F

from translate.files import write_whole


def to_rgb(images: Tensor) -> Tensor:
    """(N, C, H, W) in [-1, 1] or one-hot planes -> (N, 3, H, W) uint8.

    Grey is repeated, alpha is shown on white, classes are coloured; of other bands the first three are shown, of two
    the first and the second, as red and as green and blue.
    """
    channels = images.shape[1]
    if channels == 1:
        images = images.expand(-1, 3, -1, -1)
    elif channels == 4:
        alpha = (images[:, 3:] + 1) / 2
        images = images[:, :3] * alpha + (1 - alpha)
    elif channels != 3 and not bool(((images == 0) | (images == 1)).all()):
        images = images[:, [0, 1, 1] if channels == 2 else [0, 1, 2]]
    elif channels != 3:
        images = _class_colours(channels)[images.argmax(1)].permute(0, 3, 1, 2)
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def _class_colours(classes: int) -> Tensor:
    # Golden-angle hues: neighbouring class numbers get unlike colours.
    angle = torch.arange(classes) * 2.399963
    return torch.stack([torch.cos(angle), torch.cos(angle - 2.0944), torch.cos(angle + 2.0944)], 1)


PADDING = 2
"""White pixels around each image of a grid."""
KEY = "gantk"
"""The keyword of a preview's text chunk: JSON with the names of its ``columns``, the height of its ``header`` in pixels
and the number of its ``rows``."""


def grid(columns: Sequence[Tensor] | Mapping[str, Tensor], padding: int = PADDING, rows: int | None = None) -> Tensor:
    """A uint8 (3, H, W) picture of the columns side by side; smaller images are enlarged without smoothing.

    Images in uint8 are RGB already, as ``to_rgb`` gives it. A single column is laid out as a square of ``rows`` rows.
    """
    from torchvision.utils import make_grid

    images = [
        column if column.dtype == torch.uint8 else to_rgb(column)
        for column in (columns.values() if isinstance(columns, Mapping) else columns)
    ]
    height, width = max(i.shape[2] for i in images), max(i.shape[3] for i in images)
    images = [F.interpolate(image, size=(height, width), mode="nearest") for image in images]
    if len(images) == 1:
        count = len(images[0])
        per_row = -(-count // rows) if rows else max(1, round(count**0.5))
        samples = images[0]
    else:
        per_row = len(images)
        samples = torch.stack(images, 1).flatten(0, 1)
    picture: Tensor = make_grid(samples, nrow=per_row, padding=padding, pad_value=255)
    return picture


def save_preview(path: Path, columns: Mapping[str, Tensor]) -> None:
    """Write the grid of the columns as PNG, with their names in a text chunk, and above them where they fit."""
    picture, header = grid(columns), 0
    count = len(next(iter(columns.values())))
    rows = count if len(columns) > 1 else -(-count // max(1, round(count**0.5)))
    if len(columns) > 1 and (names := _header(list(columns), picture.shape[2])) is not None:
        picture, header = torch.cat([names, picture], 1), names.shape[1]
    save_picture(path, picture, {KEY: json.dumps({"columns": list(columns), "header": header, "rows": rows})})


def _header(names: Sequence[str], width: int) -> Tensor | None:
    """The names as a uint8 (3, H, ``width``) picture, each at its column's left edge; None where one is too long."""
    font = ImageFont.load_default()
    step = (width - PADDING) // len(names)
    boxes = [font.getbbox(name) for name in names]
    if max(right for _, _, right, _ in boxes) > step - PADDING:
        return None
    image = Image.new("RGB", (width, int(max(bottom for _, _, _, bottom in boxes)) + 2 * PADDING), "white")
    draw = ImageDraw.Draw(image)
    for index, name in enumerate(names):
        draw.text((PADDING + index * step, PADDING), name, fill="black", font=font)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def save_picture(path: Path, picture: Tensor, texts: Mapping[str, str] | None = None) -> None:
    """Write a uint8 (3, H, W) picture as PNG, whole or not at all, with text chunks by keyword."""
    chunks = PngInfo()
    for keyword, text in (texts or {}).items():
        chunks.add_text(keyword, text)
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda temporary: image.save(temporary, format="PNG", pnginfo=chunks))
