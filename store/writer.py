"""The journal's one writing thread: group commit, idempotency keys, the chain.

Everything that waits when a commit begins goes into that commit, so that one ``fsync`` acknowledges
many appends. The thread releases the interpreter at every statement and may wait to have it back,
so a group is a handful of statements (many rows each), not one a row.

Above it stands :mod:`relentless.store.journal`, which queues requests and gives answers to their
event loop; below it one SQLite connection that nobody else uses.
"""

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import apsw

from relentless.proto.errors import Conflict, JournalBusy, RelentlessError, StorageError
from relentless.store.chain import damaged, link
from relentless.store.ports import Head, NewEntry, Receipt
from relentless.store.reading import extended, is_checksum_fault
from relentless.store.schema import CHECKPOINT, COLUMNS

MAX_GROUP = 1_024
"""Entries in one commit, so that no caller waits for an endless group."""

CHECKPOINT_EVERY = 10_000
"""Entries between two marks of how far the chain is known to hold: they bound recovery."""

_ROWS_A_STATEMENT = 64
"""Each number of rows up to this is a statement of its own, prepared once and cached."""

_INSERT = f"INSERT INTO entries ({COLUMNS}) VALUES "  # noqa: S608 - a constant
_FIND = """
WITH wanted (kind, principal, key) AS (VALUES %s)
SELECT e.kind, e.principal, e.key, e.sequence, e.digest
FROM wanted CROSS JOIN entries AS e INDEXED BY entries_key
ON e.kind = wanted.kind AND e.principal = wanted.principal AND e.key = wanted.key
WHERE e.key <> ''
"""

T = TypeVar("T")
Key = tuple[str, str, str]
"""Kind, principal, key."""
Outcome = list[Receipt] | RelentlessError


@dataclass(slots=True, eq=False)
class Request:
    """One append on its way: what to keep, and whom to tell."""

    entries: Sequence[NewEntry]
    received_at_ns: int
    answer: Any
    """The caller's future; only the deliverer touches it."""
    audit: NewEntry | None = None


@dataclass(slots=True)
class _Group:
    """What one commit will write, and what it will answer."""

    head: Head
    known: dict[Key, tuple[int, str]]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    outcomes: list[tuple[Request, Outcome]] = field(default_factory=list)
    audits: dict[tuple[str, bytes], tuple[NewEntry, int, list[str]]] = field(default_factory=dict)
    """By caller and operation: the audit entry, when it came, digests of what was newly written."""

    def add(self, request: Request) -> None:
        """Plan a request: rows and receipts, or a conflict and no rows."""
        planned: list[tuple[NewEntry, str, int]] = []
        receipts: list[Receipt] = []
        fresh: dict[Key, tuple[int, str]] = {}
        for entry in request.entries:
            digest = entry.digest or hashlib.sha256(entry.body).hexdigest()
            sequence = self.head.sequence + len(planned) + 1
            if entry.key:
                key = (entry.kind.value, entry.principal, entry.key)
                found = self.known.get(key) or fresh.get(key)
                if found is not None:
                    if found[1] != digest:
                        self.outcomes.append((request, _conflict(entry, found[0])))
                        return
                    receipts.append(Receipt(found[0], duplicate=True))
                    continue
                fresh[key] = (sequence, digest)
            planned.append((entry, digest, sequence))
            receipts.append(Receipt(sequence, duplicate=False))
        self.known |= fresh
        for entry, digest, sequence in planned:
            self._seal(entry, digest, sequence, request.received_at_ns)
        if planned and request.audit is not None:
            same = (request.audit.principal, request.audit.body)
            _, _, digests = self.audits.setdefault(
                same, (request.audit, request.received_at_ns, [])
            )
            digests.extend(digest for _, digest, _ in planned)
        self.outcomes.append((request, receipts))

    def close(self) -> None:
        """Seal one audit entry for each caller and operation, after what they wrote."""
        for audit, received_at_ns, digests in self.audits.values():
            entry = sum_up(audit, digests)
            self._seal(entry, entry.digest, self.head.sequence + 1, received_at_ns)

    def _seal(self, entry: NewEntry, digest: str, sequence: int, received_at_ns: int) -> None:
        columns = (
            sequence,
            entry.kind.value,
            entry.topic,
            entry.target,
            entry.principal,
            entry.key,
            entry.known_at_ns,
            received_at_ns,
            digest,
        )
        chain = link(self.head.chain, *columns, entry.body)
        self.rows.append((*columns, chain, entry.body))
        self.head = Head(sequence, chain)


