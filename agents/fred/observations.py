"""FRED's answer to ``series/observations`` as a history, or a typed error. Pure.

The answer is taken whole or not at all: a page that is cut, a date out of order or a value that is
no number says that this is not the source's contract, and then nothing of it is used.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from relentless.agents.fred.measures import Observation
from relentless.proto.errors import SourceMalformed

SOURCE = "fred"
MISSING = frozenset({".", ""})
"""How FRED writes a day without a value."""

KnownAt = Callable[[date], datetime]
"""Gives the time from which an observation could be served; never earlier for a later date."""


def read_history(
    series_id: str, body: Any, *, as_of: datetime, known_at: KnownAt
) -> list[Observation]:
    """Give the observations that were known by ``as_of``, oldest first, missing ones left out.

    What was known only later is dropped before its value is looked at, so that it cannot matter.
    ``as_of`` is in exchange time, whose dates the observations have.

    Raises:
        SourceMalformed: the body breaks the contract.
    """
    items = _items(series_id, body)
    days = _days(series_id, items)
    dated = bisect_right(days, as_of.date())
    known = bisect_right(days, as_of, hi=dated, key=known_at)
    return [
        Observation(day, value)
        for day, item in zip(days[:known], items, strict=False)
        if (value := _value(series_id, day, item)) is not None
    ]


def _items(series_id: str, body: Any) -> list[Any]:
    """Give the whole list of observations.

    Raises:
        SourceMalformed: it is not there, not whole, or in other units than the series' own.
    """
    items = body.get("observations") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise _malformed(series_id, "no list of observations")
    if body.get("count", len(items)) != len(items) or body.get("offset", 0) != 0:
        raise _malformed(series_id, f"{len(items)} of {body.get('count')} observations")
    if body.get("units", "lin") != "lin":
        raise _malformed(series_id, f"units are {body.get('units')!r}, not 'lin'")
    return items


def _days(series_id: str, items: list[Any]) -> list[date]:
    """Give the dates, ascending and distinct."""
    try:
        days = [date.fromisoformat(item["date"]) for item in items]
    except (TypeError, KeyError, ValueError) as error:
        raise _malformed(series_id, f"an observation has no date ({error})"[:120]) from None
    for earlier, later in pairwise(days):
        if later <= earlier:
            raise _malformed(series_id, f"{later} comes after {earlier}")
    return days


def _value(series_id: str, day: date, item: Any) -> float | None:
    text = item.get("value")
    if isinstance(text, str) and text in MISSING:
        return None
    try:
        value = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _malformed(series_id, f"the value of {day} is {str(text)[:40]!r}")
    return value


def _malformed(series_id: str, what: str) -> SourceMalformed:
    return SourceMalformed(SOURCE, f"{series_id}: {what}")
