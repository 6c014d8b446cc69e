"""Label maps with their pictures and instance maps: which belong together, how many classes there are, what is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from translate.contract import Dataset, Loading
from translate.data.labelmaps import LabelMaps
from translate.errors import UsageError
from translate.holdout import Part

WIDTH, HEIGHT = 30, 24


def write(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Four samples whose red, class and identity say where a pixel is, so that a wrong place shows."""
    columns = np.tile(np.arange(WIDTH), (HEIGHT, 1))
    for name in "abcd":
        write(tmp_path / f"labels/{name}.png", (columns // 5).astype(np.uint8))
        write(tmp_path / f"things/{name}.png", (columns * 300).astype(np.uint16))
        write(tmp_path / f"photos/{name}.png", np.repeat((columns * 8)[:, :, None], 3, 2).astype(np.uint8))
    return tmp_path


def source(place: Path, **given: Any) -> LabelMaps:
    folders = {"labels": (place / "labels",), "images": (place / "photos",), "instances": (place / "things",)}
    return LabelMaps(**{**folders, **given})


def opened(source: LabelMaps, size: int = 16, **given: Any) -> Dataset:
    return source.open(Loading(size=size, **given))


def test_a_sample_is_one_crop_of_all_maps(place: Path) -> None:
    dataset = opened(source(place, resize="none"))
    assert len(dataset) == 4
    assert dataset.spec.channels == {"label": 6, "instances": 1, "image": 3}
    assert dataset.spec.indexed == ("label", "instances")
    mirrored = set()
    for seed in range(8):
        drawn = dataset.sample(1, np.random.default_rng(seed))
        assert [tuple(drawn[name].shape) for name in ("label", "instances", "image")] == [
            (6, 16, 16),
            (1, 16, 16),
            (3, 16, 16),
        ]
        columns = drawn["image"][0].long() // 8
        assert torch.equal(drawn["label"].argmax(0), columns // 5)
        assert torch.equal(drawn["instances"][0], columns * 300.0)
        mirrored.add(bool(columns[0, 0] > columns[0, 1]))
    assert mirrored == {False, True}


def test_maps_are_resized_by_the_nearest_pixel(place: Path) -> None:
    drawn = opened(source(place, load_size=17)).sample(0, np.random.default_rng(0))
    assert set(drawn["label"].unique().tolist()) == {0.0, 1.0}
    assert set((drawn["instances"] % 300).unique().tolist()) == {0.0}


def test_classes_are_counted_or_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert opened(source(place)).spec.channels["label"] == 6
    assert "labels: 6 classes, by their largest index" in capsys.readouterr().err
    assert opened(source(place, classes=9)).spec.channels["label"] == 9
    names = place / "names.txt"
    names.write_text("sky\nsea\nsand\ntree\nroof\ndoor\n", encoding="utf-8")
    spec = opened(source(place, names=names)).spec
    assert (spec.channels["label"], spec.names["label"][4]) == (6, "roof")
    with pytest.raises(UsageError, match=r"names\.txt: 6 names for 7 classes; expected one for each"):
        opened(source(place, names=names, classes=7))
    names.write_text("sky\nsky\n", encoding="utf-8")
    with pytest.raises(UsageError, match="expected 2 to 256 different names"):
        opened(source(place, names=names))
    with pytest.raises(UsageError, match="expected a text file with a name on each line"):
        opened(source(place, names=place / "none.txt"))
    names.write_text("sky\nsea\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"a\.png: it has class 5; expected 0 to 1, or 255 .*\(--classes 2\)"):
        opened(source(place, names=names))


def test_unlabelled_pixels_do_not_count_as_a_class(place: Path) -> None:
    with Image.open(place / "labels/a.png") as image:
        pixels = np.array(image)
    pixels[:4] = 255
    write(place / "labels/a.png", pixels)
    dataset = opened(source(place, resize="none"))
    assert dataset.spec.channels["label"] == 6
    assert min(dataset.sample(0, np.random.default_rng(s))["label"].sum(0).min() for s in range(8)) == 0


def test_held_out_maps_have_the_training_datas_classes(place: Path) -> None:
    dataset = opened(source(place))
    write(place / "val/a.png", np.ones((HEIGHT, WIDTH), np.uint8))
    held_out = opened(source(place, labels=(place / "val",)), like=dataset.spec)
    assert (held_out.spec.channels, len(held_out)) == (dataset.spec.channels, 1)


def test_a_part_keeps_maps_and_pictures_together(place: Path) -> None:
    counts = []
    for side in ("train", "val"):
        dataset = opened(source(place), part=Part(side, 0.5))
        counts.append(len(dataset))
        assert dataset.spec.channels["label"] == 6
    assert sum(counts) == 4
    assert all(counts)


def test_what_has_no_partner_is_left_out_and_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "things/a.png").unlink()
    (place / "photos/b.png").unlink()
    write(place / "photos/c.png", np.zeros((9, 9, 3), np.uint8))
    assert len(opened(source(place))) == 1
    said = capsys.readouterr().err
    for expected in ("a.png: no file a in", "b.png", "c.png has 9x9"):
        assert expected in said
    with pytest.raises(UsageError, match="strict-data"):
        opened(source(place), strict=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": ()}, "expected --labels DIR and --images DIR"),
        ({"load_size": 8}, "--load-size 8 is smaller than --size 16"),
    ],
)
def test_wrong_flags_are_refused(given: dict[str, Any], message: str, place: Path) -> None:
    with pytest.raises(UsageError, match=message):
        opened(source(place, **given))


def test_no_common_names_are_refused(place: Path) -> None:
    write(place / "others/z.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(UsageError, match="no file names match"):
        opened(source(place, instances=(place / "others",)))
    with pytest.raises(UsageError, match="--cache device: the planes of label maps"):
        opened(source(place), cache="device")
