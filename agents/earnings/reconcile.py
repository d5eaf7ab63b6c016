"""Two calendars as one, and what a report's time was. Pure.

Nasdaq is believed before Alpha Vantage: it is the exchange's own, is kept day by day, and states
the time of day. The same symbol and fiscal quarter are one report; ends of quarters that lie one
month apart are the same quarter too, because fiscal years of 52 or 53 weeks end early or late.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from relentless.agents.earnings.rows import Row, When, months_apart
from relentless.configs.clock import EASTERN
from relentless.configs.sessions import is_session, session_close, session_open, table
from relentless.proto.errors import InvalidInput

AGREE: Final = 0.9
"""Confidence where both calendars state the same date. The three are judgements, not measured."""
ALONE: Final = 0.7
DISAGREE: Final = 0.4


@dataclass(frozen=True, slots=True)
class Expected:
    """One report that lies ahead, as both calendars together say it."""

    symbol: str
    fiscal_quarter: str
    report_date: date
    when: When
    eps_estimate: float | None
    confidence: float
    other_date: date | None
    sources: tuple[str, ...]
    market_cap: float | None = None


def reconcile(by_source: Mapping[str, Iterable[Row]]) -> list[Expected]:
    """Join rows of several calendars, the most believed one first.

    Where one calendar names a report twice its earlier date counts, and the later one is the
    other. Given in order of symbol and quarter.
    """
    groups: dict[str, list[tuple[str, list[tuple[str, Row]]]]] = {}
    for source, rows in by_source.items():
        for row in sorted(rows, key=_in_order):
            if row.fiscal_quarter is None:
                continue
            quarters = groups.setdefault(row.symbol, [])
            for key, said in quarters:
                if months_apart(key, row.fiscal_quarter) <= 1:
                    said.append((source, row))
                    break
            else:
                quarters.append((row.fiscal_quarter, [(source, row)]))
    return [
        _joined(symbol, key, said)
        for symbol in sorted(groups)
        for key, said in sorted(groups[symbol], key=lambda item: item[0])
    ]


def _in_order(row: Row) -> tuple[str, date, str, str]:
    return (row.symbol, row.report_date, row.fiscal_quarter or "", row.when)


def _joined(symbol: str, key: str, said: list[tuple[str, Row]]) -> Expected:
    trusted = said[0][1]
    same = [row for _, row in said if row.report_date == trusted.report_date]
    other = next((r.report_date for _, r in said if r.report_date != trusted.report_date), None)
    sources = tuple(dict.fromkeys(source for source, _ in said))
    agreed = AGREE if len(sources) > 1 else ALONE
    return Expected(
        symbol=symbol,
        fiscal_quarter=key,
        report_date=trusted.report_date,
        when=next((row.when for row in same if row.when != "unknown"), "unknown"),
        eps_estimate=next((r.eps_estimate for _, r in said if r.eps_estimate is not None), None),
        confidence=agreed if other is None else DISAGREE,
        other_date=other,
        sources=sources,
        market_cap=next((r.market_cap for _, r in said if r.market_cap is not None), None),
    )


def time_of_day(accepted_at: datetime) -> When:
    """Give when in its day a report came, by the exchange's own hours, half days included.

    A day without a session has no open: a report then is said to be before the next one.

    Raises:
        InvalidInput: the day is outside the exchange table.
    """
    local = accepted_at.astimezone(EASTERN)
    today = local.date()
    if not is_session(today) or local < session_open(today):
        return "before_open"
    return "during" if local < session_close(today) else "after_close"


def trading_days(first: date, last: date) -> int:
    """Count the sessions after ``first`` up to ``last``; 0 where they are the same day.

    Raises:
        InvalidInput: ``last`` is past the end of the exchange table.
    """
    if last > table().last or first < table().first:
        raise InvalidInput(f"{last} is outside the exchange table")
    return sum(
        is_session(date.fromordinal(n)) for n in range(first.toordinal() + 1, last.toordinal() + 1)
    )
