"""The clock: one line through market time, the same in every process."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relentless.configs import clock as module
from relentless.configs.clock import EASTERN, ManualClock, RunClock, from_ns, to_ns

START = datetime(2013, 10, 7, 5, 25, tzinfo=EASTERN)


@given(st.timedeltas(timedelta(0), timedelta(days=80_000)))
def test_a_time_survives_nanoseconds_exactly(since: timedelta) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + since
    assert from_ns(to_ns(moment)) == moment


@given(st.integers(0, 7 * 10**18))
def test_nanoseconds_are_cut_never_rounded_up(ns: int) -> None:
    assert 0 <= ns - to_ns(from_ns(ns)) < 1_000


def test_market_time_is_a_line_over_wall_time(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = 1_000_000.0
    monkeypatch.setattr(module.time, "time", lambda: wall)
    clock = RunClock(START, speed=60.0, epoch=wall)
    assert clock.now() == START
    monkeypatch.setattr(module.time, "time", lambda: wall + 5)
    assert clock.now() == START + timedelta(minutes=5)
    assert RunClock(START, 60.0, wall).now_ns() == clock.now_ns()


def test_live_is_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "time_ns", lambda: 1_700_000_000_123_456_789)
    assert RunClock.live().now_ns() == 1_700_000_000_123_456_789


async def test_sleeping_to_the_past_returns_at_once_and_to_the_future_when_it_has_come() -> None:
    clock = RunClock(START, speed=10_000.0, epoch=module.time.time())
    await clock.sleep_until(START - timedelta(days=1))
    async with asyncio.timeout(30):
        await clock.sleep_until(START + timedelta(minutes=10))
    assert clock.now() >= START + timedelta(minutes=10)


async def test_a_manual_clock_wakes_whoever_waits_when_it_is_moved() -> None:
    clock = ManualClock(START)
    sleeper = asyncio.create_task(clock.sleep_until(START + timedelta(hours=2)))
    for hours in (1, 2):
        await asyncio.sleep(0)
        assert not sleeper.done()
        clock.move_to(START + timedelta(hours=hours))
    async with asyncio.timeout(5):
        await sleeper
    assert clock.now() == START + timedelta(hours=2)
