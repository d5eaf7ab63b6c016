"""Promise P2: published at least once, stored once; an id with another body is refused.

A state machine drives the real journal beside a model that is a list. Its crash rules cut the
power of the disk while an append is in flight, open what is left, and let the publisher do what
publishers do: say it again.
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from powercut import Disk

from relentless.configs.clock import ManualClock
from relentless.proto.errors import Conflict
from relentless.store.journal import SqliteJournal, open_journal
from relentless.store.ports import Kind, NewEntry, Receipt

T = TypeVar("T")


def batches(keys: str) -> st.SearchStrategy[list[NewEntry]]:
    entries = st.builds(
        NewEntry,
        kind=st.sampled_from([Kind.MESSAGE, Kind.FILL]),
        body=st.sampled_from([b"one", b"two"]),
        key=st.sampled_from(keys.split(",")),
        principal=st.sampled_from(["fred", "news"]),
        topic=st.just("rates"),
    )
    return st.lists(entries, min_size=1, max_size=4)


BATCHES = batches(keys=",a,b,c,d")
REPEATABLE = batches(keys="a,b,c,d")
"""Without a key nobody can know that it was said before."""


class Model:
    """What the journal holds, as a list of (kind, principal, key, body)."""

    def __init__(self) -> None:
        self.rows: list[tuple[Kind, str, str, bytes]] = []

    def append(self, batch: list[NewEntry]) -> list[Receipt] | None:
        """Give the receipts that are due; None is a conflict."""
        rows = list(self.rows)
        receipts = []
        for entry in batch:
            row = (entry.kind, entry.principal, entry.key, entry.body)
            same = [n for n, there in enumerate(rows, 1) if entry.key and there[:3] == row[:3]]
            if same and rows[same[0] - 1] != row:
                return None
            receipts.append(Receipt(same[0] if same else len(rows) + 1, bool(same)))
            if not same:
                rows.append(row)
        self.rows = rows
        return receipts


class StoredOnce(RuleBasedStateMachine):
    """The journal on a disk whose power fails."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="relentless-once-"))
        self.runner = asyncio.Runner()
        self.clock = ManualClock(datetime(2013, 10, 7, 9, 0, tzinfo=UTC))
        self.model = Model()
        self.generation = 0
        self.disk = Disk()
        self.journal = self.run(self.open())

    def run(self, work: Awaitable[T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(30):
                return await work

        return self.runner.run(bounded())

    async def open(self) -> SqliteJournal:
        here = self.folder / str(self.generation)
        here.mkdir(exist_ok=True)
        self.disk.insert(here)
        return await open_journal(here / "journal.db", self.clock, vfs=self.disk.vfs)

    @rule(batch=BATCHES)
    def publish(self, batch: list[NewEntry]) -> None:
        due = self.model.append(batch)
        if due is None:
            with pytest.raises(Conflict):
                self.run(self.journal.append(batch))
        else:
            assert self.run(self.journal.append(batch)) == due

    @rule(batches=st.lists(BATCHES, min_size=2, max_size=5))
    def publish_at_once(self, batches: list[list[NewEntry]]) -> None:
        async def together() -> list[list[Receipt] | BaseException]:
            appends = [self.journal.append(batch) for batch in batches]
            return await asyncio.gather(*appends, return_exceptions=True)

        for batch, outcome in zip(batches, self.run(together()), strict=True):
            due = self.model.append(batch)
            assert isinstance(outcome, Conflict) if due is None else outcome == due

    @rule(batch=REPEATABLE, operations=st.integers(0, 12), seed=st.none() | st.integers(0, 99))
    def crash_while_publishing(
        self, batch: list[NewEntry], operations: int, seed: int | None
    ) -> None:
        """The append may have been kept or not, but not in part; saying it again settles it."""
        self.disk.cut_after(operations, chance=None if seed is None else random.Random(seed))
        before = len(self.model.rows)
        due = self.model.append(batch)
        self.run(self.publish_into_the_dark(batch))
        self.crash()
        assert self.journal.head().sequence in (before, len(self.model.rows))
        if due is None:
            with pytest.raises(Conflict):
                self.run(self.journal.append(batch))
        else:
            again = self.run(self.journal.append(batch))
            assert [receipt.sequence for receipt in again] == [each.sequence for each in due]

    async def publish_into_the_dark(self, batch: list[NewEntry]) -> None:
        """Publish without learning what came of it."""
        with suppress(Conflict):
            await self.journal.append(batch)

    @rule()
    def crash(self) -> None:
        if self.disk.image is None:
            self.disk.cut()
        self.run(self.journal.close())
        self.generation += 1
        self.disk.write_image(self.folder / str(self.generation))
        self.disk.__exit__()
        self.disk = Disk()
        self.journal = self.run(self.open())

    @rule()
    def end_and_start(self) -> None:
        head = self.journal.head()
        self.run(self.journal.close())
        self.journal = self.run(self.open())
        assert self.journal.head() == head

    @invariant()
    def holds_the_model(self) -> None:
        async def everything() -> list[tuple[int, Kind, str, str, bytes]]:
            entries = [entry for kind in Kind for entry in await self.journal.read(kind)]
            return sorted((e.sequence, e.kind, e.principal, e.key, e.body) for e in entries)

        expected = [(number, *row) for number, row in enumerate(self.model.rows, 1)]
        assert self.run(everything()) == expected
        assert self.run(self.journal.verify()) == self.journal.head()

    def teardown(self) -> None:
        self.run(self.journal.close())
        self.disk.__exit__()
        self.runner.close()
        shutil.rmtree(self.folder)


@pytest.mark.promise("P2")
@pytest.mark.timeout(1_200)
def test_published_at_least_once_is_stored_once_through_crashes(soak: bool) -> None:
    reduced, full = (10, 20), (400, 30)
    examples, steps = full if soak else reduced
    run_state_machine_as_test(
        StoredOnce,
        settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None),
    )
