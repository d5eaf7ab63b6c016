"""Read what was filed with EDGAR as of a moment: one ``filing`` message for each filing.

The run's companies are read from their submissions, two weeks back; the whole market from the feed
of current filings, back to the last close of the exchange; and the daily index says what both of
them missed. A filing is one accession wherever it was seen. The rules: docs/agents/sec.md.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import ClassVar, Final

from relentless.agents.base import Agent, Collected, Gap, Run
from relentless.agents.edgar.access import ARCHIVE, DATA, edgar_source
from relentless.agents.edgar.current import current_feed
from relentless.agents.edgar.entries import FilingEntry, merged
from relentless.agents.edgar.index import daily_index
from relentless.agents.edgar.items import importance
from relentless.agents.edgar.submissions import submissions
from relentless.agents.edgar.tickers import FUNDS, company_tickers
from relentless.agents.http import Source
from relentless.agents.sec.headers import Headers
from relentless.agents.sec.shelf import Kept, Shelf
from relentless.agents.sec.wording import summary
from relentless.configs.clock import EASTERN
from relentless.configs.releases import federal_holidays
from relentless.configs.sessions import previous_session, session_close
from relentless.proto.contexts import Filing, Topic
from relentless.proto.errors import InvalidSettings, SourceError
from relentless.proto.messages import ContextMessage

MARKET_FORMS: Final = ("8-K", "10-Q", "10-K", "DEF 14A")
"""Read for every company, with their amendments."""
FORMS: Final = frozenset(form for base in (*MARKET_FORMS, "4") for form in (base, f"{base}/A"))
"""Read for the run's companies. What a Form 4 says is the insider agent's part."""
VALID_DAYS: Final = 14
"""How long a filing is told, and its message stands."""
MAX_MESSAGES: Final = 250
"""A run: the run's companies first, then by importance."""


@dataclass(frozen=True, slots=True)
class Own:
    """The run's companies."""

    symbols: dict[int, str]
    """The run's symbol by CIK."""
    primary: dict[int, str]
    """The primary ticker of every company by CIK."""

    def symbol(self, cik: int) -> str | None:
        """Give a company's symbol, the run's own where it is one of the run's."""
        return self.symbols.get(cik) or self.primary.get(cik)


class SecAgent(Agent):
    """Filings with the Securities and Exchange Commission, from EDGAR."""

    name: ClassVar[str] = "SecAgent"
    command: ClassVar[str] = "sec"
    topic: ClassVar[Topic] = Topic.FILING
    schedule: ClassVar[tuple[str, ...]] = ("05:00", "07:55", "09:15", "*/30 9-22 * * mon-fri")
    timeout_s: ClassVar[float] = 300.0

    async def collect(self, run: Run) -> Collected:
        """Read the filings of the run's companies and the market's newest."""
        try:
            data, archive = edgar_source(run, DATA), edgar_source(run, ARCHIVE)
        except InvalidSettings as error:
            return Collected(gaps=(Gap.of("EDGAR", error),))
        shelf = Shelf(run.state, run.identity(ARCHIVE))
        kept = await asyncio.to_thread(shelf.read)
        gaps: list[Gap] = []
        own = await _companies(run, archive, kept, gaps)
        since = _last_close(run.as_of)
        first = run.as_of - timedelta(days=VALID_DAYS)
        mine, market = await asyncio.gather(
            _submitted(data, own, first.astimezone(EASTERN).date(), gaps),
            _market(archive, run.as_of, since, gaps),
        )
        headers = Headers(archive, kept.headers)
        entries = merged([*mine, *market])
        entries += await _missed(archive, run.as_of, since, own, entries, gaps)
        found = await _completed(headers, entries, own)
        gaps += headers.gaps
        told = [entry for entry in found if _stands(entry, own, run.as_of, since, first)]
        told.sort(key=lambda entry: _order(entry, own))
        if left := told[MAX_MESSAGES:]:
            forms = Counter(entry.form for entry in left)
            counted = ", ".join(f"{count} {form}" for form, count in forms.most_common())
            gaps.append(Gap("filings", "left_out", f"{len(left)}: {counted}"))
        await asyncio.to_thread(shelf.write, kept, run.as_of.astimezone(EASTERN).date())
        messages = [self._message(run, entry, own) for entry in told[:MAX_MESSAGES]]
        return Collected(tuple(messages), tuple(gaps))

    def _message(self, run: Run, entry: FilingEntry, own: Own) -> ContextMessage:
        known, accepted = entry.known_at, entry.accepted_at
        if known is None or accepted is None:
            raise ValueError(f"{entry.accession} has no time")
        symbol = own.symbol(entry.cik)
        # Only the run's companies are read closely enough to know the period every time.
        period = entry.report_date if entry.cik in own.symbols else None
        return self.compose(
            run,
            Filing(
                accession=entry.accession,
                cik=entry.cik,
                form=entry.form[:200],
                symbol=symbol,
                company=entry.company[:200],
                items=entry.items,
                accepted_at=accepted,
                accepted_exact=entry.exact,
                report_date=period,
                importance=importance(entry.form, entry.items),
                summary=summary(entry, symbol),
            ),
            known_at=known,
            observed_at=datetime.combine(period, time(), EASTERN) if period else accepted,
            expires_at=known + timedelta(days=VALID_DAYS),
            evidence=[entry.evidence] if entry.evidence else [],
        )


