"""Read insiders' open-market trades from EDGAR as of a moment: one message for each issuer.

A run lists the Forms 4 that it does not know yet (``discovery``), reads a bounded number of them
(``filings``), keeps what they say (``shelf``), and says each issuer's signal over the last 30 days
(``signal``). The rules: docs/agents/insider.md.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from typing import ClassVar, Final

from relentless.agents.base import Agent, Collected, Gap, Run
from relentless.agents.edgar.access import ARCHIVE, DATA, edgar_source
from relentless.agents.edgar.entries import FilingEntry
from relentless.agents.edgar.tickers import Tickers, company_tickers
from relentless.agents.http import Source
from relentless.agents.insider import discovery
from relentless.agents.insider.discovery import Found
from relentless.agents.insider.filings import read_filings
from relentless.agents.insider.naming import named
from relentless.agents.insider.routine import YEARS, year_begins
from relentless.agents.insider.shelf import Progress, Shelf
from relentless.agents.insider.signal import WINDOW, Signal, issuer_signal
from relentless.agents.insider.trades import Report
from relentless.configs.clock import EASTERN
from relentless.proto.contexts import Insider, Origin, Topic
from relentless.proto.errors import InvalidSettings, SourceError
from relentless.proto.messages import ContextMessage, Evidence

MAX_DOCUMENTS: Final = 400
"""Filings read a run: at EDGAR's rate less than a minute."""
MAX_ISSUERS: Final = 500
"""Messages a run, beside the run's own companies."""
MAX_EVIDENCE: Final = 8
MAX_ACCESSIONS: Final = 20


class InsiderAgent(Agent):
    """Open-market purchases and sales of insiders, from EDGAR's Forms 4."""

    name: ClassVar[str] = "InsiderAgent"
    command: ClassVar[str] = "insider"
    topic: ClassVar[Topic] = Topic.INSIDER
    schedule: ClassVar[tuple[str, ...]] = ("05:00", "07:55", "09:15", "0 10-22 * * mon-fri")
    timeout_s: ClassVar[float] = 600.0

    async def collect(self, run: Run) -> Collected:
        """Read what is new, and say the signal of every issuer with a trade in the window."""
        try:
            archive, data = edgar_source(run, ARCHIVE), edgar_source(run, DATA)
        except InvalidSettings as error:
            return Collected(gaps=(Gap.of("EDGAR", error),))
        shelf = Shelf(run.state, run.identity(ARCHIVE))
        kept = await asyncio.to_thread(shelf.reports)
        progress = await asyncio.to_thread(shelf.progress)
        found = Found()
        tickers = await _tickers(archive, found)
        own = _own(run, tickers, kept.values())
        listed = None if tickers is None else tickers.symbols
        await asyncio.gather(
            discovery.companies(data, own, run.as_of, found),
            discovery.feed(archive, run.as_of, progress.feed_read_to, found),
            discovery.indexes(archive, run.as_of, progress.days, listed, found),
        )
        counts = {**progress.days, **found.counts}
        sampled = max(counts.values(), default=0) > discovery.WHOLE_DAY
        if sampled:
            discovery.sample(found, own.values())
        wanted = discovery.order(found, run.as_of)
        unread = [entry for entry in wanted if entry.accession not in kept]
        read, lost = await read_filings(archive, unread[:MAX_DOCUMENTS])
        kept |= {report.accession: report for report in read}
        await asyncio.to_thread(_keep, shelf, run.as_of, read, progress, found, kept)
        names, unnamed = named(kept.values(), own, listed, run.as_of)
        partly = _partly_read(wanted, kept, run.as_of)
        symbols = run.settings.predictor.symbols
        chosen = [
            cik
            for cik in _chosen(names, own.values(), sampled=sampled)
            if cik not in partly
            and (cik in found.histories if names[cik] in symbols else found.market_whole)
        ]
        signals = await asyncio.to_thread(_signals, kept.values(), chosen, run.as_of)
        messages = [
            self._message(run, names[cik], signal, kept, _history(found, cik, kept, run.as_of))
            for cik, signal in signals.items()
        ]
        left = _left(read, len(unread) - MAX_DOCUMENTS)
        return Collected(tuple(messages), (*found.gaps, *lost, *unnamed, *left))

    def _message(
        self,
        run: Run,
        symbol: str,
        signal: Signal,
        kept: Mapping[str, Report],
        history_years: int | None,
    ) -> ContextMessage:
        accessions = list(dict.fromkeys(a for trade in signal.trades for a in trade.accessions))
        reports = [kept[accession] for accession in accessions]
        bought, sold = signal.value(purchase=True), signal.value(purchase=False)
        context = Insider(
            symbol=symbol,
            score=signal.score,
            cik=signal.issuer_cik,
            net_value=round(bought - sold, 2),
            buyers=signal.insiders(purchase=True),
            sellers=signal.insiders(purchase=False),
            accessions=tuple(accessions[:MAX_ACCESSIONS]),
            summary=_summary(signal),
            issuer=reports[0].issuer_name if reports else None,
            window_days=WINDOW.days,
            buy_value=round(bought, 2),
            sell_value=round(sold, 2),
            plan_buy_value=round(signal.value(purchase=True, plan=True), 2),
            plan_sell_value=round(signal.value(purchase=False, plan=True), 2),
            opportunistic=signal.chosen("opportunistic"),
            unclassified=signal.chosen("unclassified"),
            routine=signal.chosen("routine"),
            cluster=signal.cluster,
            first_known_at=signal.trades[-1].known_at if signal.trades else None,
            last_known_at=signal.trades[0].known_at if signal.trades else None,
            history_years=history_years,
        )
        newest = max((trade.row.day for trade in signal.trades), default=None)
        return self.compose(
            run,
            context,
            known_at=signal.changed_at,
            observed_at=None if newest is None else datetime.combine(newest, time(), EASTERN),
            expires_at=signal.ends_at,
            evidence=[_evidence(report) for report in reports[:MAX_EVIDENCE]],
        )


