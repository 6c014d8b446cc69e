"""A direction of a trained model applied to pixels of any size: padded, in tiles where it must, and watched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from threading import RLock
from typing import TypeVar

import torch
from torch import Tensor

from translate.conditions import conditions_of, parse_settings
from translate.contract import Batch, Direction, Nets
from translate.data.values import Pixels
from translate.device import AUTOCAST, choose_precision, is_out_of_memory
from translate.infer import memory
from translate.infer.canvas import Canvas
from translate.infer.inputs import Input, Picture, Stack, inputs_of
from translate.infer.levels import Levels, extent
from translate.infer.margins import measured_margin
from translate.infer.memory import GIB, footprint, usable_memory
from translate.infer.options import InferOptions
from translate.infer.result import Result
from translate.infer.sequence import Handed
from translate.infer.statistics import norms_of_pictures
from translate.infer.tiled import CannotTranslateError as CannotTranslateError
from translate.infer.tiled import Course, NotFiniteError, Place, Tiles
from translate.infer.tiling import SMALLEST, padded_side, up_to
from translate.layers.dropout import DROPOUT, dropout_on
from translate.layers.layout import memory_format
from translate.modelfile.model import Published
from translate.settings import Precision

T = TypeVar("T")

_CHANCE = RLock()
"""Held while torch's random generators, of which a process has one set, are ours."""


