"""A morning in one process: every agent, the sandbox behind a socket, and the real hub's parts.

The clock stands unless the test moves it: to 05:25, where the agents catch up with what was due,
past each context's moment, and at last to the next morning, by when whoever failed has been due
again. Of each schedule the times of day are kept: what is asked every half hour would be the same
again. The way to the hub is a call; its exchange, registry, coordinator and fold are the real ones.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from relentless.agents.base import Agent, Collected, Run
from relentless.agents.http import Policy, Upstream
from relentless.agents.registry import discover
from relentless.agents.runner import Fleet, instances
from relentless.agents.runtime import worker
from relentless.agents.runtime.outbox import Pace
from relentless.configs.clock import EASTERN, ManualClock
from relentless.configs.releases import ReleaseTable
from relentless.configs.settings import Settings, SourceSettings, SourcesSettings
from relentless.mcp_server.server import Hub, build
from relentless.proto.daily import DailyContext
from relentless.proto.errors import InvalidInput
from relentless.proto.messages import ContextMessage
from relentless.sandbox.faults import Fault, Faults
from relentless.sandbox.server import build as build_sandbox
from relentless.sandbox.server import serve
from relentless.sandbox.shipped import ShippedDay
from relentless.store.keys import LOCAL_ROLES, default_topics
from relentless.store.ports import Principal
from relentless.tools.ports import LastRun

MONDAY = datetime(2013, 10, 7, tzinfo=EASTERN)
START = MONDAY.replace(hour=5, minute=25)
MOMENTS = (
    MONDAY.replace(hour=5, minute=30),
    MONDAY.replace(hour=8, minute=5),
    MONDAY.replace(hour=9, minute=25),
    MONDAY.replace(day=8, hour=5, minute=30),
)
"""Of the contexts; the last one is the next morning's, when everybody has recovered."""
EVENING = MONDAY.replace(hour=20)
"""A stop on the way to the next morning: what is due in the afternoon is run on its own day."""
GRACE_S = 0.5
"""Wall seconds that a build waits for an agent; thirty in a run."""
POLICY = Policy(
    attempts=3,
    budget_s=20.0,
    wait_initial_s=0.001,
    wait_max_s=0.002,
    wait_jitter_s=0.0,
    breaker_failures=10_000,
)
BILLS = 60
TIMEOUT_S = 1.5
"""Wall seconds for one answer of a source."""


