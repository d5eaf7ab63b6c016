"""Who files with EDGAR in a box, under which numbers, and EDGAR's own calendar.

Apple, Microsoft, IBM, JPMorgan and Exxon Mobil have their own CIKs; every other one lies above
9,000,000, where none is assigned. Eight hundred further companies are invented by name. Funds file
nothing here. All accessions have the prefix of one invented filer agent, so none is a real
filing's.
"""

import zlib
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

from relentless.configs.clock import EASTERN
from relentless.configs.releases import federal_holidays
from relentless.sandbox.filings import Filed

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
