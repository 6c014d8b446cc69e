"""What a result keeps of its photo: counted in its own pixels, pointing to nothing that it lacks."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from infer_fakes import publish
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from torch import nn

from translate.infer.folder import Summary, infer
from translate.infer.options import InferOptions
from translate.infer.photos import read_photo

RNG = np.random.default_rng(0)
ADOBE = imagecodecs.cms_profile("adobergb")


def pixels(height: int = 12, width: int = 18) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def doubled(photo: Path, scale: int = 2, channels: int = 3, **options: Any) -> tuple[Path, Summary]:
    """The photo's result from a network that repeats each pixel."""
    out = photo.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    model = publish(nn.Upsample(scale_factor=scale), scale=scale, channels=(channels, channels))
    summary = infer(model, [photo], out, InferOptions(device="cpu", overwrite=True, **options))
    assert summary.failures == []
    return next(iter(out.iterdir())), summary


def opened(path: Path) -> Image.Image:
    """The picture, read to its end."""
    with Image.open(path) as image:
        image.load()
        for tag in (0x8769, 0x8825):
            image.getexif().get_ifd(tag)
        return image


def tags_of(path: Path) -> dict[int, Any]:
    with tifffile.TiffFile(path) as file:
        return {tag.code: tag.value for tag in file.pages[0].tags}


