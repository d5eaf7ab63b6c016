"""An agent's way to the hub: what was collected is delivered in order, or waits.

One delivery is a run's messages and then its report, so that whoever hears the report finds the
messages there. While the hub is away a delivery is tried again and again, and the few deliveries
behind it wait; past that the agent stops collecting and later collects what it missed, so that
nothing is lost and memory is bounded. Sending twice is harmless: a message's id is its content.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import stamina
import structlog

from relentless.agents.base import Agent, Hub, LastRun
from relentless.proto.errors import AccessDenied, Overloaded, RelentlessError
from relentless.proto.messages import ContextMessage

BATCH: Final = 100
WAITING: Final = 8
"""Deliveries that wait behind the one under way."""
GAPS_TOLD: Final = 40

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon the hub is tried again, in wall seconds."""

    first_s: float = 0.1
    most_s: float = 2.0
    jitter_s: float = 0.3


@dataclass(frozen=True, slots=True)
class Delivery:
    """One run's messages and its report."""

    messages: tuple[ContextMessage, ...]
    report: LastRun


class Outbox:
    """Delivers for one agent; :meth:`run` does the work until it is cancelled."""

    def __init__(
        self,
        agent: Agent,
        hub: Hub,
        lines: Sequence[str],
        *,
        beat_s: float,
        pace: Pace | None = None,
    ) -> None:
        self._agent = agent
        self._hub = hub
        self._lines = tuple(lines)
        self._beat_s = beat_s
        self._pace = pace or Pace()
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue(WAITING)
        self._report: LastRun | None = None
        """The newest report whose messages the hub has."""
        self._telling = asyncio.Lock()
        self.asked = asyncio.Event()
        """Set when the hub asks for a run now; whoever runs it clears it."""
        self._request: str | None = None

    async def put(self, delivery: Delivery) -> None:
        """Hand a delivery over; waits where too many already do."""
        await self._queue.put(delivery)

    async def run(self) -> None:
        """Deliver and keep the registration alive."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver())
            group.create_task(self._beat())

    async def _deliver(self) -> None:
        while True:
            delivery = await self._queue.get()
            refused: list[str] = []
            for start in range(0, len(delivery.messages), BATCH):
                refused += await self._publish(delivery.messages[start : start + BATCH])
            self._report = told(delivery.report, refused)
            with suppress(RelentlessError):  # refused for good: the next beat tries anew
                await self._insist(self._register)

    async def _publish(self, messages: Sequence[ContextMessage]) -> list[str]:
        """Publish one batch; give what was refused for good, message by message."""
        try:
            await self._insist(lambda: self._hub.publish(messages))
        except RelentlessError as error:
            if len(messages) == 1:
                _log.error("message_refused", agent=self._agent.name, error=str(error))
                return [f"refused {messages[0].message_id}: {error}"]
            half = len(messages) // 2
            return [*await self._publish(messages[:half]), *await self._publish(messages[half:])]
        return []

    async def _insist(self, call: Callable[[], Awaitable[object]]) -> None:
        """Call until the hub has answered; only a refusal for good is raised."""
        async for attempt in stamina.retry_context(
            _again,
            attempts=None,
            timeout=None,
            wait_initial=self._pace.first_s,
            wait_max=self._pace.most_s,
            wait_jitter=self._pace.jitter_s,
        ):
            with attempt:
                await call()

    async def _register(self) -> None:
        """Tell the newest report; one call at a time, so that an older one never comes after."""
        async with self._telling:
            answer = await self._hub.register(
                name=self._agent.name,
                topics=[self._agent.topic.value],
                schedule=self._lines,
                last_run=self._report.wire() if self._report else None,
            )
        request = answer.get("run_requested")
        if isinstance(request, str) and request != self._request:
            self._request = request
            self.asked.set()

    async def _beat(self) -> None:
        """Register at once and then on every beat."""
        while True:
            with suppress(RelentlessError):
                await self._insist(self._register)
            await asyncio.sleep(self._beat_s)


def _again(error: BaseException) -> bool | float:
    """Say whether, or after how many seconds, to try again.

    A hub that knows no key yet, or no longer, is asked again too: keys are made and renewed while
    agents run. An error that is not of our tree is the transport's. A cancellation, which stamina
    asks about as well, is never swallowed.
    """
    if not isinstance(error, Exception):
        return False
    if isinstance(error, Overloaded) and error.retry_after is not None:
        return error.retry_after
    if isinstance(error, AccessDenied):
        return error.code == "unauthenticated"
    return error.retryable if isinstance(error, RelentlessError) else True


def told(report: LastRun, refused: Sequence[str]) -> LastRun:
    """Give a report with what the hub refused, its gaps cut to a number that fits."""
    gaps = [*report.gaps, *refused]
    if len(gaps) > GAPS_TOLD:
        gaps = [*gaps[: GAPS_TOLD - 1], f"and {len(gaps) - GAPS_TOLD + 1} more"]
    status = "degraded" if refused and report.status == "ok" else report.status
    return replace(
        report,
        status=status,
        messages=report.messages - len(refused),
        gaps=tuple(gap[:200] for gap in gaps),
    )
