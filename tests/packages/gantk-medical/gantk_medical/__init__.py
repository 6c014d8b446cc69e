"""Volumes for gantk: a source of slices, a model that translates them, and a command for whole volumes."""
