"""Figures from pictures that pass one by one: of each beside its target or its input, and of whole sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from translate.data.values import Pixels, at_depth, white_of
from translate.errors import UsageError
from translate.evaluation.features import FeatureNetwork, Inception, rows_of
from translate.evaluation.kept import KeptFeatures
from translate.evaluation.options import PER_CLASS
from translate.evaluation.pictures import Shown
from translate.evaluation.result import Better, Figure
from translate.infer.runner import Network
from translate.metrics import sliced
from translate.metrics.bootstrap import Estimate, Indices, of_mean, of_sets
from translate.metrics.distances import Features, density_coverage, frechet, kernel_distance
from translate.metrics.labels import confusion, mean_iou, pixel_accuracy
from translate.metrics.restoration import Channel, edge_agreement, l1, psnr, ssim

ENOUGH_FOR_FID = 2048
"""Pictures below which the covariance of Inception's features lacks full rank, so that FID is biased upwards."""

DRAWS = 100
FEW_DRAWS = 20
"""Draws of the bootstrap, and where each of them takes seconds."""

MOST_PATCHED = 512
"""Pictures of which a sliced Wasserstein distance takes patches, evenly spaced over all."""

KID_SUBSET = 1000
"""torch-fidelity's default."""


class Measure(ABC):
    """Looks at every result once and gives figures."""

    @abstractmethod
    def add(self, shown: Shown) -> None:
        """Look at a result, its target and its input."""

    @abstractmethod
    def figures(self) -> Iterator[Figure]:
        """What was found."""


class SetMeasure(Measure):
    """Looks at every real picture as well."""

    @abstractmethod
    def add_real(self, picture: Callable[[], Pixels], group: str | None = None) -> None:
        """Look at a real picture, of a class where there are classes. ``picture`` decodes it, where it is needed."""


def to_tensor(picture: Pixels) -> Tensor:
    """Pixels (H, W, C) -> (1, C, H, W) in [-1, 1]."""
    shares = picture.astype(np.float32) / (white_of(picture.dtype) / 2)
    return torch.from_numpy(shares).permute(2, 0, 1)[None] - 1


