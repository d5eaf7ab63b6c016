"""What the history of a series says of its newest observation. Pure; above stands the agent.

Every function takes the observations known at a moment, oldest first, one for each date. An
observation is measured against those before it only, so the same history gives the same numbers
whenever they are worked out. Where a number is undefined it is None, never zero.
"""

import math
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

WINDOW_DAYS: Final = 730
"""Calendar days that z-score and percentile look back, the observation's own day included."""
MIN_COUNT: Final = 8
"""Fewer values than this have neither z-score nor percentile."""
SLACK_DAYS: Final = 7
"""How long before the day some months earlier a daily series' value may lie: closed days."""


class Observation(NamedTuple):
    """One value of a series; ``day`` is the date that FRED gives it."""

    day: date
    value: float


@dataclass(frozen=True, slots=True)
class Measures:
    """The newest observation and what its history says of it; fields as in ``Rates``."""

    newest: Observation
    previous: float | None
    change: float | None
    change_days: int | None
    change_3m: float | None
    change_12m_pct: float | None
    previous_change_3m: float | None
    previous_change_12m_pct: float | None
    zscore: float | None
    percentile: float | None
    window_count: int


def measure(history: Sequence[Observation], *, monthly: bool) -> Measures:
    """Measure the last observation of a history.

    Args:
        history: at least one observation, dates ascending and distinct.
        monthly: whether the series has one observation a month, dated on its first day.

    Raises:
        ValueError: the history is empty.
    """
    if not history:
        raise ValueError("no observation to measure")
    newest = history[-1]
    before = history[:-1]
    previous = before[-1].value if before else None
    window = window_values(history)
    return Measures(
        newest=newest,
        previous=previous,
        change=None if previous is None else difference(newest.value, previous),
        change_days=(newest.day - before[-1].day).days if before else None,
        change_3m=change_months(history, 3, monthly=monthly),
        change_12m_pct=change_pct_months(history, 12, monthly=monthly),
        previous_change_3m=change_months(before, 3, monthly=monthly),
        previous_change_12m_pct=change_pct_months(before, 12, monthly=monthly),
        zscore=zscore(window),
        percentile=percentile(window),
        window_count=len(window),
    )


def window_values(history: Sequence[Observation]) -> list[float]:
    """Give the values of the trailing window, dates in (newest - 730 days, newest]."""
    start = bisect_right(history, window_start(history[-1].day), key=lambda o: o.day)
    return [observation.value for observation in history[start:]]


def window_start(newest: date) -> date:
    """Give the day before the first of the window that ends on ``newest``."""
    return newest - timedelta(days=WINDOW_DAYS)


def zscore(window: Sequence[float]) -> float | None:
    """Give (last - mean) / sample standard deviation, or None where it is undefined.

    The sums are exactly rounded (``math.fsum``), so that the order of addition and the machine do
    not matter. A constant window is found by comparison: rounding gives it a tiny variance.
    """
    if len(window) < MIN_COUNT or min(window) == max(window):
        return None
    mean = math.fsum(window) / len(window)
    variance = math.fsum((value - mean) ** 2 for value in window) / (len(window) - 1)
    return (window[-1] - mean) / math.sqrt(variance) if variance > 0 else None


def percentile(window: Sequence[float]) -> float | None:
    """Give the share of values at or below the last one, or None where it says nothing."""
    if len(window) < MIN_COUNT or min(window) == max(window):
        return None
    return sum(value <= window[-1] for value in window) / len(window)


def change_months(history: Sequence[Observation], months: int, *, monthly: bool) -> float | None:
    """Give the last value less the one ``months`` calendar months earlier."""
    base = value_months_before(history, months, monthly=monthly)
    return None if base is None else difference(history[-1].value, base)


def difference(value: float, base: float) -> float:
    """Give the nearest float to the difference of two decimals: 7.2 - 7.5 is -0.3, as written."""
    return float(Decimal(repr(value)) - Decimal(repr(base)))


def change_pct_months(
    history: Sequence[Observation], months: int, *, monthly: bool
) -> float | None:
    """Give the change over ``months`` in per cent; None where the base is not positive."""
    base = value_months_before(history, months, monthly=monthly)
    if base is None or base <= 0:
        return None
    return (history[-1].value / base - 1.0) * 100.0


def value_months_before(
    history: Sequence[Observation], months: int, *, monthly: bool
) -> float | None:
    """Give the value ``months`` calendar months before the last observation.

    A monthly series has it under exactly that date, or not at all: a month that was never
    published (October 2025) is not replaced by its neighbour. A daily series takes the newest
    value of that day or of at most a week before it.
    """
    if not history:
        return None
    target = months_before(history[-1].day, months)
    if monthly:
        at = bisect_left(history, target, key=lambda o: o.day)
        return history[at].value if history[at].day == target else None
    at = bisect_right(history, target, key=lambda o: o.day) - 1
    if at < 0 or (target - history[at].day).days > SLACK_DAYS:
        return None
    return history[at].value


def months_before(day: date, months: int) -> date:
    """Give the same day of the month some months earlier, or that month's last day."""
    index = day.year * 12 + day.month - 1 - months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
