"""Push in both protocol eras: "this resource changed", at most every so often for each URI.

2026-07-28 clients hold a ``subscriptions/listen`` stream on the bus; older ones subscribe on their
session, which this module keeps count of, because the SDK does not. Events are cues without
content: a client reads on from its own cursor.
"""

import asyncio
from typing import Any, Final

import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated

from relentless.proto.errors import Overloaded

log = structlog.get_logger()
EVERY_S: Final = 0.05
"""The first change goes out at once; more within this time go out as one at its end."""
MAX_PER_SESSION: Final = 100


class Push:
    """Tells subscribers that resources changed."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self._legacy: dict[str, dict[object, ServerSession]] = {}
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
        """
        connection = _connection(ctx)
        held = [sessions for sessions in self._legacy.values() if connection in sessions]
        if not held:
            connection.exit_stack.callback(self._forget, connection)
        if len(held) >= MAX_PER_SESSION:
            raise Overloaded(f"a session may subscribe to {MAX_PER_SESSION} resources")
        self._legacy.setdefault(uri, {})[connection] = ctx.session

    def unsubscribe(self, ctx: ServerRequestContext[Any, Any], uri: str) -> None:
        """End a session's subscription."""
        sessions = self._legacy.get(uri, {})
        sessions.pop(_connection(ctx), None)
        if not sessions:
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
        for connection, session in list(self._legacy.get(uri, {}).items()):
            try:
                await session.send_resource_updated(uri)
            except Exception as error:  # a session that went away must not stop the others
                log.info("subscriber went away", uri=uri, error=type(error).__name__)
                self._forget(connection)

    def _forget(self, connection: object) -> None:
        for uri in [uri for uri, sessions in self._legacy.items() if connection in sessions]:
            self._legacy[uri].pop(connection)
            if not self._legacy[uri]:
                del self._legacy[uri]


def _connection(ctx: ServerRequestContext[Any, Any]) -> Any:
    """Give what lasts as long as the client's session; the SDK has no public name for it."""
    return ctx.session._connection
