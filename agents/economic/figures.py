"""What a release said, and what was known before it: numbers from a series' vintages. Pure.

An observation's value is known from a day on, so everything here is asked "through" a day: what
FRED had served by the end of that day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from relentless.agents.fred.measures import difference
from relentless.configs.events import Measure

SPACING: Final = 1.5
"""A change is over one period: observations further apart than this many usual ones have none."""


class Figure(NamedTuple):
    """One value of one observation, and the day from which it was served."""

    day: date
    vintage: date | None
    """None: before the real-time period that was asked for."""
    value: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """A series with its vintages, oldest observation first."""

    rows: tuple[Figure, ...]

    def released(self, day: date, measure: Measure) -> tuple[float | None, float | None]:
        """Give ``actual`` and ``previous`` of the release of a day.

        The newest observation that the day brought is the actual one. Where it was new, the
        previous is the observation before it, as the day left it; where the day only revised it,
        the previous is what it was until then.
        """
        brought = [row.day for row in self.rows if row.vintage == day and row.value is not None]
        if not brought:
            return None, None
        newest = brought[-1]
        after, before = self._through(day), self._through(day, whole=False)
        actual = _measured(after, newest, measure)
        if newest in before:
            return actual, _measured(before, newest, measure)
        earlier = [known for known in after if known < newest]
        return actual, _measured(after, earlier[-1], measure) if earlier else None

    def newest(self, day: date, measure: Measure) -> float | None:
        """Give the newest value known through a day."""
        known = self._through(day)
        return _measured(known, max(known), measure) if known else None

    def _through(self, day: date, *, whole: bool = True) -> dict[date, float]:
        """Give the values known at the end of a day, or at its beginning, oldest first."""
        known: dict[date, float | None] = {}
        for row in self.rows:
            if row.vintage is None or row.vintage < day or (whole and row.vintage == day):
                known[row.day] = row.value
        return {at: value for at, value in known.items() if value is not None}


def _measured(known: dict[date, float], day: date, measure: Measure) -> float | None:
    if measure == "level":
        return known[day]
    days = [at for at in known if at <= day]
    if len(days) < 2 or _apart(days):
        return None
    value, base = known[days[-1]], known[days[-2]]
    if measure == "change":
        return difference(value, base)
    return (value / base - 1.0) * 100.0 if base > 0 else None


def _apart(days: Sequence[date]) -> bool:
    """Tell whether a period is missing between the last two observations."""
    steps = [(after - before).days for before, after in pairwise(days)]
    return steps[-1] > SPACING * median(steps)
