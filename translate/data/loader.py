"""Batches without end, prepared ahead on threads; every random choice is a function of (seed, position)."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from enum import IntEnum
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.contract import Dataset, DataSpec
from translate.data.archives import find
from translate.data.dataset import CutDataset
from translate.data.decode import ImageError
from translate.data.resident import Places, Resident
from translate.errors import GantkError, LostDataError, UsageError, one_line

_WHITE = {torch.uint8: 127.5, torch.uint16: 32767.5}  # pixels / this - 1 lies in [-1, 1]


_TRIES = 8  # samples in a row that may fail before the data counts as lost


class _Use(IntEnum):
    """What a random stream is for, so that no two are the same."""

    ORDER = 1
    SAMPLE = 2
    PREVIEW = 3
    DEVICE = 4


def random_stream(use: int, *numbers: int) -> np.random.Generator:
    """A generator that depends on nothing but these numbers."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((use, *numbers))))


class Order:
    """Which samples make up which batch.

    Every pass over the data is a permutation from (seed, pass). What is left of a pass after its last full batch is
    dropped. A data set smaller than a batch is passed several times within one batch.
    """

    def __init__(self, samples: int, batch: int, seed: int) -> None:
        self._samples, self._batch, self._seed = samples, batch, seed
        self._batches = max(1, samples // batch)
        self._laps = -(-batch // samples) if samples < batch else 1
        self._last: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __call__(self, position: int) -> list[tuple[int, int]]:
        """(pass, index) of each sample of the batch at ``position``."""
        epoch, number = divmod(position, self._batches)
        chosen: list[tuple[int, int]] = []
        for lap in range(epoch * self._laps, (epoch + 1) * self._laps):
            first = number * self._batch
            indices = self._permutation(lap)[first : first + self._batch - len(chosen)]
            chosen += [(lap, index) for index in indices.tolist()]
        return chosen

    def _permutation(self, lap: int) -> NDArray[np.int64]:
        if self._last[0] != lap:
            self._last = (lap, random_stream(_Use.ORDER, self._seed, lap).permutation(self._samples))
        return self._last[1]


class Loader:
    """Endless batches of a data set on ``device``; images are float (N, C, H, W) in [-1, 1].

    The batch at a position is the same whatever the number of ``workers`` (threads; 0: none, all in ``next_batch``),
    and whichever position the loader began with. Of each batch of ``batch`` samples, only those at ``places`` are given
    (all of them by default): see ``World.places``. An error in a thread is raised by the ``next_batch`` that would have
    given the batch. Pictures of a ``CutDataset`` that has ``packs`` are sent to the device but once, and cut there.

    ``left_out`` is called with one line for each picture that broke after the scan; the next sample takes its place.
    Without it such a picture raises its error. Either way ``LostDataError`` is raised where the folder is gone.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch: int,
        seed: int,
        workers: int,
        device: torch.device,
        position: int = 0,
        places: Sequence[int] | None = None,
        left_out: Callable[[str], None] | None = None,
    ) -> None:
        if len(dataset) < 1:
            raise UsageError("the data has no samples")
        self.position = position
        """Batches drawn so far."""
        self.waited = 0.0
        """Seconds that ``next_batch`` has waited for the data."""
        self._dataset, self._seed = dataset, seed
        self._places = list(range(batch)) if places is None else list(places)
        self._order = Order(len(dataset), batch, seed)
        self._device = torch.device(device)
        self._resident = Resident(dataset, self._device) if isinstance(dataset, CutDataset) and dataset.packs else None
        self._workers = workers
        self._left_out = left_out
        self._reported: set[str] = set()
        self._lines: deque[str] = deque()  # for the thread that draws the batches to report
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: deque[Future[dict[str, Tensor] | Places]] = deque()
        self._closed = Event()

    def next_batch(self) -> dict[str, Tensor]:
        """The batch at ``position``. Raises what reading it raised, such as an ``ImageError`` naming the file."""
        if self._closed.is_set():
            raise ValueError("this loader is closed")
        began = time.perf_counter()
        host = self._from_threads() if self._workers > 0 else self._prepare(self._choose(self.position))
        self.waited += time.perf_counter() - began
        while self._left_out is not None and self._lines:
            self._left_out(self._lines.popleft())
        batch = self._transfer(host)
        seed = int(random_stream(_Use.DEVICE, self._seed, self.position, self._places[0]).integers(2**63))
        self.position += 1
        return self._dataset.on_device(batch, seed)

    def close(self) -> None:
        """Stop the threads; returns when the samples being read are done. A second call does nothing."""
        self._closed.set()
        self._ahead.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _from_threads(self) -> dict[str, Tensor] | Places:
        if self._pool is None:  # only now, so that a loader that gives no batch reads nothing
            self._pool = ThreadPoolExecutor(self._workers, "gantk-data")
        while len(self._ahead) < self._workers + 2:  # the next one, one in work on each thread, one to spare
            chosen = self._choose(self.position + len(self._ahead))
            self._ahead.append(self._pool.submit(self._prepare, chosen))
        try:
            return self._ahead.popleft().result()
        except BaseException:
            self.close()
            raise

    def _choose(self, position: int) -> list[tuple[int, int]]:
        chosen = self._order(position)
        return [chosen[place] for place in self._places]

    def _prepare(self, chosen: Sequence[tuple[int, int]]) -> dict[str, Tensor] | Places:
        if self._resident is not None:
            return self._resident.places(self._draws(chosen))
        samples = [self._sample(lap, index) for lap, index in chosen]
        return _collate(samples, self._dataset.spec, self._device)

    def _sample(self, lap: int, index: int) -> Mapping[str, Tensor]:
        """The sample, or the first of those after it that can be read."""
        count = len(self._dataset)
        for number in range(min(_TRIES, count)):
            at = (index + number) % count
            try:
                ((_, rng),) = self._draws([(lap, at)])
                return self._dataset.sample(at, rng)
            except (ImageError, OSError) as error:
                fault = str(error) if isinstance(error, ImageError) else f"sample {at}: {one_line(error)}"
                if isinstance(error, ImageError) and _is_gone(error.path):
                    raise LostDataError(f"{fault}; its folder is gone, or empty now: is a disk disconnected?") from None
                if self._left_out is None:
                    raise
                if fault not in self._reported:
                    self._reported.add(fault)
                    self._lines.append(f"left out {fault}")
        raise LostDataError(f"{fault}; so it is for {number + 1} samples in a row: is a disk disconnected?")

    def _draws(self, chosen: Sequence[tuple[int, int]]) -> Iterator[tuple[int, np.random.Generator]]:
        """Index and random stream of each sample, until the loader is closed."""
        for lap, index in chosen:
            if self._closed.is_set():
                raise CancelledError
            yield index, random_stream(_Use.SAMPLE, self._seed, lap, index)

    def _transfer(self, host: dict[str, Tensor] | Places) -> dict[str, Tensor]:
        if isinstance(host, Places):
            assert self._resident is not None
            moved = self._resident.cut(host)
        elif self._device.type == "cpu":
            return host
        else:
            moved = {name: tensor.to(self._device, non_blocking=tensor.is_pinned()) for name, tensor in host.items()}
        return {
            name: tensor.float().div_(_WHITE[tensor.dtype]).sub_(1) if tensor.dtype in _WHITE else tensor
            for name, tensor in moved.items()
        }


def _is_gone(path: Path) -> bool:
    """Whether the folder of a file is gone or empty, as that of a disk that is no longer mounted."""
    if find(path) is not None:
        return False
    try:
        with os.scandir(path.parent) as entries:
            return next(entries, None) is None
    except OSError:
        return True


def fixed_batch(dataset: Dataset, count: int, seed: int) -> dict[str, Tensor]:
    """The same ``count`` samples (or all, where there are fewer) at every call: for previews. On the CPU, as floats."""
    return next(fixed_batches(dataset, count, seed, count))


def fixed_batches(
    dataset: Dataset, count: int, seed: int, size: int, share: slice = slice(None)
) -> Iterator[dict[str, Tensor]]:
    """The same samples, at most ``size`` at a time; ``share``: which of these batches, where others do the rest."""
    indices = random_stream(_Use.PREVIEW, seed).permutation(len(dataset))[:count].tolist()
    for start in range(0, len(indices), size)[share]:
        chunk = indices[start : start + size]
        samples = [dataset.sample(index, random_stream(_Use.PREVIEW, seed, index + 1)) for index in chunk]
        yield dataset.for_preview(_collate(samples, dataset.spec, torch.device("cpu")), seed)


def _is_picture(name: str, tensor: Tensor, spec: DataSpec) -> bool:
    """Whether whole numbers become floats in [-1, 1]. Raises ``GantkError`` where the spec names no such picture."""
    if tensor.dtype not in _WHITE:
        return False
    if name not in spec.channels or tensor.ndim != 3:
        raise GantkError(
            f"the source gives {name!r} as {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}, which is "
            f"for pictures (C, H, W) named in spec.channels ({', '.join(spec.channels)}); expected int64 or float32"
        )
    return True


def _collate(samples: Sequence[Mapping[str, Tensor]], spec: DataSpec, device: torch.device) -> dict[str, Tensor]:
    """Samples to a batch: images as floats for a CPU; as bytes in pinned memory for another device to convert.

    In NumPy, since torch would start its own threads within each of ours.
    """
    pin = device.type == "cuda"
    batch: dict[str, Tensor] = {}
    for name, first in samples[0].items():
        if not _is_picture(name, first, spec):
            batch[name] = torch.stack([sample[name] for sample in samples])
            continue
        kind = torch.float32 if device.type == "cpu" else first.dtype
        images = torch.empty(len(samples), *first.shape, dtype=kind, pin_memory=pin)
        target = images.numpy()
        for place, sample in zip(target, samples, strict=True):
            if device.type == "cpu":
                np.divide(sample[name].numpy(), np.float32(_WHITE[first.dtype]), out=place)
            else:
                place[...] = sample[name].numpy()
        if device.type == "cpu":
            target -= 1
        batch[name] = images
    return batch
