"""Invented news: the stories that every news service of the box tells in its own format.

A pure function of (seed, day, symbols): twenty-six stories on a weekday and eight on a day of the
weekend, over the run's symbols and the market's topics, each with the sentiment that it is meant to
have. Most are told by several publishers, in other words, and some are edited later in the day.
Every summary ends with "(an invented story)", the headlines of services that give no summary end
with "(invented)", and no person in them exists.

An edit falls between the half hours, so that a run of the agent a few minutes late reads what one
in time would have read. Only those formats that date an edit show it.
"""

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal

from relentless.configs.clock import EASTERN

LABEL: Final = "(an invented story)"
SHORT_LABEL: Final = "(invented)"
HEADLINES_ONLY: Final = ("bloomberg", "reuters")
PUBLISHERS: Final = ("alpaca", "cnbc", "wsj", "ft", "bloomberg", "reuters")
WEEKDAY: Final = 26
WEEKEND: Final = 8

Intended = Literal["positive", "neutral", "negative"]

_NAMES: Final = {
    "IBM": "IBM", "AAPL": "Apple", "MSFT": "Microsoft", "JPM": "JPMorgan", "XOM": "Exxon Mobil",
    "GOOG": "Google", "GOOGL": "Alphabet", "AMZN": "Amazon", "META": "Meta", "TSLA": "Tesla",
    "NVDA": "Nvidia", "BAC": "Bank of America", "GS": "Goldman Sachs", "CVX": "Chevron",
    "INTC": "Intel", "KO": "Coca-Cola", "WMT": "Walmart", "DIS": "Disney", "BA": "Boeing",
}  # fmt: skip
_FUNDS: Final = {"SPY", "XLF", "TLT", "QQQ", "IWM", "DIA", "XLE", "XLK", "GLD", "HYG", "LQD"}

