"""Signals leave only under a lease, and none leaves after a halt was acknowledged."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from relentless.proto.daily import DailyContext
from relentless.proto.feed import Kind
from relentless.serving import feed as feed_module
from relentless.serving.clients.feed import FeedClient, Received
from relentless.serving.gates import Reason
from relentless.serving.lease import Grant, Lease, LeaseClient
from relentless.serving.live import LivePath

from .doubles import OPEN_NS, Feeder, context, eventually, new_lane
from .fake_hub import FakeHub


class World:
    """A predictor without its market data: lease, live path, feed, one consumer."""

    def __init__(self, hub: FakeHub, feeder: Feeder, lease: Lease, live: LivePath) -> None:
        self.hub, self.feeder, self.lease, self.live = hub, feeder, lease, live
        self.sent: list[float] = []
        self.received = 0
        self._at = 0

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self._at += 1
            price = 100.0 + 0.01 * (self._at % 7)
            ts = OPEN_NS + self._at * 1_000_000
            self.live.push(ts, 1 + self._at % 8, 0, price, price - 0.01, price + 0.01, 100)

    async def trade(self) -> None:
        while True:
            self.tick(3)
            await asyncio.sleep(0.008)

    async def consume(self) -> None:
        async with FeedClient(self.feeder.address, "good", next_sequence=1) as client:
            async for event in client:
                self.received += isinstance(event, Received)


@asynccontextmanager
async def world(hub: FakeHub) -> AsyncIterator[World]:
    lease = Lease()
    async with (
        Feeder(capacity=100_000) as feeder,
        httpx.AsyncClient(base_url=hub.url, timeout=1.0, trust_env=False) as http,
    ):
        feeder.server.permitted = lease.permitted
        live = LivePath((new_lane(),), feeder.server, lease, lambda: OPEN_NS)
        client = LeaseClient(http, "key", "p1", lease, live, wait_s=0.03)
        here = World(hub, feeder, lease, live)
        tasks = [asyncio.create_task(client.run()), asyncio.create_task(here.consume())]
        try:
            yield here
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Every packet of signals with the feed that wrote it and the moment that it was written."""
    notes: list[tuple[int, float]] = []
    send = feed_module._Link.send

    def noting(self: feed_module._Link, data: bytes) -> None:
        if data[2:3] == Kind.SIGNALS.encode():
            notes.append((id(self._feed), time.monotonic()))
        send(self, data)

    monkeypatch.setattr(feed_module._Link, "send", noting)
    return notes


async def interleaving(seed: int, noted: list[tuple[int, float]]) -> tuple[int, int]:
    """Run one random history; give (signals sent, halts acknowledged)."""
    rng = random.Random(seed)
    quiet: list[tuple[float, float]] = []
    async with FakeHub(lease_s=0.3) as hub, world(hub) as here:
        trading = asyncio.create_task(here.trade())
        await eventually(lambda: here.feeder.ring.head > 1)
        for _ in range(3):
            await asyncio.sleep(rng.random() * 0.05)
            halting = asyncio.create_task(hub.set_halt(True))
            if rng.random() < 0.4:
                await asyncio.sleep(rng.random() * 0.02)
                hub.kill()
                await asyncio.sleep(rng.random() * 0.2)
                acknowledged = await halting
                await hub.start()
            else:
                hub.delay_s = rng.choice((0.0, 0.0, 0.05))
                acknowledged = await halting
                hub.delay_s = 0.0
            await asyncio.sleep(rng.random() * 0.05)
            quiet.append((acknowledged, time.monotonic()))
            before = here.feeder.ring.head
            await hub.set_halt(False)
            if rng.random() < 0.5:
                await eventually(lambda before=before: here.feeder.ring.head > before)
        trading.cancel()
        mine = [at for feed, at in noted if feed == id(here.feeder.server)]
    late = [at for at in mine for start, end in quiet if start < at < end]
    assert not late, f"seed {seed}: {len(late)} packets after an acknowledged halt"
    return len(mine), len(quiet)


@pytest.mark.promise("P9")
async def test_no_signal_leaves_after_an_acknowledged_halt(
    noted: list[tuple[int, float]], soak: bool
) -> None:
    count = 500 if soak else 40
    sent = halts = 0
    for first in range(0, count, 5):
        outcomes = await asyncio.gather(
            *(interleaving(seed, noted) for seed in range(first, min(first + 5, count)))
        )
        sent += sum(outcome[0] for outcome in outcomes)
        halts += sum(outcome[1] for outcome in outcomes)
    assert halts == 3 * count
    assert sent > count  # and they did send in between


