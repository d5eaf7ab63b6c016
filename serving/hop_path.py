"""The live path with the model behind a hop: ticks that come while a request is out go together.

One step is out at a time, on the lane's thread. What arrives meanwhile waits and goes with the next
one; of too much the oldest moves the state and is not predicted, which the gates count as ``shed``.
What comes back is held against the lease again, in the same turn of the event loop in which it is
handed to the feed: no signal leaves after a halt was acknowledged.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from relentless.proto.daily import DailyContext
from relentless.proto.errors import RelentlessError
from relentless.serving.feed import FeedServer
from relentless.serving.grounds import GroundsRing
from relentless.serving.hop import LaneThread
from relentless.serving.lease import Lease
from relentless.serving.live import BACKLOG, PENDING, LivePath, Outlet
from relentless.serving.pipeline import CAPACITY, StageTimes, activate
from relentless.serving.ports import Array
from relentless.serving.served import ServedModel

OUT = 4
"""Steps on the lane's thread, the one in flight and those that only move the state behind it."""
AGAIN_S = 1.0
"""After so long a context that no server encoded is tried again."""
CANARY_AGAIN_S = 15.0
"""The same, where the canary alone could not encode it."""
LIMIT_S = 60.0
_log = structlog.get_logger(__name__)


class Part(NamedTuple):
    """What became of one chunk; the arrays are its own."""

    ticks: int
    frames: npt.NDArray[np.uint8]
    features: Array
    heads: Array
    times: StageTimes | None


class HopPath(LivePath):
    """``LivePath`` over lanes with threads of their own.

    Args:
        lanes: the feed's lane first, then any that follow the same context.
        served: the model behind the hop.
    """

    def __init__(
        self,
        lanes: Sequence[LaneThread],
        served: ServedModel,
        feed: FeedServer,
        lease: Lease,
        now_ns: Callable[[], int],
        outlets: Sequence[Outlet] = (),
        grounds: GroundsRing | None = None,
    ) -> None:
        super().__init__(
            tuple(thread.lane for thread in lanes), feed, lease, now_ns, outlets, grounds
        )
        self._threads = tuple(lanes)
        self._served = served
        self._steps: list[Future[list[Part]]] = []
        self._again: asyncio.TimerHandle | None = None
        self._ended = False
        self.withheld = 0
        """Signals that came back under no lease, and were dropped."""

    def drain(self) -> None:
        """Send what waits, unless a step is out: then it goes with the next."""
        self._scheduled = False
        if self._ended:
            self._count = 0
        if not self._count:
            return
        if not self._steps:
            self._send(max(0, self._count - BACKLOG))
        elif self._count == PENDING:
            if len(self._steps) >= OUT:
                # The reader waits for the oldest step: at most one request's deadline.
                self._steps[0].exception(LIMIT_S)
            self._send(self._count)

    def _send(self, shed: int) -> None:
        count, self._count = self._count, 0
        if shed:
            self._say_shed(shed)
        ticks = self._ticks[:count].copy()
        arrived = self._arrived_ns
        step = self._threads[0].submit(self._run, ticks, shed, self._ring.head)
        self._steps.append(step)
        loop = asyncio.get_running_loop()

        def ended(done: Future[list[Part]]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the step
                loop.call_soon_threadsafe(self._came, done, arrived)

        step.add_done_callback(ended)

    def _run(self, ticks: npt.NDArray[np.uint8], shed: int, first: int) -> list[Part]:
        """On the lane's thread: take the ticks through, the shed ones by themselves."""
        parts = []
        lane = self._threads[0]
        for start, end in ((0, shed), (shed, len(ticks))):
            for at in range(start, end, CAPACITY):
                chunk = ticks[at : min(at + CAPACITY, end)]
                output = lane.process(
                    chunk,
                    now_ns=self._now_ns(),
                    refuse=self._lease.refusal,
                    first_sequence=first,
                    shed=len(chunk) if end == shed else 0,
                )
                first += output.passed
                features, heads = output.grounds()
                parts.append(
                    Part(
                        len(chunk),
                        output.emitted().copy(),
                        features.copy(),
                        heads.copy(),
                        output.times,
                    )
                )
        return parts

    def _came(self, step: Future[list[Part]], arrived_ns: int) -> None:
        """On the event loop: hand over what may leave, and send what came meanwhile."""
        self._steps.remove(step)
        waited = time.perf_counter_ns() - arrived_ns
        if (error := step.exception()) is not None:
            _log.error("step failed", error=repr(error))
        for part in [] if error is not None else step.result():
            sent = len(part.frames)
            if sent and self._lease.refusal():
                self.withheld += sent
                sent = 0
            if sent:
                first = self._ring.head
                self._feed.publish(part.frames)
                self._grounds.append(first, part.features, part.heads)
            self.stats.step(part.ticks, sent, waited, part.times)
        self.drain()

    def know(self, count: int) -> None:
        """Take the symbols up to this number as known."""
        for lane in self._threads:
            lane.know(count)

    def hold(self, symbol: int, held: bool) -> None:
        """Refuse a symbol's signals while its trading is halted."""
        for lane in self._threads:
            lane.hold(symbol, held)

    def use_canary_share(self, share: float) -> None:
        """Send this share of the symbol-minutes to the canary."""
        for lane in self._threads:
            lane.share(share)

    def reactivate(self) -> None:
        """Encode the newest context again, on the lane's thread; ticks wait for it meanwhile."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self.context is None or self._ended:
            return
        loop = asyncio.get_running_loop()
        self._threads[0].submit(self._activate, self.context, loop)

    def _activate(self, context: DailyContext, loop: asyncio.AbstractEventLoop) -> None:
        """On the lane's thread: encode a context and have every lane use it."""
        active, pause = None, AGAIN_S
        try:
            active = activate(self._lane.engine, context)
            _log.info("context in force", context=context.context_id, as_of=active.as_of_ns)
            pause = CANARY_AGAIN_S
        except RelentlessError as error:
            _log.error("context not usable", context=context.context_id, error=str(error))
        if active is None or (active.canary is None and "canary" in self._lane.engine.labels()):
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._later, pause)
        self._lane.use(active)
        for lane in self._threads[1:]:
            lane.use(active)

    def _later(self, pause_s: float) -> None:
        if self._again is None and not self._ended:
            self._again = asyncio.get_running_loop().call_later(pause_s, self.reactivate)

    def statistics(self) -> dict[str, Any]:
        """Give what the hub shows of this predictor."""
        return {
            **super().statistics(),
            "model_servers": self._served.report(),
            "withheld": self.withheld,
        }

    async def close(self) -> None:
        """End the lanes' threads; what is out comes back first, within its deadline."""
        self._ended = True
        if self._again is not None:
            self._again.cancel()
        for lane in self._threads:
            await asyncio.to_thread(lane.close)
