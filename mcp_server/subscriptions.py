"""Push in both protocol eras: "this resource changed", at most every so often for each URI.

2026-07-28 clients hold a ``subscriptions/listen`` stream on the bus; older ones subscribe on their
session, which this module keeps count of, because the SDK does not. Events are cues without
content: a client reads on from its own cursor.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated

from relentless.proto.errors import InvalidInput, Overloaded

log = structlog.get_logger()
EVERY_S: Final = 0.05
"""The first change goes out at once; more within this time go out as one at its end."""
MAX_PER_SESSION: Final = 100
"""Resources that one session or one stream may watch."""
MAX_URI: Final = 512
MAX_STREAMS: Final = 2_048
MAX_STREAMS_EACH: Final = 1_024
"""Of one caller: nobody can take all of them."""


class Push:
    """Tells subscribers that resources changed."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self._legacy: dict[str, set[object]] = {}
        """By URI, the connections that subscribed to it."""
        self._sessions: dict[object, ServerSession] = {}
        """By connection the session of its first subscription: each request has one, of 7 KB."""
        self._quiet: dict[str, bool] = {}
        """URIs told of within the last moment, and whether they changed again since."""
        self._tasks: set[asyncio.Task[None]] = set()

    def changed(self, uri: str) -> None:
        """Tell the subscribers of a URI, now or at the end of its quiet time."""
        if uri in self._quiet:
            self._quiet[uri] = True
            return
        self._quiet[uri] = False
        self._spawn(uri)
        asyncio.get_running_loop().call_later(EVERY_S, self._loud, uri)

    def subscribe(self, ctx: ServerRequestContext[Any, Any], uri: str) -> None:
        """Take up a session's subscription (the protocols before 2026-07-28).

        Raises:
            Overloaded: the session holds too many.
            InvalidInput: an address that is too long.
        """
        check_uris((uri,))
        connection = _connection(ctx)
        if connection not in self._sessions:
            connection.exit_stack.callback(self._forget, connection)
            self._sessions[connection] = ctx.session
        held = sum(connection in connections for connections in self._legacy.values())
        if held >= MAX_PER_SESSION:
            raise Overloaded(f"a session may subscribe to {MAX_PER_SESSION} resources")
        self._legacy.setdefault(uri, set()).add(connection)

    def unsubscribe(self, ctx: ServerRequestContext[Any, Any], uri: str) -> None:
        """End a session's subscription."""
        connections = self._legacy.get(uri, set())
        connections.discard(_connection(ctx))
        if not connections:
            self._legacy.pop(uri, None)

    def watched(self) -> int:
        """Give how many subscriptions sessions hold."""
        return sum(map(len, self._legacy.values()))

    def close(self) -> None:
        """Send nothing more."""
        for task in self._tasks:
            task.cancel()

    def _loud(self, uri: str) -> None:
        if self._quiet.pop(uri, False):
            self.changed(uri)

    def _spawn(self, uri: str) -> None:
        task = asyncio.get_running_loop().create_task(self._send(uri))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri=uri))
        for connection in list(self._legacy.get(uri, ())):
            try:
                if (session := self._sessions.get(connection)) is not None:
                    await session.send_resource_updated(uri)
            except Exception as error:  # a session that went away must not stop the others
                log.info("subscriber went away", uri=uri, error=type(error).__name__)
                self._forget(connection)

    def _forget(self, connection: object) -> None:
        self._sessions.pop(connection, None)
        for uri in [uri for uri, held in self._legacy.items() if connection in held]:
            self._legacy[uri].discard(connection)
            if not self._legacy[uri]:
                del self._legacy[uri]


class Streams:
    """Counts the listen streams that each caller holds."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, key_id: str) -> Iterator[None]:
        """Count a stream for as long as the block lasts.

        Raises:
            Overloaded: the caller holds too many.
        """
        if self._open[key_id] >= MAX_STREAMS_EACH:
            raise Overloaded(f"a caller may hold {MAX_STREAMS_EACH} streams; end one first")
        self._open[key_id] += 1
        try:
            yield
        finally:
            self._open[key_id] -= 1
            if not self._open[key_id]:
                del self._open[key_id]


def check_uris(uris: Sequence[str]) -> None:
    """Do nothing where a stream may watch these: they are kept for as long as it lasts.

    Raises:
        InvalidInput: too many, or one that is too long.
    """
    if len(uris) > MAX_PER_SESSION:
        raise InvalidInput(f"a stream may watch {MAX_PER_SESSION} resources; open another one")
    if any(len(uri) > MAX_URI for uri in uris):
        raise InvalidInput(f"an address has at most {MAX_URI} characters")


def _connection(ctx: ServerRequestContext[Any, Any]) -> Any:
    """Give what lasts as long as the client's session; the SDK has no public name for it."""
    return ctx.session._connection