def to_rgb_bytes(picture: Pixels) -> Tensor:
    """Pixels (H, W, C) -> uint8 (1, 3, H, W): grey is repeated, transparency laid on white."""
    picture = at_depth(picture, np.dtype(np.uint8))
    if picture.shape[2] == 4:
        alpha = picture[:, :, 3:].astype(np.float32) / 255
        picture = np.rint(picture[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    tensor = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
    return tensor.expand(1, 3, -1, -1) if tensor.shape[1] == 1 else tensor


@dataclass
class Each(Measure):
    """A mean over pictures of one value for each."""

    name: str
    value_of: Callable[[Shown], float]
    better: Better
    unit: str = ""
    how: str = ""
    published: bool = True

    def __post_init__(self) -> None:
        self.values: dict[str, float] = {}

    def add(self, shown: Shown) -> None:
        try:
            self.values[shown.name] = self.value_of(shown)
        except ValueError as error:
            raise UsageError(f"--metric {self.name}: {shown.name}: {error}") from None

    def figures(self) -> Iterator[Figure]:
        finite = {name: value for name, value in self.values.items() if np.isfinite(value)}
        if len(finite) < len(self.values):
            equal = len(self.values) - len(finite)
            raise UsageError(
                f"--metric {self.name}: infinite for {equal} of {len(self.values)} pictures, which equal their "
                "targets; expected other pictures, or another --metric"
            )
        mean = of_mean(list(finite.values()))
        yield _figure(self.name, mean, self.better, self.unit, self.how, published=self.published, each=finite)


def against_target(name: Literal["psnr", "ssim", "l1"], *, border: int, colour: Channel) -> Each:
    """PSNR, SSIM or L1 of each result and its target."""
    measures: dict[str, tuple[Callable[..., Tensor], Better, str]] = {
        "psnr": (psnr, "higher", "dB"),
        "ssim": (ssim, "higher", ""),
        "l1": (l1, "lower", ""),
    }
    function, better, unit = measures[name]

    def value_of(shown: Shown) -> float:
        output, target = _both(shown.output, shown.target)
        return function(output, target, border=border, channel=colour if output.shape[1] == 3 else "y").item()

    return Each(name, value_of, better, unit)


def edges() -> Each:
    """How far the edges of each result lie where those of its input do."""

    def value_of(shown: Shown) -> float:
        assert shown.source is not None
        return edge_agreement(to_tensor(shown.output), to_tensor(shown.source)).item()

    return Each("edges", value_of, "higher", how="correlation of Sobel gradients of input and result")


def cycle(back: Network) -> Each:
    """L1 between each input and its translation there and back."""

    def value_of(shown: Shown) -> float:
        assert shown.source is not None
        canvas = back.translate([shown.output])[0].canvas
        again = canvas.read(0, canvas.shape[0])
        return l1(*_both(again, shown.source)).item()

    return Each("cycle-l1", value_of, "lower", how=f"input to its translation and back ({back.direction.name})")


def change() -> Each:
    """L1 between each result and its input: 0 for a model that copies."""

    def value_of(shown: Shown) -> float:
        return l1(*_both(shown.output, shown.source)).item()

    return Each("change", value_of, "higher", how="L1 from input to result; 0 where the model copies")


class Labels(Measure):
    """Pixel accuracy and IoU of maps of class indices: over all pixels, with intervals over pictures."""

    def __init__(self, classes: int, names: Sequence[str]) -> None:
        self.classes, self.names = classes, names
        self.counts: list[np.ndarray] = []

    def add(self, shown: Shown) -> None:
        assert shown.target is not None
        self.counts.append(confusion(shown.output.astype(np.uint8), shown.target.astype(np.uint8), self.classes))

    def figures(self) -> Iterator[Figure]:
        counts = np.stack(self.counts)
        of = {"pixel-accuracy": pixel_accuracy, "iou": mean_iou}
        chosen = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
        for name in self.names:
            drawn = [of[name](counts[rows].sum(0)) for rows in chosen]
            yield _figure(name, Estimate(of[name](counts.sum(0)), float(np.nanstd(drawn))), "higher")


class SlicedWasserstein(SetMeasure):
    """Sliced Wasserstein distance at every level of the pyramid, and their mean."""

    def __init__(self, side: int, counts: tuple[int, int], seed: int) -> None:
        self.side, self.seed = side, seed
        taken = min(*counts, MOST_PATCHED)
        self.wanted = [set(sliced.evenly(count, taken)) for count in counts]
        self.reached = [0, 0]
        self.rngs = [np.random.default_rng([seed, number]) for number in range(2)]
        self.found: list[list[list[np.ndarray]]] = [[], []]

    def add(self, shown: Shown) -> None:
        self._take(0, lambda: shown.output)

    def add_real(self, picture: Callable[[], Pixels], group: str | None = None) -> None:
        self._take(1, picture)

    def _take(self, which: int, picture: Callable[[], Pixels]) -> None:
        number = self.reached[which]
        self.reached[which] += 1
        if number in self.wanted[which]:
            whole = F.interpolate(
                to_rgb_bytes(picture()).float(), (self.side, self.side), mode="bilinear", antialias=True
            )
            levels = sliced.pyramid(whole)
            self.found[which].append([sliced.patches(level, self.rngs[which])[0] for level in levels])

    def figures(self) -> Iterator[Figure]:
        levels = len(self.found[0][0])
        sets = [[np.stack([each[level] for each in group]) for level in range(levels)] for group in self.found]
        values = [sliced.sliced_wasserstein(sets[0][i], sets[1][i], seed=self.seed) for i in range(levels)]

        slices = [sliced.Slices(a, b, seed=self.seed) for a, b in zip(*sets, strict=True)]

        def again(first: Indices, second: Indices) -> float:
            return float(np.mean([each.distance(first, second) for each in slices]))

        count = len(sets[0][0])
        estimate = of_sets(again, (count, count), float(np.mean(values)), draws=FEW_DRAWS, seed=self.seed)
        sides = [self.side >> level for level in range(levels)]
        by_level = ", ".join(f"{side}: {value:.4g}" for side, value in zip(sides, values, strict=True))
        how = f"{count} pictures of each at {self.side} px"
        detail = f"by level {by_level}"
        yield _figure("swd", estimate, "lower", "x 1e-3", how, published=False, detail=detail)


class OnFeatures(SetMeasure):
    """Figures of the features of two sets of pictures; what they are is up to the sub-class."""

    def __init__(
        self,
        network: FeatureNetwork,
        device: torch.device,
        batch: int,
        names: Sequence[str],
        kept: KeptFeatures | None = None,
    ) -> None:
        self.label, self.names, self.batch, self._kept = network.label, names, batch, kept
        self._rows = rows_of(network, device)
        self._known = None if kept is None else kept.read()
        self._waiting: list[list[Tensor]] = [[], []]
        self._done: list[list[np.ndarray]] = [[], []]
        self._groups: list[list[str | None]] = [[], []]

    def add(self, shown: Shown) -> None:
        self._groups[0].append(shown.group)
        self._take(0, to_rgb_bytes(shown.output))

    def add_real(self, picture: Callable[[], Pixels], group: str | None = None) -> None:
        self._groups[1].append(group)
        if self._known is None:
            self._take(1, to_rgb_bytes(picture()))

    def _take(self, which: int, picture: Tensor) -> None:
        waiting = self._waiting[which]
        if waiting and (len(waiting) == self.batch or waiting[0].shape != picture.shape):
            self._flush(which)
        waiting.append(picture)

    def _flush(self, which: int) -> None:
        if self._waiting[which]:
            self._done[which].append(self._rows(torch.cat(self._waiting[which])))
            self._waiting[which].clear()

    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, D) of the results and of the real pictures, float32."""
        for which in range(2):
            self._flush(which)
        reals = np.concatenate(self._done[1]) if self._known is None else self._known
        if self._known is None and self._kept is not None:
            self._kept.write(reals)
        return np.concatenate(self._done[0]), reals


class Distances(OnFeatures):
    """Frechet and kernel distance, density and coverage by our own formulas, on any features."""

    def figures(self) -> Iterator[Figure]:
        fakes, reals = (rows.astype(np.float64) for rows in self.features())
        draws = DRAWS if min(len(fakes), fakes.shape[1]) <= 512 else FEW_DRAWS
        of: dict[str, tuple[Callable[[Features, Features], float], Better]] = {
            "frechet": (frechet, "lower"),
            "kernel": (kernel_distance, "lower"),
            "density": (lambda a, b: density_coverage(a, b)[0], "higher"),
            "coverage": (lambda a, b: density_coverage(a, b)[1], "higher"),
        }
        for name in (each for each in self.names if each in of):
            function, better = of[name]
            try:
                value = function(fakes, reals)
            except ValueError as error:
                raise UsageError(f"--metric {name}: {error}") from None
            estimate = of_sets(_resampled(function, fakes, reals), (len(fakes), len(reals)), value, draws=draws)
            yield _figure(name, estimate, better, how=self.label, published=False)
        if PER_CLASS in self.names:
            yield self._within_classes(fakes, reals)

    def _within_classes(self, fakes: Features, reals: Features) -> Figure:
        groups = [np.array(names, dtype=object) for names in self._groups]
        both = sorted({name for name in groups[1] if name is not None} & {n for n in groups[0] if n is not None})
        estimates = {}
        for name in both:
            a, b = fakes[groups[0] == name], reals[groups[1] == name]
            if len(b) < 2:
                raise UsageError(f"--metric {PER_CLASS}: class {name} has {len(b)} real pictures; expected 2 or more")
            estimates[name] = of_sets(_resampled(frechet, a, b), (len(a), len(b)), frechet(a, b), draws=FEW_DRAWS)
        mean = float(np.mean([each.value for each in estimates.values()]))
        error = float(np.sqrt(np.sum([each.error**2 for each in estimates.values()])) / len(estimates))
        detail = ", ".join(f"{name}: {each.value:.4g}" for name, each in estimates.items())
        how = f"{self.label}; {len(estimates)} classes"
        return _figure(PER_CLASS, Estimate(mean, error), "lower", how=how, published=False, detail=detail)


class Fidelity(OnFeatures):
    """FID, KID, Inception score, precision and recall: torch-fidelity's numbers, with intervals of ours."""

    def __init__(
        self,
        network: Inception,
        device: torch.device,
        batch: int,
        names: Sequence[str],
        kept: KeptFeatures | None = None,
    ) -> None:
        super().__init__(network, device, batch, names, kept)
        self.published = network.published

    def figures(self) -> Iterator[Figure]:
        from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
        from torch_fidelity.metric_isc import isc_features_to_metric
        from torch_fidelity.metric_kid import kid_features_to_metric
        from torch_fidelity.metric_prc import prc_features_to_metric

        rows = [torch.from_numpy(found) for found in self.features()]
        fakes, reals = (found[:, : Inception.POOLED] for found in rows)
        sizes = len(fakes), len(reals)
        a, b = (found.double().numpy() for found in (fakes, reals))

        def spread(function: Callable[[Features, Features], float], value: float, draws: int = FEW_DRAWS) -> Estimate:
            return of_sets(_resampled(function, a, b), sizes, value, draws=draws)

        def precision_recall(x: Features, y: Features) -> tuple[float, float]:
            found = prc_features_to_metric(torch.from_numpy(x).float(), torch.from_numpy(y).float(), verbose=False)
            return found["precision"], found["recall"]

        if "fid" in self.names:
            statistics = [fid_features_to_statistics(found) for found in (fakes, reals)]
            value = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
            yield self._figure("fid", spread(frechet, value), "lower")
        if "kid" in self.names:
            subset = min(KID_SUBSET, *sizes)
            value = kid_features_to_metric(fakes, reals, kid_subset_size=subset, verbose=False)
            estimate = spread(kernel_distance, value["kernel_inception_distance_mean"])
            yield self._figure("kid", estimate, "lower", f"subsets of {subset}")
        if "is" in self.names:
            logits = rows[0][:, Inception.POOLED :]
            value = isc_features_to_metric(logits)["inception_score_mean"]
            draw = of_sets(
                lambda i, j: isc_features_to_metric(logits[torch.from_numpy(i)])["inception_score_mean"],
                sizes, value, draws=FEW_DRAWS,
            )  # fmt: skip
            yield self._figure("is", draw, "higher", "10 splits")
        for number, name in enumerate(("precision", "recall")):
            if name in self.names:
                value = precision_recall(a, b)[number]
                estimate = spread(lambda x, y, n=number: precision_recall(x, y)[n], value)  # type: ignore[misc]
                yield self._figure(name, estimate, "higher", "3 neighbours, on Inception's features")

    def _figure(self, name: str, estimate: Estimate, better: Better, how: str = "") -> Figure:
        how = f"{self.label}{'; ' * bool(how)}{how}"
        return _figure(name, estimate, better, how=how, published=self.published)


def _resampled(
    function: Callable[[Features, Features], float], first: Features, second: Features
) -> Callable[[Indices, Indices], float]:
    return lambda i, j: function(first[i], second[j])


def _both(first: Pixels, second: Pixels | None) -> tuple[Tensor, Tensor]:
    assert second is not None
    return to_tensor(first), to_tensor(second)


def _figure(
    name: str,
    estimate: Estimate,
    better: Better,
    unit: str = "",
    how: str = "",
    *,
    published: bool = True,
    each: dict[str, float] | None = None,
    detail: str = "",
) -> Figure:
    return Figure(name, estimate.value, estimate.low, estimate.high, better, unit, how, detail, published, each)
