"""FRED's side of a request: its parameters with FRED's rules, its answers and its errors."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from relentless.configs.releases import SeriesInfo
from relentless.sandbox.indicators import KINDS, Kind, indicator
from relentless.sandbox.library import Series
from relentless.sandbox.markup import fred_xml
from relentless.sandbox.realtime import Realtime
from relentless.sandbox.world import NOTE_HEADER, ORIGIN_HEADER, World

KEY: Final = re.compile(r"^(?:[0-9a-z]{32}|sandbox)$")
"""FRED's keys have 32 characters; the word ``sandbox`` is what our own supervisor sends."""
MAX_DATES: Final = 10_000
FIRST_DAY: Final = date(1776, 7, 4)
LAST_DAY: Final = date(9999, 12, 31)

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


def endpoint(
    world: World, handler: Callable[[World, "Query"], Answer]
) -> Callable[[Request], Awaitable[Response]]:
    """Give the endpoint of a handler: the key is checked, and the answer is written as asked."""

    async def answer_request(request: Request) -> Response:
        file_type = request.query_params.get("file_type", "xml")
        try:
            query = Query(request.query_params, world)
            query.check_key()
            answer = handler(world, query)
        except BadRequest as error:
            body = {"error_code": 400, "error_message": f"Bad Request.  {error}"}
            if file_type == "json":
                return Response(write_json(body), 400, media_type="application/json")
            attributes = {"code": 400, "message": body["error_message"]}
            return Response(fred_xml("error", attributes), 400, media_type="text/xml")
        headers = {ORIGIN_HEADER: answer.origin or world.library.origin.value}
        if answer.note:
            headers[NOTE_HEADER] = answer.note
        if file_type == "json":
            return Response(write_json(answer.body), media_type="application/json", headers=headers)
        body = {name: value for name, value in answer.body.items() if name != "file_type"}
        return Response(fred_xml(answer.root, body), media_type="text/xml", headers=headers)

    return answer_request


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

    def series(self) -> tuple[Series, SeriesInfo | Kind]:
        """Give the series that is asked for."""
        series_id = self._parameters.get("series_id", "")
        if not series_id:
            raise BadRequest("Variable series_id is not set.")
        world = self._world
        if series_id in KINDS:
            invented = indicator(world.releases, series_id, world.seed, world.today())
            if invented is not None:
                return invented, KINDS[series_id]
        series = world.library.series(series_id)
        if series is None:
            raise BadRequest("The series does not exist.")
        return series, world.releases.info(series_id)

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


def dated_list(
    query: Query,
    start: date,
    end: date,
    name: str,
    rows: list[Any],
    *,
    order: str = "asc",
    most: int = MAX_DATES,
    size: int = MAX_DATES,
) -> dict[str, Any]:
    """Give one page of a list that is in ascending order, with the list's count.

    ``order`` is the default, ``most`` the largest limit and ``size`` the default one.
    """
    order = query.choice("sort_order", order, "asc" if order == "desc" else "desc")
    limit = query.integer("limit", size, 1, most)
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


def write_json(body: Mapping[str, Any]) -> str:
    """Write JSON as FRED does: no spaces, slashes escaped."""
    return json.dumps(body, separators=(",", ":")).replace("/", "\\/")
