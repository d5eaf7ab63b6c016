"""Promise P3: damage is never silent. A damaged journal gives a prefix, or a loud typed error.

And whoever remembers the head is told when it is a prefix: what was acknowledged is gone.
"""

import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from damages import DB, KINDS, WAL, Files, Scene

from relentless.configs.clock import ManualClock
from relentless.proto.errors import JournalDamaged, StorageError
from relentless.store.journal import SqliteJournal, open_journal
from relentless.store.ports import Entry, Head, Kind, NewEntry
from relentless.store.schema import connect_writer

Opener = Callable[..., Awaitable[SqliteJournal]]


def entries(count: int, start: int = 0, word: str = "number") -> list[NewEntry]:
    """Give entries of several topics, targets and principals, which all indexes hold."""
    return [
        NewEntry(
            Kind.MESSAGE if number % 5 else Kind.ACK,
            f'{{"{word}":{number},"filler":"{number * 7919}"}}'.encode() * 4,
            key=f"{word[0]}{number * 2_654_435_761 % 2**32:x}" if number % 3 else "",
            principal=("fred", "news", "sec")[(number * len(word)) % 3],
            topic=("rates", "news", "")[(number + len(word)) % 3],
            target=("*", "trade", "")[(number * 7 + len(word)) % 3],
        )
        for number in range(start, start + count)
    ]


async def everything(journal: SqliteJournal) -> list[Entry]:
    """Read all of it by every index, as the hub does; no full verification."""
    found: list[Entry] = []
    for kind in (Kind.MESSAGE, Kind.ACK):
        of_kind = await journal.read(kind, limit=10_000)
        for name, values in (
            ("topic", ("rates", "news", "")),
            ("principal", ("fred", "news", "sec")),
        ):
            for value in values:
                by_index = await journal.read(kind, limit=10_000, **{name: value})
                assert by_index == [each for each in of_kind if getattr(each, name) == value]
        by_target = await journal.read(kind, targets=["*", "trade"], limit=10_000)
        assert by_target == [each for each in of_kind if each.target in ("*", "trade")]
        newest = await journal.read(kind, limit=10_000, newest_first=True)
        assert newest == of_kind[::-1]
        found += of_kind
    return sorted(found, key=lambda entry: entry.sequence)


def files_of(folder: Path) -> Files:
    return {name: (folder / name).read_bytes() for name in (DB, WAL) if (folder / name).exists()}


async def grown(folder: Path, clock: ManualClock, word: str) -> tuple[list[Files], list[Entry]]:
    """Make a journal; give its files early, as a crash leaves them, and as an ending does."""
    journal = await open_journal(folder / DB, clock)
    await journal.append(entries(150, word=word))
    await journal.close()
    early = files_of(folder)
    journal = await open_journal(folder / DB, clock)
    for start in range(150, 300, 10):
        await journal.append(entries(10, start, word))
    crashed = files_of(folder)
    rows = await everything(journal)
    await journal.close()
    return [early, crashed, files_of(folder)], rows


async def scenes(folder: Path, clock: ManualClock) -> tuple[list[Scene], list[Entry]]:
    (early, crashed, ended), rows = await grown(folder / "mine", clock, "number")
    (_, *others), _ = await grown(folder / "other", clock, "lots")
    return [Scene(crashed, early, others[0]), Scene(ended, early, others[0] | others[1])], rows


@pytest.mark.promise("P3")
@pytest.mark.timeout(1_200)
async def test_a_damaged_journal_gives_a_prefix_or_a_loud_error_and_never_loses_silently(
    tmp_path: Path, clock: ManualClock, soak: bool
) -> None:
    whole, rows = await scenes(tmp_path, clock)
    expected = Head(rows[-1].sequence, rows[-1].chain)
    chance = random.Random(3)
    outcomes = {kind.__name__: Counter[str]() for kind in KINDS}
    for number in range(924 if soak else 88):
        kind = KINDS[number % len(KINDS)]
        folder = tmp_path / f"{number}"
        folder.mkdir()
        for name, content in kind(chance.choice(whole), chance).items():
            (folder / name).write_bytes(content)
        said = await outcome(folder / DB, clock, rows, expected)
        outcomes[kind.__name__][said] += 1
        shutil.rmtree(folder)
    total = sum(outcomes.values(), Counter())
    assert all(total[said] for said in ("whole", "prefix", "loud")), outcomes
    for name in ("changed_rows", "older_copy", "others_log"):
        assert not outcomes[name]["whole"], outcomes
    print("\n" + "\n".join(f"{name:16}{dict(counts)}" for name, counts in outcomes.items()))


async def outcome(path: Path, clock: ManualClock, rows: list[Entry], expected: Head) -> str:
    """Open and read: all of the true log, its beginning (and then loud to who knows), or loud."""
    try:
        journal = await open_journal(path, clock)
    except StorageError as error:
        assert error.code in ("journal_damaged", "storage")
        return "loud"
    try:
        found = await everything(journal)
        assert journal.head().sequence == len(found)
    except JournalDamaged:
        return "loud"
    finally:
        await journal.close()
    assert found == rows[: len(found)]
    if len(found) == len(rows):
        return "whole"
    with pytest.raises(JournalDamaged, match="suffix was lost"):
        await open_journal(path, clock, expect=expected)
    return "prefix"


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
    await tampered(opener, tmp_path, "UPDATE entries SET topic = 'news' WHERE sequence = 7")
    journal = await opener()
    assert len(await journal.read(Kind.MESSAGE, after=7)) == 100
    with pytest.raises(JournalDamaged, match="entry 7 "):
        await journal.read(Kind.MESSAGE, topic="news")
    with pytest.raises(JournalDamaged, match="entry 7 "):
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
