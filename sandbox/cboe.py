"""Cboe's delayed option chains in a box.

One file an underlying, made every quarter of an hour, with quotes and trades of 15 minutes earlier.
``timestamp`` is UTC and the last trades' times are Eastern, and neither says so; ``iv`` is 0.0
where it is not known; open interest is of the close before the session. Only the run's symbols are
there; another, and an address without the underscore of an index, is answered by 403, as the real
store answers for a file that it does not have.

Not in the box: quotes, historical charts, indices.
"""

import json
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relentless.proto.contexts import Origin
from relentless.sandbox.invented_options import Shown, moment, shown
from relentless.sandbox.world import ORIGIN_HEADER, World

_DENIED = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
)
_HEADERS = {ORIGIN_HEADER: Origin.SYNTHETIC.value}


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/cboe``."""

    async def chain(request: Request) -> Response:
        symbol = request.path_params["name"]
        if symbol not in world.symbols:
            return Response(_DENIED, 403, media_type="application/xml", headers=_HEADERS)
        body = _body(symbol, world.seed, *moment(world.now()))
        return Response(body, media_type="application/json", headers=_HEADERS)

    return [Route("/api/global/delayed_quotes/options/{name}.json", chain)]


@lru_cache(maxsize=32)
def _body(symbol: str, seed: int, session: date, at: datetime, made_at: datetime) -> bytes:
    found = shown(seed, symbol, session, at, made_at)
    change = found.spot - found.previous_spot
    made = found.made_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    traded = (found.at - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    data = {
        "options": [_option(found, place) for place in range(len(found.listed.names))],
        "symbol": symbol,
        "security_type": "stock",
        "exchange_id": 3,
        "current_price": found.spot,
        "price_change": round(change, 4),
        "price_change_percent": round(change / found.previous_spot * 100, 4),
        "bid": round(found.spot - 0.01, 2),
        "ask": round(found.spot + 0.01, 2),
        "prev_day_close": found.previous_spot,
        "seqno": int(found.at.timestamp()),
        "last_trade_time": traded,
        "tick": "up" if change > 0 else "down",
    }
    return json.dumps({"timestamp": made, "data": data, "symbol": symbol}).encode()


def _option(found: Shown, place: int) -> dict[str, object]:
    second = int(found.last_seconds[place])
    theo = float(found.theo[place])
    row: dict[str, object] = {
        "option": found.listed.names[place],
        "bid": float(found.bids[place]),
        "bid_size": 10.0,
        "ask": float(found.asks[place]),
        "ask_size": 10.0,
        "iv": float(found.iv[place]),
        "open_interest": float(found.open_interest[place]),
        "volume": float(found.volumes[place]),
    }
    row |= {name: round(float(values[place]), 4) for name, values in found.greeks.items()}
    row["theo"] = round(theo, 4)
    row["last_trade_price"] = round(theo, 2) if second >= 0 else 0.0
    row["last_trade_time"] = f"{found.session}T{clock(second)}" if second >= 0 else None
    return row


def clock(second: int) -> str:
    """Write seconds since midnight as a time of day."""
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
