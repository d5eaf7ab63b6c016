"""P9, the hub's side: after an answered halt nobody holds a lease that allows a signal.

A model predictor emits whenever its lease allows, counting the lease from the moment it asked, and
obeys a halt only once it has read it. Time is made by hand.
"""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

import pytest

from relentless.configs.clock import ManualClock
from relentless.mcp_server.control import Lease, LeaseControl, LeaseRequest
from relentless.mcp_server.halt import UNREADABLE
from relentless.proto.errors import JournalBusy, Unavailable
from relentless.store.journal import open_journal
from relentless.store.ports import Entry, Head, Journal, Kind, NewEntry, Receipt

from .helpers import START, principal

OPERATOR = principal("operator")
pytestmark = pytest.mark.promise("P9")


class Time:
    """Monotonic seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class MemoryJournal:
    """A journal's halts, in memory: for thousands of interleavings. Fails when told to."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.broken = False
        self.slow = 0

    async def append(
        self, entries: Sequence[NewEntry], *, audit: NewEntry | None = None
    ) -> list[Receipt]:
        for _ in range(self.slow):
            await asyncio.sleep(0)
        if self.broken:
            raise JournalBusy("the disk is full")
        for new in entries:
            number = len(self.entries) + 1
            self.entries.append(
                Entry(number, new.kind, new.body, "", new.principal, "", "", 0, 0, "", b"")
            )
        return [Receipt(len(self.entries), False)]

    async def read(self, kind: Kind, **_: object) -> list[Entry]:
        if self.broken:
            raise JournalBusy("the disk is gone")
        return self.entries[-1:]

    def head(self) -> Head:
        return Head(len(self.entries), b"")

    async def close(self) -> None:
        pass


async def control_on(journal: Journal, time: Time) -> LeaseControl:
    made = LeaseControl(
        journal,
        ManualClock(START.astimezone(UTC)),
        lambda: None,
        lease_s=1.0,
        canary_share=0.05,
        monotonic=time,
    )
    await made.recover()
    return made


class Predictor:
    """Emits while its lease allows, and knows no halt that it has not read."""

    def __init__(self, name: str, time: Time) -> None:
        self.name = name
        self._time = time
        self.epoch = -1
        self.until = 0.0

    async def ask(self, control: LeaseControl) -> None:
        sent = self._time()
        self.take(
            await control.lease(LeaseRequest(predictor_id=self.name, halt_epoch=self.epoch)), sent
        )

    def take(self, lease: Lease, sent: float) -> None:
        self.epoch = lease.halt_epoch
        self.until = 0.0 if lease.halted else sent + lease.lease_s

    def may_emit(self) -> bool:
        return self._time() < self.until


async def until_done(task: "asyncio.Task[object]", control: LeaseControl, time: Time) -> float:
    """Let a halt settle while time goes on; gives the time that it took."""
    start = time.now
    for _ in range(200):
        for _ in range(20):
            await asyncio.sleep(0)
        if task.done():
            return time.now - start
        time.now += 0.1
        control.pulse.beat()
    raise AssertionError("the halt was never answered")


async def test_a_halt_is_answered_once_the_predictor_confirms() -> None:
    time = Time()
    control = await control_on(MemoryJournal(), time)
    time.now += 5
    one = Predictor("one", time)
    await one.ask(control)
    assert one.may_emit()
    halting = asyncio.create_task(control.set_halt(OPERATOR, True, "test"))
    await asyncio.sleep(0.01)
    assert not halting.done()
    await one.ask(control)
    assert not one.may_emit()
    await one.ask(control)
    async with asyncio.timeout(10):
        view = await halting
    assert [(seen.predictor_id, seen.by) for seen in view.predictors] == [("one", "confirmed")]


async def test_a_silent_predictor_is_waited_for_until_its_lease_ran_out() -> None:
    time = Time()
    control = await control_on(MemoryJournal(), time)
    time.now += 5
    one = Predictor("one", time)
    await one.ask(control)
    halting = asyncio.create_task(control.set_halt(OPERATOR, True, "test"))
    took = await until_done(halting, control, time)
    assert took >= 0.99
    assert not one.may_emit()
    assert (await halting).predictors[0].by == "lease_ended"


async def test_a_hub_that_just_started_waits_for_leases_it_cannot_know() -> None:
    time = Time()
    control = await control_on(MemoryJournal(), time)
    halting = asyncio.create_task(control.set_halt(OPERATOR, True, "test"))
    assert await until_done(halting, control, time) >= 0.99


async def test_nothing_is_granted_before_the_halt_was_read() -> None:
    time = Time()
    control = LeaseControl(
        MemoryJournal(),
        ManualClock(START.astimezone(UTC)),
        lambda: None,
        lease_s=1.0,
        canary_share=0.05,
        monotonic=time,
    )
    one = Predictor("one", time)
    await one.ask(control)
    assert not one.may_emit()


