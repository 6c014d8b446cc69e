"""What ``gantk sample`` draws unless it is asked for other numbers. Imports nothing."""

PICTURES = 64
KEYS = 8
"""Latents that a walk goes through."""
FRAMES = 24
"""Frames of a walk from one latent to the next."""
STEPS = 8
"""Pictures from one end of an interpolation to the other."""
FPS = 24
