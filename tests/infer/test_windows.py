"""Pictures larger than memory: read window by window, written tile by tile, equal to those that are read at once."""

from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from infer_fakes import publish
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from translate.data.values import RefusedError
from translate.errors import GantkError, InterruptedRunError
from translate.generators.resnet import ResnetGenerator, resnet_margin
from translate.infer import windows
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.summary import Summary
from translate.infer.tiff_reader import TiffReader
from translate.infer.tiff_writer import TiffWriter
from translate.infer.windows import Form, Format, Reader, Writer
from translate.modelfile.model import Published

SHAPE = (90, 118)
SECOND = 1_600_000_000 * 10**9


def numbers(kind: str = "uint8", channels: int = 3, shape: tuple[int, int] = SHAPE) -> NDArray[Any]:
    """Smooth on the left, busy on the right, so that tiles differ in their statistics."""
    height, width = shape
    busy = np.random.default_rng(1).normal(0, 0.15, (height, width, channels)) * (np.arange(width) > width / 2)[:, None]
    shares = np.clip(np.linspace(0.1, 0.9, width)[None, :, None] + busy, 0, 1)
    return shares.astype(kind) if kind == "float32" else np.rint(shares * np.iinfo(kind).max).astype(kind)


def write(path: Path, values: NDArray[Any], **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"tile": (32, 48), "compression": "zlib", "metadata": None} | how
    if values.shape[2] == 1 and "photometric" not in settings:
        settings["photometric"] = "minisblack"
    if values.shape[2] in (3, 4) and "photometric" not in settings:
        settings["photometric"] = "rgb"
    if values.shape[2] == 1:
        values = values[:, :, 0]
    tifffile.imwrite(path, values, **settings)
    os.utime(path, ns=(SECOND, SECOND))
    return path


def convolutions(channels: int = 3) -> Published:
    torch.manual_seed(0)
    first = nn.Conv2d(channels, 6, 5, padding=2)
    return publish(
        nn.Sequential(first, nn.Tanh(), nn.Conv2d(6, channels, 3, padding=1), nn.Tanh()),
        channels=(channels, channels),
        margin=3,
    )


def enlarging(scale: int) -> Published:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale), nn.Tanh())
    return publish(net, scale=scale, margin=1)


def normed() -> Published:
    torch.manual_seed(0)
    return publish(ResnetGenerator(3, 3, 4, 1), multiple=4, margin=resnet_margin(1))


def run(model: Published, photo: Path, out: Path, **options: Any) -> Summary:
    """By windows, unless ``max_pixels`` allows more."""
    settings = {"device": "cpu", "tile": "16", "max_pixels": 100} | options
    return infer(model, [photo], out, InferOptions(**settings))


