"""When FRED could serve an observation: ``releases.toml`` read into one pure table.

``known_at`` is about publication, never about the observation's date. The FRED agent stamps its
messages by it, training joins by it, and the sandbox holds back what is not known yet. Every rule
names its evidence and the dates between which it holds; where a date is not recorded the rule errs
late. After loading nothing here does I/O.
"""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Self

from relentless.configs.clock import EASTERN

SERIES: Final = (
    "DFF",
    "DGS1",
    "DGS2",
    "DGS10",
    "DGS30",
    "DFEDTARU",
    "DFEDTARL",
    "T10Y2Y",
    "T10Y3M",
    "BAMLH0A0HYM2",
    "BAMLC0A0CM",
    "T5YIE",
    "T10YIE",
    "DTWEXBGS",
    "VIXCLS",
    "UNRATE",
    "CPIAUCSL",
    "CPILFESL",
)
"""The series that the daily context is made of."""

Kind = Literal[
    "business_day_after", "same_day", "week_to_friday", "employment_report", "cpi_calendar"
]

_DAY = timedelta(days=1)
_SATURDAY, _MONDAY, _THURSDAY = 5, 0, 3


@dataclass(frozen=True, slots=True)
class Period:
    """One rule between two observation dates, both inclusive."""

    kind: Kind
    at: time
    evidence: str
    first: date
    last: date
    extra_days: int = 0
    fallback_day: int = 28
    good_friday: bool = True
    """Whether it comes on Good Friday, when the exchanges are closed but the Fed is not."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The rules of one release, with its exceptions by observation month (year, month)."""

    release_id: int
    release_name: str
    periods: tuple[Period, ...]
    exceptions: dict[tuple[int, int], tuple[date, str]]
    calendar: dict[tuple[int, int], date]


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """What FRED says of a series."""

    series_id: str
    title: str
    units: str
    frequency: str
    seasonal_adjustment: str
    start: date
    rule: Rule


@lru_cache(maxsize=256)
def federal_holidays(year: int) -> frozenset[date]:
    """Give the days on which the Federal Reserve is closed in a year.

    A holiday on a Sunday is kept on Monday. One on a Saturday is kept on Friday: the Board's
    offices close then though the Reserve Banks do not, so nothing is counted on for that day.
    """
    fixed = [(1, 1), (7, 4), (11, 11), (12, 25)]
    if year >= 2021:
        fixed.append((6, 19))
    days = [date(year, month, day) for month, day in fixed]
    days += [
        _nth(year, 2, _MONDAY, 3),
        _last_monday_of_may(year),
        _nth(year, 9, _MONDAY, 1),
        _nth(year, 10, _MONDAY, 2),
        _nth(year, 11, _THURSDAY, 4),
    ]
    if year >= 1986:
        days.append(_nth(year, 1, _MONDAY, 3))
    kept = {_kept_on(day) for day in days}
    kept.add(_kept_on(date(year + 1, 1, 1)))  # 31 December where New Year's Day is a Saturday
    return frozenset(day for day in kept if day.year == year)


def is_business_day(day: date) -> bool:
    """Say whether the Federal Reserve publishes on a day."""
    return day.weekday() < _SATURDAY and day not in federal_holidays(day.year)


def business_day_from(day: date) -> date:
    """Give the first business day that is not before ``day``."""
    while not is_business_day(day):
        day += _DAY
    return day


