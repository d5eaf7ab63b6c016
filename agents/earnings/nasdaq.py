"""Nasdaq's calendar of one day: ``/api/calendar/earnings?date=2019-12-23``.

The body states its own status: 200 with ``data``, or another code with the reason, and HTTP says
200 all the same. ``data`` is null on a day for which Nasdaq has nothing, a holiday above all.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from relentless.agents.earnings.rows import SYMBOL, Row, money, quarter, when
from relentless.agents.http import Answer, Source
from relentless.proto.errors import SourceMalformed, SourceRejected

SOURCE: Final = "nasdaq"
AGENT: Final = {"User-Agent": "Mozilla/5.0 (compatible; relentless/0.1)"}
"""Nasdaq answers nobody who does not call himself a browser."""
GOOD: Final = 200


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the calendar."""

    day: date
    rows: tuple[Row, ...]
    refused: int
    """Rows that could not be read."""
    absent: bool
    """``data`` was null: whether nobody reports or Nasdaq does not know, it does not say."""


async def ask(source: Source, day: date) -> tuple[Day, Answer]:
    """Read the calendar of a day.

    Raises:
        SourceError: as for ``Source.get_json``; ``SourceRejected`` where the body says so.
    """
    answer = await source.get_json(
        "/api/calendar/earnings", {"date": day.isoformat()}, headers=AGENT
    )
    return read_day(answer.value, day), answer


def read_day(body: Any, day: date) -> Day:
    """Read the body of a day.

    A row without a symbol or a fiscal quarter is left out and counted.

    Raises:
        SourceRejected: the body's own status is not 200.
        SourceMalformed: it breaks the contract.
    """
    if not isinstance(body, dict) or not isinstance(body.get("status"), dict):
        raise SourceMalformed(SOURCE, f"{day}: no status")
    status = body["status"].get("rCode")
    if status != GOOD:
        said = _reason(body["status"].get("bCodeMessage"))
        code = status if isinstance(status, int) else None
        raise SourceRejected(SOURCE, f"{day}: {str(status)[:20]}{said}", code)
    if "data" not in body:
        raise SourceMalformed(SOURCE, f"{day}: no data")
    data = body["data"]
    if data is None:
        return Day(day, (), 0, absent=True)
    rows = data.get("rows", ...) if isinstance(data, dict) else ...
    if rows is None:
        return Day(day, (), 0, absent=True)
    if not isinstance(rows, list):
        raise SourceMalformed(SOURCE, f"{day}: no rows")
    read = [_row(item, day) for item in rows]
    kept = tuple(row for row in read if row is not None)
    if rows and not kept:
        raise SourceMalformed(SOURCE, f"{day}: none of {len(rows)} rows can be read")
    return Day(day, kept, len(rows) - len(kept), absent=False)


def _row(item: Any, day: date) -> Row | None:
    if not isinstance(item, dict):
        return None
    symbol, ends = item.get("symbol"), quarter(item.get("fiscalQuarterEnding"))
    if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol.strip()) or ends is None:
        return None
    if ends > f"{day:%Y-%m}":  # a quarter that is not over has no report
        return None
    name = item.get("name")
    return Row(
        symbol=symbol.strip(),
        report_date=day,
        fiscal_quarter=ends,
        when=when(item.get("time")),
        eps_estimate=money(item.get("epsForecast")),
        market_cap=money(item.get("marketCap")),
        company=name.strip()[:200] if isinstance(name, str) else "",
    )


def _reason(messages: Any) -> str:
    """Give Nasdaq's own words for a refusal."""
    first = messages[0] if isinstance(messages, list) and messages else None
    said = first.get("errorMessage") if isinstance(first, dict) else None
    return f", {' '.join(said.split())[:120]}" if isinstance(said, str) else ""
