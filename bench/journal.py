"""The journal: group commit against one message a commit, a long journal against a short one."""

import asyncio
import hashlib
import tempfile
import time
from pathlib import Path

from bench.harness import Figure, Section, percentile
from relentless.configs.clock import RunClock
from relentless.store.journal import SqliteJournal, open_journal
from relentless.store.ports import Kind, NewEntry
from relentless.store.writer import MAX_GROUP

PUBLISHERS, SECONDS, ROUNDS = 64, 1.5, 5
MANY, SINGLES = 200_000, 200
BODY = b'{"filler":"' + b"x" * 480 + b'"}'


def section() -> Section:
    """Measure the journal."""
    return Section(
        "Journal",
        "SQLite in WAL mode with synchronous=FULL, 500-byte messages with an idempotency key, "
        "acknowledged after the sync.",
        [*asyncio.run(_groups()), *asyncio.run(_growth())],
    )


async def _groups() -> list[Figure]:
    """Publish from many tasks with group commit, and with one message a commit, in turn."""
    rates: dict[int, list[float]] = {MAX_GROUP: [], 1: []}
    waits: dict[int, list[float]] = {MAX_GROUP: [], 1: []}
    with tempfile.TemporaryDirectory() as folder:
        for at in range(ROUNDS):
            for group in (MAX_GROUP, 1) if at % 2 == 0 else (1, MAX_GROUP):
                path = Path(folder) / f"{at}-{group}.db"
                journal = await open_journal(path, RunClock.live(), max_group=group)
                rate, wait = await _publish(journal)
                await journal.close()
                rates[group].append(rate)
                waits[group].extend(wait)
    beside = "one message a commit"
    return [
        Figure(
            f"{PUBLISHERS} publishers, acknowledged",
            percentile(rates[MAX_GROUP], 0.5),
            "/s",
            reference=beside,
            reference_value=percentile(rates[1], 0.5),
            note="more is better",
        ),
        Figure.of(
            f"{PUBLISHERS} publishers, wait",
            waits[MAX_GROUP],
            "ms",
            beside,
            waits[1],
        ),
    ]


async def _publish(journal: SqliteJournal) -> tuple[float, list[float]]:
    waits: list[float] = []
    begun = time.perf_counter()

    async def forever(task: int) -> None:
        number = 0
        while time.perf_counter() - begun < SECONDS:
            waits.append(await _append(journal, f"{task}-{number}"))
            number += 1

    await asyncio.gather(*(forever(task) for task in range(PUBLISHERS)))
    return len(waits) / (time.perf_counter() - begun), waits


async def _growth() -> list[Figure]:
    """Append and read one at a time, in a journal of a few entries and in one of many, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"few": 10, "many": MANY}
        journals = {
            name: await open_journal(Path(folder) / f"{name}.db", RunClock.live()) for name in sizes
        }
        for name, size in sizes.items():
            for start in range(0, size, 1_000):
                keys = [_key(f"{name}-{at}") for at in range(start, min(size, start + 1_000))]
                await journals[name].append([_entry(key) for key in keys])
        appends: dict[str, list[float]] = {"few": [], "many": []}
        reads: dict[str, list[float]] = {"few": [], "many": []}
        for at in range(SINGLES):
            for name, journal in journals.items():
                appends[name].append(await _append(journal, _key(f"single-{name}-{at}")))
                begun = time.perf_counter()
                await journal.read(Kind.MESSAGE, topic="rates", limit=10, newest_first=True)
                reads[name].append((time.perf_counter() - begun) * 1e3)
        for journal in journals.values():
            await journal.close()
    return [
        Figure.of(
            f"{what} among {MANY:,} entries",
            taken["many"],
            "ms",
            "among 10",
            taken["few"],
        )
        for what, taken in (("one append", appends), ("a page of 10", reads))
    ]


async def _append(journal: SqliteJournal, key: str) -> float:
    """Give the milliseconds until the acknowledgement."""
    begun = time.perf_counter()
    await journal.append([_entry(key)])
    return (time.perf_counter() - begun) * 1e3


def _entry(key: str) -> NewEntry:
    return NewEntry(Kind.MESSAGE, BODY, key=key, principal="FredAgent", topic="rates", target="*")


def _key(text: str) -> str:
    """Scatter keys as digests are scattered: the worst case for their index."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
