"""Reading the journal: filters and pages against a naive model, and a cost that stays flat."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from powercut import Disk

from relentless.configs.clock import ManualClock
from relentless.proto.errors import InvalidInput
from relentless.store.journal import SqliteJournal, open_journal
from relentless.store.ports import Entry, Journal, Kind, NewEntry
from relentless.store.reading import Query, read_page
from relentless.store.schema import connect_reader

Opener = Callable[..., Awaitable[SqliteJournal]]

KINDS = st.sampled_from([Kind.MESSAGE, Kind.ACK])
TOPICS = st.sampled_from(["", "rates", "news"])
TARGETS = st.sampled_from(["", "*", "TradingAgent", "NewsAnalysisAgent"])
PRINCIPALS = st.sampled_from(["", "fred", "news"])
ENTRIES = st.builds(
    NewEntry,
    kind=KINDS,
    body=st.binary(max_size=8),
    topic=TOPICS,
    target=TARGETS,
    principal=PRINCIPALS,
    known_at_ns=st.integers(0, 9),
)
QUERIES = st.builds(
    Query,
    kind=KINDS,
    topic=st.none() | TOPICS,
    targets=st.none() | st.lists(TARGETS, max_size=3).map(tuple),
    principal=st.none() | PRINCIPALS,
    after=st.integers(0, 30),
    up_to=st.none() | st.integers(0, 40),
    known_by_ns=st.none() | st.integers(0, 9),
    limit=st.integers(1, 12),
    newest_first=st.booleans(),
)


def naive(entries: list[Entry], query: Query) -> list[int]:
    matching = [
        entry.sequence
        for entry in entries
        if entry.kind == query.kind
        and (query.topic is None or entry.topic == query.topic)
        and (query.targets is None or entry.target in query.targets)
        and (query.principal is None or entry.principal == query.principal)
        and entry.sequence > query.after
        and (query.up_to is None or entry.sequence <= query.up_to)
        and (query.known_by_ns is None or entry.known_at_ns <= query.known_by_ns)
    ]
    return sorted(matching, reverse=query.newest_first)[: query.limit]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(entries=st.lists(ENTRIES, max_size=40), queries=st.lists(QUERIES, min_size=8, max_size=8))
async def test_every_filter_gives_what_a_plain_loop_gives(
    tmp_path_factory: pytest.TempPathFactory,
    clock: ManualClock,
    entries: list[NewEntry],
    queries: list[Query],
) -> None:
    journal = await open_journal(tmp_path_factory.mktemp("journal") / "journal.db", clock)
    try:
        await journal.append(entries)
        everything = [entry for kind in Kind for entry in await journal.read(kind, limit=1_000)]
        assert len(everything) == len(entries)
        for query in queries:
            options = {name: getattr(query, name) for name in query.__slots__ if name != "kind"}
            found = await journal.read(query.kind, **options)
            assert [entry.sequence for entry in found] == naive(everything, query)
    finally:
        await journal.close()


@pytest.mark.parametrize("limit", [0, -1, 100_001])
async def test_a_limit_is_one_to_a_hundred_thousand(journal: Journal, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        await journal.read(Kind.MESSAGE, limit=limit)


SHAPES = {
    "kind": Query(Kind.MESSAGE, after=5, limit=10),
    "newest": Query(Kind.MESSAGE, limit=10, newest_first=True),
    "topic": Query(Kind.MESSAGE, topic="rates", after=5, limit=10),
    "inbox": Query(Kind.MESSAGE, targets=("*", "TradingAgent"), after=5, limit=10),
    "principal": Query(Kind.ACK, principal="trade", limit=10, newest_first=True),
}


def steps(path: Path, query: Query) -> int:
    """Count the instructions of SQLite's machine that a page takes."""
    reader = connect_reader(path, vfs=None)
    taken = 0

    def step() -> bool:
        nonlocal taken
        taken += 1
        return False

    reader.set_progress_handler(step, 1)
    assert len(read_page(reader, query, str(path))) == 10
    reader.close()
    return taken


async def test_a_page_costs_the_same_among_a_hundred_and_twenty_thousand_rows(
    opener: Opener,
) -> None:
    journal = await opener(queue_size=20_000)

    async def grow(to: int) -> dict[str, int]:
        rows = range(journal.head().sequence // 4, to // 4)
        await journal.append([entry for row in rows for entry in four(row)])
        return {name: steps(journal.path, query) for name, query in SHAPES.items()}

    def four(row: int) -> list[NewEntry]:
        return [
            NewEntry(Kind.MESSAGE, b"{}", f"a{row}", "fred", "rates", "*"),
            NewEntry(Kind.MESSAGE, b"{}", f"b{row}", "news", "news", "TradingAgent"),
            NewEntry(Kind.MESSAGE, b"{}", f"c{row}", "x", "note", "NewsAnalysisAgent"),
            NewEntry(Kind.ACK, b"1", principal="trade"),
        ]

    few = await grow(100)
    assert await grow(20_000) == few


async def test_a_publish_writes_as_much_after_ten_thousand_rows_as_after_ten(
    opener: Opener, disk: Disk
) -> None:
    journal = await opener(vfs=disk.vfs, queue_size=20_000)

    async def written(first: int, rows: int) -> int:
        """Fill up to ``rows``, then count the bytes of twenty single publishes."""
        keys = [f"{number * 2_654_435_761 % 2**32:08x}" for number in range(first, rows + 20)]
        entries = [NewEntry(Kind.MESSAGE, b"{}" * 100, key, "fred", "rates", "*") for key in keys]
        await journal.append(entries[:-20])
        before = disk.written
        for entry in entries[-20:]:
            await journal.append([entry])
        return disk.written - before

    few = await written(0, 10)
    many = await written(30, 10_000)
    page = 4_096
    assert many - few <= 20 * 5 * page, "at most one page more for each of the five trees"


async def test_reading_does_not_wait_for_writing(opener: Opener, disk: Disk) -> None:
    journal = await opener(vfs=disk.vfs)
    await journal.append([NewEntry(Kind.MESSAGE, b"{}")])
    disk.sync_gate.clear()
    held = asyncio.create_task(journal.append([NewEntry(Kind.MESSAGE, b"{}")]))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert len(await journal.read(Kind.MESSAGE)) == 1
        assert not held.done()
        disk.sync_gate.set()
        await held
