"""uvicorn's HTTP protocol with bounds on what it leaves open: the size and the time of a head.

A connection that sends nothing, or its head for ever, is closed; so is one whose client does not
read its answer before the connection would be closed for idleness.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 << 10
"""Bytes of a request line and its headers."""

HEAD_S = 10.0
"""The longest that a head may take, from the connection or from its first byte."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _late: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

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
