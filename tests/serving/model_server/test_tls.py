"""The model server over TLS: --ssl_config_file, and certificates that clients must show."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relentless.proto.errors import InvalidSettings
from relentless.serving.model_server.listeners import read_ssl
from relentless.serving.model_server.main import models_for
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.server import ModelServer, start

from .by_flags import answer, refusal
from .upstream_models import half_plus


class Pair(NamedTuple):
    """A certificate, its key, and both as PEM."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()


def certify(of: str, signer: Pair | None = None) -> Pair:
    """Make an authority's certificate, or one that it signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, of)])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer.key if signer else key, hashes.SHA256())
    )
    return Pair(made, key)


AUTHORITY = certify("ca")
PEM = "-----BEGIN CERTIFICATE-----"
SERVER, CLIENT, STRANGER = certify("server", AUTHORITY), certify("c", AUTHORITY), certify("s")


def ssl_file(folder: Path, *, verify: bool) -> Path:
    """Write an SSLConfig with the PEM texts in it."""
    texts = {"server_key": SERVER.key_pem, "server_cert": SERVER.pem}
    if verify:
        texts["custom_ca"] = AUTHORITY.pem
    lines = [f'{name}: "{pem}"'.replace("\n", "\\n") for name, pem in texts.items()]
    path = folder / "ssl.config"
    path.write_text("\n".join([*lines, f"client_verify: {str(verify).lower()}"]))
    return path


def secured(folder: Path, address: str = "127.0.0.1:0", *, verify: bool) -> ModelServer:
    half_plus(folder / "m" / "1", 2.0)
    options = ServerOptions(
        grpc_max_threads=2,
        model_base_path=str(folder / "m"),
        ssl_config_file=str(ssl_file(folder, verify=verify)),
    )
    return start(options, models_for(options), (address,))


def trusting(pair: Pair | None = None) -> grpc.ChannelCredentials:
    ca = AUTHORITY.pem.encode()
    if pair is None:
        return grpc.ssl_channel_credentials(ca)
    return grpc.ssl_channel_credentials(ca, pair.key_pem.encode(), pair.pem.encode())


def test_calls_are_encrypted_and_plain_ones_go_nowhere(tmp_path: Path) -> None:
    server = secured(tmp_path, verify=False)
    assert answer(server.address, credentials=trusting()) == (3.0, 1)
    assert refusal(server.address)[0] is grpc.StatusCode.UNAVAILABLE
    server.stop(0.1)


@pytest.mark.promise("P13")
def test_a_client_without_a_certificate_of_the_authority_is_refused(tmp_path: Path) -> None:
    server = secured(tmp_path, "0.0.0.0:0", verify=True)
    address = f"127.0.0.1:{server.address.rpartition(':')[2]}"
    assert answer(address, credentials=trusting(CLIENT)) == (3.0, 1)
    for credentials in (trusting(), trusting(STRANGER)):
        assert refusal(address, credentials=credentials)[0] is grpc.StatusCode.UNAVAILABLE
    server.stop(0.1)


def test_tls_alone_does_not_open_it_to_others(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="no credential"):
        secured(tmp_path, "0.0.0.0:0", verify=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server_key: 'k'", "server_cert"),
        (f"server_key: '{PEM}' server_cert: '{PEM}' client_verify: true", "needs custom_ca"),
        ("server_keys: 'k'", "Error parsing text-format tensorflow.serving.SSLConfig"),
    ],
)
def test_a_file_that_cannot_secure_anything_is_refused(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "ssl.config"
    path.write_text(text)
    with pytest.raises(InvalidSettings, match=words):
        read_ssl(str(path))


def test_keys_that_are_no_pem_are_refused(tmp_path: Path) -> None:
    half_plus(tmp_path / "m" / "1", 2.0)
    path = tmp_path / "ssl.config"
    path.write_text("server_key: 'k' server_cert: 'c'")
    options = ServerOptions(model_base_path=str(tmp_path / "m"), ssl_config_file=str(path))
    with pytest.raises(InvalidSettings, match="PEM"):
        start(options, models_for(options), ("127.0.0.1:0",))
