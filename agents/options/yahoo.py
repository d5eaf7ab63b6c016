"""Yahoo's option chains. Pure.

Times are seconds since the epoch. An implied volatility of 1e-5 is unknown. A contract's ``volume``
is that of the day of its last trade, however long ago, so only volumes of the chain's own session
count (:func:`relentless.agents.options.chain.assemble`).
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any, Final

from relentless.agents.options import osi
from relentless.agents.options.chain import (
    Chain,
    Contract,
    assemble,
    contract_of,
    epoch,
    malformed,
    number,
)

VENDOR: Final = "yahoo"


def result(symbol: str, body: Any) -> dict[str, Any]:
    """Give the one result of an answer.

    Raises:
        SourceMalformed: an error body, no result, or another symbol's.
    """
    inner = body.get("optionChain") if isinstance(body, dict) else None
    found = inner.get("result") if isinstance(inner, dict) else None
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        malformed(VENDOR, f"{symbol}: there is no result")
    named = found[0].get("underlyingSymbol")
    if not isinstance(named, str) or named.lstrip("^") != symbol:
        malformed(VENDOR, f"{symbol}: the answer is about {str(named)[:20]!r}")
    return found[0]


def expirations(found: dict[str, Any]) -> list[date]:
    """Give the listed expirations, in order; Yahoo writes them as midnight UTC."""
    listed = found.get("expirationDates")
    moments = map(epoch, listed if isinstance(listed, list) else [])
    return sorted({moment.date() for moment in moments if moment is not None})


def query(expiry: date) -> int:
    """Give the ``date`` parameter of an expiration."""
    return int(datetime.combine(expiry, time(), UTC).timestamp())


def read(symbol: str, results: Iterable[dict[str, Any]], asked_at: datetime) -> Chain:
    """Read a chain from the results of its expirations.

    Raises:
        SourceMalformed: no contract, or nothing that dates it.
    """
    wanted = osi.roots(symbol)
    contracts: list[Contract] = []
    spot, traded_at, listed = None, None, 0
    for found in results:
        stated = found.get("quote")
        quote = stated if isinstance(stated, dict) else {}
        spot = number(quote.get("regularMarketPrice"), least=1e-9)
        traded_at = epoch(quote.get("regularMarketTime"))
        listed = max(listed, len(expirations(found)))
        contracts += (c for row in _rows(found) if (c := _contract(row, wanted)) is not None)
    return assemble(
        VENDOR,
        symbol,
        contracts,
        made_at=asked_at,
        spot=spot,
        traded_at=traded_at,
        expirations_listed=listed or None,
    )


def _rows(found: dict[str, Any]) -> Iterable[Any]:
    options = found.get("options")
    for block in options if isinstance(options, list) else []:
        for side in ("calls", "puts"):
            rows = block.get(side) if isinstance(block, dict) else None
            yield from rows if isinstance(rows, list) else []


def _contract(row: Any, roots: tuple[str, ...]) -> Contract | None:
    name = osi.of_root(row, "contractSymbol", roots)
    if name is None:
        return None
    return contract_of(
        name,
        bid=row.get("bid"),
        ask=row.get("ask"),
        iv=row.get("impliedVolatility"),
        volume=row.get("volume"),
        open_interest=row.get("openInterest"),
        last_trade=epoch(row.get("lastTradeDate")),
    )
