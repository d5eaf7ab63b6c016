"""REST over HTTP: uvicorn in a thread of its own, the work in a bounded pool of threads.

The loop only moves bytes, so a slow client costs no worker. Everything a client may send is
bounded: the head, the body, what the body unpacks to, all bodies at once, the requests that wait,
and the time for each. Below: ``api.py``.
"""

import asyncio
import socket
import threading
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import structlog
import uvicorn

from relentless.configs.process import allow_files
from relentless.proto.errors import ModelUnavailable
from relentless.serving.model_server.codes import (
    DEADLINE_EXCEEDED,
    INVALID_ARGUMENT,
    UNAVAILABLE,
    UNIMPLEMENTED,
)
from relentless.serving.model_server.metrics import Metrics
from relentless.serving.model_server.rest.api import Answer, RestApi, refusal
from relentless.serving.model_server.rest.json_answers import error_json
from relentless.serving.model_server.rest.paths import API_PREFIX
from relentless.serving.model_server.rest.protocol import BoundedProtocol
from relentless.serving.model_server.rest.start import RestOptions
from relentless.serving.model_server.runtime.capi import TFError

log = structlog.get_logger(__name__)

MAX_BODY = 32 << 20
"""Bytes of one request's body, before and after it is unpacked."""

MAX_BODIES = 256 << 20
"""Bytes of all bodies that are being received or answered."""

MAX_PENDING = 2048
"""Requests that run or wait for a thread."""

MAX_CONNECTIONS = 2048
BACKLOG = 1024
KEEP_ALIVE_S = 60
BODY_S = 30.0
"""The longest that a body may take where requests have no limit."""

START_S = 10.0

VERBS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
"""What the API or its refusals answer; another verb is 501, whatever it asks for."""

CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Gone(Exception):
    """The client left before its body was whole."""


@dataclass(slots=True)
class _Request:
    """One request as far as it has come in."""

    verb: str
    path: str
    query: str
    origin: str
    gzipped: bool
    unread: bool
    body: bytearray = field(default_factory=bytearray)

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> Self:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        return cls(
            verb=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            origin=headers.get(b"origin", b"").decode("latin-1"),
            gzipped=b"gzip" in headers.get(b"content-encoding", b""),
            unread=headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers,
        )

    @property
    def whole(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def of_api(self) -> bool:
        return self.path.lower().startswith(API_PREFIX)


class RestApp:
    """The ASGI application. All of it but the pool's work runs in one thread."""

    def __init__(
        self, api: RestApi, metrics: Metrics, options: RestOptions, pool: ThreadPoolExecutor
    ) -> None:
        self._api = api
        self._metrics = metrics
        self._options = options
        self._pool = pool
        self._held = 0
        self._pending = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = _Request.of(scope)
        try:
            answer = await self._answer(request, receive)
        except _Gone:
            return
        finally:
            self._held -= len(request.body)
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", str(len(answer.body)).encode()),
            *(CORS if self._options.cors and request.of_api else ()),
            *([(b"connection", b"close")] if request.unread else ()),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, request: _Request, receive: Receive) -> Answer:
        if request.verb not in VERBS:
            return refusal(TFError(UNIMPLEMENTED, f"HTTP method not implemented: {request.verb}"))
        if self._options.metrics_path and request.path == self._options.metrics_path:
            return self._metrics_page(request.whole)
        if not request.of_api:
            return Answer(404, error_json(f"Malformed request: {request.verb} {request.whole}"))
        try:
            async with asyncio.timeout(self._options.timeout_s or BODY_S):
                await self._receive(request, receive)
        except TimeoutError:
            return Answer(408, error_json("The request's body did not arrive in time"))
        if len(request.body) > MAX_BODY:
            return Answer(413, error_json(f"The request's body is over {MAX_BODY} bytes"))
        if self._held > MAX_BODIES or self._pending >= MAX_PENDING:
            return refusal(TFError(UNAVAILABLE, "Too many requests are being answered"))
        return await self._run(request)

    def _metrics_page(self, whole: str) -> Answer:
        path = self._options.metrics_path
        if whole != path:
            words = f"Unexpected path: {whole}. Should be {path}"
            return Answer(400, words.encode(), b"text/plain")
        return Answer(200, self._metrics.text().encode(), b"text/plain")

    async def _receive(self, request: _Request, receive: Receive) -> None:
        """Read the body to its end, or until it is more than may be held."""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            part = message.get("body", b"")
            request.body += part
            self._held += len(part)
            if len(request.body) > MAX_BODY or self._held > MAX_BODIES:
                return
            more = message.get("more_body", False)
        request.unread = False

    async def _run(self, request: _Request) -> Answer:
        """Let a thread of the pool answer; the caller is not kept past the time limit."""
        self._pending += 1
        try:
            async with asyncio.timeout(self._options.timeout_s):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._pool, self._work, request)
        except TimeoutError:
            return refusal(TFError(DEADLINE_EXCEEDED, "Timed out waiting for notification"))
        finally:
            self._pending -= 1

    def _work(self, request: _Request) -> Answer:
        body = bytes(request.body)
        if request.gzipped and body:
            try:
                body = unpacked(body)
            except TFError as error:
                return refusal(error)
        return self._api.answer(request.verb, request.whole, body, request.origin)


