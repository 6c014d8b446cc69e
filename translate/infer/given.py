"""Pictures that a program hands over, instead of files, as the pixels that a direction takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from translate.data.decode import Decoded, Opened
from translate.data.index_maps import as_indices, check_classes
from translate.data.values import WHOLE, Pixels
from translate.errors import UsageError
from translate.infer.inputs import Input


def decoded_image(picture: Image.Image, into: Input) -> Decoded:
    """A PIL image, read as ``gantk infer`` reads a file. Raises ``UsageError`` for a map of indices that is none."""
    upright = ImageOps.exif_transpose(picture)
    if not into.indexed:
        return Opened(Path("picture"), into.reading, upright, None).decode(into.channels)
    if upright.mode not in ("1", "L", "P") and not upright.mode.startswith("I"):
        raise UsageError(
            f"{into.name}: expected a map of indices, grey or palette, not an image of mode {upright.mode}"
        )
    return Decoded(_checked(np.asarray(upright), into), None, WHOLE[8])


def check_array(picture: NDArray[Any], into: Input) -> None:
    """Raise ``UsageError`` for what is no uint8 or uint16 array (H, W, C) with the right channels and classes."""
    known = picture.dtype in (np.uint8, np.uint16)
    if not known or picture.ndim != 3 or picture.shape[2] != into.planes or not picture.size:
        raise UsageError(f"expected a uint8 or uint16 array (H, W, {into.planes}), not {_shown(picture)}")
    if into.indexed:
        _checked(picture[:, :, 0], into)


def shares_of(picture: Tensor, into: Input) -> list[Pixels]:
    """A float tensor (N, C, H, W) in [-1, 1] as N pictures of floats. Raises ``UsageError`` for anything else."""
    if picture.dim() != 4 or picture.shape[1] != into.channels or not picture.is_floating_point():
        raise UsageError(f"expected a float tensor (N, {into.channels}, H, W) in [-1, 1], not {_shown(picture)}")
    if not picture.numel() or not bool((picture.abs() <= 1).all()):
        raise UsageError("expected at least one pixel, and values in [-1, 1]")
    return list(((picture.detach().float() + 1) / 2).permute(0, 2, 3, 1).cpu().numpy())


def _checked(values: NDArray[Any], into: Input) -> Pixels:
    try:
        indices = as_indices(values, into.channels)
        check_classes(indices, into.channels)
    except ValueError as error:
        raise UsageError(f"{into.name}: {error}") from None
    return indices


def _shown(picture: NDArray[Any] | Tensor) -> str:
    return f"{str(picture.dtype).removeprefix('torch.')} {tuple(picture.shape)}"
