"""uvicorn's HTTP protocol with bounds on what it leaves open, and answers in the usual form.

A connection that sends nothing, or its head for ever, is closed; so is one whose client does not
read its answer before the connection would be closed for idleness. An answer leaves in one write,
its headers spelt and ordered as TensorFlow Serving has them. When the server ends, a request that
comes down an open connection at that moment is still answered.
"""

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

MAX_HEAD = 64 << 10
"""Bytes of a request line and its headers."""

HEAD_S = 10.0
"""The longest that a head may take, from the connection or from its first byte."""

LEAVE_S = 0.1
"""How long an idle connection is still listened to when the server ends."""


class OneWrite(RequestResponseCycle):
    """An answer whose head waits for its body. The application sends its body in one part."""

    _head = b""

    async def send(self, message: "ASGISendEvent") -> None:
        """Keep the head, or write the answer."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.response_started, self.waiting_for_100_continue = True, False
            headers = list(message["headers"])
            headers[1:1] = self.default_headers
            self._head = self._written(message["status"], headers)
        elif message["type"] == "http.response.body":
            body = b"" if self.scope["method"] == "HEAD" else message["body"]
            self.transport.writelines((self._head, body))
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _written(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        elif self.scope["http_version"] == "1.0":
            headers.append((b"connection", b"keep-alive"))
        lines = [b"%s: %s\r\n" % (name.title(), value) for name, value in headers]
        return b"".join((STATUS_LINE[status], *lines, b"\r\n"))


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _late: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0
    _leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head from now on."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head that is not yet whole."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A request's first byte is here."""
        self._in_head = True
        self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole: its time and size no longer count."""
        self._cancel()
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()
        if self.cycle:
            # uvicorn makes it by name and runs it in the loop's next turn; it has nothing to hook.
            self.cycle.__class__ = OneWrite
            self.cycle.keep_alive = self.parser.should_keep_alive() and not self._leaving

    def shutdown(self) -> None:
        """Close once the client is idle: now it may be sending, and have no answer yet."""
        self._leaving = True
        if self._idle:
            self.loop.call_later(LEAVE_S, self._leave)
        else:
            super().shutdown()

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _leave(self) -> None:
        if self._idle:
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, whether its client has read the last answer or not."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _expect_head(self) -> None:
        self._cancel()
        self._late = self.loop.call_later(HEAD_S, self._abort)

    def _abort(self) -> None:
        self.transport.abort()

    def _cancel(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; uvicorn's answer, and no timer is left behind."""
        self._cancel()
        super().send_400_response(msg)