def ground(tags: dict[int, Any], column: float, row: float) -> tuple[float, float]:
    """Where a pixel lies, by the letter of the GeoTIFF specification."""
    if 34264 in tags:
        m = tags[34264]
        return m[0] * column + m[1] * row + m[3], m[4] * column + m[5] * row + m[7]
    i, j, _, x, y, _ = tags[33922][:6]
    return x + (column - i) * tags[33550][0], y - (row - j) * tags[33550][1]


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize("matrix", [False, True])
def test_a_result_lies_where_its_photo_lay(tmp_path: Path, kind: str, points: bool, matrix: bool) -> None:
    keys = (1, 1, 0, 2, 1024, 0, 1, 1, 1025, 0, 1, 2 if points else 1)
    place: list[tuple[int, int, int, Any, bool]] = [(34735, 3, len(keys), keys, True)]
    if matrix:
        m = (3.0, 0.5, 0.0, 5e5, 0.25, -3.0, 0.0, 4e6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
        place.append((34264, 12, 16, m, True))
    else:
        place += [(33550, 12, 3, (3.0, 3.0, 0.0), True), (33922, 12, 6, (2.0, 1.0, 0.0, 5e5, 4e6, 0.0), True)]
    place.append((42113, 2, 5, "-9999", True))
    values = pixels() if kind == "uint8" else RNG.random((12, 18, 3)).astype(np.float32)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", extratags=place, metadata=None)
    result, _ = doubled(tmp_path / "x.tif")
    before, after = tags_of(tmp_path / "x.tif"), tags_of(result)
    for column, row in ((0.0, 0.0), (7.0, 3.0)):
        half = 0.5 if points else 0.0
        there = ground(after, (column + half) * 2 - half, (row + half) * 2 - half)
        assert there == pytest.approx(ground(before, column, row), abs=1e-6)
    assert after[34735] == keys
    assert after[42113] == "-9999"
    stripped, _ = doubled(tmp_path / "x.tif", strip_location=True)
    assert not {33550, 33922, 34264, 34735} & set(tags_of(stripped))


def test_resolutions_and_sizes_are_of_the_result(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[282], exif[283], exif[296], exif[271] = 300.0, 150.0, 2, "Maker"
    exif[0x0112] = 6
    exif[0x8769] = {
        0xA002: 18,
        0xA003: 12,
        0xA20E: 1000.0,
        0xA20F: 500.0,
        0x9214: (9, 6),
        0x9003: "2020:01:01 00:00:00",
    }
    exif[0x8825] = {1: "N", 2: (50.0, 1.0, 2.0)}
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" tiff:ImageWidth="18" tiff:XResolution="300/1" exif:GPSLatitude="50,1N" '
        b'GPano:FullPanoWidthPixels="100" hdrgm:Version="1.0" dc:title="Mine"><tiff:ImageLength>12</tiff:ImageLength>'
        b"<Container:Directory><rdf:Seq><rdf:li>gain map</rdf:li></rdf:Seq></Container:Directory>"
        b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    Image.fromarray(pixels()).save(tmp_path / "x.jpg", exif=exif, xmp=xmp, dpi=(300, 150))
    for format_ in ("jpg", "png", "tiff"):
        result, summary = doubled(tmp_path / "x.jpg", format=format_)
        image = opened(result)
        assert image.size == (24, 36)
        kept = image.getexif()
        assert (kept[282], kept[283]) == (300, 600), "turned, and twice as many pixels to the inch"
        own = kept.get_ifd(0x8769)
        assert (own[0xA002], own[0xA003]) == image.size
        assert (own[0xA20E], own[0xA20F]) == (1000, 2000)
        assert 0x9214 not in own
        assert own[0x9003] == "2020:01:01 00:00:00"
        assert np.allclose([float(dots) for dots in image.info["dpi"]], (300, 600), atol=0.1)
        text = kept[700] if format_ == "tiff" else image.info["xmp"]
        for part in (b'tiff:ImageWidth="24"', b'XResolution="600/1"', b'WidthPixels="200"', b"h>36</", b'title="Mine"'):
            assert part in text
        assert b"hdrgm" not in text
        assert b"gain map" not in text
        assert kept.get_ifd(0x8825)[2] == (50.0, 1.0, 2.0)
        assert any("its XMP points to a gain map" in note for note in summary.notes)
        assert any("SubjectArea" in note for note in summary.notes)
        result, _ = doubled(tmp_path / "x.jpg", format=format_, strip_location=True)
        image = opened(result)
        assert not image.getexif().get_ifd(0x8825)
        assert image.getexif()[271] == "Maker"
        assert b"GPS" not in (image.getexif()[700] if format_ == "tiff" else image.info["xmp"])


def test_pictures_beside_the_photo_are_said_to_be_left_out(tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "x.jpg", quality=95)
    whole = (tmp_path / "x.jpg").read_bytes()
    part = b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"
    segment = b"\xff\xe2" + (len(part) + 2).to_bytes(2, "big") + part
    (tmp_path / "x.jpg").write_bytes(whole[:2] + segment + whole[2:])
    _, summary = doubled(tmp_path / "x.jpg", scale=1)
    assert summary.notes == {"its gain map cannot be carried over and is left out": 1}
    tifffile.imwrite(tmp_path / "planes.tif", pixels(), photometric="rgb", metadata={"axes": "YXS"})
    _, summary = doubled(tmp_path / "planes.tif", scale=1, format="tiff")
    assert "its description counts the file's pixels and planes, and is left out" in summary.notes


def test_words_in_a_png_are_kept_or_missed(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("parameters", "a cat, steps: 20")
    info.add_itxt("workflow", '{"title": "日本"}')
    info.add(b"gAMA", (100_000).to_bytes(4, "big"))
    Image.fromarray(pixels()).save(tmp_path / "x.png", pnginfo=info)
    result, summary = doubled(tmp_path / "x.png")
    image = opened(result)
    assert image.text["parameters"] == "a cat, steps: 20"
    assert image.text["workflow"] == '{"title": "日本"}'
    assert image.info["gamma"] == 1.0
    assert summary.notes == {}
    _, summary = doubled(tmp_path / "x.png", format="jpg")
    assert summary.notes == {"its text (parameters, workflow) has no room in jpeg and is left out": 1}


def test_a_tag_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    values = pixels()
    tifffile.imwrite(
        tmp_path / "big.tif",
        values,
        photometric="rgb",
        bigtiff=True,
        metadata=None,
        extratags=[(65000, 16, 1, 1 << 40, True), (271, 2, 6, "Maker", True)],
    )
    for format_ in ("tiff", "png", "jpg"):
        result, summary = doubled(tmp_path / "big.tif", scale=1, format=format_)
        image = opened(result)
        assert image.getexif()[271] == "Maker"
        assert any("65000 cannot be written" in note for note in summary.notes)
        if format_ != "jpg":
            assert np.array_equal(np.asarray(image), values)


def test_strip_converts_what_it_takes_the_profile_of(tmp_path: Path) -> None:
    values = pixels()
    Image.fromarray(values).save(tmp_path / "x.png", icc_profile=ADOBE)
    kept = read_photo(tmp_path / "x.png", 3)
    assert np.array_equal(kept.pixels, values)
    assert kept.kept.icc == ADOBE
    expected = ImageCms.profileToProfile(
        Image.fromarray(values),
        ImageCms.ImageCmsProfile(io.BytesIO(ADOBE)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.PERCEPTUAL,
    )
    stripped = read_photo(tmp_path / "x.png", 3, strip=True)
    assert stripped.kept.icc is None
    assert np.abs(stripped.pixels.astype(int) - np.asarray(expected)).max() <= 2
    tifffile.imwrite(tmp_path / "16.tif", values.astype(np.uint16) * 257, photometric="rgb", iccprofile=ADOBE)
    deep = read_photo(tmp_path / "16.tif", 3, strip=True)
    assert np.abs(deep.pixels / 257 - np.asarray(expected)).mean() <= 0.5  # 8 bits are coarse where it is dark
    assert read_photo(tmp_path / "16.tif", 3).kept.icc == ADOBE
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(values).save(tmp_path / "s.png", icc_profile=srgb)
    assert np.array_equal(read_photo(tmp_path / "s.png", 3, strip=True).pixels, values)


def test_prints_go_through_their_profile_or_it_is_said(tmp_path: Path) -> None:
    cmyk = Image.fromarray(RNG.integers(0, 256, (8, 8, 4), dtype=np.uint8), "CMYK")
    cmyk.save(tmp_path / "x.tif")
    photo = read_photo(tmp_path / "x.tif", 3)
    assert photo.notes == ["CMYK without a colour profile: its colours are a guess"]
    cmyk.save(tmp_path / "bad.tif", icc_profile=b"\0" * 200)
    assert read_photo(tmp_path / "bad.tif", 3).notes[0].startswith("CMYK with a damaged colour profile")


def test_a_colour_photo_through_one_channel_is_said(tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "x.png")
    assert read_photo(tmp_path / "x.png", 1).notes == ["in colour, but the network takes one channel: its luma"]