_COMPANY: Final[tuple[tuple[Intended, str, str, str], ...]] = (
    ("positive", "{c} quarterly profit beats estimates as {u} sales rise {n}%",
     "{c} profit beats quarterly estimates, {u} sales rise {n}%",
     "{c} beats estimates with quarterly profit as sales of {u} rise {n}%"),
    ("negative", "{c} cuts full-year revenue forecast by {n}% on weak {u} demand",
     "{c} cuts revenue forecast for the full year by {n}%, citing weak {u} demand",
     "Weak {u} demand makes {c} cut full-year revenue forecast by {n}%"),
    ("positive", "{c} raises dividend by {n}% and expands buyback after strong {u} quarter",
     "{c} raises its dividend {n}% and expands buyback following strong {u} quarter",
     "{c} expands buyback, raises dividend {n}% after strong quarter for {u}"),
    ("negative", "Regulators open probe into {c} {u} billing, {n} customers affected",
     "Probe into {c} {u} billing opened by regulators; {n} customers affected",
     "Regulators open a probe of {u} billing at {c} that affected {n} customers"),
    ("positive", "{c} wins ${n} million {u} contract in record deal",
     "{c} wins record {u} contract worth ${n} million",
     "{c} wins a ${n} million contract for {u}, a record deal"),
    ("negative", "{c} recalls {n} {u} units after safety complaints",
     "{c} recalls {n} units of its {u} after complaints about safety",
     "Safety complaints lead {c} to recall {n} {u} units"),
    ("neutral", "{c} to present {u} plans at investor conference in room {n}",
     "{c} will present its {u} plans at an investor conference in room {n}",
     "{c} to present plans for {u} at conference for investors in room {n}"),
    ("neutral", "{c} names Dana Ellery head of {u} in {n}-person reshuffle",
     "Dana Ellery named head of {u} at {c} in {n}-person reshuffle",
     "{c} names Dana Ellery as {u} head, reshuffle of {n}-person unit"),
)  # fmt: skip
_MARKET: Final[tuple[tuple[Intended, str, str, str], ...]] = (
    ("positive", "Wall Street climbs {n}% as upbeat jobs figures calm recession fears",
     "Wall Street climbs {n}%, upbeat jobs figures calm fears of recession",
     "Wall Street climbs {n}% as jobs figures calm recession fears"),
    ("negative", "Wall Street tumbles {n}% as budget standoff in Washington rattles investors",
     "Wall Street tumbles {n}%, Washington budget standoff rattles investors",
     "Budget standoff in Washington rattles investors as Wall Street tumbles {n}%"),
    ("neutral", "Federal Reserve minutes show officials split over timing, {n} of them undecided",
     "Federal Reserve minutes: officials split over timing and {n} undecided",
     "Federal Reserve officials split over timing, minutes show, {n} undecided"),
    ("negative", "Treasury yields jump {n} basis points after weak auction hurts bonds",
     "Treasury yields jump {n} basis points, weak auction hurts bonds",
     "Treasury yields jump {n} basis points as bonds hurt by weak auction"),
    ("positive", "Bank lending grows {n}% in quarter and loan losses shrink to record low",
     "Bank lending grows {n}% in the quarter; loan losses shrink to a record low",
     "Bank loan losses shrink to record low, lending grows {n}% in quarter"),
    ("negative", "Factory orders drop {n}% in sharpest decline of the year",
     "Factory orders drop {n}%, the sharpest decline this year",
     "Factory orders drop {n}%: sharpest decline in a year"),
    ("neutral", "Oil inventories little changed at {n} million barrels, agency reports",
     "Oil inventories are little changed at {n} million barrels, says agency",
     "Oil inventories little changed with {n} million barrels: agency"),
)  # fmt: skip
_UNITS: Final = (
    *("cloud", "software", "hardware", "lending", "refining", "services", "licensing"),
    *("retail", "logistics", "consulting", "storage", "payments"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """A copy of a story by one publisher."""

    publisher: str
    at: datetime
    headline: str
    summary: str
    number: int
    """Of the copy: its id with the publisher."""
    edited_at: datetime | None = None
    edited_headline: str = ""
    edited_summary: str = ""

    def headline_at(self, now: datetime) -> str:
        """Give the headline as it reads at a moment."""
        return self.edited_headline if self._edited(now) else self.headline

    def summary_at(self, now: datetime) -> str:
        """Give the summary as it reads at a moment."""
        return self.edited_summary if self._edited(now) else self.summary

    def updated_at(self, now: datetime) -> datetime | None:
        """Give when the copy was edited, once it was."""
        return self.edited_at if self._edited(now) else None

    def _edited(self, now: datetime) -> bool:
        return self.edited_at is not None and self.edited_at <= now


@dataclass(frozen=True, slots=True)
class InventedStory:
    """A story, its copies (the earliest first), and what it is meant to say."""

    day: date
    number: int
    symbol: str | None
    """None where it is about the market."""
    intended: Intended
    copies: tuple[Told, ...]

    @property
    def at(self) -> datetime:
        """When its earliest copy was published."""
        return self.copies[0].at


@lru_cache(maxsize=64)
def stories_of(seed: int, day: date, symbols: tuple[str, ...]) -> tuple[InventedStory, ...]:
    """Give the stories of a day in New York, the earliest first."""
    draw = random.Random(f"{seed}:news:{day}")  # noqa: S311 - nothing secret
    count = WEEKDAY if day.weekday() < 5 else WEEKEND
    companies = [symbol for symbol in symbols if symbol not in _FUNDS]
    subjects: list[tuple[str | None, int]] = [(None, n) for n in range(len(_MARKET))]
    subjects += [(symbol, n) for symbol in companies for n in range(len(_COMPANY))]
    # One wording a day for each subject, and never the numbers of the days beside it: two stories
    # that differ in nothing would be one.
    chosen = draw.sample(subjects, min(count, len(subjects)))
    minutes = sorted(_minute(draw) for _ in chosen)
    return tuple(
        _story(draw, day, number, minute, symbol, template)
        for number, (minute, (symbol, template)) in enumerate(zip(minutes, chosen, strict=True))
    )


def told_by(
    seed: int, symbols: tuple[str, ...], publisher: str, now: datetime, days: int = 3
) -> list[Told]:
    """Give a publisher's copies of the last days that are out by now, the newest first."""
    today = now.astimezone(EASTERN).date()
    told = [
        copy
        for back in range(days + 1)
        for story in stories_of(seed, today - timedelta(days=back), symbols)
        for copy in story.copies
        if copy.publisher == publisher and copy.at <= now
    ]
    return sorted(told, key=lambda copy: (copy.at, copy.number), reverse=True)


def symbols_of(seed: int, symbols: tuple[str, ...], copy: Told) -> tuple[str, ...]:
    """Give the tickers that a source would attach to a copy."""
    day = copy.at.astimezone(EASTERN).date()
    for near in (day, day - timedelta(days=1)):
        for story in stories_of(seed, near, symbols):
            if copy in story.copies:
                return (story.symbol,) if story.symbol else ()
    return ()


def _minute(draw: random.Random) -> int:
    """Draw a minute of the day: most news comes between six in the morning and six at night."""
    if draw.random() < 0.8:
        return draw.randrange(6 * 60, 18 * 60)
    return draw.randrange(23 * 60)


def _story(
    draw: random.Random, day: date, number: int, minute: int, symbol: str | None, template: int
) -> InventedStory:
    intended, *wordings = (_COMPANY if symbol else _MARKET)[template]
    name = _NAMES.get(symbol, symbol) if symbol else ""
    figure = 3 * draw.randrange(1, 10) + day.toordinal() % 3
    filled = {"c": name, "u": draw.choice(_UNITS), "n": figure}
    first = datetime.combine(day, time(minute // 60, minute % 60), EASTERN).astimezone(UTC)
    tellers = draw.sample(PUBLISHERS, draw.choices((1, 2, 3), (45, 35, 20))[0])
    copies = []
    for place, publisher in enumerate(tellers):
        at = first if place == 0 else first + timedelta(minutes=draw.randrange(4, 55))
        wording = wordings[place % len(wordings)]
        copies.append(_told(draw, publisher, at, wording.format(**filled), (day, number, place)))
    # Alpaca has a story now and then under two ids.
    if tellers[0] == "alpaca" and draw.random() < 0.3:
        at = first + timedelta(minutes=draw.randrange(1, 9))
        copies.append(
            _told(draw, "alpaca", at, wordings[0].format(**filled), (day, number, len(tellers)))
        )
    copies.sort(key=lambda copy: (copy.at, copy.number))
    return InventedStory(day, number, symbol, intended, tuple(copies))


def _told(
    draw: random.Random,
    publisher: str,
    at: datetime,
    headline: str,
    place: tuple[date, int, int],
) -> Told:
    day, number, copy = place
    own = (day.toordinal() - 700_000) * 1_000 + number * 10 + copy
    summary = f"{headline}. {LABEL}"
    if publisher in HEADLINES_ONLY:
        headline = f"{headline} {SHORT_LABEL}"
    if draw.random() >= 0.4:
        return Told(publisher, at, headline, summary, own)
    edited = _between_half_hours(at + timedelta(minutes=draw.randrange(40, 300)), draw)
    return Told(
        publisher,
        at,
        headline,
        summary,
        own,
        edited_at=edited,
        edited_headline=f"{headline} (corrected)",
        edited_summary=f"Corrected to name the quarter. {summary}",
    )


def _between_half_hours(moment: datetime, draw: random.Random) -> datetime:
    """Move a moment to a minute that lies well after one run and before the next."""
    begins = moment.replace(minute=30 * (moment.minute // 30))
    return begins + timedelta(minutes=draw.randrange(15, 25))
