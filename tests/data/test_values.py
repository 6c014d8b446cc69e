"""The rule of what numbers mean, against files that other libraries wrote."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from translate.data.alpha import filled
from translate.data.decode import ImageError, luma, open_file, open_image, probe
from translate.data.index_maps import open_index_map
from translate.data.transforms import Fit, Reader, resize, to_tensor
from translate.data.values import WHOLE, to_numbers, to_pixels
from translate.errors import UsageError
from translate.reading import Percentiles, Reading, parse_range, parse_ranges

RNG = np.random.default_rng(0)


def numbers(kind: str, *shape: int) -> np.ndarray:
    """Random numbers over all that the rule gives a type: 0 to 1 for floats."""
    if np.dtype(kind).kind == "f":
        return RNG.random(shape).astype(kind)
    return RNG.integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_of_every_type(tmp_path: Path, kind: str, bands: int, big: bool) -> None:
    values = numbers(kind, 9, 7, bands)
    path = tmp_path / "x.tif"
    photometric = "rgb" if bands == 3 else "minisblack"
    tifffile.imwrite(path, values, photometric=photometric, bigtiff=big, byteorder=">" if big else "<")
    assert probe(path)[:2] == (7, 9)
    with open_file(path) as opened:
        decoded = opened.decode(bands)
    white = 1.0 if values.dtype.kind == "f" else float(np.iinfo(kind).max)
    if kind in ("uint8", "uint16"):
        assert decoded.pixels.dtype == kind
        assert np.array_equal(decoded.pixels, values)
    else:
        assert np.abs(decoded.pixels - values / white).max() <= 1e-7
    back = to_numbers(decoded.pixels, decoded.numbers)
    assert back.dtype == kind
    assert np.allclose(back / white, values / white, rtol=0, atol=1e-7)


@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd", "packbits"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_compressed_and_planar_tiff(tmp_path: Path, compression: str, planar: Any) -> None:
    values = numbers("uint16", 40, 33, 3)
    stored = values if planar == "contig" else values.transpose(2, 0, 1)
    predictor = compression in ("lzw", "deflate", "zstd")
    tifffile.imwrite(
        tmp_path / "x.tif", stored, photometric="rgb", planarconfig=planar, compression=compression, predictor=predictor
    )
    assert np.array_equal(open_image(tmp_path / "x.tif", 3), values)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_white_is_zero(tmp_path: Path, kind: str) -> None:
    values = numbers(kind, 5, 6)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="miniswhite")
    black = open_image(tmp_path / "x.tif", 1)[:, :, 0]
    white = 1 if kind == "float32" else np.iinfo(kind).max
    assert np.allclose(black, white - values, atol=1e-6)


def test_bits_that_fill_no_byte(tmp_path: Path) -> None:
    tags = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 3)]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    path = tmp_path / "12.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 12) + bytes([0xFF, 0xF8, 0x00]) + b"\0" + directory)  # 4095, 2048
    assert open_image(path, 1)[0, :, 0].tolist() == [65535, round(2048 * 65535 / 4095)]
    path = tmp_path / "10.pgm"
    path.write_bytes(b"P5\n# a comment\n2 1\n1023\n" + struct.pack(">HH", 1023, 512))
    assert open_image(path, 1)[0, :, 0].tolist() == [65535, round(512 * 65535 / 1023)]
    path = tmp_path / "16.ppm"
    values = numbers("uint16", 3, 4, 3)
    path.write_bytes(b"P6 4 3 65535\n" + values.astype(">u2").tobytes())
    assert np.array_equal(open_image(path, 3), values)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ImageError, match="expected 36 numbers"):
        open_image(path, 3)


def png(depth: int, colour: int, rows: bytes, width: int, height: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG by the letter of its specification; ``rows`` without their filter bytes."""
    each = len(rows) // height
    raw = b"".join(b"\0" + rows[row * each : (row + 1) * each] for row in range(height))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(("colour", "bands"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits_keeps_all_of_them(tmp_path: Path, colour: int, bands: int) -> None:
    values = np.maximum(numbers("uint16", 6, 5, bands), 1)
    path = tmp_path / "x.png"
    path.write_bytes(png(16, colour, values.astype(">u2").tobytes(), 5, 6))
    channels = 1 if bands < 3 else 3
    with open_file(path) as opened:
        decoded = opened.decode(channels)
    assert np.array_equal(decoded.pixels, values[:, :, :channels])
    if bands % 2:
        assert decoded.alpha is None
    else:
        assert decoded.alpha is not None
        assert np.array_equal(decoded.alpha, values[:, :, -1])
        rgba = open_image(path, 4)
        assert np.array_equal(rgba[:, :, 3], values[:, :, -1])


def test_a_transparent_value_of_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(16, 0, struct.pack(">HH", 7, 25700), 2, 1, (b"tRNS", struct.pack(">H", 7))))
    assert open_image(path, 4)[0].tolist() == [[25700, 25700, 25700, 0], [25700, 25700, 25700, 65535]]


def test_jpeg_2000_of_16_bits(tmp_path: Path) -> None:
    values = numbers("uint16", 32, 40, 3)
    (tmp_path / "x.jp2").write_bytes(imagecodecs.jpeg2k_encode(values, level=0, reversible=True))
    assert np.array_equal(open_image(tmp_path / "x.jp2", 3), values)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_npy(tmp_path: Path, kind: str, bands: int) -> None:
    values = numbers(kind, 6, 7, bands)
    np.save(tmp_path / "x.npy", values)
    assert probe(tmp_path / "x.npy")[:2] == (7, 6)
    assert np.array_equal(open_image(tmp_path / "x.npy", bands), values)


def test_an_array_that_runs_something_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(ImageError, match="Python objects"):
        open_image(tmp_path / "x.npy", 1)
    np.save(tmp_path / "y.npy", np.zeros((2, 3, 4, 5)))
    with pytest.raises(ImageError, match=r"shape \(2, 3, 4, 5\); expected \(height, width\)"):
        probe(tmp_path / "y.npy")


def test_bands_are_counted_and_never_taken_for_transparency(tmp_path: Path) -> None:
    values = numbers("uint8", 6, 7, 5)
    path = tmp_path / "x.tif"
    for bands, unnamed in ((4, True), (5, True), (4, False), (5, False)):
        extra = ["unspecified"] * (bands - 3)
        tifffile.imwrite(path, values[:, :, :bands], photometric="rgb", planarconfig="contig", extrasamples=extra)
        if unnamed:  # the tag of the extra bands becomes one that says nothing
            path.write_bytes(path.read_bytes().replace(struct.pack("<HH", 338, 3), struct.pack("<HH", 337, 3), 1))
        assert np.array_equal(open_image(path, bands), values[:, :, :bands])
        with pytest.raises(ImageError, match=rf"it has {bands} bands \(RGB and {bands - 3} more\); expected 3"):
            open_image(path, 3)
    tifffile.imwrite(path, values[:, :, :4], photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(open_image(path, 3), filled(values[:, :, :3], values[:, :, 3]))
    Image.fromarray(values[:, :, :3]).save(tmp_path / "x.png")
    with pytest.raises(ImageError, match="it has 3 channels; expected 5"):
        open_image(tmp_path / "x.png", 5)
    half = np.full((2, 2, 4), 100, np.uint16)
    half[..., 3] = 32768
    tifffile.imwrite(path, half, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(open_image(path, 4)[0, 0].astype(int) - (200, 200, 200, 32768)).max() <= 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[0.0, 1.2]], np.float32), r"its numbers go from 0 to 1\.2; expected 0 .* or --range"),
        (np.array([[-0.5, 1.0]], np.float32), r"from -0\.5 to 1; expected 0"),
        (np.array([[np.nan, 1.0]], np.float32), "not finite"),
        (np.array([[-5, 70]], np.int16), r"signed numbers \(int16\) have no agreed black and white"),
        (np.array([[1j, 1]], np.complex64), "complex64"),
    ],
)
def test_what_has_no_meaning_is_refused_rather_than_guessed(tmp_path: Path, values: np.ndarray, reason: str) -> None:
    np.save(tmp_path / "x.npy", values)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="minisblack")
    for name in ("x.npy", "x.tif"):
        with pytest.raises(ImageError, match=reason):
            open_image(tmp_path / name, 1)


