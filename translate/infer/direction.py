"""The direction of a model that the options of ``gantk infer`` ask for."""

from __future__ import annotations

from dataclasses import replace

from translate.contract import Direction
from translate.errors import UsageError
from translate.infer.options import InferOptions
from translate.modelfile.model import Published


def direction_of(model: Published, options: InferOptions) -> Direction:
    """The direction that the options ask for; with ``sample`` as it is where each picture draws noise of its own."""
    direction = model.direction(options.direction)
    if not options.sample:
        return direction
    if not direction.noise:
        raise UsageError(f"--sample: {model.plugin} draws no noise in direction {direction.name}")
    return replace(direction, margin=None)  # each tile would draw noise of its own
