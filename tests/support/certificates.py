"""Certificates for tests: an authority of our own, and what it signs, as PEM files."""

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID = dt.timedelta(days=2)
NAMES = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


class Certificate(NamedTuple):
    """A certificate and its key; `both` is one file with key and certificate."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs for this machine; `ca` is what its clients have to trust. One that is there already goes on."""

    def __init__(self, directory: Path, name: str = "Test authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.ca = directory / "ca.pem"
        if self.ca.exists():
            self._key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
            self._name = x509.load_pem_x509_certificate(self.ca.read_bytes()).subject
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        signed = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, password: str | None = None, common_name: str | None = None) -> Certificate:
        """A certificate for a server on loopback or for a client, `name` that of its files; its key encrypted where a password is given."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = (
            _builder(_named(common_name or name), self._name, key.public_key())
            .add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        encryption: serialization.KeySerializationEncryption = (
            serialization.NoEncryption()
            if password is None
            else serialization.BestAvailableEncryption(password.encode())
        )
        made = Certificate(*(self._directory / f"{name}.{it}.pem" for it in ("certificate", "key", "both")))
        made.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        made.key.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )
        made.both.write_bytes(made.key.read_bytes() + made.certificate.read_bytes())
        return made


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
    )
