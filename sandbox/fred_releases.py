"""FRED's releases in a box: the list, one release, and the calendar of dates.

The calendar is the one of market time: a date that was moved later is still the old one, and what
has not come is listed only where dates without data are asked for. Dates are by rule
(``schedule.py``) and go 180 days ahead, back to 2000. Not in the box: releases beyond the table of
events and the dailies beside it, ``order_by`` other than by date, ``release/series``.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final

from relentless.configs.releases import SERIES
from relentless.proto.contexts import Origin
from relentless.sandbox import schedule
from relentless.sandbox.fred_query import (
    FIRST_DAY,
    LAST_DAY,
    Answer,
    BadRequest,
    Query,
    dated_list,
)
from relentless.sandbox.realtime import Realtime
from relentless.sandbox.world import World

FIRST_LISTED: Final = date(2000, 1, 1)
AHEAD: Final = timedelta(days=180)
MAX_ROWS: Final = 1_000
NOTE: Final = "dates by rule, not the publishers' calendars"


def calendar(world: World, first: date, last: date, *, planned: bool) -> list[tuple[date, int]]:
    """Give the dates and releases between two dates as known at market time, in order.

    ``planned`` takes in those that have no data: what is still to come, and what failed to.
    """
    return sorted(
        (day, number)
        for number in schedule.release_ids()
        for day in _dates(world, number, first, last, planned=planned)
    )


def _dates(world: World, number: int, first: date, last: date, *, planned: bool) -> set[date]:
    now, today = world.now(), world.today()
    first, last = max(first, FIRST_LISTED), min(last, today + AHEAD)
    found = schedule.between(world.releases, number, first, last)
    days = {
        made.came if made.out(now) else made.listed(today)
        for made in found
        if planned or made.out(now)
    }
    return {day for day in days if first <= day <= last}


def _releases_dates(world: World, query: Query) -> Answer:
    start = query.date("realtime_start", world.today().replace(month=1, day=1))
    end = query.date("realtime_end", LAST_DAY)
    query.choice("order_by", "release_date")
    planned = query.choice("include_release_dates_with_no_data", "false", "true") == "true"
    rows = [
        {"release_id": number, "release_name": schedule.name_of(number), "date": day.isoformat()}
        for day, number in calendar(world, start, end, planned=planned)
    ]
    body = dated_list(
        query, start, end, "release_date", rows, order="desc", most=MAX_ROWS, size=MAX_ROWS
    )
    return Answer("release_dates", body, Origin.SYNTHETIC.value, NOTE)


def _release_dates(world: World, query: Query) -> Answer:
    number = query.integer("release_id", 0, 1, 10**9)
    members = [name for name in SERIES if world.releases.info(name).rule.release_id == number]
    if not members and schedule.name_of(number) is None:
        raise BadRequest("The release does not exist.")
    start = query.date("realtime_start", FIRST_DAY)
    end = query.date("realtime_end", LAST_DAY)
    planned = query.choice("include_release_dates_with_no_data", "false", "true") == "true"
    period = Realtime(start, end, world.now())
    days: set[date] = set()
    for name in members:
        series = world.library.series(name)
        days |= period.vintages(series.moments()) if series else set()
    if planned or not members:
        days |= _dates(world, number, start, end, planned=planned)
    rows = [{"release_id": number, "date": day.isoformat()} for day in sorted(days)]
    return Answer("release_dates", dated_list(query, start, end, "release_date", rows))


def _releases(world: World, query: Query) -> Answer:
    start, end = _real_time(world, query)
    rows = [_described(number, start, end) for number in schedule.release_ids()]
    body = dated_list(query, start, end, "release_id", rows, most=MAX_ROWS, size=MAX_ROWS)
    body["releases"] = body.pop("release_ids")
    return Answer("releases", body, Origin.SYNTHETIC.value)


def _release(world: World, query: Query) -> Answer:
    number = query.integer("release_id", 0, 1, 10**9)
    if schedule.name_of(number) is None:
        raise BadRequest("The release does not exist.")
    start, end = _real_time(world, query)
    body = {
        "realtime_start": start.isoformat(),
        "realtime_end": end.isoformat(),
        "releases": [_described(number, start, end)],
    }
    return Answer("releases", body, Origin.SYNTHETIC.value)


def _real_time(world: World, query: Query) -> tuple[date, date]:
    today = world.today()
    return query.date("realtime_start", today), query.date("realtime_end", today)


def _described(number: int, start: date, end: date) -> dict[str, Any]:
    return {
        "id": number,
        "realtime_start": start.isoformat(),
        "realtime_end": end.isoformat(),
        "name": schedule.name_of(number),
        "press_release": number not in schedule.OTHER_NAMES or number == 18,
    }


HANDLERS: Final[dict[str, Callable[[World, Query], Answer]]] = {
    "/fred/releases": _releases,
    "/fred/releases/dates": _releases_dates,
    "/fred/release": _release,
    "/fred/release/dates": _release_dates,
}
