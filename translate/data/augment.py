"""Augmentation beyond crop and flip, for every source: albumentations on the host, kornia on the device.

Both are imported on first use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from translate.contract import DataSpec, Loading, Source
from translate.data.decode import Pixels
from translate.errors import UsageError, did_you_mean

_ALBUMENTATIONS = "2.0.8"

ON_CPU: Mapping[str, Callable[[Any], Any]] = {
    "color": lambda module: module.ColorJitter((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.03, 0.03), p=0.8),
    "brightness": lambda module: module.RandomBrightnessContrast(0.2, 0.2, p=0.8),
    "hue": lambda module: module.ColorJitter((1, 1), (1, 1), (1, 1), (-0.1, 0.1), p=0.8),
    "blur": lambda module: module.GaussianBlur(sigma_limit=(0.3, 1.5), p=0.5),
    "noise": lambda module: module.GaussNoise(std_range=(0.005, 0.05), p=0.5),
    "jpeg": lambda module: module.ImageCompression(quality_range=(40, 95), p=0.5),
    "cutout": lambda module: module.CoarseDropout((1, 2), (0.1, 0.3), (0.1, 0.3), fill=127, p=0.5),
}
"""What ``--augment`` knows: each builds its transform from the module albumentations."""

ON_DEVICE: Mapping[str, Callable[[Any], Any]] = {
    "color": lambda module: module.ColorJiggle(0.2, 0.2, 0.2, 0.03, p=0.8),
    "brightness": lambda module: module.RandomBrightness((0.8, 1.2), p=0.8),
    "blur": lambda module: module.RandomGaussianBlur((7, 7), (0.3, 1.5), p=0.5),
    "noise": lambda module: module.RandomGaussianNoise(std=0.03, p=0.5),
    "shift": lambda module: module.RandomAffine(0, translate=(0.1, 0.1), padding_mode="reflection", p=0.8),
    "rotate": lambda module: module.RandomAffine(10, padding_mode="reflection", p=0.8),
    "cutout": lambda module: module.RandomErasing((0.02, 0.1), value=0.5, p=0.5),
}
"""What ``--augment-device`` knows: each builds its module from kornia.augmentation."""

OF_ONE_PIXEL = frozenset({"color", "brightness", "hue"})
"""Names that change each pixel by itself: a picture and a smaller version of it stay versions of each other."""

_MOVES = frozenset({"shift", "rotate"})  # all planes go along; the others change colours alone
_COLOURS = 3  # planes that are colours; a fourth is transparency


def check_names(flag: str, names: Sequence[str], known: Mapping[str, object]) -> None:
    """Raise ``UsageError`` for a name that is not known, or given twice."""
    for name in names:
        if name not in known:
            raise UsageError(f"{flag} {name}: expected {', '.join(known)}{did_you_mean(name, list(known))}")
    if len(set(names)) < len(names):
        raise UsageError(f"{flag}: each name at most once")


@dataclass(frozen=True, kw_only=True)
class Augmented(Source):
    """A source whose training pictures can be augmented. Each name draws anew for each sample, from the run's seed."""

    augment: Annotated[tuple[str, ...], f"augment on the CPU: {', '.join(ON_CPU)}"] = ()
    augment_device: Annotated[tuple[str, ...], f"augment on the training device: {', '.join(ON_DEVICE)}"] = ()

    def __post_init__(self) -> None:
        check_names("--augment", self.augment, ON_CPU)
        check_names("--augment-device", self.augment_device, ON_DEVICE)

    def check_augment(self, loading: Loading, *, refused: str = "", allowed: frozenset[str] | None = None) -> None:
        """Raise ``UsageError`` where a name is given that is not ``allowed`` (all are) for the reason ``refused``."""
        if loading.cache == "device" and self.augment:
            raise UsageError("--cache device: --augment works on the host; use --augment-device, or --cache memory")
        for flag, names in (("--augment", self.augment), ("--augment-device", self.augment_device)):
            for name in names:
                if allowed is not None and name not in allowed:
                    expected = f"; expected {', '.join(sorted(allowed))}" if allowed else ""
                    raise UsageError(f"{flag} {name}: {refused}{expected}")

    def augmentation(self, spec: DataSpec, *groups: tuple[str, ...]) -> Augmentation:
        """What the flags ask for. ``groups``: the batch names of pictures that are changed alike, by one draw."""
        for flag, names in (("--augment", self.augment), ("--augment-device", self.augment_device)):
            for domain in (domain for group in groups for domain in group if names):
                channels, bits = spec.channels[domain], spec.bits.get(domain, 8)
                if channels not in (1, 3, 4):
                    raise UsageError(f"{flag} {names[0]}: expected 1, 3 or 4 channels, not {channels}")
                if bits != 8 and flag == "--augment":
                    raise UsageError(f"{flag} {names[0]}: expected 8-bit pictures, not {bits}; use --augment-device")
        return Augmentation(Augmenter(self.augment), DeviceAugmenter(self.augment_device), groups)


