"""Which ticker belongs to which company: ``www.sec.gov/files/company_tickers.json``.

The file is ``{"0": {"cik_str": 320193, "ticker": "AAPL", "title": "Apple Inc."}, ...}``, larger
companies first. A company may have several tickers; its first is taken as the primary one.
"""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from relentless.agents.http import Answer, Source
from relentless.proto.base import Symbol
from relentless.proto.errors import SourceMalformed

PATH: Final = "/files/company_tickers.json"
_symbol: TypeAdapter[str] = TypeAdapter(Symbol)


@dataclass(frozen=True, slots=True)
class Tickers:
    """The table, both ways."""

    symbols: dict[int, str]
    """The primary ticker by CIK."""
    ciks: dict[str, int]
    """The CIK by ticker, whichever of the company's."""
    answer: Answer


async def company_tickers(source: Source) -> Tickers:
    """Read the table from www.sec.gov.

    Raises:
        SourceError: as for ``Source.get_json``; ``SourceMalformed`` for another form.
    """
    return read_tickers(source.name, await source.get_json(PATH))


def read_tickers(source: str, answer: Answer) -> Tickers:
    """Read the table. A row whose ticker is none of ours' form is left out.

    Raises:
        SourceMalformed: not in the form of the table, or empty.
    """
    rows: Any = answer.value
    if not isinstance(rows, dict) or not rows:
        raise SourceMalformed(source, "no table of tickers")
    symbols: dict[int, str] = {}
    ciks: dict[str, int] = {}
    for row in rows.values():
        cik = row.get("cik_str") if isinstance(row, dict) else None
        ticker = row.get("ticker") if isinstance(row, dict) else None
        if not isinstance(cik, int) or isinstance(cik, bool) or not isinstance(ticker, str):
            raise SourceMalformed(source, "a row of the tickers has no cik_str or ticker")
        try:
            symbol = _symbol.validate_python(ticker.strip().upper())
        except ValidationError:
            continue
        symbols.setdefault(cik, symbol)
        ciks.setdefault(symbol, cik)
    return Tickers(symbols, ciks, answer)
