"""Alpha Vantage's earnings calendar in a box: ``/query?function=EARNINGS_CALENDAR``.

A table in CSV with CRLF, and refusals in JSON with status 200 in its place, as the real service has
them. The column ``timeOfTheDay`` stands before the last one. One calendar date in twelve differs
from Nasdaq's by a day, and changes are heard of two days late.

Not in the box: the other functions, and the counting of 25 requests a day, which the box would
count over a day that runs sixty times as fast; both refusals can be had by a fault or an unknown
function.
"""

import csv
import io
import json
import random
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relentless.configs.sessions import next_session
from relentless.proto.contexts import Origin
from relentless.sandbox.invented_earnings import Report, between
from relentless.sandbox.world import ORIGIN_HEADER, World

COLUMNS: Final = (
    *("symbol", "name", "reportDate", "fiscalDateEnding", "estimate"),
    *("timeOfTheDay", "currency"),
)
HORIZONS: Final = {"3month": 91, "6month": 182, "12month": 365}
_TIMES: Final = {"time-pre-market": "pre-market", "time-after-hours": "post-market"}
_NO_FUNCTION: Final = {
    "Error Message": "This API function () does not exist. Please check the documentation."
}
_NO_KEY: Final = {
    "Error Message": "the parameter apikey is invalid or missing. Please claim a free API key."
}


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/alphavantage``."""

    async def query(request: Request) -> Response:
        asked = request.query_params
        headers = {ORIGIN_HEADER: Origin.SYNTHETIC.value}
        horizon = HORIZONS.get(asked.get("horizon", "3month"))
        if asked.get("function") != "EARNINGS_CALENDAR" or horizon is None:
            return _refusal(_NO_FUNCTION)
        if not asked.get("apikey"):
            return _refusal(_NO_KEY)
        body = _table(world.seed, world.symbols, world.today(), horizon)
        symbol = asked.get("symbol")
        if symbol:
            lines = body.splitlines(keepends=True)
            body = lines[0] + "".join(line for line in lines[1:] if line.startswith(f"{symbol},"))
        return Response(body, media_type="application/x-download", headers=headers)

    return [Route("/query", query)]


@lru_cache(maxsize=8)
def _table(seed: int, symbols: tuple[str, ...], today: date, horizon: int) -> str:
    reports = between(seed, symbols, today, today, today + timedelta(days=horizon), late=True)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for report in sorted(reports, key=lambda item: (item.symbol, item.day)):
        writer.writerow(
            (
                *(report.symbol, report.name, _day(seed, report), report.ends.isoformat()),
                "" if report.estimate is None else f"{report.estimate:g}",
                *(_TIMES.get(report.time, ""), "USD"),
            )
        )
    return text.getvalue()


def _day(seed: int, report: Report) -> str:
    draw = random.Random(f"{seed}:alphavantage:{report.symbol}:{report.ends}")  # noqa: S311
    return (next_session(report.day) if draw.random() < 1 / 12 else report.day).isoformat()


def _refusal(body: dict[str, str]) -> Response:
    return Response(json.dumps(body), media_type="application/json")
