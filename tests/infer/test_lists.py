"""``gantk infer --list``: photos named by a text file."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from infer_fakes import publish
from PIL import Image
from torch import nn

from listening import listening
from translate.cli.infer import Options
from translate.errors import UsageError
from translate.infer.folder import InferOptions, infer
from translate.infer.summary import Summary


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "deep/a.png", "ünï cödé.png")):
        Image.fromarray(np.full((20, 20, 3), number, np.uint8)).save(folder / name)
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    return folder


def run(listing: Path, out: Path, *inputs: Path, **options: Any) -> tuple[Summary, list[dict[str, Any]]]:
    records: list[dict[str, Any]] = []
    with listening(records=records.append):
        summary = infer(publish(nn.Identity()), inputs, out, InferOptions(listing=listing, **options))
    return summary, records


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_list_is_relative_to_its_folder_and_mirrors_it(photos: Path, tmp_path: Path) -> None:
    listing = photos / "list.txt"
    names = "\ufeffa.png\r\n\r\ndeep/a.png\n./deep/../deep/a.png\n\nünï cödé.png\n../a.png"
    listing.write_text(names, encoding="utf-8", newline="")
    summary, _ = run(listing, tmp_path / "out")
    assert (summary.done, summary.exit_code) == (4, 0)  # what is named twice is done once
    assert files(tmp_path / "out") == {"a.png", "deep/a.png", "ünï cödé.png", "a.png.png"}


def test_what_is_missing_fails_by_name_and_the_rest_is_done(photos: Path, tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text(f"b.png\nnone.png\ndeep\n{photos / 'deep' / 'a.png'}\n", encoding="utf-8")
    summary, records = run(listing, tmp_path / "out", photos)
    assert (summary.done, summary.failed, summary.exit_code) == (2, 2, 3)
    assert dict(summary.failures) == {
        str(photos / "none.png"): "no such file",
        str(photos / "deep"): "this is a folder; a list names photos alone",
    }
    assert files(tmp_path / "out") == {"b.png", "deep/a.png"}
    assert sorted(record["status"] for record in records) == ["done", "done", "failed", "failed"]


def test_shards_of_a_list_do_each_entry_once(photos: Path, tmp_path: Path) -> None:
    listing = photos / "list"
    listing.write_text("a.png\nb.png\nnone.png\ndeep/a.png\n", encoding="utf-8")
    found = [run(listing, tmp_path / "out", shard=f"{part}/3")[0] for part in (1, 2, 3)]
    assert [sum(counts) for counts in zip(*((one.done, one.failed) for one in found), strict=True)] == [3, 1]


def test_standard_input_begins_at_the_current_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"deep/a.png\n")))
    assert run(Path("-"), tmp_path / "out")[0].done == 1
    assert files(tmp_path / "out") == {"deep/a.png"}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError, match="--list -: several processes cannot share standard input"):
        run(Path("-"), tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n\r\n", "it names none"),
        (b"\x89PNG\r\n\0\0a\n", "expected paths of photos, one a line"),
        (None, r"cannot be read \(no such file"),
    ],
)
def test_what_is_no_list_is_refused(photos: Path, tmp_path: Path, content: bytes | None, reason: str) -> None:
    listing = tmp_path / "list.txt"
    if content is not None:
        listing.write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        run(listing, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_list_takes_one_folder_and_photos_or_a_list_are_needed(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a.png\n", encoding="utf-8")
    for inputs in ((photos, photos), (photos / "a.png",)):
        with pytest.raises(UsageError, match="expected one folder beside it at most"):
            run(tmp_path / "list", tmp_path / "out", *inputs)
    with pytest.raises(UsageError, match="INPUT is missing"):
        Options(model=tmp_path, out=tmp_path)
