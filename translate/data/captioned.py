"""Images with captions, for models that make pictures from text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from translate.conditions import MOST_WORDS, words
from translate.contract import Dataset, DataSpec, Loading
from translate.data.arrays import text_of
from translate.data.augment import Augmented
from translate.data.example import MadeUp
from translate.data.images import Centre, Channels, ImageSet, open_folders
from translate.data.layouts import wanted_part
from translate.data.listing import Folders, list_folders
from translate.data.tables import only_known, read_table
from translate.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Captioned(Augmented):
    """Images with captions: a text file beside each picture, one caption a line, or a CSV file.

    The batch has ``x.image`` and ``x.text``, int64 (N, ``MOST_WORDS``): of each caption (one of a picture's at random)
    the indices of its words in ``spec.names["text"]``, the vocabulary. Index 0 is the empty word, which fills the rest.
    """

    images: Annotated[tuple[Path, ...], "folder of images, each with a .txt of its captions unless --captions"]
    captions: Annotated[Path | None, "CSV file of two columns, file (below --images) and caption"] = None
    min_count: Annotated[int, "leave rarer words out of the vocabulary", Ge(1)] = 1
    channels: Channels = None
    resize: Centre = "scale"
    flip: Annotated[bool, "mirror half of the images (captions that say left or right become wrong)"] = False

    def open(self, loading: Loading) -> Dataset:
        """Pictures without a caption are reported and left out. Raises ``UsageError`` where none has one."""
        self.check_augment(loading)
        roots = wanted_part("--images", self.images, loading)
        folders = list_folders("--images", roots)
        texts = _from_table(self.captions, folders) if self.captions else _from_files(folders)
        where = f"no caption in {self.captions}" if self.captions else "no .txt with a caption beside them"
        folders = only_known(folders, texts, where, loading)
        if not folders.files:
            raise UsageError(f"{folders}: {where}")
        if loading.like is None:
            names = vocabulary((caption for of_one in texts.values() for caption in of_one), self.min_count)
        else:
            names = loading.like.names["text"]
        pictures, spec = open_folders(folders, self.channels, self.resize, loading, {"text": names})
        index = {word: number for number, word in enumerate(names)}
        tokens = [[_tokens(caption, index) for caption in texts[path]] for path in pictures.paths]

        def more(number: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
            of_one = tokens[number]
            return {"text": of_one[int(rng.integers(len(of_one)))]}

        augmentation = self.augmentation(spec, ("image",))
        return ImageSet(spec, pictures, more=more, flip=self.flip, augmentation=augmentation)

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"image": 3}, {"text": ("", "a", "blue", "circle", "red", "square")}))


def vocabulary(captions: Iterable[str], least: int = 1) -> tuple[str, ...]:
    """The empty word, then all words of the captions by the alphabet that occur at least so often.

    Raises ``UsageError`` where there are none.
    """
    counts = Counter(word for caption in captions for word in words(caption))
    known = sorted(word for word, count in counts.items() if count >= least)
    if not known:
        raise UsageError(f"--min-count {least}: no word of the captions occurs so often")
    return ("", *known)


def _tokens(caption: str, index: Mapping[str, int]) -> Tensor:
    known = [index[word] for word in words(caption) if word in index][:MOST_WORDS]
    return torch.tensor(known + [0] * (MOST_WORDS - len(known)))


def _from_files(folders: Folders) -> dict[Path, list[str]]:
    found: dict[Path, list[str]] = {}
    for path in folders.files:
        if captions := [line for line in text_of(path.with_suffix(".txt")).splitlines() if words(line)]:
            found[path] = captions
    return found


def _from_table(path: Path, folders: Folders) -> dict[Path, list[str]]:
    columns = read_table(path, folders).column("caption")
    found = {file: [caption for caption in captions if words(caption)] for file, captions in columns.items()}
    return {file: captions for file, captions in found.items() if captions}
