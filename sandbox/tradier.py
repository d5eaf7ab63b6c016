"""Tradier's expirations and option chains in a box.

JSON, as ``Accept: application/json`` asks for; without it the real service answers in XML, which is
not in the box (406). Where there is nothing the wrapper is null, and a single item is an object and
no list. Any Bearer token is taken; without one the answer is 401, in plain text. Data are 15
minutes late.

Not in the box: quotes, strikes, lookups, history, streaming.
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

_HEADERS = {ORIGIN_HEADER: Origin.SYNTHETIC.value}


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/tradier``."""

    async def expirations(request: Request) -> Response:
        if (refused := _refused(request, "symbol")) is not None:
            return refused
        found = _shown(world, request.query_params["symbol"])
        days = sorted({day.isoformat() for day in found.listed.expiries}) if found else []
        return _json({"expirations": _wrapped("date", days)})

    async def chains(request: Request) -> Response:
        if (refused := _refused(request, "symbol", "expiration")) is not None:
            return refused
        try:
            expiry = date.fromisoformat(request.query_params["expiration"])
        except ValueError:
            return Response("Invalid parameter, expiration: must be a date", 400, headers=_HEADERS)
        greeks = request.query_params.get("greeks", "false") == "true"
        symbol = request.query_params["symbol"]
        found = _shown(world, symbol)
        rows = [
            _option(symbol, found, place, greeks)
            for place, day in enumerate(found.listed.expiries if found else ())
            if found is not None and day == expiry
        ]
        return _json({"options": _wrapped("option", rows)})

    return [
        Route("/v1/markets/options/expirations", expirations),
        Route("/v1/markets/options/chains", chains),
    ]


def _shown(world: World, symbol: str) -> Shown | None:
    if symbol not in world.symbols:
        return None
    return shown(world.seed, symbol, *moment(world.now()))


def _refused(request: Request, *needed: str) -> Response | None:
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return Response("Invalid Access Token", 401, media_type="text/plain", headers=_HEADERS)
    if "json" not in request.headers.get("accept", ""):
        return Response("XML is not in the box", 406, media_type="text/plain", headers=_HEADERS)
    for name in needed:
        if not request.query_params.get(name):
            return Response(f"Missing parameter, {name}: is required", 400, headers=_HEADERS)
    return None


def _wrapped(name: str, items: list[Any]) -> dict[str, Any] | None:
    if not items:
        return None
    return {name: items[0] if len(items) == 1 else items}


def _json(body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), media_type="application/json", headers=_HEADERS)


def _option(symbol: str, found: Shown, place: int, greeks: bool) -> dict[str, Any]:
    second, listed = int(found.last_seconds[place]), found.listed
    midnight = datetime.combine(found.session, time(), EASTERN)
    traded = int((midnight + timedelta(seconds=second)).timestamp() * 1000) if second >= 0 else 0
    expiry, call = listed.expiries[place], bool(listed.calls[place])
    strike = float(listed.strikes[place])
    kind = "Call" if call else "Put"
    row: dict[str, Any] = {
        "symbol": listed.names[place],
        "description": f"{symbol} {expiry:%b %d %Y} ${strike:.2f} {kind}",
        "exch": "Z",
        "type": "option",
        "last": round(float(found.theo[place]), 2) if second >= 0 else None,
        "change": None,
        "volume": int(found.volumes[place]),
        "bid": float(found.bids[place]),
        "ask": float(found.asks[place]),
        "underlying": symbol,
        "strike": strike,
        "last_volume": 1 if second >= 0 else 0,
        "trade_date": traded,
        "bidsize": 10,
        "bid_date": int(found.at.timestamp() * 1000),
        "asksize": 10,
        "ask_date": int(found.at.timestamp() * 1000),
        "open_interest": int(found.open_interest[place]),
        "contract_size": 100,
        "expiration_date": expiry.isoformat(),
        "expiration_type": "standard" if 15 <= expiry.day <= 21 else "weeklys",
        "option_type": kind.lower(),
        "root_symbol": symbol,
    }
    if greeks:
        iv = float(found.iv[place])
        row["greeks"] = None
        if iv > 0:
            row["greeks"] = {name: float(values[place]) for name, values in found.greeks.items()}
            row["greeks"] |= {"phi": 0.0, "bid_iv": iv, "mid_iv": iv, "ask_iv": iv, "smv_vol": iv}
            row["greeks"]["updated_at"] = f"{found.at.astimezone(UTC):%Y-%m-%d %H:00:00}"
    return row
