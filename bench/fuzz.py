"""Feed mutated model files, checkpoints, pictures and configs to what reads them, and keep whatever it stumbles over.

Whatever comes of a file must be a result or a refusal in words: a crash, an input that takes longer than ten seconds,
an exception of any other kind, and a refusal that is not one line of our own words are findings. Their inputs are kept,
and the exit code is 1. Inputs are drawn from ``--seed``; the readers run in a copy of this process.

python bench/fuzz.py [--minutes 10] [--seed 0] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin, TiffImagePlugin
from tables import add_json, append, row, tell_machine

from translate import plugins
from translate.cli import app
from translate.config import build, read_config, resolved_toml
from translate.contract import DataSpec
from translate.data.decode import open_file
from translate.errors import GantkError
from translate.fields import Field, fields_of
from translate.importing.read import read_file
from translate.infer.canvas import Canvas
from translate.infer.encode import unfit, write_photo
from translate.infer.photos import photo_of
from translate.modelfile.model import build_nets, load_published
from translate.modelfile.write import save_published
from translate.reading import Reading
from translate.settings import Run

AT_ONCE = 200
"""Inputs that one copy of this process reads."""
PATIENCE = 10.0
"""Seconds that an input may take."""
SMALL = Reading(max_pixels=1 << 22)
LONGEST = 1200
"""Characters of a refusal, with the name of its file."""
FOREIGN = re.compile(
    r"Traceback|NoneType|object has no|object is not|not subscriptable|unhashable|positional argument|list index|"
    r"KeyError|IndexError|TypeError|AttributeError|invalid literal|codec can't|unpack requires|out of range for|"
    r"broadcast|struct\.error|expected str, bytes|not supported between|unexpected keyword|\bNone\b"
)
"""Words of Python, which mean nothing to a user."""
INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 3, 1 << 31, 1 << 63, 1 << 70, 10**400, 1e308, 1e-320, float("nan"), float("inf")),
    *("", "none", "a" * 100_000, "\0", "\x1b[2J\r\n", "\ud800", "../../etc", "-1", "1e-05"),
    *([], {}, [[[[[[]]]]]], {"": ""}, [None], [1] * 70, {"a": {"b": {"c": 1}}}),
)
KEYS = ("", "x", "a" * 1000, "\x1b[31m", "format", "__class__")
WORDS = (
    *(
        b"[",
        b"]",
        b"[[",
        b"=",
        b'"',
        b"'''",
        b'"""',
        b"#",
        b"\n",
        b"\r",
        b".",
        b"{",
        b"}",
        b",",
        b"\\u0000",
        b"\\Uffffffff",
    ),
    *(b"nan", b"-inf", b"1e999", b"0x" + b"f" * 300, b"9" * 5000, b"true", b"none", b'"none"', b"1979-05-27", b"{}"),
    *(
        b"[model]",
        b"[run]",
        b"[data]",
        b"a." * 70 + b"b = 1",
        b"[" * 2000,
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\0",
        b"\x85",
    ),
)


@dataclass(frozen=True)
class Target:
    """A reader. ``seeds``: valid inputs by name; ``read``: reads a file, and raises ``GantkError`` where it refuses it;
    ``mutate``: changes an input."""

    name: str
    seeds: Mapping[str, bytes]
    read: Callable[[Path], None]
    mutate: Callable[[bytes, random.Random], bytes]


@dataclass
class Tally:
    """What became of a target's inputs."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    findings: dict[str, str] = field(default_factory=dict)
    """By what was found, the file that is kept."""


class ForeignWordsError(Exception):
    """A refusal that is no line of ours."""


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Some bytes of the input flipped, overwritten, repeated, cut out or cut off."""
    new = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not new:
            break
        # Headers are where the decisions are.
        place = rng.randrange(min(len(new), rng.choice((16, 128, 1024, len(new)))))
        match rng.randrange(7):
            case 0:
                new[place] ^= 1 << rng.randrange(8)
            case 1:
                new[place] = rng.randrange(256)
            case 2:
                size = rng.choice((1, 2, 4, 8))
                value = rng.choice(INTEGERS) & ((1 << 8 * size) - 1)
                new[place : place + size] = value.to_bytes(size, rng.choice(("little", "big")))
            case 3:
                del new[place : place + rng.choice((1, 2, 4, 64, 4096))]
            case 4:
                new[place:place] = new[place : place + rng.choice((1, 4, 16, 256))]
            case 5:
                new[place:place] = rng.randbytes(rng.choice((1, 2, 4, 64)))
            case _:
                del new[place if rng.random() < 0.5 else len(new) - rng.randrange(min(len(new), 64)) :]
    return bytes(new)


