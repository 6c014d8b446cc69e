"""Pages from templates: each one file, which loads nothing from anywhere and may be mailed."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Sequence
from functools import cache
from importlib import metadata, resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from translate.errors import shortened


def render(template: str, *, script: Sequence[str], connects: bool = False, **values: Any) -> str:
    """A page from a template, with our style and the named pieces of script, whose digest its policy allows.

    ``connects``: whether the page may ask the server that it came from, and no other.
    """
    code = "\n".join(_piece(name) for name in script)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii")
    images, connections = ("data: 'self'", "'self'") if connects else ("data:", "'none'")
    policy = (
        f"default-src 'none'; img-src {images}; connect-src {connections}; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return (
        environment()
        .get_template(template)
        .render(
            policy=policy,
            style=Markup(_piece("style.css")),
            code=Markup(code),
            version=metadata.version("gantk"),
            now=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
            **values,
        )
    )


@cache
def environment() -> Environment:
    """The templates; whatever is put into them is escaped."""
    found = Environment(
        loader=PackageLoader("translate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"short": shortened, "duration": duration, "number": lambda value: f"{value:,}"}
    return found


@cache
def _piece(name: str) -> str:
    return resources.files("translate.report").joinpath("templates", name).read_text(encoding="utf-8")


def duration(seconds: float) -> str:
    """As people say it, in its two largest units."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{days} d"] * bool(days) + [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    return " ".join(parts[:2])
