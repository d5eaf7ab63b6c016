"""Each caller's share of the older protocol's sessions, so that none can take all of them.

The SDK holds the sessions, bounds their number and ends those that are idle, but does not count
whose they are. This layer around it does, by credential. The protocol of 2026-07-28 has none.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import mcp_types as types
from mcp.server.streamable_http_manager import DEFAULT_SESSION_IDLE_TIMEOUT
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_SESSIONS: Final = 2_000
"""Open at a time, of all callers."""
MAX_EACH: Final = 256
SESSION: Final = b"mcp-session-id"
_HANDSHAKE: Final = frozenset(version.encode() for version in HANDSHAKE_PROTOCOL_VERSIONS)
_REFUSED: Final = 400


@dataclass(slots=True)
class _Use:
    """One session: its requests under way, and when the last one began or ended."""

    under_way: int = 0
    last: float = 0.0


class Sessions:
    """Refuses a session beyond its caller's share; passes everything else on."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        each: int = MAX_EACH,
        idle_s: float = DEFAULT_SESSION_IDLE_TIMEOUT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._each = each
        self._idle_s = idle_s
        self._monotonic = monotonic
        self._held: dict[int, dict[bytes, _Use]] = {}
        """By the hash of the credential, then by the session's id."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        known = headers.get(SESSION)
        version = headers.get(b"mcp-protocol-version")
        if scope["type"] != "http" or (known is None and version not in (None, *_HANDSHAKE)):
            await self._inner(scope, receive, send)
            return
        who = hash(headers.get(b"authorization", b""))
        if known is None:
            if scope["path"] == "/mcp" and self.open(who) >= self._each:
                await _refuse(send, self._each)
                return
        elif (use := self._held.get(who, {}).get(known)) is not None:
            use.under_way += 1

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(who, known, scope["method"], message)
            await send(message)

        try:
            await self._inner(scope, receive, watched)
        finally:
            if known is not None and (use := self._held.get(who, {}).get(known)) is not None:
                use.under_way -= 1
                use.last = self._monotonic()

    def open(self, who: int) -> int:
        """Give how many sessions a caller holds, without those that the SDK has ended as idle."""
        held = self._held.get(who, {})
        before = self._monotonic() - self._idle_s
        for number in [n for n, use in held.items() if not use.under_way and use.last < before]:
            del held[number]
        if not held:
            self._held.pop(who, None)
        return len(held)

    def _note(self, who: int, known: bytes | None, method: str, message: Message) -> None:
        """Take up a session that was opened, and forget one that is gone."""
        status = message["status"]
        if known is None:
            opened = dict(message.get("headers", ())).get(SESSION)
            if opened is not None and status < _REFUSED:
                self._held.setdefault(who, {})[opened] = _Use(last=self._monotonic())
        elif status == 404 or (method == "DELETE" and status < _REFUSED):
            self._held.get(who, {}).pop(known, None)


async def _refuse(send: Send, each: int) -> None:
    message = f"a caller may hold {each} sessions; end one (DELETE), or use the 2026-07-28 protocol"
    data = {"code": "overloaded", "message": message, "retryable": True, "retry_after": None}
    error = {"code": types.INTERNAL_ERROR, "message": message, "data": data}
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})
