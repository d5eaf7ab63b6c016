"""What happened: 8-Ks with item 2.02, "Results of Operations and Financial Condition".

EDGAR's acceptance is when the report was made. The list of a company's filings states it up to five
hours late (its "Z" is UTC in some answers and Eastern in others; read as Eastern, 171 of 542
recorded reports would fall into the session), so the filing's own header is read. The filing states
no fiscal quarter, so it is
matched with what was expected: the company's nearest expected date within ten days whose quarter
was over by then. A company that reports before EDGAR accepts its 8-K (by a press release at the
same hour) is therefore told minutes late, and never early.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from relentless.agents.base import Gap, Run
from relentless.agents.earnings.reconcile import time_of_day
from relentless.agents.earnings.rows import When
from relentless.agents.edgar.access import ARCHIVE, DATA, edgar_source
from relentless.agents.edgar.entries import FilingEntry
from relentless.agents.edgar.header import read_header
from relentless.agents.edgar.submissions import submissions
from relentless.agents.edgar.tickers import company_tickers
from relentless.agents.http import Source
from relentless.configs.clock import EASTERN
from relentless.proto.errors import InvalidInput, RelentlessError
from relentless.proto.messages import Evidence

ITEM: Final = "2.02"
LOOK_BACK_DAYS: Final = 14
MATCH_DAYS: Final = 10
AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Fact:
    """One report that was made."""

    symbol: str
    accession: str
    reported_at: datetime
    known_at: datetime
    """When the public could read it."""
    report_date: date
    """The exchange's date of ``reported_at``."""
    when: When
    evidence: tuple[Evidence, ...] = ()


async def read_facts(run: Run, symbols: Iterable[str]) -> tuple[list[Fact], list[Gap]]:
    """Read what the companies reported lately and was known by the run's moment.

    A symbol without a CIK, as most funds are, has nothing to report. What cannot be read is a gap
    for each reason.
    """
    try:
        data, archive = edgar_source(run, DATA), edgar_source(run, ARCHIVE)
        ciks = (await company_tickers(archive)).ciks
    except RelentlessError as error:
        return [], [Gap.of("8-K item 2.02", error)]
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(symbol: str) -> list[Fact | Gap]:
        async with slots:
            try:
                return await _of_company(run, data, archive, symbol, ciks[symbol])
            except Exception as error:
                return [Gap.of(f"8-K item 2.02 {symbol}", error)]

    companies = await asyncio.gather(*(one(s) for s in sorted(set(symbols)) if s in ciks))
    results = [result for company in companies for result in company]
    facts = [result for result in results if isinstance(result, Fact)]
    facts.sort(key=lambda fact: (fact.reported_at, fact.accession))
    return facts, [result for result in results if isinstance(result, Gap)]


async def _of_company(
    run: Run, data: Source, archive: Source, symbol: str, cik: int
) -> list[Fact | Gap]:
    today = run.as_of.astimezone(EASTERN).date()
    since = today - timedelta(days=LOOK_BACK_DAYS)
    company = await submissions(data, cik, since=since)
    found: list[Fact | Gap] = []
    for entry in company.entries:
        if not is_report(entry) or not since <= entry.filed <= today:
            continue
        try:
            answer = await archive.get_bytes(entry.headers_path, accept="text/html")
            fact = fact_of(symbol, read_header(archive.name, answer).entry(answer))
        except RelentlessError as error:
            found.append(Gap.of(f"8-K {symbol} {entry.accession}", error))
            continue
        if fact.known_at <= run.as_of:
            found.append(fact)
    return found


def is_report(entry: FilingEntry) -> bool:
    """Say whether a filing reports results; an amendment does not."""
    return entry.form == "8-K" and ITEM in entry.items


def fact_of(symbol: str, entry: FilingEntry) -> Fact:
    """Give what a filing states, by the time in its header.

    Raises:
        ValueError: it has no exact time.
    """
    accepted, known = entry.accepted_at, entry.known_at
    if accepted is None or known is None or not entry.exact:
        raise ValueError(f"{entry.accession}: no exact time of acceptance")
    try:
        when = time_of_day(accepted)
    except InvalidInput:
        when = "unknown"
    return Fact(
        symbol=symbol,
        accession=entry.accession,
        reported_at=accepted,
        known_at=known,
        report_date=accepted.astimezone(EASTERN).date(),
        when=when,
        evidence=(entry.evidence,) if entry.evidence else (),
    )


def match(report_date: date, expected: Iterable[tuple[str, date]]) -> str | None:
    """Give the quarter that a report is of, out of those expected with their dates, or None.

    The nearest date within ``MATCH_DAYS`` whose quarter's month is not after the report; of two as
    near as each other the earlier quarter.
    """
    near = [
        (abs((day - report_date).days), quarter)
        for quarter, day in expected
        if abs((day - report_date).days) <= MATCH_DAYS and quarter <= f"{report_date:%Y-%m}"
    ]
    return min(near)[1] if near else None
