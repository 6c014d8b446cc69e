"""Maps of indices: pictures whose values are classes or identities, not shades."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageOps
from torch import Tensor

from translate.data.decode import Pixels, probe
from translate.data.formats import ImageError, check_png, image_error, open_header
from translate.data.transforms import Fit, nearest
from translate.dataspec import UNLABELLED
from translate.errors import UsageError
from translate.reading import STANDARD, Reading

IDENTITIES = 65535
"""The largest number in a map of identities."""


def open_index_map(path: Path, classes: int, reading: Reading = STANDARD) -> Pixels:
    """The indices in a file, (H, W, 1): the values of a grey or the indices of a palette picture.

    uint8, of classes below ``classes`` or 255, which stands for unlabelled; ``classes`` 1: uint16, identities from 0 to
    65535. Raises ``ImageError`` for a file that is no such map, and for more than
    ``reading.max_pixels`` pixels.
    """
    indices = _open(path, classes, reading)
    try:
        check_classes(indices, classes)
    except ValueError as error:
        raise ImageError(path, str(error)) from None
    return indices


def as_indices(values: NDArray[Any], classes: int) -> Pixels:
    """Numbers (H, W) as indices (H, W, 1) of the type that ``open_index_map`` gives.

    Raises ``ValueError`` for what is none.
    """
    most = IDENTITIES if classes == 1 else UNLABELLED
    low, high = values.min(), values.max()
    if low < 0 or high > most:
        raise ValueError(f"values from {low} to {high}; expected indices from 0 to {most}")
    return values.astype(np.uint16)[:, :, None] if classes == 1 else values.astype(np.uint8)[:, :, None]


def check_classes(indices: Pixels, classes: int) -> None:
    """Raise ``ValueError`` for a class of ``classes`` or above that is not 255; identities (``classes`` 1) are free."""
    labels = indices[indices != UNLABELLED]
    if classes > 1 and labels.size and (largest := int(labels.max())) >= classes:
        raise ValueError(f"it has class {largest}; expected 0 to {classes - 1}, or 255 where nothing is labelled")


def _open(path: Path, classes: int, reading: Reading) -> Pixels:
    mode = probe(path, reading)[2]
    if mode not in ("1", "L", "P") and not mode.startswith("I"):
        raise ImageError(path, f"its mode is {mode}; expected a map of indices, grey or palette")
    try:
        with open_header(path, reading) as image:
            check_png(path, image)
            lossy = image.format == "JPEG"
            values = np.asarray(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow's decoders raise anything on broken input
        raise image_error(path, error) from None
    if lossy:
        raise ImageError(path, "JPEG does not keep indices; expected PNG")
    try:
        return as_indices(values, classes)
    except ValueError as error:
        raise ImageError(path, str(error)) from None


@dataclass(frozen=True)
class IndexReader:
    """Opens an index map and fits it by taking the nearest pixel, as indices have no mean.

    ``classes``: see ``open_index_map``.
    """

    classes: int
    fit: Fit
    reading: Reading = STANDARD

    @property
    def key(self) -> str:
        """Changes when the indices would."""
        return f"index {self.classes} {self.reading.key} {self.fit.mode} {self.fit.side} {self.fit.least}"

    def __call__(self, path: Path) -> Pixels:
        indices = _open(path, self.classes, self.reading)
        try:
            check_classes(indices, self.classes)
        except ValueError as error:  # a wrong flag rather than a wrong file
            raise UsageError(f"{path}: {error} (--classes {self.classes})") from None
        height, width = indices.shape[:2]
        return nearest(indices, *self.fit.size_of(width, height))


def to_planes(indices: Pixels, classes: int) -> Tensor:
    """Indices (H, W, 1) as float planes (``classes``, H, W): of 0 and 1, unlabelled pixels 0 in all; identities as they
    are."""
    index = indices[:, :, 0]
    if classes == 1:
        return torch.from_numpy(index.astype(np.float32))[None]
    planes = np.zeros((classes, *index.shape), np.float32)  # in NumPy: the loader's threads are the parallelism
    rows, columns = np.nonzero(index < classes)
    planes[index[rows, columns], rows, columns] = 1
    return torch.from_numpy(planes)
