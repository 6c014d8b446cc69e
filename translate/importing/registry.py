"""The families that `gantk import` knows."""

from __future__ import annotations

from translate.importing.families import dcgan, leftthomas, msrresnet, resnet, rrdb, unet
from translate.importing.family import Family

FAMILIES: tuple[Family, ...] = (
    resnet.FAMILY,
    unet.FAMILY,
    rrdb.FAMILY,
    msrresnet.FAMILY,
    leftthomas.FAMILY,
    dcgan.FAMILY,
)


def families_for(plugin: str | None) -> tuple[Family, ...]:
    """The families that a plugin can express; all of them for None."""
    return tuple(family for family in FAMILIES if plugin is None or plugin in family.plugins)
