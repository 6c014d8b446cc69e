"""Sets pictures and their translations side by side in one PNG: each before above its after, in the files' order."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

GAP = 6
MARGIN = 64
"""Room for the words on the left."""


def grid(before: Path, after: Path, *, columns: int, bands: int, side: int) -> Image.Image:
    """The first ``columns`` x ``bands`` pictures of a folder and those of the same names in another."""
    names = sorted(path.name for path in before.iterdir())[: columns * bands]
    missing = [name for name in names if not (after / name).is_file()]
    if not names or missing:
        raise SystemExit(f"{after if missing else before}: no {missing[0] if missing else 'pictures'} there")
    rows = -(-len(names) // columns)
    band = 2 * side + 3 * GAP
    sheet = Image.new("RGB", (MARGIN + columns * (side + GAP), rows * band + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for row in range(rows):
        for line, (word, folder) in enumerate((("before", before), ("after", after))):
            top = GAP + row * band + line * (side + 2)
            pen.text((MARGIN - 10, top + side // 2), word, fill=(70, 70, 80), font=font, anchor="rm")
            for column, name in enumerate(names[row * columns : (row + 1) * columns]):
                with Image.open(folder / name) as picture:
                    tile = picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
                sheet.paste(tile, (MARGIN + column * (side + GAP), top))
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="folder of pictures")
    parser.add_argument("after", type=Path, help="folder of their translations, under the same names")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="file to write")
    parser.add_argument("--columns", type=int, default=6, help="pictures across (default 6)")
    parser.add_argument("--bands", type=int, default=2, help="rows of pairs (default 2)")
    parser.add_argument("--side", type=int, default=128, help="side of a picture in the grid (default 128)")
    options = parser.parse_args(arguments)
    sheet = grid(options.before, options.after, columns=options.columns, bands=options.bands, side=options.side)
    sheet.save(options.out, optimize=True)


if __name__ == "__main__":
    main()