async def test_a_halt_is_confirmed_by_the_next_request_and_signals_come_back() -> None:
    async with FakeHub() as hub, world(hub) as here:
        trading = asyncio.create_task(here.trade())
        await eventually(lambda: here.received > 0)
        await hub.set_halt(True)
        assert hub.requests[-1]["halt_epoch"] == 1
        assert here.lease.refusal() == Reason.HALTED
        before = here.feeder.ring.head
        await asyncio.sleep(0.05)
        assert here.feeder.ring.head == before
        await hub.set_halt(False)
        await eventually(lambda: here.feeder.ring.head > before)
        trading.cancel()
    assert hub.credentials == {"bearer key"}


@pytest.mark.promise("P9")
async def test_a_dead_hub_ends_the_signals_when_the_lease_ends() -> None:
    async with FakeHub() as hub, world(hub) as here:
        trading = asyncio.create_task(here.trade())
        await eventually(lambda: here.received > 0)
        hub.kill()
        await eventually(lambda: not here.lease.permitted())
        before = here.feeder.ring.head
        await asyncio.sleep(0.05)
        assert here.feeder.ring.head == before
        assert here.lease.refusal() == Reason.NO_LEASE
        await hub.start()
        await eventually(lambda: here.feeder.ring.head > before)
        trading.cancel()


async def test_a_context_comes_with_the_lease_once() -> None:
    async with FakeHub(context=context(mark="cd")) as hub, world(hub) as here:
        await eventually(lambda: here.live.context is not None)
        await eventually(lambda: hub.requests[-1]["context_id"] == "cd" * 32)
        hub.context = context(mark="ef")
        await eventually(lambda: hub.requests[-1]["context_id"] == "ef" * 32)
        assert here.live.context == hub.context
        stats: dict[str, Any] = hub.requests[-1]["stats"]
    assert {"ticks", "signals", "ticks_per_s", "p50_us", "p99_us", "gated"} <= set(stats)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b"null",
        b'{"lease_s": 1e9, "halt_epoch": 0, "halted": false}',
        b'{"lease_s": NaN, "halt_epoch": 0, "halted": false}',
        b'{"lease_s": 1, "halt_epoch": "x", "halted": false}',
        b'{"lease_s": 1, "halted": false}',
    ],
)
async def test_an_answer_that_cannot_be_read_grants_nothing(answer: bytes) -> None:
    async with FakeHub() as hub:
        hub.answer = answer
        async with world(hub) as here:
            await eventually(lambda: len(hub.requests) > 2)
            assert not here.lease.permitted()


class Hands:
    """A clock that is moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def grant(epoch: int = 0, halted: bool = False, held: DailyContext | None = None) -> Grant:
    return Grant(lease_s=1.0, halt_epoch=epoch, halted=halted, context=held)


def test_a_lease_counts_from_the_moment_of_asking() -> None:
    clock = Hands()
    lease = Lease(clock)
    assert lease.refusal() == Reason.NO_LEASE
    assert lease.must_stop(grant())
    lease.stopped(grant())
    assert lease.refusal() == Reason.NO_LEASE  # confirmed, but nothing is granted by that
    lease.extend(sent=99.5, lease_s=1.0)
    assert lease.permitted()
    clock.now = 100.41
    assert not lease.permitted()
    lease.extend(sent=99.0, lease_s=1.0)  # an answer that was under way for too long
    assert not lease.permitted()


def test_another_epoch_ends_what_was_granted_even_where_nothing_is_halted() -> None:
    lease = Lease(Hands())
    lease.stopped(grant(epoch=3))
    lease.extend(sent=100.0, lease_s=1.0)
    assert not lease.must_stop(grant(epoch=3))
    assert lease.must_stop(grant(epoch=5))
    assert lease.must_stop(grant(epoch=3, halted=True))
    lease.stopped(grant(epoch=4, halted=True))
    assert (lease.confirmed, lease.refusal()) == (4, Reason.HALTED)


class Heard:
    """An emission that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def stop(self) -> None:
        self.told.append("stop")

    def resume(self) -> None:
        self.told.append("resume")

    def use_context(self, context: DailyContext) -> None:
        """No context comes."""

    def use_canary_share(self, share: float) -> None:
        """No share is looked at."""

    def statistics(self) -> dict[str, Any]:
        return {}


@pytest.mark.promise("P9")
async def test_a_lease_that_ran_out_unseen_is_a_stop_and_a_resume() -> None:
    clock, heard = Hands(), Heard()
    lease = Lease(clock)
    async with httpx.AsyncClient() as http:
        client = LeaseClient(http, "key", "p1", lease, heard)
        await client._apply(grant(), 100.0)
        await client._apply(grant(), 100.0)
        clock.now = 101.0  # the event loop was busy meanwhile: the watch has not looked
        assert not lease.permitted()
        await client._apply(grant(), 100.9)
    assert lease.permitted()
    assert heard.told == ["stop", "resume", "stop", "resume"]
