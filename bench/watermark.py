"""How well the watermark survives, how rarely it is found where it is not, and how little it shows.

    python bench/watermark.py PHOTOS... [--marked 200] [--unmarked 2000]

Needs a folder of photos. Prints, for each attack, the share of marked photos that ``gantk detect`` finds at its default
level, the share of unmarked photos that it finds, and the lowest PSNR of a mark.
"""

from __future__ import annotations

import argparse
import io
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tables import add_json, append

from translate.data.listing import find_images
from translate.watermark import LEVEL, Watermark, brightness

Photo = NDArray[np.uint8]


def jpeg(photo: Photo, quality: int = 75) -> Photo:
    """Saved as JPEG and read again."""
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def half(photo: Photo) -> Photo:
    """At half the width and height."""
    height, width = photo.shape[:2]
    return np.asarray(Image.fromarray(photo).resize((width // 2, height // 2), Image.Resampling.BILINEAR))


def quarter(photo: Photo, place: random.Random) -> Photo:
    """A piece of half the width and half the height, a quarter of the area, from anywhere."""
    height, width = (side // 2 for side in photo.shape[:2])
    top, left = place.randint(0, height), place.randint(0, width)
    return photo[top : top + height, left : left + width]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--marked", type=int, default=200)
    parser.add_argument("--unmarked", type=int, default=2000)
    add_json(parser)
    given = parser.parse_args()
    paths = [path for folder in given.photos for path in find_images(folder)]
    random.Random(0).shuffle(paths)
    place = random.Random(1)
    attacks: Mapping[str, Callable[[Photo], Photo]] = {
        "none": lambda photo: photo,
        "JPEG 75": jpeg,
        "half the size": half,
        "a quarter of the area": lambda photo: quarter(photo, place),
        "half the size, then JPEG 75": lambda photo: jpeg(half(photo)),
    }
    watermark = Watermark("the key of this benchmark")
    found = dict.fromkeys(attacks, 0)
    lowest = math.inf
    marked = paths[: given.marked]
    for path in marked:
        photo = np.asarray(Image.open(path).convert("RGB"))
        result = watermark.mark(photo, 255.0)
        lowest = min(lowest, 10 * math.log10(255**2 / np.mean((result.astype(float) - photo) ** 2)))
        for name, attack in attacks.items():
            found[name] += watermark.detect(brightness(attack(result).astype(float))).p_value < LEVEL
    for name, count in found.items():
        print(f"{name:28} {count} of {len(marked)} marked photos found")
    unmarked = paths[-given.unmarked :]
    values = [
        watermark.detect(brightness(np.asarray(Image.open(path).convert("RGB"), float))).p_value for path in unmarked
    ]
    print(
        f"{'unmarked':28} {sum(value < LEVEL for value in values)} of {len(values)}; lowest p-value {min(values):.2g}"
    )
    print(f"{'lowest PSNR of a mark':28} {lowest:.2f} dB")
    alarms = {"unmarked": len(values), "alarms": sum(value < LEVEL for value in values), "lowest_p": min(values)}
    append(given.json, "watermark", {"marked": len(marked), "found": found, **alarms, "psnr": lowest})


if __name__ == "__main__":
    main()
