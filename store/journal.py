"""The journal in SQLite: the asyncio front of one writing thread and two reading ones.

It owns its file exclusively, and what it serves was checked against the digest chain. Above: the
hub, the predictor and the trading agent, each with a file of its own. Below:
:mod:`~relentless.store.recovery` opens, :mod:`~relentless.store.writer` writes,
:mod:`~relentless.store.reading` reads.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from relentless.configs.clock import Clock
from relentless.proto.errors import InvalidInput, Overloaded, Unavailable
from relentless.store.lock import OwnerLock
from relentless.store.ports import Entry, Head, Kind, NewEntry, Receipt
from relentless.store.reading import Query, read_page, typed_errors, verify_all
from relentless.store.recovery import recover
from relentless.store.schema import connect_reader
from relentless.store.writer import MAX_GROUP, Outcome, Request, Writer

QUEUE_SIZE = 8_192
"""Entries that may wait for the disk before an append is refused."""

READERS = 2
"""A long read must not hold up an inbox."""

T = TypeVar("T")


def hub_journal(state: Path) -> Path:
    """Give where the hub of a state folder keeps its journal."""
    return state / "hub" / "journal.db"


async def open_journal(
    path: Path,
    clock: Clock,
    *,
    expect: Head | None = None,
    vfs: str | None = None,
    synchronous: str = "FULL",
    queue_size: int = QUEUE_SIZE,
    max_group: int = MAX_GROUP,
) -> "SqliteJournal":
    """Open the journal at ``path``, creating it and its folder where they are missing.

    ``expect`` is a head that somebody remembers: a journal that does not hold it has lost what was
    acknowledged. ``vfs`` and ``synchronous`` are SQLite's; they and ``max_group`` (entries in one
    commit) are there for tests and measurements.

    Raises:
        JournalBusy: another owner has the file.
        JournalDamaged: the chain does not hold, or the remembered head is not there.
        StorageError: the file is no journal of this version.
    """
    lock, connection, head = await asyncio.to_thread(recover, path, expect, vfs, synchronous)
    return SqliteJournal(
        path,
        clock,
        lock,
        connection,
        head,
        vfs=vfs,
        queue_size=queue_size,
        max_group=max_group,
    )


class SqliteJournal:
    """A :class:`relentless.store.ports.Journal`; made by :func:`open_journal`.

    Belongs to the event loop that runs when it is made. An append whose caller is cancelled may
    still be kept: its key makes the repetition harmless.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        lock: OwnerLock,
        connection: apsw.Connection,
        head: Head,
        *,
        vfs: str | None,
        queue_size: int,
        max_group: int,
    ) -> None:
        self.path = path
        self._clock = clock
        self._lock = lock
        self._connection = connection
        self._vfs = vfs
        self._queue_size = queue_size
        self._waiting = 0
        self._closing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._readers: list[apsw.Connection] = []
        self._own = threading.local()
        self._executor = ThreadPoolExecutor(READERS, thread_name_prefix="journal-reader")
        self._writer = Writer(connection, head, str(path), self._deliver, max_group)

    async def append(
        self, entries: Sequence[NewEntry], *, audit: NewEntry | None = None
    ) -> list[Receipt]:
        """Keep entries, all or none, and return once they are durable; ``audit`` with them.

        Raises:
            Conflict: a key is there with another digest.
            Overloaded: too many entries wait for the disk.
            JournalBusy: the disk is full.
            StorageError: the disk failed; nothing more is written.
            InvalidInput: more entries than the queue holds, or text that is not Unicode.
            Unavailable: the journal is closed.
        """
        if self._closing is not None:
            raise Unavailable(f"{self.path} is closed; start the process again")
        if not entries:
            return []
        if len(entries) > self._queue_size:
            raise InvalidInput(f"one append holds at most {self._queue_size:,} entries; send parts")
        if self._waiting + len(entries) > self._queue_size:
            raise Overloaded(f"{self._waiting:,} entries wait for the disk; try again", 0.1)
        for entry in entries:
            _refuse_unstorable(entry)
        answer: asyncio.Future[list[Receipt]] = self._loop.create_future()
        self._waiting += len(entries)
        self._writer.submit(Request(tuple(entries), self._clock.now_ns(), answer, audit))
        return await answer

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
        """Give entries with ``after < sequence <= up_to``, in order, each checked as it is read.

        Raises:
            InvalidInput: ``limit`` is not 1 to 100,000, or ``after`` is no sequence number.
            JournalDamaged: an entry does not hold against its chain.
            Unavailable: the journal is closed.
        """
        query = Query(
            kind=kind,
            topic=topic,
            targets=None if targets is None else tuple(targets),
            principal=principal,
            after=after,
            up_to=up_to,
            known_by_ns=known_by_ns,
            limit=limit,
            newest_first=newest_first,
        )
        return await self._reading(lambda reader: read_page(reader, query, str(self.path)))

    def head(self) -> Head:
        """Give the newest durable entry; sequence 0 and 32 zero bytes where there is none."""
        return self._writer.head

    async def verify(self) -> Head:
        """Follow the whole chain, check SQLite's own structures, and give the head. O(entries).

        Raises:
            JournalDamaged: something does not hold.
        """
        return await self._reading(lambda reader: verify_all(reader, str(self.path)))

    async def close(self) -> None:
        """Write what was accepted, then close and let the next owner in."""
        if self._closing is None:
            self._closing = asyncio.create_task(asyncio.to_thread(self._close))
        await asyncio.shield(self._closing)

    def _close(self) -> None:
        self._writer.stop()
        self._executor.shutdown()
        for reader in self._readers:
            reader.close()
        self._connection.close()
        self._lock.release()

    async def _reading(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` on a reading thread, with that thread's own connection."""
        if self._closing is not None:
            raise Unavailable(f"{self.path} is closed; start the process again")

        def run() -> T:
            with typed_errors(str(self.path)):
                reader: apsw.Connection | None = getattr(self._own, "reader", None)
                if reader is None:
                    reader = self._own.reader = connect_reader(self.path, vfs=self._vfs)
                    self._readers.append(reader)
                return work(reader)

        return await self._loop.run_in_executor(self._executor, run)

    def _deliver(self, outcomes: list[tuple[Request, Outcome]]) -> None:
        """Hand outcomes from the writing thread to the event loop, in one call for a group."""
        try:
            self._loop.call_soon_threadsafe(self._answer, outcomes)
        except RuntimeError:
            return  # The loop is closed: nobody waits.

    def _answer(self, outcomes: list[tuple[Request, Outcome]]) -> None:
        for request, outcome in outcomes:
            self._waiting -= len(request.entries)
            if request.answer.done():
                continue
            if isinstance(outcome, Exception):
                request.answer.set_exception(outcome)
            else:
                request.answer.set_result(outcome)


def _refuse_unstorable(entry: NewEntry) -> None:
    try:
        for text in (entry.topic, entry.target, entry.principal, entry.key, entry.digest):
            text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"text that is not Unicode cannot be kept: {error}") from error
    if not -(2**63) <= entry.known_at_ns < 2**63:
        raise InvalidInput("known_at_ns is not a time")
