"""Holes: their sizes, their kinds by share, and that a seed repeats them."""

from __future__ import annotations

import numpy as np
import pytest

from translate.data.holes import border, draw_holes, rectangle, strokes


def test_rectangles_are_three_eighths_to_half_of_the_sides() -> None:
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(50):
        hole = rectangle(rng, 64, 96)
        rows, columns = hole.any(1), hole.any(0)
        assert hole.sum() == rows.sum() * columns.sum()
        sides.append((int(rows.sum()), int(columns.sum())))
    assert {24 <= down <= 32 and 36 <= across <= 48 for down, across in sides} == {True}
    assert len(set(sides)) > 5


def test_strokes_cover_something_and_never_all() -> None:
    rng = np.random.default_rng(0)
    shares = [strokes(rng, 64, 64).mean() for _ in range(60)]
    assert min(shares) > 0.01
    assert max(shares) < 0.8
    assert 0.1 < np.mean(shares) < 0.4


def test_a_border_is_one_whole_side() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        hole = border(rng, 40, 80)
        edges = {"top": hole[0], "bottom": hole[-1], "left": hole[:, 0], "right": hole[:, -1]}
        (side,) = (name for name, edge in edges.items() if edge.all())
        seen.add(side)
        assert 1 / 9 < hole.mean() <= 1 / 4
    assert seen == {"top", "bottom", "left", "right"}


@pytest.mark.parametrize("shares", [(0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_every_picture_has_a_hole_of_its_own(shares: tuple[float, float, float]) -> None:
    found = draw_holes(np.random.default_rng(1), 6, 32, 32, shares)
    assert found.shape == (6, 1, 32, 32)
    assert found.any((1, 2, 3)).all()
    assert len({hole.tobytes() for hole in found}) > 1
    assert np.array_equal(found, draw_holes(np.random.default_rng(1), 6, 32, 32, shares))