async def _companies(run: Run, archive: Source, kept: Kept, gaps: list[Gap]) -> Own:
    """Give the run's companies by the table of tickers, the newest that could be read."""
    try:
        kept.ciks = (await company_tickers(archive)).ciks
    except SourceError as error:
        gaps.append(Gap.of("company tickers", error))
    primary: dict[int, str] = {}
    for symbol, cik in kept.ciks.items():
        primary.setdefault(cik, symbol)
    symbols: dict[int, str] = {}
    for symbol in run.settings.predictor.symbols:
        if symbol in FUNDS:
            continue
        found = kept.ciks.get(symbol) or kept.ciks.get(symbol.replace(".", "-"))
        if found is None:
            gaps.append(Gap(symbol, "no_cik", "not in EDGAR's table of tickers"))
        else:
            symbols.setdefault(found, symbol)
    return Own(symbols, primary)


async def _submitted(data: Source, own: Own, since: date, gaps: list[Gap]) -> list[FilingEntry]:
    """Give what the run's companies filed, by their submissions."""

    async def one(cik: int, symbol: str) -> list[FilingEntry]:
        try:
            company = await submissions(data, cik, since=since)
        except SourceError as error:
            gaps.append(Gap.of(f"submissions {symbol}", error))
            return []
        return [e for e in company.entries if e.form in FORMS and e.filed >= since]

    found = await asyncio.gather(*(one(cik, symbol) for cik, symbol in own.symbols.items()))
    return [entry for entries in found for entry in entries]


async def _market(
    archive: Source, as_of: datetime, since: datetime, gaps: list[Gap]
) -> list[FilingEntry]:
    """Give what every company filed since the last close, by the current feed."""
    pages = await asyncio.gather(
        *(current_feed(archive, form, as_of=as_of, since=since) for form in MARKET_FORMS)
    )
    for _, lost in pages:
        gaps += lost
    return [entry for entries, _ in pages for entry in entries]


async def _missed(
    archive: Source,
    as_of: datetime,
    since: datetime,
    own: Own,
    entries: Iterable[FilingEntry],
    gaps: list[Gap],
) -> list[FilingEntry]:
    """Give what the daily indexes list and nothing else did, the most important first.

    Always for the run's companies; for a form whose feed was not read whole, for every company
    that has a ticker. The gap of a feed that merely ended early is then closed.
    """
    holes = {gap.what.removeprefix("current feed ") for gap in gaps} & {*MARKET_FORMS}
    today, day = as_of.astimezone(EASTERN).date(), since.astimezone(EASTERN).date()
    listed: list[FilingEntry] = []
    whole = True
    while day <= today - timedelta(days=0 if holes else 1):
        if day.weekday() < 5 and day not in federal_holidays(day.year):
            try:
                read = await daily_index(archive, day)
            except SourceError as error:
                gaps.append(Gap.of(f"index {day}", error))
                whole = False
            else:
                listed += read or []
                if read is None and day < today:
                    gaps.append(Gap(f"index {day}", "absent", "EDGAR has no such file yet"))
                    whole = False
        day += timedelta(days=1)
    if whole:
        gaps[:] = [gap for gap in gaps if gap.reason != "short_feed"]
    seen = {entry.accession for entry in entries}
    wanted = [
        entry
        for entry in merged(listed)
        if entry.accession not in seen
        and (
            (entry.form in FORMS and any(p.cik in own.symbols for p in entry.parties))
            or (entry.form.removesuffix("/A") in holes and entry.cik in own.primary)
        )
    ]
    return sorted(wanted, key=lambda entry: _order(entry, own))


async def _completed(headers: Headers, entries: list[FilingEntry], own: Own) -> list[FilingEntry]:
    """Read the header of what is not known for certain; drop what is known to be another's.

    A company's list also holds Forms 4 that it filed as the owner of another's shares: without
    its header a Form 4 is nobody's.
    """
    doubtful = [entry for entry in entries if _is_doubtful(entry, own)]
    doubtful.sort(key=lambda entry: _order(entry, own))
    sure = [entry for entry in entries if not _is_doubtful(entry, own)]
    read = await headers.complete(doubtful, "headers")
    return [entry for entry in (*sure, *read) if entry.form in FORMS and _is_ours(entry, own)]


def _is_ours(entry: FilingEntry, own: Own) -> bool:
    if entry.form in ("4", "4/A"):
        return entry.role == "Issuer" and entry.cik in own.symbols
    return True


def _stands(
    entry: FilingEntry, own: Own, as_of: datetime, since: datetime, first: datetime
) -> bool:
    """Say whether a filing is told: public by now, and not older than its kind is told."""
    known, accepted = entry.known_at, entry.accepted_at
    if known is None or accepted is None or known > as_of:
        return False
    return known > first if entry.cik in own.symbols else accepted >= since


def _is_doubtful(entry: FilingEntry, own: Own) -> bool:
    if entry.accepted_at is None or not entry.exact:
        return True
    return entry.cik in own.symbols and entry.report_date is None


def _order(entry: FilingEntry, own: Own) -> tuple[bool, float, bool, float, str]:
    """Sort key: the run's companies, then importance, a ticker, the newest, the accession."""
    at = entry.accepted_at.timestamp() if entry.accepted_at else 0.0
    mine = any(party.cik in own.symbols for party in entry.parties) or entry.cik in own.symbols
    weight = importance(entry.form, entry.items)
    return (not mine, -weight, own.symbol(entry.cik) is None, -at, entry.accession)


def _last_close(as_of: datetime) -> datetime:
    """Give the exchange's last close before the day of a moment."""
    day = as_of.astimezone(EASTERN).date()
    return session_close(previous_session(day))
