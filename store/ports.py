"""What is kept, as Protocols: the journal, the online store, and who may do what.

The implementations stand beside this module; everything above asks for these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from relentless.proto.contexts import Topic
from relentless.proto.daily import DailyContext


class Kind(StrEnum):
    """What a journal entry is."""

    MESSAGE = "message"
    ACK = "ack"
    CONTEXT = "context"
    SIGNALS = "signals"
    HALT = "halt"
    AGENT = "agent"
    AUDIT = "audit"
    FILL = "fill"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What is to be kept."""

    kind: Kind
    body: bytes
    """UTF-8 JSON, or packed frames for ``SIGNALS``."""
    key: str = ""
    """Idempotency key, unique within (kind, principal); "" has none."""
    principal: str = ""
    """Who wrote it."""
    topic: str = ""
    target: str = ""
    known_at_ns: int = 0
    digest: str = ""
    """SHA-256 in hex of what the entry says, compared where a key comes again; "": the body's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What was kept."""

    sequence: int
    kind: Kind
    body: bytes
    key: str
    principal: str
    topic: str
    target: str
    known_at_ns: int
    received_at_ns: int
    digest: str
    chain: bytes
    """SHA-256 over the chain value before and every column of this row, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Given after the entry is durable."""

    sequence: int
    duplicate: bool
    """The key was there with the same digest; ``sequence`` is the first one's."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry: what a reader remembers, to notice a lost suffix."""

    sequence: int
    chain: bytes


class Journal(Protocol):
    """The durable, ordered, append-only log of one process.

    Sequences start at 1 and have no gaps. ``received_at_ns`` is the run clock's time.
    """

    async def append(
        self, entries: Sequence[NewEntry], *, audit: NewEntry | None = None
    ) -> list[Receipt]:
        """Keep entries, all or none, and return once they are durable.

        ``audit``, whose body is a JSON object, is kept in the same commit if any entry was new.
        One entry stands for all the same ones of a commit: it gets ``count``, of new entries,
        ``digest``, over theirs, and the wall time as ``known_at_ns``.

        Raises:
            Conflict: a key is there with another digest.
            Overloaded: the queue of the writer is full.
            JournalBusy: the disk is full, or the file is locked.
        """
        ...

    async def read(
        self,
        kind: Kind,
        *,
        topic: str | None = None,
        targets: Sequence[str] | None = None,
        principal: str | None = None,
        after: int = 0,
        up_to: int | None = None,
        known_by_ns: int | None = None,
        limit: int = 100,
        newest_first: bool = False,
    ) -> list[Entry]:
        """Give entries with ``after < sequence <= up_to``, in order; ``limit`` is at most 100,000.

        ``targets`` keeps the entries whose target is one of them; ``known_by_ns`` those with
        ``known_at_ns`` at or before it.
        """
        ...

    def head(self) -> Head:
        """Give the newest durable entry."""
        ...

    async def close(self) -> None:
        """Write what was accepted, then close."""
        ...


class OnlineStore(Protocol):
    """The newest daily context, for whoever joins a tick to it. Never the only copy."""

    async def put_context(self, context: DailyContext) -> None:
        """Make this the newest context, and tell the watchers."""
        ...

    async def get_context(self) -> DailyContext | None:
        """Give the newest context."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Role(StrEnum):
    """What a key is for. An agent publishes as itself; an operator halts; a reader reads."""

    AGENT = "agent"
    TRADER = "trader"
    READER = "reader"
    OPERATOR = "operator"
    PREDICTOR = "predictor"


SIGNAL_READERS: Final = frozenset({Role.TRADER, Role.READER, Role.OPERATOR})
"""Roles that may read signals, by whatever listener."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credential was verified."""

    name: str
    """The agent's name for ``AGENT``; the only ``source_agent`` that it may use."""
    role: Role
    key_id: str
    topics: frozenset[Topic]
    expires_at: datetime | None = None
    """Wall time."""


class KeyVerifier(Protocol):
    """Turns a credential into a principal."""

    def verify(self, credential: str) -> Principal:
        """Give the caller.

        Raises:
            Unauthenticated: unknown, expired or revoked.
        """
        ...
