"""Features of real pictures kept between evaluations, in the system's temporary folder as decoded pictures are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
import torch

from translate.evaluation.features import FeatureNetwork
from translate.evaluation.result import checksum
from translate.files import own_temporary_folder, write_whole


class KeptFeatures:
    """The features of one set of pictures by one network, (N, D) float32.

    They are found by the content of the files in their order, and by ``setting``: the network, its weights and how the
    pictures are brought to it. What cannot be read or written is computed again, never guessed.
    """

    def __init__(self, files: Sequence[Path], setting: str) -> None:
        digest = hashlib.sha256(setting.encode())
        for path in files:
            digest.update(checksum(path).encode())
        self._count = len(files)
        self.file = own_temporary_folder("gantk-features") / f"{digest.hexdigest()}.npy"

    def read(self) -> np.ndarray | None:
        """The features; None where there are none, or the file is damaged."""
        try:
            rows: np.ndarray = np.load(self.file, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        fits = rows.ndim == 2 and len(rows) == self._count and rows.dtype == np.float32
        return rows if fits and bool(np.isfinite(rows).all()) else None

    def write(self, rows: np.ndarray) -> None:
        """Keep features for the next evaluation, if there is room."""

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.save(file, rows, allow_pickle=False)

        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self.file, save)


def kept_features(
    network: FeatureNetwork, files: Sequence[Path], how: str, device: torch.device
) -> KeptFeatures | None:
    """Where the features of files by a network are kept; None where that cannot be.

    ``how``: whatever else decides the pixels. Devices and versions of torch differ in the last bits, so each has its
    own.
    """
    try:
        return KeptFeatures(files, f"{network.label}\n{how}\n{device.type}\n{torch.__version__}\n{PIL.__version__}")
    except OSError:
        return None
