"""When daily contexts are built: on exchange days at 05:30, 08:05 and 09:25 Eastern, and late.

A scheduled context has a nominal moment. The coordinator waits for it on the run's clock, then, in
wall time and never longer than the grace, for the agents that were due before it; what it folds is
what was known at the nominal moment. So the same day gives the same contexts at any speed. When a
required feature arrives after a build, it builds another as of then.
"""

import asyncio
import time as wall
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, time
from typing import Final, ParamSpec

import structlog

from relentless.configs.clock import Clock
from relentless.configs.sessions import next_session, session_close
from relentless.mcp_server.archive import Archive
from relentless.mcp_server.contexts import ContextStore, moments, trading_date, unmet
from relentless.mcp_server.registry import Registry
from relentless.proto.contexts import HUB_TOPICS
from relentless.proto.errors import RelentlessError
from relentless.proto.messages import ContextMessage

log = structlog.get_logger()

TIMES: Final = (time(5, 30), time(8, 5), time(9, 25))
DEBOUNCE_S: Final = 1.0
"""Wall seconds that a late build waits for more to arrive; twice as many after each in vain."""
MAX_DEBOUNCE_S: Final = 30.0
RECHECK_S: Final = 0.25
"""Wall seconds after which a lapsed lease is noticed."""
TRIES: Final = 5

P = ParamSpec("P")


class Coordinator:
    """Builds the contexts of every session, one after the other."""

    def __init__(
        self,
        contexts: ContextStore,
        registry: Registry,
        clock: Clock,
        *,
        grace_s: float,
        expected: Sequence[str] = (),
        archive: Archive | None = None,
    ) -> None:
        self._contexts = contexts
        self._registry = registry
        self._clock = clock
        self._grace_s = grace_s
        self._expected = tuple(expected)
        self._archive = archive
        self._given_up: set[str] = set()
        self._late = asyncio.Event()

    async def run(self) -> None:
        """Build until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._scheduled())
            group.create_task(self._late_builds())

    def on_published(self, message: ContextMessage, _: int) -> None:
        """Notice a message that may complete a context that lacks a required feature."""
        latest = self._contexts.latest
        if (
            latest is not None
            and message.topic not in HUB_TOPICS
            and unmet(latest, self._contexts.rules)
        ):
            self._late.set()

    async def _scheduled(self) -> None:
        day = trading_date(self._clock.now())
        if self._archive is not None:
            await self._retried(self._archive.catch_up, day)
        while True:
            for as_of in moments(day, TIMES):
                await self._clock.sleep_until(as_of)
                await self._retried(self._build, day, as_of)
            await self._clock.sleep_until(session_close(day))
            if self._archive is not None:
                await self._retried(self._archive.close_day, day)
            day = next_session(day)

    async def _build(self, day: date, as_of: datetime) -> None:
        kept = await self._contexts.kept(day, as_of)
        if kept is not None:
            self._contexts.activate(kept)
            return
        await self._agents_done(as_of)
        context = await self._contexts.build(as_of)
        log.info(
            "context built",
            as_of=as_of.isoformat(),
            context_id=context.context_id,
            unmet=sorted(unmet(context, self._contexts.rules)),
        )

    async def _agents_done(self, as_of: datetime) -> None:
        """Wait until the agents that were due have reported, or the grace is over."""
        deadline = wall.monotonic() + self._grace_s
        while True:
            changed = self._registry.pulse.next()
            absent = [
                name
                for name in self._expected
                if not self._registry.known(name) and name not in self._given_up
            ]
            waiting = absent + self._registry.unfinished(as_of)
            left = deadline - wall.monotonic()
            if not waiting:
                return
            if left <= 0:
                self._given_up.update(absent)
                log.warning("built without waiting longer", agents=waiting, as_of=str(as_of))
                return
            try:
                async with asyncio.timeout(min(left, RECHECK_S)):
                    await changed
            except TimeoutError:
                continue

    async def _late_builds(self) -> None:
        pause = DEBOUNCE_S
        while True:
            await self._late.wait()
            await asyncio.sleep(pause)
            self._late.clear()
            built = self._contexts.built
            await self._retried(self._complete)
            in_vain = self._contexts.built == built
            pause = min(pause * 2, MAX_DEBOUNCE_S) if in_vain else DEBOUNCE_S

    async def _complete(self) -> None:
        """Build again where a required feature that was missing is there now."""
        before = self._contexts.latest
        now = self._clock.now()
        if before is None or trading_date(now) != before.trading_date:
            return
        lacking = unmet(before, self._contexts.rules)
        candidate = await self._contexts.fold(now, before.trading_date)
        if unmet(candidate, self._contexts.rules) < lacking:
            await self._contexts.keep(candidate)
            log.info("context completed", context_id=candidate.context_id, as_of=str(now))

    async def _retried(
        self, work: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Do a piece of work; what fails is tried again a few times, then left to the next."""
        for attempt in range(TRIES):
            try:
                await work(*args, **kwargs)
                return
            except RelentlessError as error:
                log.error("coordinator failed", error=str(error), code=error.code)
                await asyncio.sleep(2.0**attempt / 4)
