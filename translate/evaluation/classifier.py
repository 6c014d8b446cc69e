"""Which classes samples show, by a classifier that the user names: an ONNX file.

ONNX holds a graph of operations and no code, unlike a pickle or a TorchScript archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from translate.data.values import Pixels
from translate.errors import UsageError, one_line
from translate.evaluation.measures import DRAWS, SetMeasure, to_rgb_bytes
from translate.evaluation.pictures import Shown
from translate.evaluation.result import Figure, checksum
from translate.metrics.bootstrap import Estimate, of_mean
from translate.reading import LUMA_WEIGHTS

TRUSTED = 0.5
"""Share of the real pictures that a classifier must know for its word on samples to count."""

_LUMA = torch.tensor(LUMA_WEIGHTS).view(1, 3, 1, 1)


class Classifier:
    """An ONNX graph from pictures (N, 3 or 1, H, W) in [0, 1] to one number for each class; the largest one counts.

    Raises ``UsageError`` naming the file where it is no such graph, or has not ``classes`` outputs.
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        import onnxruntime

        self.path, self.classes = path, tuple(classes)
        if not path.is_file():
            raise UsageError(f"--classifier {path}: no such file")
        how = onnxruntime.SessionOptions()
        how.intra_op_num_threads = torch.get_num_threads()  # its own choice is all cores, whoever else works on them
        try:
            session = onnxruntime.InferenceSession(str(path), how, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no base class of their own
            raise UsageError(f"--classifier {path}: expected an ONNX file ({one_line(error, 120)})") from None
        taken = session.get_inputs()
        shape = taken[0].shape if len(taken) == 1 else []
        if len(shape) != 4 or shape[1] not in (1, 3) or taken[0].type != "tensor(float)":
            raise UsageError(f"--classifier {path}: expected one input of floats (N, 1 or 3, H, W), found {shape}")
        self.channels: int = shape[1]
        self.sides = tuple(side if isinstance(side, int) else None for side in shape[2:])
        self.label = f"{path.name} {checksum(path)[:16]}"
        self._run: Callable[[np.ndarray], Any] = lambda x: session.run(None, {taken[0].name: x})[0]

    def __call__(self, picture: Pixels) -> str:
        """The class of a picture (H, W, C)."""
        x = to_rgb_bytes(picture).float() / 255
        height, width = (wanted or given for wanted, given in zip(self.sides, x.shape[2:], strict=True))
        if x.shape[2:] != (height, width):
            x = F.interpolate(x, (height, width), mode="bilinear", antialias=True)
        return self.classes[int(self._scores(x)[0].argmax())]

    def trusted(self, right: Sequence[float]) -> float:
        """The share of real pictures on which it is right, of 1 or 0 for each. Raises ``UsageError`` if it is small."""
        share = float(np.mean(right))
        if share < TRUSTED:
            raise UsageError(
                f"--classifier {self.path}: right on {share:.0%} of the real pictures, so that it says nothing of "
                f"samples; expected a graph for pictures in [0, 1] with classes in the order "
                f"{', '.join(self.classes[:4])}, ..."
            )
        return share

    def _scores(self, x: Tensor) -> np.ndarray:
        given = (x * _LUMA).sum(1, keepdim=True) if self.channels == 1 else x
        try:
            scores = np.asarray(self._run(given.numpy()))
        except Exception as error:
            raise UsageError(f"--classifier {self.path}: fails on a picture ({one_line(error, 120)})") from None
        if scores.shape != (len(x), len(self.classes)):
            raise UsageError(
                f"--classifier {self.path}: expected {len(self.classes)} numbers for each picture, one for each of "
                f"{', '.join(self.classes[:4])}, ... in this order; found shape {scores.shape}"
            )
        return scores


class ClassAccuracy(SetMeasure):
    """The share of samples that a classifier takes for the class that was asked for."""

    def __init__(self, name: str, classifier: Classifier) -> None:
        self.name, self.classifier = name, classifier
        self._right: dict[str, float] = {}
        self._of_class: dict[str, list[float]] = {}
        self._reals: list[float] = []

    def add(self, shown: Shown) -> None:
        assert shown.group is not None
        right = float(self.classifier(shown.output) == shown.group)
        self._right[shown.name] = right
        self._of_class.setdefault(shown.group, []).append(right)

    def add_real(self, picture: Callable[[], Pixels], group: str | None = None) -> None:
        if group is not None:
            self._reals.append(float(self.classifier(picture()) == group))

    def figures(self) -> Iterator[Figure]:
        of_reals = self.classifier.trusted(self._reals)
        mean = of_mean(list(self._right.values()))
        each = ", ".join(f"{name}: {np.mean(values):.3g}" for name, values in sorted(self._of_class.items()))
        detail = f"of real pictures {of_reals:.4g}; {each}"
        low, high = max(mean.low, 0.0), min(mean.high, 1.0)
        how = self.classifier.label
        yield Figure(
            self.name, mean.value, low, high, "higher", how=how, detail=detail, published=False, each=self._right
        )


class Modes(SetMeasure):
    """How many classes samples show that were drawn without one, and how far their shares are from the real ones'.

    ``modes``: the number of classes that have at least ``COVERED`` of the share that they have among the real
    pictures; 1 is a generator that has collapsed to a single class. ``modes-kl``: the Kullback-Leibler divergence of
    the shares among the samples from those among the real pictures, in nats. Metz et al., 2017, section 3.3.1 ask for
    one sample of a class to count it: with a classifier that errs once in a hundred, every class would count.
    """

    def __init__(self, names: Sequence[str], classifier: Classifier) -> None:
        self.names, self.classifier = names, classifier
        self._shown: list[int] = []
        self._reals: list[int] = []
        self._right: list[float] = []

    def add(self, shown: Shown) -> None:
        self._shown.append(self.classifier.classes.index(self.classifier(shown.output)))

    def add_real(self, picture: Callable[[], Pixels], group: str | None = None) -> None:
        if group is not None:
            self._reals.append(self.classifier.classes.index(group))
            self._right.append(float(self.classifier(picture()) == group))

    def figures(self) -> Iterator[Figure]:
        classes = self.classifier.classes
        of_reals = self.classifier.trusted(self._right)
        real, shown = self._shares(np.array(self._reals)), self._shares(np.array(self._shown))
        shares = ", ".join(f"{name}: {share:.3g}" for name, share in zip(classes, shown, strict=True))
        detail = f"share of each among the samples: {shares}; right on {of_reals:.4g} of the real pictures"
        rng, count = np.random.default_rng(0), len(self._shown)
        drawn = [self._shares(np.array(self._shown)[rng.integers(count, size=count)]) for _ in range(DRAWS)]
        how, most = self.classifier.label, len(classes)
        if "modes" in self.names:
            estimate = Estimate(covered(shown, real), float(np.std([covered(each, real) for each in drawn])))
            low, high = max(estimate.low, 0), min(estimate.high, most)
            yield Figure("modes", estimate.value, low, high, "higher", f"of {most}", how, detail, published=False)
        if "modes-kl" in self.names:
            estimate = Estimate(divergence(shown, real), float(np.std([divergence(each, real) for each in drawn])))
            low = max(estimate.low, 0)
            yield Figure("modes-kl", estimate.value, low, estimate.high, "lower", "nats", how, detail, published=False)

    def _shares(self, numbers: np.ndarray) -> np.ndarray:
        return np.bincount(numbers, minlength=len(self.classifier.classes)) / len(numbers)


COVERED = 0.1
"""Share of its share among the real pictures that a class must have among the samples to count as shown."""


def covered(shown: np.ndarray, real: np.ndarray) -> float:
    """The number of classes that are shown, of shares (K,) that sum to 1."""
    return float(((shown >= COVERED * real) & (shown > 0)).sum())


def divergence(shown: np.ndarray, real: np.ndarray) -> float:
    """Kullback-Leibler divergence of shares (K,) from those of the real pictures, all above 0, in nats."""
    present = shown > 0
    return float((shown[present] * np.log(shown[present] / real[present])).sum())