class Writer:
    """The thread. ``deliver`` gets every outcome, on this thread, after its commit."""

    def __init__(
        self,
        connection: apsw.Connection,
        head: Head,
        path: str,
        deliver: Callable[[list[tuple[Request, Outcome]]], None],
        max_group: int = MAX_GROUP,
    ) -> None:
        self.head = head
        """The newest durable entry."""
        self._connection = connection
        self._path = path
        self._deliver = deliver
        self._max_group = max_group
        self._marked = head.sequence
        self._failed: _Refusal | None = None
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Take a request; its outcome is delivered later, in the order of submission."""
        self._queue.put(request)

    def stop(self) -> None:
        """Write what was submitted before, mark the chain as checked, end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            requests, last = self._take()
            if requests:
                self._deliver(self._commit(requests))
            if last:
                if self._failed is None and self.head.sequence > self._marked:
                    with suppress(apsw.Error):
                        self._connection.execute(CHECKPOINT, (self.head.sequence, self.head.chain))
                return

    def _take(self) -> tuple[list[Request], bool]:
        """Wait for a request, then take all that wait, up to a group's size."""
        requests: list[Request] = []
        size = 0
        request = self._queue.get()
        while request is not None:
            requests.append(request)
            size += len(request.entries)
            if size >= self._max_group:
                return requests, False
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                return requests, False
        return requests, True

    def _commit(self, requests: list[Request]) -> list[tuple[Request, Outcome]]:
        if self._failed is not None:
            return self._failed.to_all(requests)
        try:
            group = _Group(self.head, self._find_keys(requests))
            for request in requests:
                group.add(request)
            group.close()
            if group.rows:
                self._write(group)
        except Exception as error:
            with suppress(apsw.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            return self._explain(error).to_all(requests)
        return group.outcomes

    def _find_keys(self, requests: list[Request]) -> dict[Key, tuple[int, str]]:
        """Give sequence and digest of the keys that are there already."""
        wanted = list(
            {
                (entry.kind.value, entry.principal, entry.key): None
                for request in requests
                for entry in request.entries
                if entry.key
            }
        )
        known = {}
        for part in _chunks(wanted):
            values = ",".join(["(?,?,?)"] * len(part))
            flat = [column for key in part for column in key]
            for kind, principal, key, sequence, digest in self._connection.execute(
                _FIND % values, flat
            ):
                known[kind, principal, key] = (sequence, digest)
        return known

    def _write(self, group: _Group) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for part in _chunks(group.rows):
            marks = ",".join(["(?,?,?,?,?,?,?,?,?,?,?)"] * len(part))
            execute(_INSERT + marks, [column for row in part for column in row])
        mark = group.head.sequence - self._marked >= CHECKPOINT_EVERY
        if mark:
            execute(CHECKPOINT, (group.head.sequence, group.head.chain))
        execute("COMMIT")
        self.head = group.head
        if mark:
            self._marked = group.head.sequence

    def _explain(self, error: Exception) -> "_Refusal":
        """Say what a failed commit means; what cannot be undone ends the writing for good."""
        if isinstance(error, apsw.FullError):
            return _Refusal(JournalBusy, f"{self._path}: the disk is full; free space, then retry")
        if isinstance(error, apsw.BusyError | apsw.LockedError):
            return _Refusal(JournalBusy, f"{self._path}: another process has locked it; retry")
        if isinstance(error, apsw.IOError) and extended(error) in _REPEATABLE:
            return _Refusal(JournalBusy, f"{self._path}: a write failed ({error}); retry")
        if isinstance(error, _DAMAGE) or is_checksum_fault(error):
            what = damaged(self._path, f"SQLite refuses to write to it ({error})")
            self._failed = _Refusal(type(what), str(what))
        else:
            # After a failed fsync nobody knows what the disk holds: only recovery finds out.
            self._failed = _Refusal(
                StorageError,
                f"{self._path}: writing failed ({type(error).__name__}: {error}); nothing more is "
                "written until the process starts again",
            )
        return self._failed


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a whole group was not kept. Each caller gets an exception of its own to raise."""

    error: type[StorageError]
    message: str

    def to_all(self, requests: list[Request]) -> list[tuple[Request, Outcome]]:
        return [(request, self.error(self.message)) for request in requests]


_DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.ConstraintError)

_REPEATABLE = frozenset({apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_SHMSIZE})
"""A write that did not happen leaves the file as it was; SQLite reports some quotas so."""


def sum_up(audit: NewEntry, digests: Sequence[str]) -> NewEntry:
    """Give one audit entry for entries of these digests, in order."""
    over = (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )
    body = b'{"count":%d,"digest":"%b",%b' % (len(digests), over.encode(), audit.body[1:])
    return replace(audit, body=body, digest=over, known_at_ns=time.time_ns())


def _conflict(entry: NewEntry, sequence: int) -> Conflict:
    return Conflict(
        f"{entry.kind.value} {entry.key!r} is already entry {sequence} with another content; "
        "nothing of this append was kept. Use a new id for new content"
    )


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _ROWS_A_STATEMENT):
        yield items[start : start + _ROWS_A_STATEMENT]
