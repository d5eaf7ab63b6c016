"""The agents' process: every data agent on its schedule, each with its own credential.

``run`` serves until a signal; ``run_once`` is one run by hand, without a hub. Agents share the
upstream client and nothing else: whatever one does, the others go on (promise P6).
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import stamina
import structlog
from stamina.instrumentation import RetryDetails

from relentless.agents.base import Agent, Collected, Hub, Run
from relentless.agents.http import Upstream
from relentless.agents.registry import discover, find
from relentless.agents.runtime.outbox import Outbox, Pace
from relentless.agents.runtime.schedule import Schedule
from relentless.agents.runtime.worker import Worker
from relentless.configs.clock import Clock
from relentless.configs.process import announce, stop_event
from relentless.configs.settings import Settings
from relentless.serving.clients.hub import HubClient
from relentless.serving.clients.memory import HeadMemory
from relentless.store.keys import local_credential

END_S: Final = 2.0
"""Wall seconds that the agents have to end."""

RAW_AGE_S: Final = 90 * 86_400.0
"""Wall seconds for which the evidence behind a message can be read back; docs/agents/README.md."""
RAW_BYTES: Final = 8 * 2**30
SWEEP_S: Final = 6 * 3_600.0

Connect = Callable[[str], AbstractAsyncContextManager[Hub]]
"""Opens an agent's own connection to the hub, by the agent's name."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fleet:
    """The agents of this process and what they share."""

    agents: tuple[Agent, ...]
    settings: Settings
    clock: Clock
    upstream: Upstream
    connect: Connect
    pace: Pace = field(default_factory=Pace)

    async def keep(self, agent: Agent) -> None:
        """Keep one agent working; start it anew, ever later, where its worker ends."""
        wait_s = self.pace.first_s
        while True:
            try:
                async with self.connect(agent.name) as hub:
                    await self.worker(agent, hub).run()
            except Exception as error:
                _log.error("agent_restarts", agent=agent.name, error=_reason(error), wait_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, self.pace.most_s)

    def worker(self, agent: Agent, hub: Hub) -> Worker:
        """Give the worker of one agent over a connection."""
        schedule = Schedule(agent.schedule)
        return Worker(
            agent=agent,
            schedule=schedule,
            clock=self.clock,
            make_run=partial(make_run, agent, self.settings, self.clock, self.upstream),
            outbox=Outbox(
                agent,
                hub,
                schedule.lines,
                beat_s=self.settings.hub.agent_lease_s / 3,
                pace=self.pace,
            ),
            every=self.settings.clock.mode == "day",
        )

    async def sweep(self) -> None:
        """Keep the folder of raw bodies within its bounds."""
        while True:
            try:
                removed = await asyncio.to_thread(
                    self.upstream.raw.prune, max_age_s=RAW_AGE_S, max_bytes=RAW_BYTES
                )
                _log.info("raw_bodies_swept", removed=removed)
            except OSError as error:
                _log.error("raw_bodies_not_swept", error=_reason(error))
            await asyncio.sleep(SWEEP_S)

    async def serve(self, stop: asyncio.Event) -> None:
        """Keep every agent working until ``stop``, then end all within ``END_S``."""
        tasks = [asyncio.create_task(self.keep(agent), name=agent.name) for agent in self.agents]
        tasks.append(asyncio.create_task(self.sweep(), name="sweep"))
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=END_S)


def build(settings: Settings) -> Fleet:
    """Make every agent that can be made, and what they share."""
    return Fleet(
        agents=tuple(instances(discover())),
        settings=settings,
        clock=settings.run_clock(),
        upstream=Upstream(raw_folder(settings)),
        connect=lambda name: HubClient(
            settings.hub.url,
            local_credential(settings.paths.state, name),
            tls=settings.hub.calling(),
            memory=HeadMemory(settings.paths.state / "agents" / "acknowledged" / f"{name}.json"),
        ),
    )


def instances(classes: list[type[Agent]]) -> list[Agent]:
    """Make the agents; one whose constructor raises is logged and left out."""
    made = []
    for kind in classes:
        try:
            made.append(kind())
        except Exception as error:
            _log.error("agent_left_out", agent=kind.name, error=_reason(error))
    return made


async def run(settings: Settings) -> None:
    """Serve the agents until SIGTERM or SIGINT."""
    stop = stop_event()
    stamina.instrumentation.set_on_retry_hooks([_log_retry])
    fleet = build(settings)
    async with fleet.upstream:
        announce("agents", agents=[agent.name for agent in fleet.agents])
        await fleet.serve(stop)


async def run_once(settings: Settings, name: str, as_of: datetime | None = None) -> Collected:
    """Run one agent by its name or command and give what it collected; nothing is published.

    Args:
        settings: with the sources' addresses.
        name: "fred" or "FredAgent".
        as_of: the market time to collect as of; the clock's now where absent.

    Raises:
        NotFound: no such agent.
        DeadlineExceeded: the run took longer than the agent's limit.
    """
    agent = find(name)()
    clock = settings.run_clock()
    async with Upstream(raw_folder(settings)) as upstream:
        one = make_run(agent, settings, clock, upstream, as_of or clock.now())
        return await asyncio.wait_for(agent.collect(one), agent.timeout_s)


def make_run(
    agent: Agent, settings: Settings, clock: Clock, upstream: Upstream, as_of: datetime
) -> Run:
    """Give one run of an agent; its folder is made where it is not there."""
    folder = settings.paths.state / "agents" / agent.command
    folder.mkdir(parents=True, exist_ok=True)
    return Run(as_of=as_of, upstream=upstream, clock=clock, state=folder, settings=settings)


def raw_folder(settings: Settings) -> Path:
    """Give where raw upstream bodies are kept."""
    return settings.paths.state / "agents" / "raw"


def _log_retry(details: RetryDetails) -> None:
    """Say what is tried again, and when; an outage is one line for each wait."""
    _log.info(
        "retry",
        cause=str(details.caused_by),
        retry=details.retry_num,
        wait_s=round(details.wait_for, 3),
    )


def _reason(error: BaseException) -> str:
    """Give the innermost reason of an error, in a line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:300]
