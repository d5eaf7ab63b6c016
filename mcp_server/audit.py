"""The audit: who wrote what, and who was refused, in the journal's own chain.

A write of a caller and its audit entry are one append, kept or lost together: the parts of the hub
write through :class:`AuditedJournal`, and :class:`Audit` knows which call they serve. Refusals of
known callers are entries of their own, at most one a second for each caller, with a count. Neither
holds a secret or a body: only a digest. ``known_at_ns`` of an audit entry is wall time.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import structlog

from relentless.configs.clock import from_ns
from relentless.proto.base import canonical_json, iso
from relentless.proto.errors import RelentlessError
from relentless.store.ports import Entry, Head, Journal, Kind, NewEntry, Principal, Receipt

log = structlog.get_logger()
EVERY_S: Final = 1.0
"""Wall seconds between two entries about refusals of one caller."""
MAX_KINDS: Final = 16
"""Different refusals that one entry tells apart."""
MAX_CALLERS: Final = 1_000
"""Callers whose refusals are told apart at a time; further ones are counted only."""
MAX_WHAT: Final = 200


@dataclass(slots=True)
class Refusals:
    """One caller's refusals since its last entry."""

    caller: Principal
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By operation and error code."""
    digest: str = ""


_ACT: ContextVar[tuple[Principal, str] | None] = ContextVar("act", default=None)
"""Who makes the call that is being served, and what it is."""


class acting:
    """Has what is appended within its block carry an audit entry."""

    __slots__ = ("_act", "_token")

    def __init__(self, caller: Principal, what: str) -> None:
        self._act = (caller, what)

    def __enter__(self) -> None:
        self._token = _ACT.set(self._act)

    def __exit__(self, *_: object) -> None:
        _ACT.reset(self._token)


class AuditedJournal:
    """A journal whose appends in a caller's name carry their audit entry."""

    def __init__(self, inner: Journal) -> None:
        self._inner = inner

    async def append(
        self, entries: Sequence[NewEntry], *, audit: NewEntry | None = None
    ) -> list[Receipt]:
        """Keep entries as the journal does; an append of duplicates alone is not audited."""
        act = _ACT.get()
        if act is not None and audit is None:
            caller, what = act
            audit = _written(caller.name, caller.key_id, caller.role.value, what)
        return await self._inner.append(entries, audit=audit)

    async def read(self, kind: Kind, **query: Any) -> list[Entry]:
        """Give entries as the journal does."""
        return await self._inner.read(kind, **query)

    def head(self) -> Head:
        """Give the newest durable entry."""
        return self._inner.head()

    async def close(self) -> None:
        """Close the journal."""
        await self._inner.close()


class Audit:
    """Takes note of refusals, and reads the audit back."""

    def __init__(
        self,
        journal: Journal,
        *,
        every_s: float = EVERY_S,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._journal = journal
        self._every_s = every_s
        self._wall_ns = wall_ns
        self._pending: dict[str, Refusals] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.denied = 0
        """Refusals of known callers since the start."""
        self.lost = 0
        """Of those, how many could not be written."""

    def refuse(
        self,
        caller: Principal,
        what: str,
        error: RelentlessError,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        """Note that a known caller was refused; the entry follows within a second.

        Args:
            caller: who.
            what: the tool, resource or route.
            error: why; only its code is kept.
            given: the arguments; only a digest of the first refusal's is kept.
        """
        self.denied += 1
        found = self._pending.get(caller.key_id)
        if found is None:
            if len(self._pending) >= MAX_CALLERS:
                self.lost += 1
                return
            found = self._pending[caller.key_id] = Refusals(caller)
        if not found.counts:
            found.digest = digest_of(given)
        kind = (what[:MAX_WHAT], error.code)
        if kind not in found.counts and len(found.counts) >= MAX_KINDS:
            kind = ("others", error.code)
        found.counts[kind] += 1
        if caller.key_id not in self._timers:
            self._tell(caller.key_id)

    async def page(self, *, after: int | None, limit: int) -> dict[str, Any]:
        """Give entries after a sequence number, by default the newest, in order."""
        if after is None:
            newest = await self._journal.read(Kind.AUDIT, limit=limit, newest_first=True)
            entries = newest[::-1]
        else:
            entries = await self._journal.read(Kind.AUDIT, after=after, limit=limit)
        head = self._journal.head().sequence
        last = entries[-1].sequence if entries else after or 0
        whole = after is None or len(entries) < limit
        return {
            "entries": [_shown(entry) for entry in entries],
            "next_after": max(head, last) if whole else last,
            "head": head,
        }

    async def close(self) -> None:
        """Write what waits, then nothing more."""
        for timer in self._timers.values():
            timer.cancel()
        for key_id in tuple(self._pending):
            self._write(key_id)
        await asyncio.gather(*self._tasks)

    def _tell(self, key_id: str) -> None:
        """Write what is pending now, and what follows within a second at its end."""
        self._timers.pop(key_id, None)
        if key_id not in self._pending:
            return
        self._write(key_id)
        loop = asyncio.get_running_loop()
        self._timers[key_id] = loop.call_later(self._every_s, self._tell, key_id)

    def _write(self, key_id: str) -> None:
        refusals = self._pending.pop(key_id)
        task = asyncio.get_running_loop().create_task(self._append(refusals))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _append(self, refusals: Refusals) -> None:
        try:
            await self._journal.append([refused(refusals, self._wall_ns())])
        except RelentlessError as error:
            self.lost += refusals.counts.total()
            log.warning(
                "refusals could not be kept", count=refusals.counts.total(), error=str(error)
            )


def digest_of(given: Mapping[str, Any] | None) -> str:
    """Give the SHA-256 of arguments in hex; "" where there are none, or none that can be written.

    They come from outside: whatever JSON can hold is taken, and never more than noted.
    """
    if not given:
        return ""
    try:
        return hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()
    except (ValueError, TypeError, RecursionError):
        return ""


@lru_cache(1_024)
def _written(name: str, key_id: str, role: str, what: str) -> NewEntry:
    """Give the audit entry of a write; the journal adds a count, a digest and the wall time."""
    said = {"key": key_id, "outcome": "written", "role": role, "what": what}
    return NewEntry(Kind.AUDIT, canonical_json(said), principal=name)


def refused(refusals: Refusals, wall_ns: int) -> NewEntry:
    """Give the audit entry of a caller's refusals."""
    counts = refusals.counts
    (what, code), _ = counts.most_common(1)[0]
    said: dict[str, Any] = {
        "count": counts.total(),
        "digest": refusals.digest,
        "key": refusals.caller.key_id,
        "outcome": code,
        "role": refusals.caller.role.value,
        "what": what,
    }
    if len(counts) > 1:
        said["kinds"] = {f"{name} {why}": n for (name, why), n in sorted(counts.items())}
    # ASCII: an address that was refused need not be Unicode.
    body = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    return NewEntry(Kind.AUDIT, body, principal=refusals.caller.name, known_at_ns=wall_ns)


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "market_time": iso(from_ns(entry.received_at_ns)),
        "wall_time": iso(from_ns(entry.known_at_ns)),
        "who": entry.principal,
        **json.loads(entry.body),
    }
