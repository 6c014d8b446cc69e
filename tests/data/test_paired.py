from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from listening import listening
from translate.contract import Dataset, Loading
from translate.data.dataset import CutDataset
from translate.data.decode import ImageError
from translate.data.index_maps import open_index_map, to_planes
from translate.data.loader import Loader
from translate.data.paired import Paired
from translate.errors import UsageError

SHARED = Path(__file__).parents[3] / "shared" / "data"


def picture(path: Path, width: int = 20, height: int = 20, mode: str = "RGB", seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (height, width, *channels), np.uint8)).save(path)
    return path


def coordinates(width: int, height: int) -> np.ndarray[Any, Any]:
    """A picture that says in red and green where each of its pixels is."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], 2).astype(np.uint8)


def opened(source: Paired, told: list[str] | None = None, **settings: Any) -> Dataset:
    with listening(told):
        return source.open(Loading(size=settings.pop("size", 16), **settings))


def sample(dataset: Dataset, index: int = 0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = dataset.sample(index, np.random.default_rng(seed))
    assert list(drawn) == ["a", "b"]
    return drawn["a"], drawn["b"]


def test_files_are_matched_by_name_whatever_their_suffix(tmp_path: Path) -> None:
    for name in ("1", "2", "deep/1"):
        picture(tmp_path / f"x/{name}.png", seed=1)
        picture(tmp_path / f"y/{name}.bmp", seed=2)
    told: list[str] = []
    dataset = opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",)), told)
    assert len(dataset) == 3
    assert told == []
    assert dataset.spec.channels == {"a": 3, "b": 3}
    assert dataset.spec.indexed == ()
    a, b = sample(dataset)
    assert a.shape == b.shape == (3, 16, 16)
    assert a.dtype == b.dtype == torch.uint8


def test_what_has_no_partner_is_reported_with_counts_and_first_names(tmp_path: Path) -> None:
    for number in range(6):
        picture(tmp_path / f"x/{number}.png")
    for number in (0, 9):
        picture(tmp_path / f"y/{number}.png")
    told: list[str] = []
    assert len(opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",)), told)) == 1
    assert told == [
        f"--a {tmp_path / 'x'}: 5 of 6 files have no partner in --b {tmp_path / 'y'}: 1.png, 2.png, 3.png, ...",
        f"--b {tmp_path / 'y'}: 1 of 2 files have no partner in --a {tmp_path / 'x'}: 9.png",
    ]


def test_no_match_at_all_is_a_usage_error(tmp_path: Path) -> None:
    picture(tmp_path / "x/one.png")
    picture(tmp_path / "y/two.png")
    with pytest.raises(UsageError, match=r"no file names match; expected, to go with one\.png, a file one in .*y"):
        opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",)))


def test_two_images_of_one_name_are_named_and_annotations_are_not_images(tmp_path: Path) -> None:
    picture(tmp_path / "x/1.png")
    picture(tmp_path / "y/1.png")
    (tmp_path / "x/1.note").write_text("<annotation/>", encoding="utf-8")
    told: list[str] = []
    assert len(opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",)), told)) == 1
    assert told == [f"left out {tmp_path / 'x/1.note'}: not an image, or a damaged one"]
    picture(tmp_path / "x/1.bmp")
    with pytest.raises(UsageError, match=r"1\.bmp and 1\.png: which of them belongs to .*y/1\.png\?"):
        opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",)))


def test_pairs_of_unlike_sizes_are_left_out_or_stop_a_strict_run(tmp_path: Path) -> None:
    picture(tmp_path / "x/1.png", 20, 20)
    picture(tmp_path / "y/1.png", 20, 24)
    picture(tmp_path / "x/2.png", 30, 20)
    picture(tmp_path / "y/2.png", 30, 20)
    source, told = Paired(a=(tmp_path / "x",), b=(tmp_path / "y",)), list[str]()
    assert len(opened(source, told)) == 1
    assert told == [f"left out {tmp_path / 'x/1.png'}: 20x20 pixels, but {tmp_path / 'y/1.png'} has 20x24"]
    with pytest.raises(UsageError, match=r"has 20x24.*--strict-data"):
        opened(source, strict=True)


def test_a_damaged_picture_takes_its_partner_with_it(tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / f"x/{number}.png")
        picture(tmp_path / f"y/{number}.png")
    whole = (tmp_path / "y/0.png").read_bytes()
    (tmp_path / "y/0.png").write_bytes(whole[: len(whole) // 2])
    source, told = Paired(a=(tmp_path / "x",), b=(tmp_path / "y",)), list[str]()
    assert len(opened(source, told)) == 1
    assert len(told) == 1
    assert told[0].startswith(f"left out {tmp_path / 'y/0.png'}")
    with pytest.raises(UsageError, match="--strict-data"):
        opened(source, strict=True)
    (tmp_path / "x/1.png").write_bytes(b"")
    with pytest.raises(UsageError, match="no pair of readable images"):
        opened(source)


def test_one_crop_and_one_flip_for_both(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.fromarray(coordinates(40, 30)).save(tmp_path / folder / "1.png")
    dataset = opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",), resize="none"))
    seen = set()
    for seed in range(20):
        a, b = sample(dataset, seed=seed)
        assert torch.equal(a, b)
        seen.add((int(a[0, 0, 0]), int(a[1, 0, 0]), bool(a[0, 0, 0] > a[0, 0, -1])))
    assert len(seen) > 10
    assert {flipped for _, _, flipped in seen} == {False, True}
    assert torch.equal(sample(dataset, seed=3)[0], sample(dataset, seed=3)[0])
    upright = opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",), flip=False))
    assert all(a[0, 0, 0] < a[0, 0, -1] for a, _ in (sample(upright, seed=seed) for seed in range(8)))


def test_the_default_crops_the_papers_share_of_a_squashed_picture(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((90, 120, 3), 7, np.uint8)).save(tmp_path / folder / "1.png")
    shapes = []
    source = Paired(a=(tmp_path / "x",), b=(tmp_path / "y",))
    dataset = opened(source, size=64)
    assert isinstance(dataset, CutDataset)
    shapes = [pictures[0].shape for pictures in dataset.pictures]
    assert shapes == [(72, 72, 3)] * 2  # 64 x 286 / 256 = 71.5
    with pytest.raises(UsageError, match="--load-size 32 is smaller than --size 64"):
        opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",), load_size=32), size=64)


def side_by_side(path: Path, left: int = 20, right: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [np.full((20, width, 3), shade, np.uint8) for width, shade in ((left, 10), (right, 200))]
    Image.fromarray(np.concatenate(parts, 1)).save(path)


def test_a_picture_of_two_halves_goes_either_way(tmp_path: Path) -> None:
    side_by_side(tmp_path / "1.png")
    for direction, shades in (("a2b", (10, 200)), ("b2a", (200, 10))):
        dataset = opened(Paired(ab=(tmp_path,), direction=direction))  # type: ignore[arg-type]
        a, b = sample(dataset)
        assert (a.unique().tolist(), b.unique().tolist()) == ([shades[0]], [shades[1]])


def test_halves_may_differ_in_channels_and_the_cache_changes_nothing(tmp_path: Path) -> None:
    picture(tmp_path / "glued/1.png", 48, 24, "RGBA")
    drawn = []
    for cache in ("memory", "off", "disk"):
        source = Paired(ab=(tmp_path / "glued",), channels_a=1, channels_b=4)
        dataset = opened(source, cache=cache, cache_dir=tmp_path / "cache")
        assert dataset.spec.channels == {"a": 1, "b": 4}
        drawn.append(sample(dataset))
        assert [image.shape[0] for image in drawn[-1]] == [1, 4]
    for a, b in drawn[1:]:
        assert torch.equal(a, drawn[0][0])
        assert torch.equal(b, drawn[0][1])


def test_odd_widths_have_no_halves(tmp_path: Path) -> None:
    side_by_side(tmp_path / "1.png", 20, 21)
    told: list[str] = []
    with pytest.raises(UsageError, match="none of its 1 files is a picture of two halves"):
        opened(Paired(ab=(tmp_path,)), told)
    assert told == [f"left out {tmp_path / '1.png'}: 41 pixels wide; expected two halves of one width"]
    side_by_side(tmp_path / "2.png")
    assert len(opened(Paired(ab=(tmp_path,)))) == 1


@pytest.mark.parametrize("names", [("trainA", "trainB"), ("A", "B")])
def test_ab_may_hold_a_folder_for_each_domain(tmp_path: Path, names: tuple[str, str]) -> None:
    picture(tmp_path / names[0] / "1.png", mode="L", seed=1)
    picture(tmp_path / names[1] / "1.png", mode="RGB", seed=2)
    forth = sample(opened(Paired(ab=(tmp_path,), channels_a=1, resize="none", load_size=16)))
    back = sample(opened(Paired(ab=(tmp_path,), direction="b2a", channels_b=1, resize="none", load_size=16)))
    assert torch.equal(forth[0], back[1])
    assert torch.equal(forth[1], back[0])


def test_a_layout_with_one_domain_missing_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "trainA/1.png")
    with pytest.raises(UsageError, match="trainB: no such folder"):
        opened(Paired(ab=(tmp_path,)))


def test_grey_pictures_in_a_colour_run_are_told_of(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"x/{number}.png", mode="L" if number else "RGB")
        picture(tmp_path / f"y/{number}.png")
    told: list[str] = []
    dataset = opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",)), told)
    assert told == [f"--a {tmp_path / 'x'}: 2 of 3 images are grey; they are taken as 3 channels"]
    a, _ = sample(dataset, 1)
    assert torch.equal(a[0], a[2])
    told.clear()
    opened(Paired(a=(tmp_path / "x",), b=(tmp_path / "y",), channels_a=1), told)
    assert told == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, "expected --a DIR and --b DIR, or --ab DIR"),
        ({"a": (Path("x"),)}, "expected --a DIR and --b DIR"),
        ({"a": (Path("x"),), "ab": (Path("x"),)}, "--ab holds both domains"),
        ({"a": (Path("x"),), "b": (Path("y"),), "direction": "b2a"}, "swap the two folders"),
        ({"a": (Path("x"),), "b": (Path("x"),)}, "--b x: the same folder as --a x"),
        ({"a": (Path("x"),), "b": (Path("nowhere"),)}, "--b nowhere: no such folder"),
        ({"ab": (Path("nowhere"),)}, "--ab nowhere: no such folder"),
        ({"ab": (Path("x"),), "classes": 3}, "--classes needs maps in files of their own"),
    ],
)
def test_wrong_flags_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(Path("x/1.png"))
    picture(Path("y/1.png"))
    with pytest.raises(UsageError) as error:
        opened(Paired(**flags))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def labelled(tmp_path: Path) -> Callable[[np.ndarray[Any, Any]], Paired]:
    def write(indices: np.ndarray[Any, Any]) -> Paired:
        (tmp_path / "label").mkdir()
        Image.fromarray(indices).save(tmp_path / "label/1.png")
        height, width = indices.shape
        picture(tmp_path / "photo/1.png", width, height)
        return Paired(a=(tmp_path / "label",), b=(tmp_path / "photo",), classes=5)

    return write


def test_index_maps_become_to_planes_planes(labelled: Callable[..., Paired]) -> None:
    indices = np.array([0, 4, 255], np.uint8)[np.random.default_rng(1).integers(0, 3, (23, 31))]
    dataset = opened(labelled(indices))
    assert (dataset.spec.channels["a"], dataset.spec.indexed) == (5, ("a",))
    a, b = sample(dataset)
    assert (a.dtype, b.dtype) == (torch.float32, torch.uint8)
    assert a.shape == (5, 16, 16)
    assert set(a.unique().tolist()) == {0.0, 1.0}
    assert a[1:4].sum() == 0  # an interpolation would have made classes between 0 and 4, and below 255
    total = a.sum(0)
    assert set(total.unique().tolist()) == {0.0, 1.0}  # 0 where the map says 255


def test_index_maps_keep_their_place_beside_the_picture(tmp_path: Path) -> None:
    marked = np.zeros((24, 24), np.uint8)
    marked[5:12, 3:9] = 1
    for folder, pixels in (("label", marked), ("photo", np.repeat(marked[:, :, None] * 255, 3, 2))):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "1.png")
    dataset = opened(Paired(a=(tmp_path / "label",), b=(tmp_path / "photo",), classes=2, resize="none"))
    for seed in range(6):
        a, b = sample(dataset, seed=seed)
        assert torch.equal(a[1] * 255, b[0].float())
    with Loader(dataset, batch=1, seed=0, workers=0, device=torch.device("cpu")) as loader:
        batch = loader.next_batch()
    assert set(batch["a"].unique().tolist()) <= {0.0, 1.0}
    assert set(batch["b"].unique().tolist()) <= {-1.0, 1.0}


def test_classes_beyond_the_flag_stop_at_once(labelled: Callable[..., Paired]) -> None:
    with pytest.raises(UsageError, match=r"1\.png: it has class 7; expected 0 to 4, or 255 .* \(--classes 5\)"):
        opened(labelled(np.full((20, 20), 7, np.uint8)))


def test_index_maps_are_read_by_their_indices_or_not_at_all(tmp_path: Path) -> None:
    indices = np.arange(4, dtype=np.uint8).repeat(4).reshape(4, 4)
    palette = Image.fromarray(indices).convert("P")
    palette.putdata(indices.ravel().tolist())
    palette.putpalette([9, 9, 9] * 256)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(open_index_map(tmp_path / "palette.png", 4)[:, :, 0], indices)
    Image.fromarray(indices > 1).save(tmp_path / "bits.png")
    assert open_index_map(tmp_path / "bits.png", 2).max() == 1
    Image.fromarray(indices.astype(np.uint16)).save(tmp_path / "deep.png")
    assert np.array_equal(open_index_map(tmp_path / "deep.png", 4)[:, :, 0], indices)
    Image.fromarray(indices.astype(np.uint16) * 200).save(tmp_path / "instances.png")
    with pytest.raises(ImageError, match="values from 0 to 600; expected indices from 0 to 255"):
        open_index_map(tmp_path / "instances.png", 4)
    picture(tmp_path / "colour.png")
    with pytest.raises(ImageError, match="its mode is RGB; expected a map of indices"):
        open_index_map(tmp_path / "colour.png", 4)
    Image.fromarray(indices).save(tmp_path / "grey.jpg")
    with pytest.raises(ImageError, match="JPEG does not keep indices"):
        open_index_map(tmp_path / "grey.jpg", 4)
    whole = (tmp_path / "palette.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[:-40])
    with pytest.raises(ImageError, match=r"half\.png"):
        open_index_map(tmp_path / "half.png", 4)


def test_255_is_a_class_where_there_are_256() -> None:
    indices = np.array([[[0], [255]]], np.uint8)
    assert to_planes(indices, 256)[255].tolist() == [[0.0, 1.0]]
    assert to_planes(indices, 2).sum() == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data here")
def test_real_pairs() -> None:
    told: list[str] = []
    facades = opened(Paired(ab=(SHARED / "facades/val",), direction="b2a"), told, size=32, workers=1)
    assert len(facades) == 100
    coco = Paired(a=(SHARED / "coco_stuff/train_label",), b=(SHARED / "coco_stuff/train_img",), classes=182)
    dataset = opened(coco, told, size=32, workers=1)
    assert len(dataset) == 13
    assert told == []
    a, b = sample(dataset)
    assert (a.shape, b.shape) == ((182, 32, 32), (3, 32, 32))