def unpacked(body: bytes) -> bytes:
    """Unpack a gzip body; one that is damaged or cut off counts as empty, as there.

    Raises:
        TFError: it holds over ``MAX_BODY`` bytes.
    """
    reader = zlib.decompressobj(wbits=31)
    try:
        plain = reader.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        log.warning("Failed to uncompress the gzipped body", reason=str(error))
        return b""
    if len(plain) > MAX_BODY:
        raise TFError(INVALID_ARGUMENT, f"The gzipped body holds over {MAX_BODY} bytes")
    if not reader.eof or reader.unused_data:
        log.warning("Failed to uncompress the gzipped body", reason="it is cut off or goes on")
        return b""
    return plain


class _Uvicorn(uvicorn.Server):
    """uvicorn that tells another thread when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _listen(hosts: tuple[str, ...], port: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Without the protocol asyncio leaves Nagle's algorithm on: 40 ms an answer.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            sock.close()
            if opened and ":" in host:
                continue
            for other in opened:
                other.close()
            raise ModelUnavailable(
                f"the model server cannot listen for REST on {host}:{port}: {error}"
            ) from error
        opened.append(sock)
        port = sock.getsockname()[1]
    return opened


class RestServer:
    """A listening REST port and its thread."""

    def __init__(self, api: RestApi, metrics: Metrics, options: RestOptions) -> None:
        """Listen; ``start`` answers.

        Raises:
            ModelUnavailable: the address is taken.
        """
        self._sockets = _listen(options.hosts, options.port)
        self._pool = ThreadPoolExecutor(options.threads, thread_name_prefix="rest")
        self._server = _Uvicorn(
            uvicorn.Config(
                RestApp(api, metrics, options, self._pool),
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                limit_concurrency=allow_files(MAX_CONNECTIONS),
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._serve, name="rest-http", daemon=True)

    @property
    def address(self) -> str:
        """Where it listens, as "host:port"."""
        host, port = self._sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def name(self) -> str:
        """What the log calls it: "localhost:port" where it is all of loopback, as there."""
        all_of_it = {"127.0.0.1", "::1"}.issubset(s.getsockname()[0] for s in self._sockets)
        return f"localhost:{self._sockets[0].getsockname()[1]}" if all_of_it else self.address

    def start(self) -> Self:
        """Answer requests from now on.

        Raises:
            ModelUnavailable: the loop did not come up.
        """
        self._thread.start()
        if not self._server.ready.wait(START_S):
            self.stop()
            raise ModelUnavailable("the REST server did not start")
        return self

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=self._sockets))

    def stop(self, grace_s: float = 2.0) -> None:
        """Refuse new requests, let those inside finish, and join the thread.

        Requests that run longer than ``grace_s`` lose their connection.
        """
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(grace_s + 5.0)
        for opened in self._sockets:
            opened.close()
        # Its threads end by themselves: all but those of a run that outlasted the grace are idle.
        self._pool.shutdown(wait=False, cancel_futures=True)
