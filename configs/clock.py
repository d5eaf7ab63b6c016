"""The one clock of a run: simulated for a shipped or recorded day, the wall's when live.

Market time (what the day's data and schedules are about) comes from here. Authentication, leases
and rate limits use wall time and never ask this module.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")


class Clock(Protocol):
    """Market time."""

    @property
    def speed(self) -> float:
        """Market seconds in one wall second; 1.0 when live."""
        ...

    def now(self) -> datetime:
        """Give the market time, aware, in UTC."""
        ...

    def now_ns(self) -> int:
        """Give the market time in ns since the Unix epoch."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return once ``moment`` has come; at once where it is past."""
        ...


def to_ns(moment: datetime) -> int:
    """Give an aware time as ns since the Unix epoch, exactly."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def from_ns(ns: int) -> datetime:
    """Give ns since the Unix epoch as an aware time in UTC, cut to the microsecond."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1_000)


@dataclass(frozen=True)
class RunClock:
    """Market time as a line over wall time: ``start + (wall - epoch) * speed``.

    ``epoch`` is wall time in seconds since the Unix epoch. Every process of a run holds the same
    three numbers, so every process reads the same time. A live clock is the line with speed 1.
    """

    start: datetime
    speed: float
    epoch: float

    @classmethod
    def live(cls) -> "RunClock":
        """Give the wall clock."""
        return cls(start=datetime(1970, 1, 1, tzinfo=UTC), speed=1.0, epoch=0.0)

    def now_ns(self) -> int:
        """Give the market time in ns since the Unix epoch."""
        if self.epoch == 0.0 and self.speed == 1.0:
            return time.time_ns()
        return to_ns(self.start) + int((time.time() - self.epoch) * self.speed * 1e9)

    def now(self) -> datetime:
        """Give the market time, aware, in UTC."""
        return from_ns(self.now_ns())

    async def sleep_until(self, moment: datetime) -> None:
        """Return once ``moment`` has come, in naps of at most a second (the wall may be set)."""
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left / self.speed, 1.0))


class ManualClock:
    """A clock that stands still until it is moved: for tests."""

    speed = 1.0

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        """Give the time that was last set."""
        return self._now

    def now_ns(self) -> int:
        """Give the time that was last set, in ns."""
        return to_ns(self._now)

    def move_to(self, moment: datetime) -> None:
        """Set the time and wake the sleepers."""
        self._now = moment.astimezone(UTC)
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleep_until(self, moment: datetime) -> None:
        """Return once the clock was moved to ``moment`` or past it."""
        while self._now < moment:
            await self._moved.wait()
