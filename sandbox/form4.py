"""Invented Forms 4, in the shapes that real ones have, as a pure function of seed, symbols and day.

Each of the run's companies has six invented insiders with habits over the years: one who sells in
the same month of every year, one who trades once a year in a month that changes, one who sells
under a plan; the rest comes by chance. Invented issuers fill the market, a few filings a day, and
at the end of a month the insiders of one of them buy in a cluster. The shapes: purchases, sales,
plan sales, grants at a price of 0, exercises with shares withheld for tax, derivatives alone,
several owners, one trade in two filings, a price in the footnote alone, amendments, dates with an
offset.

Not in the box: Forms 3 and 5, exhibits, filings on paper, insiders of more than one issuer.
"""

import random
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

from relentless.configs.clock import EASTERN
from relentless.sandbox import filers
from relentless.sandbox.filings import Filed
from relentless.sandbox.form4_xml import Line, Paper, Person, write
from relentless.sandbox.world import World

MARKET_A_DAY: Final = 3
CHANCE: Final = 0.3
"""Of a further event in a month of a run's company."""
AMENDED_AFTER: Final = 2
"""Business days."""
_FIRST_NUMBER: Final = 600
"""Of a day's Forms 4 (``filers.accession``)."""
_STREAM: Final = 7
"""Of the companies' draws: one whose shipped day holds purchases, sales and planned sales."""
_NAMES: Final = ("Able", "Baker", "Carver", "Draper", "Easton", "Fowler")
_PLAN_NOTE: Final = (
    "The sale was effected pursuant to a Rule 10b5-1 trading plan adopted by the invented "
    "reporting person more than a year before."
)
_COVER_NOTE: Final = (
    "Shares sold to cover tax withholding obligations on the vesting of restricted stock units; "
    "not a discretionary trade."
)
_GROUP_NOTE: Final = "Each invented reporting person disclaims beneficial ownership."
_SHAPES: Final = (
    ("buy", 22),
    ("sell", 20),
    ("plan", 12),
    ("ranged", 8),
    ("joint", 6),
    ("twice", 4),
    ("cover", 6),
    ("grant", 8),
    ("exercise", 6),
    ("options", 4),
    ("amended", 4),
)


def filed_on(world: World, day: date) -> list[Filed]:
    """Give the Forms 4 accepted on a day: the same whenever they are asked for."""
    if not filers.is_business_day(day):
        return []
    return [*_own(world.seed, world.symbols, day), *_others(world.seed, world.symbols, day)]


def filed_about(world: World, symbol: str, first: date, last: date) -> list[Filed]:
    """Give the Forms 4 about one of the run's companies, without working out the market's.

    They are those of :func:`filed_on` for every day between the two, in order.
    """
    company = filers.company(symbol)
    found: list[Filed] = []
    month = first.replace(day=1)
    while company is not None and symbol in world.symbols and month <= last:
        for day in sorted(_planned(world.seed, symbol, month.year, month.month)):
            if first <= day <= last:
                own = _own(world.seed, world.symbols, day)
                found += [filed for filed in own if filed.parties[0][1] == company.cik]
        month = (month + timedelta(days=31)).replace(day=1)
    return found


@lru_cache(maxsize=4_096)
def _own(seed: int, symbols: tuple[str, ...], day: date) -> tuple[Filed, ...]:
    """Give what is reported about the run's companies; the first numbers of the day are theirs."""
    papers: list[Paper] = []
    for company in _companies(symbols):
        papers += _planned(seed, company.ticker, day.year, day.month).get(day, ())
    return _numbered(seed, papers, day, _FIRST_NUMBER)


@lru_cache(maxsize=512)
def _others(seed: int, symbols: tuple[str, ...], day: date) -> tuple[Filed, ...]:
    papers: list[Paper] = []
    for event_day in (day, _before(day, AMENDED_AFTER)):
        papers += _market(seed, event_day).get(day, ())
    return _numbered(seed, papers, day, _FIRST_NUMBER + len(_own(seed, symbols, day)))


@lru_cache(maxsize=64)
def _companies(symbols: tuple[str, ...]) -> "tuple[filers.Company, ...]":
    return tuple(made for symbol in symbols if (made := filers.company(symbol)))