def _partly_read(
    wanted: Iterable[FilingEntry], kept: Mapping[str, Report], as_of: datetime
) -> set[int]:
    """Give the parties of the window's filings that could not be read: half a score is none."""
    begins = as_of - WINDOW
    return {
        cik
        for entry in wanted
        if entry.accession not in kept and (entry.known_at is None or entry.known_at > begins)
        for cik in (entry.cik, *(party.cik for party in entry.parties))
    }


def _left(read: Iterable[Report], unread: int) -> list[Gap]:
    """Name the rows that this run read and could not count, and the filings left unread."""
    odd = sorted((report.accession, report.left_out) for report in read if report.left_out)
    gaps = []
    if odd:
        rows, named = sum(count for _, count in odd), ", ".join(number for number, _ in odd[:5])
        gaps.append(Gap("Forms 4", "rows_left_out", f"{rows} rows of {len(odd)}: {named}"))
    if unread > 0:
        gaps.append(Gap("Forms 4", "unread", f"{unread} are left for the next runs"))
    return gaps


async def _tickers(archive: Source, found: Found) -> Tickers | None:
    try:
        return await company_tickers(archive)
    except SourceError as error:
        found.gaps.append(Gap.of("company tickers", error))
        return None


def _own(run: Run, tickers: Tickers | None, kept: Iterable[Report]) -> dict[str, int]:
    """Give the CIKs of the run's symbols; from what is kept where EDGAR's table is not had."""
    symbols = run.settings.predictor.symbols
    if tickers is not None:
        return {symbol: tickers.ciks[symbol] for symbol in symbols if symbol in tickers.ciks}
    known = {
        report.symbol: report.issuer_cik
        for report in sorted(kept, key=lambda report: report.known_at)
        if report.symbol in symbols and report.known_at <= run.as_of
    }
    return {symbol: cik for symbol, cik in known.items() if symbol is not None}


def _keep(
    shelf: Shelf,
    as_of: datetime,
    read: list[Report],
    progress: Progress,
    found: Found,
    kept: Mapping[str, Report],
) -> None:
    """Keep what was read, and the days whose filings are all read."""
    shelf.add(read)
    shelf.prune(kept, as_of)
    whole = {
        day: found.counts[day]
        for day, entries in found.days.items()
        if all(entry.accession in kept for entry in entries)
    }
    since = (as_of - 2 * WINDOW).date()
    days = {day: count for day, count in {**progress.days, **whole}.items() if day >= since}
    feed_done = found.feed_whole and all(entry.accession in kept for entry in found.feed)
    shelf.keep_progress(Progress(days, as_of if feed_done else progress.feed_read_to))


def _chosen(names: Mapping[int, str], own: Iterable[int], *, sampled: bool) -> list[int]:
    """Give the issuers that are told: the run's, and those that stand for the market."""
    first = [cik for cik in own if cik in names]
    others = [cik for cik in names if cik not in first]
    if sampled:
        others = [cik for cik in others if discovery.in_sample(cik)]
    return sorted({*first, *sorted(others, key=discovery.place)[:MAX_ISSUERS]})


def _signals(
    reports: Iterable[Report], chosen: Iterable[int], as_of: datetime
) -> dict[int, Signal]:
    """Work out the signals, by CIK; issuers without a trade in the window have none."""
    wanted = set(chosen)
    by_issuer: dict[int, list[Report]] = {}
    for report in reports:
        if report.issuer_cik in wanted and (report.rows or report.amends):
            by_issuer.setdefault(report.issuer_cik, []).append(report)
    found = {cik: issuer_signal(by_issuer[cik], as_of) for cik in sorted(by_issuer)}
    return {cik: signal for cik, signal in found.items() if signal is not None}


def _history(found: Found, cik: int, kept: Mapping[str, Report], as_of: datetime) -> int | None:
    """Count the whole years before this one whose filings are all read."""
    if cik not in found.histories:
        return None
    missing = [entry for entry in found.histories[cik] if entry.accession not in kept]
    year = as_of.astimezone(EASTERN).year
    newest = max((_known(entry) for entry in missing), default=datetime.min.replace(tzinfo=UTC))
    return sum(newest < year_begins(year - back) for back in range(1, YEARS + 1))


def _known(entry: FilingEntry) -> datetime:
    return entry.known_at or datetime.max.replace(tzinfo=UTC)


def _summary(signal: Signal) -> str:
    if not signal.trades:
        return "Every trade reported within the window was taken back by an amendment."
    bought, sold = signal.value(purchase=True), signal.value(purchase=False)
    planned = signal.value(purchase=False, plan=True)
    return (
        f"{signal.insiders(purchase=True)} bought ${bought:,.0f}, "
        f"{signal.insiders(purchase=False)} sold ${sold:,.0f}, ${planned:,.0f} sold under plans"
        + ("; a cluster of purchases" if signal.cluster else "")
    )


def _evidence(report: Report) -> Evidence:
    return Evidence(
        source=f"EDGAR Form {report.form} {report.accession}",
        url=report.url or None,
        sha256=report.sha256 or None,
        upstream_timestamp=report.known_at.isoformat(),
        origin=Origin(report.origin),
    )
