"""Certificates for the tests of TLS: an authority, and what it signed."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def name(of: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, of)])


def certificate(
    folder: Path, of: str, signer: tuple[x509.Certificate, Any] | None = None
) -> tuple[x509.Certificate, Any]:
    """Make ``<of>.pem`` and ``<of>.key``: an authority's, or one that it signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name(of))
        .issuer_name(signer[0].subject if signer else name(of))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer[1] if signer else key, hashes.SHA256())
    )
    (folder / f"{of}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{of}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made, key


def family(folder: Path) -> Path:
    """Make an authority "ca", a "hub" and a "client" of it, and a "stranger"."""
    authority = certificate(folder, "ca")
    certificate(folder, "hub", authority)
    certificate(folder, "client", authority)
    certificate(folder, "stranger")
    return folder
