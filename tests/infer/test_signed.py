"""``--sign`` of ``gantk infer``, and what ``gantk inspect`` reads of a picture."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import pytest
from infer_fakes import publish
from PIL import Image
from torch import nn

from translate.cli.app import run
from translate.errors import UsageError
from translate.infer.folder import infer
from translate.infer.options import InferOptions
from translate.infer.summary import Summary
from translate.manifest import Signer, read_statement
from translate.provenance import COMPOSITE


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signer's key and certificate, and that of an authority of one test."""
    pytest.importorskip("c2pa")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def certificate(owner: str, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        def name(text: str) -> x509.Name:
            parts = ((NameOID.COMMON_NAME, text), (NameOID.ORGANIZATION_NAME, "Tests"))
            return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])

        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(owner))
            .issuer_name(name("Authority"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + 30 * day)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        )
        if not ca:
            purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purposes, critical=False)
        return builder.sign(authority, hashes.SHA256())

    encoding = serialization.Encoding.PEM
    path = tmp_path_factory.mktemp("keys") / "signer.pem"
    path.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate("Signer", key.public_key(), ca=False).public_bytes(encoding)
        + certificate("Authority", authority.public_key(), ca=True).public_bytes(encoding)
    )
    return path


def translate(photo: Path, out: Path, pem: Path) -> Summary:
    return infer(publish(nn.Identity()), [photo], out, InferOptions(device="cpu", sign=pem))


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.tif"])
def test_a_signed_result_states_its_signer_and_its_photo(
    name: str, pem: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photo, out = tmp_path / name, tmp_path / "out"
    Image.new("RGB", (40, 30), (200, 90, 10)).save(photo)
    summary = translate(photo, out, pem)
    assert (summary.done, summary.failures) == (1, [])
    with Image.open(out / name) as result:
        assert result.size == (40, 30)
        result.load()
    statement = read_statement(out / name)
    assert statement is not None
    assert (statement.state, statement.signer) == ("Valid", "Signer")
    assert statement.program.startswith("gantk ")
    assert COMPOSITE in statement.sources
    assert run(["inspect", str(out / name)]) == 0
    shown = capfd.readouterr().out
    assert "compositeWithTrainedAlgorithmicMedia" in shown
    assert "Valid: signed by Signer, made with gantk" in shown


def test_a_signed_result_can_be_the_photo_of_another(pem: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "x.png")
    translate(tmp_path / "x.png", tmp_path / "one", pem)
    assert translate(tmp_path / "one" / "x.png", tmp_path / "two", pem).done == 1
    statement = read_statement(tmp_path / "two" / "x.png")
    assert statement is not None
    assert statement.state == "Valid"


def test_a_changed_picture_is_no_longer_valid(pem: Path, tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / "x.tif")
    translate(tmp_path / "x.tif", tmp_path / "out", pem)
    result = tmp_path / "out" / "x.tif"
    pixels = bytearray(result.read_bytes())
    pixels[200] ^= 255
    result.write_bytes(pixels)
    statement = read_statement(result)
    assert statement is not None
    assert statement.state != "Valid"


def test_a_format_without_room_is_written_and_named(pem: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "x.bmp")
    summary = translate(tmp_path / "x.bmp", tmp_path / "out", pem)
    assert summary.done == 1
    assert "bmp has no room for a C2PA manifest, so it is not signed" in summary.notes


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", None])
def test_a_file_that_cannot_sign_is_refused(text: str | None, pem: Path, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    if text is not None:
        file.write_text(text, encoding="ascii")
    with pytest.raises(UsageError, match=r"^--sign .*key\.pem"):
        Signer("--sign", file)


def test_a_key_without_its_certificate_is_refused(pem: Path, tmp_path: Path) -> None:
    text = pem.read_text(encoding="ascii")
    (tmp_path / "key.pem").write_text(text[: text.index("-----BEGIN CERTIFICATE")], encoding="ascii")
    with pytest.raises(UsageError, match="holds no certificate"):
        Signer("--sign", tmp_path / "key.pem")


def test_without_the_package_the_flag_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(UsageError, match=r"--sign: needs the package c2pa-python"):
        Signer("--sign", tmp_path / "key.pem")


def test_inspect_shows_a_picture_that_states_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "x.png")
    assert run(["inspect", str(tmp_path / "x.png")]) == 0
    shown = capfd.readouterr().out
    assert "40 x 30, PNG" in shown
    assert "not stated" in shown
