"""Whole slides for gantk."""
