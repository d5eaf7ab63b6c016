"""One row of a calendar, and how calendars write money, dates, times and quarters. Pure.

What a calendar does not say is None or "unknown", never zero: "NA", "" and "N/A" are no numbers.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal

When = Literal["before_open", "after_close", "during", "unknown"]

TIMES: Final[dict[str, When]] = {
    "time-pre-market": "before_open",
    "time-after-hours": "after_close",
    "time-during-market": "during",
    "time-not-supplied": "unknown",
    "pre-market": "before_open",
    "post-market": "after_close",
    "before market open": "before_open",
    "after market close": "after_close",
    "bmo": "before_open",
    "amc": "after_close",
}
SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9.\-]{0,11}")
_MONEY: Final = re.compile(r"(-?\$?|\$-)(\d{1,3}(?:,\d{3})+|\d{1,15})?(\.\d{1,8})?")
_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
_YEARS: Final = range(1990, 2100)


@dataclass(frozen=True, slots=True)
class Row:
    """What one calendar says of one report."""

    symbol: str
    report_date: date
    fiscal_quarter: str | None
    """The month in which it ends: "2019-11"."""
    when: When = "unknown"
    eps_estimate: float | None = None
    market_cap: float | None = None
    company: str = ""


def money(text: Any) -> float | None:
    """Read "$4,216,602,795", "($0.12)", "-1.51" or "0.43"; None where it is no number.

    Parentheses are a minus, as accountants write it.
    """
    if not isinstance(text, str):
        return None
    body = text.strip()
    negative = body.startswith("(") and body.endswith(")")
    if negative:
        body = body[1:-1]
    found = _MONEY.fullmatch(body)
    if found is None or not (found[2] or found[3]):
        return None
    value = float(f"{found[2] or '0'}{found[3] or ''}".replace(",", ""))
    return -value if negative or "-" in found[1] else value


def day(text: Any) -> date | None:
    """Read "12/23/2019" or "2019-12-23"; None where it is no date."""
    if not isinstance(text, str):
        return None
    for form in ("%Y-%m-%d", "%m/%d/%Y"):
        try:
            found = datetime.strptime(text.strip(), form).date()  # noqa: DTZ007
        except ValueError:
            continue
        return found if found.year in _YEARS else None
    return None


def quarter(text: Any) -> str | None:
    """Read the month in which a quarter ends: "Nov/2019" or "2019-11-30" is "2019-11"."""
    if not isinstance(text, str):
        return None
    month, _, year = text.strip().partition("/")
    if month in _MONTHS and year.isdecimal() and len(year) == 4 and int(year) in _YEARS:
        return f"{int(year)}-{_MONTHS.index(month) + 1:02d}"
    ends = day(text)
    return None if ends is None else f"{ends:%Y-%m}"


def when(text: Any) -> When:
    """Read a time of day as calendars name it; "unknown" for any other word."""
    return TIMES.get(text.strip().lower(), "unknown") if isinstance(text, str) else "unknown"


def months_apart(one: str, other: str) -> int:
    """Give how many months lie between two quarters' ends, as ``quarter`` writes them."""
    first, second = (int(text[:4]) * 12 + int(text[5:7]) for text in (one, other))
    return abs(first - second)
