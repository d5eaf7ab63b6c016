"""Where the gRPC server listens, and with which credentials: addresses, TLS, channel arguments."""

import ipaddress
import socket
from pathlib import Path
from typing import Any

import grpc
import structlog

from relentless.proto.errors import InvalidSettings, ModelUnavailable
from relentless.proto.gen import model_server_pb2
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.text_files import read_message

log = structlog.get_logger(__name__)

LOOPBACK = ("127.0.0.1", "[::1]")

_OWN_ARGUMENTS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)


def addresses(options: ServerOptions) -> tuple[str, ...]:
    """Give the addresses that the flags ask for, the first of each port first.

    Raises:
        InvalidSettings: there is none.
    """
    found: list[str] = []
    if options.port:
        hosts = (options.bind_address,) if options.bind_address else LOOPBACK
        found += [f"{_bracketed(host)}:{options.port}" for host in hosts]
    if options.grpc_socket_path:
        found.append(f"unix:{options.grpc_socket_path}")
    if not found:
        raise InvalidSettings(
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be "
            "set: give --port or --grpc_socket_path"
        )
    return tuple(found)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def require_local(address: str, *, certified: bool = False) -> None:
    """Accept loopback and Unix sockets: TensorFlow Serving's contract knows no credential.

    Args:
        address: where to listen.
        certified: every client shows a certificate, and then any address will do.

    Raises:
        InvalidSettings: an address that others can reach.
    """
    host = address.rpartition(":")[0].strip("[]")
    if certified or address.startswith("unix:") or host == "localhost":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise InvalidSettings(
        f"the model server asks for no credential, so it does not listen on {address}: give "
        "127.0.0.1:8500 or unix:/path/to/socket, or ask for clients' certificates with "
        "--ssl_config_file"
    )


def read_ssl(path: str) -> Any:
    """Read ``--ssl_config_file``; None where the flag is empty.

    Raises:
        InvalidSettings: the file does not parse, or lacks what TLS needs.
    """
    if not path:
        return None
    config = read_message(Path(path), model_server_pb2.SSLConfig())
    if not all("-----BEGIN" in text for text in (config.server_key, config.server_cert)):
        raise InvalidSettings(f"{path}: server_key and server_cert are PEM texts, and both needed")
    if config.client_verify and not config.custom_ca:
        raise InvalidSettings(f"{path}: client_verify needs custom_ca, the PEM text to verify by")
    return config


def channel_arguments(text: str) -> list[tuple[str, Any]]:
    """Read ``--grpc_channel_arguments``: numbers where they are numbers, else texts.

    Raises:
        InvalidSettings: an argument without a value.
    """
    found = dict(_OWN_ARGUMENTS)
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise InvalidSettings(f"--grpc_channel_arguments: {part} is not key=value")
        try:
            number = int(value)
        except ValueError:
            found[key] = value
        else:
            if not -(1 << 31) <= number < 1 << 31:
                raise InvalidSettings(f"--grpc_channel_arguments: {part} is over 32 bits")
            found[key] = number
    return list(found.items())


def listen(server: grpc.Server, wanted: tuple[str, ...], ssl: Any) -> tuple[str, ...]:
    """Open every address, and give them with the ports that they got.

    A machine without IPv6 has no ``[::1]``, which is left out beside another address.

    Raises:
        ModelUnavailable: an address that is taken, or keys that do not fit.
    """
    opened: list[str] = []
    for address in wanted:
        try:
            port = _open(server, address, ssl)
        except RuntimeError as error:
            if opened and address.startswith("[::1]:"):
                log.warning("not listening on IPv6", address=address)
                continue
            hint = ", or the keys of --ssl_config_file do not fit" if ssl else ""
            raise ModelUnavailable(
                f"the model server cannot listen on {address}{hint}: {_why(address) or error}"
            ) from error
        named = address.startswith("unix:")
        opened.append(address if named else f"{address.rpartition(':')[0]}:{port}")
    return tuple(opened)


def _why(address: str) -> str:
    """Say why a TCP address cannot be had; gRPC itself says so on no more than its own log."""
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return ""
    host = host.strip("[]")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _open(server: grpc.Server, address: str, ssl: Any) -> int:
    if ssl is None:
        return int(server.add_insecure_port(address))
    credentials = grpc.ssl_server_credentials(
        [(ssl.server_key.encode(), ssl.server_cert.encode())],
        root_certificates=ssl.custom_ca.encode() or None,
        require_client_auth=ssl.client_verify,
    )
    return int(server.add_secure_port(address, credentials))
