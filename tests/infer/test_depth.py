"""Depth, bands and ranges from photo to result, with a network that changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from infer_fakes import publish
from PIL import Image
from torch import nn

from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.summary import Summary
from translate.modelfile.model import Published

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)


def identity(channels: int, **data: Any) -> Published:
    model = publish(nn.Identity(), channels=(channels, channels))
    return replace(model, card=replace(model.card, data=replace(model.card.data, **data)))


def run(model: Published, photo: Path, out: Path, **options: Any) -> Summary:
    return infer(model, [photo], out, InferOptions(device="cpu", **options))


@pytest.mark.parametrize("tile", ["auto", "128"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_a_ramp_of_16_bits_keeps_all_its_levels(tmp_path: Path, suffix: str, channels: int, tile: str) -> None:
    values = RAMP if channels == 1 else np.stack([RAMP, RAMP.T, RAMP[::-1]], 2)
    photo = tmp_path / f"x{suffix}"
    match suffix:
        case ".png":
            photo.write_bytes(imagecodecs.png_encode(values))
        case ".tif":
            tifffile.imwrite(photo, values, photometric="rgb" if channels == 3 else "minisblack")
        case _:
            np.save(photo, values)
    summary = run(identity(channels), photo, tmp_path / "out", tile=tile)
    assert (summary.done, summary.failures) == (1, [])
    result = tmp_path / "out" / photo.name
    read = {".png": lambda: imagecodecs.png_decode(result.read_bytes()), ".tif": lambda: tifffile.imread(result)}
    back = read.get(suffix, lambda: np.load(result))()
    assert back.dtype == np.uint16
    assert np.array_equal(back.reshape(values.shape), values)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "uint32"])
@pytest.mark.parametrize("bands", [1, 3, 4, 7])
def test_floats_and_bands_come_back_as_they_were(tmp_path: Path, kind: str, bands: int) -> None:
    values = np.random.default_rng(0).random((20, 30, bands))
    values = (values * 4e9).astype(kind) if kind == "uint32" else values.astype(kind)
    photometric = "rgb" if bands == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "x.tif", values, photometric=photometric, planarconfig="contig" if bands > 1 else None)
    np.save(tmp_path / "x.npy", values)
    for name in ("x.tif", "x.npy"):
        summary = run(identity(bands), tmp_path / name, tmp_path / "out")
        assert summary.failures == []
        result = tmp_path / "out" / name
        back = tifffile.imread(result) if name == "x.tif" else np.load(result)
        assert back.dtype == kind
        scale = 4294967295 if kind == "uint32" else 1
        assert np.allclose(back.reshape(values.shape) / scale, values / scale, atol=1e-3 if kind == "float16" else 2e-7)
    with tifffile.TiffFile(tmp_path / "out" / "x.tif") as file:
        assert 700 in file.pages[0].tags, "it says that a model made it"
        kinds = [int(kind) for kind in file.pages[0].extrasamples]
    assert kinds == [0] * (bands - (3 if bands == 3 else 1))
    if bands == 4:
        summary = run(identity(bands), tmp_path / "x.npy", tmp_path / "out", format="png")
        assert "4 channels do not fit into png" in summary.failures[0][1]


def test_bits_override(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "16.png")
    Image.fromarray((RAMP >> 8).astype(np.uint8)).save(tmp_path / "8.png")
    for name, bits, kind in (("16.png", 8, np.uint8), ("8.png", 16, np.uint16)):
        assert run(identity(1), tmp_path / name, tmp_path / "out", bits=bits).done == 1
        assert imagecodecs.png_decode((tmp_path / "out" / name).read_bytes()).dtype == kind
    assert run(identity(1), tmp_path / "16.png", tmp_path / "out", bits=32, format="tiff").done == 1
    floats = tifffile.imread(tmp_path / "out" / "16.tiff")
    assert floats.dtype == np.float32
    assert np.allclose(floats, RAMP / 65535, atol=1e-6)
    summary = run(identity(1), tmp_path / "16.png", tmp_path / "out", format="jpg")
    assert list(summary.notes) == ["jpeg holds 8 bits per channel, so it is reduced to 8"]


def test_the_models_range_holds_and_the_users_overrides(tmp_path: Path) -> None:
    values = np.linspace(-1000, 3000, 600).reshape(20, 30).astype(np.int16)
    tifffile.imwrite(tmp_path / "ct.tif", values, photometric="minisblack")
    summary = run(identity(1), tmp_path / "ct.tif", tmp_path / "none")
    assert "signed numbers (int16)" in summary.failures[0][1]
    model = identity(1, ranges={"a": (-1000.0, 3000.0), "b": (-1000.0, 3000.0)}, bits={"a": 32, "b": 32})
    assert run(model, tmp_path / "ct.tif", tmp_path / "out").done == 1
    back = tifffile.imread(tmp_path / "out" / "ct.tif")
    assert back.dtype == np.int16
    assert np.array_equal(back, values)
    assert run(identity(1), tmp_path / "ct.tif", tmp_path / "own", range="-1000..3000").done == 1
    assert np.array_equal(tifffile.imread(tmp_path / "own" / "ct.tif"), values)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "8.png")
    summary = run(model, tmp_path / "8.png", tmp_path / "out")
    assert "numbers of type uint8 never reach -1000..3000" in summary.failures[0][1]
    maps = identity(1, ranges={"b": (0.0, 2.5)})
    Image.fromarray(RAMP).save(tmp_path / "x.png")
    assert run(maps, tmp_path / "x.png", tmp_path / "out", format="tiff").done == 1
    depth = tifffile.imread(tmp_path / "out" / "x.tiff")
    assert np.allclose(depth.astype(float), np.rint(RAMP / 65535 * 2.5), atol=0.5)


def test_bands_that_a_format_has_no_room_for_fail(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((9, 9, 5), np.uint8))
    summary = run(identity(5), tmp_path / "x.npy", tmp_path / "out", format="png")
    assert "5 channels do not fit into png; expected --format tiff or npy" in summary.failures[0][1]
    summary = run(identity(3), tmp_path / "x.npy", tmp_path / "out")
    assert summary.failures[0][1] == "it has 5 bands; expected 3 channels"


def test_transparency_of_16_bits_is_carried_past_the_network(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 65536, (12, 10, 4), dtype=np.uint16)
    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(values))
    model = publish(nn.Upsample(scale_factor=2), scale=2)
    assert run(model, tmp_path / "x.png", tmp_path / "out").done == 1
    back = imagecodecs.png_decode((tmp_path / "out" / "x.png").read_bytes())
    assert (back.shape, back.dtype) == ((24, 20, 4), np.uint16)
    assert np.array_equal(back[::2, ::2, :3], values[:, :, :3])
    assert np.corrcoef(back[::2, ::2, 3].ravel(), values[:, :, 3].ravel())[0, 1] > 0.9
