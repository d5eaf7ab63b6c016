"""Promise P1: what was acknowledged is there, after a kill and after a power cut."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from powercut import Disk
from publisher import body

from relentless.configs.clock import RunClock
from relentless.store.journal import open_journal
from relentless.store.ports import Head, Kind, NewEntry

CLOCK = RunClock.live()


async def kept(path: Path, expect: Head | None = None) -> dict[str, tuple[int, bytes]]:
    """Recover a journal, check all of it, and give what it holds by key."""
    journal = await open_journal(path, CLOCK, expect=expect)
    try:
        head = await journal.verify()
        found = {}
        while len(found) < head.sequence:
            for entry in await journal.read(Kind.MESSAGE, after=len(found), limit=10_000):
                found[entry.key] = (entry.sequence, entry.body)
        return found
    finally:
        await journal.close()


@pytest.fixture
async def publisher() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("publisher.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    yield process
    assert process.stdin is not None
    process.stdin.close()
    await asyncio.wait_for(process.wait(), 30)


@pytest.mark.promise("P1")
@pytest.mark.timeout(1_200)
async def test_every_acknowledged_entry_survives_sigkill(
    publisher: asyncio.subprocess.Process, tmp_path: Path, soak: bool
) -> None:
    assert publisher.stdin is not None and publisher.stdout is not None
    path = tmp_path / "journal.db"
    chance = random.Random(1)
    acknowledged: dict[str, int] = {}
    head: Head | None = None
    for generation in range(200 if soak else 12):
        # Some die while they open the file, some after few acknowledgements, some after many.
        enough = 0 if generation % 6 == 5 else int(chance.expovariate(1 / 150)) + 1
        publisher.stdin.write(f"{path} {generation}\n".encode())
        seen = 0
        while line := (await asyncio.wait_for(publisher.stdout.readline(), 60)).decode():
            word, *rest = line.split()
            if word == "pid":
                child = int(rest[0])
            elif word == "ack":
                acknowledged[rest[0]] = int(rest[1])
                seen += 1
            else:
                break
            if seen == enough:
                os.kill(child, signal.SIGKILL)
        found = await kept(path, expect=head)
        for key, sequence in acknowledged.items():
            assert found[key] == (sequence, body(key))
        reopened = await open_journal(path, CLOCK)
        head = reopened.head()
        await reopened.close()
    assert len(acknowledged) > 100


class Cuts:
    """Publish on a disk, cut its power, open what is left; again and again on the same data."""

    def __init__(self, folder: Path, synchronous: str, seed: int) -> None:
        self.acknowledged: dict[str, int] = {}
        self.total = 0
        self.lost = 0
        self._folder = folder
        self._synchronous = synchronous
        self._chance = random.Random(seed)
        self._generation = 0

    def path(self) -> Path:
        return self._folder / f"{self._generation}" / "journal.db"

    async def cut(self, torn: bool) -> None:
        """One generation: publish until the power is cut, then count what was lost."""
        before = dict(self.acknowledged)
        with Disk() as disk:
            disk.insert(self.path().parent)
            at_cut: dict[str, int] = {}
            dead = asyncio.Event()
            loop = asyncio.get_running_loop()

            def note() -> None:
                at_cut.update(self.acknowledged)
                loop.call_soon_threadsafe(dead.set)

            disk.cut_after(
                int(self._chance.expovariate(1 / 500)),
                note,
                random.Random(self._chance.random()) if torn else None,
            )
            journal = await open_journal(
                self.path(), CLOCK, vfs=disk.vfs, synchronous=self._synchronous
            )
            tasks = [asyncio.create_task(self._publish(journal, task, dead)) for task in range(8)]
            await asyncio.wait_for(asyncio.gather(*tasks), 60)
            await journal.close()
            self.acknowledged = at_cut
            self.total += len(at_cut.keys() - before.keys())
            self._generation += 1
            disk.write_image(self.path().parent)
        found = await kept(self.path())
        kept_now = {
            key: sequence
            for key, sequence in self.acknowledged.items()
            if found.get(key) == (sequence, body(key))
        }
        self.lost += len(self.acknowledged) - len(kept_now)
        self.acknowledged = kept_now

    async def _publish(self, journal, task: int, dead: asyncio.Event) -> None:
        number = 0
        while not dead.is_set():
            key = f"{self._generation}.{task}.{number}." + "x" * self._chance.choice((0, 5, 50))
            entry = NewEntry(Kind.MESSAGE, body(key), key=key, principal=f"p{task}", topic="rates")
            [receipt] = await journal.append([entry])
            self.acknowledged[key] = receipt.sequence
            number += 1


@pytest.mark.promise("P1")
@pytest.mark.timeout(1_200)
async def test_power_cuts_lose_nothing_under_full_and_do_lose_under_normal(
    tmp_path: Path, soak: bool
) -> None:
    (tmp_path / "full" / "0").mkdir(parents=True)
    (tmp_path / "normal" / "0").mkdir(parents=True)
    full = Cuts(tmp_path / "full", "FULL", seed=2)
    normal = Cuts(tmp_path / "normal", "NORMAL", seed=2)
    for number in range(200 if soak else 15):
        await full.cut(torn=number % 2 == 1)
        await normal.cut(torn=number % 2 == 1)
    assert full.total > 100
    assert full.lost == 0
    assert normal.lost > 0, "the cut is no cut: unsynced data survived it"
