"""What a picture says of its origin."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from PIL import Image

from translate.provenance import COMPOSITE, TRAINED, amended, packet, save_png

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"

PHOTO = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="uuid:1" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
 xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/jpeg">%s</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def described(xmp: bytes) -> list[ET.Element]:
    return list(ET.fromstring(xmp.decode()).iter(RDF + "Description"))


def test_a_packet_says_one_thing() -> None:
    (description,) = described(packet(TRAINED))
    assert description.attrib == {RDF + "about": "", TYPE: TRAINED}


def test_a_photos_packet_is_amended_and_otherwise_kept() -> None:
    old = PHOTO % "<Iptc4xmpExt:DigitalSourceType>other</Iptc4xmpExt:DigitalSourceType>"
    xmp = amended(old.encode() + b"\0", COMPOSITE)
    assert xmp is not None
    first, ours = described(xmp)
    assert ours.attrib == {RDF + "about": "uuid:1", TYPE: COMPOSITE}
    assert TYPE not in first.attrib
    assert not list(first)
    assert first.attrib["{http://ns.adobe.com/tiff/1.0/}Orientation"] == "1"
    assert first.attrib["{http://purl.org/dc/elements/1.1/}format"] == "image/jpeg"


def test_without_provenance_the_old_claim_goes_too() -> None:
    xmp = amended((PHOTO % "<tiff:Orientation>8</tiff:Orientation>").encode(), None)
    assert xmp is not None
    assert b"DigitalSourceType" not in xmp
    assert b"<tiff:Orientation>1<" in xmp


def test_what_is_no_packet_is_not_amended() -> None:
    assert amended(b"\xff\xfe\x00", COMPOSITE) is None
    assert amended(b"<x/>", COMPOSITE) is None
    assert amended(b'<!DOCTYPE x [<!ENTITY a "b">]><rdf:RDF></rdf:RDF>', COMPOSITE) is None


def test_save_png(tmp_path: Path) -> None:
    for shape in ((3, 5), (3, 5, 1), (3, 5, 3), (3, 5, 4)):
        pixels = np.arange(int(np.prod(shape)), dtype=np.uint8).reshape(shape)
        save_png(tmp_path / "x.png", pixels, TRAINED)
        with Image.open(tmp_path / "x.png") as image:
            assert np.array_equal(np.asarray(image), pixels.squeeze())
            assert TRAINED in image.info["xmp"].decode()
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
