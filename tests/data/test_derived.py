"""A source whose inputs are made of its pictures: in training, in previews, from a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor

from translate.contract import Loading
from translate.data.derived import Derived
from translate.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Noisy(Derived):
    target: ClassVar[str] = "clean"

    @classmethod
    def channels_by_name(cls) -> Mapping[str, int]:
        return {"clean": 3, "noisy": 3}

    def derive(self, pictures: Tensor, generator: Generator) -> Mapping[str, Tensor]:
        return {"noisy": pictures + torch.randn(pictures.shape, generator=generator)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_a_sample_is_a_picture_and_a_batch_has_what_is_derived(folder: Path) -> None:
    data = Noisy(images=(folder,), resize="none").open(Loading(16))
    assert (len(data), dict(data.spec.channels)) == (3, {"clean": 3, "noisy": 3})
    sample = data.sample(1, np.random.default_rng(0))
    assert {name: tuple(tensor.shape) for name, tensor in sample.items()} == {"clean": (3, 16, 16)}
    batch = {"clean": sample["clean"][None] / 127.5 - 1}
    first = data.on_device(dict(batch), 1)
    torch.testing.assert_close(first["clean"], batch["clean"])
    assert torch.equal(first["noisy"], data.for_preview(dict(batch), 1)["noisy"])
    assert not torch.equal(first["noisy"], data.on_device(dict(batch), 2)["noisy"])


def test_pictures_are_brought_to_size_as_the_papers_do(folder: Path) -> None:
    seen: list[tuple[int, ...]] = []
    for resize in ("scale", "resize", "none"):
        data = Noisy(images=(folder,), resize=resize, load_size=18).open(Loading(16))  # type: ignore[arg-type]
        seen.append(data.pictures[0][0].shape)  # type: ignore[attr-defined]
    assert seen == [(18, 27, 3), (18, 18, 3), (20, 30, 3)]


def test_augmentation_comes_before_the_input_is_made(folder: Path) -> None:
    data = Noisy(images=(folder,), augment_device=("brightness",)).open(Loading(16))
    batch = {"clean": torch.zeros(2, 3, 16, 16)}
    found = data.on_device(dict(batch), 5)
    noise = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(found["noisy"], found["clean"] + noise)


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--images"):
        Noisy(images=(tmp_path,)).open(Loading(16))
