"""The newest daily context, for whoever joins a tick to it: in this process, or on Redis.

Neither is ever the only copy: the journal holds every context, and whoever built the newest one
holds it too. The hub opens one store by :func:`open_online` and puts each context that it builds.
"""

import asyncio
from collections.abc import AsyncIterator

from relentless.proto.daily import DailyContext
from relentless.store.ports import OnlineStore


async def open_online(redis_url: str | None) -> OnlineStore:
    """Give the store on Redis, or the one in this process where there is no URL.

    Redis need not be up: each use says for itself whether it could be reached.

    Raises:
        InvalidSettings: the URL is not one of Redis.
    """
    if redis_url is None:
        return LocalOnline()
    from relentless.store.online_redis import RedisOnline

    return RedisOnline(redis_url)


class LocalOnline:
    """An :class:`relentless.store.ports.OnlineStore` for one event loop."""

    def __init__(self) -> None:
        self._context: DailyContext | None = None
        self._changed = asyncio.Event()
        self._closed = False

    async def put_context(self, context: DailyContext) -> None:
        """Make this the newest context, and wake the watchers."""
        self._context = context
        self._wake()

    async def get_context(self) -> DailyContext | None:
        """Give the newest context; None before the first."""
        return self._context

    async def watch(self) -> AsyncIterator[DailyContext]:
        """Give the newest context, then each newer one, until the store is closed.

        A slow watcher skips to the newest: what it missed is no longer the context.
        """
        seen: DailyContext | None = None
        while not self._closed:
            changed = self._changed
            if self._context is not None and self._context is not seen:
                seen = self._context
                yield seen
            else:
                await changed.wait()

    async def close(self) -> None:
        """End the watchers."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
