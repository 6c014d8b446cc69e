"""What our pictures state about their origin: the IPTC ``DigitalSourceType`` property, in XMP.

IPTC Photo Metadata Standard 2023.2 and its NewsCodes: https://cv.iptc.org/newscodes/digitalsourcetype/
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from translate.files import write_whole

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""Made by a model from nothing but noise or labels."""

COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""Made by a model from a picture."""

PNG_KEY = "XML:com.adobe.xmp"
"""Keyword of the iTXt chunk in which PNG holds XMP."""

TIFF_TAG = 700
"""Tag in which TIFF holds XMP."""

_PROPERTY = "Iptc4xmpExt:DigitalSourceType"
_NAMESPACE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_EMPTY = (
    f'{_HEAD}<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
_ABOUT = re.compile(r"""<rdf:Description\b[^>]*?\srdf:about\s*=\s*("[^"<>]*"|'[^'<>]*')""")
_OLD = re.compile(
    rf"""\s{_PROPERTY}\s*=\s*("[^"<]*"|'[^'<]*')"""
    rf"""|<{_PROPERTY}\b[^<>]*/>|<{_PROPERTY}\b[^<>]*(?<!/)>[^<]*</{_PROPERTY}\s*>"""
)
_ORIENTATION = re.compile(r"""(\stiff:Orientation\s*=\s*["']|<tiff:Orientation\s*>)\s*[0-9]+\s*(?=["'<])""")


def packet(source: str) -> bytes:
    """An XMP packet that states this one thing: how the picture was made (``TRAINED`` or ``COMPOSITE``)."""
    return _with_source(_EMPTY, source).encode()


def amended(xmp: bytes, source: str | None) -> bytes | None:
    """A photo's own packet for a picture made from it; None where it is not an XMP packet that we can read.

    ``DigitalSourceType`` becomes ``source`` (or goes, as it is no longer true, where that is None) and
    ``tiff:Orientation`` becomes 1, as the pixels are upright. All else stays, byte for byte. The text is searched, not
    parsed, so that no entity in it is ever expanded.
    """
    try:
        text = xmp.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return None
    if "</rdf:RDF>" not in text or "<!ENTITY" in text:
        return None
    text = _ORIENTATION.sub(r"\g<1>1", _OLD.sub("", text))
    return (_with_source(text, source) if source else text).encode()


def source_of(xmp: bytes) -> str | None:
    """How a picture was made, as its XMP packet states it; None where it does not. The text is searched, not parsed."""
    text = xmp.decode(errors="replace")
    stated = _OLD.search(text)
    url = None if stated is None else re.search(r"https?://[^\"'<>\s]+", stated.group())
    return None if url is None else url.group()


def save_png(path: Path, pixels: Any, source: str) -> None:
    """Write uint8 pixels, (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), as a PNG that states how it was made.

    It appears whole or not at all.
    """
    info = PngInfo()
    info.add_itxt(PNG_KEY, packet(source).decode())
    image = Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    write_whole(path, lambda temporary: image.save(temporary, format="PNG", compress_level=1, pnginfo=info))


def _with_source(text: str, source: str) -> str:
    # All descriptions of a packet are about the same thing, so ours repeats the one that is there.
    about = _ABOUT.search(text)
    ours = (
        f'<rdf:Description rdf:about={about.group(1) if about else chr(34) * 2} xmlns:Iptc4xmpExt="{_NAMESPACE}"'
        f' {_PROPERTY}="{source}"/>'
    )
    before, end, after = text.rpartition("</rdf:RDF>")
    return before + ours + end + after
