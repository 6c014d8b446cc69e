"""Images with captions: words become indices of a vocabulary that the spec carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from listening import listening
from translate.conditions import MOST_WORDS, text
from translate.contract import Dataset, Loading
from translate.data.captioned import Captioned
from translate.data.loader import Loader
from translate.errors import UsageError


def write(path: Path, caption: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")


def opened(folder: Path, lines: list[str] | None = None, **fields: object) -> Dataset:
    with listening(lines):
        return Captioned(images=(folder,), **fields).open(Loading(size=8))  # type: ignore[arg-type]


def sentence(data: Dataset, index: int, seed: int = 0) -> str:
    tokens = data.sample(index, np.random.default_rng(seed))["text"]
    assert (tokens.dtype, tokens.shape) == (torch.int64, (MOST_WORDS,))
    return " ".join(data.spec.names["text"][int(token)] for token in tokens).strip()


def test_a_text_beside_each_picture(tmp_path: Path) -> None:
    write(tmp_path / "1.png", "A red circle.\nThe circle's RED, see?\n\n")
    write(tmp_path / "deep/2.png", "blue")
    write(tmp_path / "3.png")
    lines: list[str] = []
    data = opened(tmp_path, lines)
    assert data.spec.names["text"] == ("", "a", "blue", "circle", "circle's", "red", "see", "the")
    assert {sentence(data, 0, seed) for seed in range(20)} == {"a red circle", "the circle's red see"}
    assert sentence(data, 1) == "blue"
    assert len(data) == 2
    assert f"--images {tmp_path}: 1 of 3 images are left out, no .txt with a caption beside them: 3.png" in lines
    with Loader(data, batch=2, seed=0, workers=0, device=torch.device("cpu")) as batches:
        assert batches.next_batch()["text"].shape == (2, MOST_WORDS)


def test_a_table_of_captions_by_name_or_stem(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write(tmp_path / f"in/{name}.png")
    table = tmp_path / "captions.csv"
    table.write_text('id,caption\n1.png,"one, red"\n1.png,uno\n2,two\n', encoding="utf-8")
    data = opened(tmp_path / "in", captions=table)
    assert {sentence(data, 0, seed) for seed in range(20)} == {"one red", "uno"}
    assert sentence(data, 1) == "two"


def test_the_words_of_inference_are_those_of_training(tmp_path: Path) -> None:
    write(tmp_path / "1.png", "a red, RED circle")
    data = opened(tmp_path)
    condition = text(data.spec.names["text"], MOST_WORDS, "what to draw")
    assert torch.equal(condition.encode("A red red circle!"), data.sample(0, np.random.default_rng(0))["text"])


def test_rare_words_and_long_captions(tmp_path: Path) -> None:
    write(tmp_path / "1.png", " ".join(["red"] * 30) + " once")
    data = opened(tmp_path, min_count=2)
    assert data.spec.names["text"] == ("", "red")
    assert sentence(data, 0) == " ".join(["red"] * MOST_WORDS)


def test_no_caption_at_all(tmp_path: Path) -> None:
    write(tmp_path / "1.png")
    with pytest.raises(UsageError, match=r"no \.txt with a caption beside them"):
        opened(tmp_path)
    write(tmp_path / "1.png", "once")
    with pytest.raises(UsageError, match="--min-count 2: no word"):
        opened(tmp_path, min_count=2)
