"""Read two earnings calendars and EDGAR as of a moment: one message for each report.

Nasdaq is asked once for each of the sessions ahead, Alpha Vantage once for three months, EDGAR once
for each company of the run. What they say is joined (``reconcile``), held against what was said
before (``ledger``) and told. The rules: docs/agents/earnings.md.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import ClassVar, Final

from relentless.agents.base import Agent, Collected, Gap, Run
from relentless.agents.earnings import alphavantage, ledger, nasdaq
from relentless.agents.earnings.facts import LOOK_BACK_DAYS, read_facts
from relentless.agents.earnings.ledger import Entry, Ledger, Version
from relentless.agents.earnings.reconcile import Expected, reconcile, trading_days
from relentless.agents.earnings.rows import Row
from relentless.agents.http import Answer
from relentless.configs.clock import EASTERN
from relentless.configs.sessions import is_session, next_session
from relentless.proto.contexts import EarningsCalendar, Topic
from relentless.proto.errors import InvalidInput, RelentlessError
from relentless.proto.messages import ContextMessage, Evidence

HORIZON: Final = 10
"""Sessions ahead that are asked for, after the run's own day."""
LARGEST: Final = 25
"""Companies that are told beside the run's own, the largest by market capitalisation."""
TOLD_DAYS: Final = LOOK_BACK_DAYS
"""A report that was cancelled or made is told for this long."""
VALID_DAYS: Final = 7
"""A message stands for this many days after its own: a silent agent's dates expire."""
AT_ONCE: Final = 3
FIRST_RUN: Final = time(5, 5)


@dataclass
class Calendars:
    """What the calendars said in one run."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {nasdaq.SOURCE: []})
    """By calendar, the most believed first."""
    answers: dict[tuple[str, date | None], Answer] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    gaps: list[Gap] = field(default_factory=list)

    def evidence(self, found: Expected) -> tuple[Evidence, ...]:
        """Give the evidence of a report: the answers that named it."""
        keys = [(nasdaq.SOURCE, found.report_date), (nasdaq.SOURCE, found.other_date)]
        keys.append((alphavantage.SOURCE, None))
        return tuple(
            self.answers[key].evidence(f"{key[0]} earnings calendar")
            for key in keys
            if key[0] in found.sources and key in self.answers
        )


class EarningsAgent(Agent):
    """Earnings dates from Nasdaq and Alpha Vantage, reports from EDGAR."""

    name: ClassVar[str] = "EarningsAgent"
    command: ClassVar[str] = "earnings"
    topic: ClassVar[Topic] = Topic.EARNINGS_CALENDAR
    schedule: ClassVar[tuple[str, ...]] = ("05:05", "16:30")
    timeout_s: ClassVar[float] = 180.0

    async def collect(self, run: Run) -> Collected:
        """Read calendars and filings; what one source fails to say the others still do."""
        today = run.as_of.astimezone(EASTERN).date()
        path = ledger.path_of(run.state, run.identity(nasdaq.SOURCE))
        kept = await asyncio.to_thread(ledger.load, path)
        if (keys := kept.said.get(ledger.moment(run.as_of))) is not None:
            return self._told(run, kept.until(run.as_of), keys, [])
        ahead, gaps = days_ahead(today)
        own = frozenset(run.settings.predictor.symbols)
        calendars, (facts, lost) = await asyncio.gather(
            self._calendars(run, today, ahead), read_facts(run, own)
        )
        gaps += [*calendars.gaps, *lost]
        then = kept.until(run.as_of)
        last = ahead[-1] if ahead else today
        confirmed = _take_down(then, calendars, run.as_of, today, last, own)
        for fact in facts:
            then.report(fact, run.as_of)
        keys = tuple(key for key in then.entries if _told_now(then, key, confirmed, run, last))
        if not gaps:
            then.said[ledger.moment(run.as_of)] = keys
        if not _seen_later(kept, run.as_of):
            await asyncio.to_thread(ledger.keep, path, then, today)
        return self._told(run, then, keys, gaps)

    async def _calendars(self, run: Run, today: date, ahead: list[date]) -> Calendars:
        """Ask both calendars, unless the day that they would speak of is over."""
        calendars = Calendars()
        if run.clock.now().astimezone(EASTERN).date() > today:
            detail = "calendars do not say what they said on an earlier day"
            calendars.gaps.append(Gap("calendars", "another_day", detail))
            return calendars
        await asyncio.gather(
            self._nasdaq(run, ahead, calendars), self._alphavantage(run, calendars)
        )
        return calendars

    async def _nasdaq(self, run: Run, ahead: list[date], calendars: Calendars) -> None:
        source = run.source(nasdaq.SOURCE)
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(day: date) -> tuple[nasdaq.Day, Answer] | Exception:
            async with slots:
                try:
                    return await nasdaq.ask(source, day)
                except Exception as error:
                    return error

        results = await asyncio.gather(*(one(day) for day in ahead))
        failed: dict[str, list[str]] = {}
        refused = 0
        for day, result in zip(ahead, results, strict=True):
            if isinstance(result, Exception):
                gap = Gap.of(nasdaq.SOURCE, result)
                failed.setdefault(gap.reason, []).append(f"{day}: {gap.detail}")
                continue
            said, answer = result
            if said.absent:
                failed.setdefault("empty", []).append(f"{day}: data is null on a session")
            refused += said.refused
            calendars.rows[nasdaq.SOURCE].extend(said.rows)
            calendars.answers[nasdaq.SOURCE, day] = answer
        for reason, days in failed.items():
            detail = f"{len(days)} of {len(ahead)} days; {days[0]}"[:200]
            calendars.gaps.append(Gap(nasdaq.SOURCE, reason, detail))
        if refused:
            calendars.gaps.append(Gap(nasdaq.SOURCE, "rows", f"{refused} rows cannot be read"))
        elif not failed:
            calendars.whole.add(nasdaq.SOURCE)

    async def _alphavantage(self, run: Run, calendars: Calendars) -> None:
        name = alphavantage.SOURCE
        try:
            table, answer = await alphavantage.ask(run.source(name, key_param="apikey"))
        except RelentlessError as error:
            calendars.gaps.append(Gap.of(name, error))
            return
        calendars.rows[name] = list(table.rows)
        calendars.answers[name, None] = answer
        if table.refused:
            calendars.gaps.append(Gap(name, "rows", f"{table.refused} rows cannot be read"))
        else:
            calendars.whole.add(name)

    def _told(self, run: Run, book: Ledger, keys: Iterable[str], gaps: list[Gap]) -> Collected:
        messages = []
        for key in sorted(keys):
            entry = book.entries.get(key)
            if entry is None or (version := entry.at(run.as_of)) is None:
                continue
            ahead: int | None = None
            if version.status in ("expected", "moved"):
                try:
                    today = run.as_of.astimezone(EASTERN).date()
                    ahead = trading_days(today, version.report_date)
                except InvalidInput as error:
                    gaps.append(Gap(key, "exchange_table", str(error)))
            messages.append(self._message(run, entry, version, ahead))
        return Collected(tuple(messages), tuple(gaps))

    def _message(
        self, run: Run, entry: Entry, version: Version, ahead: int | None
    ) -> ContextMessage:
        """Write a report's message; the same all day long until something changes."""
        today = run.as_of.astimezone(EASTERN).date()
        if version.status in ("expected", "moved"):
            morning = min(datetime.combine(today, FIRST_RUN, EASTERN), run.as_of)
            known_at = max(version.seen_at, morning)
            observed_at = version.seen_at
        else:
            known_at = version.known_at or version.seen_at
            observed_at = version.reported_at or version.seen_at
        return self.compose(
            run,
            EarningsCalendar(
                symbol=entry.symbol,
                report_date=version.report_date,
                when=version.when,
                fiscal_quarter=entry.fiscal_quarter,
                eps_estimate=version.eps_estimate,
                status=version.status,
                trading_days_ahead=ahead,
                confidence=version.confidence,
                other_date=version.other_date,
                previous_report_date=version.previous_report_date,
                revisions=version.revisions,
                first_seen_at=None if version.status == "reported" else version.seen_at,
                reported_at=version.reported_at,
                accession=version.accession,
                sources=version.sources,
            ),
            known_at=known_at,
            observed_at=observed_at,
            expires_at=datetime.combine(
                known_at.astimezone(EASTERN).date() + timedelta(days=_valid_days(version) + 1),
                time(),
                EASTERN,
            ),
            evidence=version.evidence,
        )