@lru_cache(maxsize=4_096)
def _planned(seed: int, symbol: str, year: int, month: int) -> dict[date, tuple[Paper, ...]]:
    """Draw what the insiders of a run's company report in a month, by day."""
    company = filers.company(symbol)
    if company is None:
        return {}
    habits = random.Random(f"{seed}:form4.{_STREAM}:{symbol}")  # noqa: S311
    yearly, planned, base = habits.randrange(1, 13), habits.randrange(1, 13), habits.randrange(12)
    draw = random.Random(f"{seed}:form4.{_STREAM}:{symbol}:{year}-{month}")  # noqa: S311
    days = _business_days(year, month)
    made: list[tuple[date, str, int]] = []
    if month == yearly:
        made.append((draw.choice(days[2:12]), "sell", 1))
    if month == (base + 5 * year) % 12 + 1:  # another month in each of twelve years
        made.append((draw.choice(days[2:]), draw.choice(("buy", "sell")), 2))
    if month == planned:
        made.append((draw.choice(days[2:]), "plan", 0))
    if draw.random() < CHANCE:
        made.append((draw.choice(days[2:-2]), draw.choices(*_shapes())[0], draw.randrange(6)))
    return _by_day(
        filing
        for day, shape, who in made
        for filing in _papers(seed, company, shape, who, day, draw)
    )


def _by_day(papers: Iterable[tuple[date, Paper]]) -> dict[date, tuple[Paper, ...]]:
    found: dict[date, tuple[Paper, ...]] = {}
    for day, paper in papers:
        found[day] = (*found.get(day, ()), paper)
    return found


