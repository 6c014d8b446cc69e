"""Pictures that lie on the training device: batches are cut, mirrored and turned there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from translate.data.dataset import Cut, CutDataset
from translate.data.pictures import Pack
from translate.errors import GantkError

_KIND = {"uint8": torch.uint8, "uint16": torch.int16, "float32": torch.float32}  # torch has no `take` of uint16


@dataclass(frozen=True)
class Places:
    """Which pixels make up a batch.

    ``rows``: int64 (N, 4) by name, in pinned memory for CUDA: for each image the first of its pixels within the pack,
    then how far it is to the next plane, row and column. ``shapes``: (C, H, W) by name. ``packs``: the number of the
    pack by name. ``others``: what is no picture, as a batch.
    """

    rows: Mapping[str, Tensor]
    shapes: Mapping[str, tuple[int, int, int]]
    packs: Mapping[str, int]
    others: Mapping[str, Tensor]


class Resident:
    """A copy of the data set's packs on ``device``, taken with the first batch; it gives the pixels of its cuts.

    A cut names its picture, crop, mirroring and turns; of these follow the first pixel and the way to all others. They
    are gathered for the whole batch at once, from pictures of any sizes, by a constant number of kernels and without a
    host sync. The pixels are those that the host would have sent.

    kornia's operators give the same pixels, at a price: RandomCrop and RandomHorizontalFlip refuse uint8, and they as
    well as ``crop_by_indices`` want whole pictures of one size, stacked for each batch. A mirrored or turned image
    would be copied once more by ``hflip`` or ``rot90``; here it is only another index.
    """

    def __init__(self, dataset: CutDataset, device: torch.device) -> None:
        self._dataset, self._packs, self._device = dataset, tuple(dataset.packs), device
        self._copies: list[Tensor] = []

    def places(self, draws: Iterable[tuple[int, np.random.Generator]]) -> Places:
        """Where the samples drawn lie, each by its index and random stream; from any thread."""
        samples = [self._dataset.draw(index, rng) for index, rng in draws]
        pinned = self._device.type == "cuda"
        rows: dict[str, Tensor] = {}
        shapes: dict[str, tuple[int, int, int]] = {}
        packs: dict[str, int] = {}
        others: dict[str, Tensor] = {}
        for name, first in samples[0].items():
            values = [sample[name] for sample in samples]
            if isinstance(first, Tensor):
                others[name] = torch.stack([value for value in values if isinstance(value, Tensor)])
                continue
            cuts = [value for value in values if isinstance(value, Cut)]
            height, width, channels = first.pixels.shape
            shapes[name] = channels, height, width
            packs[name] = next(number for number, pack in enumerate(self._packs) if pack is first.pictures.pack)
            rows[name] = torch.empty(len(cuts), 4, dtype=torch.int64, pin_memory=pinned)
            for row, cut in zip(rows[name].numpy(), cuts, strict=True):
                if cut.pixels.shape != (height, width, channels):
                    raise ValueError(f"cuts of one shape were expected for {name}, not {cut.pixels.shape}")
                row[:] = _way(cut, self._packs[packs[name]])
        return Places(rows, shapes, packs, others)

    def cut(self, places: Places) -> dict[str, Tensor]:
        """The batch on the device, pictures as (N, C, H, W). Raises ``GantkError`` where they do not fit on it."""
        copies = self._on_device()
        batch = {name: tensor.to(self._device) for name, tensor in places.others.items()}
        for name, shape in places.shapes.items():
            rows = places.rows[name].to(self._device, non_blocking=places.rows[name].is_pinned())
            first, *steps = rows[:, :, None, None, None].unbind(1)
            index = first
            for dimension, step in enumerate(steps):
                along = [-1 if dimension == other else 1 for other in range(3)]
                index = index + step * torch.arange(shape[dimension], device=self._device).view(along)
            taken = copies[places.packs[name]].take(index)
            match taken.dtype:
                case torch.int16:
                    taken = taken.view(torch.uint16)
                case torch.float32:
                    taken = taken.mul_(2).sub_(1)
            batch[name] = taken
        return batch

    def _on_device(self) -> list[Tensor]:
        packs = self._packs
        if not self._copies:
            try:
                self._copies = [
                    torch.empty(pack.pixels.size, dtype=_KIND[pack.pixels.dtype.name], device=self._device)
                    for pack in packs
                ]
            except RuntimeError as error:
                size = sum(pack.nbytes for pack in packs)
                raise GantkError(
                    f"--cache device: {size / 2**30:.3g} GiB of images do not fit on {self._device}; use --cache memory"
                ) from error
            for copy, pack in zip(self._copies, packs, strict=True):
                pixels = torch.from_numpy(pack.pixels.view(np.int16) if pack.pixels.dtype == np.uint16 else pack.pixels)
                copy.copy_(pixels)
        return self._copies


def _way(cut: Cut, pack: Pack) -> tuple[int, int, int, int]:
    """The number of the cut's first pixel in the pack, and the steps from there to the next plane, row and column."""
    rows, columns, _ = pack.shapes[cut.number]
    part, plane = cut.part, cut.planes[0] if cut.planes else 0
    height, width = part.height, part.width
    first = pack.starts[cut.number] + (plane * rows + part.top) * columns + part.left
    down, right = columns, 1
    if part.flip:
        first, right = first + (width - 1) * right, -right
    for _ in range(part.turns):  # counter-clockwise: what was the last column becomes the first row
        first += (width - 1) * right
        down, right = -right, down
        height, width = width, height
    return first, rows * columns, down, right
