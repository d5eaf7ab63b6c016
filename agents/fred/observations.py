"""FRED's answer to ``series/observations`` as a history, or a typed error. Pure.

The answer covers a real-time period: one row for each value that an observation had in it, and the
row's ``realtime_start`` is the day from which FRED served that value. A value that was there before
the period began bears the period's own first day, which is no vintage: the release table says when
such a value came.

The answer is taken whole or not at all: a page that is cut, a row out of order or a value that is
no number says that this is not the source's contract, and then nothing of it is used.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any, NamedTuple

from relentless.agents.fred.measures import Observation, window_start
from relentless.proto.errors import SourceMalformed

SOURCE = "fred"
MISSING = frozenset({".", ""})
"""How FRED writes a day without a value."""

KnownAt = Callable[[date, date | None], datetime]
"""Gives the time from which FRED served an observation's value: by the day from which it did, or
without one by the observation's release."""


class Row(NamedTuple):
    """One value that an observation had."""

    day: date
    vintage: date | None
    """The day from which FRED served it; None for a value older than the period asked for."""
    item: Any

    def value(self, series_id: str) -> float | None:
        """Read the value; None for a day without one.

        Raises:
            SourceMalformed: it is no number.
        """
        text = self.item.get("value")
        if isinstance(text, str) and text in MISSING:
            return None
        try:
            value = float(text) if isinstance(text, str) else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise _malformed(series_id, f"the value of {self.day} is {str(text)[:40]!r}")
        return value


class _Standing(NamedTuple):
    """What an observation was at a moment."""

    row: Row
    value: float | None
    revised: bool
    """Whether another value stood there before."""


@dataclass(frozen=True, slots=True)
class History:
    """The observations that were known at a moment, and since when all of them were."""

    observations: tuple[Observation, ...]
    """Oldest first, one a date, missing ones left out."""
    known_at: datetime | None
    """When the newest observation and every revision in its window was known; None: empty."""


def read_history(
    series_id: str, body: Any, *, as_of: datetime, opens: date, known_at: KnownAt
) -> History:
    """Give what was known by ``as_of``: of each observation the newest value that FRED had.

    What was known only later is dropped before its value is looked at, so that it cannot matter.
    ``as_of`` is in exchange time, whose dates the observations have; ``opens`` is the first day of
    the real-time period that was asked for.

    Raises:
        SourceMalformed: the body breaks the contract.
    """
    standing: dict[date, _Standing] = {}
    today = as_of.date()
    for row in read_rows(series_id, body, opens=opens):
        if row.day > today:
            break
        certain = row.vintage is not None and row.vintage < today
        if certain or known_at(row.day, row.vintage) <= as_of:
            value = row.value(series_id)
            standing[row.day] = _Standing(row, value, row.day in standing)
    kept = tuple(
        Observation(day, found.value) for day, found in standing.items() if found.value is not None
    )
    return History(kept, _known_at(kept, standing, known_at) if kept else None)


def _known_at(
    kept: tuple[Observation, ...], standing: dict[date, _Standing], known_at: KnownAt
) -> datetime:
    """Give when the newest observation and the last revision in its window were known."""
    newest = kept[-1].day
    start = window_start(newest)
    used = [
        found.row
        for day, found in standing.items()
        if start < day <= newest and (found.value is not None or found.revised)
    ]
    last = max((row.vintage for row in used if row.vintage is not None), default=None)
    counted = [row for row in used if row.day == newest or (last and row.vintage == last)]
    return max(known_at(row.day, row.vintage) for row in counted)


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


def read_rows(series_id: str, body: Any, *, opens: date) -> list[Row]:
    """Give the rows, which ascend by date and, within a date, by the day they came.

    Values are not looked at. ``opens`` is the first day of the real-time period asked for.

    Raises:
        SourceMalformed: the body breaks the contract.
    """
    items = _items(series_id, body)
    try:
        dated = [
            (date.fromisoformat(item["date"]), date.fromisoformat(item["realtime_start"]), item)
            for item in items
        ]
    except (TypeError, KeyError, ValueError) as error:
        raise _malformed(series_id, f"an observation has no date ({error})"[:120]) from None
    for earlier, later in pairwise(dated):
        if later[:2] <= earlier[:2]:
            raise _malformed(series_id, f"{later[0]} comes after {earlier[0]}")
    return [Row(day, start if start > opens else None, item) for day, start, item in dated]


def _malformed(series_id: str, what: str) -> SourceMalformed:
    return SourceMalformed(SOURCE, f"{series_id}: {what}")
