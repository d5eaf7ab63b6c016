"""Promise P3: damage is never silent. A damaged journal gives a prefix, or a loud typed error.

And whoever remembers the head is told when it is a prefix: what was acknowledged is gone.
"""

import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from relentless.configs.clock import ManualClock
from relentless.proto.errors import JournalDamaged, StorageError
from relentless.store.journal import SqliteJournal, open_journal
from relentless.store.ports import Entry, Head, Kind, NewEntry
from relentless.store.schema import connect_writer

Opener = Callable[..., Awaitable[SqliteJournal]]
SECTOR = 512


def entries(count: int, start: int = 0) -> list[NewEntry]:
    return [
        NewEntry(
            Kind.MESSAGE,
            f'{{"number":{number},"filler":"{number * 7919}"}}'.encode() * 4,
            key=f"k{number * 2_654_435_761 % 2**32:x}",
            principal="fred",
            topic="rates",
            target="*",
        )
        for number in range(start, start + count)
    ]


async def everything(journal: SqliteJournal) -> list[Entry]:
    """Read all of it by every index, as the hub does; no full verification."""
    by_kind = await journal.read(Kind.MESSAGE, limit=10_000)
    assert by_kind == await journal.read(Kind.MESSAGE, topic="rates", limit=10_000)
    assert by_kind == await journal.read(Kind.MESSAGE, targets=["*", "x"], limit=10_000)
    assert by_kind == await journal.read(Kind.MESSAGE, principal="fred", limit=10_000)
    return by_kind


async def images(folder: Path, clock: ManualClock) -> tuple[list[dict[str, bytes]], list[Entry]]:
    """Give a journal's files as a crash leaves them (log and all) and as an ending leaves them."""
    path = folder / "journal.db"
    journal = await open_journal(path, clock)
    await journal.append(entries(150))
    await journal.close()
    journal = await open_journal(path, clock)
    for start in range(150, 300, 10):
        await journal.append(entries(10, start))
    crashed = {name: (folder / name).read_bytes() for name in ("journal.db", "journal.db-wal")}
    rows = await everything(journal)
    await journal.close()
    return [crashed, {"journal.db": path.read_bytes()}], rows


def damage(content: bytes, chance: random.Random) -> bytes:
    """Do to a file what disks and people do."""
    found = bytearray(content)
    place = chance.randrange(len(found))
    sector = place // SECTOR * SECTOR
    match chance.randrange(6):
        case 0:
            found[place] ^= 1 << chance.randrange(8)
        case 1:
            found[place] = chance.randrange(256)
        case 2:
            found[sector : sector + SECTOR] = bytes(len(found[sector : sector + SECTOR]))
        case 3:
            del found[place:]
        case 4:
            del found[sector : sector + SECTOR]
        case 5:
            other = chance.randrange(len(found)) // SECTOR * SECTOR
            found[sector : sector + SECTOR] = found[other : other + SECTOR]
    return bytes(found)


@pytest.mark.promise("P3")
@pytest.mark.timeout(1_200)
async def test_a_damaged_journal_gives_a_prefix_or_a_loud_error_and_never_loses_silently(
    tmp_path: Path, clock: ManualClock, soak: bool
) -> None:
    (tmp_path / "whole").mkdir()
    whole, rows = await images(tmp_path / "whole", clock)
    chance = random.Random(3)
    outcomes = {"whole": 0, "prefix": 0, "loud": 0}
    for number in range(900 if soak else 90):
        files = dict(chance.choice(whole))
        name = chance.choice(list(files))
        files[name] = damage(files[name], chance)
        folder = tmp_path / f"{number}"
        folder.mkdir()
        for each, content in files.items():
            (folder / each).write_bytes(content)
        try:
            journal = await open_journal(folder / "journal.db", clock)
        except StorageError as error:
            assert error.code in ("journal_damaged", "storage")
            outcomes["loud"] += 1
            continue
        try:
            found = await everything(journal)
            assert journal.head().sequence == len(found)
        except JournalDamaged:
            outcomes["loud"] += 1
            continue
        finally:
            await journal.close()
        assert found == rows[: len(found)]
        if len(found) == len(rows):
            outcomes["whole"] += 1
            continue
        outcomes["prefix"] += 1
        with pytest.raises(JournalDamaged, match="suffix was lost"):
            await open_journal(
                folder / "journal.db", clock, expect=Head(rows[-1].sequence, rows[-1].chain)
            )
        shutil.rmtree(folder)
    assert all(outcomes.values()), outcomes


@pytest.mark.promise("P3")
@pytest.mark.parametrize(
    ("change", "sequence"),
    [
        ("UPDATE entries SET body = x'7b7d' WHERE sequence = 1990", 1990),
        ("UPDATE entries SET known_at_ns = known_at_ns - 1 WHERE sequence = 1990", 1990),
        ("UPDATE entries SET principal = 'news' WHERE sequence = 1990", 1990),
        ("DELETE FROM entries WHERE sequence = 1990", 1990),
    ],
)
async def test_a_row_that_was_tampered_with_is_found_at_opening(
    opener: Opener, tmp_path: Path, change: str, sequence: int
) -> None:
    await tampered(opener, tmp_path, change)
    with pytest.raises(JournalDamaged, match=f"entry {sequence} ") as refused:
        await opener()
    assert "restore the last good backup" in str(refused.value)


@pytest.mark.promise("P3")
async def test_an_old_row_that_was_tampered_with_is_found_when_read_and_by_verification(
    opener: Opener, tmp_path: Path
) -> None:
    await tampered(opener, tmp_path, "UPDATE entries SET topic = 'news' WHERE sequence = 5")
    journal = await opener()
    assert len(await journal.read(Kind.MESSAGE, after=5)) == 100
    with pytest.raises(JournalDamaged, match="entry 5 "):
        await journal.read(Kind.MESSAGE, topic="news")
    with pytest.raises(JournalDamaged, match="entry 5 "):
        await journal.verify()


@pytest.mark.promise("P3")
async def test_a_remembered_head_of_another_journal_is_refused(opener: Opener) -> None:
    journal = await opener()
    await journal.append(entries(3))
    head = journal.head()
    await journal.close()
    assert (await opener(expect=head)).head() == head
    with pytest.raises(JournalDamaged):
        await opener(journal.path.with_name("other.db"), expect=Head(2, bytes(32)))


async def test_after_a_kill_opening_follows_the_tail_and_sets_the_mark(
    opener: Opener, tmp_path: Path
) -> None:
    journal = await opener(queue_size=30_000)
    await journal.append(entries(25_000))
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(tmp_path / name, copy / name)
    again = await opener(copy / "journal.db")
    assert again.head() == journal.head() == await again.verify()


async def tampered(opener: Opener, tmp_path: Path, change: str) -> None:
    """Make a journal of 2,000 entries and change it with SQLite itself, checksums and all."""
    journal = await opener(queue_size=2_000)
    await journal.append(entries(2_000))
    await journal.close()
    connection = connect_writer(tmp_path / "journal.db", synchronous="OFF", vfs=None)
    connection.execute(change)
    connection.close()
