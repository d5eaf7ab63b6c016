"""Alpaca's option snapshots, daily bars and trades. Pure.

A snapshot holds a quote and a trade where there are any; Greeks and implied volatility are absent
for illiquid contracts, the day's volume stands in ``dailyBar`` where there is one, and open
interest stands nowhere.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

from relentless.agents.options import osi
from relentless.agents.options.chain import (
    Chain,
    Contract,
    assemble,
    contract_of,
    count,
    malformed,
    number,
)
from relentless.configs.clock import EASTERN
from relentless.proto.errors import InvalidInput

VENDOR: Final = "alpaca"


class Print(NamedTuple):
    """One trade."""

    symbol: str
    at: datetime
    size: int
    price: float


def snapshots(symbol: str, body: Any) -> Iterable[tuple[str, Any]]:
    """Give the snapshots of one page.

    Raises:
        SourceMalformed: there are none.
    """
    found = body.get("snapshots") if isinstance(body, dict) else None
    if not isinstance(found, dict):
        malformed(VENDOR, f"{symbol}: there are no snapshots")
    return found.items()


def next_page(body: Any) -> str | None:
    """Give the token of the next page."""
    token = body.get("next_page_token") if isinstance(body, dict) else None
    return token if isinstance(token, str) and token else None


def read(symbol: str, rows: Iterable[tuple[str, Any]], asked_at: datetime) -> Chain:
    """Read a chain from the snapshots of all its pages.

    Raises:
        SourceMalformed: no contract, or nothing that dates it.
    """
    wanted = osi.roots(symbol)
    found = (c for name, row in rows if (c := _contract(name, row, wanted)) is not None)
    return assemble(VENDOR, symbol, found, made_at=asked_at)


def _contract(text: str, row: Any, roots: tuple[str, ...]) -> Contract | None:
    try:
        name = osi.read(text)
    except InvalidInput:
        return None
    if name.root not in roots or not isinstance(row, dict):
        return None
    quote, trade, bar, greeks = (
        value if isinstance(value := row.get(part), dict) else {}
        for part in ("latestQuote", "latestTrade", "dailyBar", "greeks")
    )
    last, day = moment(trade.get("t")), moment(bar.get("t"))
    same = last is not None and day is not None and _date(last) == _date(day)
    return contract_of(
        name,
        bid=quote.get("bp"),
        ask=quote.get("ap"),
        iv=row.get("impliedVolatility"),
        volume=bar.get("v") if same else None,
        last_trade=last,
        greeks=greeks,
    )


def bars(body: Any) -> list[tuple[str, date, int]]:
    """Read daily bars: contract, session, volume.

    Raises:
        SourceMalformed: there are none in it, or one has no time or volume.
    """
    found = []
    for name, row in _rows(body, "bars"):
        at, volume = moment(row.get("t")), count(row.get("v"))
        if at is None or volume is None:
            malformed(VENDOR, f"{name[:24]}: a bar without a time or a volume")
        found.append((name, _date(at), volume))
    return found


def prints(body: Any) -> list[Print]:
    """Read trades.

    Raises:
        SourceMalformed: there are none in it, or one has no time, size or price.
    """
    found = []
    for name, row in _rows(body, "trades"):
        at, size, price = moment(row.get("t")), count(row.get("s")), number(row.get("p"))
        if at is None or size is None or price is None:
            malformed(VENDOR, f"{name[:24]}: a trade without a time, a size or a price")
        found.append(Print(name, at, size, price))
    return found


def _rows(body: Any, kind: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    series = body.get(kind) if isinstance(body, dict) else None
    if not isinstance(series, dict):
        malformed(VENDOR, f"there are no {kind}")
    for name, rows in series.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            malformed(VENDOR, f"{name[:24]}: its {kind} are no list")
        yield from ((name, row) for row in rows)


def moment(value: Any) -> datetime | None:
    """Read RFC 3339 with nanoseconds, cut to the microsecond."""
    if not isinstance(value, str) or not value.endswith("Z"):
        return None
    whole, _, part = value[:-1].partition(".")
    if part and not (part.isascii() and part.isdecimal()):
        return None
    try:
        read_at = datetime.fromisoformat(f"{whole}.{part[:6].ljust(6, '0')}")
        return read_at.replace(tzinfo=UTC) if read_at.tzinfo is None else None
    except ValueError:
        return None


def _date(at: datetime) -> date:
    return at.astimezone(EASTERN).date()
