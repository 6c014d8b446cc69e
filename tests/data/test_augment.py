"""Augmentation by albumentations and kornia: repeatable, equal for pairs, silent about everything else."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from translate.data import augment
from translate.data.augment import ON_CPU, ON_DEVICE, Augmenter, DeviceAugmenter
from translate.errors import UsageError


def picture(channels: int = 3, seed: int = 0) -> np.ndarray:
    smooth = np.random.default_rng(seed).integers(0, 256, (4, 4, channels), np.uint8)
    return smooth.repeat(8, 0).repeat(8, 1)


@pytest.mark.parametrize("name", ON_CPU)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_each_on_the_cpu(name: str, channels: int) -> None:
    augmenter, image = Augmenter([name]), picture(channels)
    results = [augmenter([image], np.random.default_rng(seed))[0] for seed in range(30)]
    again = [augmenter([image], np.random.default_rng(seed))[0] for seed in range(30)]
    assert all((x == y).all() for x, y in zip(results, again, strict=True))
    assert all(x.shape == image.shape and x.dtype == np.uint8 for x in results)
    changed = sum((x != image).any() for x in results)
    if channels == 1 and name == "hue":
        assert changed == 0
    else:
        assert changed > 0
    if channels == 4:
        assert all((x[..., 3] == image[..., 3]).all() for x in results)
    assert (image == picture(channels)).all()


def test_images_of_a_pair_are_changed_alike() -> None:
    augmenter = Augmenter(["color", "noise", "cutout"])
    for seed in range(10):
        first, second = augmenter([picture(), picture()], np.random.default_rng(seed))
        assert (first == second).all()
    grey, colour = augmenter([picture(1), picture(3)], np.random.default_rng(0))
    assert grey.shape[2] == 1
    assert colour.shape[2] == 3


def test_augmentations_are_drawn_independently() -> None:
    blur, noise = Augmenter(["blur"]), Augmenter(["blur", "noise"])
    image = np.ascontiguousarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    only_blur = only_noise = 0
    for seed in range(60):
        blurred = (blur([image], np.random.default_rng(seed))[0] != image).any()
        both = (noise([image], np.random.default_rng(seed))[0] != image).any()
        only_noise += both and not blurred
        only_blur += blurred
    assert 0 < only_noise < 60
    assert 0 < only_blur < 60


def test_threads_do_not_disturb_each_other() -> None:
    augmenter, image = Augmenter(["color", "noise"]), picture()

    def one(seed: int) -> np.ndarray:
        return augmenter([image], np.random.default_rng(seed))[0]

    expected = [one(seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        assert all((x == y).all() for x, y in zip(pool.map(one, range(40)), expected, strict=True))


@pytest.mark.parametrize("name", ON_DEVICE)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_each_on_the_device(name: str, channels: int) -> None:
    images = torch.from_numpy(np.stack([picture(channels, seed) for seed in range(8)])).permute(0, 3, 1, 2)
    images = images.float() / 127.5 - 1
    augmenter = DeviceAugmenter([name])
    before = torch.get_rng_state()
    first = augmenter(images, 5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert torch.equal(augmenter(images, 5), first)
    assert not torch.equal(augmenter(images, 6), first)
    assert first.shape == images.shape
    assert first.min() >= -1
    assert first.max() <= 1
    assert not torch.allclose(first, images, atol=1e-3)
    if channels == 4:
        assert torch.equal(first[:, 3], images[:, 3]) == (name not in ("shift", "rotate")), "transparency moves along"


def test_nothing_asked_is_nothing_done() -> None:
    image, tensor = picture(), torch.zeros(1, 3, 4, 4)
    assert Augmenter([])([image], np.random.default_rng(0))[0] is image
    assert DeviceAugmenter([])(tensor, 0) is tensor


def test_unknown_and_repeated_names() -> None:
    with pytest.raises(UsageError, match=r"--augment colour: expected color, .* \(did you mean color\?\)"):
        Augmenter(["colour"])
    with pytest.raises(UsageError, match=r"--augment-device rotat: .* \(did you mean rotate\?\)"):
        DeviceAugmenter(["rotat"])
    with pytest.raises(UsageError, match="--augment: each name at most once"):
        Augmenter(["blur", "blur"])


def test_only_the_known_albumentations(monkeypatch: pytest.MonkeyPatch) -> None:
    for versions, found in (
        ({"albumentations": "2.0.9"}, "2.0.9"),
        ({}, "none"),
        ({"albumentations": "2.0.8", "albumentationsx": "2.1"}, "albumentationsx"),
    ):

        def version(name: str, versions: dict[str, str] = versions) -> str:
            if name not in versions:
                raise augment.metadata.PackageNotFoundError(name)
            return versions[name]

        with monkeypatch.context() as patch:
            patch.setattr(augment.metadata, "version", version)
            augment._albumentations.cache_clear()
            with pytest.raises(UsageError, match=f"albumentations==2.0.8; found {found}"):
                Augmenter(["blur"])
    augment._albumentations.cache_clear()


def test_neither_library_loads_before_it_is_used() -> None:
    import subprocess

    code = (
        "import sys, translate.data.unpaired, translate.data.loader;"
        "assert not {'albumentations', 'kornia', 'cv2', 'torchvision'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
