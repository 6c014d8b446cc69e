"""A page to try a model: photos to translate, or noise to draw from, with its conditions as controls."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from translate.console import Console, using
from translate.contract import Direction
from translate.data.decode import open_file
from translate.errors import GantkError, UsageError, one_line
from translate.model import Model
from translate.preview import to_rgb
from translate.reading import STANDARD
from translate.report.pictures import data_uri, of_pixels
from translate.report.render import render
from translate.report.server import HTML, JSON, NOT_FOUND, Request, Response
from translate.report.sheet import BANDS, on_screen

SIDE = 4096
"""Pixels of the longer side of a photo on the page."""
MOST_SAMPLES = 64
WALK = 16
"""Pictures of a walk, its ends included."""
CONDITION = "set."
"""Stands before the name of a condition among the fields of a request."""


class Trial:
    """Responds to the page of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._directions = {each.name: each for each in model.directions if len(each.input_names) == 1}
        if not self._directions:
            raise UsageError(f"{model.path}: every direction takes several pictures; expected gantk infer --also")
        self._page = self._rendered()

    def __call__(self, request: Request) -> Response:
        """The page, or pictures in JSON; what is wrong with the request in the words of the command line."""
        if request.path == "":
            return Response(self._page, HTML)
        if request.path not in ("translate", "sample", "walk"):
            return NOT_FOUND
        start = time.perf_counter()
        try:
            found = self._pictures(request)
        except GantkError as error:
            found = {"error": one_line(error)}
        return Response(json.dumps({**found, "seconds": round(time.perf_counter() - start, 3)}).encode(), JSON)

    def _pictures(self, request: Request) -> dict[str, Any]:
        direction = self._directions.get(request.fields.get("direction", ""))
        if direction is None or (direction.latent is None) != (request.path == "translate"):
            raise UsageError(f"direction: expected one of {', '.join(self._directions)}")
        settings = {
            name.removeprefix(CONDITION): value for name, value in request.fields.items() if name.startswith(CONDITION)
        }
        if request.path == "translate":
            return self._translate(direction, settings, request)
        return self._draw(direction, settings, request)

    def _translate(self, direction: Direction, settings: Mapping[str, str], request: Request) -> dict[str, Any]:
        """The photo and its result, as ``gantk infer`` gives it; what is wrong with it raises ``UsageError``."""
        if not request.body:
            raise UsageError("an empty file; expected a photo")
        with tempfile.TemporaryDirectory(prefix="gantk-") as folder:
            photo, out = Path(folder, "photo"), Path(folder, "out")
            photo.write_bytes(request.body)
            flags: dict[str, Any] = {"direction": direction.name, "seed": _number(request.fields, "seed", 2**31)}
            flags |= {"settings": tuple(f"{name}={value}" for name, value in settings.items())}
            flags |= {"format": "png", "sample": request.fields.get("noise") == "1"}
            records: list[Mapping[str, Any]] = []
            with using(Console(lines=lambda line: None, records=records.append)):
                self.model.translate_folder(photo, out, **flags)
            (entry,) = records
            if entry["status"] != "done":
                raise UsageError(str(entry.get("reason", "not an image, or a damaged one")))
            return {
                "before": _shown(photo),
                "after": _shown(Path(entry["output"])),
                "sizes": [entry["size"], entry["result_size"]],
                "notes": list(entry["notes"]),
            }

    def _draw(self, direction: Direction, settings: Mapping[str, str], request: Request) -> dict[str, Any]:
        seed = _number(request.fields, "seed", 2**31)
        given: dict[str, Any] = {"seed": seed, "direction": direction.name, **settings}
        if request.path == "walk":
            pictures = self.model.walk(2, steps=WALK - 1, loop=False, **given)
        else:
            pictures = self.model.sample(max(1, _number(request.fields, "count", MOST_SAMPLES)), **given)
        return {"pictures": [_drawn(picture) for picture in pictures]}

    def _rendered(self) -> bytes:
        directions = [
            {
                "name": each.name,
                "draws": each.latent is not None,
                "noise": each.noise,
                "conditions": dict(each.conditions),
            }
            for each in self._directions.values()
        ]
        return render(
            "trial.html",
            title=self.model.plugin,
            path=self.model.path,
            directions=directions,
            most=MOST_SAMPLES,
            connects=True,
            script=("common.js", "compare.js", "trial.js"),
        ).encode()


def _number(fields: Mapping[str, str], name: str, most: int) -> int:
    text = fields.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= most):
        raise UsageError(f"{name} {text[:20]}: expected a whole number from 0 to {most:,}")
    return int(text)


def _shown(path: Path) -> str:
    with open_file(path, STANDARD) as opened:
        return data_uri(of_pixels(on_screen(opened.decode(BANDS).pixels), SIDE))


def _drawn(picture: Tensor) -> str:
    pixels: np.ndarray[Any, np.dtype[np.uint8]] = to_rgb(picture[None])[0].permute(1, 2, 0).contiguous().numpy()
    return data_uri(of_pixels(pixels, SIDE))
