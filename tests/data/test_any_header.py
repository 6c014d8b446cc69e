"""Random TIFF and PNG headers: the right values, against files built by the letter of their formats, or a reason."""

from __future__ import annotations

import struct
import zlib
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from translate.data.alpha import filled
from translate.data.decode import ImageError, open_file, probe
from translate.data.values import white_of
from translate.reading import Reading

FEW = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KINDS = {(1, 8): "u1", (1, 16): "u2", (1, 32): "u4", (2, 8): "i1", (2, 16): "i2", (2, 32): "i4"} | {
    (3, 16): "f2",
    (3, 32): "f4",
    (3, 64): "f8",
}


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of numbers of 1, 2, 4 or 12 bits, each row begun on a byte."""
    rows = values.reshape(len(values), -1).astype(np.uint32)
    planes = (rows[:, :, None] >> np.arange(bits - 1, -1, -1, dtype=np.uint32)) & 1
    return np.packbits(planes.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def tiff(values: np.ndarray, order: str, bits: int, format_: int, tags: dict[int, tuple[int, ...]], big: bool) -> bytes:
    """An uncompressed TIFF of one strip."""
    height, width, bands = values.shape
    if bits in (1, 2, 4, 12):
        body = packed(values, bits)
    else:
        body = values.astype(np.dtype(KINDS[format_, bits]).newbyteorder(order)).tobytes()
    entries = {256: (width,), 257: (height,), 258: (bits,) * bands, 259: (1,), 277: (bands,), 278: (height,)}
    entries |= {279: (len(body),), 284: (1,), 339: (format_,) * bands} | tags
    head = 16 if big else 8
    entries[273] = (head,)
    count, each, place = ("Q", 20, "Q") if big else ("H", 12, "I")
    start = head + len(body) + len(body) % 2
    after = start + struct.calcsize(f"{order}{count}") + each * len(entries) + struct.calcsize(f"{order}{place}")
    lines, extra = b"", b""
    for tag, numbers in sorted(entries.items()):
        kind = "I" if max(numbers) > 65535 else "H"
        data = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        room = 8 if big else 4
        if len(data) > room:
            where = struct.pack(f"{order}{place}", after + len(extra))
            extra += data + b"\0" * (len(data) % 2)
            data = where
        lines += struct.pack(f"{order}HH{place}", tag, 4 if kind == "I" else 3, len(numbers)) + data.ljust(room, b"\0")
    magic = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}H", 43 if big else 42)
    magic += struct.pack(f"{order}HHQ", 8, 0, start) if big else struct.pack(f"{order}I", start)
    directory = struct.pack(f"{order}{count}", len(entries)) + lines + struct.pack(f"{order}{place}", 0)
    return magic + body + b"\0" * (len(body) % 2) + directory + extra


def expected(values: np.ndarray, bits: int, format_: int, photometric: int, range_: Any) -> np.ndarray | None:
    """What numbers mean, as shares of white; None where the rule gives them no meaning."""
    wide = values.astype(np.float64)
    if range_ is not None:
        least, most = {1: (0, 2**bits - 1), 2: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)}.get(format_, (-1e99, 1e99))
        if range_[0] < least or range_[1] > most:
            return None
        share = np.clip((wide - range_[0]) / (range_[1] - range_[0]), 0, 1)
    elif format_ == 2 or (format_ == 3 and (wide.min() < 0 or wide.max() > 1)):
        return None
    else:
        share = wide if format_ == 3 else wide / (2**bits - 1)
    return 1 - share if photometric == 0 else share


@st.composite
def tiffs(draw: st.DrawFn) -> dict[str, Any]:
    format_, bits = draw(st.sampled_from([*KINDS, (1, 1), (1, 2), (1, 4), (1, 12)]))
    photometric = draw(st.sampled_from([0, 1, 2]))
    own = 3 if photometric == 2 else 1
    extra = draw(st.lists(st.sampled_from([0, 1, 2]), max_size=3))
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9)), own + len(extra))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    if format_ == 3:
        values = rng.random(shape).astype(KINDS[format_, bits]) * draw(st.sampled_from([1, 1, 1, 3]))
    elif format_ == 2:
        values = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), shape)
    else:
        values = rng.integers(0, 2**bits, shape)
    tags = {262: (photometric,)} | ({338: tuple(extra)} if extra and draw(st.booleans()) else {})
    return {
        "file": tiff(values, draw(st.sampled_from("<>")), bits, format_, tags, draw(st.booleans())),
        "values": values,
        "bits": bits,
        "format": format_,
        "photometric": photometric,
        "own": own,
        "extra": tuple(extra) if 338 in tags else (0,) * len(extra),
        "range": draw(st.sampled_from([None, None, (0.0, 100.0), (-50.0, 900.0)])),
    }


def check(path: Path, drawn: dict[str, Any]) -> None:
    path.write_bytes(drawn["file"])
    values, own, extra = drawn["values"], drawn["own"], drawn["extra"]
    height, width, bands = values.shape
    alpha = extra in ((1,), (2,))
    colours = own if bands == own + alpha else 0
    channels = colours or bands
    reading = Reading(range=drawn["range"])
    right = expected(
        values[..., :colours] if colours else values,
        drawn["bits"],
        drawn["format"],
        drawn["photometric"],
        reading.range,
    )
    if alpha:
        mask = expected(values[..., -1:], drawn["bits"], drawn["format"], 1, None)
        if mask is None or extra == (1,):  # premultiplied: checked elsewhere
            right = None
        elif right is not None:
            mask = mask[..., 0]
            right = filled((right * 65535).astype(np.uint16), (mask > 0).astype(np.uint16)) / 65535
    assert probe(path, reading)[:2] == (width, height)
    if right is None and extra != (1,):
        with (
            pytest.raises(ImageError, match=r"--range|never reach|not finite"),
            open_file(path, reading) as opened,
        ):
            opened.decode(channels)
        return
    with suppress(ImageError) if right is None else nullcontext(), open_file(path, reading) as opened:
        decoded = opened.decode(channels)
    if right is None:  # premultiplied, of which other tests see the values
        return
    tolerance = {np.dtype("u1"): 0.5 / 255, np.dtype("u2"): 1.01 / 65535}.get(decoded.pixels.dtype, 1e-6)
    tolerance = max(tolerance, 1.01 / 65535 if alpha else 0)
    assert decoded.pixels.shape == (height, width, channels)
    assert np.abs(decoded.pixels / white_of(decoded.pixels.dtype) - right).max() <= tolerance + 1e-9


@FEW
@given(drawn=tiffs())
def test_a_tiff_of_any_header_has_the_right_values_or_a_reason(tmp_path: Path, drawn: dict[str, Any]) -> None:
    check(tmp_path / "x.tif", drawn)


@pytest.mark.slow
@settings(FEW, max_examples=3000)
@given(drawn=tiffs())
def test_many_tiffs(tmp_path: Path, drawn: dict[str, Any]) -> None:
    check(tmp_path / "x.tif", drawn)


@st.composite
def pngs(draw: st.DrawFn) -> dict[str, Any]:
    colour, depth = draw(
        st.sampled_from(
            [
                *((0, depth) for depth in (1, 2, 4, 8, 16)),
                *((3, depth) for depth in (1, 2, 4, 8)),
                *((colour, depth) for colour in (2, 4, 6) for depth in (8, 16)),
            ]
        )
    )
    bands = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    values = rng.integers(0, 2**depth, (draw(st.integers(1, 9)), draw(st.integers(1, 9)), bands))
    hole = draw(st.booleans()) and colour in (0, 2, 3)
    palette = rng.integers(0, 256, (2**depth if colour == 3 else 0, 3), dtype=np.uint8)
    return {"colour": colour, "depth": depth, "values": values, "hole": hole, "palette": palette}


def png(drawn: dict[str, Any], wrong: bytes = b"") -> bytes:
    """The PNG by the letter of its specification; ``wrong``: the chunk that gets a wrong checksum."""
    values, depth, colour = drawn["values"], drawn["depth"], drawn["colour"]
    height, width, _ = values.shape
    rows = packed(values, depth) if depth < 8 else values.astype(f">u{depth // 8}").tobytes()
    each = len(rows) // height
    raw = b"".join(b"\0" + rows[row * each : (row + 1) * each] for row in range(height))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))]
    if colour == 3:
        chunks.append((b"PLTE", drawn["palette"].tobytes()))
    if drawn["hole"]:
        hole = values[0, 0] if colour != 3 else [0]
        chunks.append((b"tRNS", bytes([0]) if colour == 3 else struct.pack(f">{len(hole)}H", *hole)))
    chunks += [(b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ (kind == wrong))
        for kind, data in chunks
    )


@FEW
@example(drawn={"colour": 0, "depth": 16, "values": np.full((1, 1, 1), 7), "hole": True, "palette": np.zeros((0, 3))})
@given(drawn=pngs())
def test_a_png_of_any_header_has_the_right_values(tmp_path: Path, drawn: dict[str, Any]) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(drawn))
    values, colour, top = drawn["values"], drawn["colour"], 2 ** drawn["depth"] - 1
    white = 65535 if drawn["depth"] == 16 else 255
    if colour == 3:
        seen = drawn["palette"][values[..., 0]].astype(np.int64)
    else:
        seen = values[..., : 3 if colour & 2 else 1] * (white // top)
    alpha = values[..., -1] * (white // top) if colour & 4 else np.full(values.shape[:2], white)
    if drawn["hole"]:
        hole = values[..., 0] == 0 if colour == 3 else (values == values[0, 0]).all(axis=2)
        alpha = np.where(hole, 0, white)
    kind = np.uint16 if white == 65535 else np.uint8
    seen = filled(seen.astype(kind), alpha.astype(kind))
    channels = seen.shape[2]
    with open_file(path) as opened:
        decoded = opened.decode(channels)
    assert decoded.pixels.dtype == kind
    assert np.array_equal(decoded.pixels, seen)
    if decoded.alpha is None:
        assert (alpha == white).all()
    else:
        assert np.array_equal(decoded.alpha, alpha)
    for part in (b"IHDR", b"IDAT"):
        path.write_bytes(png(drawn, wrong=part))
        with pytest.raises(ImageError, match="damaged PNG"), open_file(path) as opened:
            opened.decode(channels)
