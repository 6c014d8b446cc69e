"""Tar archives in the place of folders: the same samples, damage by name, nothing read from elsewhere."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from listening import listening
from packing import pack, write_tar
from translate.contract import Dataset, Loading, Source
from translate.data import tar as tar_module
from translate.data.archives import find, open_binary, read_bytes, status
from translate.data.captioned import Captioned
from translate.data.decode import ImageError, open_image, probe
from translate.data.domains import Domains
from translate.data.images import Images
from translate.data.labelled import Labelled
from translate.data.listing import list_folders
from translate.data.loader import Loader
from translate.data.lowhigh import LowHigh
from translate.data.paired import Paired
from translate.data.record import changes, record
from translate.data.unpaired import Unpaired
from translate.errors import LostDataError, UsageError
from translate.settings import Run
from translate.training.opening import open_parts


def png(shade: int, side: int = 12) -> bytes:
    pixels = np.random.default_rng(shade).integers(0, 256, (side, side + 2, 3), np.uint8)
    pixels[0, 0] = shade
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two domains of the same names, each of two classes, with captions."""
    for number in range(12):
        for place in (tmp_path / "set" / domain / f"class{number % 2}" for domain in ("one", "two")):
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:02}.png").write_bytes(png(number + 100 * (place.parent.name == "two")))
            (place / f"{number:02}.txt").write_text(f"picture number {number}\n", encoding="utf-8")
    return tmp_path / "set"


SOURCES: dict[str, Callable[[Path, Path], Source]] = {
    "images": lambda one, two: Images(images=(one,), channels=3, flip=True),
    "labelled": lambda one, two: Labelled(images=(one,), balanced=True),
    "domains": lambda one, two: Domains(domains=(one,)),
    "captioned": lambda one, two: Captioned(images=(one,)),
    "unpaired": lambda one, two: Unpaired(a=(one,), b=(two,)),
    "paired": lambda one, two: Paired(a=(one,), b=(two,)),
    "lowhigh": lambda one, two: LowHigh(hr=(one,), scale=2),
}


def opened(source: Source, lines: list[str] | None = None, **settings: object) -> Dataset:
    with listening(lines):
        return source.open(Loading(size=8, **settings))  # type: ignore[arg-type]


def same(ours: Dataset, theirs: Dataset) -> bool:
    """Whether all samples are, bit for bit."""
    assert len(ours) == len(theirs)
    for index in range(len(ours)):
        mine, other = (each.sample(index, np.random.default_rng(index)) for each in (ours, theirs))
        if mine.keys() != other.keys() or not all(torch.equal(mine[name], other[name]) for name in mine):
            return False
    return ours.spec == theirs.spec


