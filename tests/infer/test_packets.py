"""XMP and IPTC of a result, by text."""

from __future__ import annotations

import pytest

from translate.infer.packets import adapted_xmp, without_location
from translate.infer.tags import Change


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('tiff:YResolution="72/1"', 'tiff:YResolution="144/1"'),
        ("<exif:PixelXDimension>10</exif:PixelXDimension>", "<exif:PixelXDimension>20</exif:PixelXDimension>"),
        ("<GPano:CroppedAreaTopPixels>7</GPano:CroppedAreaTopPixels>", ">14</GPano:CroppedAreaTopPixels>"),
        ('stDim:w="10" stDim:unit="pixel"', 'stDim:w="20"'),
        ('dc:title="10"', 'dc:title="10"'),
    ],
)
def test_xmp_counts_the_results_pixels(before: str, after: str) -> None:
    wrap = f"<rdf:Description {before}/>" if "=" in before else before
    changed = adapted_xmp(wrap.encode(), Change(2, (20, 40))).decode()
    assert after in changed


def test_pointers_go_with_a_note_and_nothing_else_does() -> None:
    change = Change(1, (10, 10))
    inside = "<xmp:Thumbnails><rdf:Alt/></xmp:Thumbnails>"
    xmp = f'<rdf:Description GDepth:Data="AAAA" dc:title="Mine">{inside}</rdf:Description>'
    assert adapted_xmp(xmp.encode(), change) == b'<rdf:Description dc:title="Mine"></rdf:Description>'
    assert len(change.notes) == 1
    assert adapted_xmp(b"\xff\xfe", change) == b"\xff\xfe"


def test_iptc_loses_its_place_alone() -> None:
    def entry(number: int, words: bytes) -> bytes:
        return bytes([0x1C, 2, number]) + len(words).to_bytes(2, "big") + words

    caption, city, country = entry(120, b"A caption"), entry(90, b"Paris"), entry(101, b"France")
    assert without_location(caption + city + country) == caption
    assert without_location(caption + b"\x1c\x02\x5a\xff\xff") is None, "what cannot be followed may hide a place"
