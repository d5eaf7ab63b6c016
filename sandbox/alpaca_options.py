"""Alpaca's option snapshots, daily bars and trades in a box.

The feed is ``indicative``: 15 minutes late. Greeks and implied volatility are absent where a
contract did not trade or is not known; open interest is nowhere. Without both key headers the
answer is 403. Pages hold ``limit`` items and name the next page; a bar or a trade exists only where
something traded, and its price is the session's theoretical close: nothing is drawn within a day.
Snapshots are of the run's symbols.

Not in the box: ``opra``, bars of other lengths than a day, sorting, filters by strike or expiry.
They are answered with 400.
"""

import base64
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from relentless.configs.clock import EASTERN
from relentless.proto.base import iso
from relentless.proto.contexts import Origin
from relentless.sandbox import invented_options as invented
from relentless.sandbox.world import ORIGIN_HEADER, World

MAX_SYMBOLS = 100
_HEADERS = {ORIGIN_HEADER: Origin.SYNTHETIC.value}
_KEYS = ("apca-api-key-id", "apca-api-secret-key")
_COMMON = {"limit", "page_token"}


class _Refused(Exception):
    """What is answered with 400."""


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/alpaca_data``."""

    def route(path: str, answer: Callable[[World, Request], dict[str, Any]]) -> BaseRoute:
        async def endpoint(request: Request) -> Response:
            if not all(request.headers.get(key) for key in _KEYS):
                return JSONResponse({"message": "forbidden."}, 403, headers=_HEADERS)
            try:
                body = answer(world, request)
            except _Refused as error:
                return JSONResponse({"message": str(error)}, 400, headers=_HEADERS)
            return Response(json.dumps(body), media_type="application/json", headers=_HEADERS)

        return Route(path, endpoint)

    return [
        route("/v1beta1/options/snapshots/{symbol}", _snapshots),
        route("/v1beta1/options/bars", _bars),
        route("/v1beta1/options/trades", _trades),
    ]


def _snapshots(world: World, request: Request) -> dict[str, Any]:
    _check(request, _COMMON | {"feed"})
    if request.query_params.get("feed", "indicative") != "indicative":
        raise _Refused("subscription does not permit querying OPRA data")
    symbol = request.path_params["symbol"]
    if symbol not in world.symbols:
        return {"snapshots": {}, "next_page_token": None}
    found = invented.shown(world.seed, symbol, *invented.moment(world.now()))
    rows = [(name, _snapshot(found, place)) for place, name in enumerate(found.listed.names)]
    page, token = _page(request, rows, 100, 1_000)
    return {"snapshots": dict(page), "next_page_token": token}


def _snapshot(found: invented.Shown, place: int) -> dict[str, Any]:
    midnight = datetime.combine(found.session, time(), EASTERN)
    row: dict[str, Any] = {
        "latestQuote": {
            "ap": float(found.asks[place]),
            "as": 10,
            "ax": "C",
            "bp": float(found.bids[place]),
            "bs": 10,
            "bx": "C",
            "c": "A",
            "t": iso(found.at),
        }
    }
    second = int(found.last_seconds[place])
    if second < 0:
        return row
    traded = iso(midnight + timedelta(seconds=second))
    price, volume = round(float(found.theo[place]), 2), int(found.volumes[place])
    row["latestTrade"] = {"c": "a", "p": price, "s": 1, "t": traded, "x": "C"}
    row["dailyBar"] = {"c": price, "h": price, "l": price, "o": price, "v": volume, "vw": price}
    row["dailyBar"] |= {"t": iso(midnight), "n": 1}
    if found.iv[place] > 0:
        row["greeks"] = {name: float(values[place]) for name, values in found.greeks.items()}
        row["impliedVolatility"] = float(found.iv[place])
    return row


def _bars(world: World, request: Request) -> dict[str, Any]:
    _check(request, _COMMON | {"symbols", "timeframe", "start", "end"})
    if request.query_params.get("timeframe") != "1Day":
        raise _Refused("only the timeframe 1Day is in the box")
    asked = _asked(world, request)
    first, last = _time(request, "start").date(), _time(request, "end").date()
    session, _, _ = invented.moment(world.now())
    done = session if _is_over(world, session) else invented.before(session)
    rows = []
    for day in _days(first, min(last, done)):
        at = iso(datetime.combine(day, time(), EASTERN))
        for underlying, names in asked.items():
            volumes = invented.daily_volumes(world.seed, underlying, day)
            prices = invented.closing_prices(world.seed, underlying, day)
            for name in names:
                if name in volumes:
                    volume, trades = volumes[name]
                    bar = dict.fromkeys(("o", "h", "l", "c", "vw"), prices[name])
                    rows.append((name, {"t": at, **bar, "v": volume, "n": trades}))
    return _series(request, "bars", rows)


def _trades(world: World, request: Request) -> dict[str, Any]:
    _check(request, _COMMON | {"symbols", "start", "end"})
    asked = _asked(world, request)
    start, end = _time(request, "start"), _time(request, "end")
    end = min(end, world.now() - invented.DELAY)
    rows = []
    for day in _days(start.astimezone(EASTERN).date(), end.astimezone(EASTERN).date()):
        midnight = datetime.combine(day, time(), EASTERN)
        for underlying, names in asked.items():
            listed = invented.contracts(underlying, day)
            wanted = set(names)
            found = invented.tape(world.seed, underlying, day)
            prices = invented.closing_prices(world.seed, underlying, day)
            prints = zip(
                *(array.tolist() for array in (found.contracts, found.seconds, found.sizes)),
                strict=True,
            )
            for place, second, size in prints:
                at = midnight + timedelta(seconds=second)
                if listed.names[place] in wanted and start <= at <= end:
                    name = listed.names[place]
                    row = {"c": "a", "p": prices[name], "s": size, "t": iso(at), "x": "C"}
                    rows.append((name, row))
    return _series(request, "trades", rows)


def _check(request: Request, known: set[str]) -> None:
    if unknown := set(request.query_params) - known:
        raise _Refused(f"not in the box: {', '.join(sorted(unknown))}")


def _asked(world: World, request: Request) -> dict[str, list[str]]:
    """Give the contracts that are asked for, by underlying."""
    names = [name for name in request.query_params.get("symbols", "").split(",") if name]
    if not 1 <= len(names) <= MAX_SYMBOLS:
        raise _Refused(f"symbols: between 1 and {MAX_SYMBOLS} are needed")
    found: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        if len(name) < 16 or not name[-15:-9].isdecimal():
            raise _Refused(f"invalid symbol: {name}")
        if name[:-15] in world.symbols:
            found.setdefault(name[:-15], []).append(name)
    return found


def _time(request: Request, name: str) -> datetime:
    try:
        at = datetime.fromisoformat(request.query_params.get(name, ""))
    except ValueError:
        raise _Refused(f"invalid {name}") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=EASTERN)


def _days(first: date, last: date) -> list[date]:
    if (last - first).days > 400:
        raise _Refused("the box serves 400 days at most")
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if invented.trades(day)]


def _is_over(world: World, session: date) -> bool:
    closed = datetime.combine(session, time(16, 15), EASTERN) + invented.DELAY
    return world.now() >= closed


def _series(request: Request, kind: str, rows: list[tuple[str, Any]]) -> dict[str, Any]:
    rows.sort(key=lambda row: (row[0], row[1]["t"]))
    page, token = _page(request, rows, 1_000, 10_000)
    found: dict[str, list[Any]] = {}
    for name, row in page:
        found.setdefault(name, []).append(row)
    return {kind: found, "next_page_token": token}


def _page(
    request: Request, rows: list[tuple[str, Any]], default: int, most: int
) -> tuple[list[tuple[str, Any]], str | None]:
    text = request.query_params.get("limit", str(default))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise _Refused(f"invalid limit: between 1 and {most}")
    try:
        token = request.query_params.get("page_token")
        start = int(base64.b64decode(token, validate=True)) if token else 0
    except ValueError:
        raise _Refused("invalid page token") from None
    end = start + int(text)
    more = base64.b64encode(str(end).encode()).decode() if end < len(rows) else None
    return rows[start:end], more
