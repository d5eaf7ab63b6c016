"""The series of the calendar's releases that no library holds: invented, and revised once.

Each observation becomes known with its release (``schedule.py``); where a release brings further
estimates of a period, and else with the release after, the value moves by a small step. A pure
function of the seed, the series and the date: tomorrow's history contains today's.
"""

import random
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import groupby
from typing import Final

from relentless.configs.clock import EASTERN
from relentless.configs.events import event_table
from relentless.configs.releases import ReleaseTable
from relentless.proto.contexts import Origin
from relentless.sandbox.invented import Process, walk
from relentless.sandbox.library import Series
from relentless.sandbox.schedule import Occurrence, between, time_of

NOTE: Final = "invented by a seeded process; not the publisher's figures"
FIRST: Final = date(2008, 1, 1)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a series is invented and how FRED describes it."""

    process: Process
    decimals: int
    units: str
    frequency: str = "Monthly"
    growth: float = 0.0
    """A period."""
    seasonal_adjustment: str = "Seasonally Adjusted"
    title: str = "An invented indicator"


_INDEX: Final = "Index"
_MILLIONS: Final = "Millions of Dollars"
_RATE: Final = "Thousands of Units"
KINDS: Final = {
    "A191RL1Q225SBEA": Kind(Process(2.2, 0.5, 0.25), 1, "Percent", "Quarterly"),
    "PCEPILFE": Kind(Process(100.0, 0.2, 0.0005), 3, _INDEX, growth=0.0017),
    "PPIACO": Kind(Process(200.0, 0.1, 0.004), 3, _INDEX, growth=0.001),
    "ICSA": Kind(Process(320_000.0, 0.1, 0.03), 0, "Number", "Weekly, Ending Saturday"),
    "RSAFS": Kind(Process(380_000.0, 0.2, 0.004), 0, _MILLIONS, growth=0.003),
    "INDPRO": Kind(Process(100.0, 0.05, 0.003), 4, _INDEX),
    "JTSJOL": Kind(Process(4_000.0, 0.05, 0.03), 0, "Level in Thousands"),
    "HOUST": Kind(Process(1_000.0, 0.1, 0.05), 0, _RATE),
    "HSN1F": Kind(Process(450.0, 0.1, 0.06), 0, "Thousands"),
    "DGORDER": Kind(Process(220_000.0, 0.3, 0.03), 0, _MILLIONS),
    "BOPGSTB": Kind(Process(40_000.0, 0.1, 0.06), 0, _MILLIONS),
    "UMCSENT": Kind(Process(80.0, 0.1, 0.04), 1, _INDEX),
    "TTLCONS": Kind(Process(900_000.0, 0.05, 0.008), 0, _MILLIONS),
}
"""Round levels, fitted to nothing."""


def indicator(releases: ReleaseTable, series_id: str, seed: int, day: date) -> Series | None:
    """Give a series up to the end of a day's year; None where none of that name is invented."""
    return _made(releases, series_id, seed, day.year) if series_id in KINDS else None


@lru_cache(maxsize=64)
def _made(releases: ReleaseTable, series_id: str, seed: int, year: int) -> Series:
    event = next(event for event in event_table() if event.series == series_id)
    kind = KINDS[series_id]
    made = sorted(
        between(releases, event.release_id, FIRST, date(year, 12, 31)),
        key=lambda one: (one.period, one.came),
    )
    spells = [list(group) for _, group in groupby(made, key=lambda one: one.period)]
    steps = walk(kind.process, random.Random(f"{seed}:{series_id}"))  # noqa: S311
    days, values, known_at, revisions = [], [], [], {}
    for at, (group, level) in enumerate(zip(spells, steps, strict=False)):
        value = level * (1 + kind.growth) ** at
        days.append(group[0].period)
        values.append(f"{value:.{kind.decimals}f}")
        known_at.append(_moment(group[0]))
        later = group[1:] or [one for after in spells[at + 1 : at + 2] for one in after[:1]]
        revisions[at] = tuple(
            (_moment(one), f"{_revised(value, kind, seed, one):.{kind.decimals}f}") for one in later
        )
    return Series(
        series_id=series_id,
        origin=Origin.SYNTHETIC,
        days=tuple(days),
        values=tuple(values),
        known_at=tuple(known_at),
        note=NOTE,
        revisions={at: later for at, later in revisions.items() if later},
    )


def _revised(value: float, kind: Kind, seed: int, one: Occurrence) -> float:
    draw = random.Random(f"{seed}:{one.release_id}:{one.period}:{one.came}")  # noqa: S311
    return value * (1 + kind.process.noise * draw.gauss(0.0, 0.3))


def _moment(one: Occurrence) -> datetime:
    return datetime.combine(one.came, time_of(one.release_id), EASTERN)
