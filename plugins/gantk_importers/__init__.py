"""Public codes whose weights ``gantk import`` reads, one file each: entry points of the group ``gantk.importers``."""
