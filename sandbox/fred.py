"""api.stlouisfed.org in a box: series, observations, vintages; ``fred_releases`` has the rest.

Wire formats, limits and error bodies are the real service's. What is served is what FRED could
serve between ``realtime_start`` and ``realtime_end``, and never anything not yet known at market
time: one row for each value that an observation had, its real-time period cut to the one asked for.

Not in the box: aggregation to another frequency, units other than ``lin``, output types 2 to 4,
and
series beyond the eighteen and those of the calendar's releases (``indicators.py``). They are
answered with 400, not with a wrong value.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from starlette.routing import BaseRoute, Route

from relentless.sandbox import fred_releases
from relentless.sandbox.fred_query import (
    FIRST_DAY,
    LAST_DAY,
    Answer,
    BadRequest,
    Query,
    dated_list,
    endpoint,
)
from relentless.sandbox.library import Series
from relentless.sandbox.realtime import Realtime
from relentless.sandbox.world import World

MAX_OBSERVATIONS: Final = 100_000
MAX_VINTAGES: Final = 2_000
CENTRAL: Final = ZoneInfo("America/Chicago")


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/fred``."""
    handlers: dict[str, Callable[[World, Query], Answer]] = {
        "/fred/series": _series,
        "/fred/series/observations": _observations,
        "/fred/series/vintagedates": _vintage_dates,
        **fred_releases.HANDLERS,
    }
    return [Route(path, endpoint(world, handler)) for path, handler in handlers.items()]


def _observations(world: World, query: Query) -> Answer:
    series, _ = query.series()
    period = query.realtime()
    query.choice("units", "lin")
    query.choice("output_type", "1")
    query.choice("frequency", "")
    first = query.date("observation_start", FIRST_DAY)
    last = query.date("observation_end", LAST_DAY)
    order = query.choice("sort_order", "asc", "desc")
    limit = query.integer("limit", MAX_OBSERVATIONS, 1, MAX_OBSERVATIONS)
    offset = query.integer("offset", 0, 0, 10**9)
    _check_vintages(series, period)
    known = series.known(period.limit)
    chosen = range(bisect_left(series.days, first), min(bisect_right(series.days, last), known))
    step = -1 if order == "desc" else 1
    chosen = chosen[::step]
    found = [(at, spell) for at in chosen for spell in period.spells(series.versions(at))[::step]]
    rows = [
        {
            "realtime_start": first_served.isoformat(),
            "realtime_end": last_served.isoformat(),
            "date": series.days[at].isoformat(),
            "value": value,
        }
        for at, (first_served, last_served, value) in found[offset : offset + limit]
    ]
    body = {
        "realtime_start": period.start.isoformat(),
        "realtime_end": period.end.isoformat(),
        "observation_start": first.isoformat(),
        "observation_end": last.isoformat(),
        "units": "lin",
        "output_type": 1,
        "file_type": "json",
        "order_by": "observation_date",
        "sort_order": order,
        "count": len(found),
        "offset": offset,
        "limit": limit,
        "observations": rows,
    }
    return Answer("observations", body, series.origin.value, series.note)


def _check_vintages(series: Series, period: Realtime) -> None:
    days = period.vintages(series.moments())
    if len(days) > MAX_VINTAGES:
        raise BadRequest(
            f"There are {len(days)} vintage dates in the specified real-time period: "
            f"{period.start} to {period.end}.  This exceeds the maximum number of vintage dates "
            f"allowed ({MAX_VINTAGES})."
        )


def _series(world: World, query: Query) -> Answer:
    series, info = query.series()
    period = query.realtime()
    known = series.known(period.limit)
    if not known:
        raise BadRequest("The series does not exist.")
    start, end = period.start.isoformat(), period.end.isoformat()
    adjusted = info.seasonal_adjustment == "Seasonally Adjusted"
    described = {
        "id": series.series_id,
        "realtime_start": start,
        "realtime_end": end,
        "title": info.title,
        "observation_start": series.days[0].isoformat(),
        "observation_end": series.days[known - 1].isoformat(),
        "frequency": info.frequency,
        "frequency_short": info.frequency[0],
        "units": info.units,
        "units_short": "%" if info.units == "Percent" else info.units,
        "seasonal_adjustment": info.seasonal_adjustment,
        "seasonal_adjustment_short": "SA" if adjusted else "NSA",
        "last_updated": _central(max(m for m in series.moments() if m <= period.limit)),
        "popularity": 50,
        "notes": series.note,
    }
    body = {"realtime_start": start, "realtime_end": end, "seriess": [described]}
    return Answer("seriess", body, series.origin.value, series.note)


def _vintage_dates(world: World, query: Query) -> Answer:
    series, _ = query.series()
    start = query.date("realtime_start", FIRST_DAY)
    end = query.date("realtime_end", LAST_DAY)
    period = Realtime(start, end, world.now())
    days = sorted(period.vintages(series.moments()))
    body = dated_list(query, start, end, "vintage_date", [day.isoformat() for day in days])
    return Answer("vintage_dates", body, series.origin.value, series.note)


def _central(moment: datetime) -> str:
    """Write a time as FRED does: Central, with an offset of whole hours ("-05")."""
    local = moment.astimezone(CENTRAL)
    return local.strftime("%Y-%m-%d %H:%M:%S%z")[:-2]
