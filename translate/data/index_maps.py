"""Maps of class indices: pictures whose values are labels, not shades."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ImageOps
from torch import Tensor

from translate.data.decode import Pixels, probe
from translate.data.formats import ImageError, check_png, image_error, open_header
from translate.data.transforms import Fit, nearest
from translate.dataspec import UNLABELLED
from translate.errors import UsageError
from translate.reading import STANDARD, Reading


def open_index_map(path: Path, classes: int, reading: Reading = STANDARD) -> Pixels:
    """The class indices in a file, uint8 (H, W, 1): the values of a grey or the indices of a palette picture.

    Raises ``ImageError`` for a file that is no such map, or of more than ``reading.max_pixels`` pixels, and
    ``UsageError`` where a class is ``classes`` or above and not 255, which stands for unlabelled: that is a wrong flag
    rather than a wrong file.
    """
    mode = probe(path, reading)[2]
    if mode not in ("1", "L", "P") and not mode.startswith("I"):
        raise ImageError(path, f"its mode is {mode}; expected a map of class indices, grey or palette")
    try:
        with open_header(path, reading) as image:
            check_png(path, image)
            lossy = image.format == "JPEG"
            values = np.asarray(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow's decoders raise anything on broken input
        raise image_error(path, error) from None
    if lossy:
        raise ImageError(path, "JPEG does not keep class indices; expected PNG")
    if values.min() < 0 or values.max() > UNLABELLED:
        raise ImageError(path, f"values from {values.min()} to {values.max()}; expected class indices from 0 to 255")
    indices = values.astype(np.uint8)
    labels = indices[indices != UNLABELLED]
    if labels.size and (largest := int(labels.max())) >= classes:
        raise UsageError(f"{path}: it has class {largest}, but --classes {classes} allows 0 to {classes - 1} and 255")
    return indices[:, :, None]


@dataclass(frozen=True)
class IndexReader:
    """Opens an index map and fits it by taking the nearest pixel, as classes have no mean."""

    classes: int
    fit: Fit
    reading: Reading = STANDARD

    @property
    def key(self) -> str:
        """Changes when the indices would."""
        return f"index {self.classes} {self.reading.key} {self.fit.mode} {self.fit.side} {self.fit.least}"

    def __call__(self, path: Path) -> Pixels:
        indices = open_index_map(path, self.classes, self.reading)[:, :, 0]
        height, width = indices.shape
        size = self.fit.size_of(width, height)
        return nearest(indices[:, :, None], *size)


def one_hot(indices: Pixels, classes: int) -> Tensor:
    """Class indices (H, W, 1) as float planes (``classes``, H, W) of 0 and 1; unlabelled pixels are 0 in all."""
    index = indices[:, :, 0]
    planes = np.zeros((classes, *index.shape), np.float32)  # in NumPy: the loader's threads are the parallelism
    rows, columns = np.nonzero(index < classes)
    planes[index[rows, columns], rows, columns] = 1
    return torch.from_numpy(planes)
