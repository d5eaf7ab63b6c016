"""The hub's connections, bounded: how many, how long a request may take, how large its head is.

uvicorn waits for ever for a request that was begun, and takes any number of headers. Each refusal
is a short JSON answer, and ends its connection. Above stands the HTTP server; what a request says
is nobody's business here.
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD: Final = 65_536
"""Bytes of a request before its body."""
_SDK_LOG: Final = logging.getLogger("mcp.server.streamable_http")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a listener takes."""

    connections: int = 4_096
    request_s: float = 30.0
    """Wall seconds in which a request must have come, body and all."""


def log_no_lost_clients() -> None:
    """Have the SDK log no traceback for a client that goes away within its body: any may."""
    _SDK_LOG.addFilter(_stayed)


def _stayed(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], ClientDisconnect)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None
        self._head = 0
        """Bytes of a head that is not complete yet."""
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, where there is room for it."""
        super().connection_made(transport)  # type: ignore[arg-type] # uvloop's is one in all but its base
        if len(self.connections) > self._limits.connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "too many connections")
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a request that they begin has its time from here."""
        if self.transport.is_closing():
            return
        if self._deadline is None:
            self._arm()
        if not self._in_body:
            self._head += len(data)
        super().data_received(data)
        if self._head > MAX_HEAD and not self._in_body and not self.transport.is_closing():
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "invalid_input",
                f"the request's head is larger than {MAX_HEAD} bytes",
            )

    def on_headers_complete(self) -> None:
        """Begin with the body."""
        self._head, self._in_body = 0, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request's time."""
        self._head, self._in_body = 0, False
        self._disarm()
        super().on_message_complete()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self._limits.request_s, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        """End a request that does not come, unless it is this side that does not read it."""
        self._deadline = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self._arm()
            return
        self._refuse(
            HTTPStatus.REQUEST_TIMEOUT,
            "deadline_exceeded",
            f"a request has {self._limits.request_s:g} s to come",
        )

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Say why, where nothing was said yet, and close."""
        self._disarm()
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = json.dumps({"error": {"code": code, "message": message}}).encode()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()
