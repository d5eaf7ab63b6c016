"""The journal's contract: what an append and a read may and may not do."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from powercut import Disk

from relentless.configs.clock import ManualClock
from relentless.proto.errors import (
    Conflict,
    InvalidInput,
    JournalBusy,
    Overloaded,
    StorageError,
    Unavailable,
)
from relentless.store.journal import SqliteJournal
from relentless.store.ports import Head, Journal, Kind, NewEntry, Receipt

Opener = Callable[..., Awaitable[SqliteJournal]]


def message(key: str = "", body: bytes = b"{}", **columns) -> NewEntry:
    return NewEntry(Kind.MESSAGE, body, key=key, **{"principal": "fred", **columns})


async def test_sequences_start_at_one_and_have_no_gaps_over_all_kinds(journal: Journal) -> None:
    first = await journal.append([message(), NewEntry(Kind.ACK, b"1", principal="trade")])
    second = await journal.append([NewEntry(Kind.HALT, b"{}")])
    assert [receipt.sequence for receipt in first + second] == [1, 2, 3]
    assert journal.head().sequence == 3


async def test_an_empty_journal_has_head_zero_and_an_empty_append_keeps_nothing(
    journal: Journal,
) -> None:
    assert await journal.append([]) == []
    assert journal.head() == Head(0, bytes(32))


async def test_every_column_comes_back_as_it_was_given(
    journal: Journal, clock: ManualClock
) -> None:
    given = NewEntry(
        Kind.SIGNALS,
        body=bytes(range(256)),
        key="k",
        principal="prédicteur",
        topic="signal",
        target="*",
        known_at_ns=-5,
        digest="d",
    )
    await journal.append([given])
    [entry] = await journal.read(Kind.SIGNALS)
    assert entry.received_at_ns == clock.now_ns()
    assert entry.chain == journal.head().chain
    assert given == NewEntry(**{name: getattr(entry, name) for name in given.__slots__})


async def test_the_same_key_and_content_is_stored_once(journal: Journal) -> None:
    [first] = await journal.append([message("a", b"1")])
    [again] = await journal.append([message("a", b"1")])
    assert again == Receipt(first.sequence, duplicate=True)
    assert journal.head().sequence == 1


async def test_a_given_digest_decides_what_is_the_same(journal: Journal) -> None:
    await journal.append([message("a", b"1", digest="same")])
    [again] = await journal.append([message("a", b"2", digest="same")])
    assert again.duplicate


async def test_the_same_key_with_other_content_is_refused_with_its_whole_append(
    journal: Journal,
) -> None:
    await journal.append([message("a", b"1")])
    with pytest.raises(Conflict, match="already entry 1"):
        await journal.append([message("new", b"1"), message("a", b"2")])
    assert journal.head().sequence == 1
    assert (await journal.append([message("new", b"other")]))[0].sequence == 2


async def test_a_conflict_inside_one_append_is_refused(journal: Journal) -> None:
    with pytest.raises(Conflict):
        await journal.append([message("a", b"1"), message("a", b"2")])
    assert journal.head().sequence == 0


async def test_a_repetition_inside_one_append_is_a_duplicate(journal: Journal) -> None:
    receipts = await journal.append([message("a"), message("b"), message("a")])
    assert receipts == [Receipt(1, False), Receipt(2, False), Receipt(1, True)]


async def test_a_key_belongs_to_its_kind_and_principal(journal: Journal) -> None:
    await journal.append([message("a", b"1")])
    receipts = await journal.append(
        [message("a", b"2", principal="congress"), NewEntry(Kind.AUDIT, b"3", "a", "fred")]
    )
    assert not any(receipt.duplicate for receipt in receipts)


async def test_conflicts_within_one_group_follow_the_order_of_arrival(
    opener: Opener, disk: Disk
) -> None:
    journal = await opener(vfs=disk.vfs)
    async with asyncio.timeout(30):
        first = await held_at_sync(journal, disk)
        keep = asyncio.create_task(journal.append([message("a", b"1")]))
        refuse = asyncio.create_task(journal.append([message("b"), message("a", b"2")]))
        repeat = asyncio.create_task(journal.append([message("a", b"1"), message("b", b"x")]))
        await asyncio.sleep(0)
        disk.sync_gate.set()
        await first
        assert await keep == [Receipt(2, False)]
        with pytest.raises(Conflict):
            await refuse
        assert await repeat == [Receipt(2, True), Receipt(3, False)]


async def test_an_append_is_acknowledged_only_after_the_sync(opener: Opener, disk: Disk) -> None:
    journal = await opener(vfs=disk.vfs)
    async with asyncio.timeout(30):
        waiting = await held_at_sync(journal, disk)
        assert not waiting.done()
        assert journal.head().sequence == 0
        disk.sync_gate.set()
        assert (await waiting)[0].sequence == 1
        assert journal.head().sequence == 1


async def test_everybody_who_waits_shares_one_sync(opener: Opener, disk: Disk) -> None:
    journal = await opener(vfs=disk.vfs)
    async with asyncio.timeout(30):
        first = await held_at_sync(journal, disk)
        before = disk.syncs
        others = [asyncio.create_task(journal.append([message(str(n))])) for n in range(64)]
        await asyncio.sleep(0)
        disk.sync_gate.set()
        receipts = await asyncio.gather(first, *others)
    assert sorted(receipt.sequence for [receipt] in receipts) == list(range(1, 66))
    # One for the first, one for the other 64, and what a checkpoint may add.
    assert disk.syncs - before <= 4


async def test_a_full_queue_refuses_and_takes_again_once_it_drains(
    opener: Opener, disk: Disk
) -> None:
    journal = await opener(vfs=disk.vfs, queue_size=3)
    async with asyncio.timeout(30):
        first = await held_at_sync(journal, disk)
        second = asyncio.create_task(journal.append([message("b"), message("c")]))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await journal.append([message("d")])
        assert refused.value.retryable and refused.value.retry_after
        disk.sync_gate.set()
        await asyncio.gather(first, second)
        assert (await journal.append([message("d")]))[0].sequence == 4


async def test_an_append_that_can_never_fit_is_bad_input(opener: Opener) -> None:
    journal = await opener(queue_size=3)
    with pytest.raises(InvalidInput, match="at most 3"):
        await journal.append([message()] * 4)


@pytest.mark.parametrize("entry", [message("\ud800"), message(known_at_ns=2**63)])
async def test_what_cannot_be_stored_is_bad_input(journal: Journal, entry: NewEntry) -> None:
    with pytest.raises(InvalidInput):
        await journal.append([entry])
    assert (await journal.append([message()]))[0].sequence == 1


async def test_a_cancelled_caller_leaves_the_writer_working(opener: Opener, disk: Disk) -> None:
    journal = await opener(vfs=disk.vfs)
    async with asyncio.timeout(30):
        first = await held_at_sync(journal, disk)
        first.cancel()
        disk.sync_gate.set()
        assert (await journal.append([message("second")]))[0].sequence == 2


async def test_a_full_disk_is_a_typed_refusal_and_writing_goes_on_afterwards(
    opener: Opener, disk: Disk
) -> None:
    journal = await opener(vfs=disk.vfs)
    await journal.append([message("a")])
    disk.full = True
    with pytest.raises(JournalBusy, match="full") as refused:
        await journal.append([message("b")])
    assert refused.value.retryable
    assert [entry.key for entry in await journal.read(Kind.MESSAGE)] == ["a"]
    disk.full = False
    assert await journal.append([message("b")]) == [Receipt(2, False)]
    assert (await journal.verify()).sequence == 2


async def test_after_a_failed_sync_nothing_is_acknowledged_until_recovery(
    opener: Opener, disk: Disk, tmp_path: Path
) -> None:
    journal = await opener(vfs=disk.vfs)
    await journal.append([message("a")])
    disk.sync_error = True
    with pytest.raises(StorageError, match="starts again"):
        await journal.append([message("b")])
    disk.sync_error = False
    with pytest.raises(StorageError, match="starts again"):
        await journal.append([message("c")])
    await journal.close()
    again = await opener()
    assert (await again.append([message("a")]))[0] == Receipt(1, True)
    assert (await again.append([message("c")]))[0].duplicate is False


async def test_a_second_owner_is_refused_and_told_who_the_first_is(
    journal: SqliteJournal, opener: Opener
) -> None:
    with pytest.raises(JournalBusy, match="owned by process"):
        await opener(journal.path)
    await journal.close()
    await opener(journal.path)


async def test_another_process_is_refused_too(journal: SqliteJournal) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from relentless.configs.clock import RunClock\n"
        "from relentless.proto.errors import JournalBusy\n"
        "from relentless.store.journal import open_journal\n"
        "try:\n"
        "    asyncio.run(open_journal(pathlib.Path(sys.argv[1]), RunClock.live()))\n"
        "except JournalBusy:\n"
        "    sys.exit(42)\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, str(journal.path)], timeout=60
    )
    assert done.returncode == 42


async def test_closing_writes_what_was_accepted(opener: Opener) -> None:
    journal = await opener()
    accepted = [asyncio.create_task(journal.append([message(str(n))])) for n in range(50)]
    await asyncio.sleep(0)
    await journal.close()
    assert {receipt.sequence for [receipt] in await asyncio.gather(*accepted)} == set(range(1, 51))
    with pytest.raises(Unavailable):
        await journal.append([message()])
    with pytest.raises(Unavailable):
        await journal.read(Kind.MESSAGE)
    again = await opener()
    assert again.head().sequence == 50


async def test_a_file_of_something_else_is_refused_and_left_alone(
    opener: Opener, tmp_path: Path
) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (a)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="not a journal"):
        await opener(path)
    assert path.read_bytes() == before


async def held_at_sync(journal: SqliteJournal, disk: Disk) -> "asyncio.Task[list[Receipt]]":
    """Start an append and return while the disk still syncs it; ``sync_gate`` lets it go on."""
    disk.sync_gate.clear()
    disk.at_sync.clear()
    task = asyncio.create_task(journal.append([message("held")]))
    assert await asyncio.to_thread(disk.at_sync.wait, 30)
    return task
