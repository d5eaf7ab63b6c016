"""FRED's real-time period: which values were known between two dates, and since when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property

from relentless.configs.clock import EASTERN

_US = timedelta(microseconds=1)


@dataclass(frozen=True)
class Realtime:
    """The days from ``start`` to ``end``, cut at market time.

    FRED counts real time in days. On the market's own day a value must have been released by
    ``now``; of an earlier day everything released that day is known.
    """

    start: date
    end: date
    now: datetime

    @cached_property
    def limit(self) -> datetime:
        """The last moment of the period: what was released up to it is known."""
        if self.end >= date(9999, 12, 30):
            return self.now
        return min(self.now, _midnight(self.end + timedelta(days=1)) - _US)

    def since(self, known_at: datetime) -> date:
        """Give the first day of the period on which a known value was known."""
        return known_at.astimezone(EASTERN).date() if known_at >= self._opens else self.start

    def spells(self, versions: Sequence[tuple[datetime, str]]) -> list[tuple[date, date, str]]:
        """Give the first and last day of the period on which each known value was served.

        ``versions`` are the values of one observation, oldest first, with when each became known.
        Of two on one day FRED keeps the later.
        """
        known = [(self.since(moment), text) for moment, text in versions if moment <= self.limit]
        spells = []
        for at, (first, text) in enumerate(known):
            followed = at + 1 < len(known)
            last = known[at + 1][0] - timedelta(days=1) if followed else self.end
            if first <= last:
                spells.append((first, last, text))
        return spells

    def vintages(self, known_at: Iterable[datetime]) -> set[date]:
        """Give the days of the period on which something was released."""
        return {
            moment.astimezone(EASTERN).date()
            for moment in known_at
            if self._opens <= moment <= self.limit
        }

    @cached_property
    def _opens(self) -> datetime:
        return _midnight(self.start)


def _midnight(day: date) -> datetime:
    """Give the beginning of a day in New York, in UTC."""
    return datetime.combine(day, time(), EASTERN).astimezone(UTC)
