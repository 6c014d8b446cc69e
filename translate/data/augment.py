"""Augmentation beyond crop and flip: albumentations on the CPU, kornia on the device; both load on first use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor

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

_COLOURS = 3  # planes that augmentation sees; a fourth is transparency, which moves but does not change


def check_names(flag: str, names: Sequence[str], known: Mapping[str, object]) -> None:
    """Raise ``UsageError`` for a name that is not known, or given twice."""
    for name in names:
        if name not in known:
            raise UsageError(f"{flag} {name}: expected {', '.join(known)}{did_you_mean(name, list(known))}")
    if len(set(names)) < len(names):
        raise UsageError(f"{flag}: each name at most once")


class Augmenter:
    """The named augmentations of albumentations, in that order, on uint8 (H, W, C) images of one sample."""

    def __init__(self, names: Sequence[str]) -> None:
        check_names("--augment", names, ON_CPU)
        self._names = tuple(names)
        self._threads = threading.local()
        if self._names:
            _albumentations()  # a missing package is better told of now than from a thread

    def __call__(self, images: Sequence[Pixels], rng: np.random.Generator) -> list[Pixels]:
        """New images; all of one call, which must be of one size, get the same transform."""
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
        made: dict[int, Any] = self._threads.__dict__.setdefault("made", {})
        if count not in made:
            module = _albumentations()
            others = dict.fromkeys(_targets(count)[1:], "image")
            made[count] = module.Compose([ON_CPU[name](module) for name in self._names], additional_targets=others)
        return made[count]


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
            colours = images[:, :_COLOURS].add(1).div_(2)
            grey = colours.shape[1] == 1
            colours = colours.expand(-1, 3, -1, -1) if grey else colours  # kornia's colour transforms want RGB
            for module in self._modules:
                colours = module(colours).clamp(0, 1)
            colours = colours[:, :1] if grey else colours
            return torch.cat([colours.mul(2).sub_(1), images[:, _COLOURS:]], 1)


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
    """Torch's global random streams, which kornia draws from, start at ``seed`` here and go on as before after."""
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