async def test_a_halt_survives_a_restart_and_so_does_its_end(tmp_path: Path) -> None:
    clock, time = ManualClock(START.astimezone(UTC)), Time()
    for halted in (True, False):
        journal = await open_journal(tmp_path / "journal.db", clock)
        control = await control_on(journal, time)
        time.now += 5
        await control.set_halt(OPERATOR, halted, "test")
        await journal.close()
        journal = await open_journal(tmp_path / "journal.db", clock)
        again = await control_on(journal, time)
        assert (again.halt.halted, again.halt.by) == (halted, "operator")
        await journal.close()


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'{"epoch": 1, "halted": "no"}', b"\xff"])
async def test_an_unreadable_state_is_a_halt(body: bytes) -> None:
    journal, time = MemoryJournal(), Time()
    await journal.append([NewEntry(Kind.HALT, body, principal="x")])
    control = await control_on(journal, time)
    assert (control.halt.halted, control.halt.reason) == (True, UNREADABLE)
    broken = MemoryJournal()
    broken.broken = True
    assert (await control_on(broken, time)).halt.halted


async def test_a_halt_that_cannot_be_kept_holds_and_says_so() -> None:
    journal, time = MemoryJournal(), Time()
    control = await control_on(journal, time)
    time.now += 5
    journal.broken = True
    with pytest.raises(Unavailable, match="halted"):
        await control.set_halt(OPERATOR, True, "test")
    one = Predictor("one", time)
    await one.ask(control)
    assert not one.may_emit()
    with pytest.raises(Unavailable, match="stays"):
        await control.set_halt(OPERATOR, False, "test")
    assert control.halt.halted


async def test_a_waiting_lease_is_answered_when_trading_is_halted() -> None:
    control = await control_on(MemoryJournal(), time := Time())
    time.now += 5
    request = LeaseRequest(predictor_id="one", halt_epoch=0, wait_s=0.4)
    waiting = asyncio.create_task(control.lease(request))
    await asyncio.sleep(0)
    await control.set_halt(OPERATOR, True, "test")
    async with asyncio.timeout(10):
        assert (await waiting).halted


class Day:
    """Three predictors, hubs after each other, kills and halts, in one random order."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.time = Time()
        self.journal = MemoryJournal()
        self.predictors = [Predictor(f"p{n}", self.time) for n in range(3)]
        self.asking: list[asyncio.Task[None]] = []
        self.halting: asyncio.Task[object] | None = None
        self.answered = False
        """A halt was answered, and trading was not resumed since."""

    async def run(self) -> None:
        self.control = await control_on(self.journal, self.time)
        steps = (self.ask, self.ask, self.ask, self.wait, self.halt, self.resume, self.kill)
        for _ in range(60):
            await self.rng.choice(steps)()
            for _ in range(self.rng.randrange(6)):
                await asyncio.sleep(0)
            self.look()
        if self.halting is not None:
            await until_done(self.halting, self.control, self.time)
            self.look()
        for task in self.asking:
            task.cancel()
        await asyncio.gather(*self.asking, return_exceptions=True)

    def look(self) -> None:
        if self.halting is not None and self.halting.done():
            self.answered, self.halting = True, None
        if self.answered:
            assert not any(predictor.may_emit() for predictor in self.predictors)

    async def ask(self) -> None:
        asker = self.rng.choice(self.predictors)
        self.asking.append(asyncio.create_task(asker.ask(self.control)))

    async def wait(self) -> None:
        self.time.now += self.rng.choice([0.01, 0.2, 0.6, 1.1])
        self.control.pulse.beat()

    async def halt(self) -> None:
        if self.halting is None:
            self.journal.slow = self.rng.randrange(4)
            self.halting = asyncio.create_task(self.control.set_halt(OPERATOR, True, "x"))

    async def resume(self) -> None:
        if self.halting is None and self.answered:
            self.answered = False
            resuming = asyncio.create_task(self.control.set_halt(OPERATOR, False, "x"))
            await until_done(resuming, self.control, self.time)

    async def kill(self) -> None:
        """Kill the hub, unless it owes an answer, or a predictor; another takes its place."""
        victim = self.rng.randrange(4)
        if victim < 3:
            self.predictors[victim] = Predictor(f"p{victim}", self.time)
        elif self.halting is None:
            self.control = await control_on(self.journal, self.time)


async def test_no_interleaving_leaves_a_lease_after_an_answered_halt(soak: bool) -> None:
    for seed in range(5_000 if soak else 500):
        await Day(seed).run()
