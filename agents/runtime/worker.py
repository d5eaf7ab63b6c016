"""One agent's life: due times and requests in, deliveries out; what happens here stays here.

A run that raises, hangs or ignores its cancellation is a failed run, reported as such; the next
due time comes all the same. Nothing is shared with another agent but the upstream client.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from relentless.agents.base import Agent, Collected, LastRun, Run
from relentless.agents.runtime.outbox import Delivery, Outbox
from relentless.agents.runtime.schedule import Schedule
from relentless.configs.clock import Clock
from relentless.proto.errors import DeadlineExceeded, InvalidMessage, RelentlessError, Unavailable
from relentless.proto.messages import ContextMessage

MAX_MESSAGES: Final = 10_000
"""Of one run."""
MAX_ERROR: Final = 200
"""Characters of a failed run's reason: the hub refuses a report with more."""
BACKLOG: Final = 64
"""Missed nominal times that are still run, the newest ones."""
CANCEL_GRACE_S: Final = 1.0

_log = structlog.get_logger()


@dataclass
class Worker:
    """Runs one agent on its schedule."""

    agent: Agent
    schedule: Schedule
    clock: Clock
    make_run: Callable[[datetime], Run]
    outbox: Outbox
    every: bool
    """Run every nominal time that was missed, in order (a day on a clock that may be fast: each of
    its contexts needs its own runs); otherwise the newest one alone stands for them."""
    _stuck: asyncio.Task[Collected] | None = field(default=None, init=False)
    """A run that ignored its cancellation; until it ends no other is started."""

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.outbox.run())
            group.create_task(self._follow())

    async def _follow(self) -> None:
        """Run what is due now, then follow the clock."""
        done = await self._catch_up(self.first())
        while (due := self.schedule.after(done)) is not None:
            if await self._asked_before(due):
                await self.once(self.clock.now())
                continue
            done = await self._catch_up(list(self.schedule.between(done, self.clock.now())))
        _log.warning("nothing_due", agent=self.agent.name)
        await asyncio.Event().wait()

    async def _asked_before(self, due: datetime) -> bool:
        """Wait for a due time; True where an operator asks for a run before it."""
        asked, slept = (
            asyncio.ensure_future(waiting)
            for waiting in (self.outbox.asked.wait(), self.clock.sleep_until(due))
        )
        try:
            await asyncio.wait({asked, slept}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                return False
            self.outbox.asked.clear()
            return True
        finally:
            asked.cancel()
            slept.cancel()

    def first(self) -> list[datetime]:
        """Give what to run at the start: today's nominal times up to now, or now."""
        now = self.clock.now()
        return self.schedule.today(now) or [now]

    async def _catch_up(self, due: list[datetime]) -> datetime:
        """Run missed nominal times; give the newest."""
        chosen = due[-BACKLOG:] if self.every else due[-1:]
        if passed_over := len(due) - len(chosen):
            _log.warning("runs_passed_over", agent=self.agent.name, count=passed_over)
        for scheduled_at in chosen:
            await self.once(scheduled_at)
        return due[-1]

    async def once(self, scheduled_at: datetime) -> None:
        """Run the agent for a nominal time and hand over what it gave, whatever happens in it."""
        error: str | None = None
        collected = Collected()
        try:
            collected = await self._bounded(self.make_run(scheduled_at))
        except Exception as caught:
            code = caught.code if isinstance(caught, RelentlessError) else type(caught).__name__
            error = f"{code}: {caught}".strip()[:MAX_ERROR]
        report = LastRun(
            scheduled_at=scheduled_at,
            finished_at=max(self.clock.now(), scheduled_at),
            status="failed" if error else collected.status,
            messages=len(collected.messages),
            gaps=tuple(str(gap) for gap in collected.gaps),
            error=error,
        )
        _log.info(
            "agent_ran",
            agent=self.agent.name,
            scheduled_at=scheduled_at.isoformat(),
            status=report.status,
            messages=report.messages,
            gaps=list(report.gaps)[:10],
            error=error,
        )
        await self.outbox.put(Delivery(collected.messages, report))

    async def _bounded(self, run: Run) -> Collected:
        """Collect within the agent's time.

        Raises:
            DeadlineExceeded: it took too long; one that ignores its cancellation is left behind.
            Unavailable: one that was left behind has not ended yet, or the run cancelled itself.
        """
        if self._stuck is not None and not self._stuck.done():
            raise Unavailable("an earlier run ignored its cancellation and has not ended")
        task = asyncio.create_task(_guarded(self.agent, run), name=self.agent.name)
        try:
            done, _ = await asyncio.wait({task}, timeout=self.agent.timeout_s)
            if task.cancelled():
                raise Unavailable("the run cancelled itself")
            if done:
                return task.result()
        finally:
            if not task.done():
                task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_GRACE_S)
        if not task.done():
            self._stuck = task
        task.add_done_callback(_forget_outcome)
        raise DeadlineExceeded(f"the run took longer than {self.agent.timeout_s:g} s")


def _forget_outcome(task: asyncio.Task[Collected]) -> None:
    """Take note of how a run that came too late ended, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()


async def _guarded(agent: Agent, run: Run) -> Collected:
    """Collect, and hold the agent to its contract.

    Raises:
        InvalidMessage: it gave something else than at most ``MAX_MESSAGES`` messages and gaps.
        Unavailable: it tried to end the process.
    """
    try:
        collected = await agent.collect(run)
    except SystemExit as error:  # asyncio would let it end every agent
        raise Unavailable(f"the run tried to end the process ({error.code})") from error
    if not isinstance(collected, Collected):
        raise InvalidMessage(f"collect() gave {type(collected).__name__}, not Collected")
    if len(collected.messages) > MAX_MESSAGES:
        raise InvalidMessage(f"{len(collected.messages)} messages; at most {MAX_MESSAGES}")
    if not all(isinstance(message, ContextMessage) for message in collected.messages):
        raise InvalidMessage("collect() gave messages that are not ContextMessage")
    return collected
