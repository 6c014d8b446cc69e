"""The picture of a model card whose model draws: samples of it, of each class where it has classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from translate.conditions import ALL
from translate.modelfile.model import Published
from translate.preview import grid
from translate.sample.sampler import Sampler

SHOWN, OF_EACH = 36, 8
MOST_CLASSES = 12


def samples(model: Published) -> NDArray[np.uint8] | None:
    """(H, W, 3); None for a model that does not draw, and for one that wants more than a class to be chosen."""
    direction = next((each for each in model.directions if each.latent is not None), None)
    if direction is None:
        return None
    needed = {name: each for name, each in direction.conditions.items() if each.default is None}
    if not needed:
        return _shown(Sampler(model=model, direction=direction.name), SHOWN, None)
    (name, condition), *others = needed.items()
    if others or not 0 < len(condition.choices) <= MOST_CLASSES:
        return None
    sampler = Sampler(model=model, direction=direction.name, settings={name: ALL})
    return _shown(sampler, OF_EACH, len(condition.choices))


def _shown(sampler: Sampler, count: int, rows: int | None) -> NDArray[np.uint8]:
    picture: NDArray[np.uint8] = grid([sampler.sample(count)], rows=rows).permute(1, 2, 0).numpy()
    return picture