class Network:
    """One direction of a model on one device.

    ``translate`` takes pictures of one size, of any size, and gives one `Result` each, the size times ``scale``.
    What it learns about memory it remembers.
    """

    def __init__(self, model: Published, direction: Direction, device: torch.device, options: InferOptions) -> None:
        self.direction = replace(direction, margin=None) if direction.sequence else direction
        self.handed = Handed()
        conditions = conditions_of(direction, parse_settings(options.settings))
        self._conditions = {name: value[None].to(device) for name, value in conditions.items()}
        self.inputs: tuple[Input, ...] = inputs_of(model.data, direction, options.reading)
        self.levels = Levels.of(model.data, direction.outputs, options.bits)
        self.device = device
        self.precision: Precision = choose_precision(options.precision, device)
        self.nets = Nets({role: model.nets[role] for role in direction.roles}).eval().requires_grad_(False)
        self.pools = bool(norms_of_pictures(self.nets))
        self._layout = memory_format(self.nets, device, self.precision, training=False)
        self.nets.to(device).to(memory_format=self._layout)
        self._options = options
        self._most = math.inf  # pixels that one forward may have, learned from running out of memory
        self._tried = 0
        self._bytes: float | None = None
        self._overlaps: dict[int, int | None] = {}  # tile side -> the margin that was measured to be enough

    @property
    def _half(self) -> bool:
        return self.precision in AUTOCAST

    @property
    def may_draw_noise(self) -> bool:
        """Whether outputs may depend on chance: with --sample, or through dropout that a direction might keep on."""
        return self._options.sample or any(
            isinstance(module, DROPOUT) and module.p > 0 for module in self.nets.modules()
        )

    def draws_noise(self) -> bool:
        """Whether they do, by a look at whether a small picture moves the random generators on."""
        if self._options.sample or not self.may_draw_noise:
            return self._options.sample
        with self._seeded(0):
            before = self._generators()
            try:
                self.forward(self.tensor([self._blank()]))
            except Exception:
                return True  # the photos will say what is wrong; one by one is right in any case
            return any(not torch.equal(one, two) for one, two in zip(before, self._generators(), strict=True))

    def _generators(self) -> list[Tensor]:
        """The states of all that a forward could draw from."""
        states = [torch.get_rng_state()]
        if self.device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self.device))
        elif self.device.type == "mps":
            states.append(torch.mps.get_rng_state())
        return states

    def _blank(self) -> Stack:
        side = up_to(64, self.direction.multiple)
        return Stack(tuple(one.blank(side) for one in self.inputs))

    def translate(
        self, pictures: Sequence[Pixels], seed: int = 0, others: Sequence[Sequence[Pixels]] = ()
    ) -> list[Result]:
        """Pictures (H, W, C) of one size; ``others``: for each further input of the direction, as many of that size.

        Of a direction with ``sequence`` they continue what was translated before, unless ``handed`` was restarted.
        Raises `CannotTranslateError` with the reason.
        """
        if len(others) != len(self.inputs) - 1:
            raise ValueError(f"{len(others)} further inputs; expected {len(self.inputs) - 1}")
        stacks = [Stack(parts) for parts in zip(pictures, *others, strict=True)]
        if not self.direction.sequence:
            return self._translate(stacks, seed)
        return [self.handed.follow(partial(self._translate, [stack], seed)) for stack in stacks]

    def _translate(self, pictures: Sequence[Stack], seed: int) -> list[Result]:
        height, width = (padded_side(side, self.direction.multiple) for side in pictures[0].shape)
        count = len(pictures)
        if self._options.tile == "auto" and count * height * width * memory.HUNGRIEST > self._usable(whole=True):
            self._measure()

        def attempt() -> list[Result]:
            if self._fits(count, height, width):
                return self._whole(pictures)
            if count > 1:
                return [result for picture in pictures for result in self._translate([picture], seed)]
            place = Place()
            course = self._in_tiles(pictures[0], place)
            return [Result(place.target, course.done, course.passes, list(course.notes))]

        return self._until_it_fits(seed, attempt)

    def translate_windows(self, picture: Picture, place: Place, seed: int = 0) -> Course:
        """A picture that is never in memory whole, whose tiles go to ``place``; how it came about.

        Raises `CannotTranslateError` with the reason, and what the picture and the place raise.
        """
        self._measure()
        return self._until_it_fits(seed, lambda: self._in_tiles(picture, place))

    def _until_it_fits(self, seed: int, attempt: Callable[[], T]) -> T:
        while True:
            try:
                with self._seeded(seed):
                    return attempt()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Here, not in the handler: the traceback holds the tensors.
            self._learn()

    def _learn(self) -> None:
        self._most = min(self._most, self._tried) / 2
        if self._most < SMALLEST**2:
            raise CannotTranslateError("not enough memory, even for a small tile")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _fits(self, count: int, height: int, width: int) -> bool:
        if self._options.wrap:
            return False
        pixels = count * height * width
        if self._options.tile == "off" or (side := self._options.tile_side) is None:
            explicit = self._options.tile == "off"
            if explicit and pixels > self._most and count == 1:
                raise CannotTranslateError(f"{width}x{height} does not fit into memory, and tiles are off")
            return pixels <= self._most and (explicit or pixels <= self._room(whole=True))
        return max(height, width) <= side and pixels <= self._most

    def _usable(self, *, whole: bool) -> float:
        """Bytes that one forward may take by what is free now."""
        return usable_memory(self.device, tile=not whole or self._as_well_in_tiles())

    def _as_well_in_tiles(self) -> bool:
        """Whether tiles give what the whole picture gives, for little more time."""
        margin = self.direction.margin
        if margin is None or self._bytes is None or self.pools or self.device.type == "cuda":
            return False
        return self._bytes * (3 * up_to(margin, self.direction.multiple)) ** 2 <= memory.LARGEST_TILE

    def _room(self, *, whole: bool) -> float:
        """Pixels that one forward may have by what is free now."""
        return self._usable(whole=whole) / (self._bytes or memory.HUNGRIEST)

    def _measure(self) -> None:
        """Find out, once, how much memory a pixel takes; before noise is seeded, as a network may draw some."""
        if self._bytes is not None or self._options.tile == "off":
            return
        blank = self._blank()
        try:
            self._bytes = max(1.0, memory.WORKSPACE * footprint(lambda: self._pixels([blank]), math.prod(blank.shape)))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise CannotTranslateError(
                f"not enough memory, even for {blank.shape[1]}x{blank.shape[0]} pixels"
            ) from None

    def _whole(self, pictures: Sequence[Stack]) -> list[Result]:
        x = self.tensor([picture.padded(self.direction.multiple) for picture in pictures])
        y = self.forward(x)
        height, width = (side * self.direction.scale for side in pictures[0].shape)
        finite = y.isfinite().flatten(1).all(1).tolist()
        results = []
        for i, picture in enumerate(pictures):
            notes: list[str] = []
            kind = self.levels.kind(picture.kind)
            output = self.levels.to_pixels(y[i : i + 1], kind)[0, :height, :width]
            if trouble := self.levels.trouble(finite[i], extent(output), picture.varied):
                self._only_if_half(trouble)
                again = self.forward(x[i : i + 1], exact=True)
                output = self.levels.to_pixels(again, kind)[0, :height, :width]
                finite_now = bool(again.isfinite().all())
                if trouble := self.levels.trouble(finite_now, extent(output), picture.varied):
                    raise CannotTranslateError(trouble)
                notes.append(f"run again in fp32, as {self.precision} failed")
            results.append(Result(Canvas.of(output), notes=notes))
        return results

    def _in_tiles(self, picture: Picture, place: Place) -> Course:
        """The picture from tiles, which go to ``place``."""
        self._measure()
        whole, around = self._surrounded(picture)
        height, width = (side * self.direction.scale for side in picture.shape)
        target = place.open((height, width, self.levels.planes_out), self.levels.kind(picture.kind))
        tiles = Tiles(self, whole, target, place, norms=self.pools)
        course, statistics = place.resumed() or (self._course(whole, around, place), None)
        while True:
            self._tried = course.side**2
            try:
                ended = tiles.run(course, statistics)
                trouble = self.levels.trouble(True, (ended.low, ended.high), picture.varied)
            except NotFiniteError:
                trouble = self.levels.trouble(False, (0, 0), picture.varied)
            if trouble is None:
                return ended
            if course.exact:
                raise CannotTranslateError(trouble)
            self._only_if_half(trouble)
            again = self._course(whole, around, place)
            notes = (*again.notes, f"run again in fp32, as {self.precision} failed")
            course, statistics = replace(again, exact=True, notes=notes), None

    def _surrounded(self, picture: Picture) -> tuple[Picture, int]:
        """The picture padded to what the network takes; and, of one that repeats, by as much of itself on all sides as
        the network sees: how much."""
        multiple, reach = self.direction.multiple, self.direction.margin
        if not self._options.wrap:
            return picture.padded(multiple), 0
        if reach is None:
            raise CannotTranslateError("this model needs the whole picture at once, so it cannot --wrap it")
        around = up_to(reach, multiple)
        return picture.wrapped(multiple, around), around

    def _course(self, whole: Picture, around: int, place: Place) -> Course:
        notes: list[str] = []
        side, margin = self._tile(whole, notes, place.tile_bytes)
        return Course(side, margin, around, notes=tuple(notes))

    def _tile(self, whole: Picture, notes: list[str], tile_bytes: float) -> tuple[int, int]:
        """Side and margin of the tiles, multiples of what the network takes; ``tile_bytes``: most of one."""
        multiple, reach, explicit = self.direction.multiple, self.direction.margin, self._options.tile_side
        height, width = whole.shape
        most = min(self._room(whole=False), tile_bytes / (self._bytes or memory.HUNGRIEST), self._most)
        longest = up_to(max(height, width), multiple)
        if explicit is None and height * width <= (self._most if self._options.tile == "off" else most):
            return longest, 0
        if reach is None or self._options.tile == "off":
            why = "this model needs the whole picture at once" if reach is None else "tiles are off"
            raise CannotTranslateError(f"{width}x{height} does not fit into memory, and {why}")
        margin = up_to(reach, multiple)
        room = math.isqrt(int(most)) // multiple * multiple
        side = room if explicit is None else min(room, up_to(explicit, multiple) + 2 * margin)
        as_named = explicit is not None and side == up_to(explicit, multiple) + 2 * margin
        if as_named or side >= min(3 * margin, longest):
            return min(side, longest), margin
        # The network reaches farther than memory does. What comes from far off often weighs nothing: see whether.
        if side not in self._overlaps and not self.pools:
            self._overlaps[side] = measured_margin(
                whole,
                math.isqrt(side**2 // 2) if self._half else side,
                multiple,
                self.direction.scale,
                lambda piece: self.forward(self.tensor([piece]), exact=True),
            )
        smaller = self._overlaps.get(side)
        if smaller is not None:
            notes.append(f"tiles overlap by {smaller} pixels, which was measured to be enough; its margin is {margin}")
            return (side if explicit is None else min(side, up_to(explicit, multiple) + 2 * smaller)), smaller
        if side >= 2 * margin + multiple:
            return side, margin
        need, have = (pixels * (self._bytes or 0) / GIB for pixels in ((2 * margin + multiple) ** 2, most))
        raise CannotTranslateError(
            f"not enough memory for the smallest tile without seams, which takes about {need:.1f} GiB; "
            f"{have:.1f} GiB may be used"
        )

    def _pixels(self, pictures: Sequence[Stack]) -> Pixels:
        return self.levels.to_pixels(self.forward(self.tensor(pictures)), self.levels.kind(pictures[0].kind))

    def tensor(self, pictures: Sequence[Stack]) -> Tensor:
        """(N, C, H, W) with the channels of all inputs, one after the other."""
        tensors = [
            one.to_tensor([picture.parts[place] for picture in pictures], self.device, self._layout)
            for place, one in enumerate(self.inputs)
        ]
        return tensors[0] if len(tensors) == 1 else torch.cat(tensors, 1)

    def forward(self, x: Tensor, exact: bool = False) -> Tensor:
        self._tried = max(x.shape[0] * x.shape[2] * x.shape[3], SMALLEST**2)
        half = not exact and self._half
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, AUTOCAST.get(self.precision), enabled=half, cache_enabled=False),
            dropout_on(self.nets) if self._options.sample else nullcontext(),
        ):
            conditions = {name: value.expand(len(x), *value.shape[1:]) for name, value in self._conditions.items()}
            parts = x.split([one.channels for one in self.inputs], 1) if len(self.inputs) > 1 else [x]
            given = dict(zip(self.direction.input_names, parts, strict=True))
            batch = Batch({**given, **conditions, **self.handed.of(x)})
            y = self.direction.run(self.nets, batch).float()
        self.handed.offer(x, batch.kept)
        expected = (len(x), self.levels.out_channels, *(side * self.direction.scale for side in x.shape[2:]))
        if tuple(y.shape) != expected:
            raise CannotTranslateError(f"the network gives {tuple(y.shape)} of {tuple(x.shape)}; expected {expected}")
        return y

    def _only_if_half(self, trouble: str) -> None:
        if not self._half:
            raise CannotTranslateError(trouble)

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        if not self.may_draw_noise:
            yield
            return
        devices = [self.device] if self.device.type == "cuda" else []
        with _CHANCE, torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            yield
