"""``relentless mcp``: MCP on standard input and output, passed on to the running hub.

For hosts that start a command rather than open a URL. It understands nothing of what it carries but
what HTTP wants in headers: the protocol version, which in the 2026-07-28 protocol every request
states and in the older ones the handshake settles. It opens no storage.
"""

import ssl
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
import mcp_types as types
from mcp.client.streamable_http import streamable_http_client
from mcp.server.stdio import stdio_server
from mcp.shared.inbound import encode_header_value
from mcp.shared.message import ClientMessageMetadata, SessionMessage

from relentless.configs.access import LOOPBACK
from relentless.configs.settings import HubSettings, Settings
from relentless.proto.errors import InvalidInput, NotFound, Unavailable
from relentless.serving.clients.hub import steady_http
from relentless.store.keys import local_credential

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
VERSION_HEADER: Final = "mcp-protocol-version"


class Headers:
    """Gives each message the HTTP headers that its protocol version asks for."""

    def __init__(self) -> None:
        self._settled: str | None = None
        self._initialize: types.RequestId | None = None

    def outbound(self, message: types.JSONRPCMessage) -> SessionMessage:
        """Give a message from the host with its headers."""
        headers: dict[str, str] = {}
        if isinstance(message, types.JSONRPCRequest):
            params: dict[str, Any] = message.params or {}
            version = (params.get("_meta") or {}).get(VERSION_KEY)
            if message.method == "initialize":
                self._settled, self._initialize = None, message.id
            elif version is not None:
                headers[VERSION_HEADER] = str(version)
                headers["mcp-method"] = message.method
                if name := params.get("name") or params.get("uri"):
                    headers["mcp-name"] = encode_header_value(str(name))
        if VERSION_HEADER not in headers and self._settled is not None:
            headers[VERSION_HEADER] = self._settled
        return SessionMessage(message, ClientMessageMetadata(headers=headers))

    def inbound(self, message: types.JSONRPCMessage) -> None:
        """Notice the version that a handshake settles."""
        if isinstance(message, types.JSONRPCResponse) and message.id == self._initialize:
            self._settled = message.result.get("protocolVersion")
            self._initialize = None


async def run(
    settings: Settings, name: str = "reader", url: str | None = None, key_file: Path | None = None
) -> None:
    """Carry messages between the host and the hub until the host closes its end.

    Args:
        settings: the run's, for the hub's address and the folder of the keys.
        name: whose local key to use.
        url: another hub's MCP endpoint.
        key_file: the key to use in place of a local one.

    Raises:
        NotFound: there is no such key.
        InvalidInput: ``url`` is no address that a key may go to.
        Unavailable: no hub answers.
    """
    if key_file is None:
        credential = local_credential(settings.paths.state, name)
    else:
        credential = credential_in(key_file)
    at = settings.hub.url if url is None else safe(url)
    await carry(at, credential, settings.hub.calling())


def credential_in(file: Path) -> str:
    """Read a key from its file.

    Raises:
        NotFound: there is no such file, or none that holds a key.
    """
    try:
        credential = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"no key can be read at {file}: {type(error).__name__}") from error
    if len(credential.split()) != 1:
        raise NotFound(f"{file} holds no key; a key is one line, as in var/keys/reader.key")
    return credential


def safe(url: str) -> str:
    """Give an address back where a key may be sent to it.

    Raises:
        InvalidInput: it is none of a hub, or is beyond this machine and not over TLS.
    """
    try:
        address = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise InvalidInput(f"{url!r} is no address of a hub: {error}") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise InvalidInput(f"{url!r} is no address of a hub; one is {HubSettings().url}")
    if address.scheme == "http" and address.host not in LOOPBACK:
        raise InvalidInput(f"{url} would carry the key in the clear; beyond this machine use https")
    return url


async def carry(url: str, credential: str, tls: ssl.SSLContext | None = None) -> None:
    """Carry messages between the host and the hub at an address, until the host closes its end.

    ``tls`` is what to trust and to show; the machine's authorities where it is not given.

    Raises:
        Unavailable: no hub answers.
    """
    await _reachable(url, tls)
    headers = Headers()
    async with (
        stdio_server() as (from_host, to_host),
        steady_http(credential, tls=tls) as http,
        streamable_http_client(url, http_client=http) as (from_hub, to_hub),
        anyio.create_task_group() as group,
    ):

        async def inward() -> None:
            async for item in from_hub:
                if isinstance(item, SessionMessage):
                    headers.inbound(item.message)
                    await to_host.send(SessionMessage(item.message))

        group.start_soon(inward)
        async for item in from_host:
            if isinstance(item, SessionMessage):
                await to_hub.send(headers.outbound(item.message))
        group.cancel_scope.cancel()


async def _reachable(url: str, tls: ssl.SSLContext | None) -> None:
    address = httpx2.URL(url)
    try:
        async with httpx2.AsyncClient(timeout=5.0, verify=True if tls is None else tls) as http:
            await http.get(address.copy_with(path="/health"))
    except httpx2.TransportError as error:
        raise Unavailable(
            f"no hub answers at {url}; start one with `relentless up` or `relentless hub`"
        ) from error