def test_a_range_says_what_black_and_white_are(tmp_path: Path) -> None:
    hounsfield = np.array([[-1500, -1000, 1000, 3000, 3500]], np.int16)
    tifffile.imwrite(tmp_path / "ct.tif", hounsfield, photometric="minisblack")
    reading = Reading(range=(-1000, 3000))
    with open_file(tmp_path / "ct.tif", reading) as opened:
        decoded = opened.decode(1)
    assert np.allclose(decoded.pixels[0, :, 0], [0, 0, 0.5, 1, 1])
    assert to_numbers(decoded.pixels, decoded.numbers)[0, :, 0].tolist() == [-1000, -1000, 1000, 3000, 3000]
    tensor = to_tensor(decoded.pixels)
    assert tensor.dtype == torch.float32
    assert torch.allclose(tensor[0, 0], torch.tensor([-1.0, -1, 0, 1, 1]))
    Image.fromarray(np.array([[0, 64, 128]], np.uint8)).save(tmp_path / "x.png")
    assert np.allclose(open_image(tmp_path / "x.png", 1, Reading(range=(0, 128)))[0, :, 0], [0, 0.5, 1])
    with pytest.raises(ImageError, match=r"numbers of type uint8 never reach -1000\.\.3000"):
        open_image(tmp_path / "x.png", 1, reading)


