"""api.stlouisfed.org in a box: series, observations, vintage dates, release dates.

Wire formats, limits and error bodies are the real service's. What is served is what FRED could
serve between ``realtime_start`` and ``realtime_end``, and never anything not yet known at market
time: one row for each value that an observation had, its real-time period cut to the one asked for.

Not in the box: aggregation to another frequency, units other than ``lin``, output types 2 to 4,
and series beyond the eighteen. They are answered with 400, not with a wrong value.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relentless.configs.releases import SERIES, SeriesInfo
from relentless.sandbox.library import Series
from relentless.sandbox.markup import fred_xml
from relentless.sandbox.realtime import Realtime
from relentless.sandbox.world import NOTE_HEADER, ORIGIN_HEADER, World

KEY: Final = re.compile(r"^(?:[0-9a-z]{32}|sandbox)$")
"""FRED's keys have 32 characters; the word ``sandbox`` is what our own supervisor sends."""
MAX_OBSERVATIONS: Final = 100_000
MAX_DATES: Final = 10_000
MAX_VINTAGES: Final = 2_000
FIRST_DAY: Final = date(1776, 7, 4)
LAST_DAY: Final = date(9999, 12, 31)
CENTRAL: Final = ZoneInfo("America/Chicago")

_KEY_HELP: Final = "Read https://fred.stlouisfed.org/docs/api/api_key.html for more information."


class BadRequest(Exception):
    """A request that FRED answers with 400; the message is FRED's."""


@dataclass(frozen=True)
class Answer:
    """A body before it is written, with the root element of its XML."""

    root: str
    body: Mapping[str, Any]
    origin: str | None = None
    note: str = ""


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/fred``."""
    handlers: dict[str, Callable[[World, Query], Answer]] = {
        "/fred/series": _series,
        "/fred/series/observations": _observations,
        "/fred/series/vintagedates": _vintage_dates,
        "/fred/release/dates": _release_dates,
    }
    return [Route(path, _endpoint(world, handler)) for path, handler in handlers.items()]


def _endpoint(
    world: World, handler: Callable[[World, "Query"], Answer]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        file_type = request.query_params.get("file_type", "xml")
        try:
            query = Query(request.query_params, world)
            query.check_key()
            answer = handler(world, query)
        except BadRequest as error:
            body = {"error_code": 400, "error_message": f"Bad Request.  {error}"}
            if file_type == "json":
                return Response(_json(body), 400, media_type="application/json")
            attributes = {"code": 400, "message": body["error_message"]}
            return Response(fred_xml("error", attributes), 400, media_type="text/xml")
        headers = {ORIGIN_HEADER: answer.origin or world.library.origin.value}
        if answer.note:
            headers[NOTE_HEADER] = answer.note
        if file_type == "json":
            return Response(_json(answer.body), media_type="application/json", headers=headers)
        body = {name: value for name, value in answer.body.items() if name != "file_type"}
        return Response(fred_xml(answer.root, body), media_type="text/xml", headers=headers)

    return endpoint


class Query:
    """The parameters of a request, read with FRED's rules."""

    def __init__(self, parameters: Mapping[str, str], world: World) -> None:
        self._parameters = parameters
        self._world = world

    def check_key(self) -> None:
        """Refuse a request without a key, or with one that is no key."""
        key = self._parameters.get("api_key")
        if not key:
            raise BadRequest(f"Variable api_key is not set.  {_KEY_HELP}")
        if not KEY.match(key):
            raise BadRequest(
                "The value for variable api_key is not a 32 character alpha-numeric lower-case "
                f"string.  {_KEY_HELP}"
            )

    def series(self) -> tuple[Series, SeriesInfo]:
        """Give the series that is asked for."""
        series_id = self._parameters.get("series_id", "")
        if not series_id:
            raise BadRequest("Variable series_id is not set.")
        series = self._world.library.series(series_id)
        if series is None:
            raise BadRequest("The series does not exist.")
        return series, self._world.releases.info(series_id)

    def date(self, name: str, default: date) -> date:
        """Read a date."""
        text = self._parameters.get(name)
        if not text:
            return default
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise BadRequest(f"Value of {name} is not a valid date.") from None

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Read a whole number between two bounds."""
        text = self._parameters.get(name, str(default))
        if not text.isdecimal() or not low <= int(text) <= high:
            raise BadRequest(f"Variable {name} is not between {low} and {high}.")
        return int(text)

    def choice(self, name: str, default: str, *others: str) -> str:
        """Read one of some words."""
        value = self._parameters.get(name, default)
        if value not in (default, *others):
            raise BadRequest(
                f"Variable {name} can here only be {' or '.join((default, *others))!r}."
            )
        return value

    def realtime(self) -> Realtime:
        """Read the real-time period; by default the market's today."""
        today = self._world.today()
        start = self.date("realtime_start", today)
        end = self.date("realtime_end", today)
        if start > end:
            raise BadRequest(
                f"The real-time period start date ({start}) is after its end date ({end})."
            )
        return Realtime(start, end, self._world.now())


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
    short = "M" if info.frequency == "Monthly" else "D"
    adjusted = info.seasonal_adjustment == "Seasonally Adjusted"
    described = {
        "id": series.series_id,
        "realtime_start": start,
        "realtime_end": end,
        "title": info.title,
        "observation_start": series.days[0].isoformat(),
        "observation_end": series.days[known - 1].isoformat(),
        "frequency": info.frequency,
        "frequency_short": short,
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
    body = _dated_list(query, start, end, "vintage_date", [day.isoformat() for day in days])
    return Answer("vintage_dates", body, series.origin.value, series.note)


def _release_dates(world: World, query: Query) -> Answer:
    number = query.integer("release_id", 0, 1, 10**9)
    members = [name for name in SERIES if world.releases.info(name).rule.release_id == number]
    if not members:
        raise BadRequest("The release does not exist.")
    start = query.date("realtime_start", FIRST_DAY)
    end = query.date("realtime_end", LAST_DAY)
    period = Realtime(start, end, world.now())
    days: set[date] = set()
    for name in members:
        series = world.library.series(name)
        days |= period.vintages(series.known_at) if series else set()
    rows = [{"release_id": number, "date": day.isoformat()} for day in sorted(days)]
    return Answer("release_dates", _dated_list(query, start, end, "release_date", rows))


def _dated_list(query: Query, start: date, end: date, name: str, rows: list[Any]) -> dict[str, Any]:
    order = query.choice("sort_order", "asc", "desc")
    limit = query.integer("limit", MAX_DATES, 1, MAX_DATES)
    offset = query.integer("offset", 0, 0, 10**9)
    if order == "desc":
        rows = rows[::-1]
    return {
        "realtime_start": start.isoformat(),
        "realtime_end": end.isoformat(),
        "order_by": name,
        "sort_order": order,
        "count": len(rows),
        "offset": offset,
        "limit": limit,
        f"{name}s": rows[offset : offset + limit],
    }


def _central(moment: datetime) -> str:
    """Write a time as FRED does: Central, with an offset of whole hours ("-05")."""
    local = moment.astimezone(CENTRAL)
    return local.strftime("%Y-%m-%d %H:%M:%S%z")[:-2]


def _json(body: Mapping[str, Any]) -> str:
    """Write JSON as FRED does: no spaces, slashes escaped."""
    return json.dumps(body, separators=(",", ":")).replace("/", "\\/")
