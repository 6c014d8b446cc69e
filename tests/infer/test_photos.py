"""Photos in, photos out: pixels, transparency and metadata."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, IptcImagePlugin, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from translate.data.decode import ImageError
from translate.data.values import WHOLE
from translate.errors import GantkError
from translate.infer.canvas import Canvas
from translate.infer.encode import unfit, write_photo
from translate.infer.kept import LONGEST_COMMENT, LONGEST_IPTC, Kept
from translate.infer.photos import Photo, read_photo
from translate.provenance import COMPOSITE
from translate.reading import Reading

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY = SRGB[:16] + b"GRAY" + SRGB[20:]
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")


def pixels(height: int, width: int, channels: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def written(format_: str, photo: Photo, **options: object) -> Image.Image:
    file = io.BytesIO()
    write_photo(file, format_, Canvas.of(photo.pixels), photo.alpha, photo.kept, **options)  # type: ignore[arg-type]
    image = Image.open(io.BytesIO(file.getvalue()))
    image.load()
    return image


def xmp_of(image: Image.Image) -> bytes:
    tags = getattr(image, "tag_v2", {})
    return image.info.get("xmp") or tags.get(700) or b""


def exif_photo(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    Image.fromarray(pixels(6, 9, 3)).save(path, exif=exif, icc_profile=SRGB, dpi=(300, 300), quality=100, subsampling=0)
    return path


@pytest.mark.parametrize("format_", FORMATS)
def test_metadata_travels_and_the_orientation_is_reset(tmp_path: Path, format_: str) -> None:
    photo = read_photo(exif_photo(tmp_path / "x.jpg", 6), 3)
    assert photo.pixels.shape == (9, 6, 3)
    image = written(format_, photo)
    assert image.size == (6, 9)
    exif = image.getexif()
    # Pillow turns a TIFF that has an orientation, and then takes the tag away.
    assert exif[0x0112] == 1 if 0x0112 in exif else format_ == "TIFF"
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
    assert image.info["icc_profile"] == SRGB
    if format_ != "WEBP":  # which has no field for it but EXIF
        assert np.allclose([float(dots) for dots in image.info["dpi"]], 300, atol=0.1)
    assert COMPOSITE.encode() in xmp_of(image)


def test_a_resolution_that_no_file_states_is_not_made_up(tmp_path: Path) -> None:
    for format_ in FORMATS:
        path = tmp_path / format_
        Image.fromarray(pixels(6, 9, 3)).save(path, format=format_)
        assert read_photo(path, 3).kept.dpi is None


@pytest.mark.parametrize("format_", FORMATS)
def test_strip_and_no_provenance_leave_nothing(tmp_path: Path, format_: str) -> None:
    image = written(format_, read_photo(exif_photo(tmp_path / "x.jpg", 3), 3, strip=True), source=None)
    assert not xmp_of(image)
    assert "icc_profile" not in image.info
    assert 0x010F not in image.getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(tmp_path: Path, orientation: int) -> None:
    upright = pixels(4, 7, 3)
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
    stored = Image.fromarray(upright)
    if turn is not None:
        undo = {0: 0, 1: 1, 2: 4, 3: 3, 4: 2, 5: 5, 6: 6}[turn]
        stored = stored.transpose(
            {0: Image.Transpose.FLIP_LEFT_RIGHT, 1: Image.Transpose.FLIP_TOP_BOTTOM, 2: Image.Transpose.ROTATE_270,
             3: Image.Transpose.ROTATE_180, 4: Image.Transpose.ROTATE_90, 5: Image.Transpose.TRANSPOSE,
             6: Image.Transpose.TRANSVERSE}[undo]
        )  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_photo(tmp_path / "x.png", 3).pixels, upright)


def test_the_photos_xmp_is_amended(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_itxt(
        "XML:com.adobe.xmp",
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="d" dc:title="Mine"/></rdf:RDF></x:xmpmeta>',
    )
    Image.fromarray(pixels(4, 4, 3)).save(tmp_path / "x.png", pnginfo=info)
    photo = read_photo(tmp_path / "x.png", 3)
    for format_ in FORMATS:
        xmp = xmp_of(written(format_, photo))
        assert b'dc:title="Mine"' in xmp
        assert COMPOSITE.encode() in xmp


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mask", [False, True])
def test_png_is_lossless(channels: int, mask: bool) -> None:
    if channels == 4 and mask:
        return
    image = pixels(301, 40, channels)
    alpha = pixels(301, 40, 1)[:, :, 0] if mask else None
    decoded = np.asarray(written("PNG", Photo(image, alpha)))
    whole = image if alpha is None else np.concatenate([image, alpha[:, :, None]], axis=2)
    assert np.array_equal(decoded.reshape(whole.shape), whole)


def test_png_in_bands_from_a_file_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.infer.canvas.BAND", 1000)
    image, alpha = pixels(80, 60, 3), pixels(40, 30, 1)[:, :, 0]
    spooled = Canvas(80, 60, 3, in_memory=0)
    for top in range(0, 80, 16):
        spooled.write(top, 0, image[top : top + 16])
    file = io.BytesIO()
    write_photo(file, "PNG", spooled, alpha, Kept())
    spooled.close()
    decoded = np.asarray(Image.open(file))
    assert np.array_equal(decoded[:, :, :3], image)
    # Bands of the enlarged alpha fit together as if it had been enlarged at once.
    enlarged = np.asarray(Image.fromarray(alpha).resize((60, 80), Image.Resampling.BICUBIC))
    assert np.array_equal(decoded[:, :, 3], enlarged)


def test_transparency_is_kept_or_laid_on_white(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[:2] = (200, 100, 50, 255)
    Image.fromarray(picture).save(tmp_path / "x.png")
    photo = read_photo(tmp_path / "x.png", 3)
    assert photo.alpha is not None
    for format_ in ("PNG", "WEBP", "TIFF"):
        image = written(format_, photo)
        assert image.mode == "RGBA"
        assert np.array_equal(np.asarray(image)[:, :, 3], picture[:, :, 3])
    file = io.BytesIO()
    notes = write_photo(file, "JPEG", Canvas.of(photo.pixels), photo.alpha, photo.kept)
    assert notes == ["jpeg has no transparency; it is laid on white"]
    assert np.asarray(Image.open(file))[3, 3].min() > 250
    assert (photo.pixels == (200, 100, 50)).all(), "hidden colours are those of the nearest visible pixels"
    assert read_photo(tmp_path / "x.png", 3, alpha=False).pixels[3, 3].tolist() == [255, 255, 255]
    assert written("WEBP", read_photo(tmp_path / "x.png", 1)).mode == "RGBA"
    assert written("PNG", read_photo(tmp_path / "x.png", 1)).mode == "LA"


def test_grey_stays_grey(tmp_path: Path) -> None:
    Image.fromarray(pixels(5, 5, 1)[:, :, 0]).save(tmp_path / "x.png")
    photo = read_photo(tmp_path / "x.png", 1)
    assert photo.pixels.shape == (5, 5, 1)
    for format_ in ("PNG", "JPEG", "TIFF"):
        assert written(format_, photo).mode == "L"


def test_a_profile_for_other_channels_is_left_out(tmp_path: Path) -> None:
    Image.fromarray(pixels(4, 4, 3)).save(tmp_path / "x.png", icc_profile=SRGB)
    assert read_photo(tmp_path / "x.png", 3).kept.icc == SRGB
    Image.fromarray(pixels(4, 4, 1)[:, :, 0]).save(tmp_path / "grey.png", icc_profile=GREY)
    left_out = ["its colour profile is for other channels and is left out"]

    def profile(channels: int, icc: bytes, format_: str, **options: bool) -> tuple[bytes | None, list[str]]:
        file = io.BytesIO()
        canvas = Canvas.of(pixels(4, 4, channels))
        notes = write_photo(file, format_, canvas, None, Kept(icc=icc), **options)  # type: ignore[arg-type]
        return Image.open(file).info.get("icc_profile"), notes

    for name, icc, right, wrong in (("x.png", SRGB, 3, 1), ("grey.png", GREY, 1, 3)):
        for channels in (1, 3):  # what the network takes says nothing of what it gives
            assert read_photo(tmp_path / name, channels).kept.icc == icc
        for format_ in ("PNG", "JPEG", "TIFF"):
            assert profile(right, icc, format_) == (icc, [])
            assert profile(wrong, icc, format_) == (None, left_out)
            if format_ != "JPEG":
                assert profile(right, icc, format_, indexed=True) == (None, left_out)
    assert profile(1, GREY, "WEBP") == (None, left_out)  # which stores grey as colours
    assert profile(4, SRGB, "WEBP") == (SRGB, [])


def test_a_raw_files_thumbnail_is_not_the_photo(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for kind in (0, 1):
        tags[254] = kind
        Image.fromarray(pixels(12, 16, 3)).save(tmp_path / f"{kind}.NEF", format="TIFF", tiffinfo=tags)
    assert read_photo(tmp_path / "0.NEF", 3).pixels.shape == (12, 16, 3)
    with pytest.raises(ImageError, match="a camera's raw file, of which only a thumbnail can be read; develop it"):
        read_photo(tmp_path / "1.NEF", 3)


def test_the_networks_own_transparency_wins(tmp_path: Path) -> None:
    photo = Photo(pixels(4, 4, 4), pixels(4, 4, 1)[:, :, 0] // 2)
    for format_ in ("PNG", "TIFF", "WEBP"):
        image = written(format_, photo, lossless=True)
        assert image.mode == "RGBA"
        assert np.array_equal(np.asarray(image), photo.pixels)
    assert written("JPEG", photo).mode == "RGB"


@pytest.mark.parametrize("alpha", [False, True])
def test_a_lossless_webp_is_told_from_a_lossy_one(tmp_path: Path, alpha: bool) -> None:
    picture = Image.fromarray(pixels(20, 20, 4 if alpha else 3))
    for lossless in (False, True):
        picture.save(tmp_path / "x.webp", lossless=lossless, exact=True, icc_profile=SRGB if alpha else None)
        assert read_photo(tmp_path / "x.webp", 3).lossless == lossless
        picture.save(tmp_path / "moves.webp", lossless=lossless, save_all=True, append_images=[picture.rotate(90)])
        assert read_photo(tmp_path / "moves.webp", 3).lossless == lossless
    photo = read_photo(tmp_path / "x.webp", 4)
    assert np.array_equal(np.asarray(written("WEBP", photo, lossless=True).convert("RGBA")), photo.pixels)
    picture.save(tmp_path / "x.png")
    assert not read_photo(tmp_path / "x.png", 3).lossless


IIM = b"\x1c\x02\x74\0\x0b(c) Jane D.\x1c\x02\x78\0\x07Caption"


def test_iptc_and_comments_are_carried_or_said_to_be_left_out(tmp_path: Path) -> None:
    resource = b"8BIM\x04\x04\0\0" + len(IIM).to_bytes(4, "big") + IIM
    assert len(IIM) % 2 == 0
    for iptc in (IIM, IIM + b"."):
        kept = Kept(iptc=iptc, comment=b"hello")
        file = io.BytesIO()
        assert write_photo(file, "JPEG", Canvas.of(pixels(4, 4, 3)), None, kept) == []
        (tmp_path / "x.jpg").write_bytes(file.getvalue())
        assert read_photo(tmp_path / "x.jpg", 3).kept == replace(kept, xmp=read_photo(tmp_path / "x.jpg", 3).kept.xmp)
    extra = b"\xff\xed" + (len(resource) + 16).to_bytes(2, "big") + b"Photoshop 3.0\0" + resource
    Image.fromarray(pixels(4, 4, 3)).save(tmp_path / "x.jpg", extra=extra, comment=b"hello")
    photo = read_photo(tmp_path / "x.jpg", 3)
    assert photo.kept == Kept(iptc=IIM, comment=b"hello")
    assert read_photo(tmp_path / "x.jpg", 3, strip=True).kept == Kept()
    image = written("JPEG", photo)
    assert IptcImagePlugin.getiptcinfo(image) == {(2, 116): b"(c) Jane D.", (2, 120): b"Caption"}
    assert image.info["comment"] == b"hello"
    assert COMPOSITE.encode() in xmp_of(image)
    iptc_left, comment_left = "its IPTC block (caption, copyright) has no room in", "its comment has no room in"
    for format_, left in (("PNG", 2), ("WEBP", 2), ("TIFF", 1), ("BMP", 2)):
        notes = write_photo(file := io.BytesIO(), format_, Canvas.of(photo.pixels), None, photo.kept)
        said = [f"{what} {format_.lower()} and is left out" for what in (iptc_left, comment_left)]
        assert notes[:left] == said[-left:]
        if format_ == "TIFF":
            (tmp_path / "x.tif").write_bytes(file.getvalue())
            assert read_photo(tmp_path / "x.tif", 3).kept.iptc == IIM
    Image.fromarray(pixels(4, 4, 3)).save(tmp_path / "x.jp2")
    Image.fromarray(pixels(4, 4, 3)).save(tmp_path / "x.gif", comment=b"hello")
    assert [read_photo(tmp_path / name, 3).kept.comment for name in ("x.jp2", "x.gif")] == [None, b"hello"]
    long = Kept(iptc=bytes(70_000), comment=bytes(70_000))
    assert len(write_photo(io.BytesIO(), "JPEG", Canvas.of(photo.pixels), None, long)) == 2
    written("JPEG", Photo(photo.pixels, None, Kept(iptc=b"x" * LONGEST_IPTC, comment=b"x" * LONGEST_COMMENT)))


def test_too_much_metadata_for_a_jpeg_is_said() -> None:
    kept = Kept(exif=b"Exif\0\0" + bytes(70_000), xmp=b"<rdf:RDF>" + b" " * 70_000 + b"</rdf:RDF>")
    file = io.BytesIO()
    notes = write_photo(file, "JPEG", Canvas.of(pixels(4, 4, 3)), None, kept)
    assert [note.split(" is")[0] for note in notes] == [
        "its XMP cannot be carried over and",
        "its EXIF block",
    ] or len(notes) == 2
    assert COMPOSITE.encode() in xmp_of(Image.open(file))


def test_bmp_says_that_it_says_nothing() -> None:
    file = io.BytesIO()
    assert "no metadata" in write_photo(file, "BMP", Canvas.of(pixels(4, 4, 3)), None, Kept())[0]


def test_what_a_format_cannot_hold_becomes_png() -> None:
    fits = {"alpha": False, "indexed": False, "explicit": False}
    assert unfit("JPEG", 100, 100, **fits) is None
    assert "too large for webp" in (unfit("WEBP", 16_384, 10, **fits) or "")
    assert "too large to be written at once" in (unfit("BMP", 20_000, 20_000, **fits) or "")
    for format_ in ("TIFF", "NPY"):
        assert unfit(format_, 20_000, 20_000, channels=7, **fits) is None
    with pytest.raises(GantkError, match="5 channels do not fit into png; expected --format tiff or npy"):
        unfit("PNG", 9, 9, channels=5, **fits)
    assert "8 bits alone" in (unfit("PPM", 9, 9, numbers=WHOLE[16], **fits) or "")
    assert unfit("JPEG", 9, 9, numbers=WHOLE[16], **fits | {"explicit": True}) is None
    assert "no transparency" in (unfit("BMP", 9, 9, **fits | {"alpha": True}) or "")
    assert unfit("JPEG", 9, 9, **fits | {"alpha": True, "explicit": True}) is None
    assert "class indices" in (unfit("JPEG", 9, 9, **fits | {"indexed": True}) or "")
    assert unfit("PNG", 10**6, 10**6, **fits) is None


def test_a_broken_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8\xff\xe0nonsense")
    with pytest.raises(ImageError):
        read_photo(tmp_path / "x.jpg", 3)
    Image.fromarray(pixels(9, 9, 3)).save(tmp_path / "big.png")
    with pytest.raises(ImageError, match="it has 81 pixels, more than the limit of 80"):
        read_photo(tmp_path / "big.png", 3, reading=Reading(max_pixels=80))
    Image.new("L", (9, 9), 1).save(tmp_path / "map.png")
    with pytest.raises(ImageError, match="it has 81 pixels, more than the limit of 80"):
        read_photo(tmp_path / "map.png", 2, reading=Reading(max_pixels=80), indexed=True)


@pytest.mark.parametrize("format_", ["JPEG", "WEBP"])
def test_metadata_that_cannot_be_written_never_costs_the_picture(format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    save = Image.Image.save

    def picky(image: Image.Image, file: object, format: str, **given: object) -> None:
        if given.get("exif"):
            file.write(b"half of it")  # type: ignore[attr-defined]
            raise ValueError("exif of no use")
        save(image, file, format=format, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", picky)
    file = io.BytesIO()
    notes = write_photo(file, format_, Canvas.of(pixels(8, 8, 3)), None, Kept(exif=b"Exif\0\0II*\0"))
    assert notes == [f"its metadata cannot be written as {format_.lower()}, and is left out"]
    image = Image.open(file)
    assert image.size == (8, 8)
    assert COMPOSITE.encode() in xmp_of(image)