def test_ranges_are_parsed() -> None:
    assert parse_range("0..4095") == (0, 4095)
    assert parse_range("-1e3..+3000.5") == (-1000, 3000.5)
    assert parse_range("1%..99.5%") == Percentiles(1, 99.5)
    assert parse_ranges(["a=0..1", "b=2..3"]) == {"a": (0, 1), "b": (2, 3)}
    for text in ("", "1", "0..", "3..1", "1..1", "0..5%", "-1%..5%", "0..101%", "0..1e999", "nan..1"):
        with pytest.raises(UsageError, match="--range"):
            parse_range(text)
    with pytest.raises(UsageError, match="have a range already"):
        parse_ranges(["0..1", "0..2"])


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_resize_keeps_type_and_planes_apart(kind: str) -> None:
    image = numbers(kind, 12, 10, 4)
    white = 1.0 if kind == "float32" else float(np.iinfo(kind).max)
    small = resize(image, 5, 6)
    assert small.dtype == kind
    for plane in range(4):
        reference = Image.fromarray(image[:, :, plane].astype(np.float32)).resize((5, 6), Image.Resampling.BICUBIC)
        off = small[:, :, plane] / white - np.clip(np.asarray(reference) / white, 0, 1)
        assert np.abs(off).max() <= (1 / 255 if kind == "uint8" else 1e-4)