def days_ahead(today: date) -> tuple[list[date], list[Gap]]:
    """Give the sessions to ask for: the run's own day, where it is one, and the ten after it."""
    days: list[date] = []
    try:
        if is_session(today):
            days.append(today)
        day = today
        for _ in range(HORIZON):
            day = next_session(day)
            days.append(day)
    except InvalidInput as error:
        return days, [Gap("trading days", "exchange_table", str(error))]
    return days, []


def _take_down(
    book: Ledger,
    calendars: Calendars,
    as_of: datetime,
    today: date,
    last: date,
    own: frozenset[str],
) -> frozenset[str]:
    """Hold what the calendars say against the book; give the keys that they confirm."""
    found = [item for item in reconcile(calendars.rows) if item.report_date >= today]
    near = [item for item in found if item.report_date <= last]
    others = (item for item in near if item.symbol not in own)
    sized = [(-item.market_cap, item.symbol) for item in others if item.market_cap is not None]
    whole = frozenset(calendars.whole)
    largest = sorted(sized)[:LARGEST] if nasdaq.SOURCE in whole else []  # a part ranks nothing
    chosen = own | {symbol for _, symbol in largest}
    confirmed: set[str] = set()
    named: set[str] = set()
    for item in found:
        known = book.keys_of(item)
        if known is not None:
            named.add(known)
        elif item.report_date > last or item.symbol not in chosen:
            continue
        entry = book.expect(item, as_of, whole, calendars.evidence(item))
        if entry is not None:
            named.add(entry.key)
            confirmed.add(entry.key)
    book.cancel(frozenset(named), whole, as_of, today, last)
    return frozenset(confirmed)


def _told_now(book: Ledger, key: str, confirmed: frozenset[str], run: Run, last: date) -> bool:
    """Say whether a run tells of a report: what was confirmed and is near, and what has changed."""
    version = book.entries[key].versions[-1]
    recent = run.as_of - version.seen_at <= timedelta(days=TOLD_DAYS)
    if version.status in ("cancelled", "reported"):
        return recent
    if key not in confirmed:
        return False
    return version.report_date <= last or (version.status == "moved" and recent)


def _seen_later(kept: Ledger, as_of: datetime) -> bool:
    """Say whether later runs are in the ledger: a run repeated for the past changes nothing."""
    return any(entry.versions[-1].seen_at > as_of for entry in kept.entries.values())


def _valid_days(version: Version) -> int:
    """Give how many days a message stands; one that hides an older date outlives that date's."""
    return VALID_DAYS if version.status in ("expected", "moved") else TOLD_DAYS + VALID_DAYS
