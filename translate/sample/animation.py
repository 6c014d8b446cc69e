"""Animations of what a model draws: WebP and GIF, and MP4 by the extra ``gantk[video]``."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from translate.errors import UsageError
from translate.files import write_whole
from translate.preview import to_rgb
from translate.provenance import TRAINED, packet
from translate.sample.options import FPS

UNITS = {".webp": 1, ".gif": 10}
"""Milliseconds in which a format counts the time of a frame."""

MOST_FPS_OF_GIF = 50
"""Viewers show frames of less than two hundredths of a second too slowly."""


def check_animation(path: Path, fps: int = FPS) -> None:
    """Raise ``UsageError`` for a file or a speed that ``save_animation`` cannot write, before anything is drawn."""
    kind = path.suffix.lower()
    if kind not in (*UNITS, ".mp4") or path.is_dir():
        raise UsageError(f"--walk {path}: expected a file name that ends in .webp, .gif or .mp4")
    if kind == ".gif" and fps > MOST_FPS_OF_GIF:
        raise UsageError(
            f"--fps {fps}: a GIF shows {MOST_FPS_OF_GIF} frames per second at most; expected fewer, or .webp"
        )
    if kind == ".mp4" and find_spec("av") is None:
        raise UsageError(
            f"--walk {path}: MP4 needs av, not installed; pip install 'gantk[video]', or use .webp or .gif"
        )


def save_animation(path: Path, frames: Iterator[Tensor], fps: int = FPS, *, loop: bool = True) -> int:
    """Write frames, in batches (N, C, H, W) in [-1, 1], as an animation; returns how many there were.

    It appears whole or not at all, and says that a model made it: in XMP in WebP, in a comment in GIF and MP4.
    ``loop``: whether WebP and GIF start again at their end; in MP4 that is the player's choice. Raises ``UsageError``
    as ``check_animation`` does, and for an odd height or width in MP4.
    """
    check_animation(path, fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = (picture for batch in frames for picture in to_rgb(batch).permute(0, 2, 3, 1).numpy())
    count = 0

    def write(temporary: Path) -> None:
        nonlocal count
        count = (_write_mp4 if path.suffix.lower() == ".mp4" else _write_pillow)(path, temporary, shown, fps, loop)

    write_whole(path, write)
    return count


def _write_pillow(path: Path, temporary: Path, shown: Iterator[NDArray[np.uint8]], fps: int, loop: bool) -> int:
    kind = path.suffix.lower()
    first, *others = (Image.fromarray(picture) for picture in shown)
    count = 1 + len(others)
    # Each frame ends at the multiple of the unit next to its time, so that rounding never adds up.
    ends = [round(1000 * number / fps / UNITS[kind]) * UNITS[kind] for number in range(count + 1)]
    durations = [end - start for start, end in pairwise(ends)]
    if kind == ".webp":
        about = {"xmp": packet(TRAINED), "quality": 90, "loop": 0 if loop else 1}
    else:
        about = {"comment": TRAINED.encode(), **({"loop": 0} if loop else {})}
    with temporary.open("wb") as file:
        first.save(file, kind[1:].upper(), save_all=True, append_images=others, duration=durations, **about)
    return count


def _write_mp4(path: Path, temporary: Path, shown: Iterator[NDArray[np.uint8]], fps: int, loop: bool) -> int:
    import av

    count = 0
    with av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as container:
        container.metadata["comment"] = TRAINED
        stream = container.add_stream("libx264", rate=fps, options={"crf": "16"})
        stream.pix_fmt = "yuv420p"
        for picture in shown:
            height, width, _ = picture.shape
            if height % 2 or width % 2:
                raise UsageError(f"--walk {path}: MP4 needs even sides, not {width}x{height}; use .webp or .gif")
            if not count:
                stream.height, stream.width = height, width
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
            count += 1
        container.mux(stream.encode())
    return count
