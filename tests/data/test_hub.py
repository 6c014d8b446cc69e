"""Data sets of the hub in the place of folders, from copies on this machine: no test asks a hub."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from listening import listening
from translate.contract import Dataset, Loading, Source
from translate.data import hub as hub_module
from translate.data.captioned import Captioned
from translate.data.images import Images
from translate.data.labelled import Labelled
from translate.data.listing import list_folders
from translate.data.paired import Paired
from translate.data.record import changes, record
from translate.data.unpaired import Unpaired
from translate.errors import UsageError
from translate.places import absolute
from translate.settings import Run
from translate.training.opening import open_parts

datasets = pytest.importorskip("datasets")

ROWS = 8


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    hub_module.open_hub.cache_clear()
    yield
    hub_module.open_hub.cache_clear()


def pixels(number: int) -> Any:
    return np.random.default_rng(number).integers(0, 256, (12, 14, 3), np.uint8)


def rows(first: int = 0, broken: int | None = None) -> Any:
    """Pictures in two columns, classes that are not in the order of the alphabet, and captions."""
    numbers = range(first, first + ROWS)
    table = {
        "image": [Image.fromarray(pixels(number)) for number in numbers],
        "target": [Image.fromarray(pixels(100 + number)) for number in numbers],
        "label": [number % 2 for number in numbers],
        "caption": [f"picture number {number}" for number in numbers],
        "file_name": [f"{number}.jpg" for number in numbers],
    }
    found = datasets.Dataset.from_dict(table).cast_column("label", datasets.ClassLabel(names=["zebra", "horse", "ox"]))
    if broken is not None:
        column = list(found.cast_column("image", datasets.Image(decode=False))["image"])
        column[broken] = {"bytes": b"no picture", "path": None}
        found = found.remove_columns("image").add_column("image", column).cast_column("image", datasets.Image())
    return found


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    datasets.DatasetDict({"train": rows(), "test": rows(20)}).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def opened(source: Source, lines: list[str] | None = None, **settings: object) -> Dataset:
    with listening(lines):
        return source.open(Loading(size=8, **settings))  # type: ignore[arg-type]


def samples(dataset: Dataset) -> list[dict[str, torch.Tensor]]:
    return [dict(dataset.sample(index, np.random.default_rng(index))) for index in range(len(dataset))]


@pytest.fixture
def loose(tmp_path: Path) -> Path:
    """The same pictures in folders."""
    for number in range(ROWS):
        for folder, shift in (("image", 0), ("target", 100)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels(shift + number)).save(tmp_path / folder / f"{number:08}.png")
    return tmp_path


@pytest.mark.parametrize("cache", ["off", "memory", "disk", "device"])
def test_pairs_by_columns_are_those_of_two_folders(saved: Path, loose: Path, cache: str) -> None:
    a, b = (Path(f"hf:{saved}:train:{column}") for column in ("image", "target"))
    settings = {"cache": cache, "cache_dir": loose / "kept"}
    theirs = samples(opened(Paired(a=(loose / "image",), b=(loose / "target",))))
    for _ in range(2):
        ours = samples(opened(Paired(a=(a,), b=(b,)), **settings))
        assert all(torch.equal(x[name], y[name]) for x, y in zip(ours, theirs, strict=True) for name in ("a", "b"))
    assert len(opened(Unpaired(a=(a,), b=(Path(f"hf:{saved}:test:image"),)))) == ROWS


def test_classes_keep_their_order_and_captions_are_found(saved: Path) -> None:
    lines: list[str] = []
    source = Labelled(images=(Path(f"hf:{saved}:train:image"),))
    dataset = opened(source, lines)
    assert dataset.spec.names["label"] == ("zebra", "horse")
    assert [int(sample["label"]) for sample in samples(dataset)] == [0, 1] * (ROWS // 2)
    assert lines == []
    words = opened(Captioned(images=(Path(f"hf:{saved}:train:image"),))).spec.names["text"]
    assert words == ("", "0", "1", "2", "3", "4", "5", "6", "7", "number", "picture")
    named = opened(Captioned(images=(Path(f"hf:{saved}:train:image,file_name"),))).spec.names["text"]
    assert "jpg" in named


def test_parquet_files_and_single_splits(tmp_path: Path) -> None:
    single = rows().select_columns(["image", "label"])
    single.to_parquet(tmp_path / "parquet" / "train.parquet")
    single.save_to_disk(tmp_path / "single")
    for name in (tmp_path / "parquet", tmp_path / "parquet" / "train.parquet", tmp_path / "single"):
        dataset = opened(Labelled(images=(Path(f"hf:{name}:train"),)))
        assert len(dataset) == ROWS
        assert dataset.spec.names["label"] == ("zebra", "horse")


def test_rows_that_name_files(tmp_path: Path) -> None:
    """As the library builds them of a folder of pictures."""
    for number in range(4):
        place = tmp_path / "pets" / "train" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(number)).save(place / f"{number}.png")
    dataset = opened(Labelled(images=(Path(f"hf:{tmp_path / 'pets'}:train"),)))
    assert dataset.spec.names["label"] == ("cat", "dog")
    assert same(dataset, opened(Labelled(images=(tmp_path / "pets" / "train",))))


def same(ours: Dataset, theirs: Dataset) -> bool:
    return all(
        torch.equal(x["image"], y["image"]) and torch.equal(x["label"], y["label"])
        for x, y in zip(samples(ours), samples(theirs), strict=True)
    )


def test_held_out_splits(saved: Path) -> None:
    run = Run(size=8, evaluate_every=10, workers=0)
    pair = Paired(
        a=(Path(f"hf:{saved}:train:image"),),
        b=(Path(f"hf:{saved}:train:target"),),
        val=Path(f"hf:{saved}:test"),
    )
    with listening():
        training, held_out = open_parts(pair, run, lambda spec: None)
        assert held_out is not None
        assert len(training) == len(held_out) == ROWS
        labelled = Labelled(images=(Path(f"hf:{saved}:train:image"),), val=Path(f"hf:{saved}:test"))
        _, held_out = open_parts(labelled, run, lambda spec: None)
        assert held_out is not None
        assert held_out.spec.names["label"] == ("zebra", "horse")
        shared = Images(images=(Path(f"hf:{saved}:train:image"),), channels=3)
        training, held_out = open_parts(shared, Run(size=8, evaluate_every=10, val_share=0.4), lambda spec: None)
        assert held_out is not None
        assert len(training) + len(held_out) == ROWS


def test_damaged_pictures_are_left_out_by_row(tmp_path: Path) -> None:
    rows(broken=3).save_to_disk(tmp_path / "saved")
    lines: list[str] = []
    place = f"hf:{tmp_path / 'saved'}:train:image"
    assert len(opened(Images(images=(Path(place),), channels=3), lines)) == ROWS - 1
    assert lines == [f"left out {place}/00000003: not an image, or a damaged one"]


def test_the_record_is_that_of_the_content(saved: Path, tmp_path: Path) -> None:
    source = Images(images=(Path(f"hf:{saved}:train:image"),))
    before = record(source)
    assert list(before) == ["images/saved:train:image"]
    assert changes(before, record(source)) == []
    datasets.DatasetDict({"train": rows(1)}).save_to_disk(tmp_path / "other" / "saved")
    other = record(Images(images=(Path(f"hf:{tmp_path / 'other' / 'saved'}:train:image"),)))
    assert changes(before, other) == ["the data have changed: 1 file (images/saved:train:image) replaced"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{saved}:train", r"expected one column of pictures, found image, target; expected hf:\S*:train:image"),
        ("{saved}:val", "no split 'val'; there are train, test"),
        ("{saved}:train:imag", r"no column 'imag'; .*did you mean image"),
        ("{saved}:train:label", "expected one column of pictures, found image, target"),
        ("{saved}", r"no such folder; expected hf:NAME:SPLIT"),
        ("{tmp}/nothing:train", "cannot be opened"),
        ("{tmp}/empty:train", "cannot be opened"),
    ],
)
def test_what_is_wrong_is_named_on_one_line(saved: Path, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=message) as caught, listening():
        list_folders("--a", [Path("hf:" + name.format(saved=saved, tmp=tmp_path))])
    assert "\n" not in str(caught.value)


def test_offline_nothing_is_asked_and_it_ends_with_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "translate", "train", "dcgan", "--images", "hf:nobody/nothing:train"]
    result = subprocess.run(
        [*command, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert result.returncode == 2
    assert "hf:nobody/nothing:train: cannot be opened" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'gantk\[datasets\]'"):
        list_folders("--a", [Path(f"hf:{tmp_path}:train")])


def test_names_are_those_of_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "copy").mkdir()
    assert absolute(Path("hf:somebody/pets:train:image")) == Path("hf:somebody/pets:train:image")
    assert absolute(Path("hf:copy:train")) == Path(f"hf:{tmp_path}/copy:train")
    assert absolute(Path("shards/{0..3}.tar")) == tmp_path / "shards/{0..3}.tar"
