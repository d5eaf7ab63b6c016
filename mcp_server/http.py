"""The hub over HTTP: MCP, the predictors' control plane, and health, in one ASGI application.

Around the SDK's application stands a thin one that takes a key from ``X-API-Key``, strips header
values, which one of the two HTTP parsers leaves padded, and completes refusals.
"""

import asyncio
import math
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, cast

import uvicorn
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.routes import (
    build_resource_metadata_url,
    create_protected_resource_routes,
)
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel import Server as McpServer
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from pydantic import AnyHttpUrl, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relentless.configs.access import LOOPBACK, TlsSettings
from relentless.configs.settings import HubSettings
from relentless.mcp_server.auth import READ_SCOPE, Gate, HubToken, KeyVerification
from relentless.mcp_server.connections import BoundedProtocol, Limits, log_no_lost_clients
from relentless.mcp_server.control import LeaseControl, LeaseRequest
from relentless.mcp_server.fast import FastPublish
from relentless.mcp_server.oauth import SCOPES
from relentless.mcp_server.refusals import Plain
from relentless.mcp_server.sessions import MAX_SESSIONS, Sessions
from relentless.mcp_server.toolbox import Toolbox
from relentless.proto.base import explain
from relentless.proto.errors import Forbidden, Overloaded, RelentlessError
from relentless.tools.access import HEALTH, LEASE

MAX_LEASE_BYTES: Final = 65_536
OPEN: Final = ("/mcp", "/health", "/.well-known/")
"""Paths whose Host and Origin are not looked at here: the SDK does it for the first, and the others
say nothing that is not public, to probes by address and to browsers."""
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
    log_no_lost_clients()
    hosts = dict.fromkeys(
        f"[{host}]" if ":" in host and host[0] != "[" else host
        for host in (*LOOPBACK, settings.host, *settings.allowed_hosts)
    )
    security = TransportSecuritySettings(
        allowed_hosts=[*hosts, *(f"{host}:*" for host in hosts)],
        allowed_origins=[
            f"{scheme}://{host}{port}"
            for scheme in ("http", "https")
            for host in hosts
            for port in ("", ":*")
        ],
    )
    inner = server.streamable_http_app(
        json_response=False,
        max_sessions=MAX_SESSIONS,
        auth=AuthSettings(
            issuer_url=AnyHttpUrl(settings.base_url),
            resource_server_url=None,
            required_scopes=[READ_SCOPE],
        ),
        token_verifier=verification,
        transport_security=security,
        custom_starlette_routes=[
            Route(HEALTH.partition(" ")[2], _health, methods=["GET"]),
            Route(LEASE.partition(" ")[2], _lease(control, gate), methods=["POST"]),
            *_metadata(settings),
        ],
    )
    names = frozenset(host.encode() for host in hosts)
    challenge = Challenge(Sessions(Plain(inner)), verification, _challenge(settings))
    fast = FastPublish(challenge, toolbox, verification, server.server_info, names)
    return Edge(fast, security)


def resource_url(settings: HubSettings) -> str:
    """Give what an access token must be for: the hub as its clients know it."""
    audience = None if settings.oauth is None else settings.oauth.audience
    return audience or settings.url


def _metadata(settings: HubSettings) -> list[Route]:
    """Give the route of RFC 9728; the SDK's own would list the required scopes alone."""
    if settings.oauth is None:
        return []
    return create_protected_resource_routes(
        AnyHttpUrl(resource_url(settings)),
        [AnyHttpUrl(settings.oauth.issuer)],
        scopes_supported=list(SCOPES),
        resource_name="Relentless hub",
    )


def _challenge(settings: HubSettings) -> str:
    """Give what a refusal tells an OAuth client: where to ask for a token, and for which scope."""
    if settings.oauth is None:
        return ""
    at = build_resource_metadata_url(AnyHttpUrl(resource_url(settings)))
    return f'resource_metadata="{at}", scope="{READ_SCOPE}"'


class Edge:
    """The outermost layer, the same for every route.

    It strips header values, gives ``X-API-Key`` where the SDK looks for a bearer token, and holds
    Host and Origin of the hub's own routes against what the SDK allows for ``/mcp``.
    """

    def __init__(self, inner: ASGIApp, security: TransportSecuritySettings) -> None:
        self._inner = inner
        self._security = TransportSecurityMiddleware(security)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = [(name, value.strip()) for name, value in scope["headers"]]
        names = {name for name, _ in headers}
        if b"authorization" not in names and b"x-api-key" in names:
            key = next(value for name, value in headers if name == b"x-api-key")
            headers.append((b"authorization", b"Bearer " + key))
        scope = {**scope, "headers": headers}
        if not scope["path"].startswith(OPEN):
            refusal = await self._security.validate_request(Request(scope))
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        # Whose client went away within its body needs no answer, and no line in the log.
        with suppress(ClientDisconnect):
            await self._inner(scope, receive, send)


class Challenge:
    """Counts what is answered 401, and completes what a refusal asks of the client."""

    def __init__(self, inner: ASGIApp, verification: KeyVerification, challenge: str) -> None:
        self._inner = inner
        self._verification = verification
        self._challenge = challenge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and look at how its answer starts."""

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (401, 403):
                self._verification.refused += message["status"] == 401
                message = {**message, "headers": self._challenged(message)}
            await send(message)

        await self._inner(scope, receive, watched)

    def _challenged(self, message: Message) -> list[tuple[bytes, bytes]]:
        headers = dict(message.get("headers", ()))
        said = headers.get(b"www-authenticate", b"Bearer" if message["status"] == 401 else b"")
        if said and self._challenge:
            said += (b" " if said == b"Bearer" else b", ") + self._challenge.encode()
        if said:
            headers[b"www-authenticate"] = said
        return list(headers.items())


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


def _tls(tls: TlsSettings | None) -> dict[str, Any]:
    if tls is None:
        return {}
    mutual = tls.client_ca is not None
    return {
        "ssl_certfile": tls.cert,
        "ssl_keyfile": tls.key,
        "ssl_ca_certs": str(tls.client_ca) if mutual else None,
        "ssl_cert_reqs": ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE,
    }


class HttpServer(uvicorn.Server):
    """uvicorn that leaves signals to the process and ends open streams gracefully."""

    def __init__(
        self,
        app: ASGIApp,
        before_end: Callable[[], None],
        tls: TlsSettings | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=cast(
                    type[asyncio.Protocol], partial(BoundedProtocol, limits=limits or Limits())
                ),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_S,
                **_tls(tls),
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
