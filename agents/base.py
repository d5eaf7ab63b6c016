"""What a data agent is: a name, a topic, a schedule, and ``collect()``.

An agent reads one public source as of a moment and gives messages; it does not publish, retry or
keep time. Those are the runner's part (above) and the upstream client's (below). To add an agent,
put one file with one subclass of :class:`Agent` into this folder, or name a class under the
entry-point group ``relentless.agents`` in another distribution.

The contract of ``collect``:

- It answers as of ``run.as_of``: a value that its source could serve only later is left out. The
  same moment gives the same messages, whenever it physically runs.
- A message comes from :meth:`Agent.compose`, which sets ``timestamp`` to ``run.as_of`` and takes
  ``message_id`` from the content, so that saying the same again is stored once.
- What could not be read becomes a :class:`Gap`. No value is ever guessed in its place.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import JsonValue, SecretStr, ValidationError

from relentless.agents.http import Source, Upstream
from relentless.configs.clock import Clock
from relentless.configs.settings import Settings, SourceSettings
from relentless.proto.base import Frozen, explain, iso
from relentless.proto.contexts import Origin, Topic
from relentless.proto.errors import InvalidMessage, NotFound, RelentlessError
from relentless.proto.messages import ContextMessage, Evidence

Status = Literal["ok", "degraded", "failed"]

NO_KEY = "0" * 32
"""Sent where a source has no key: the sandbox takes any key of the right form."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that could not be read."""

    what: str
    """What is missing: "DGS10", "bill/113/hr"."""
    reason: str
    """The code of the error, or the agent's own short word ("empty", "stale_vintage")."""
    detail: str = ""

    @classmethod
    def of(cls, what: str, error: Exception) -> "Gap":
        """Give the gap that an error leaves."""
        reason = error.code if isinstance(error, RelentlessError) else type(error).__name__
        return cls(what, reason, str(error)[:200])

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Collected:
    """What one run gave."""

    messages: tuple[ContextMessage, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def status(self) -> Status:
        """``ok`` without gaps, ``degraded`` with some, ``failed`` with nothing but gaps."""
        if not self.gaps:
            return "ok"
        return "degraded" if self.messages else "failed"


@dataclass(frozen=True, slots=True)
class Run:
    """What an agent is given for one run."""

    as_of: datetime
    """The nominal market time: nothing known later may be said."""
    upstream: Upstream
    clock: Clock
    state: Path
    """The agent's own folder, made before the run."""
    settings: Settings = field(repr=False)

    def source_settings(self, name: str) -> SourceSettings:
        """Give the settings of a source, with the vendor's key where the section has none.

        Raises:
            NotFound: no such source is configured.
        """
        section = getattr(self.settings.sources, name, None)
        if not isinstance(section, SourceSettings):
            raise NotFound(f"no source {name!r} in the settings; add [sources.{name}]")
        if section.key is None:
            key = getattr(self.settings, f"{name}_api_key", None)
            section = section.model_copy(update={"key": key})
        return section

    def identity(self, name: str) -> str:
        """Tell one upstream of a source from another, so that kept state never mixes two.

        A live source is its address. A box is what it plays, wherever it listens.
        """
        section = self.source_settings(name)
        if section.origin == Origin.LIVE.value:
            return section.url
        box = self.settings.sandbox
        return f"{section.origin} {box.day} {box.seed} {self.settings.recordings}"

    def source(
        self,
        name: str,
        *,
        key_param: str | None = None,
        key_header: str | None = None,
        secret_header: str | None = None,
    ) -> Source:
        """Give a source whose key goes into the query parameter or the header named here.

        ``secret_header`` is where the section's secret goes, for a service that wants a pair.
        """
        section = self.source_settings(name)
        key = (section.key or SecretStr(NO_KEY)).get_secret_value()
        headers = {key_header: key} if key_header else {}
        if secret_header:
            headers[secret_header] = (section.secret or SecretStr(NO_KEY)).get_secret_value()
        return self.upstream.source(
            name,
            section,
            secret_params={key_param: key} if key_param else None,
            secret_headers=headers,
        )


class Agent(ABC):
    """One data agent. Subclasses set the class attributes and write ``collect``."""

    name: ClassVar[str]
    """Its name on the wire and in its key: "FredAgent"."""
    command: ClassVar[str]
    """Its short word on the command line: "fred"."""
    topic: ClassVar[Topic]
    schedule: ClassVar[tuple[str, ...]]
    """Times of day ("05:15") or five-field cron lines, in exchange time, on exchange days."""
    timeout_s: ClassVar[float] = 120.0
    """Wall seconds after which a run is cancelled and counted as failed."""

    @abstractmethod
    async def collect(self, run: Run) -> Collected:
        """Read the source as of ``run.as_of``.

        What cannot be read is a gap. An exception ends this run, and no other agent's.
        """

    def compose(
        self,
        run: Run,
        context: Frozen | Mapping[str, JsonValue],
        *,
        known_at: datetime,
        observed_at: datetime | None = None,
        expires_at: datetime | None = None,
        evidence: Sequence[Evidence] = (),
    ) -> ContextMessage:
        """Write a message of this agent: timestamp from the run, id from the content.

        Raises:
            InvalidMessage: ``known_at`` lies after ``run.as_of``, or the context breaks the
                contract of the topic.
        """
        if known_at > run.as_of:
            raise InvalidMessage(
                f"{self.name}: a value known at {known_at.isoformat()} was composed as of "
                f"{run.as_of.isoformat()}; leave out what is not yet known"
            )
        says = (
            context.model_dump(mode="json", exclude_unset=True)
            if isinstance(context, Frozen)
            else dict(context)
        )
        try:
            message = ContextMessage(
                timestamp=run.as_of,
                source_agent=self.name,
                topic=self.topic,
                context=says,
                observed_at=observed_at,
                known_at=known_at,
                expires_at=expires_at,
                evidence=tuple(evidence),
            )
        except ValidationError as error:
            raise InvalidMessage(explain(error)) from error
        return message.model_copy(update={"message_id": message.content_digest()[:32]})


@dataclass(frozen=True, slots=True)
class LastRun:
    """What an agent tells the hub about its newest run, in market time."""

    scheduled_at: datetime
    finished_at: datetime
    status: Status
    messages: int = 0
    gaps: tuple[str, ...] = ()
    error: str | None = None

    def wire(self) -> dict[str, Any]:
        """Give the JSON object of ``register_agent``'s ``last_run``."""
        said = dataclasses.asdict(self)
        said["scheduled_at"] = iso(self.scheduled_at)
        said["finished_at"] = iso(self.finished_at)
        said["gaps"] = list(self.gaps)
        if self.error is None:
            del said["error"]
        return said


class Hub(Protocol):
    """What the runner needs of the hub; ``serving.clients.hub.HubClient`` fits."""

    async def register(
        self,
        *,
        name: str | None = None,
        topics: Sequence[str] = (),
        schedule: Sequence[str] = (),
        last_run: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Register, and renew the lease."""
        ...

    async def publish(self, messages: Sequence[ContextMessage]) -> list[dict[str, Any]]:
        """Publish at most 100 messages; one receipt each, once they are durable."""
        ...
