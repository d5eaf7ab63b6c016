"""Who takes part: registrations in the journal, leases in memory.

A lease is wall time by the monotonic clock; any call of an agent renews it. An agent that was
registered before the hub restarted is presumed alive for one lease.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from relentless.configs.clock import EASTERN
from relentless.configs.sessions import is_session
from relentless.mcp_server.pulse import Pulse
from relentless.proto.base import canonical_json
from relentless.proto.contexts import Topic
from relentless.proto.errors import Forbidden, InvalidInput
from relentless.store.ports import Journal, Kind, NewEntry, Principal
from relentless.tools.ports import AgentView, LastRun, Registration

LOOK_BACK: Final = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent as it last said of itself."""

    name: str
    topics: tuple[Topic, ...]
    schedule: tuple[str, ...] = ()
    last_run: LastRun | None = None
    seen: float = field(default=0.0, compare=False)
    """Monotonic wall seconds of its last call."""

    def body(self) -> bytes:
        """Give what is kept."""
        said: dict[str, Any] = {"topics": list(self.topics), "schedule": list(self.schedule)}
        if self.last_run is not None:
            said["last_run"] = self.last_run.model_dump(mode="json")
        return canonical_json(said)


class Registry:
    """The agents; satisfies ``tools.ports.Agents``."""

    def __init__(
        self, journal: Journal, lease_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._journal = journal
        self._lease_s = lease_s
        self._monotonic = monotonic
        self._agents: dict[str, Agent] = {}
        self._requests: dict[str, str] = {}
        """Id of the run that an operator asked of an agent and that it has not reported yet."""
        self._listeners: list[Callable[[], None]] = []
        self.pulse = Pulse()

    def on_changed(self, listener: Callable[[], None]) -> None:
        """Have a function called when an agent says something new; it must not block."""
        self._listeners.append(listener)

    async def recover(self) -> None:
        """Read what every agent last said of itself."""
        for entry in await self._journal.read(Kind.AGENT, limit=10_000, newest_first=True):
            if entry.principal not in self._agents:
                said = json.loads(entry.body)
                self._agents[entry.principal] = Agent(
                    entry.principal,
                    tuple(Topic(topic) for topic in said["topics"]),
                    tuple(said["schedule"]),
                    LastRun.model_validate(said["last_run"]) if "last_run" in said else None,
                    self._monotonic(),
                )

    async def register(
        self,
        caller: Principal,
        topics: Sequence[Topic] | None,
        schedule: Sequence[str] | None,
        last_run: LastRun | None,
    ) -> Registration:
        """Register the caller, or renew its lease; what is None stays as it was.

        Raises:
            Forbidden: a topic that its key does not permit.
            InvalidInput: a schedule line that cannot be read.
        """
        before = self._agents.get(caller.name)
        agent = before or Agent(caller.name, ())
        if topics is not None:
            if refused := set(topics) - caller.topics:
                raise Forbidden(f"{caller.name} may not publish {', '.join(sorted(refused))}")
            agent = replace(agent, topics=tuple(dict.fromkeys(topics)))
        if schedule is not None:
            for line in schedule:
                trigger(line)
            agent = replace(agent, schedule=tuple(schedule))
        if last_run is not None and last_run != agent.last_run:
            agent = replace(agent, last_run=last_run)
            self._requests.pop(caller.name, None)
        agent = replace(agent, seen=self._monotonic())
        if agent != before:
            entry = NewEntry(Kind.AGENT, agent.body(), principal=caller.name)
            await self._journal.append([entry])
        self._agents[caller.name] = agent
        self.pulse.beat()
        if agent != before:
            for listener in self._listeners:
                listener()
        return Registration(
            agent=caller.name,
            lease_s=self._lease_s,
            inbox_uri=f"context://inbox/{caller.name}",
            topics=list(agent.topics),
            run_requested=self._requests.get(caller.name),
        )

    def request(self, agent: str, request: str) -> None:
        """Ask for a run with the agent's next heartbeat, until it reports another run."""
        self._requests[agent] = request

    def requested(self, agent: str) -> str | None:
        """Give the id of the request that stands."""
        return self._requests.get(agent)

    def touch(self, caller: Principal) -> None:
        """Renew the lease of a registered caller."""
        if (agent := self._agents.get(caller.name)) is not None:
            self._agents[caller.name] = replace(agent, seen=self._monotonic())

    def topic_of(self, caller: Principal) -> Topic:
        """Give the topic of a message that names none: the sender's only one, else ``note``.

        Its topics are those it registered; before it has, those its key permits. ``note``, which
        anybody may publish, does not count beside another.
        """
        agent = self._agents.get(caller.name)
        topics = caller.topics if agent is None else agent.topics
        own = [topic for topic in topics if topic is not Topic.NOTE]
        return own[0] if len(own) == 1 else Topic.NOTE

    def agents(self) -> list[AgentView]:
        """Give every agent, by name."""
        now = self._monotonic()
        return [
            AgentView(
                agent=agent.name,
                alive=self._alive(agent, now),
                topics=list(agent.topics),
                schedule=list(agent.schedule),
                last_seen_s=round(now - agent.seen, 3),
                last_run=agent.last_run,
            )
            for agent in sorted(self._agents.values(), key=lambda agent: agent.name)
        ]

    def known(self, name: str) -> bool:
        """Say whether an agent has registered."""
        return name in self._agents

    def unfinished(self, as_of: datetime) -> list[str]:
        """Give the live agents whose last scheduled run at or before a moment is not reported."""
        now = self._monotonic()
        return [
            agent.name
            for agent in self._agents.values()
            if self._alive(agent, now) and _owes(agent, as_of)
        ]

    def _alive(self, agent: Agent, now: float) -> bool:
        return now - agent.seen <= self._lease_s


def _owes(agent: Agent, as_of: datetime) -> bool:
    due = latest_due(agent.schedule, as_of)
    if due is None:
        return False
    return agent.last_run is None or agent.last_run.scheduled_at < due


def latest_due(schedule: Sequence[str], as_of: datetime) -> datetime | None:
    """Give the last scheduled moment on an exchange day at or before ``as_of``.

    None where there is none within eight days.
    """
    found: list[datetime] = []
    for line in schedule:
        rule = trigger(line)
        fire = rule.get_next_fire_time(None, as_of.astimezone(EASTERN) - LOOK_BACK)
        while fire is not None and fire <= as_of:
            if is_session(fire.astimezone(EASTERN).date()):
                found.append(fire)
            fire = rule.get_next_fire_time(fire, fire + timedelta(microseconds=1))
    return max(found, default=None)


def trigger(line: str) -> Any:
    """Give the schedule of a line: "HH:MM" each day, or five crontab fields, in exchange time.

    Raises:
        InvalidInput: neither of them.
    """
    from apscheduler.triggers.cron import CronTrigger  # costs a fifth of a second

    hour, colon, minute = line.strip().partition(":")
    text = f"{minute} {hour} * * *" if colon else line
    try:
        return CronTrigger.from_crontab(text, EASTERN)
    except ValueError as error:
        raise InvalidInput(
            f'schedule {line!r} is neither "HH:MM" nor a crontab line: {error}'
        ) from error
