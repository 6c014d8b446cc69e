"""Models that take conditions: from the command's ``--set``, from Python, and in tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from infer_fakes import publish
from PIL import Image
from torch import nn

from translate.conditions import choice, number
from translate.contract import Direction
from translate.errors import UsageError
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.runner import Network
from translate.model import Model
from translate.modelfile.model import Published

PICTURE = np.full((20, 24, 3), 128, np.uint8)


def shaded() -> Published:
    """Adds to a picture what ``tone`` says, times ``much``."""
    published = publish(nn.Identity())
    (plain,) = published.directions
    conditions = {"tone": choice(("dark", "light"), "shade"), "much": number(0, 1, "how much", 0.5)}
    direction = Direction(
        *(plain.name, plain.inputs, plain.outputs, plain.roles),
        lambda nets, x: x.a + ((2 * x.tone - 1) * x.much)[:, None, None, None],
        margin=0,
        conditions=conditions,
    )
    return Published(published.path, published.card, published.task, published.nets, (direction,))


def level(pixels: np.ndarray[Any, Any]) -> int:
    (value,) = set(pixels.flatten().tolist())
    return int(value)


def test_settings_reach_every_photo(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("one", "two"):
        Image.fromarray(PICTURE).save(tmp_path / "in" / f"{name}.png")
    for tone, expected in (("dark", 0), ("light", 255)):
        options = InferOptions(settings=(f"tone={tone}", "much=1"), batch=2, device="cpu")
        summary = infer(shaded(), [tmp_path / "in"], tmp_path / tone, options)
        assert summary.done == 2
        for path in sorted((tmp_path / tone).glob("*.png")):
            with Image.open(path) as result:
                assert abs(level(np.asarray(result)) - expected) <= 1


def test_tiles_have_the_same_conditions() -> None:
    published = shaded()
    options = InferOptions(settings=("tone=light",), tile="16")
    network = Network(published, published.directions[0], torch.device("cpu"), options)
    (result,) = network.translate([PICTURE])
    assert result.tiles > 1
    assert level(result.canvas.read(0, 20)) == 192


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((), "--set tone=...: expected one of dark, light"),
        (("tone=red",), "--set tone=red: expected one of dark, light"),
        (("tone=dark", "much=2"), "--set much=2: expected a number from 0 to 1"),
        (("colour=red", "tone=dark"), "--set colour=red: a2b has no condition 'colour'; expected tone, much"),
        (("tone",), "--set tone: expected NAME=VALUE"),
    ],
)
def test_wrong_settings_are_refused_before_any_photo(settings: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        infer(shaded(), [tmp_path], tmp_path / "out", InferOptions(settings=settings, device="cpu"))
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


def test_a_model_without_conditions_takes_none() -> None:
    published = publish(nn.Identity())
    with pytest.raises(UsageError, match="--set tone=dark: a2b has no condition 'tone'"):
        Network(published, published.directions[0], torch.device("cpu"), InferOptions(settings=("tone=dark",)))


def test_python_takes_conditions_as_keywords(tmp_path: Path) -> None:
    model = Model(shaded())
    assert level(model(PICTURE, tone="light")) == 192
    assert level(model(PICTURE, tone="dark", much=0.25)) == 96
    with pytest.raises(UsageError, match="no such flag: tome"):
        model(PICTURE, tome="dark")
    Image.fromarray(PICTURE).save(tmp_path / "one.png")
    assert model.translate_folder(tmp_path / "one.png", tmp_path / "out", tone="light").done == 1
