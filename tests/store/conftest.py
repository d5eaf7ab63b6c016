"""Fixtures of the store's tests: a clock that stands still, and journals that are closed after."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from relentless.configs.clock import ManualClock
from relentless.store.journal import SqliteJournal, open_journal

sys.path.insert(0, str(Path(__file__).parent))  # The tools beside these tests: powercut, publisher.

from powercut import Disk

Opener = Callable[..., Awaitable[SqliteJournal]]


@pytest.fixture
def clock() -> ManualClock:
    """Monday morning before the first context."""
    return ManualClock(datetime(2013, 10, 7, 9, 0, tzinfo=UTC))


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A disk that can fail and lose its power."""
    with Disk() as disk:
        yield disk


@pytest.fixture
async def opener(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Opener]:
    """Opens journals (`tmp_path`/journal.db unless told) and closes them at the end."""
    opened: list[SqliteJournal] = []

    async def open_one(path: Path | None = None, **options: Any) -> SqliteJournal:
        journal = await open_journal(path or tmp_path / "journal.db", clock, **options)
        opened.append(journal)
        return journal

    yield open_one
    for journal in opened:
        await journal.close()


@pytest.fixture
async def journal(opener: Opener) -> SqliteJournal:
    """An open, empty journal."""
    return await opener()
