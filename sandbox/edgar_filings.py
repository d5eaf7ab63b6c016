"""The filings that EDGAR in a box holds: invented, as a pure function of seed, symbols and date.

The run's companies file 8-Ks, quarterly and annual reports and proxy statements on days drawn for
each month; eight hundred further companies, invented by name, fill the feed. Forms 4 come from
``sandbox.form4``. Apple, Microsoft, IBM, JPMorgan and Exxon Mobil have their own CIKs; every other
one lies above 9,000,000, where none is assigned. Funds file nothing here. All accessions have the
prefix of one invented filer agent, so none is a real filing's.
"""

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

from relentless.configs.clock import EASTERN
from relentless.configs.releases import federal_holidays
from relentless.proto.contexts import Origin
from relentless.sandbox import form4
from relentless.sandbox.filings import Filed
from relentless.sandbox.world import World

AGENT: Final = 9_900_001
"""The invented filer agent: its number begins every accession."""
OTHERS: Final = 800
FUNDS: Final = frozenset(
    {"SPY", "QQQ", "IWM", "DIA", "TLT", "IEF", "SHY", "HYG", "LQD", "GLD", "SLV", "USO", "VTI"}
    | {"EEM", "EFA", "XLB", "XLC", "XLE", "XLF", "XLI", "XLK", "XLP", "XLRE", "XLU", "XLV", "XLY"}
)
CUTOFF: Final = time(17, 30)
"""What is accepted later is filed as of the next business day, and public at 06:00 of it."""
OPENS: Final = time(6, 0)
_KNOWN: Final = {
    "AAPL": (320193, "APPLE INC (sandbox)"),
    "MSFT": (789019, "MICROSOFT CORP (sandbox)"),
    "IBM": (51143, "INTERNATIONAL BUSINESS MACHINES CORP (sandbox)"),
    "JPM": (19617, "JPMORGAN CHASE & CO (sandbox)"),
    "XOM": (34088, "EXXON MOBIL CORP (sandbox)"),
}
_FIRST: Final = ("Amber", "Birch", "Cobalt", "Delta", "Ember", "Fjord", "Granite", "Harbor")
_SECOND: Final = ("Foods", "Energy", "Systems", "Bancorp", "Pharma", "Freight", "Metals", "Realty")
_LONG: Final = "of the United Provinces of a Country that is Found on No Map"
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


@dataclass(frozen=True, slots=True)
class Company:
    """A company in the box."""

    cik: int
    name: str
    ticker: str
    """"" for a third of the invented ones."""

    @property
    def party(self) -> tuple[str, int, str]:
        """It as the filer of a filing."""
        return ("Filer", self.cik, self.name)


def company(symbol: str) -> Company | None:
    """Give the company of a symbol; None for a fund."""
    if symbol in FUNDS:
        return None
    cik, name = _KNOWN.get(symbol, (0, f"{symbol} CORP (sandbox)"))
    return Company(cik or 9_000_000 + zlib.crc32(symbol.encode()) % 800_000, name, symbol)


@lru_cache(maxsize=1)
def others() -> tuple[Company, ...]:
    """Give the invented companies that fill the feed."""
    made = []
    for n in range(OTHERS):
        first, second = _FIRST[n % 8], _SECOND[n // 8 % 8]
        name = f"{first} {second} {n} Inc. (invented)"
        if n % 97 == 5:
            name = f"{first} {second} {n} Society {_LONG} (invented)"
        if n % 89 == 7:
            name = f"Soci\xe9t\xe9 {first} {second} {n} (invented)"
        letters = "".join(chr(65 + n // 26**power % 26) for power in (1, 0))
        ticker = "" if n % 3 == 2 else f"ZQ{chr(65 + n // 676)}{letters}"
        made.append(Company(9_850_000 + n, name, ticker))
    return tuple(made)


def is_business_day(day: date) -> bool:
    """Say whether EDGAR is open: Monday to Friday, no federal holiday."""
    return day.weekday() < 5 and day not in federal_holidays(day.year)


def filing_date(accepted_at: datetime, *, until_ten: bool = False) -> date:
    """Give the filing date of an acceptance; ``until_ten`` is for forms that keep the day."""
    local = accepted_at.astimezone(EASTERN)
    day = local.date()
    if is_business_day(day) and (until_ten or local.time() <= CUTOFF):
        return day
    return next_business_day(day)


def next_business_day(day: date) -> date:
    """Give the first business day after a day."""
    day += timedelta(days=1)
    while not is_business_day(day):
        day += timedelta(days=1)
    return day


def public_at(filed: Filed) -> datetime:
    """Give when the public can read a filing: at once, or at 06:00 of a later filing date."""
    if filed.filed <= filed.accepted_at.astimezone(EASTERN).date():
        return filed.accepted_at
    return max(filed.accepted_at, datetime.combine(filed.filed, OPENS, EASTERN))


def accession(day: date, number: int) -> str:
    """Give an accession of the invented filer agent: it tells its day of the year.

    Numbers 0 to 599 of a day are this module's, 600 to 999 those of Forms 4.
    """
    return f"{AGENT:010d}-{day.year % 100:02d}-{day.timetuple().tm_yday:03d}{number:03d}"


def day_of(accession: str) -> date | None:
    """Give the day that an accession of the invented filer agent tells."""
    agent, year, rest = accession.split("-")
    if int(agent) != AGENT or not 1 <= int(rest[:3]) <= 366:
        return None
    return date(2000 + int(year), 1, 1) + timedelta(days=int(rest[:3]) - 1)


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