def good_friday(year: int) -> date:
    """Give Good Friday by the Gregorian computus (Meeus, Astronomical Algorithms, chapter 8)."""
    century = year // 100
    golden = year % 19
    epact = (19 * golden + century - century // 4 - (8 * century + 13) // 25 + 15) % 30
    epact -= (epact // 28) * (1 - (29 // (epact + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + epact + 2 - century + century // 4) % 7
    return date(year, 3, 28) + timedelta(days=epact - weekday - 2)


class ReleaseTable:
    """The table: series by id, each with the rules of its release."""

    def __init__(self, series: dict[str, SeriesInfo]) -> None:
        self._series = series

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the table; by default the one that stands beside this module."""
        source = path or Path(__file__).with_name("releases.toml")
        raw = tomllib.loads(source.read_text(encoding="utf-8"))
        rules = {name: _rule(body) for name, body in raw["rules"].items()}
        return cls({name: _series(name, body, rules) for name, body in raw["series"].items()})

    def info(self, series_id: str) -> SeriesInfo:
        """Give what is known of a series.

        Raises:
            KeyError: a series that the table does not hold.
        """
        return self._series[series_id]

    def title(self, series_id: str) -> str:
        """Give FRED's title of a series."""
        return self._series[series_id].title

    def units(self, series_id: str) -> str:
        """Give the units of a series in FRED's words."""
        return self._series[series_id].units

    def frequency(self, series_id: str) -> str:
        """Give the frequency of a series in FRED's words: "Daily", "Daily, 7-Day", "Monthly"."""
        return self._series[series_id].frequency

    def is_exception(self, series_id: str, observation: date) -> bool:
        """Say whether an observation's release broke the rule, as in a shutdown."""
        rule = self._series[series_id].rule
        return (observation.year, observation.month) in rule.exceptions

    def evidence(self, series_id: str, observation: date) -> str:
        """Say what the release time of an observation rests on."""
        rule = self._series[series_id].rule
        exception = rule.exceptions.get((observation.year, observation.month))
        return exception[1] if exception else _period(rule, observation).evidence

    def known_at(self, series_id: str, observation: date, vintage: date | None = None) -> datetime:
        """Give the time, in UTC, from which FRED could serve an observation.

        With a ``vintage``, the day from which FRED served a value of it (its first, or a revised
        one), it is that day at the release's time of day; without, the day is the rule's.

        Raises:
            KeyError: a series that the table does not hold.
        """
        rule = self._series[series_id].rule
        period = _period(rule, observation)
        day = vintage or _release_day(rule, period, observation)
        return datetime.combine(day, period.at, EASTERN).astimezone(UTC)


def _release_day(rule: Rule, period: Period, observation: date) -> date:
    """Apply a rule, or its exception, to an observation date."""
    month = (observation.year, observation.month)
    if month in rule.exceptions:
        return rule.exceptions[month][0]
    match period.kind:
        case "same_day":
            return observation
        case "business_day_after":
            day = business_day_from(observation + _DAY)
            if not period.good_friday and day == good_friday(day.year):
                day = business_day_from(day + _DAY)
            return day
        case "week_to_friday":
            return business_day_from(observation + timedelta(days=7 - observation.weekday()))
        case "employment_report":
            due = employment_report(*month) + timedelta(days=period.extra_days)
            return business_day_from(due)
        case "cpi_calendar":
            if month in rule.calendar:
                return rule.calendar[month]
            return business_day_from(_next_month(*month).replace(day=period.fallback_day))


def employment_report(year: int, month: int) -> date:
    """Give when the report on a month is due, a holiday or not.

    It is the third Friday after the week (Sunday to Saturday) that holds the month's 12th.
    """
    twelfth = date(year, month, 12)
    saturday = twelfth + timedelta(days=(_SATURDAY - twelfth.weekday()) % 7)
    due = saturday + timedelta(days=20)
    return due + timedelta(days=7) if (due.month, due.day) <= (1, 3) else due


def _next_month(year: int, month: int) -> date:
    return date(year + month // 12, month % 12 + 1, 1)


def _period(rule: Rule, observation: date) -> Period:
    for period in rule.periods:
        if period.first <= observation <= period.last:
            return period
    raise LookupError(f"{rule.release_name} has no rule for {observation}")


def _nth(year: int, month: int, weekday: int, count: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (count - 1))


def _last_monday_of_may(year: int) -> date:
    last = date(year, 5, 31)
    return last - timedelta(days=last.weekday())


def _kept_on(day: date) -> date:
    return day + {5: -_DAY, 6: _DAY}.get(day.weekday(), timedelta())


def _rule(body: dict[str, Any]) -> Rule:
    number, name = body["release"]
    return Rule(
        release_id=number,
        release_name=name,
        periods=tuple(_read_period(period) for period in body["periods"]),
        exceptions={
            _month(key): (value["date"], value["evidence"])
            for key, value in body.get("exceptions", {}).items()
        },
        calendar=_calendar(body.get("calendar", {})),
    )


def _read_period(body: dict[str, Any]) -> Period:
    return Period(
        kind=body["kind"],
        at=time.fromisoformat(body["at"]),
        evidence=body["evidence"],
        first=body.get("from", date.min),
        last=body.get("until", date.max),
        extra_days=body.get("extra_days", 0),
        fallback_day=body.get("fallback_day", 28),
        good_friday=body.get("good_friday", True),
    )


def _month(text: str) -> tuple[int, int]:
    year, month = text.split("-")
    return int(year), int(month)


def _calendar(body: dict[str, str]) -> dict[tuple[int, int], date]:
    """Read ``year = "MM-DD MM-DD ..."``: the release days of that year's months in order."""
    days = {}
    for text, row in body.items():
        for month, entry in enumerate(row.split(), start=1):
            release_month, day = (int(part) for part in entry.split("-"))
            year = int(text) + (release_month <= month)
            days[int(text), month] = date(year, release_month, day)
    return days


def _series(name: str, body: dict[str, Any], rules: dict[str, Rule]) -> SeriesInfo:
    return SeriesInfo(
        series_id=name,
        title=body["title"],
        units=body["units"],
        frequency=body["frequency"],
        seasonal_adjustment=body.get("seasonal_adjustment", "Not Seasonally Adjusted"),
        start=body["start"],
        rule=rules[body["rule"]],
    )
