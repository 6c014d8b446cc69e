"""The commands of ``gantk``, one file each. They import what they work with when they run."""
