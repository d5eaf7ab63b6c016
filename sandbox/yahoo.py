"""Yahoo's option chains in a box.

The first page sets a cookie (and answers 404, as the real host does), the crumb belongs to the
cookie, and a chain without the crumb is answered by 401. Times are seconds since the epoch; an
unknown implied volatility is 1e-5. Data are 15 minutes late.

Not in the box: quotes, charts, search. A symbol that is not the run's has an empty result.
"""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relentless.configs.clock import EASTERN
from relentless.proto.contexts import Origin
from relentless.sandbox.invented_options import Shown, moment, shown
from relentless.sandbox.world import ORIGIN_HEADER, World

CRUMB = "sandbox.Crumb"
_COOKIE = "A3"
_HEADERS = {ORIGIN_HEADER: Origin.SYNTHETIC.value}
_UNKNOWN_IV = 1.0000000000000003e-05


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/yahoo``."""

    async def first(_: Request) -> Response:
        response = Response("", 404, media_type="text/html", headers=_HEADERS)
        response.set_cookie(_COOKIE, "d=sandbox", path="/")
        return response

    async def crumb(request: Request) -> Response:
        if _COOKIE not in request.cookies:
            return _denied("Invalid Cookie")
        return Response(CRUMB, media_type="text/plain", headers=_HEADERS)

    async def options(request: Request) -> Response:
        if _COOKIE not in request.cookies or request.query_params.get("crumb") != CRUMB:
            return _denied("Invalid Crumb")
        symbol = request.path_params["symbol"]
        if symbol not in world.symbols:
            return _json({"optionChain": {"result": [], "error": None}})
        found = shown(world.seed, symbol, *moment(world.now()))
        listed = sorted(set(found.listed.expiries))
        text = request.query_params.get("date")
        asked = _epoch(listed[0]) if text is None else int(text) if text.isdecimal() else -1
        expiry = next((day for day in listed if _epoch(day) == asked), None)
        return _json(
            {"optionChain": {"result": [_result(symbol, found, listed, expiry)], "error": None}}
        )

    return [
        Route("/", first),
        Route("/v1/test/getcrumb", crumb),
        Route("/v7/finance/options/{symbol}", options),
    ]


def _denied(why: str) -> Response:
    error = {"code": "Unauthorized", "description": why}
    return _json({"finance": {"result": None, "error": error}}, 401)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/json", headers=_HEADERS)


def _epoch(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def _result(symbol: str, found: Shown, listed: list[date], expiry: date | None) -> dict[str, Any]:
    places = [place for place, day in enumerate(found.listed.expiries) if day == expiry]
    sides: dict[str, list[Any]] = {"calls": [], "puts": []}
    for place in places:
        sides["calls" if found.listed.calls[place] else "puts"].append(_option(found, place))
    block = [{"expirationDate": _epoch(expiry), "hasMiniOptions": False, **sides}] if expiry else []
    return {
        "underlyingSymbol": symbol,
        "expirationDates": [_epoch(day) for day in listed],
        "strikes": sorted({float(found.listed.strikes[place]) for place in places}),
        "hasMiniOptions": False,
        "quote": {
            "symbol": symbol,
            "quoteType": "EQUITY",
            "currency": "USD",
            "exchangeTimezoneName": "America/New_York",
            "regularMarketPrice": found.spot,
            "regularMarketPreviousClose": found.previous_spot,
            "regularMarketTime": int(found.at.timestamp()),
        },
        "options": block,
    }


def _option(found: Shown, place: int) -> dict[str, Any]:
    second = int(found.last_seconds[place])
    midnight = datetime.combine(found.session, time(), EASTERN)
    iv = float(found.iv[place])
    row: dict[str, Any] = {
        "contractSymbol": found.listed.names[place],
        "strike": float(found.listed.strikes[place]),
        "currency": "USD",
        "lastPrice": round(float(found.theo[place]), 2),
        "openInterest": int(found.open_interest[place]),
        "bid": float(found.bids[place]),
        "ask": float(found.asks[place]),
        "contractSize": "REGULAR",
        "expiration": _epoch(found.listed.expiries[place]),
        "impliedVolatility": iv if iv > 0 else _UNKNOWN_IV,
        "inTheMoney": abs(float(found.greeks["delta"][place])) > 0.5,
    }
    if second >= 0:
        row["volume"] = int(found.volumes[place])
        row["lastTradeDate"] = int((midnight + timedelta(seconds=second)).timestamp())
    return row
