"""Patches of one picture for each domain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.contract import Loading
from translate.data.single import SinglePictures
from translate.data.transforms import resize
from translate.errors import UsageError
from translate.holdout import Part


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    for name, size in (("a", (50, 70, 3)), ("b", (40, 33, 3))):
        # Mean values: Pillow clips between its two passes, whose order depends on the sizes.
        Image.fromarray(rng.integers(64, 192, size, np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path / "a.png", tmp_path / "b.png"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_patch_is_cut_from_the_shrunken_picture_though_only_it_is_computed(files: tuple[Path, Path]) -> None:
    dataset = SinglePictures(a=files[0], b=files[1], flip=False).open(Loading(size=16))
    shrunken = set()
    for seed in range(30):
        x, rng = dataset.sample(seed, np.random.default_rng(seed)), np.random.default_rng(seed)
        for name, path in zip("ab", files, strict=True):
            whole = pixels(path)
            height, width = (
                max(16, round(n * share)) for n, share in zip(whole.shape, rng.uniform(1 / 3, 1, 2), strict=False)
            )
            top, left = (int(u * (n - 15)) for u, n in zip(rng.random(2), (height, width), strict=True))
            rng.random()
            expected = resize(whole, width, height)[top : top + 16, left : left + 16]
            assert np.abs(x[name].numpy().transpose(1, 2, 0).astype(int) - expected).max() <= 1
            shrunken.add((name, height))
    assert len(shrunken) > 30


def test_without_zoom_patches_are_the_pictures_own_pixels_and_half_are_mirrored(files: tuple[Path, Path]) -> None:
    dataset = SinglePictures(a=files[0], b=files[0], zoom=1.0).open(Loading(size=16))
    whole = pixels(files[0])
    found = {False: 0, True: 0}
    windows = np.lib.stride_tricks.sliding_window_view(whole, (16, 16, 3))[:, :, 0]
    for seed in range(40):
        patch = dataset.sample(0, np.random.default_rng(seed))["a"].numpy().transpose(1, 2, 0)
        for mirrored, candidate in ((False, patch), (True, patch[:, ::-1])):
            found[mirrored] += bool((windows == candidate).all((2, 3, 4)).any())
    assert sum(found.values()) == 40
    assert 10 < found[True] < 30


def test_a_small_picture_is_enlarged_to_a_patch(tmp_path: Path) -> None:
    Image.new("RGB", (10, 8), (9, 8, 7)).save(tmp_path / "a.png")
    x = SinglePictures(a=tmp_path, b=tmp_path).open(Loading(size=16)).sample(0, np.random.default_rng(0))
    assert x["a"].shape == (3, 16, 16)


def test_what_is_not_one_picture_of_each_domain_is_refused(files: tuple[Path, Path]) -> None:
    a, b = files
    with pytest.raises(UsageError, match=r"--b .*: holds 2 pictures; expected one, or its path"):
        SinglePictures(a=a, b=a.parent).open(Loading(size=16))
    with pytest.raises(UsageError, match="--a nowhere: no such folder or picture"):
        SinglePictures(a=Path("nowhere"), b=b).open(Loading(size=16))
    with pytest.raises(UsageError, match="--evaluate-every"):
        SinglePictures(a=a, b=b).open(Loading(size=16, part=Part("train", 0.5)))
    (a.parent / "text.png").write_text("no picture")
    with pytest.raises(UsageError, match=r"--a .*text\.png: "):
        SinglePictures(a=a.parent / "text.png", b=b).open(Loading(size=16))
