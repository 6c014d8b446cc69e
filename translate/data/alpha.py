"""Colours that nobody sees: those of pixels whose alpha is 0, which hold whatever an editor left there."""

from __future__ import annotations

import numpy as np

from translate.data.values import Pixels, white_of
from translate.reading import Hidden


def without_hidden(colours: Pixels, alpha: Pixels, hidden: Hidden, *, carried: bool) -> Pixels:
    """Colours (H, W, C) as a network may see them, given their alpha (H, W).

    ``fill``: where alpha is 0, the colour of the nearest pixel where it is not (white where there is none). ``white``:
    the picture laid on white; where transparency is ``carried`` along as a channel, white under alpha 0 alone.
    """
    if hidden == "fill":
        return filled(colours, alpha)
    if not carried:
        return on_white(colours, alpha)
    filled_in = colours.copy()
    filled_in[alpha == 0] = white_of(colours.dtype)
    return filled_in


def filled(colours: Pixels, alpha: Pixels) -> Pixels:
    """Colours (H, W, C) with those under alpha 0 taken from the nearest pixels (Euclidean) of another alpha."""
    unseen = alpha == 0
    if not unseen.any():
        return colours
    filled_in = colours.copy()
    if unseen.all():
        filled_in[...] = white_of(colours.dtype)
        return filled_in
    from scipy.ndimage import distance_transform_edt  # a third of a second to load, for cut-outs alone

    rows, columns = distance_transform_edt(unseen, return_distances=False, return_indices=True)
    filled_in[unseen] = colours[rows[unseen], columns[unseen]]
    return filled_in


def on_white(colours: Pixels, alpha: Pixels) -> Pixels:
    """Colours (H, W, C) laid on white, by their alpha (H, W) of the same type; rounded where they are whole."""
    if colours.dtype == np.uint8:  # in whole numbers, which take an eighth of the memory
        part = alpha[:, :, None].astype(np.uint16)
        return ((colours * part + 255 * (255 - part) + 127) // 255).astype(np.uint8)
    white = white_of(colours.dtype)
    share = alpha[:, :, None].astype(np.float64) / white
    mixed = colours * share + white * (1 - share)
    return (mixed if colours.dtype.kind == "f" else np.rint(mixed)).astype(colours.dtype)
