"""The filings that EDGAR in a box holds: invented, as a pure function of seed, symbols and date.

The run's companies file 8-Ks, quarterly and annual reports and proxy statements on days drawn for
each month; eight hundred further companies, invented by name, fill the feed. Forms 4 come from
``sandbox.form4``; the companies and EDGAR's calendar are those of ``sandbox.filers``.
"""

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

from relentless.configs.clock import EASTERN
from relentless.proto.contexts import Origin
from relentless.sandbox import form4
from relentless.sandbox.filers import (
    OTHERS,
    Company,
    accession,
    company,
    day_of,
    filing_date,
    is_business_day,
    next_business_day,
    others,
    public_at,
)
from relentless.sandbox.filings import Filed
from relentless.sandbox.world import World

_EIGHT_K: Final = (
    (("2.02", "9.01"), 20),
    (("5.02",), 16),
    (("8.01", "9.01"), 14),
    (("7.01", "9.01"), 14),
    (("1.01", "9.01"), 12),
    (("1.01", "2.03", "9.01"), 6),
    (("5.07",), 6),
    (("1.02",), 3),
    (("2.01", "9.01"), 3),
    (("2.06",), 1),
    (("3.01",), 2),
    (("4.01", "9.01"), 2),
    (("4.02",), 1),
)
_DAILY: Final = (("8-K", 110), ("8-K/A", 5), ("10-Q", 12), ("10-K", 4), ("DEF 14A", 5))
_FURTHER: Final = (("424B2", 30), ("40-F", 1), ("SC 13G", 10))
"""Forms that nobody here asks for: a feed of type 4 holds them all the same."""


class Docket:
    """Every filing of a world, by the day of its acceptance."""

    def __init__(self, world: World, forms4: Callable[[World, date], list[Filed]] | None = None):
        self._world = world
        self._forms4 = forms4 or form4.filed_on
        self._days: dict[date, tuple[Filed, ...]] = {}

    def accepted_on(self, day: date) -> tuple[Filed, ...]:
        """Give what is accepted on a day, the earliest first, whatever the clock says."""
        if day not in self._days:
            invented = invented_on(self._world.seed, self._world.symbols, day)
            made = [*invented, *self._forms4(self._world, day)]
            made.sort(key=lambda filed: (filed.accepted_at, filed.accession))
            self._days[day] = tuple(made)
        return self._days[day]

    def public(self, first: date, last: date) -> Iterator[Filed]:
        """Give what was accepted between two days and is public by now, the newest first."""
        now = self._world.now()
        day = min(last, self._world.today())
        while day >= first:
            for filed in reversed(self.accepted_on(day)):
                if public_at(filed) <= now:
                    yield filed
            day -= timedelta(days=1)

    def forms4(self, first: date, last: date) -> Iterator[Filed]:
        """Give the public Forms 4 accepted between two days, without working out the rest."""
        now = self._world.now()
        for n in range((min(last, self._world.today()) - first).days + 1):
            for filed in self._forms4(self._world, first + timedelta(days=n)):
                if public_at(filed) <= now:
                    yield filed

    def forms4_about(self, issuer: Company, first: date, last: date) -> list[Filed]:
        """Give the public Forms 4 about a run's company, without working out anybody else's."""
        now = self._world.now()
        made = form4.filed_about(self._world, issuer.ticker, first, last)
        return [filed for filed in made if public_at(filed) <= now]

    def find(self, accession: str) -> Filed | None:
        """Give a public filing by its accession."""
        day = day_of(accession)
        if day is None:
            return None
        return next((f for f in self.public(day, day) if f.accession == accession), None)

    def of(self, filer: Company, first: date, last: date) -> list[Filed]:
        """Give a run's company's own public filings between two days, in no order.

        Only its own days are worked out: three years of them cost less than two of the market's.
        """
        if filer.ticker not in self._world.symbols:
            return []
        now, found = self._world.now(), []
        month = first.replace(day=1)
        while month <= last:
            drawn = _month(self._world.seed, filer.ticker, month.year, month.month)
            for day in drawn:
                if first <= day <= last:
                    mine = _own(self._world.seed, self._world.symbols, day)
                    found += [
                        f for f in mine if f.parties[0][1] == filer.cik and public_at(f) <= now
                    ]
            month = (month + timedelta(days=31)).replace(day=1)
        return found

    def companies(self) -> list[Company]:
        """Give the run's companies and the invented ones."""
        own = [made for symbol in self._world.symbols if (made := company(symbol))]
        return [*own, *others()]


