"""Conditions: what ``--set`` accepts, and what the networks get."""

from __future__ import annotations

import pytest
import torch

from translate.conditions import choice, conditions_of, drawn, examples_of, number, parse_settings, text
from translate.contract import DataSpec, Direction, Noise
from translate.errors import UsageError

DIRECTION = Direction(
    *("sample", "z", "image", ("g",), lambda nets, x: x.z),
    latent=Noise((2,)),
    conditions={
        "label": choice(("ship", "horse", "cat"), "class"),
        "truncation": number(0, 1, "how near to the mean", default=1),
    },
)
CAPTIONED = Direction(
    *("draw", "z", "image", ("g",), lambda nets, x: x.z),
    conditions={"text": text(("", "a", "red", "square", "don't"), 4, "caption")},
)


def test_a_choice_is_the_index_in_the_order_of_the_names() -> None:
    tensors = conditions_of(DIRECTION, {"label": "horse"})
    assert tensors["label"].tolist() == 1
    assert tensors["label"].dtype == torch.int64
    assert tensors["truncation"].tolist() == 1.0


def test_a_text_is_padded_with_the_empty_word() -> None:
    assert conditions_of(CAPTIONED, {"text": "A red, SQUARE!"})["text"].tolist() == [1, 2, 3, 0]
    assert conditions_of(CAPTIONED, {"text": "don't"})["text"].tolist() == [4, 0, 0, 0]


@pytest.mark.parametrize(
    ("direction", "settings", "message"),
    [
        (DIRECTION, {}, "--set label=...: expected one of ship, horse, cat"),
        (DIRECTION, {"label": "hose"}, "--set label=hose: expected one of ship, horse, cat (did you mean horse?)"),
        (DIRECTION, {"lable": "cat"}, "--set lable=cat: sample has no condition 'lable' (did you mean label?)"),
        (DIRECTION, {"x": "1"}, "--set x=1: sample has no condition 'x'; expected label, truncation"),
        (DIRECTION, {"label": "cat", "truncation": "2"}, "--set truncation=2: expected a number from 0 to 1"),
        (DIRECTION, {"label": "cat", "truncation": "nan"}, "--set truncation=nan: expected a number from 0 to 1"),
        (CAPTIONED, {"text": "a red squares"}, "the model does not know the word 'squares' (did you mean square?)"),
        (CAPTIONED, {"text": "..."}, "--set text=...: expected 1 to 4 words"),
        (CAPTIONED, {"text": "a a a a a"}, "expected 1 to 4 words"),
        (CAPTIONED, {}, "--set text=...: expected caption"),
    ],
)
def test_wrong_settings_say_what_was_expected(direction: Direction, settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        conditions_of(direction, settings)
    assert message in str(caught.value)


def test_noise_is_drawn_by_its_number_or_is_its_mean() -> None:
    style = drawn(Noise((2, 3)), "style")
    first, again, other, mean = (style.encode(text) for text in ("7", "7", "8", style.default or ""))
    assert torch.equal(first, again)
    assert first.shape == other.shape == (2, 3)
    assert not torch.equal(first, other)
    assert torch.equal(mean, torch.zeros(2, 3))
    for text_ in ("red", "-1", "1.5", "9" * 30, ""):
        with pytest.raises(ValueError, match="expected a whole number from 0 on, or mean"):
            style.encode(text_)


def test_examples_show_every_choice_and_fall_back_to_the_batch() -> None:
    assert examples_of(DIRECTION, {}, 4)["label"].tolist() == [0, 1, 2, 0]
    captions = torch.tensor([[1, 2], [3, 0]])
    assert examples_of(CAPTIONED, {"text": captions}, 3)["text"].tolist() == [[1, 2], [3, 0], [1, 2]]
    with pytest.raises(UsageError, match="neither choices nor a default"):
        examples_of(CAPTIONED, {}, 3)


def test_a_data_spec_cannot_be_extended() -> None:
    with pytest.raises(TypeError, match="cannot be subclassed"):
        type("Wider", (DataSpec,), {})


def test_settings_are_pairs_each_given_once() -> None:
    assert parse_settings(["label=cat", "text=a=b"]) == {"label": "cat", "text": "a=b"}
    for given, message in ((["label"], "--set label: expected NAME=VALUE"), (["a=1", "a=2"], "--set a: given twice")):
        with pytest.raises(UsageError, match=message):
            parse_settings(given)