@lru_cache(maxsize=512)
def _market(seed: int, day: date) -> dict[date, tuple[Paper, ...]]:
    """Draw what the insiders of invented issuers report on a day, and its amendments later."""
    draw = random.Random(f"{seed}:form4:market:{day}")  # noqa: S311
    made: list[tuple[date, Paper]] = []
    for _ in range(MARKET_A_DAY):
        company = filers.others()[draw.randrange(filers.OTHERS)]
        shape, who = draw.choices(*_shapes())[0], draw.randrange(6)
        made += _papers(seed, company, shape, who, day, draw)
    month = random.Random(f"{seed}:form4:cluster:{day.year}-{day.month}")  # noqa: S311
    company = filers.others()[3 * month.randrange(filers.OTHERS // 3)]  # one that is listed
    days = _business_days(day.year, day.month)
    first = len(days) - 3 - month.randrange(5)
    if day in days[first : first + 3]:
        who = days.index(day) - first
        made += _papers(seed, company, "buy", who, day, draw)
    return _by_day(made)


def _shapes() -> tuple[list[str], list[int]]:
    return [name for name, _ in _SHAPES], [weight for _, weight in _SHAPES]


def _papers(
    seed: int, company: "filers.Company", shape: str, who: int, day: date, draw: random.Random
) -> Iterator[tuple[date, Paper]]:
    """Write the filings of one event, each with the day on which it is accepted."""
    people = _people(company)
    traded = _before(day, 1 + draw.randrange(2))
    price = _price(seed, company.cik, traded)
    shares = 100 * draw.randrange(3, 80)
    after = 100 * draw.randrange(100, 2_000)
    spread = price * 0.004
    stated = f"{price:.2f}" if draw.random() < 0.7 else f"{price:.4f}"
    paper = Paper(
        issuer_cik=company.cik,
        issuer=company.name,
        symbol=_symbol(company, draw),
        owners=(people[who],),
        lines=(),
        filed=day,
        remarks="Invented for a sandbox: no filing of any person.",
        words=draw.random() < 0.4,
        suffix="-05:00" if draw.random() < 0.1 else "",
    )
    buy = Line("P", traded, shares, stated, acquired=True, after=after)
    sell = replace(buy, code="S", acquired=False)
    weighted = (
        "The price is a weighted average. These shares were traded in multiple transactions at "
        f"prices ranging from ${price - spread:.2f} to ${price + spread:.2f}, inclusive."
    )
    match shape:
        case "twice":  # one trade: held by the one, attributed to the other
            yield day, replace(paper, owners=(people[5],), lines=(buy,))
            yield day, replace(paper, owners=(people[4],), lines=(replace(buy, direct=False),))
        case "amended":
            yield day, replace(paper, lines=(sell,))
            later = _after(day, AMENDED_AFTER)
            right = replace(sell, shares=shares + 100, after=after - 100)
            yield later, replace(paper, form="4/A", original=day, filed=later, lines=(right,))
        case "joint":
            lot = replace(buy, direct=False, code_notes=("F1",))
            owners = (people[4], people[5])
            yield day, replace(paper, owners=owners, lines=(lot,), notes={"F1": _GROUP_NOTE})
        case "plan":
            lot = replace(sell, code_notes=("F1",))
            yield day, replace(paper, lines=(lot,), plan=True, notes={"F1": _PLAN_NOTE})
        case "cover":
            lot = replace(sell, code_notes=("F1",))
            yield day, replace(paper, lines=(lot,), notes={"F1": _COVER_NOTE})
        case "sell":
            lots = (sell, replace(sell, shares=shares // 2, after=after - shares // 2))
            noted = tuple(replace(lot, price_notes=("F1",)) for lot in lots)
            yield day, replace(paper, lines=noted, notes={"F1": weighted})
        case "ranged":
            lot = replace(buy, price=None, price_notes=("F1",))
            yield day, replace(paper, lines=(lot,), notes={"F1": weighted})
        case "buy":
            yield day, replace(paper, lines=(buy,))
        case _:
            yield day, _no_trade(paper, shape, buy)


def _no_trade(paper: Paper, shape: str, like: Line) -> Paper:
    """Write what is no trade: a grant, an exercise with shares withheld, derivatives alone."""
    after = like.after or 0
    if shape == "grant":
        return replace(paper, lines=(replace(like, code="A", price="0"),))
    if shape == "exercise":
        taken = replace(like, code="M", price="0", after=after + like.shares)
        held = replace(like, code="F", shares=like.shares // 3, acquired=False)
        options = replace(taken, acquired=False, after=0, derivative=True)
        return replace(paper, lines=(taken, held, options))
    options = replace(like, code="A", price=None, derivative=True, price_notes=("F1",))
    note = {"F1": "Each unit gives a right to one share of the invented issuer."}
    return replace(paper, lines=(options,), notes=note)


def _numbered(seed: int, papers: Sequence[Paper], day: date, first: int) -> tuple[Filed, ...]:
    return tuple(
        _filed(paper, day, filers.accession(day, number), seed)
        for number, paper in enumerate(papers, first)
    )


def _filed(paper: Paper, day: date, accession: str, seed: int) -> Filed:
    draw = random.Random(f"{seed}:{accession}")  # noqa: S311
    at = datetime.combine(day, time(), EASTERN) + timedelta(seconds=draw.randrange(58_000, 77_000))
    owners = (("Reporting", person.cik, person.name) for person in paper.owners)
    return Filed(
        accession=accession,
        form=paper.form,
        accepted_at=at,
        filed=filers.filing_date(at, until_ten=True),
        parties=(("Issuer", paper.issuer_cik, paper.issuer), *owners),
        items=(),
        document=write(paper),
    )


@lru_cache(maxsize=1_024)
def _people(company: "filers.Company") -> tuple[Person, ...]:
    """Give the six insiders of a company, invented by name."""

    def person(number: int, **ties: bool | str) -> Person:
        cik = 9_870_000 + zlib.crc32(f"{company.cik}:{number}".encode()) % 29_000
        name = f"{_NAMES[number]} Invented {company.cik % 10_000}"
        return Person(cik, name, **ties)  # type: ignore[arg-type]

    return (
        person(0, officer=True, director=True, title="Chief Executive Officer"),
        person(1, officer=True, title="See Remarks"),
        person(2, director=True),
        person(3, director=True),
        person(4, ten_percent=True),
        person(5, ten_percent=True),
    )


def _symbol(company: "filers.Company", draw: random.Random) -> str:
    """Write a symbol as filers do."""
    chance = draw.random()
    if not company.ticker:
        return "NONE" if chance < 0.5 else "N/A"
    if chance < 0.08:
        return company.ticker.lower()
    return f"NYSE: {company.ticker}" if chance < 0.16 else company.ticker


def _price(seed: int, cik: int, day: date) -> float:
    """Give an invented price that stays near the same level over the years."""
    level = 10 + zlib.crc32(f"{seed}:{cik}".encode()) % 150
    step = random.Random(f"{seed}:{cik}:{day}").gauss(0, 0.02)  # noqa: S311
    return round(level * (1 + step), 2)


@lru_cache(maxsize=512)
def _business_days(year: int, month: int) -> list[date]:
    first = date(year, month, 1)
    days = [d for n in range(31) if (d := first + timedelta(days=n)).month == month]
    return [day for day in days if filers.is_business_day(day)]


def _before(day: date, steps: int) -> date:
    while steps:
        day -= timedelta(days=1)
        steps -= filers.is_business_day(day)
    return day


def _after(day: date, steps: int) -> date:
    for _ in range(steps):
        day = filers.next_business_day(day)
    return day