def both(model: Published, photo: Path, tmp_path: Path, **options: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """The results by windows and at once."""
    found = []
    for name, more in (("windows", {}), ("whole", {"max_pixels": 10**6, "tile": "off"})):
        summary = run(model, photo, tmp_path / name, **options, **more)
        assert summary.done == 1, summary.failures
        assert os.listdir(tmp_path / name) == [photo.name]  # noqa: PTH208 - hidden files too
        with tifffile.TiffFile(tmp_path / name / photo.name) as file:
            assert file.is_bigtiff == file.pages[0].is_tiled == (name == "windows")
            found.append(file.pages[0].asarray())
    return found[0], found[1]


def apart(one: NDArray[Any], two: NDArray[Any]) -> float:
    assert (one.shape, one.dtype) == (two.shape, two.dtype)
    return float(np.abs(one.astype(np.float64) - two.astype(np.float64)).max())


@pytest.mark.parametrize(("scale", "kind", "most"), [(1, "uint8", 1), (2, "uint16", 1), (4, "float32", 1e-5)])
def test_a_result_equals_that_of_the_whole(scale: int, kind: str, most: float, tmp_path: Path) -> None:
    model = convolutions() if scale == 1 else enlarging(scale)
    assert apart(*both(model, write(tmp_path / "x.tif", numbers(kind)), tmp_path)) <= most


def test_statistics_are_those_of_the_whole(tmp_path: Path) -> None:
    photo = write(tmp_path / "x.tif", numbers())
    assert apart(*both(normed(), photo, tmp_path)) <= 1


def test_a_texture_repeats(tmp_path: Path) -> None:
    photo = write(tmp_path / "x.tif", numbers())
    run(convolutions(), photo, tmp_path / "windows", wrap=True)
    run(convolutions(), photo, tmp_path / "whole", wrap=True, max_pixels=10**6)
    one, two = (tifffile.imread(tmp_path / name / "x.tif") for name in ("windows", "whole"))
    assert apart(one, two) <= 1


@pytest.mark.parametrize(
    ("channels", "how"),
    [
        (1, {}),
        (1, {"photometric": "miniswhite"}),
        (5, {"planarconfig": "contig", "photometric": "minisblack"}),
        (4, {"extrasamples": ["unassalpha"]}),
        (4, {"extrasamples": ["assocalpha"]}),
    ],
)
def test_what_channels_mean_is_the_same(channels: int, how: dict[str, Any], tmp_path: Path) -> None:
    values = numbers(channels=channels)
    if channels == 4:
        values[:20, :30, 3] = 0
    photo = write(tmp_path / "x.tif", values, **how)
    one, two = both(convolutions(5 if channels == 5 else 3), photo, tmp_path)
    seen = np.ones(SHAPE, bool) if channels != 4 else one[..., 3] > 0
    assert apart(one[seen], two[seen]) <= 1
    assert channels != 4 or np.array_equal(one[..., 3], two[..., 3])


def test_transparency_is_enlarged_or_laid_on_white(tmp_path: Path) -> None:
    photo = write(tmp_path / "x.tif", numbers(channels=4), extrasamples=["unassalpha"])
    one, two = both(enlarging(2), photo, tmp_path / "kept")
    assert one.shape[2] == 4
    assert apart(one, two) <= 1
    one, two = both(enlarging(2), photo, tmp_path / "dropped", alpha="drop")
    assert one.shape[2] == 3
    assert apart(one, two) <= 1


def test_what_is_hidden_and_pooled_is_refused(tmp_path: Path) -> None:
    photo = write(tmp_path / "x.tif", numbers(channels=4), extrasamples=["unassalpha"])
    summary = run(normed(), photo, tmp_path / "out")
    assert "expected --alpha drop" in summary.failures[0][1]
    assert run(normed(), photo, tmp_path / "out", alpha="drop").done == 1


def test_tags_are_those_of_any_result(tmp_path: Path) -> None:
    geo = [
        (33550, "d", 3, (0.5, 0.5, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0), True),
        (34735, "H", 4, (1, 1, 0, 0), True),
        (42113, "s", 0, "-9999", True),
    ]
    photo = write(tmp_path / "x.tif", numbers(), extratags=geo, resolution=(300, 300), resolutionunit=2)
    both(enlarging(2), photo, tmp_path)
    tags = []
    for name in ("windows", "whole"):
        with tifffile.TiffFile(tmp_path / name / "x.tif") as file:
            wanted = (33550, 33922, 34735, 42113, 282, 700, 258, 277, 262)
            tags.append({code: file.pages[0].tags[code].value for code in wanted})
    assert tags[0] == tags[1]
    assert tags[0][33550] == (0.25, 0.25, 0.0)


LAYOUTS = {
    "tiles": {},
    "strips": {"tile": None, "rowsperstrip": 7},
    "one uncompressed strip": {"tile": None, "compression": None},
    "planes of tiles": {"planarconfig": "separate"},
    "planes of uncompressed strips": {"tile": None, "compression": None, "planarconfig": "separate"},
    "big-endian": {"tile": None, "compression": None, "byteorder": ">"},
    "differences": {"predictor": True, "byteorder": ">"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_of_any_layout(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.infer.tiff_reader.CACHE", 20_000)
    values, how = numbers("uint16"), LAYOUTS[layout]
    stored = values.transpose(2, 0, 1) if how.get("planarconfig") == "separate" else values
    tifffile.imwrite(
        tmp_path / "x.tif", stored, **{"tile": (32, 48), "compression": "zlib", "photometric": "rgb"} | how
    )
    reader = TiffReader(tmp_path / "x.tif")
    assert (reader.form.width, reader.form.height, reader.form.colours) == (118, 90, 3)
    for y, x, h, w in ((0, 0, 90, 118), (31, 47, 2, 2), (89, 117, 1, 1), (10, 0, 60, 118), (64, 96, 26, 22)):
        assert np.array_equal(reader.read(y, x, h, w), values[y : y + h, x : x + w])
    reader.close()


def test_a_tiff_is_written_in_any_order_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.infer.tiff.TILE", 32)
    values = numbers()
    form = Form(118, 90, 3, "uint8", 3)
    writer = TiffWriter(tmp_path / "x.tif", form, {}, resumed=False)
    places = [(y, x) for y in range(0, 90, 17) for x in range(0, 118, 45)]
    for y, x in places[::-1]:
        writer.write(y, x, values[y : y + 17, x : x + 45])
    writer.write(0, 0, np.zeros_like(values))
    writer.close()
    again = TiffWriter(tmp_path / "x.tif", form, {}, resumed=True)
    for y, x in places:
        again.write(y, x, values[y : y + 17, x : x + 45])
    again.finish()
    assert np.array_equal(tifffile.imread(tmp_path / "x.tif"), values)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.tif")), values)


class Fragile(nn.Module):
    """A network that does something at its ``at``-th tile, counted from 1."""

    def __init__(self, inner: nn.Module, at: int = 0, do: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.inner, self.at, self.do, self.count = inner, at, do, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not isinstance(x, torch.Tensor) or x.shape[2:] == (64, 64):  # the trial that measures memory
            return self.inner(x)
        self.count += 1
        if self.count == self.at:
            self.do()
        return self.inner(x)


def fragile(make: Callable[[], Published], at: int = 0, do: Callable[[], object] = lambda: None) -> Published:
    model = make()
    model.nets["g"] = Fragile(model.nets["g"], at, do)
    return model


def killed(make: Callable[[], Published], photo: Path, out: Path, at: int) -> None:
    """A copy of this process that dies, without a chance to clean up, when it begins its ``at``-th tile."""
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            run(fragile(make, at, lambda: os._exit(9)), photo, out)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.infer.journal.EVERY", 0.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills copies of this process")
@pytest.mark.usefixtures("often")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", [convolutions, normed])
def test_a_killed_run_ends_with_the_same_bytes(make: Callable[[], Published], tmp_path: Path) -> None:
    photo = write(tmp_path / "x.tif", numbers())
    alone = fragile(make)
    assert run(alone, photo, tmp_path / "alone").done == 1
    for at in (9, 7, 12, 5):
        killed(make, photo, tmp_path / "out", at)
        assert not (tmp_path / "out" / "x.tif").exists()
    last = fragile(make)
    assert run(last, photo, tmp_path / "out").done == 1
    assert (tmp_path / "out" / "x.tif").read_bytes() == (tmp_path / "alone" / "x.tif").read_bytes()
    assert os.listdir(tmp_path / "out") == ["x.tif"]  # noqa: PTH208
    assert last.nets["g"].count <= alone.nets["g"].count - 20


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("what", ["nothing", "input", "model", "option"])
def test_it_continues_what_is_the_same_alone(what: str, tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    photo = write(tmp_path / "x.tif", numbers())
    with pytest.raises(InterruptedRunError):
        run(fragile(convolutions, 10, stop), photo, tmp_path / "out")
    again = fragile(convolutions)
    if what == "input":
        os.utime(photo, ns=(SECOND + 1, SECOND + 1))
    if what == "model":
        next(again.nets.parameters()).data.mul_(1.1)
    assert run(again, photo, tmp_path / "out", **({"bits": 16} if what == "option" else {})).done == 1
    whole = fragile(convolutions)
    run(whole, photo, tmp_path / "alone")
    assert again.nets["g"].count == whole.nets["g"].count - (9 if what == "nothing" else 0)


def test_out_of_memory_makes_tiles_smaller(tmp_path: Path) -> None:
    class Hungry(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[2] * x.shape[3] > 2000 and x.shape[2] != 64:
                raise RuntimeError("DefaultCPUAllocator: not enough memory")
            return x

    photo = write(tmp_path / "x.tif", numbers())
    assert run(publish(Hungry()), photo, tmp_path / "out", tile="auto").done == 1
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "x.tif"), numbers())


def left(out: Path) -> list[str]:
    return sorted(os.listdir(out))  # noqa: PTH208 - hidden files too


def test_a_damaged_tile_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    photo = write(tmp_path / "x.tif", numbers())
    with tifffile.TiffFile(photo) as file:
        offset, count = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    with photo.open("r+b") as damaged:
        damaged.seek(offset)
        damaged.write(b"\xaa" * count)
    summary = run(convolutions(), photo, tmp_path / "out")
    assert summary.exit_code == 3
    assert [Path(path).name for path, _ in summary.failures] == ["x.tif"]
    assert "tile 6 of 9 is damaged" in summary.failures[0][1]
    assert left(tmp_path / "out") == []


@pytest.mark.parametrize("how", [{}, {"tile": None, "compression": None}])
def test_a_file_that_is_cut_off(how: dict[str, Any], tmp_path: Path) -> None:
    photo = write(tmp_path / "x.tif", numbers(), **how)
    with photo.open("r+b") as file:
        file.truncate(photo.stat().st_size - 500)
    summary = run(convolutions(), photo, tmp_path / "out")
    assert "cut off" in summary.failures[0][1]
    assert left(tmp_path / "out") == []


def retagged(photo: Path, tag: int, value: int) -> Path:
    with tifffile.TiffFile(photo, mode="r+b") as file:
        file.pages[0].tags[tag].overwrite(value)
    return photo


@pytest.mark.parametrize(
    ("prepared", "reason"),
    [
        (lambda photo: retagged(write(photo, numbers()), 259, 34676), "compressed in a way that is not known"),
        (lambda photo: write(photo, numbers(), extratags=[(274, "H", 1, 6, True)]), "stored with orientation 6"),
        (lambda photo: write(photo, numbers(), tile=None, rowsperstrip=90), "each strip holds 31,860 bytes"),
    ],
)
def test_what_is_not_read_by_windows(
    prepared: Callable[[Path], Path], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.infer.tiff_reader.LARGEST_SEGMENT", 20_000)
    summary = run(convolutions(), prepared(tmp_path / "x.tif"), tmp_path / "out")
    assert summary.exit_code == 3
    assert reason in summary.failures[0][1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"format": "png"}, "cannot be written as png; expected --format tiff"),
        ({"watermark": "a long key"}, "--watermark needs the whole result"),
        ({"tile": "off"}, ""),
    ],
)
def test_options_that_need_the_whole(options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    summary = run(convolutions(), write(tmp_path / "x.tif", numbers()), tmp_path / "out", **options)
    assert summary.failed == bool(reason)
    assert not reason or reason in summary.failures[0][1]


def test_a_model_that_needs_the_whole_has_it_where_it_fits(tmp_path: Path) -> None:
    photo = write(tmp_path / "x.tif", numbers())
    assert run(publish(nn.Identity(), margin=None), photo, tmp_path / "out", tile="auto").done == 1
    summary = run(publish(nn.Identity(), margin=None), photo, tmp_path / "other")
    assert "this model needs the whole picture at once" in summary.failures[0][1]


def test_a_disk_that_is_too_small_is_found_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(100, 0, 1000))
    model = fragile(convolutions)
    summary = run(model, write(tmp_path / "x.tif", numbers()), tmp_path / "out")
    assert "its result takes 31,860 bytes, and 1,000 are free" in summary.failures[0][1]
    assert model.nets["g"].count == 0
    assert left(tmp_path / "out") == []


def test_a_disk_that_fills_up_costs_nothing_that_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo, written, count = write(tmp_path / "x.tif", numbers()), TiffWriter.write, 0

    def full(self: TiffWriter, y: int, x: int, tile: NDArray[Any]) -> None:
        nonlocal count
        count += 1
        if count > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(self, y, x, tile)

    with monkeypatch.context() as patched:
        patched.setattr(TiffWriter, "write", full)
        summary = run(convolutions(), photo, tmp_path / "out")
    assert summary.exit_code == 3
    assert "the disk is full" in summary.failures[0][1]
    assert "x.tif" not in left(tmp_path / "out")
    model = fragile(convolutions)
    assert run(model, photo, tmp_path / "out").done == 1
    run(convolutions(), photo, tmp_path / "alone")
    assert (tmp_path / "out" / "x.tif").read_bytes() == (tmp_path / "alone" / "x.tif").read_bytes()


def test_what_fits_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = write(tmp_path / "x.tif", numbers())
    for free, tiled in ((1 << 30, False), (31_860, True)):
        monkeypatch.setattr("translate.infer.memory.free_memory", lambda device, free=free: free)
        monkeypatch.setattr("translate.infer.memory.HUNGRIEST", 1)
        out = tmp_path / str(free)
        run(publish(nn.Identity()), photo, out, tile="off", max_pixels=10**6)
        with tifffile.TiffFile(out / "x.tif") as file:
            assert file.pages[0].is_tiled == tiled


class Raw(Format):
    """Rows of grey bytes behind a line with their width; written as it is read."""

    broken = False

    def opens(self, path: Path) -> bool:
        return path.suffix == ".raw"

    def reader(self, path: Path) -> Reader:
        return RawReader(path, broken=self.broken)


class RawReader(Reader):
    def __init__(self, path: Path, *, broken: bool) -> None:
        line, _, data = path.read_bytes().partition(b"\n")
        if not line.isdigit():
            raise ValueError("its first line is no width")
        self.rows = np.frombuffer(data, np.uint8).reshape(-1, int(line), 1)
        self.form = Form(self.rows.shape[1], self.rows.shape[0], 1, "uint8", 1)
        self.broken = broken

    def read(self, y: int, x: int, h: int, w: int) -> NDArray[Any]:
        if self.broken and y > 20:
            raise KeyError("no such block")
        return self.rows[y : y + h, x : x + w]

    def close(self) -> None:
        pass


class Written(Writer):
    def __init__(self, path: Path, form: Form) -> None:
        self.path, self.values = path, np.zeros((form.height, form.width, form.channels), form.dtype)

    def write(self, y: int, x: int, tile: NDArray[Any]) -> None:
        self.values[y : y + tile.shape[0], x : x + tile.shape[1]] = tile

    def flush(self) -> None:
        pass

    def finish(self) -> None:
        self.path.write_bytes(self.values.tobytes())

    def close(self) -> None:
        pass


class Both(Raw):
    def writer(self, path: Path, form: Form, source: Reader, *, scale: int, resumed: bool, tiff: Any) -> Writer:
        assert isinstance(source, RawReader)
        assert (form.width, scale, resumed) == (source.form.width, 1, False)
        return Written(path, form)


class Broken(Raw):
    broken = True


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Format]], None]:
    def install(kind: type[Format]) -> None:
        plugin = windows.plugins.Plugin("raw", "gantk-raw", "1", f"{__name__}:{kind.__name__}")
        monkeypatch.setattr(windows, "formats", lambda: ((plugin, kind()),))

    return install


