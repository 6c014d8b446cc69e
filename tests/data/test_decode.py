"""Finding and decoding image files, whatever they are."""

from __future__ import annotations

import io
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL
import pytest
from PIL import Image, ImageCms

from translate.data import decode, formats
from translate.data.decode import ImageError, TooLargeError, open_file, open_image, probe
from translate.data.listing import find_images
from translate.errors import UsageError
from translate.infer.kept import read_kept
from translate.reading import MAX_PIXELS, MORE_FORMATS, Reading, formats_with


def gradient(width: int = 24, height: int = 16) -> Image.Image:
    across = np.linspace(0, 255, width, dtype=np.uint8)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height, dtype=np.uint8)[:, None].repeat(width, 1)
    return Image.fromarray(np.dstack([across, down, 255 - across]))


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


# --- finding ---------------------------------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_images(folder)]


def test_finds_files_in_subfolders_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.png", "a/2.jpg", "a/10.jpg", "no_suffix", "Z.JPG", "ä ö.png", "a.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert names(tmp_path) == ["Z.JPG", "a.png", "a/10.jpg", "a/2.jpg", "b.png", "no_suffix", "ä ö.png"]


def test_leaves_out_what_file_managers_leave_behind(tmp_path: Path) -> None:
    for name in (".hidden.png", "desktop.ini", "Thumbs.db", ".DS_Store", "x.png", "__MACOSX/x.png", ".git/y.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert names(tmp_path) == ["x.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")
def test_links_and_special_files(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "x.png").touch()
    (folder / "inner" / "back").symlink_to(folder)
    (folder / "again").symlink_to(folder / "inner")
    (tmp_path / "elsewhere.png").touch()
    (folder / "linked.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "gone.png").symlink_to(tmp_path / "nothing.png")
    (folder / "itself.png").symlink_to(folder / "itself.png")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    # Each folder once (under the first of its names), no pipe; dead links are listed, for opening them to tell.
    assert names(folder) == ["again/x.png", "gone.png", "itself.png", "linked.png"]
    for dead in ("gone.png", "itself.png"):
        with pytest.raises(ImageError, match=dead):
            open_image(folder / dead, 3)
    with pytest.raises(ImageError, match="not a regular file"):
        open_image(folder / "pipe.jpg", 3)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    try:
        with pytest.raises(UsageError, match="locked: cannot read this folder"):
            find_images(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)


# --- modes -----------------------------------------------------------------------------------------------------------


def constant(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (4, 3), colour)  # type: ignore[arg-type]


def palette(transparent: bool) -> Image.Image:
    image = Image.new("P", (4, 3), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    if transparent:
        image.info["transparency"] = 1
    return image


MODES: list[tuple[str, Callable[[], Image.Image], tuple[int, int, int], int]] = [
    ("bilevel.png", lambda: constant("1", 1), (255, 255, 255), 0),
    ("grey.png", lambda: constant("L", 90), (90, 90, 90), 0),
    ("grey_alpha.png", lambda: constant("LA", (0, 128)), (0, 0, 0), 0),
    ("palette.png", lambda: palette(False), (255, 0, 0), 0),
    ("palette_hole.png", lambda: palette(True), (255, 255, 255), 0),
    ("palette_hole.gif", lambda: palette(True), (255, 255, 255), 0),
    ("colour.png", lambda: constant("RGB", (10, 20, 30)), (10, 20, 30), 0),
    ("half_red.png", lambda: constant("RGBA", (255, 0, 0, 128)), (255, 0, 0), 0),
    ("opaque.png", lambda: constant("RGBA", (10, 20, 30, 255)), (10, 20, 30), 0),
    ("half_red.webp", lambda: constant("RGBA", (255, 0, 0, 128)), (255, 0, 0), 4),
    ("print.jpg", lambda: constant("CMYK", (0, 255, 255, 0)), (255, 0, 0), 3),
    ("print.tif", lambda: constant("CMYK", (255, 0, 0, 128)), (0, 127, 127), 1),
    ("luma.tif", lambda: constant("YCbCr", (76, 85, 255)), (254, 0, 0), 2),
    ("lab.tif", lambda: constant("LAB", (255, 128, 128)), (255, 255, 255), 2),
]


@pytest.mark.parametrize(("name", "make", "expected", "tolerance"), MODES, ids=[mode[0] for mode in MODES])
def test_every_mode_becomes_the_colours_it_means(
    tmp_path: Path, name: str, make: Callable[[], Image.Image], expected: tuple[int, int, int], tolerance: int
) -> None:
    path = saved(tmp_path / name, make())
    if name == "luma.tif" and int(PIL.__version__.partition(".")[0]) < 13:
        pytest.skip("Pillow before 13 reads no uncompressed YCbCr TIFF")
    rgb = open_image(path, 3)
    assert rgb.dtype == np.uint8
    assert rgb.shape == (3, 4, 3)
    assert np.abs(rgb.astype(int) - expected).max() <= tolerance
    grey = open_image(path, 1)
    assert grey.shape == (3, 4, 1)
    luma = np.dot(expected, (0.299, 0.587, 0.114))
    assert np.abs(grey - luma).max() <= tolerance + 1
    assert open_image(path, 4).shape == (3, 4, 4)
    assert probe(path)[:2] == (4, 3)


def test_hsv_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.png", constant("RGB", "red"))
    monkeypatch.setattr(Image, "open", lambda _, **given: constant("HSV", (0, 255, 255)))  # no file format has it
    assert (open_image(path, 3) == (255, 0, 0)).all()


def test_lab_is_converted_by_its_definition(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(gradient(), srgb, lab, outputMode="LAB")
    assert image is not None
    path = saved(tmp_path / "lab.tif", image)
    # Lab of 8 bits is coarse near saturated colours.
    assert np.abs(open_image(path, 3).astype(int) - np.asarray(gradient())).mean() < 2


def test_transparency_is_kept_where_the_model_takes_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", constant("RGBA", (255, 0, 0, 128)))
    assert (open_image(path, 4) == (255, 0, 0, 128)).all()
    path = saved(tmp_path / "y.png", constant("L", 90))
    assert (open_image(path, 4) == (90, 90, 90, 255)).all()
    path = saved(tmp_path / "z.gif", palette(True))
    assert (open_image(path, 4)[..., 3] == 0).all()


# --- orientation, animations, names ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = gradient()
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose values that lay the picture as tagged
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"x.{suffix}", stored, exif=exif, **options)
    opened = open_image(path, 3)
    assert opened.shape == (16, 24, 3)
    assert np.abs(opened.astype(int) - np.asarray(upright)).max() <= (12 if suffix == "jpg" else 0)
    assert probe(path)[:2] == (24, 16)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [constant("RGB", colour) for colour in ("red", "blue", "green")]
    for name in ("x.gif", "x.webp", "x.png", "x.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.abs(open_image(tmp_path / name, 3).astype(int) - (255, 0, 0)).max() <= 8, name


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "写真 1.JPG"
    gradient().save(path, format="PNG")
    assert (open_image(path, 3) == np.asarray(gradient())).all()


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tif", "bmp"])
def test_truncated_files_are_errors_and_never_half_grey(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    path = saved(tmp_path / f"x.{suffix}", Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)))
    whole = path.read_bytes()
    for share in (0.001, 0.1, 0.5, 0.9):
        path.write_bytes(whole[: max(1, int(len(whole) * share))])
        with pytest.raises(ImageError) as error:
            open_image(path, 3)
        assert error.value.path == path
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)


def test_random_damage_gives_pixels_or_an_image_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for suffix in ("jpg", "png", "gif", "webp", "tif", "bmp", "tga", "ppm", "jp2", "ico", "pcx", "sgi"):
        path = tmp_path / f"x.{suffix}"
        gradient().convert("P" if suffix == "gif" else "RGB").save(path)
        whole = bytearray(path.read_bytes())
        for _ in range(20):
            broken = bytearray(whole)
            for place in rng.integers(0, len(whole), 4):
                broken[place] = rng.integers(256)
            path.write_bytes(broken)
            try:
                assert open_image(path, 3, Reading(max_pixels=1 << 20)).dtype == np.uint8
                probe(path, Reading(max_pixels=1 << 20))
            except ImageError:
                pass


def test_reasons_name_what_is_wrong(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("F", (4, 4)).save(file, "TIFF")
    height = struct.pack("<HHI", 257, 4, 1)
    assert height in file.getvalue()
    flat = file.getvalue().replace(height + struct.pack("<I", 4), height + bytes(4))
    for name, content, reason in (
        ("empty.jpg", b"", "the file is empty"),
        ("text.jpg", b"hello", "not an image"),
        ("words.ppm", b"P6 2\xff\0 2 255\n" + bytes(12), "a damaged image"),
        ("flat.tif", flat, "it has no pixels"),
        ("new.heic", b"\0\0\0\x18ftypheic\0\0\0\0", "HEIF image; install gantk"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=reason):
            open_image(tmp_path / name, 3)
        with pytest.raises(ImageError, match=reason):
            probe(tmp_path / name)
    with pytest.raises(ImageError, match="no such file"):
        open_image(tmp_path / "missing.png", 3)


def test_heif_where_its_plugin_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    plugin = ModuleType("pillow_heif")
    monkeypatch.setattr(plugin, "register_heif_opener", lambda: called.append(1), raising=False)
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    formats._register_heif.cache_clear()
    path = saved(tmp_path / "x.png", gradient())
    open_image(path, 3)
    open_image(path, 3)
    assert called == [1]
    formats._register_heif.cache_clear()


def claiming(png: bytes, side: int) -> bytes:
    """The PNG with another size in its header, and the checksum that belongs to it."""
    header = png[12:16] + struct.pack(">II", side, side) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def test_bombs_are_refused_from_the_header(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", gradient())
    with pytest.raises(TooLargeError, match=r"x\.png: it has 384 pixels, more than the limit of 383"):
        open_image(path, 3, Reading(max_pixels=383))
    assert open_image(path, 3, Reading(max_pixels=384)).shape == (16, 24, 3)
    path.write_bytes(claiming(path.read_bytes(), 200_000))
    # Here Pillow's own limit comes first, and its error must read the same.
    for read in (lambda: open_image(path, 3), lambda: probe(path)):
        with pytest.raises(TooLargeError, match=f"it has 40,000,000,000 pixels, more than the limit of {MAX_PIXELS:,}"):
            read()


def test_a_bomb_within_an_icon_is_refused(tmp_path: Path) -> None:
    """Its directory says 16x16, the PNG in it something else."""
    png = claiming(saved(tmp_path / "x.png", gradient()).read_bytes(), 200_000)
    entry = struct.pack("<HHH4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(png), 22)
    (tmp_path / "x.ico").write_bytes(entry + png)
    with pytest.raises(TooLargeError, match="40,000,000,000 pixels"):
        open_image(tmp_path / "x.ico", 3)


def test_broken_metadata_is_no_reason_and_makes_no_noise(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", gradient(), exif=b"Exif\0\0II*\0nonsense")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(path, 3).shape == (16, 24, 3)
        assert probe(path)[:2] == (24, 16)


def test_filters_that_another_thread_puts_back_make_no_picture_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    gradient().save(path)
    height = struct.pack("<HHI", 259, 3, 1)  # Pillow warns of a tag with more values than it may have
    content = path.read_bytes()
    assert height in content
    path.write_bytes(content.replace(height, struct.pack("<HHI", 259, 3, 2)))
    with warnings.catch_warnings(), open_file(path) as opened:
        warnings.resetwarnings()
        warnings.simplefilter("error")
        assert opened.decode(3).pixels.shape == (16, 24, 3)
        read_kept(opened, 1, notes := [])
        assert notes == []


# --- real files ------------------------------------------------------------------------------------------------------

BAD = {
    "corrupt-header.jpg",
    "truncated.jpg",
    "truncated_image.png",
    "broken_data_stream.png",
    "L_exif_xmp_iptc.heic",
    "RGB_10__128x128.heif",
    "RGB_8__128x128.heif",
}


def test_awkward_files(shared_data: Path) -> None:
    failed = set()
    for path in find_images(shared_data / "awkward"):
        try:
            image = open_image(path, 3)
        except ImageError:
            failed.add(path.name)
        else:
            assert image.shape[2] == 3
            assert probe(path)[:2] == (image.shape[1], image.shape[0])
    assert failed - BAD == set()
    assert {name for name in BAD if not name.endswith(("heic", "heif"))} <= failed  # heif: where there is no plugin


def test_orientation_examples_look_alike(shared_data: Path) -> None:
    folder = shared_data / "awkward" / "exif-orientation-examples"
    for kind in ("Landscape", "Portrait"):
        small = []
        for path in sorted(folder.glob(f"{kind}_*.jpg")):
            image = Image.fromarray(open_image(path, 3))
            # The number of the orientation is written over the middle, so only the rest is compared.
            small.append(np.asarray(image.resize((30, 30)), int)[:8])
        assert len(small) >= 2
        for other in small[1:]:
            assert np.abs(small[0] - other).mean() < 6


def test_real_cmyk_and_16_bit(shared_data: Path) -> None:
    photo = open_image(shared_data / "awkward" / "Pillow" / "pil_sample_cmyk.jpg", 3)
    assert photo.std() > 20
    flag = open_image(shared_data / "awkward" / "sharp" / "Flag_of_the_Netherlands-16bit.png", 3)
    assert flag[100, 450].argmax() == 0  # red above
    assert flag.dtype == np.uint16
    assert flag[300, 450].min() > 250 * 257  # white
    assert flag[500, 450].argmax() == 2  # blue
    hidden = open_image(shared_data / "awkward" / "sharp" / "full-transparent.png", 3)
    assert (hidden == 255).all()


def test_few_headers_spread_over_all_decide_whether_a_folder_looks_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def probe(path: Path, *_: object) -> tuple[int, int, str]:
        looked.append(int(path.name))
        if int(path.name) % 2:
            raise ImageError(path, "damaged")
        return 8, 8, "RGB" if int(path.name) >= colour_from else "L"

    monkeypatch.setattr(decode, "probe", probe)
    paths = [Path(str(number)) for number in range(100_001)]
    colour_from = 100_001
    assert decode.look_grey(paths)
    assert len(looked) == decode.LOOKED_AT == len(set(looked))
    assert (looked[0], looked[-1]) == (0, 100_000)
    colour_from = 90_000
    assert not decode.look_grey(paths)
    looked.clear()
    colour_from = 0
    assert not decode.look_grey(paths)
    assert looked == [0], "one picture in colour is enough"
    assert not decode.look_grey([Path("1")]), "unreadable ones say nothing"
    assert not decode.look_grey([])


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 setgray 0 0 8 8 rectfill showpage\n%%EOF\n"


def test_no_reader_that_starts_a_program_ever_opens_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands EPS to Ghostscript, whatever the file is called."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(EPS)

    def start(*given: object, **more: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", start)
    for reading in (Reading(), Reading(formats_with(MORE_FORMATS))):
        for read in (lambda r=reading: open_image(path, 3, r), lambda r=reading: probe(path, r)):
            with pytest.raises(ImageError, match="an EPS file, which only a program could draw"):
                read()
    for name in ("EPS", "WMF"):
        with pytest.raises(UsageError, match=f"--allow-format {name}: expected one of BLP"):
            formats_with([name])


def test_rare_formats_are_opened_where_the_user_allows_them(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", gradient(), format="DDS")
    with pytest.raises(ImageError, match="a DDS image; --allow-format DDS opens it"):
        open_image(path, 3)
    assert (open_image(path, 3, Reading(formats_with(["dds"]))) == np.asarray(gradient())).all()
