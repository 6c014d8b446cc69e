"""Photos and results on a store, of which fsspec has one in memory: no network, no server."""

from __future__ import annotations

import json
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from infer_fakes import publish
from PIL import Image
from torch import nn

from gantk_cyclegan import CycleGAN
from listening import listening
from translate.cli.app import run as cli
from translate.cli.infer import Options
from translate.contract import DataSpec
from translate.errors import GantkError, InterruptedRunError, UsageError
from translate.infer import staging, stores
from translate.infer.catalogue import Origin, catalogue
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.plan import family, find, jobs_of, promised_format
from translate.infer.summary import Summary
from translate.modelfile.model import build_nets
from translate.modelfile.write import save_published
from translate.reading import STANDARD
from translate.report.sheet import sheet

IN, OUT = Path("memory://in"), Path("memory://out")


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryFileSystem:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(stores, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return fsspec.filesystem("memory")


@pytest.fixture
def photos(tmp_path: Path, store: MemoryFileSystem) -> Path:
    """A folder that is on this machine and in the store."""
    folder = tmp_path / "in"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "@eaDir").mkdir()
    for number, name in enumerate(
        [
            "0.png",
            "1.png",
            "a-1.jpg",
            "a.jpg",
            "a.png",
            "a.jpg.webp",
            "deep.png",
            "deep/er/x.png",
            "deep/y.tif",
            "ü ñ.png",
        ]
    ):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 16 + number % 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "0.png").rename(folder / "wrong.jpg")
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    for name in ("notes.txt", "deep/notes.txt", "@eaDir/a.png", ".hidden.png", "Thumbs.db", "other"):
        (folder / name).write_bytes(b"no picture")
    for path in folder.rglob("*"):
        if path.is_file():
            store.pipe_file(f"/in/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return folder


def run(inputs: list[Path], out: Path, **options: Any) -> tuple[Summary, list[dict[str, Any]], list[str]]:
    records: list[dict[str, Any]] = []
    lines: list[str] = []
    with listening(lines, records.append):
        summary = infer(publish(nn.Identity()), inputs, out, InferOptions(**options))
    assert not list(Path(tempfile.gettempdir()).iterdir())
    return summary, records, lines


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def objects(folder: str = "/out") -> dict[str, bytes]:
    held = MemoryFileSystem.store
    return {name.removeprefix(f"{folder}/"): held[name].getvalue() for name in held if name.startswith(f"{folder}/")}


def renamed(records: list[dict[str, Any]], before: str, after: str) -> list[dict[str, Any]]:
    return [
        {key: value.replace(before, after) if isinstance(value, str) else value for key, value in record.items()}
        for record in ({**record, "seconds": 0} for record in sorted(records, key=lambda record: record["input"]))
    ]


@pytest.mark.parametrize("options", [{}, {"format": "png", "suffix": "_z"}, {"format": "jpg", "strip": True}])
def test_a_folder_of_a_store_becomes_what_the_same_folder_here_becomes(
    photos: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    here, here_records, here_lines = run([photos], tmp_path / "out", **options)
    there, records, lines = run([IN], OUT, **options)
    assert objects() == files(tmp_path / "out")
    assert len(objects()) == 10
    assert replace(there, seconds={}, failures=[]) == replace(here, seconds={}, failures=[])
    assert there.exit_code == 3
    assert renamed(records, "memory:/", "") == renamed(here_records, str(tmp_path), "")
    assert [line.replace("memory:/", "") for line in lines] == [line.replace(str(tmp_path), "") for line in here_lines]


@pytest.mark.parametrize("options", [{}, {"format": "png"}])
def test_what_is_missing_is_done_and_what_is_there_is_not_fetched(
    photos: Path, options: dict[str, Any], store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    run([IN], OUT, **options)
    whole = objects()
    for name in ("1.png", "deep/er/x.png"):
        store.rm_file(f"/out/{name}")
    fetched: list[str] = []
    get = stores.Stores.get
    monkeypatch.setattr(stores.Stores, "get", lambda self, url, to: (fetched.append(url), get(self, url, to)))
    summary, _, _ = run([IN], OUT, **options)
    assert (summary.done, summary.skipped, summary.failed, summary.ignored) == (2, 8, 1, 1)
    assert objects() == whole
    unclear = {"memory://in/1.png", "memory://in/deep/er/x.png", "memory://in/bad.jpg", "memory://in/other"}
    if options.get("format") is None:  # where the content decides which of them gets a name
        unclear |= {f"memory://in/{name}" for name in ("wrong.jpg", "a.jpg", "a.png", "a.jpg.webp")}
    assert set(fetched) == unclear
    assert len(fetched) == len(unclear)
    assert run([IN], OUT, overwrite=True, **options)[0].done == 10


def test_one_side_may_be_on_this_machine(photos: Path, tmp_path: Path) -> None:
    run([photos], tmp_path / "out")
    run([photos], OUT)
    run([IN], tmp_path / "fetched")
    assert objects() == files(tmp_path / "fetched") == files(tmp_path / "out")
    assert run([photos], OUT)[0].skipped == run([IN], tmp_path / "fetched")[0].skipped == 10


def test_several_inputs_and_photos_by_name(photos: Path, tmp_path: Path, store: MemoryFileSystem) -> None:
    store.copy("/in/deep/y.tif", "/more/deep/y.tif")
    inputs = [IN / "1.png", IN / "deep", Path("memory://more/deep"), IN / "deep"]
    summary, _, _ = run(inputs, OUT)
    assert (summary.done, summary.failed) == (4, 0)
    assert set(objects()) == {"1.png", "deep/er/x.png", "deep/y.tif", "deep~2/y.tif"}


def test_lists_name_photos_by_url_or_below_a_folder(photos: Path, tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("1.png\ndeep/er/x.png\nnone.png\ndeep\nmemory://in/1.png\n", encoding="utf-8")
    summary, _, _ = run([IN], OUT, listing=listing)
    assert (summary.done, summary.failed, summary.exit_code) == (2, 2, 3)
    assert {name for name, _ in summary.failures} == {"memory://in/none.png", "memory://in/deep"}
    assert set(objects()) == {"1.png", "deep/er/x.png"}
    listing.write_text("memory://in/deep/er/x.png\nmemory://in/1.png\n", encoding="utf-8")
    assert run([], OUT / "flat", listing=listing)[0].done == 2
    assert set(objects("/out/flat")) == {"x.png", "1.png"}
    listing.write_text(f"memory://in/1.png\n{photos / '1.png'}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="--list: expected all photos on stores, such as memory://in/1"):
        run([], OUT, listing=listing)


def test_shards_do_each_photo_once(photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run([photos], tmp_path / "out")
    monkeypatch.setenv("WORLD_SIZE", "1")
    done = [run([IN], OUT, shard=f"{part}/3")[0] for part in (1, 2, 3)]
    assert sum(one.done for one in done) == 10
    assert sum(one.failed for one in done) == 1
    assert min(one.done for one in done) > 0
    assert objects() == files(tmp_path / "out")


def failing(names: dict[str, int], error: Callable[[str], Exception], method: str, patch: pytest.MonkeyPatch) -> None:
    """Make the store's ``method`` fail so many times for some names, half way."""
    real = getattr(MemoryFileSystem, method)
    left = Counter(names)

    def copy(self: MemoryFileSystem, source: str, target: str, **more: Any) -> None:
        name = PurePath(source).name
        if left[name] > 0:
            left[name] -= 1
            if method == "put_file":
                self.pipe_file(target, b"half of it")
            else:
                Path(target).write_bytes(b"half of it")
            raise error(name)
        real(self, source, target, **more)

    patch.setattr(MemoryFileSystem, method, copy)


@pytest.mark.parametrize(("method", "reason"), [("get_file", "cannot be read: "), ("put_file", "cannot write 1.png: ")])
def test_a_photo_that_cannot_be_copied_is_named_after_some_tries(
    photos: Path, method: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing({"1.png": 3, "x.png": 2}, lambda name: ConnectionError(f"lost {name}"), method, patch)
        summary, records, _ = run([IN], OUT)
    assert (summary.done, summary.failed, summary.exit_code) == (9, 2, 3)
    assert dict(summary.failures)["memory://in/1.png"] == f"{reason}ConnectionError: lost 1.png"
    assert [record["output"] for record in records if record["input"].endswith("/1.png")] == [None]
    assert b"half of it" not in objects().values()
    assert run([IN], OUT)[0].done == 1


def test_a_store_that_denies_ends_the_run(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing({"1.png": 1}, lambda name: PermissionError("Access Denied"), "put_file", monkeypatch)
    with pytest.raises(GantkError, match=r"^--out memory://out: cannot be written to .*Access Denied") as caught:
        run([IN], OUT)
    assert caught.value.exit_code == 1


def test_a_full_disk_ends_the_run(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing({"1.png": 1}, lambda name: OSError(28, "No space left on device"), "get_file", monkeypatch)
    with pytest.raises(GantkError, match="the disk is full; TMPDIR names another folder"):
        run([IN], OUT)


def test_a_stopped_run_leaves_whole_results_and_is_continued(photos: Path, tmp_path: Path) -> None:
    run([photos], tmp_path / "out")
    whole = files(tmp_path / "out")

    def stop(record: dict[str, Any]) -> None:
        if record["status"] == "done":
            raise KeyboardInterrupt

    with listening(records=stop), pytest.raises((InterruptedRunError, KeyboardInterrupt)):
        infer(publish(nn.Identity()), [IN], OUT, InferOptions())
    assert not list(Path(tempfile.gettempdir()).iterdir())
    assert objects().items() <= whole.items()
    assert 0 < len(objects()) <= 10
    run([IN], OUT)
    assert objects() == whole


def test_few_photos_are_on_this_machine_at_once(store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = Path(tempfile.gettempdir()) / "x.bmp"
    Image.new("RGB", (8, 8)).save(photo)
    content = photo.read_bytes()
    photo.unlink()
    for number in range(60):
        store.pipe_file(f"/in/{number:02}.bmp", content)
    most = 0

    def count(record: dict[str, Any]) -> None:
        nonlocal most
        most = max(most, len(list(Path(tempfile.gettempdir()).rglob("*.bmp"))))

    monkeypatch.setattr(staging, "AT_ONCE", 2)
    monkeypatch.setattr(staging, "BYTES_AHEAD", 4 * len(content))
    with listening(records=count):
        assert infer(publish(nn.Identity()), [IN], OUT, InferOptions(workers=1)).done == 60
    assert 4 < most < 24


def test_a_name_that_no_file_can_have_is_refused(photos: Path, store: MemoryFileSystem) -> None:
    MemoryFileSystem.store.clear()
    long = "n" * 300 + ".png"
    for name in ("x.png", "X.png", "a\n.png", long):
        store.pipe_file(f"/in/{name}", (photos / "1.png").read_bytes())
    summary, _, _ = run([IN], OUT)
    assert summary.failures == [(f"memory://in/{long}", "its name is none that a file could have")]
    assert set(objects()) == {"x.png", "X.png", "a\n.png"}


@pytest.mark.parametrize(
    ("inputs", "options", "reason"),
    [
        ([Path("memory://none")], {}, "memory://none: no such object or folder"),
        ([OUT], {}, "--out memory://out: this is an input"),
        ([IN, Path("/")], {}, "INPUT: expected all photos on stores, such as memory://in, or all on this machine"),
        ([Path("nonesuch://in")], {}, "nonesuch://in: ValueError: Protocol not known: nonesuch"),
        ([Path("file:///in")], {}, "expected a path, without file://"),
        ([IN], {"engine": "ray"}, "--engine ray: photos and --out on stores are done by this machine; use --shard"),
    ],
)
def test_wrong_use_is_one_line(photos: Path, inputs: list[Path], options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        run(inputs, OUT, **options)
    assert not objects()


def test_a_store_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(UsageError, match=r"s3://bucket/photos: expected pip install 'gantk\[s3\]'"):
        run([Path("s3://bucket/photos")], OUT)


def test_clips_need_a_folder_of_this_machine(photos: Path) -> None:
    model = publish(nn.Identity())
    model = replace(model, directions=(replace(model.directions[0], sequence=True),))
    with pytest.raises(UsageError, match="a2b follows the order of frames; expected photos and --out on this machine"):
        infer(model, [IN], OUT, InferOptions())


@pytest.mark.parametrize("flag", ["model", "report", "listing"])
def test_only_photos_and_results_lie_on_stores(flag: str) -> None:
    given: dict[str, Any] = {"model": Path("m"), "inputs": (IN,), "out": OUT, flag: Path("s3://bucket/x.html")}
    with pytest.raises(UsageError, match=r"s3://bucket/x\.html: expected a path of this machine"):
        Options(**given)


def test_a_contact_sheet_shows_what_lies_on_stores(photos: Path) -> None:
    _, records, _ = run([IN], OUT)
    text = sheet("from a store", records, STANDARD)
    assert text.count("data:image/webp") == 20
    assert "deep/er/x.png" in text
    assert "memory:" not in text


def test_the_command_takes_urls(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task, data = CycleGAN(width=4, blocks=1), DataSpec(32, {"a": 3, "b": 3})
    nets = build_nets(task, data, ["g_ab", "g_ba"])
    model, report = tmp_path / "m.safetensors", tmp_path / "sheet.html"
    save_published(model, plugin="cyclegan", task=task, data=data, tensors=nets.state_dict(), weights="raw", step=0)
    command = ["infer", str(model), "memory://in", "--out", "memory://out", "--device", "cpu", "--report", str(report)]
    assert cli([*command, "--json"]) == 3
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {record["output"] for record in records if record["status"] == "done"} == {
        f"memory://out/{name}" for name in objects()
    }
    assert report.read_text(encoding="utf-8").count("data:image/webp") == 20
    command[2] = "memory://none"
    assert cli(command) == 2
    assert "gantk: error: memory://none: no such object or folder" in capsys.readouterr().err


def test_an_input_is_not_overwritten(photos: Path, store: MemoryFileSystem) -> None:
    before = store.cat_file("/in/1.png")
    summary, _, _ = run([IN / "1.png"], IN)
    assert summary.failed == 0  # its result exists, as it seems
    summary, _, _ = run([IN / "1.png"], IN, overwrite=True)
    assert [reason for _, reason in summary.failures] == [
        "its result would overwrite an input; choose another --out or a --suffix"
    ]
    assert store.cat_file("/in/1.png") == before


def test_results_within_the_photos_are_no_photos(photos: Path) -> None:
    assert run([IN], IN / "out")[0].done == 10
    assert run([IN], IN / "out")[0].skipped == 10


@pytest.mark.parametrize("format_", ["keep", "png", "jpg"])
@pytest.mark.parametrize("suffix", ["", "_z", "~2", ".jpg"])
def test_photos_of_one_family_alone_are_named_as_in_their_folder(tmp_path: Path, format_: str, suffix: str) -> None:
    names = [
        f"{stem}{end}" for stem in ("a", "a~2", "a.b", "no. 1") for end in ("", ".jpg", ".png", ".jpg.png", "~2.png")
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    options = InferOptions(format=format_, suffix=suffix)
    found = find([tmp_path], tmp_path / "out")
    assert len(found) >= 15

    def plan_of(some: list[Any]) -> dict[Path, tuple[Path, Path]]:
        jobs = jobs_of(some, tmp_path / "out", options, 3, promised_format)
        return {job.path: (job.target, job.alternative) for job in jobs}

    families: dict[PurePath, list[Any]] = {}
    for one in found:
        families.setdefault(family(one.inside), []).append(one)
    assert len(families) == 3
    apart = {path: names for some in families.values() for path, names in plan_of(some).items()}
    assert apart == plan_of(found)


def test_a_catalogue_takes_no_memory(tmp_path: Path) -> None:
    with catalogue(tmp_path / "names") as known:
        tracemalloc.start()
        try:
            known.add_photos(Origin(f"s3://b/{n}.png", PurePath(f"{n}.png"), True) for n in range(20_000))
            known.add_results(f"{n}.png" for n in range(20_000))
            assert (
                sum(len(some) for some in known.families(slice(0, None, 2))) == known.count(slice(1, None, 2)) == 10_000
            )
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
        assert known.has_result("77.png")
        assert known.has_photo("s3://b/77.png")
        assert not known.has_photo("s3://b/x.png")
    assert {path.name for path in tmp_path.iterdir()} <= {"names", "tmp"}
