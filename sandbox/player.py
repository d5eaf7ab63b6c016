"""Play a tape to one client: on the run's clock, or as fast as the client takes it.

Nothing is queued but one block read ahead in a thread: the tape is the buffer, and a client that
does not read stops its own player. One that holds it up for long is a slow client, and is told so.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from itertools import islice
from typing import Final

from relentless.configs.clock import Clock, from_ns
from relentless.sandbox.frames import Message
from relentless.sandbox.subscription import Subscription

BLOCK: Final = 256
"""Messages read from the tape at a time; a frame holds no more."""
NAP_S: Final = 0.001
"""Wall seconds between two frames at least, so that a fast clock fills frames."""
SLOW_CLIENT_S: Final = 15.0
"""Wall seconds of waiting for a client, without having caught up between, that make it slow."""


class SlowClient(Exception):
    """The client does not take what it subscribed to."""


class Player:
    """One client's playing of a tape."""

    def __init__(
        self,
        clock: Clock,
        send: Callable[[str], Awaitable[None]],
        patience_s: float = SLOW_CLIENT_S,
    ) -> None:
        self._clock = clock
        self._send = send
        self._patience_s = patience_s
        self._waited_s = 0.0

    async def fast(self, tape: Iterator[Message], subscription: Subscription) -> None:
        """Send the whole tape; the client's pace is the pace."""
        async with contextlib.aclosing(_ahead(tape)) as blocks:
            async for block in blocks:
                texts = [message.text for message in block if subscription.wants(message)]
                await self._flush(texts)
                self._waited_s = 0.0

    async def on_time(self, tape: Iterator[Message], subscription: Subscription) -> None:
        """Send each message once the clock has passed its time; catch up where behind."""
        texts: list[str] = []
        now = self._clock.now_ns()
        async with contextlib.aclosing(_ahead(tape)) as blocks:
            async for block in blocks:
                for message in block:
                    if message.ns > now:
                        await self._flush(texts)
                        now = await self._wait_for(message.ns)
                    if subscription.wants(message):
                        texts.append(message.text)
                await self._flush(texts)

    async def _wait_for(self, ns: int) -> int:
        """Sleep until the clock has passed a time; give the clock's time then."""
        now = self._clock.now_ns()
        if now >= ns:
            return now
        self._waited_s = 0.0
        soonest = now + int(NAP_S * self._clock.speed * 1e9)
        await self._clock.sleep_until(from_ns(max(ns, soonest) + 999))
        return max(self._clock.now_ns(), ns)

    async def _flush(self, texts: list[str]) -> None:
        if not texts:
            return
        frame = f"[{','.join(texts)}]"
        texts.clear()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._send(frame)
                await asyncio.sleep(0)
        except TimeoutError:
            raise SlowClient from None
        self._waited_s += time.monotonic() - began
        if self._waited_s > self._patience_s:
            raise SlowClient


async def _ahead(tape: Iterator[Message]) -> AsyncGenerator[list[Message], None]:
    """Give the tape in blocks, the next of which is read in a thread while one is sent."""

    def read() -> list[Message]:
        return list(islice(tape, BLOCK))

    following = asyncio.create_task(asyncio.to_thread(read))
    try:
        while block := await following:
            following = asyncio.create_task(asyncio.to_thread(read))
            yield block
    finally:
        following.cancel()
