"""The hub over HTTP: MCP, the predictors' control plane, and health, in one ASGI application.

Around the SDK's application stands a thin one that takes a key from ``X-API-Key`` and strips
header values, which one of the two HTTP parsers leaves padded.
"""

import asyncio
import math
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel import Server as McpServer
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relentless.configs.settings import HubSettings
from relentless.mcp_server.auth import Gate, HubToken, KeyVerification
from relentless.mcp_server.control import LeaseControl, LeaseRequest
from relentless.mcp_server.fast import FastPublish
from relentless.mcp_server.toolbox import Toolbox
from relentless.proto.base import explain
from relentless.proto.errors import Forbidden, Overloaded, RelentlessError
from relentless.tools.access import HEALTH, LEASE

MAX_LEASE_BYTES: Final = 65_536
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
GRACE_S: Final = 2
"""Seconds that open requests get when the hub ends."""


def application(
    settings: HubSettings,
    server: "McpServer[dict[str, object]]",
    toolbox: Toolbox,
    verification: KeyVerification,
    control: LeaseControl,
    gate: Gate,
) -> ASGIApp:
    """Give the whole ASGI application."""
    hosts = dict.fromkeys((*LOOPBACK, settings.host, *settings.allowed_hosts))
    inner = server.streamable_http_app(
        json_response=False,
        auth=AuthSettings(
            issuer_url=AnyHttpUrl(f"http://{settings.host}:{settings.port}"),
            resource_server_url=None,
        ),
        token_verifier=verification,
        transport_security=TransportSecuritySettings(
            allowed_hosts=[*hosts, *(f"{host}:*" for host in hosts)],
            allowed_origins=[f"http://{host}:*" for host in hosts],
        ),
        custom_starlette_routes=[
            Route(HEALTH.partition(" ")[2], _health, methods=["GET"]),
            Route(LEASE.partition(" ")[2], _lease(control, gate), methods=["POST"]),
        ],
    )
    names = frozenset(host.encode() for host in hosts)
    fast = FastPublish(inner, toolbox, verification, server.server_info, names)
    return KeyHeader(fast, verification)


class KeyHeader:
    """Strips header values, and gives ``X-API-Key`` where the SDK looks for a bearer token.

    Counts the requests that are answered 401.
    """

    def __init__(self, inner: ASGIApp, verification: KeyVerification) -> None:
        self._inner = inner
        self._verification = verification

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            headers = [(name, value.strip()) for name, value in scope["headers"]]
            names = {name for name, _ in headers}
            if b"authorization" not in names and b"x-api-key" in names:
                key = next(value for name, value in headers if name == b"x-api-key")
                headers.append((b"authorization", b"Bearer " + key))
            scope = {**scope, "headers": headers}
        await self._inner(scope, receive, self._counting(send))

    def _counting(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                self._verification.refused += 1
            await send(message)

        return counted


async def _health(_: Request) -> Response:
    return JSONResponse({"ok": True})


def _lease(control: LeaseControl, gate: Gate) -> Callable[[Request], object]:
    async def lease(request: Request) -> Response:
        user = request.scope.get("user")
        token = user.access_token if isinstance(user, AuthenticatedUser) else None
        if not isinstance(token, HubToken):
            return _refused(401, "unauthenticated", "send an API key of role predictor")
        try:
            gate.route(LEASE, token.principal)
        except Overloaded as error:
            return _refused(429, error.code, str(error), error.retry_after)
        except Forbidden as error:
            return _refused(403, error.code, str(error))
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_LEASE_BYTES:
                return _refused(413, "invalid_input", f"at most {MAX_LEASE_BYTES} bytes")
        try:
            answer = await control.lease(LeaseRequest.model_validate_json(bytes(body)))
        except ValidationError as error:
            return _refused(400, "invalid_input", explain(error))
        except RelentlessError as error:
            return _refused(503, error.code, str(error))
        return Response(answer.model_dump_json(), media_type="application/json")

    return lease


def _refused(status: int, code: str, message: str, retry_after: float | None = None) -> Response:
    said: dict[str, object] = {"code": code, "message": message}
    headers: dict[str, str] = {}
    if retry_after is not None:
        said["retry_after"] = round(retry_after, 3)
        headers["retry-after"] = str(math.ceil(retry_after))
    return JSONResponse({"error": said}, status, headers)


class HttpServer(uvicorn.Server):
    """uvicorn that leaves signals to the process and ends open streams gracefully."""

    def __init__(self, app: ASGIApp, before_end: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._before_end = before_end
        self.ready = asyncio.Event()
        """Set once requests are accepted."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: first the streams and the waits, so that nothing is left to be cut."""
        self._before_end()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """Give a listening socket; port 0 takes a free one.

    Raises:
        OSError: the address is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Inherited by every connection: an answer in two writes must not wait for a delayed ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1_024)
    except OSError:
        listener.close()
        raise
    return listener
