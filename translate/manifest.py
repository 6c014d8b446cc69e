"""C2PA manifests: a signed statement of who made a picture, from what and with which program, inside its file.

C2PA Technical Specification 2.2: https://spec.c2pa.org. Signed with the user's own key, without any network, by the
package ``c2pa-python``, which the extra ``gantk[c2pa]`` installs.
"""

from __future__ import annotations

import mimetypes
import re
import tempfile
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from translate.errors import GantkError, UsageError, one_line
from translate.provenance import COMPOSITE

TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff"}
"""Formats of ours that can hold a manifest, and their media types."""

_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----\n?", re.DOTALL)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"ocsp_fetch": False, "remote_manifest_fetch": False, "verify_trust": False},
}
"""No thumbnail of the photo inside the result, and nothing is fetched from anywhere."""


def _library(flag: str) -> ModuleType:
    try:
        return import_module("c2pa")
    except ImportError:
        raise UsageError(f"{flag}: needs the package c2pa-python; pip install 'gantk[c2pa]' installs it") from None


class Signer:
    """Signs with the private key and the certificates, the signer's first, that a PEM file holds together.

    Raises ``UsageError`` that names ``flag`` where the file, or the package, is not there or does not do.
    """

    def __init__(self, flag: str, file: Path) -> None:
        self._c2pa: Any = _library(flag)
        try:
            text = file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"{flag} {file}: cannot be read; expected a PEM file") from None
        key, certificates = _KEY.search(text), _CERTIFICATE.findall(text)
        if key is None or not certificates:
            missing = "private key" if key is None else "certificate"
            raise UsageError(f"{flag} {file}: holds no {missing}; expected a PEM file with a key and its certificates")
        self._key, self._chain = key.group().encode(), "".join(certificates).encode()
        self._context = self._c2pa.Context(self._c2pa.Settings.from_dict(_SETTINGS))
        try:
            self._algorithm = _algorithm(self._key)
            self._signer().close()
        except (self._c2pa.C2paError, ValueError, TypeError) as error:
            raise UsageError(f"{flag} {file}: cannot sign ({one_line(error)})") from None

    def sign(
        self, file: BinaryIO, format_: str, made: str, parent: Path | None = None, source: str = COMPOSITE
    ) -> bool:
        """Put a manifest into the picture that ``file`` holds; False where its format has no room for one.

        ``made``: how, in words. ``parent``: the photo that it was made from, whose own manifest is kept inside ours.
        ``source``: the IPTC digital source type. Raises ``GantkError`` where the picture cannot be signed.
        """
        if format_ not in TYPES:
            return False
        c2pa = self._c2pa
        agent = {"name": "gantk", "version": version("gantk")}
        action = {"digitalSourceType": source, "softwareAgent": agent, "parameters": {"description": made}}
        try:
            builder = c2pa.Builder({"claim_generator_info": [agent], "assertions": []}, self._context)
            kind = None if parent is None else mimetypes.guess_type(parent.name)[0]
            if parent is None or kind not in c2pa.Builder.get_supported_mime_types():
                builder.add_action({"action": "c2pa.created"} | action)
            else:
                builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
                with parent.open("rb") as photo:
                    builder.add_ingredient({"title": parent.name, "relationship": "parentOf"}, kind, photo)
                builder.add_action({"action": "c2pa.edited"} | action)
            with tempfile.TemporaryFile(prefix="gantk-") as signed:
                file.seek(0)
                builder.sign(self._signer(), TYPES[format_], file, signed)
                file.seek(0)
                file.truncate()
                signed.seek(0)
                while block := signed.read(1 << 20):
                    file.write(block)
        except c2pa.C2paError as error:
            raise GantkError(f"cannot be signed ({one_line(error)})") from None
        return True

    def _signer(self) -> Any:
        return self._c2pa.Signer.from_info(
            self._c2pa.C2paSignerInfo(self._algorithm.encode(), self._chain, self._key, None)
        )


def _algorithm(key: bytes) -> str:
    """The one that the key is for. Raises ``ValueError`` for a key of another kind."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(key, None)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        sizes = {256: "es256", 384: "es384", 521: "es512"}
        if private.key_size in sizes:
            return sizes[private.key_size]
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise ValueError("expected an RSA, Ed25519, P-256, P-384 or P-521 key")


@dataclass(frozen=True)
class Statement:
    """What a picture's manifest states. ``state``: Valid, Trusted or Invalid, as the library judges it; ``signer``: as
    its certificate names it; ``program``: what made it; ``sources``: the IPTC digital source types of its actions."""

    state: str
    signer: str
    program: str
    sources: tuple[str, ...]


def read_statement(path: Path) -> Statement | None:
    """The statement of a picture; None where it has none. Raises ``UsageError`` where the package is not there."""
    c2pa: Any = _library(str(path))
    context = c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))
    try:
        reader = c2pa.Reader.try_create(path, context=context)
        if reader is None:
            return None
        manifest = reader.get_active_manifest() or {}
        state = str(reader.get_validation_state())
    except c2pa.C2paError as error:
        return Statement(f"cannot be read ({one_line(error)})", "", "", ())
    signature = manifest.get("signature_info", {})
    programs = [f"{each.get('name')} {each.get('version', '')}".strip() for each in manifest["claim_generator_info"]]
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
    ]
    sources = tuple(str(action["digitalSourceType"]) for action in actions if "digitalSourceType" in action)
    who = signature.get("common_name") or signature.get("issuer") or "unknown"
    return Statement(state, str(who), ", ".join(programs), sources)