@pytest.mark.parametrize("kind", SOURCES)
def test_each_source_gives_from_an_archive_what_it_gives_from_the_folder(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    archives = [pack(folder / name, tmp_path / f"{name}.tar") for name in ("one", "two")]
    assert same(opened(SOURCES[kind](*archives)), opened(SOURCES[kind](folder / "one", folder / "two")))


@pytest.mark.parametrize("cache", ["off", "memory", "disk", "device"])
def test_with_every_cache(folder: Path, tmp_path: Path, cache: Literal["off", "memory", "disk", "device"]) -> None:
    archive = pack(folder / "one", tmp_path / "one.tar")
    plain = opened(Images(images=(folder / "one",)), cache="off")
    for _ in range(2):  # the second time from what the first kept
        assert same(opened(Images(images=(archive,)), cache=cache, cache_dir=tmp_path / "cache"), plain)


def test_the_disk_cache_is_made_anew_where_the_archive_changed(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {"0.png": png(1), "1.png": png(2)})
    before = opened(Images(images=(archive,)), cache="disk", cache_dir=tmp_path / "cache")
    write_tar(archive, {"0.png": png(3), "1.png": png(2)})
    os.utime(archive, ns=(10**18, 10**18))
    after = opened(Images(images=(archive,)), cache="disk", cache_dir=tmp_path / "cache")
    assert not same(before, after)
    assert same(after, opened(Images(images=(archive,)), cache="off"))


def test_folders_in_an_archive_are_places_too(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "set.tar")
    ours = opened(Unpaired(a=(archive / "one",), b=(archive / "two",)))
    assert same(ours, opened(Unpaired(a=(folder / "one",), b=(folder / "two",))))
    with pytest.raises(UsageError, match="no images in this folder"):
        opened(Images(images=(archive / "three",)))
    with pytest.raises(UsageError, match="the same folder as --a"):
        opened(Unpaired(a=(archive,), b=(archive,)))
    with pytest.raises(UsageError, match="lies inside --a"):
        opened(Unpaired(a=(archive,), b=(archive / "one",)))


def test_public_layouts_are_recognised_in_an_archive(folder: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    shutil.copytree(folder / "one", parts / "trainA")
    shutil.copytree(folder / "two", parts / "trainB")
    archive = pack(parts, tmp_path / "parts.tar")
    assert same(opened(Paired(ab=(archive,))), opened(Paired(ab=(parts,))))
    with pytest.raises(UsageError, match=r"expected --a \S*parts\.tar/trainA --b \S*parts\.tar/trainB"):
        opened(Unpaired(a=(archive,), b=(archive,)))


@pytest.mark.parametrize("pattern", ["shards/{00..03}.tar", "shards/*.tar"])
def test_shards_are_one_set_in_the_order_of_their_names(tmp_path: Path, pattern: str) -> None:
    for shard in range(4):
        members = {f"{shard}{number}.png": png(10 * shard + number) for number in range(3)}
        write_tar(tmp_path / f"shards/{shard:02}.tar", members)
        for name, content in members.items():
            (tmp_path / "loose").mkdir(exist_ok=True)
            (tmp_path / "loose" / name).write_bytes(content)
    lines: list[str] = []
    source = Images(images=(tmp_path / pattern,), channels=3)
    ours = opened(source, lines)
    assert same(ours, opened(Images(images=(tmp_path / "loose",), channels=3)))
    assert lines == []
    assert set(record(source)) == {"images/00.tar", "images1/01.tar", "images2/02.tar", "images3/03.tar"}
    with pytest.raises(UsageError, match=r"--images \S*/shards/04\.tar: no such folder"):
        opened(Images(images=(tmp_path / "shards/{00..04}.tar",)))
    with pytest.raises(UsageError, match=r"no images in this folder; for those in its archives, --images '\S*\*\.tar'"):
        opened(Images(images=(tmp_path / "shards",)))


def test_batches_are_exact_at_every_position_and_split_over_ranks(tmp_path: Path) -> None:
    for shard in range(2):
        write_tar(tmp_path / f"{shard}.tar", {f"{shard}{number}.png": png(10 * shard + number) for number in range(5)})
    dataset = opened(Images(images=(tmp_path / "{0..1}.tar",), flip=True), cache="off")

    def batches(count: int, position: int = 0, places: list[int] | None = None, workers: int = 0) -> list[torch.Tensor]:
        device = torch.device("cpu")
        settings = {"position": position, "places": places, "workers": workers}
        with Loader(dataset, batch=4, seed=1, device=device, **settings) as loader:  # type: ignore[arg-type]
            return [loader.next_batch()["image"] for _ in range(count)]

    whole = batches(6)
    assert all(map(torch.equal, whole[3:], batches(3, position=3, workers=2)))
    ranks = [batches(6, places=places) for places in ([0, 1], [2, 3])]
    assert all(torch.equal(torch.cat(parts), one) for one, *parts in zip(whole, *ranks, strict=True))


def test_labels_beside_the_pictures(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for number in range(6):
        members |= {f"deep/{number}.png": png(number), f"deep/{number}.cls": f"{number % 2 * 10}\n".encode()}
    archive = write_tar(tmp_path / "shards" / "x.tar", members)
    dataset = opened(Labelled(images=(archive,)))
    assert dataset.spec.names["label"] == ("0", "10")
    rng = np.random.default_rng(0)
    assert [int(dataset.sample(index, rng)["label"]) for index in range(6)] == [0, 1] * 3

    write_tar(archive, {name: b"1" if content == b"10\n" else content for name, content in members.items()})
    os.utime(archive, ns=(10**18, 10**18))
    (archive.parent / "classes.txt").write_text("horse\nzebra\ncow\n", encoding="utf-8")
    assert opened(Labelled(images=(archive,))).spec.names["label"] == ("horse", "zebra")

    for name, content in members.items():
        (tmp_path / "loose").mkdir(exist_ok=True)
        (tmp_path / "loose" / Path(name).name).write_bytes(content)
    assert opened(Labelled(images=(tmp_path / "loose",))).spec.names["label"] == ("0", "10")


def test_pairs_in_one_archive(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for number in range(4):
        members |= {f"{number}.a.png": png(number), f"{number}.b.png": png(50 + number), f"{number}.json": b"{}"}
    lines: list[str] = []
    dataset = opened(Paired(ab=(write_tar(tmp_path / "x.tar", members),), resize="none", flip=False), lines)
    assert any("taking pairs by their names, {}.a and {}.b" in line for line in lines)
    assert len(dataset) == 4


def test_held_out_archives(tmp_path: Path) -> None:
    run = Run(size=8, evaluate_every=10, workers=0)

    def names(source: Source) -> tuple[set[str], set[str]]:
        with listening():
            training, held_out = open_parts(source, run, lambda spec: None)
        assert held_out is not None
        training_names, held_out_names = (
            {path.name for pictures in each.pictures for path in pictures.paths}  # type: ignore[attr-defined]
            for each in (training, held_out)
        )
        return training_names, held_out_names

    for part, base in (("train", 0), ("val", 40)):
        for domain in ("a", "b"):
            for shard in range(2):
                first = base + 10 * shard + 5 * (domain == "b")
                members = {f"{domain}{number}.png": png(number) for number in range(first, first + 4)}
                write_tar(tmp_path / part / f"{domain}-{shard}.tar", members)
    a, b = (tmp_path / f"train/{domain}-*.tar" for domain in "ab")
    ours, theirs = names(Unpaired(a=(a,), b=(b,), val=tmp_path / "val"))
    assert len(ours) == len(theirs) == 16
    assert not ours & theirs
    ours, theirs = names(Images(images=(a,), val=tmp_path / "val/a-{0..1}.tar"))
    assert len(ours) == len(theirs) == 8
    assert not ours & theirs
    with pytest.raises(UsageError, match=r"a0\.png is trained on"):
        names(Images(images=(a,), val=tmp_path / "train/a-0.tar"))
    with pytest.raises(UsageError, match=r"--val \S*nothing\.tar: no such folder"):
        names(Images(images=(a,), val=tmp_path / "nothing.tar"))
    ours, theirs = names(Images(images=(a, b, tmp_path / "val/a-*.tar", tmp_path / "val/b-*.tar")))
    assert ours
    assert theirs
    assert not ours & theirs


def test_damaged_members_are_left_out_by_name(tmp_path: Path) -> None:
    members = {"0.png": png(0), "1.png": png(1)[:50], "2.png": b"no picture", "3.png": b"", "4.png": png(4)}
    archive = write_tar(tmp_path / "x.tar", members)
    lines: list[str] = []
    assert len(opened(Images(images=(archive,), channels=3), lines)) == 2
    assert [line.partition(":")[0] for line in lines] == [
        f"left out {archive / f'{number}.png'}" for number in (1, 2, 3)
    ]
    with pytest.raises(UsageError, match=r"x\.tar/1\.png: .*--strict-data"):
        opened(Images(images=(archive,), channels=3), strict=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:1000], "unexpected end of data"),  # within a member
        (lambda content: content.rstrip(b"\0"), "cut off|unexpected end"),
        (lambda content: content[:100], "damaged tar"),
        (lambda content: b"", "damaged tar"),
        (lambda content: b"no tar at all" * 100, "damaged tar"),
        (lambda content: b"\x1f\x8b" + content, "expected it whole and not compressed"),
        (lambda content: content + content, "more follows its end"),
        (lambda content: content.replace(b"1.png", b"\xff.png"), "no header at byte"),
    ],
)
def test_a_damaged_archive_is_named(tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    archive = write_tar(tmp_path / "x.tar", {f"{number}.png": png(number) for number in range(3)})
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(UsageError, match=rf"x\.tar: .*({message})") as caught:
        opened(Images(images=(archive,)))
    assert "\n" not in str(caught.value)


def test_an_archive_cut_between_two_members_is_damaged(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {f"{number}.png": png(number) for number in range(3)})
    with tarfile.open(archive) as tar:
        end = tar.getmembers()[2].offset
    os.truncate(archive, end)
    with pytest.raises(UsageError, match=r"x\.tar: a damaged tar \(cut off"):
        opened(Images(images=(archive,)))


def test_paths_that_lead_out_links_and_devices_are_harmless(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(99))
    archive = tmp_path / "deep" / "x.tar"
    names = ("0.png", "./1.png", "../secret.png", f"{tmp_path}/secret.png", "a/../../secret.png", "a//2.png", ".3.png")
    write_tar(archive, {name: png(number) for number, name in enumerate(names)})
    with tarfile.open(archive, "a") as tar:
        for name, kind in (("l.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("f.png", tarfile.FIFOTYPE)):
            header = tarfile.TarInfo(name)
            header.type, header.linkname = kind, "../secret.png"
            tar.addfile(header)
    lines: list[str] = []
    with listening(lines):
        folders = list_folders("--images", [archive])
    inside = tmp_path.relative_to("/").as_posix() + "/secret.png"
    assert sorted(folders.name(path) for path in folders.files) == sorted(["0.png", "1.png", "a/2.png", inside])
    assert read_bytes(archive / inside) == png(3)  # the member, and not the file of the system
    found = "links, devices and the like (3), names that lead out of the archive (2)"
    assert lines == [f"--images {archive}: left out of the archives: {found}"]


def test_of_two_members_of_one_name_the_later_counts_and_it_is_said(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {"0.png": png(0), "1.png": png(1)})
    with tarfile.open(archive, "a") as tar:
        header = tarfile.TarInfo("0.png")
        header.size = len(png(7))
        tar.addfile(header, io.BytesIO(png(7)))
    lines: list[str] = []
    opened(Images(images=(archive,), channels=3), lines)
    assert read_bytes(archive / "0.png") == png(7)
    assert [line for line in lines if "earlier ones of a name (1)" in line]


def test_long_and_foreign_names(tmp_path: Path) -> None:
    names = ["ü" * 90 + ".png", "deep/" * 40 + "x.png", "a.tar/b.png"]
    archive = write_tar(tmp_path / "x.TAR", {name: png(number) for number, name in enumerate(names)})
    with listening():
        files = list_folders("--images", [archive]).files
    assert [probe(path)[:2] for path in files] == [(14, 12)] * 3


def test_what_is_no_archive_stays_a_folder_or_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "photos.tar"
    folder.mkdir()
    (folder / "0.png").write_bytes(png(0))
    assert find(folder / "0.png") is None
    assert len(opened(Images(images=(folder,), channels=3))) == 1
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(UsageError, match=r"expected an archive that is not compressed, as \.tar"):
        opened(Unpaired(a=(tmp_path / "x.tar.gz",), b=(folder,)))


def test_every_kind_of_file_is_read_in_an_archive_as_it_is_outside(tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    rng = np.random.default_rng(0)
    colours, deep = rng.integers(0, 256, (9, 7, 3), np.uint8), rng.integers(0, 65536, (9, 7), np.uint16)
    for suffix in ("jpg", "png", "webp", "bmp", "gif", "tif"):
        Image.fromarray(colours).save(loose / f"colours.{suffix}")
    Image.fromarray(colours).save(loose / "packed.tif", compression="tiff_lzw")
    Image.fromarray(deep).save(loose / "deep.png")
    tifffile.imwrite(loose / "deep.tif", np.dstack([deep] * 3), photometric="rgb", compression="zlib")
    np.save(loose / "deep.npy", deep)
    (loose / "deep.pgm").write_bytes(b"P5 7 9 65535\n" + deep.astype(">u2").tobytes())
    archive = pack(loose, tmp_path / "x.tar")
    for path in loose.iterdir():
        assert np.array_equal(open_image(archive / path.name, 3), open_image(path, 3)), path.name
        assert probe(archive / path.name) == probe(path)


def test_a_member_is_a_file_of_its_own(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {"0": b"before", "1": bytes(range(256)), "2": b"after"})
    with open_binary(archive / "1") as file:
        assert file.seek(-6, 2) == 250
        assert file.read() == bytes(range(250, 256))
        assert file.seek(10) == 10
        assert file.read(3) == bytes((10, 11, 12))
        assert file.read(500) == bytes(range(13, 256))
        with pytest.raises(OSError, match="before the beginning"):
            file.seek(-300, 2)
    assert status(archive / "1") == (256, archive.stat().st_mtime_ns)
    with pytest.raises(FileNotFoundError):
        open_binary(archive / "3")
    with pytest.raises(ImageError, match=r"x\.tar: an archive; expected a picture"):
        open_image(archive, 3)


def test_an_index_is_kept_by_size_and_time_and_made_anew_where_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_module, "_WORTH_KEEPING", 2)
    monkeypatch.setattr(tar_module, "own_temporary_folder", lambda name: tmp_path / name)
    archive = write_tar(tmp_path / "x.tar", {"0.png": png(0), "1.png": png(1)})

    def names(expected_reads: int) -> list[str]:
        reads: list[str] = []
        index = tar_module._index
        tar_module._indexed.cache_clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tar_module, "_index", lambda path: reads.append(path) or index(path))  # type: ignore[func-returns-value]
            member = find(archive)
        assert member is not None
        assert len(reads) == expected_reads
        return list(member.files())

    assert names(1) == names(0) == ["0.png", "1.png"]
    (kept,) = (tmp_path / "gantk-cache").iterdir()
    sound = kept.read_text(encoding="utf-8")
    for damaged in (
        "",
        "[]",
        "{",
        sound[:-5],
        sound.replace("0.png", "../0.png"),
        sound.replace("[512", "[51200000"),
    ):
        kept.write_text(damaged, encoding="utf-8")
        assert names(1) == ["0.png", "1.png"]
        assert kept.read_text(encoding="utf-8") == sound
    write_tar(archive, {"2.png": png(0), "1.png": png(1)})
    os.utime(archive, ns=(10**18, 10**18))
    assert names(1) == ["2.png", "1.png"]
    assert names(0) == ["2.png", "1.png"]


def test_a_changed_archive_is_noticed_by_its_record(folder: Path, tmp_path: Path) -> None:
    members = {"0.png": png(0), "0.txt": b"a horse", "1.png": png(1), "1.txt": b"a zebra"}
    source = Captioned(images=(write_tar(tmp_path / "x.tar", members),))
    before = record(source)
    write_tar(tmp_path / "x.tar", members | {"1.txt": b"a camel"})
    os.utime(tmp_path / "x.tar", ns=(10**18, 10**18))
    assert changes(before, record(source)) == ["the data have changed: 1 file (images/x.tar) replaced"]


def test_an_archive_that_is_gone_is_lost_data_and_a_damaged_member_is_not(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "deep" / "x.tar", {f"{number}.png": png(number) for number in range(4)})
    dataset = opened(Images(images=(archive,), channels=3), cache="off")
    lines: list[str] = []
    write_tar(archive, {f"{number}.png": png(number) if number else b"broken" for number in range(4)})
    os.utime(archive, ns=(10**18, 10**18))
    settings = {"batch": 4, "seed": 0, "workers": 0, "device": torch.device("cpu")}
    with Loader(dataset, left_out=lines.append, **settings) as loader:  # type: ignore[arg-type]
        loader.next_batch()
        assert len(lines) == 1
        assert f"{archive}/0.png" in lines[0]
        shutil.rmtree(archive.parent)
        with pytest.raises(LostDataError, match="is a disk disconnected"):
            loader.next_batch()
