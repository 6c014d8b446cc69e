"""What ``gantk inspect`` shows of a picture: what it is, and who states that a model made it."""

from __future__ import annotations

from pathlib import Path

from translate.data.decode import Opened, open_file
from translate.data.formats import ImageError
from translate.errors import UsageError, shortened
from translate.infer.kept import read_kept
from translate.manifest import Statement, read_statement
from translate.provenance import source_of


def is_picture(path: Path) -> bool:
    """Whether the content of a file is that of a picture, whatever it is called."""
    if not path.is_file():
        return False
    try:
        with open_file(path):
            return True
    except ImageError:
        return False


def about(path: Path) -> dict[str, str]:
    """Name -> what is to be shown. Raises ``ImageError`` where it is no picture."""
    with open_file(path) as opened:
        width, height = opened.size
        xmp = read_kept(opened, 1, []).xmp
        source = None if xmp is None else source_of(xmp)
        return {
            "file": f"{path} ({path.stat().st_size:,} bytes)",
            "picture": f"{width} x {height}, {_format(opened)}",
            "IPTC source": "not stated" if source is None else shortened(source.rpartition("/")[2]),
            "C2PA": _c2pa(path),
        }


def _format(opened: Opened) -> str:
    if opened.image is not None and opened.image.format is not None:
        return opened.image.format
    return opened.path.suffix.lstrip(".").upper()


def _c2pa(path: Path) -> str:
    try:
        statement = read_statement(path)
    except UsageError as error:
        return f"not read: {error}"
    return "no manifest" if statement is None else _words(statement)


def _words(statement: Statement) -> str:
    if not statement.program:
        return statement.state
    sources = ", ".join(source.rpartition("/")[2] for source in statement.sources)
    stated = f"{statement.state}: signed by {shortened(statement.signer)}, made with {shortened(statement.program)}"
    return f"{stated} ({shortened(sources)})" if sources else stated