@lru_cache(maxsize=4_096)
def invented_on(seed: int, symbols: tuple[str, ...], day: date) -> tuple[Filed, ...]:
    """Give the invented filings that are accepted on a day, other than Forms 4."""
    if not is_business_day(day):
        return ()
    made = list(_own(seed, symbols, day))
    draw = random.Random(f"{seed}:edgar:{day}")  # noqa: S311 - nothing secret
    for form, count in (*_DAILY, *_FURTHER):
        for _ in range(count + draw.randrange(count // 4 + 1)):
            filer = others()[draw.randrange(OTHERS)]
            items = _items(draw) if form.startswith("8-K") else ()
            made.append(_filed(filer, form, items, _time(draw, day), day, len(made)))
    return tuple(made)


@lru_cache(maxsize=16_384)
def _own(seed: int, symbols: tuple[str, ...], day: date) -> tuple[Filed, ...]:
    """Give what the run's companies file on a day; the first numbers of the day are theirs."""
    made: list[Filed] = []
    for symbol in symbols:
        filer = company(symbol)
        if filer is None:
            continue
        for form, items, at in _month(seed, symbol, day.year, day.month).get(day, ()):
            made.append(_filed(filer, form, items, at, day, len(made)))
    return tuple(made)


_Drawn = dict[date, tuple[tuple[str, tuple[str, ...], datetime], ...]]


@lru_cache(maxsize=4_096)
def _month(seed: int, symbol: str, year: int, month: int) -> _Drawn:
    """Draw what a company files in a month."""
    draw = random.Random(f"{seed}:edgar:{symbol}:{year}-{month}")  # noqa: S311
    first = date(year, month, 1)
    days = [d for n in range(31) if (d := first + timedelta(days=n)).month == month]
    days = [day for day in days if is_business_day(day)]
    chosen = [("8-K", _items(draw), draw.choice(days)) for _ in range(draw.choice((1, 2, 2, 3)))]
    if month in (1, 4, 7, 10):
        chosen.append(("8-K", ("2.02", "9.01"), draw.choice(days[9:])))
    if month in (5, 8, 11):
        chosen.append(("10-Q", (), draw.choice(days[:8])))
    if month == 2:
        chosen.append(("10-K", (), draw.choice(days[8:])))
    if month == 3:
        chosen.append(("DEF 14A", (), draw.choice(days[8:])))
    drawn: _Drawn = {}
    for form, items, day in chosen:
        drawn[day] = (*drawn.get(day, ()), (form, items, _time(draw, day)))
    return drawn


def _items(draw: random.Random) -> tuple[str, ...]:
    choices, weights = zip(*_EIGHT_K, strict=True)
    picked: tuple[str, ...] = draw.choices(choices, weights)[0]
    return picked


def _time(draw: random.Random, day: date) -> datetime:
    """Draw a time of acceptance: mornings, the hour and a half after the close, evenings."""
    opens, closes = draw.choices(((6, 9.5), (9.5, 16), (16, 17.5), (17.5, 21.9)), (25, 25, 40, 10))[
        0
    ]
    seconds = int(draw.uniform(opens, closes) * 3600)
    return datetime.combine(day, time(), EASTERN) + timedelta(seconds=seconds)


def _filed(
    filer: Company, form: str, items: tuple[str, ...], at: datetime, day: date, number: int
) -> Filed:
    text = (
        f"<html><body><p>Invented for a sandbox: no filing of any company.</p>"
        f"<p>{form} {', '.join(items)}</p></body></html>"
    )
    parties = (filer.party,)
    return Filed(
        accession=accession(day, number),
        form=form,
        accepted_at=at,
        filed=filing_date(at),
        parties=parties,
        items=items,
        document=text.encode(),
        origin=Origin.SYNTHETIC,
    )


def results_filed_at(seed: int, symbol: str, year: int, month: int) -> datetime | None:
    """Give when a company files its results (8-K item 2.02) in a month, from the tenth day on.

    For the calendars, which expect the report there; None for a month without one.
    """
    drawn = _month(seed, symbol, year, month)
    first = next(n for n in range(1, 8) if is_business_day(date(year, month, n)))
    tenth = date(year, month, first)
    for _ in range(9):
        tenth = next_business_day(tenth)
    found = [
        at
        for day, filed in drawn.items()
        if day >= tenth
        for _, items, at in filed
        if "2.02" in items
    ]
    return min(found, default=None)