def test_deep_pictures_reach_tensors_at_their_depth(tmp_path: Path) -> None:
    ramp = np.arange(256 * 256, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    pixels = Reader(1, Fit("none", 16, 16))(tmp_path / "ramp.png")
    assert len(np.unique(to_tensor(pixels).numpy())) == 65536


def test_hidden_colours_are_those_of_the_nearest_visible_pixels(tmp_path: Path) -> None:
    image = np.zeros((5, 9, 4), np.uint8)
    image[2, 1] = (200, 10, 10, 255)
    image[2, 7] = (10, 10, 200, 1)
    image[0, 0, :3] = 255  # white, but unseen
    Image.fromarray(image).save(tmp_path / "x.png")
    for channels in (3, 4):
        seen = open_image(tmp_path / "x.png", channels)[..., :3]
        assert (seen[:, :4] == (200, 10, 10)).all()
        assert (seen[:, 5:] == (10, 10, 200)).all()
    white = open_image(tmp_path / "x.png", 3, Reading(hidden="white"))
    assert (white[0] == 255).all()
    assert white[2, 1].tolist() == [200, 10, 10]
    assert white[2, 7].tolist() == [254, 254, 255]
    Image.fromarray(np.zeros((3, 3, 4), np.uint8)).save(tmp_path / "none.png")
    assert (open_image(tmp_path / "none.png", 3) == 255).all()


def test_a_png_with_a_wrong_checksum_is_damaged(tmp_path: Path) -> None:
    for depth in (8, 16):
        whole = png(depth, 2, RNG.bytes(9 * 7 * 3 * depth // 8), 9, 7)
        (tmp_path / "x.png").write_bytes(whole)
        open_image(tmp_path / "x.png", 3)
        broken = bytearray(whole)
        broken[-16] ^= 1  # the checksum of the pixels
        (tmp_path / "x.png").write_bytes(broken)
        with pytest.raises(ImageError, match="a damaged PNG: its part 'IDAT' has a wrong checksum"):
            open_image(tmp_path / "x.png", 3)
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(buffer := io.BytesIO(), "PNG")
        broken = bytearray(buffer.getvalue())
        broken[-16] ^= 1
        (tmp_path / "map.png").write_bytes(broken)
        with pytest.raises(ImageError, match="wrong checksum"):
            open_index_map(tmp_path / "map.png", 2)


def test_damaged_headers_are_refused_in_words(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((5, 7)))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-9])
    (tmp_path / "x.tif").write_bytes(b"II*\0\xff\xff\xff\xff")
    for name, reason in (("x.npy", "the array is cut off"), ("x.tif", "a damaged TIFF")):
        with pytest.raises(ImageError, match=reason):
            open_image(tmp_path / name, 1)
    tifffile.imwrite(tmp_path / "x.tif", numbers("uint16", 40, 40, 3), photometric="rgb", compression="lzw")
    whole = (tmp_path / "x.tif").read_bytes()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        broken = bytearray(whole)
        for place in rng.integers(0, 600, 3):
            broken[place] = rng.integers(256)
        (tmp_path / "x.tif").write_bytes(broken[: rng.integers(100, len(broken))] if seed % 3 == 0 else broken)
        with suppress(ImageError):
            assert open_image(tmp_path / "x.tif", 3, Reading(max_pixels=1 << 20)).ndim == 3


def test_a_range_of_numbers_that_pillow_spreads_is_refused(tmp_path: Path) -> None:
    Image.new("1", (4, 4), 1).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(png(2, 0, b"\xe4", 4, 1))
    for name in ("1.png", "2.png"):
        with pytest.raises(ImageError, match="less than 8 bits, to which a --range does not apply"):
            open_image(tmp_path / name, 1, Reading(range=(0, 1)))
    values = np.array([[217, 50]], np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="miniswhite")
    assert np.allclose(open_image(tmp_path / "x.tif", 1, Reading(range=(0, 100)))[0, :, 0], [0, 0.5])


@pytest.mark.parametrize(
    "convert",
    [
        lambda deep: to_numbers(deep, WHOLE[8]),
        lambda deep: to_pixels(deep, 16, (0.0, 4095.0))[0],
        lambda deep: to_pixels(deep.astype(np.uint32), 32, None)[0],
        luma,
    ],
)
def test_conversions_take_little_more_than_their_results(convert: Callable[[np.ndarray], np.ndarray]) -> None:
    deep = numbers("u2", 2000, 1000, 3)
    tracemalloc.start()
    result = convert(deep)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < result.nbytes + 2 * deep.nbytes + (32 << 20)
    assert np.array_equal(convert(deep[1500:]), result[1500:])
