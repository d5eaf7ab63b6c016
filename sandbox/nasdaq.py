"""Nasdaq's earnings calendar in a box: ``/api/calendar/earnings?date=YYYY-MM-DD``.

Rows, null data on days without a session, refusals with HTTP 200 and Akamai's 403 for callers that
do not call themselves a browser are the real service's. Companies and dates are invented.

Not in the box: what a day's calendar says once the day is over (surprises and actual figures); it
goes on saying what was expected. Other calendars are answered with 404.
"""

import json
from datetime import date
from functools import lru_cache
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relentless.configs.sessions import is_session
from relentless.proto.contexts import Origin
from relentless.proto.errors import InvalidInput
from relentless.sandbox.invented_earnings import Report, between
from relentless.sandbox.world import ORIGIN_HEADER, World

HEADERS: Final = {
    "lastYearRptDt": "Last Year's Report Date",
    "lastYearEPS": "Last year's EPS*",
    "time": "Time",
    "symbol": "Symbol",
    "name": "Company Name",
    "marketCap": "Market Cap",
    "fiscalQuarterEnding": "Fiscal Quarter Ending",
    "epsForecast": "Consensus EPS* Forecast",
    "noOfEsts": "# of Ests",
}
_DENIED: Final = (
    "<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD><BODY>\n<H1>Access Denied</H1>\n \n"
    "You don't have permission to access this server.<P>\n</BODY>\n</HTML>\n"
)


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/nasdaq``."""

    async def calendar(request: Request) -> Response:
        if not request.headers.get("user-agent", "").startswith("Mozilla/"):
            return Response(_DENIED, 403, media_type="text/html")
        try:
            day = date.fromisoformat(request.query_params.get("date", ""))
        except ValueError:
            return _answer(_refused(1001, "Invalid date"))
        try:
            body = _day(world.seed, world.symbols, world.today(), day)
        except InvalidInput:
            body = _good(None)
        return _answer(body)

    return [Route("/api/calendar/earnings", calendar)]


@lru_cache(maxsize=64)
def _day(seed: int, symbols: tuple[str, ...], today: date, day: date) -> bytes:
    if not is_session(day):
        return _good(None)
    reports = between(seed, symbols, today, day, day)
    rows = [_row(report) for report in reports]
    return _good({"asOf": f"{day:%a, %b %d, %Y}", "headers": HEADERS, "rows": rows})


def _row(report: Report) -> dict[str, str]:
    young = report.estimates == 1
    return {
        "lastYearRptDt": "NA" if young else _us_date(report.last_year_day),
        "lastYearEPS": "NA" if young else _money(report.last_year),
        "time": report.time,
        "symbol": report.symbol,
        "name": report.name,
        "marketCap": f"${report.market_cap:,}",
        "fiscalQuarterEnding": f"{report.ends:%b/%Y}",
        "epsForecast": "" if report.estimate is None else _money(report.estimate),
        "noOfEsts": "0" if report.estimate is None else str(report.estimates),
    }


def _money(value: float) -> str:
    return f"(${-value:.2f})" if value < 0 else f"${value:.2f}"


def _us_date(day: date) -> str:
    return f"{day.month}/{day.day:02d}/{day.year}"


def _good(data: Any) -> bytes:
    status = {"rCode": 200, "bCodeMessage": None, "developerMessage": None}
    return json.dumps({"data": data, "message": None, "status": status}).encode()


def _refused(code: int, said: str) -> bytes:
    messages = [{"code": code, "errorMessage": said}]
    status = {"rCode": 400, "bCodeMessage": messages, "developerMessage": None}
    return json.dumps({"data": None, "message": None, "status": status}).encode()


def _answer(body: bytes) -> Response:
    headers = {ORIGIN_HEADER: Origin.SYNTHETIC.value}
    return Response(body, media_type="application/json; charset=utf-8", headers=headers)
