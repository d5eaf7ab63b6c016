"""The New York Stock Exchange's trading days, from a small table beside this module.

The table is exported from exchange_calendars, whose import costs seconds and tens of megabytes
that a process should not pay to ask whether today is a holiday. A test holds the two equal. To
rebuild it: ``python -m relentless.configs.export_sessions``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from relentless.proto.errors import InvalidInput

TABLE: Final = Path(__file__).with_name("sessions.json")
EASTERN: Final = ZoneInfo("America/New_York")
"""Here again, not from the clock: the fold reads this module, and imports no event loop."""
OPEN: Final = time(9, 30)
CLOSE: Final = time(16, 0)
_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Table:
    """What differs from "every weekday, 09:30 to 16:00 Eastern"."""

    first: date
    last: date
    closed: frozenset[date]
    """Weekdays without a session."""
    early: dict[date, time]
    """Sessions that close before 16:00."""


@cache
def table() -> Table:
    """Read the committed table, once."""
    body = json.loads(TABLE.read_bytes())
    return Table(
        first=date.fromisoformat(body["first"]),
        last=date.fromisoformat(body["last"]),
        closed=frozenset(map(date.fromisoformat, body["closed"])),
        early={
            date.fromisoformat(day): time.fromisoformat(at) for day, at in body["early"].items()
        },
    )


def is_session(day: date) -> bool:
    """Say whether the exchange trades on a date.

    Raises:
        InvalidInput: outside the table.
    """
    known = table()
    if not known.first <= day <= known.last:
        raise InvalidInput(
            f"{day} is outside the exchange table ({known.first} to {known.last}); "
            "rebuild it with `python -m relentless.configs.export_sessions`"
        )
    return day.weekday() < _SATURDAY and day not in known.closed


def next_session(day: date) -> date:
    """Give the first session after a date.

    Raises:
        InvalidInput: outside the table.
    """
    day += _DAY
    while not is_session(day):
        day += _DAY
    return day


def previous_session(day: date) -> date:
    """Give the last session before a date.

    Raises:
        InvalidInput: outside the table.
    """
    day -= _DAY
    while not is_session(day):
        day -= _DAY
    return day


def session_open(day: date) -> datetime:
    """Give the opening of a session, aware, in exchange time.

    Raises:
        InvalidInput: no session on that date, or outside the table.
    """
    return datetime.combine(_session(day), OPEN, EASTERN)


def session_close(day: date) -> datetime:
    """Give the close of a session, aware, in exchange time.

    Raises:
        InvalidInput: no session on that date, or outside the table.
    """
    return datetime.combine(_session(day), table().early.get(day, CLOSE), EASTERN)


def sessions(first: date, last: date) -> Iterator[date]:
    """Give the sessions from ``first`` to ``last``, both included.

    Raises:
        InvalidInput: outside the table.
    """
    while first <= last:
        if is_session(first):
            yield first
        first += _DAY


def sessions_ahead(day: date, target: date) -> int:
    """Give how many sessions there are after ``day``, up to ``target`` and with it: 0 on the day.

    Raises:
        InvalidInput: outside the table.
    """
    is_session(day)
    is_session(target)
    return sum(1 for _ in sessions(day + _DAY, target))


def _session(day: date) -> date:
    if not is_session(day):
        raise InvalidInput(f"the exchange does not trade on {day}")
    return day