class Augmentation:
    """Augments samples on the host and batches on the device; the pictures of a group get the same transform."""

    def __init__(self, host: Augmenter, device: DeviceAugmenter, groups: Sequence[tuple[str, ...]]) -> None:
        self._host, self._device, self._groups = host, device, groups

    def on_host(self, images: Mapping[str, Pixels], rng: np.random.Generator) -> dict[str, Pixels]:
        """One sample's pictures (H, W, C), uint8."""
        changed = dict(images)
        for group in self._groups:
            names = [name for name in group if name in images]
            changed.update(zip(names, self._host([images[name] for name in names], rng), strict=True))
        return changed

    def on_device(self, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """A batch with pictures (N, C, H, W) in [-1, 1]."""
        changed = dict(batch)
        for number, group in enumerate(self._groups):
            for name in group:
                if name in batch:
                    changed[name] = self._device(batch[name], seed ^ number)
        return changed


class Augmenter:
    """The named augmentations of albumentations, in that order, on uint8 (H, W, C) images of one sample."""

    def __init__(self, names: Sequence[str]) -> None:
        check_names("--augment", names, ON_CPU)
        self._names = tuple(names)
        self._threads = threading.local()
        if self._names:
            _albumentations()  # a missing package is reported now, and not by a thread

    def __call__(self, images: Sequence[Pixels], rng: np.random.Generator) -> list[Pixels]:
        """New images, all with one transform; of one size, unless all names are ``OF_ONE_PIXEL``."""
        if not self._names:
            return list(images)
        compose = self._compose(len(images))
        seeds = rng.integers(2**32, size=len(self._names))
        for transform, seed in zip(compose.transforms, seeds.tolist(), strict=True):
            transform.set_random_seed(seed)
        colours = [np.ascontiguousarray(image[:, :, :_COLOURS]) for image in images]
        targets = dict(zip(_targets(len(images)), colours, strict=True))
        changed = compose(**targets)
        return [
            changed[name] if image.shape[2] <= _COLOURS else np.dstack([changed[name], image[:, :, _COLOURS:]])
            for name, image in zip(targets, images, strict=True)
        ]

    def _compose(self, count: int) -> Any:
        """One per thread and number of images, since they carry their random state."""
        composed: dict[int, Any] = self._threads.__dict__.setdefault("composed", {})
        if count not in composed:
            module = _albumentations()
            others = dict.fromkeys(_targets(count)[1:], "image")
            transforms = [ON_CPU[name](module) for name in self._names]
            composed[count] = module.Compose(
                transforms, additional_targets=others, is_check_shapes=not OF_ONE_PIXEL.issuperset(self._names)
            )
        return composed[count]


class DeviceAugmenter:
    """The named augmentations of kornia, in that order, on float (N, C, H, W) in [-1, 1], each image for itself."""

    def __init__(self, names: Sequence[str]) -> None:
        check_names("--augment-device", names, ON_DEVICE)
        self._names = tuple(names)
        self._modules: list[torch.nn.Module] | None = None

    def __call__(self, images: Tensor, seed: int) -> Tensor:
        """New images. The same ``seed`` gives the same transform to batches of the same size: use it for pairs."""
        if not self._names:
            return images
        if self._modules is None:
            import kornia.augmentation as K

            self._modules = [ON_DEVICE[name](K) for name in self._names]
        with torch.no_grad(), _seeded(images.device, seed):
            planes = images.add(1).div_(2)
            for name, module in zip(self._names, self._modules, strict=True):
                planes = _moved(module, planes) if name in _MOVES else _coloured(module, planes)
            return planes.mul(2).sub_(1)


def _moved(module: torch.nn.Module, planes: Tensor) -> Tensor:
    moved: Tensor = module(planes).clamp(0, 1)
    return moved


def _coloured(module: torch.nn.Module, planes: Tensor) -> Tensor:
    colours, others = planes[:, :_COLOURS], planes[:, _COLOURS:]
    grey = colours.shape[1] == 1
    changed: Tensor = module(colours.expand(-1, 3, -1, -1) if grey else colours).clamp(0, 1)
    return torch.cat([changed[:, :1] if grey else changed, others], 1)


def _targets(count: int) -> list[str]:
    return ["image", *(f"image{number}" for number in range(1, count))]


@cache
def _albumentations() -> Any:
    """The module, of the version whose licence (MIT) and random streams are known."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or else its import asks a server for the latest version
    try:
        version = metadata.version("albumentations")
    except metadata.PackageNotFoundError:
        version = "none"
    if version != _ALBUMENTATIONS or _installed("albumentationsx"):
        found = "albumentationsx" if _installed("albumentationsx") else version
        raise UsageError(f"--augment needs the package albumentations=={_ALBUMENTATIONS}; found {found}")
    import albumentations
    import cv2

    cv2.setNumThreads(0)  # the loader's threads are the parallelism
    return albumentations


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


@contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Torch's global random streams, which kornia draws from, start at ``seed`` here and are restored afterwards."""
    of_device = None if device.type == "cpu" else torch.get_device_module(device)
    before = torch.get_rng_state()
    before_device = of_device.get_rng_state() if of_device else None
    try:
        torch.default_generator.manual_seed(seed)
        if of_device:
            of_device.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(before)
        if of_device:
            of_device.set_rng_state(before_device)


NO_AUGMENTATION = Augmentation(Augmenter(()), DeviceAugmenter(()), ())
"""Changes nothing."""
