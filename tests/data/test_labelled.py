"""Images with classes: which index means which class, and what is said where a layout gives none."""

from __future__ import annotations

import gzip
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from listening import listening
from translate.contract import Dataset, Loading
from translate.data.labelled import Labelled
from translate.data.loader import Loader
from translate.errors import UsageError


def write(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(path)


def opened(*folders: Path, lines: list[str] | None = None, strict: bool = False, **fields: Any) -> Dataset:
    with listening(lines):
        return Labelled(images=folders, **fields).open(Loading(size=8, strict=strict))


def drawn(data: Dataset) -> list[tuple[int, str]]:
    """The red value of each sample with the name of its class."""
    samples = [data.sample(index, np.random.default_rng(index)) for index in range(len(data))]
    assert all(x["label"].dtype == torch.int64 and x["label"].shape == () for x in samples)
    return [(int(x["image"][0, 0, 0]), data.spec.names["label"][int(x["label"])]) for x in samples]


def test_class_folders_and_numbers_by_their_value(tmp_path: Path) -> None:
    for shade, name in enumerate(("10", "9", "rose", "2")):
        write(tmp_path / name / "1.png", shade)
    data = opened(tmp_path)
    assert data.spec.names["label"] == ("2", "9", "10", "rose")
    assert sorted(drawn(data)) == [(0, "10"), (1, "9"), (2, "rose"), (3, "2")]


def test_the_order_that_the_folder_states(tmp_path: Path) -> None:
    for shade, name in enumerate(("cat", "dog", "ape")):
        write(tmp_path / name / "deep/1.png", shade)
    (tmp_path / "classes.txt").write_text("dog\ncat\nape\n", encoding="utf-8")
    data = opened(tmp_path)
    assert data.spec.names["label"] == ("dog", "cat", "ape")
    assert sorted(drawn(data)) == [(0, "cat"), (1, "dog"), (2, "ape")]
    (tmp_path / "classes.txt").write_text("dog\ncat\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"classes\.txt: ape is missing"):
        opened(tmp_path)


def test_several_folders_share_their_classes(tmp_path: Path) -> None:
    for shade, name in enumerate(("x/cat", "x/dog", "y/dog")):
        write(tmp_path / name / "1.png", shade)
    assert drawn(opened(tmp_path / "x", tmp_path / "y")) == [(0, "cat"), (1, "dog"), (2, "dog")]


def test_training_pictures_alone_where_the_set_is_split(tmp_path: Path) -> None:
    for shade, name in enumerate(("train/cat", "train/dog", "test/cat", "test/dog")):
        write(tmp_path / name / "1.png", shade)
    lines: list[str] = []
    assert drawn(opened(tmp_path, lines=lines)) == [(0, "cat"), (1, "dog")]
    assert lines == [f"--images {tmp_path}: taking train; not used: test"]


def test_a_csv_file_names_files_and_labels(tmp_path: Path) -> None:
    for shade in range(4):
        write(tmp_path / f"in/{shade}.png", shade)
    table = tmp_path / "labels.csv"
    table.write_text("file,width,label\n0.png,8,zoo\n./1.png,8,ant\n2.png,8,zoo\n", encoding="utf-8")
    lines: list[str] = []
    data = opened(tmp_path / "in", labels=table, lines=lines)
    assert data.spec.names["label"] == ("ant", "zoo")
    assert drawn(data) == [(0, "zoo"), (1, "ant"), (2, "zoo")]
    assert lines == [f"--images {tmp_path / 'in'}: 1 of 4 images are left out, no row in {table}: 3.png"]
    with pytest.raises(UsageError, match=r"3\.png: no row in"):
        opened(tmp_path / "in", labels=table, strict=True)
    for content, message in (
        ("0.png,a\nnone.png,b\n", r"row 2: none\.png is not in --images"),
        ("0.png,a\n1.png\n", "row 2: expected 2 columns, found 1"),
        ("0.png\n", "expected a file name and another column"),
        ("file,label\n", "none of its rows"),
        ("0.png,a\n1.png,a\n", "found one class, a"),
    ):
        table.write_text(content, encoding="utf-8")
        with pytest.raises(UsageError, match=message):
            opened(tmp_path / "in", labels=table)


def idx(path: Path, array: np.ndarray[Any, Any]) -> None:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_digits_with_their_labels(tmp_path: Path) -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    idx(tmp_path / "train-labels-idx1-ubyte.gz", np.array([2, 0, 1, 2, 2], np.uint8))
    idx(tmp_path / "t10k-images-idx3-ubyte.gz", images)
    lines: list[str] = []
    data = opened(tmp_path, lines=lines)
    assert data.spec.names["label"] == ("0", "1", "2")
    assert drawn(data) == [(0, "2"), (1, "0"), (2, "1"), (3, "2"), (4, "2")]
    assert lines == [
        f"--images {tmp_path}: training files and test files; the test files are not used: t10k-images-idx3-ubyte.gz"
    ]
    idx(tmp_path / "train-labels-idx1-ubyte.gz", np.array([2, 0], np.uint8))
    with pytest.raises(UsageError, match=r"2 labels, but train-images-idx3-ubyte\.gz has 5 images"):
        opened(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UsageError, match="no labels beside the images"):
        opened(tmp_path)


@pytest.mark.parametrize("many", [False, True])
def test_cifars_binary_batches(tmp_path: Path, many: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3072), np.uint8)
    labels = np.array([[7, 2], [7, 0], [7, 1]], np.uint8)[:, 0 if many else 1 :]
    file = tmp_path / ("train.bin" if many else "data_batch_1.bin")
    file.write_bytes(np.concatenate([labels, pixels], 1).tobytes())
    names = tmp_path / ("fine_label_names.txt" if many else "batches.meta.txt")
    names.write_text("zebra\nape\ncar\n\n", encoding="utf-8")
    data = Labelled(images=(tmp_path,)).open(Loading(size=32))
    assert data.spec.names["label"] == ("zebra", "ape", "car")
    samples = [data.sample(index, np.random.default_rng(0)) for index in range(3)]
    assert [int(x["label"]) for x in samples] == [2, 0, 1]
    for x, row in zip(samples, pixels, strict=True):
        np.testing.assert_array_equal(x["image"].numpy(), row.reshape(3, 32, 32))
    file.write_bytes(b"123")
    with pytest.raises(UsageError, match="expected a multiple of 307"):
        opened(tmp_path)
    file.rename(file.with_suffix(""))
    with pytest.raises(UsageError, match="is CIFAR's pickled version; expected the binary one"):
        opened(tmp_path)


def test_balanced_sampling(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / ("few" if number < 2 else "many") / f"{number}.png", number)
    with Loader(opened(tmp_path), batch=6, seed=0, workers=0, device=torch.device("cpu")) as batches:
        plain = Counter(int(label) for _ in range(20) for label in batches.next_batch()["label"])
    data = opened(tmp_path, balanced=True)
    assert len(data) == 12
    with Loader(data, batch=6, seed=0, workers=2, device=torch.device("cpu")) as batches:
        drawn = [batches.next_batch() for _ in range(20)]
    even = Counter(int(label) for x in drawn for label in x["label"])
    assert plain == {0: 20, 1: 100}
    assert even == {0: 60, 1: 60}
    shades = {round(float(image[0, 0, 0] + 1) * 127.5) for x in drawn for image in x["image"]}
    assert shades == set(range(12))
    for x in drawn:
        for image, label in zip(x["image"], x["label"], strict=True):
            assert (round(float(image[0, 0, 0] + 1) * 127.5) >= 2) == bool(label)


def test_a_layout_without_classes_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "1.png", 0)
    with pytest.raises(UsageError, match="expected a sub-folder for each of two classes or more, or --labels"):
        opened(tmp_path)
    write(tmp_path / "one/1.png", 0)
    with pytest.raises(UsageError, match="found one class, one"):
        opened(tmp_path)
    (tmp_path / "two").mkdir()
    (tmp_path / "two/1.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match="two has no readable image"):
        opened(tmp_path)


def test_a_damaged_file_does_not_shift_the_labels(tmp_path: Path) -> None:
    for shade in range(6):
        write(tmp_path / ("even" if shade % 2 == 0 else "odd") / f"{shade}.png", shade)
    (tmp_path / "even/0.png").write_bytes(b"no picture")
    assert all((shade % 2 == 0) == (name == "even") for shade, name in drawn(opened(tmp_path)))
    assert len(drawn(opened(tmp_path))) == 5


def test_real_classes(shared_data: Path) -> None:
    data = Labelled(images=(shared_data / "cifar10",)).open(Loading(size=32, workers=1))
    assert len(data) == 1000
    assert data.spec.names["label"][7] == "horse"
    digits = Labelled(images=(shared_data / "mnist",)).open(Loading(size=28))
    assert digits.spec.names["label"] == tuple("0123456789")
    assert int(digits.sample(0, np.random.default_rng(0))["label"]) == 7
