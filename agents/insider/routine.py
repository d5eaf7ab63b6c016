"""Routine and opportunistic insiders, by Cohen, Malloy and Pomorski. Pure.

"Decoding Inside Information", Journal of Finance 67(3), 2012, pages 1009-1043: at the beginning of
each calendar year the insiders with a trade in each of the three preceding years are classified.
One who traded in the same calendar month of all three is routine, the others are opportunistic; the
class holds for the whole year. Their portfolios of opportunistic trades earned 82 basis points a
month, those of routine ones nothing.

An insider is here a reporting owner of one issuer, a trade an open-market purchase or sale, planned
ones among them. Insiders without a trade in each of the three years are unclassified.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from relentless.agents.insider.trades import Trade
from relentless.configs.clock import EASTERN

Kind = Literal["opportunistic", "unclassified", "routine"]
YEARS: Final = 3


def year_begins(year: int) -> datetime:
    """Give the first moment of a year in New York."""
    return datetime(year, 1, 1, tzinfo=EASTERN)


def classify(trades: Iterable[Trade], year: int) -> Kind:
    """Classify an insider for a year by their trades, as known when the year began.

    A trade that was reported only after the year had begun is not part of the past as it was
    known, whenever it took place.
    """
    begins = year_begins(year)
    months: dict[int, set[int]] = {}
    for trade in trades:
        if trade.known_at < begins:
            months.setdefault(trade.row.day.year, set()).add(trade.row.day.month)
    past = [months.get(year - back, set()) for back in range(1, YEARS + 1)]
    if not all(past):
        return "unclassified"
    return "routine" if set.intersection(*past) else "opportunistic"
