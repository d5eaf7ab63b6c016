"""Keeps the online store at the newest daily context.

The journal holds every context and this hub serves the newest from memory, so nothing waits for
the online store: where Redis is away, the copy there is late, and comes with Redis.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from relentless.proto.daily import DailyContext
from relentless.proto.errors import Unavailable
from relentless.store.ports import OnlineStore

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
LOOK_EVERY_S: Final = 10.0
"""How often to see that the store still holds what was put: a restarted Redis holds nothing."""
log = structlog.get_logger()


class Mirror:
    """Puts each newest context to the online store, until it is there."""

    def __init__(self, online: OnlineStore, newest: Callable[[], DailyContext | None]) -> None:
        self._online = online
        self._newest = newest
        self._changed = asyncio.Event()

    def on_changed(self) -> None:
        """Notice that the newest context is another; returns at once."""
        self._changed.set()

    async def run(self) -> None:
        """Run until cancelled."""
        put: DailyContext | None = None
        pause = FIRST_PAUSE_S
        while True:
            self._changed.clear()
            newest = self._newest()
            wait = LOOK_EVERY_S
            try:
                if newest is not None and newest is not put:
                    await self._online.put_context(newest)
                    put = newest
                elif newest is not None:
                    await self._online.get_context()
                pause = FIRST_PAUSE_S
            except Unavailable as error:
                log.warning("online store is behind", error=str(error))
                wait, pause = pause, min(pause * 2, LONGEST_PAUSE_S)
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue
