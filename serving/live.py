"""The live path: what arrives is packed, batched, predicted, and handed to the feed.

``ingest`` pushes ticks; a drain follows in the same turn of the event loop, so a batch is whatever
one message held, and more only when the machine falls behind. The lease starts and stops it
(``lease.Emission``). Everything runs on one thread, so nothing here is locked.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import structlog

from relentless.proto.daily import DailyContext
from relentless.proto.errors import RelentlessError
from relentless.proto.tick import TICK_SIZE, TICK_STRUCT
from relentless.serving.feed import FeedServer
from relentless.serving.grounds import GroundsRing
from relentless.serving.lease import Lease
from relentless.serving.pipeline import CAPACITY, ActiveContext, Lane, activate
from relentless.serving.stats import Stats

PENDING = 65_536
"""Ticks that may wait; when as many do, they are taken through before more are read."""
BACKLOG = 8_192
"""Beyond so many waiting ticks the oldest move the state and are not predicted."""
_log = structlog.get_logger(__name__)


class Outlet(Protocol):
    """A way by which signals leave this process."""

    async def halt(self) -> None:
        """Return once no signal can leave by it."""
        ...

    def resume(self) -> None:
        """Signals may leave again."""
        ...


class LivePath:
    """Ticks in, feed out. ``lanes`` share the context; the first one feeds.

    Args:
        lanes: the feed's lane first, then any that follow the same context.
        feed: where passed frames go.
        lease: whether they may.
        now_ns: market time.
        outlets: what else lets signals out, and stops with the feed.
        grounds: where what the model saw and said of each signal is kept for a while.

    ``about`` holds further fields for the hub's view (addresses, session).
    """

    def __init__(
        self,
        lanes: tuple[Lane, ...],
        feed: FeedServer,
        lease: Lease,
        now_ns: Callable[[], int],
        outlets: Sequence[Outlet] = (),
        grounds: GroundsRing | None = None,
    ) -> None:
        self.stats = Stats()
        self.about: dict[str, Any] = {}
        self.context: DailyContext | None = None
        self._lanes = lanes
        self._lane = lanes[0]
        self._feed = feed
        self._outlets: tuple[Outlet, ...] = (feed, *outlets)
        self._ring = feed.ring
        self._grounds = grounds or GroundsRing()
        self._lease = lease
        self._now_ns = now_ns
        self._bytes = bytearray(PENDING * TICK_SIZE)
        self._ticks = np.frombuffer(self._bytes, np.uint8).reshape(PENDING, TICK_SIZE)
        self._count = 0
        self._arrived_ns = 0
        self._scheduled = False
        self._shed = 0
        self._shed_said = -1.0

    def push(
        self,
        ts_ns: int,
        symbol: int,
        conditions: int,
        price: float,
        bid: float,
        ask: float,
        volume: int,
    ) -> None:
        """Take one tick; it is drained before the event loop sleeps again."""
        at = self._count
        if not at:
            self._arrived_ns = time.perf_counter_ns()
        TICK_STRUCT.pack_into(
            self._bytes, at * TICK_SIZE, ts_ns, symbol, conditions, price, bid, ask, volume
        )
        self._count = at + 1
        if self._count == PENDING:
            self.drain()
        elif not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.drain)

    def drain(self) -> None:
        """Take everything that waits through the lane, in steps."""
        self._scheduled = False
        count, self._count = self._count, 0
        shed = max(0, count - BACKLOG)
        if shed:
            self._say_shed(shed)
        for at in range(0, count, CAPACITY):
            upto = min(count, at + CAPACITY)
            self._step(self._ticks[at:upto], min(max(0, shed - at), upto - at))

    def _say_shed(self, count: int) -> None:
        """Log how many ticks were shed since the last line, at most one line a second."""
        self._shed += count
        now = time.monotonic()
        if now - self._shed_said > 1.0:
            self._shed_said = now
            _log.warning("overload: ticks move the state and are not predicted", ticks=self._shed)
            self._shed = 0

    def _step(self, ticks: np.ndarray[Any, np.dtype[np.uint8]], shed: int) -> None:
        first = self._ring.head
        output = self._lane.process(
            ticks,
            now_ns=self._now_ns(),
            refuse=self._lease.refusal,
            first_sequence=first,
            shed=shed,
        )
        if output.passed:
            self._feed.publish(output.emitted())
            self._grounds.append(first, *output.grounds())
        waited = time.perf_counter_ns() - self._arrived_ns
        self.stats.step(len(ticks), output.passed, waited, output.times)

    def know(self, count: int) -> None:
        """Take the symbols up to this number as known."""
        for lane in self._lanes:
            lane.know(count)

    def hold(self, symbol: int, held: bool) -> None:
        """Refuse a symbol's signals while its trading is halted."""
        for lane in self._lanes:
            lane.hold(symbol, held)

    async def stop(self) -> None:
        """Return once no signal can leave."""
        await asyncio.gather(*(outlet.halt() for outlet in self._outlets))

    def resume(self) -> None:
        """Signals may leave again."""
        for outlet in self._outlets:
            outlet.resume()

    def use_context(self, context: DailyContext) -> None:
        """Encode a context once for each version, and join every later tick to it.

        A context that no version can encode is kept back: the ticks then have none.
        """
        self.context = context
        self.reactivate()

    def reactivate(self) -> None:
        """Encode the newest context again: after a change of versions."""
        if self.context is None:
            return
        active: ActiveContext | None = None
        try:
            active = activate(self._lane.engine, self.context)
        except RelentlessError as error:
            _log.error("context not usable", context=self.context.context_id, error=str(error))
        for lane in self._lanes:
            lane.use(active)
        if active is not None:
            _log.info("context in force", context=self.context.context_id, as_of=active.as_of_ns)

    def use_canary_share(self, share: float) -> None:
        """Send this share of the symbol-minutes to the canary."""
        for lane in self._lanes:
            lane.canary_share = share

    async def close(self) -> None:
        """Nothing is out: whatever was taken was answered in the same turn."""

    def statistics(self) -> dict[str, Any]:
        """Give what the hub shows of this predictor."""
        return {
            **self.stats.report(),
            "gated": dict(self._lane.counts.refused()),
            "consumers": self._feed.consumers,
            "denied": self._feed.denied,
            "model_versions": dict(self._lane.engine.labels()),
            **self.about,
        }
