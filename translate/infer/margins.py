"""The smallest margin around a tile at which its middle no longer changes, measured where memory is short."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from translate.infer.inputs import Picture, Stack
from translate.infer.tiling import up_to

MARGINS = (16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Margins that are tried where the network's own is too large for the memory there is."""

UNSEEN = 0.1 * 2 / 255
"""Largest difference, in network values, at which a smaller margin counts as equal to the network's own."""


def measured_margin(
    whole: Picture, side: int, multiple: int, scale: int, exact: Callable[[Stack], Tensor]
) -> int | None:
    """The smallest margin, doubled, at which the middle of a tile no longer changes; None if none is.

    ``exact``: the network in fp32, on pieces of at most ``side``: one step of bf16 is ten times what counts as a
    change. Its output is ``scale`` times as large.
    """
    middle = up_to(32, multiple)
    candidates = [up_to(margin, multiple) for margin in MARGINS]
    candidates = [margin for margin in dict.fromkeys(candidates) if 2 * (2 * margin) + middle <= side]
    if not candidates:
        return None

    def around(starts: list[int], margin: int) -> Tensor:
        """The output on a square of side ``middle`` at ``starts``, from so many pixels around it."""
        cuts, inner = [], []
        for start, length in zip(starts, whole.shape, strict=True):
            first, last = max(0, start - margin), min(length, start + middle + margin)
            cuts.append(slice(first, last))
            inner.append(slice((start - first) * scale, (start - first + min(middle, length)) * scale))
        return exact(whole[cuts[0], cuts[1]])[:, :, inner[0], inner[1]]

    needed = 0
    for place in ((0.5, 0.5), (0.2, 0.3), (0.8, 0.7)):
        starts = []
        for length, share in zip(whole.shape, place, strict=True):
            starts.append(int(max(0, length - middle) * share) // multiple * multiple)
        reference = around(starts, (side - middle) // 2 // multiple * multiple)
        for margin in candidates:
            if margin < needed:
                continue
            if float((around(starts, margin) - reference).abs().max()) <= UNSEEN:
                needed = margin
                break
        else:
            return None
    return 2 * needed
