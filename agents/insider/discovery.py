"""Which Forms 4 there are to read: the run's companies whole, the market by feed and index.

Nothing here fetches a filing. The market of a live day has some 1,500 Forms 4, so on such days one
issuer in eight stands for all, chosen by the hash of its CIK: a sample that does not depend on what
its insiders do. An index names no issuer; there the listed company among the parties is it.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from relentless.agents.base import Gap
from relentless.agents.edgar.current import current_feed
from relentless.agents.edgar.entries import FilingEntry, merged
from relentless.agents.edgar.index import daily_index
from relentless.agents.edgar.submissions import submissions
from relentless.agents.http import Source
from relentless.agents.insider.routine import YEARS
from relentless.agents.insider.signal import WINDOW
from relentless.configs.clock import EASTERN
from relentless.configs.releases import federal_holidays
from relentless.configs.sessions import is_session
from relentless.proto.errors import SourceError

FORMS: Final = frozenset({"4", "4/A"})
WHOLE_DAY: Final = 200
"""Forms 4 of a day up to which the market is read whole."""
SAMPLE: Final = 8
"""One issuer in so many stands for the market on busier days."""
INDEX_DAYS: Final = 31
"""Days of the index a run, the newest first: the whole window, so that a first run is a whole one
where its filings are not too many to read."""
LATE_DAYS: Final = 3
"""An index may come so late; the feed has the newest filings meanwhile. A refusal looks the same:
EDGAR answers 403 for a file that is not there."""
FEED_REACH: Final = timedelta(hours=12)
"""How far back the feed is read after a pause; the index has the rest."""


@dataclass(slots=True)
class Found:
    """What there is to read, and what is not known of it."""

    feed: list[FilingEntry] = field(default_factory=list)
    """What the feed wants."""
    gaps: list[Gap] = field(default_factory=list)
    histories: dict[int, list[FilingEntry]] = field(default_factory=dict)
    """All that is listed of each of the run's companies, by CIK."""
    days: dict[date, list[FilingEntry]] = field(default_factory=dict)
    """What each index that was read wants."""
    counts: dict[date, int] = field(default_factory=dict)
    """Forms 4 of each of these days, wanted or not."""
    feed_whole: bool = False
    market_whole: bool = True
    """No index of the window failed: else an issuer's other filings could lie in it."""


def in_sample(cik: int) -> bool:
    """Say whether an issuer stands for the market on busy days."""
    return place(cik) % SAMPLE == 0


def place(cik: int) -> int:
    """Give an issuer's place in the order in which issuers stand for the market."""
    return int.from_bytes(hashlib.sha256(str(cik).encode()).digest()[:8])


async def companies(data: Source, wanted: Mapping[str, int], as_of: datetime, found: Found) -> None:
    """List the Forms 4 of the run's companies since three Januaries ago."""
    since = date(as_of.astimezone(EASTERN).year - YEARS, 1, 1)

    async def one(symbol: str, cik: int) -> None:
        try:
            listed = await submissions(data, cik, since=since)
        except SourceError as error:
            found.gaps.append(Gap.of(f"submissions {symbol}", error))
            return
        known = [
            entry
            for entry in merged(listed.entries)
            if entry.form in FORMS
            and entry.filed >= since
            and entry.known_at is not None
            and entry.known_at <= as_of
        ]
        found.histories[cik] = sorted(
            known, key=lambda entry: (entry.known_at or as_of, entry.accession), reverse=True
        )

    await asyncio.gather(*(one(symbol, cik) for symbol, cik in sorted(wanted.items())))


async def feed(archive: Source, as_of: datetime, since: datetime | None, found: Found) -> None:
    """List the market's newest filings since the last run that read the feed whole."""
    reach = as_of - FEED_REACH
    first = reach if since is None else max(reach, since - timedelta(minutes=10))
    entries, gaps = await current_feed(archive, "4", as_of=as_of, since=first)
    found.feed += entries
    found.gaps += gaps
    found.feed_whole = not gaps


async def indexes(
    archive: Source,
    as_of: datetime,
    done: Mapping[date, int],
    listed: Mapping[int, str] | None,
    found: Found,
) -> None:
    """List the market's filings of the window's days that no run has been through yet.

    Args:
        archive: www.sec.gov.
        as_of: today's index is not asked for; it appears in the evening.
        done: the days that were read whole, with their number of Forms 4.
        listed: the symbols of listed companies by CIK; None where they are not known, and a busy
            day then has to wait.
        found: what is added to.
    """
    today = as_of.astimezone(EASTERN).date()
    window = (today - timedelta(days=back) for back in range(1, WINDOW.days + 1))
    days = [day for day in window if day.weekday() < 5 and day not in done][:INDEX_DAYS]

    async def one(day: date) -> None:
        try:
            rows = await daily_index(archive, day)
        except SourceError as error:
            found.gaps.append(Gap.of(f"index {day}", error))
            found.market_whole = False
            return
        if rows is None:
            if day in federal_holidays(day.year) or not is_session(day):
                found.days[day], found.counts[day] = [], 0
                return
            found.gaps.append(Gap(f"index {day}", "late", "EDGAR has no such file yet"))
            found.market_whole &= (today - day).days <= LATE_DAYS
            return
        forms4 = merged(row for row in rows if row.form in FORMS)
        if len(forms4) <= WHOLE_DAY:
            found.days[day], found.counts[day] = forms4, len(forms4)
        elif listed is not None:
            found.days[day] = [entry for entry in forms4 if _sampled(entry, listed)]
            found.counts[day] = len(forms4)

    await asyncio.gather(*(one(day) for day in days))


def _sampled(entry: FilingEntry, listed: Mapping[int, str]) -> bool:
    return any(party.cik in listed and in_sample(party.cik) for party in entry.parties)


def sample(found: Found, own: Iterable[int]) -> None:
    """Leave of the feed what stands for the market, and the run's companies."""
    kept = set(own)
    found.feed = [entry for entry in found.feed if entry.cik in kept or in_sample(entry.cik)]


def order(found: Found, as_of: datetime) -> list[FilingEntry]:
    """Put what is wanted into the order of reading, each filing once.

    First the companies' window, then the feed, the indexes from the newest day, at last the
    companies' years before.
    """
    begins = as_of - WINDOW
    listed = [entry for entries in found.histories.values() for entry in entries]
    newest = [e for e in listed if e.known_at is not None and e.known_at > begins]
    older = sorted(
        (e for e in listed if e.known_at is None or e.known_at <= begins),
        key=lambda entry: (entry.filed, entry.accession),
        reverse=True,
    )
    by_day = [e for day in sorted(found.days, reverse=True) for e in found.days[day]]
    unique: dict[str, FilingEntry] = {}
    for entry in (*newest, *found.feed, *by_day, *older):
        unique.setdefault(entry.accession, entry)
    return list(unique.values())
