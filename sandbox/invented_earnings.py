"""Earnings dates invented as a pure function of seed, symbol and quarter.

A company's fiscal quarters end in the same month of every three (the run's own with the year's). It
reports 10 to 40 days after, always about as long after and mostly at the same time of day.
Calendars are rewritten: one date in four moves by some sessions on some day before it, one in forty
vanishes, and Alpha Vantage hears of either two days after Nasdaq. What a calendar says on a day is
the state at that day's beginning (midnight Eastern), so that it says the same all day. The run's
own companies report when EDGAR in the box accepts their 8-K of item 2.02, and what is moved of
theirs is moved to that day. Funds report nothing. No date is one on which anybody reported.
"""

import random
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

from relentless.configs.sessions import CLOSE, OPEN, is_session, next_session, previous_session
from relentless.sandbox.edgar_filings import results_filed_at
from relentless.sandbox.filers import FUNDS

OTHERS: Final = 240
"""Invented companies beside the run's own."""
HEARD_LATE_DAYS: Final = 2
_TIMES: Final = ("time-pre-market", "time-after-hours")


@dataclass(frozen=True, slots=True)
class Report:
    """One quarter's report as a calendar shows it on some day."""

    symbol: str
    name: str
    ends: date
    """The last day of the fiscal quarter."""
    day: date
    time: str
    """As Nasdaq writes it: "time-pre-market"."""
    estimate: float | None
    estimates: int
    last_year: float
    last_year_day: date
    market_cap: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One quarter's report over time: where it stands first, and what becomes of it."""

    report: Report
    moves_on: date | None
    moved_to: date | None
    """None with a ``moves_on``: it vanishes."""

    def on(self, day: date) -> Report | None:
        """Give what is said on a day; None where it is said no longer."""
        if self.moves_on is None or day < self.moves_on:
            return self.report
        if self.moved_to is None:
            return None
        return replace(self.report, day=self.moved_to)


def companies(symbols: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Give symbol and name of every company: the run's own and the invented others."""
    own = [(s, f"{s} (invented figures)") for s in symbols if s not in FUNDS]
    others = [(f"ZZ{_letters(n)}", f"Company {n} (invented)") for n in range(OTHERS)]
    return (*own, *others)


def between(
    seed: int, symbols: tuple[str, ...], on: date, first: date, last: date, *, late: bool = False
) -> list[Report]:
    """Give the reports that a calendar names on the day ``on`` for the days of a range.

    ``late``: as the calendar says it that hears of changes later.
    """
    heard = on - timedelta(days=HEARD_LATE_DAYS) if late else on
    found = [
        said
        for symbol, name in companies(symbols)
        for ends in _quarter_ends(seed, symbol, first, last)
        if (said := plan(seed, symbol, name, ends).on(heard)) is not None
        and first <= said.day <= last
    ]
    return sorted(found, key=lambda report: (report.day, -report.market_cap, report.symbol))


@lru_cache(maxsize=4_096)
def plan(seed: int, symbol: str, name: str, ends: date) -> Plan:
    """Invent one quarter's report."""
    company = random.Random(f"{seed}:earnings:{symbol}")  # noqa: S311
    company.random()  # the month in which its quarters end
    lag = company.randrange(10, 41)
    usual = company.choice(_TIMES)
    cap = int(10 ** company.uniform(8.0, 11.7)) if symbol.startswith("ZZ") else 10**11
    level = company.uniform(0.1, 2.5)
    draw = random.Random(f"{seed}:earnings:{symbol}:{ends}")  # noqa: S311
    usually = _session_from(ends + timedelta(days=lag + draw.randrange(-2, 3)))
    filed = None if symbol.startswith("ZZ") else _filed_at(seed, symbol, ends)
    day = _session_from(filed.date()) if filed else usually
    estimate = round(level * draw.uniform(-0.2, 1.4), 2)
    report = Report(
        symbol=symbol,
        name=name,
        ends=ends,
        day=day,
        time=_time(filed, usual) if draw.random() < 0.7 else "time-not-supplied",
        estimate=estimate if draw.random() < 0.9 else None,
        estimates=draw.randrange(1, 25),
        last_year=round(level * draw.uniform(-0.3, 1.3), 2),
        last_year_day=_session_from(day - timedelta(days=364 + draw.randrange(-3, 4))),
        market_cap=cap,
    )
    fate, shift = draw.random(), draw.choice((-2, -1, 1, 2, 3, 5))
    if fate >= 0.275:
        return Plan(report, None, None)
    if filed is not None:  # what was expected first was wrong, and what was filed is right
        before = _moved(day, shift)
        moves_on = min(day, before) - timedelta(days=draw.randrange(2, 12))
        return Plan(replace(report, day=before), moves_on, day)
    moves_on = day - timedelta(days=draw.randrange(4, 15))
    return Plan(report, moves_on, None if fate >= 0.25 else _moved(day, shift))


def _filed_at(seed: int, symbol: str, ends: date) -> datetime | None:
    """Give when EDGAR in the box accepts a company's results of a quarter, where it does."""
    year, month = (ends.year + 1, 1) if ends.month == 12 else (ends.year, ends.month + 1)
    return results_filed_at(seed, symbol, year, month)


def _time(filed: datetime | None, usual: str) -> str:
    if filed is None:
        return usual
    if filed.time() < OPEN:
        return "time-pre-market"
    return "time-after-hours" if filed.time() >= CLOSE else "time-not-supplied"


def _moved(day: date, sessions: int) -> date:
    """Give the day some sessions away."""
    for _ in range(abs(sessions)):
        day = next_session(day) if sessions > 0 else previous_session(day)
    return day


def _quarter_ends(seed: int, symbol: str, first: date, last: date) -> Iterator[date]:
    """Give the ends of the quarters whose reports can fall into a range."""
    draw = random.Random(f"{seed}:earnings:{symbol}").random()  # noqa: S311
    invented = symbol.startswith("ZZ")
    phase = 0 if draw < 0.7 or not invented else 1 if draw < 0.85 else 2
    month = first.year * 12 + first.month - 1 - 3
    while (ends := _month_end(month)) <= last:
        if (month + 1) % 3 == phase:
            yield ends
        month += 1


def _month_end(month: int) -> date:
    year, number = divmod(month, 12)
    return date(year, number + 1, monthrange(year, number + 1)[1])


def _session_from(day: date) -> date:
    return day if is_session(day) else next_session(day)


def _letters(number: int) -> str:
    return f"{chr(65 + number // 26 % 26)}{chr(65 + number % 26)}"