class FewBills:
    """The shipped day with a few of its bills: a morning takes a second, not ten."""

    def __init__(self, day: ShippedDay) -> None:
        self._day = day
        self.origin, self.bills_note = day.origin, day.bills_note

    def series(self, series_id):
        return self._day.series(series_id)

    def bills(self, day):
        every = self._day.bills(day)
        return every[:: len(every) // BILLS]


@dataclass
class Sabotage:
    """What is done to one morning."""

    faults: dict[int, list[Fault]] = field(default_factory=dict)
    """By the moment's number, before which they are played."""
    hangs: tuple[str, int] | None = None
    """An agent's name and the number of the moment before which it ignores its cancellation."""
    raises: tuple[str, int] | None = None
    outlives_grace: bool = False
    """Whether what hangs has a longer limit than the build's grace."""


@dataclass
class Morning:
    """What came of it."""

    contexts: list[DailyContext] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    """Wall seconds from each context's moment until it was there."""
    messages: dict[tuple[str, datetime], set[str]] = field(default_factory=dict)
    """Content digests, by agent and nominal run."""
    bodies: list[ContextMessage] = field(default_factory=list)
    reports: dict[str, dict[datetime, LastRun]] = field(default_factory=dict)
    hurt: list[frozenset[str]] = field(default_factory=list)
    """At each context: the agents that have failed or reported a gap so far."""


@dataclass
class Stage:
    """Which moment is being played, and what hangs."""

    number: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    hanging: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing hangs."""

    def __post_init__(self) -> None:
        self.ended.set()


class Direct:
    """One agent's way to the hub: the tools' work, without HTTP in between."""

    def __init__(self, hub: Hub, name: str, morning: Morning) -> None:
        role = LOCAL_ROLES[name]
        self._caller = Principal(name, role, f"key-of-{name}", default_topics(name, role))
        self._hub, self._morning = hub, morning

    async def register(self, *, name=None, topics=(), schedule=(), last_run=None):
        """Register with the real registry."""
        try:
            told = LastRun.model_validate(last_run) if last_run else None
        except ValidationError as error:
            raise InvalidInput(str(error)) from error
        kinds = list(self._caller.topics & set(topics)) or None
        await self._hub.registry.register(self._caller, kinds, list(schedule), told)
        if told is not None:
            runs = self._morning.reports.setdefault(self._caller.name, {})
            runs[told.scheduled_at] = told
        return {}

    async def publish(self, messages):
        """Publish through the real exchange."""
        bodies = [message.model_dump(mode="json", exclude_none=True) for message in messages]
        await self._hub.exchange.publish(self._caller, bodies)
        for message in messages:
            key = (message.source_agent, message.timestamp)
            self._morning.messages.setdefault(key, set()).add(message.content_digest())
            self._morning.bodies.append(message)
        return []


class Theatre:
    """The sandbox, served once for many mornings; each has its own state, hub and agents."""

    def __init__(self, app: Faults, clock: ManualClock, url: str, folder: Path, keys: Path):
        self.app, self.clock = app, clock
        self._url, self._folder, self._keys = url, folder, keys
        self._mornings = 0
        self.played = 0
        play = app._play

        async def counted(*args):
            self.played += 1
            await play(*args)

        app._play = counted

    async def morning(
        self, sabotage: Sabotage | None = None, change: Callable[[Agent], None] | None = None
    ) -> Morning:
        """Play one morning; ``change`` may tamper with each agent first."""
        sabotage = sabotage or Sabotage()
        self._mornings += 1
        state = self._folder / f"morning-{self._mornings}"
        shutil.copytree(self._keys, state / "keys")
        settings = self._settings(state)
        self.clock.move_to(START)
        self.app.plan.clear()
        morning = Morning()
        agents = instances(discover())
        stage = Stage()
        for agent in agents:
            agent.schedule = tuple(line for line in agent.schedule if line[2] == ":")
            if change is not None:
                change(agent)
            _tamper(agent, sabotage, stage)
        async with (
            build(settings, clock=self.clock) as hub,
            Upstream(state / "raw", POLICY) as upstream,
        ):
            fleet = Fleet(
                tuple(agents),
                settings,
                self.clock,
                upstream,
                lambda name: contextlib.nullcontext(Direct(hub, name, morning)),
                Pace(first_s=0.01, most_s=0.05, jitter_s=0.0),
            )
            stop = asyncio.Event()
            tasks = [
                asyncio.create_task(fleet.serve(stop)),
                asyncio.create_task(hub.coordinator.run()),
            ]
            try:
                await self._play(hub, agents, sabotage, morning, stage)
            finally:
                stage.released.set()
                stop.set()
                tasks[1].cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        shutil.rmtree(state)
        return morning

    async def _play(self, hub, agents, sabotage, morning, stage):
        names = {agent.name for agent in agents}
        for number, moment in enumerate(MOMENTS):
            stage.number = number
            self.app.plan.clear()
            self.app.add(*sabotage.faults.get(number, ()))
            if number == len(MOMENTS) - 1:
                self.clock.move_to(EVENING)
                await _reported(hub, names, set(), EVENING)
            hangs = bool(sabotage.hangs) and sabotage.hangs[1] == number
            for agent in agents:
                hung = hangs and agent.name == sabotage.hangs[0]
                agent.timeout_s = 0.3 if hung and not sabotage.outlives_grace else 30.0
            excused = {sabotage.hangs[0]} if hangs and sabotage.outlives_grace else set()
            self.clock.move_to(moment - timedelta(minutes=1))
            await _reported(hub, names, excused, moment)
            began = time.monotonic()
            self.clock.move_to(moment + timedelta(seconds=1))
            morning.contexts.append(await _built(hub, moment))
            morning.waits_s.append(time.monotonic() - began)
            bad = {
                name
                for name, runs in morning.reports.items()
                if any(r.status != "ok" for at, r in runs.items() if at <= moment)
            }
            morning.hurt.append(frozenset(bad | excused))
            if hangs:  # it ends before the next moment, and has its next due time
                stage.released.set()
                await _reported(hub, names, set(), moment)
                async with asyncio.timeout(10):
                    await stage.ended.wait()

    def _settings(self, state: Path) -> Settings:
        source = SourceSettings.model_validate(
            {
                "url": self._url,
                "key": "0" * 32,
                "rate_per_min": 1e6,
                "timeout_s": TIMEOUT_S,
                "origin": "recorded",
            }
        )
        return Settings(
            _env_file=None,
            sources=SourcesSettings.every(source),
            paths={"state": state},
            hub={"build_grace_s": GRACE_S, "expected_agents": (), "agent_lease_s": 600.0},
            clock={"mode": "day", "start": START, "speed": 1.0, "epoch": 0.0},
        )


@asynccontextmanager
async def theatre(folder: Path, keys: Path) -> AsyncIterator[Theatre]:
    """Serve the sandbox for mornings to come."""
    clock = ManualClock(START)
    settings = Settings(_env_file=None, recordings=None)
    library = FewBills(ShippedDay.load("2013-10-07", ReleaseTable.load()))
    app = build_sandbox(settings, clock, library)
    async with serve(settings, clock, app=app) as (http, _):
        yield Theatre(app, clock, http, folder, keys)


def _tamper(agent: Agent, sabotage: Sabotage, stage: Stage) -> None:
    """Make an agent hang or raise before its moment; otherwise leave it as it is."""
    collect = agent.collect
    hangs = sabotage.hangs if sabotage.hangs and sabotage.hangs[0] == agent.name else None
    raises = sabotage.raises if sabotage.raises and sabotage.raises[0] == agent.name else None

    async def tampered(run: Run) -> Collected:
        if hangs and hangs[1] == stage.number:
            stage.hanging += 1
            stage.ended.clear()
            while not stage.released.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await stage.released.wait()
            stage.hanging -= 1
            if not stage.hanging:
                stage.ended.set()
            raise RuntimeError("it hung")
        if raises and raises[1] == stage.number:
            raise RuntimeError("a deliberate failure: " + "x" * 700)
        return await collect(run)

    agent.collect = tampered


async def _reported(hub: Hub, names: set[str], excused: set[str], moment: datetime) -> None:
    """Wait until all agents but the excused have reported what was due before a moment."""
    async with asyncio.timeout(20):
        while True:
            changed = hub.registry.pulse.next()
            absent = [n for n in names - excused if not hub.registry.known(n)]
            if not absent and not set(hub.registry.unfinished(moment)) - excused:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    await changed


async def _built(hub: Hub, moment: datetime) -> DailyContext:
    """Wait for the context of a moment."""
    async with asyncio.timeout(30):
        while True:
            kept = await hub.contexts.kept(moment.date(), moment)
            if kept is not None:
                return kept
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def short_grace() -> Iterator[None]:
    """Scale down how long a worker waits for a cancelled run."""
    before = worker.CANCEL_GRACE_S
    worker.CANCEL_GRACE_S = 0.05
    try:
        yield
    finally:
        worker.CANCEL_GRACE_S = before
