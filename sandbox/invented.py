"""Series invented by a seeded process: those that the shipped day may not copy, and live ones.

ICE BofA's spreads and Cboe's VIX belong to their owners. The shipped day holds numbers of the same
kind instead: the logarithm follows a mean-reverting walk (a discrete Ornstein-Uhlenbeck process)
around a round level, ``x += pull * (log(level) - x) + noise * N(0, 1)``, one step a weekday,
rounded to two decimals. The levels are round numbers, fitted to nothing. Every such series is
labelled synthetic wherever it shows.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from relentless.configs.releases import federal_holidays, good_friday
from relentless.sandbox.library import MISSING

NOTE: Final = "invented by a seeded process; not the owner's figures"


@dataclass(frozen=True, slots=True)
class Process:
    """A mean-reverting walk of a logarithm."""

    level: float
    pull: float
    """Share of the way back in one step."""
    noise: float
    """Standard deviation of one step."""


PROCESSES: Final = {
    "VIXCLS": Process(level=15.0, pull=0.05, noise=0.06),
    "BAMLH0A0HYM2": Process(level=5.0, pull=0.02, noise=0.015),
    "BAMLC0A0CM": Process(level=1.5, pull=0.02, noise=0.012),
}


def invent(
    series_id: str, first: date, last: date, seed: int, process: Process | None = None
) -> dict[date, str]:
    """Give a series by weekday; "." where the markets were closed.

    The walk always begins at ``first``: another first day is another history. Without a process it
    is one of the three that the shipped day invents.
    """
    source = random.Random(f"{seed}:{series_id}:{first}")  # noqa: S311 - nothing secret
    steps = walk(process or PROCESSES[series_id], source)
    rows = {}
    for day in weekdays(first, last):
        closed = day in federal_holidays(day.year) or day == good_friday(day.year)
        rows[day] = MISSING if closed else f"{next(steps):.2f}"
    return rows


def walk(process: Process, source: random.Random) -> Iterator[float]:
    """Give the values of a walk that begins at its level, without end."""
    mean = math.log(process.level)
    x = mean
    while True:
        x += process.pull * (mean - x) + process.noise * source.gauss(0.0, 1.0)
        yield math.exp(x)


def weekdays(first: date, last: date) -> Iterator[date]:
    """Give the days from Monday to Friday between two dates, both inclusive."""
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if day.weekday() < 5:
            yield day
