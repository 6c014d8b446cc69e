"""What data is, in a file of its own that imports nothing heavy: the header of every model file contains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, final

from annotated_types import Ge, Le

from translate.reading import Hidden

Count = Annotated[int, Ge(1), Le(1 << 20)]
"""A side, a scale, a number of channels: more than this is damage."""

UNLABELLED = 255
"""Where the picture says nothing, as in COCO-Stuff and Cityscapes, unless there are 256 classes."""


@final
@dataclass(frozen=True)
class DataSpec:
    """What the data turned out to be; it sizes the networks, and travels in the model file.

    ``size``: side in pixels of the (square) training images. ``channels``: channels of each domain by its batch name;
    only these names are pictures. ``names``: what indices mean, in their order: ``names["label"]`` the classes,
    ``names["text"]`` the words (the first is the empty one, which pads), ``names["domain"]`` the domains. ``scale``:
    high- over low-resolution side length. ``indexed``: domains whose images are maps of class indices, given to
    the networks as one-hot planes (0 or 1), or with one channel of identities (0 to 65535, which tell one thing from
    another and mean nothing else), given as they are. ``bits``: bit depth of the pictures of a domain, 8 where it is
    not given; 32 for those that became floats. ``ranges``: the numbers in the files of a domain that became -1 and 1,
    where ``--range`` set them; else their type says it. ``hidden``: what stood in for colours under alpha 0, see
    ``translate.reading.Hidden``.
    """

    size: Count
    channels: Mapping[str, Count]
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scale: Count = 1
    indexed: tuple[str, ...] = ()
    bits: Mapping[str, Annotated[int, Ge(1), Le(64)]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    hidden: Hidden = "fill"

    def __init_subclass__(cls) -> None:
        raise TypeError("DataSpec cannot be subclassed: a model file holds these fields and no others")
