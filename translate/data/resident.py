"""Pictures that lie on the training device: batches are cut, mirrored and turned there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from translate.data.dataset import CutDataset
from translate.data.decode import Pixels
from translate.errors import GantkError


@dataclass(frozen=True)
class Places:
    """Where the pixels of a batch lie.

    ``numbers``: int64 (names, N, 4), in pinned memory for CUDA; for each image its first pixel, then how far it is to
    the next plane, row and column. ``shapes``: (C, H, W) by name, in the order of ``numbers``.
    """

    shapes: Mapping[str, tuple[int, int, int]]
    numbers: Tensor


class Resident:
    """A copy of the data set's ``packs`` on ``device``, made with the first batch, that gives the pixels of its cuts.

    A cut's address and strides tell which pixels it has of the host's array, and so of the copy: however it was cut,
    mirrored or turned, the pixels are those that the host would have sent. They are gathered for the whole batch at
    once, from pictures of any sizes, by a constant number of kernels and without a host sync.

    kornia's operators give the same pixels, at a price: RandomCrop and RandomHorizontalFlip refuse uint8, and they as
    well as ``crop_by_indices`` want whole pictures of one size, stacked for each batch. A mirrored or turned image
    would be copied once more by ``hflip`` or ``rot90``; here it is only another index.
    """

    def __init__(self, dataset: CutDataset, device: torch.device) -> None:
        self._dataset, self._packs, self._device = dataset, tuple(dataset.packs), device
        self._starts = [_address(pack) for pack in self._packs]
        self._copy: Tensor | None = None

    def places(self, draws: Iterable[tuple[int, np.random.Generator]]) -> Places:
        """Where the samples drawn lie, each by its index and random stream; from any thread."""
        samples = [self._dataset.cuts(index, rng) for index, rng in draws]
        pinned = self._device.type == "cuda"
        numbers = torch.empty(len(samples[0]), len(samples), 4, dtype=torch.int64, pin_memory=pinned)
        rows = numbers.numpy()
        shapes: dict[str, tuple[int, int, int]] = {}
        for name, images in zip(samples[0], rows, strict=True):
            height, width, channels = samples[0][name].shape
            shapes[name] = channels, height, width
            for image, sample in zip(images, samples, strict=True):
                cut = sample[name]
                if cut.shape != (height, width, channels):
                    raise ValueError(f"cuts of one shape were expected for {name}, not {cut.shape}")
                down, right, deeper = cut.strides  # in bytes, which pixels are
                image[:] = self._first(cut), deeper, down, right
        return Places(shapes, numbers)

    def cut(self, places: Places) -> dict[str, Tensor]:
        """The batch as uint8 (N, C, H, W) on the device. Raises ``GantkError`` where the pictures do not fit on it."""
        pictures = self._on_device()
        numbers = places.numbers.to(self._device, non_blocking=places.numbers.is_pinned())
        batch: dict[str, Tensor] = {}
        for (name, shape), of_name in zip(places.shapes.items(), numbers, strict=True):
            first, *steps = of_name[:, :, None, None, None].unbind(1)
            index = first
            for dimension, step in enumerate(steps):
                along = [-1 if dimension == other else 1 for other in range(3)]
                index = index + step * torch.arange(shape[dimension], device=self._device).view(along)
            batch[name] = pictures.take(index)
        return batch

    def _first(self, cut: Pixels) -> int:
        """The number of its first pixel, counted through all packs."""
        address, before = _address(cut), 0
        for start, pack in zip(self._starts, self._packs, strict=True):
            if 0 <= address - start < pack.size:
                return before + address - start
            before += pack.size
        raise ValueError("a cut is no view of the packs of its data set")

    def _on_device(self) -> Tensor:
        if self._copy is None:
            size = sum(pack.size for pack in self._packs)
            try:
                copy = torch.empty(size, dtype=torch.uint8, device=self._device)
            except RuntimeError as error:
                raise GantkError(
                    f"--cache device: {size / 2**30:.3g} GiB of images do not fit on {self._device}; use --cache memory"
                ) from error
            parts = copy.split([pack.size for pack in self._packs])
            for part, pack in zip(parts, self._packs, strict=True):
                part.copy_(torch.from_numpy(pack))
            self._copy = copy
        return self._copy


def _address(array: Pixels) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
