"""Tradier's expirations and chains. Pure.

Where there is nothing the wrapper is null, and a single item stands as an object, not in a list.
Greeks come with an hour's delay; ``mid_iv`` 0.0 is unknown.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Final

from relentless.agents.options import osi
from relentless.agents.options.chain import (
    Chain,
    Contract,
    assemble,
    contract_of,
    epoch,
    malformed,
)

VENDOR: Final = "tradier"


def expirations(symbol: str, body: Any) -> list[date]:
    """Read the listed expirations, in order; none where the wrapper is null.

    Raises:
        SourceMalformed: no such wrapper, or what is no date.
    """
    try:
        return sorted({date.fromisoformat(text) for text in _items(symbol, body, "expirations")})
    except (TypeError, ValueError):
        malformed(VENDOR, f"{symbol}: an expiration that is no date")


def options(symbol: str, body: Any) -> list[Any]:
    """Read the options of one expiration.

    Raises:
        SourceMalformed: no such wrapper.
    """
    return _items(symbol, body, "options")


def _items(symbol: str, body: Any, wrapper: str) -> list[Any]:
    if not isinstance(body, dict) or wrapper not in body:
        malformed(VENDOR, f"{symbol}: there are no {wrapper}")
    inner = body[wrapper]
    if inner is None:
        return []
    if not isinstance(inner, dict):
        malformed(VENDOR, f"{symbol}: {wrapper} are no object")
    items = inner.get("date" if wrapper == "expirations" else "option")
    if items is None:
        return []
    return items if isinstance(items, list) else [items]


def read(symbol: str, rows: Iterable[Any], listed: int, asked_at: datetime) -> Chain:
    """Read a chain from the options of its expirations.

    Raises:
        SourceMalformed: no contract, or nothing that dates it.
    """
    wanted = osi.roots(symbol)
    found = (c for row in rows if (c := _contract(row, wanted)) is not None)
    return assemble(VENDOR, symbol, found, made_at=asked_at, expirations_listed=listed)


def _contract(row: Any, roots: tuple[str, ...]) -> Contract | None:
    name = osi.of_root(row, "symbol", roots)
    if name is None:
        return None
    stated = row.get("greeks")
    greeks = stated if isinstance(stated, dict) else {}
    return contract_of(
        name,
        bid=row.get("bid"),
        ask=row.get("ask"),
        iv=greeks.get("mid_iv"),
        volume=row.get("volume"),
        open_interest=row.get("open_interest"),
        last_trade=epoch(row.get("trade_date"), 1000.0),
        greeks=greeks,
    )
