"""FRED's real-time period: which values were known between two dates, and since when."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property

from relentless.configs.clock import EASTERN


@dataclass(frozen=True)
class Realtime:
    """The days from ``start`` to ``end``, cut at market time.

    FRED counts real time in days. On the market's own day a value must have been released by
    ``now``; of an earlier day everything released that day is known.
    """

    start: date
    end: date
    now: datetime

    def knows(self, known_at: datetime) -> bool:
        """Say whether a value released at ``known_at`` belongs to the period."""
        return known_at <= self.now and (self._closes is None or known_at < self._closes)

    def since(self, known_at: datetime) -> date:
        """Give the first day of the period on which the value was known."""
        return self.vintage(known_at) or self.start

    def vintage(self, known_at: datetime) -> date | None:
        """Give the day of the release where it lies in the period and after its first day."""
        if known_at < self._opens or not self.knows(known_at):
            return None
        return known_at.astimezone(EASTERN).date()

    @cached_property
    def _opens(self) -> datetime:
        return datetime.combine(self.start, time(), EASTERN)

    @cached_property
    def _closes(self) -> datetime | None:
        """The end of the last day; None where the calendar ends."""
        if self.end >= date(9999, 12, 30):
            return None
        return datetime.combine(self.end + timedelta(days=1), time(), EASTERN)
