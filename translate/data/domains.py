"""Images of several domains, for models that translate between any two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from translate.contract import Dataset, DataSpec, Loading
from translate.data.augment import Augmented
from translate.data.example import MadeUp
from translate.data.images import Centre, Channels, ImageSet, open_folders
from translate.data.labelled import groups_of, labels_of
from translate.data.layouts import wanted_part
from translate.data.listing import Folders, list_folders
from translate.data.tables import only_known, read_table
from translate.errors import UsageError

_YES, _NO = {"1", "true", "yes"}, {"0", "-1", "false", "no"}


@dataclass(frozen=True, kw_only=True)
class Domains(Augmented):
    """Images of several domains: a sub-folder for each, or a CSV file of attributes that can be combined.

    The batch has ``x.image``, and of sub-folders ``x.domain``, int64 (N,), an index into ``spec.names["domain"]``. Of a
    CSV file with columns of 0 (or -1) and 1 it has ``x.attributes``, float (N, K) of 0 and 1, one for each of
    ``spec.names["attributes"]``; a CSV file of domain names stands for sub-folders.
    """

    domains: Annotated[tuple[Path, ...], "folder with a sub-folder for each domain, or of what --labels names"]
    labels: Annotated[Path | None, "CSV file: file (below --domains) and domain, or file and columns of 0 and 1"] = None
    attribute: Annotated[tuple[str, ...], "column of --labels to use [all]"] = ()
    channels: Channels = None
    resize: Centre = "scale"
    flip: Annotated[bool, "mirror half of the images"] = True
    balanced: Annotated[bool, "draw each domain equally often, however many images it has"] = False

    def open(self, loading: Loading) -> Dataset:
        """Raises ``UsageError`` where there are fewer than two domains, or one has no readable image."""
        self.check_augment(loading)
        folders = list_folders("--domains", wanted_part("--domains", self.domains, loading))
        attributes = self._attributes(folders) if self.labels else None
        if self.labels and attributes:
            return self._of_attributes(self.labels, folders, *attributes, loading)
        if self.attribute:
            raise UsageError("--attribute: expected --labels with columns of 0 and 1")
        labels = labels_of("domain", folders, self.labels, loading)
        names = {"domain": labels.names}
        pictures, spec = open_folders(labels.folders, self.channels, self.resize, loading, names)
        indices = labels.indices(pictures, loading)
        return ImageSet(
            spec,
            pictures,
            more=lambda number, rng: {"domain": torch.tensor(indices[number])},
            groups=groups_of(indices, len(labels.names)) if self.balanced else (),
            flip=self.flip,
            augmentation=self.augmentation(spec, ("image",)),
        )

    @classmethod
    def example(cls, size: int) -> Dataset:
        return MadeUp(DataSpec(size, {"image": 3}, {"domain": ("0", "1", "2")}))

    def _attributes(self, folders: Folders) -> tuple[tuple[str, ...], dict[Path, Tensor]] | None:
        """The columns used and each file's values; None where the file has no columns of 0 and 1."""
        assert self.labels is not None
        table = read_table(self.labels, folders)
        names = self.attribute or table.header
        columns = [table.number_of(name) for name in names]
        values: dict[Path, Tensor] = {}
        for path, rows in table.rows.items():
            words = [rows[0][column].lower() for column in columns]
            if wrong := [word for word in words if word not in _YES | _NO]:
                if self.attribute or len(table.header) > 1:
                    raise UsageError(f"{self.labels}: {wrong[0]!r} for {path.name}; expected 0 or 1")
                return None
            values[path] = torch.tensor([float(word in _YES) for word in words])
        return (names, values) if names else None

    def _of_attributes(
        self, table: Path, folders: Folders, names: tuple[str, ...], values: Mapping[Path, Tensor], loading: Loading
    ) -> Dataset:
        if self.balanced:
            raise UsageError("--balanced: attributes can be combined; expected domains of which each image has one")
        folders = only_known(folders, values, f"no row in {table}", loading)
        known = {"attributes": names}
        pictures, spec = open_folders(folders, self.channels, self.resize, loading, known)
        rows = [values[path] for path in pictures.paths]

        def more(number: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
            return {"attributes": rows[number]}

        augmentation = self.augmentation(spec, ("image",))
        return ImageSet(spec, pictures, more=more, flip=self.flip, augmentation=augmentation)