def mutated_header(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file of which a value in the header, or in the JSON within it, is another one."""
    if rng.random() < 0.3:
        return mutated_bytes(data, rng)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    about = header.get("__metadata__", {})
    inner = [key for key in about if about[key].startswith("{")]
    if inner and rng.random() < 0.8:
        card = json.loads(about[inner[0]])
        _change_json(card, rng)
        about[inner[0]] = json.dumps(card)
    else:
        _change_json(header, rng)
    if rng.random() < 0.9 and isinstance(about, dict):
        about.pop("checksum", None)  # or every other change is found by it
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _change_json(value: Any, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(value))
        holder, key = rng.choice(places)
        match rng.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[rng.choice(("", "x", "a" * 1000, "\x1b[31m", "format", "__class__"))] = deepcopy(
                    rng.choice(VALUES)
                )
            case 2:
                other, place = rng.choice(places)
                holder[key] = deepcopy(other[place])
            case _:
                holder[key] = deepcopy(rng.choice(VALUES))
        if not value:
            return


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found.append((value, key))
        found += _places(value[key])
    return found


def mutated_text(data: bytes, rng: random.Random) -> bytes:
    """A config with lines repeated, moved or broken, and with words that mean something to TOML."""
    if rng.random() < 0.2:
        return mutated_bytes(data, rng)
    lines = data.splitlines(keepends=True)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(lines))
        key, equals, _ = lines[place].partition(b" = ")
        match rng.randrange(5):
            case 0:
                lines.insert(rng.randrange(len(lines)), lines[place])
            case 1 if equals:
                lines[place] = key + b" = " + rng.choice(WORDS) + b"\n"
            case 2:
                value = deepcopy(rng.choice(VALUES))
                lines[place] = key + b" = " + json.dumps(value).encode("utf-8", "surrogatepass") + b"\n"
            case 3:
                at = rng.randrange(len(lines[place]) + 1)
                lines[place] = lines[place][:at] + rng.choice(WORDS) + lines[place][at:]
            case _:
                lines[place] = lines[place].replace(rng.choice((b'"', b"=", b"[", b"\n")), rng.choice(WORDS))
    return b"".join(lines)


def read_model(path: Path) -> None:
    """As ``gantk inspect`` and as every command that loads a model."""
    words, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(words), redirect_stderr(errors):
        code = app.run(["inspect", str(path), "--tensors"])
    if code not in (0, 2):
        raise ForeignWordsError(f"inspect exits with {code}: {errors.getvalue()}")
    _check_words(errors.getvalue().strip().replace(str(path), "FILE"))
    if any(len(line) > LONGEST or not line.isprintable() for line in words.getvalue().splitlines()):
        raise ForeignWordsError("inspect prints what is too long, or steers the terminal")
    load_published(path)


def read_weights(path: Path) -> None:
    """As ``gantk import``."""
    read_file(path)


def read_picture(path: Path) -> None:
    """As training reads it and as ``gantk infer`` reads and writes it."""
    for channels in (3, 1, 4):
        with open_file(path, SMALL) as opened:
            opened.decode(channels)
    with open_file(path, SMALL) as opened:
        photo = photo_of(opened, 3, scale=2)
    for format_ in ("PNG", "JPEG", "TIFF", "WEBP"):
        height, width = photo.pixels.shape[:2]
        if unfit(format_, height, width, alpha=False, indexed=False, explicit=True) is None:
            write_photo(io.BytesIO(), format_, Canvas.of(photo.pixels), photo.alpha, photo.kept)


@cache
def _tables() -> dict[str, tuple[Any, list[Field]]]:
    model = plugins.load("cyclegan")
    classes: dict[str, Any] = {"data": model.source, "model": model, "run": Run}
    return {table: (cls, fields_of(cls, table)) for table, cls in classes.items()}


def read_toml(path: Path) -> None:
    """As ``gantk train --config``."""
    layer = read_config(path, {table: fields for table, (_, fields) in _tables().items()}, "cyclegan")
    for table, (cls, fields) in _tables().items():
        build(cls, fields, layer.get(table, {}), str(path))


def targets(room: Path) -> list[Target]:
    """The readers with their seeds."""
    task = plugins.load("cyclegan")(width=2, blocks=1)  # type: ignore[call-arg]
    data = DataSpec(32, {"a": 3, "b": 3})
    state = build_nets(task, data, ["g_ab", "g_ba"]).state_dict()
    file = room / "model.safetensors"
    save_published(file, plugin="cyclegan", task=task, data=data, tensors=state, weights="raw", step=3)
    model = file.read_bytes()
    torch.save(state, room / "model.pth")
    torch.save({"params_ema": state}, room / "old.pth", _use_new_zipfile_serialization=False)
    weights = {name: (room / name).read_bytes() for name in ("model.pth", "old.pth")}
    source = task.source(a=(room,), b=(room,))  # type: ignore[call-arg]
    config = resolved_toml("cyclegan", source, task, Run()).encode()
    return [
        Target("model file", {"model": model}, read_model, mutated_header),
        Target("weights", {**weights, "model.safetensors": model}, read_weights, mutated_bytes),
        Target("picture", _pictures(), read_picture, mutated_bytes),
        Target("config", {"config": config}, read_toml, mutated_text),
    ]


def _pictures() -> dict[str, bytes]:
    """A small picture in every format that is opened, with all kinds of metadata."""
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    alpha = colours.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(colours.size))
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "words", 6
    exif.get_ifd(0x8769)[0xA002] = 20
    exif.get_ifd(0x8825)[1] = "N"
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", "a horse", zip=True)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[33550], tags[33723], tags[700] = (0.5, 0.5, 0.0), b"\x1c\x02\x05\0\x01a", b"<x:xmpmeta/>"
    deep = Image.fromarray(rng.integers(0, 1 << 16, (24, 20), np.uint16))
    found: dict[str, bytes] = {}

    def add(name: str, picture: Image.Image, **settings: Any) -> None:
        file = io.BytesIO()
        picture.save(file, name.partition("-")[0], **settings)
        found[name] = file.getvalue()

    add("PNG-exif", colours, exif=exif, pnginfo=text, dpi=(72, 72))
    add("PNG-alpha", alpha)
    add("PNG-deep", deep)
    add("PNG-palette", colours.quantize(8), transparency=3)
    add("JPEG-exif", colours, exif=exif, comment="words", dpi=(72, 72), xmp=b"<x:xmpmeta tiff:ImageWidth='20'/>")
    add("JPEG-progressive", colours.convert("CMYK"), progressive=True)
    add("WEBP-alpha", alpha, lossless=True, exif=exif)
    add("WEBP-animated", colours, save_all=True, append_images=[colours.rotate(90)])
    add("TIFF-tags", colours, tiffinfo=tags)
    add("TIFF-lzw", alpha, compression="tiff_lzw")
    add("TIFF-deep", deep, compression="tiff_adobe_deflate")
    add("TIFF-float", deep.convert("F").point(lambda value: value / 65535))
    add("TIFF-big", colours, big_tiff=True)
    add("BMP", colours)
    add("GIF", colours, save_all=True, append_images=[colours.rotate(90)], comment=b"words")
    add("PPM", colours)
    add("TGA", alpha)
    add("JPEG2000", colours)
    add("AVIF", colours)
    found["PPM-deep"] = b"P5 20 24 65535\n" + rng.integers(0, 1 << 16, (24, 20), np.uint16).astype(">u2").tobytes()
    array = io.BytesIO()
    np.save(array, rng.random((24, 20, 3)).astype(np.float32))
    found["NPY"] = array.getvalue()
    return found


def fuzz(target: Target, room: Path, keep: Path, end: float, rng: random.Random) -> Tally:
    """Inputs until ``end`` (of ``time.monotonic``)."""
    tally = Tally()
    while time.monotonic() < end:
        batch = [rng.choice(sorted(target.seeds.items())) for _ in range(AT_ONCE)]
        inputs = [(name, target.mutate(seed, rng)) for name, seed in batch]
        _run_batch(target, inputs, room, keep, tally)
    return tally


def _run_batch(target: Target, inputs: Sequence[tuple[str, bytes]], room: Path, keep: Path, tally: Tally) -> None:
    while inputs:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _child(target, inputs, room, writer)
        os.close(writer)
        at, silent, lines = 0, "", b""
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            os.set_blocking(reader, False)
            last = time.monotonic()
            while (part := pipe.read(1 << 16)) != b"":
                if part:
                    lines, last = lines + part, time.monotonic()
                elif time.monotonic() - last > PATIENCE:
                    os.kill(child, signal.SIGKILL)
                    silent = f"no answer in {PATIENCE:g} s"
                    break
                time.sleep(0.01)
        _, status = os.waitpid(child, 0)
        for line in lines.decode().splitlines():
            kind, _, what = line.partition(" ")
            tally.inputs, at = tally.inputs + 1, at + 1
            tally.read += kind == "read"
            tally.refused += kind == "refused"
            if kind == "found":
                _keep(target, *inputs[at - 1], what, keep, tally)
        if at < len(inputs) and (silent or status):
            tally.inputs += 1
            _keep(
                target, *inputs[at], silent or f"ended by signal {status & 0x7F}, exit code {status >> 8}", keep, tally
            )
            at += 1
        inputs = inputs[at:] if at else ()


def _child(target: Target, inputs: Sequence[tuple[str, bytes]], room: Path, writer: int) -> None:
    """Read all inputs, and write a line on each."""
    try:
        for name, content in inputs:
            path = room / f"input{Path(name).suffix}"
            path.write_bytes(content)
            os.write(writer, (_outcome(target, path) + "\n").encode("utf-8", "backslashreplace"))
    finally:
        os._exit(0)


def _outcome(target: Target, path: Path) -> str:
    began = time.monotonic()
    try:
        try:
            target.read(path)
            line = "read"
        except GantkError as error:
            _check_words(str(error).replace(str(path), "FILE"))
            line = "refused"
    except MemoryError:
        return "refused"
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-4:]))
        return f"found {type(error).__name__} {' '.join(str(error).split())[:300]} at {where}"
    return line if time.monotonic() - began < PATIENCE else f"found more than {PATIENCE:g} s"


def _check_words(text: str) -> None:
    if found := FOREIGN.search(text):
        raise ForeignWordsError(f"{found[0]!r} in: {text[:300]}")
    if len(text) > LONGEST or "\n" in text:
        raise ForeignWordsError(f"no line of ours, {len(text)} characters: {text[:300]!r}")


def _keep(target: Target, name: str, content: bytes, what: str, keep: Path, tally: Tally) -> None:
    known = re.sub(r"b?(['\"]).*?\1|0x\w+|\d+", "", what)[:100]  # what differs from input to input
    if known in tally.findings:
        return
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / f"{target.name.replace(' ', '-')}-{len(tally.findings)}-{Path(name).name}"
    path.write_bytes(content)
    tally.findings[known] = str(path)
    print(f"{target.name}, {name}: {what}\n  kept: {path}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for what was found")
    add_json(parser)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(given.seed)
    room = Path(tempfile.mkdtemp(prefix="gantk-fuzz-"))
    widths = (12, 10, 10, 10, 10)
    row(("target", "inputs", "read", "refused", "findings"), widths)
    found = 0
    every = targets(room)
    for target in every:
        tally = fuzz(target, room, given.keep, time.monotonic() + 60 * given.minutes / len(every), rng)
        row((target.name, tally.inputs, tally.read, tally.refused, len(tally.findings)), widths)
        append(given.json, "fuzz", {"target": target.name, **vars(tally)})
        found += len(tally.findings)
    shutil.rmtree(room)
    tell_machine()
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
