"""Cboe's delayed chains. Pure.

The file's own ``timestamp`` is UTC and every ``last_trade_time`` is Eastern, both without saying
so. ``iv`` 0.0 is unknown; ``open_interest`` is of the close before. An index has a leading
underscore in the address and "^" in the body.
"""

from datetime import UTC, datetime
from typing import Any, Final

from relentless.agents.options import osi
from relentless.agents.options.chain import (
    Chain,
    Contract,
    assemble,
    contract_of,
    malformed,
    number,
)
from relentless.configs.clock import EASTERN

VENDOR: Final = "cboe"


def path(symbol: str) -> str:
    """Give the address of an underlying's chain."""
    name = f"_{symbol}" if osi.is_index(symbol) else symbol
    return f"/api/global/delayed_quotes/options/{name}.json"


def read(symbol: str, body: Any) -> Chain:
    """Read a chain.

    Raises:
        SourceMalformed: another symbol's, no list of options, or nothing that dates it.
    """
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("options"), list):
        malformed(VENDOR, f"{symbol}: there is no list of options")
    named = data.get("symbol")
    if not isinstance(named, str) or named.lstrip("^_") != symbol:
        malformed(VENDOR, f"{symbol}: the answer is about {str(named)[:20]!r}")
    made_at = _moment(body.get("timestamp"), UTC)
    if made_at is None:
        malformed(VENDOR, f"{symbol}: the file has no timestamp")
    wanted = osi.roots(symbol)
    return assemble(
        VENDOR,
        symbol,
        (c for row in data["options"] if (c := _contract(row, wanted)) is not None),
        made_at=made_at,
        spot=number(data.get("current_price"), least=1e-9),
        traded_at=_moment(data.get("last_trade_time"), EASTERN),
    )


def _contract(row: Any, roots: tuple[str, ...]) -> Contract | None:
    """Read one contract; None where it has no name, or another root's (an adjusted series)."""
    name = osi.of_root(row, "option", roots)
    if name is None:
        return None
    return contract_of(
        name,
        bid=row.get("bid"),
        ask=row.get("ask"),
        iv=row.get("iv"),
        volume=row.get("volume"),
        open_interest=row.get("open_interest"),
        last_trade=_moment(row.get("last_trade_time"), EASTERN),
        greeks=row,
    )


def _moment(value: Any, zone: Any) -> datetime | None:
    """Read a wall-clock time of a zone; None where it is none."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