def raw(path: Path) -> NDArray[np.uint8]:
    values = numbers(channels=1)
    path.write_bytes(b"118\n" + values.tobytes())
    return values


def test_a_package_reads_files_of_any_size(installed: Callable[[type[Format]], None], tmp_path: Path) -> None:
    installed(Raw)
    values = raw(tmp_path / "x.raw")
    model = publish(nn.Identity(), channels=(1, 1))
    assert run(model, tmp_path / "x.raw", tmp_path / "out", max_pixels=10**6).done == 1
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "x.raw.tiff"), values[:, :, 0])


def test_a_package_writes_its_results(installed: Callable[[type[Format]], None], tmp_path: Path) -> None:
    installed(Both)
    values = raw(tmp_path / "x.raw")
    assert run(publish(nn.Identity(), channels=(1, 1)), tmp_path / "x.raw", tmp_path / "out").done == 1
    assert (tmp_path / "out" / "x.raw.tiff").read_bytes() == values.tobytes()


def test_what_a_package_raises_is_the_file_s_fault(installed: Callable[[type[Format]], None], tmp_path: Path) -> None:
    installed(Broken)
    raw(tmp_path / "x.raw")
    (tmp_path / "y.raw").write_bytes(b"none\n")
    model = publish(nn.Identity(), channels=(1, 1))
    summary = infer(model, [tmp_path / "x.raw", tmp_path / "y.raw"], tmp_path / "out", InferOptions(tile="16"))
    reasons = {Path(path).name: reason for path, reason in summary.failures}
    assert reasons["y.raw"] == "its first line is no width"
    assert "damaged within" in reasons["x.raw"]
    assert "no such block" in reasons["x.raw"]
    assert left(tmp_path / "out") == []


def test_a_plugin_that_is_no_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = windows.plugins.Plugin("raw", "gantk-raw", "1", "pathlib:Path")
    monkeypatch.setattr(windows.plugins, "installed", lambda group: [plugin])
    windows.formats.cache_clear()
    with pytest.raises(GantkError, match="Path is no subclass of Format"):
        windows.formats()


def test_a_palette_is_no_picture_of_numbers(tmp_path: Path) -> None:
    Image.fromarray(numbers(channels=1)[:, :, 0]).convert("P").save(tmp_path / "x.tif")
    with pytest.raises(RefusedError, match="meant as PALETTE"):
        TiffReader(tmp_path / "x.tif")
