"""A gRPC channel to a predictor: plain, or with TLS by its settings.

gRPC takes PEM bytes, not an ``ssl`` context, and knows no ``SSL_CERT_FILE``: the authorities that
``TlsSettings.calling`` trusts are read here. The feed and the hub take the context itself.
"""

import ssl
from pathlib import Path

import grpc

from relentless.configs.access import TlsSettings


def predictor_channel(address: str, tls: TlsSettings | None) -> grpc.aio.Channel:
    """Open a channel to "host:port"; nothing is sent yet.

    Raises:
        OSError: a file of the settings cannot be read.
    """
    if tls is None:
        return grpc.aio.insecure_channel(address)
    authorities = ssl.get_default_verify_paths().cafile
    return grpc.aio.secure_channel(
        address,
        grpc.ssl_channel_credentials(
            root_certificates=Path(authorities).read_bytes() if authorities else None,
            private_key=tls.own_key.read_bytes() if tls.own_key else None,
            certificate_chain=tls.own_cert.read_bytes() if tls.own_cert else None,
        ),
    )
