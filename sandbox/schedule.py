"""When economic releases are due and when they came, by rule, for any year.

The employment report and the consumer prices follow the release table, with its exceptions. The
other dates are by rule only: the day of the month, or the weekday, on which the publisher usually
comes, moved to a business day. They stand in for the publishers' calendars and are synthetic. Of
the shutdown of October 2013 the dates of September's employment report (22 October) and consumer
prices (30 October) are the release table's, those of producer prices and retail sales from memory;
what else the closed agencies had due comes 17 days late by rule. Until a move is announced the old
date stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from relentless.configs.clock import EASTERN
from relentless.configs.events import event_table
from relentless.configs.releases import (
    ReleaseTable,
    business_day_from,
    employment_report,
    is_business_day,
)

_DAY: Final = timedelta(days=1)
EMPLOYMENT, PRICES = 50, 10


class Monthly(NamedTuple):
    """The first business day from a day of the month, about the month ``lag`` before."""

    day: int
    lag: int = 1


class NthWeekday(NamedTuple):
    """The nth weekday of each of some months, about the month ``lag`` before."""

    weekday: int
    nth: int
    lag: int = 0
    months: tuple[int, ...] = tuple(range(1, 13))


class Weekly(NamedTuple):
    """A weekday, about the Saturday before; over a holiday the business day before."""

    weekday: int


class Quarterly(NamedTuple):
    """Monthly from a day on, about the last quarter that has ended: three estimates of each."""

    day: int


class EveryDay(NamedTuple):
    """Every day, or every business day."""

    business: bool


Rule = Monthly | NthWeekday | Weekly | Quarterly | EveryDay

RULES: Final[dict[int, Rule]] = {
    53: Quarterly(28),
    54: Monthly(29),
    46: Monthly(11),
    101: EveryDay(business=False),
    326: NthWeekday(2, 3, months=(3, 6, 9, 12)),
    180: Weekly(3),
    9: Monthly(11),
    13: Monthly(16),
    192: Monthly(8, lag=2),
    27: Monthly(17),
    97: Monthly(25),
    95: Monthly(3, lag=2),
    51: Monthly(5, lag=2),
    91: NthWeekday(4, 2),
    194: NthWeekday(2, 1, lag=1),
    321: Monthly(15, lag=0),
    351: NthWeekday(3, 3),
    188: Monthly(10),
    291: Monthly(21),
    229: Monthly(1, lag=2),
    14: Monthly(7, lag=2),
    20: Weekly(3),
    18: EveryDay(business=True),
    200: EveryDay(business=True),
    209: EveryDay(business=True),
    304: EveryDay(business=True),
}
"""By FRED's number; the employment report and the prices have the release table."""
OTHER_NAMES: Final = {
    18: "H.15 Selected Interest Rates",
    200: "CBOE Market Statistics",
    209: "ICE BofA Indices",
    304: "Interest Rate Spreads",
}
"""Releases that FRED lists and the table of events leaves out."""
OTHER_TIMES: Final = {18: time(16, 15)}
END_OF_DAY: Final = time(23, 59)

CLOSED: Final = (date(2013, 10, 1), date(2013, 10, 16))
ANNOUNCED: Final = date(2013, 10, 18)
"""When the agencies' new dates are taken to be known: the day after they opened again."""
SHUT: Final = frozenset({53, 54, 46, 9, 192, 27, 97, 95, 51, 188, 229})
"""Releases of the agencies that were closed."""
LATE: Final = timedelta(days=17)
MOVED: Final = {
    (PRICES, date(2013, 9, 1)): (date(2013, 10, 16), date(2013, 10, 30)),
    (46, date(2013, 9, 1)): (date(2013, 10, 11), date(2013, 10, 29)),
    (9, date(2013, 9, 1)): (date(2013, 10, 11), date(2013, 10, 29)),
}
"""Release and month: when it was due and when it came."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One release."""

    release_id: int
    period: date
    """The first day of what it is about; of a week its Saturday."""
    due: date
    came: date
    announced: date | None = None
    """When the new date became known, where it moved."""

    def listed(self, day: date) -> date:
        """Give the date that the calendar had on a day."""
        return self.due if self.announced and day < self.announced else self.came

    def out(self, now: datetime) -> bool:
        """Say whether it has come."""
        return datetime.combine(self.came, time_of(self.release_id), EASTERN) <= now


def time_of(release_id: int) -> time:
    """Give the time of day of a release; the end of the day where none is stated."""
    event = event_table().get(release_id)
    stated = event.at if event and not event.daily else OTHER_TIMES.get(release_id)
    return stated or (time(0) if release_id == 101 else END_OF_DAY)


def name_of(release_id: int) -> str | None:
    """Give FRED's name of a release; None where the box has no such release."""
    event = event_table().get(release_id)
    return event.name if event else OTHER_NAMES.get(release_id)


def release_ids() -> tuple[int, ...]:
    """Give every release of the box."""
    return tuple(sorted({PRICES, EMPLOYMENT, *RULES}))


@lru_cache(maxsize=512)
def occurrences(releases: ReleaseTable, release_id: int, year: int) -> tuple[Occurrence, ...]:
    """Give the releases that are due in a year, or that came in it, in order."""
    found = {
        made
        for month in range(-3, 13)
        for made in _of_month(releases, release_id, *_shift(year, month))
        if year in (made.due.year, made.came.year)
    }
    return tuple(sorted(found, key=lambda made: (made.due, made.came)))


def between(
    releases: ReleaseTable, release_id: int, first: date, last: date
) -> Iterator[Occurrence]:
    """Give the releases that are due or came between two dates, both inclusive."""
    seen: set[Occurrence] = set()
    for year in range(first.year, last.year + 1):
        for made in occurrences(releases, release_id, year):
            if made not in seen and (first <= made.due <= last or first <= made.came <= last):
                seen.add(made)
                yield made


def _of_month(
    releases: ReleaseTable, release_id: int, year: int, month: int
) -> Iterator[Occurrence]:
    """Give a month's releases: of the two in the table the one about it, else those due in it."""
    if release_id in (EMPLOYMENT, PRICES):
        yield _tabled(releases, release_id, date(year, month, 1))
        return
    for due, period in _due(RULES[release_id], date(year, month, 1)):
        moved = MOVED.get((release_id, period))
        if moved:
            yield Occurrence(release_id, period, *moved, ANNOUNCED)
        elif release_id in SHUT and CLOSED[0] <= due <= CLOSED[1]:
            came = business_day_from(due + LATE)
            yield Occurrence(release_id, period, due, came, ANNOUNCED)
        else:
            yield Occurrence(release_id, period, due, due)


def _tabled(releases: ReleaseTable, release_id: int, period: date) -> Occurrence:
    series = "UNRATE" if release_id == EMPLOYMENT else "CPIAUCSL"
    came = releases.known_at(series, period).astimezone(EASTERN).date()
    if (release_id, period) in MOVED:
        return Occurrence(release_id, period, *MOVED[release_id, period], ANNOUNCED)
    due = came
    if release_id == EMPLOYMENT:
        due = business_day_from(employment_report(period.year, period.month))
    moved = due != came and releases.is_exception(series, period)
    if not moved:
        return Occurrence(release_id, period, came, came)
    announced = ANNOUNCED if due.year == ANNOUNCED.year else came - 7 * _DAY
    return Occurrence(release_id, period, due, came, announced)


def _due(rule: Rule, month: date) -> Iterator[tuple[date, date]]:
    """Give the dates of a rule in a month, each with its period."""
    days = _days(month)
    match rule:
        case Monthly(number, lag):
            yield business_day_from(_in_month(month, number)), _months_before(month, lag)
        case Quarterly(number):
            quarter = _months_before(month, (month.month - 1) % 3 + 3)
            yield business_day_from(_in_month(month, number)), quarter
        case NthWeekday(weekday, nth, lag, months):
            if month.month in months:
                chosen = [day for day in days if day.weekday() == weekday][nth - 1]
                yield business_day_from(chosen), _months_before(month, lag)
        case Weekly(weekday):
            for day in days:
                if day.weekday() == weekday:
                    yield _business_day_until(day), day - timedelta(days=5)
        case EveryDay(business):
            yield from ((day, day) for day in days if not business or is_business_day(day))


def _in_month(month: date, number: int) -> date:
    return month.replace(day=min(number, len(_days(month))))


def _business_day_until(day: date) -> date:
    while not is_business_day(day):
        day -= _DAY
    return day


def _days(month: date) -> list[date]:
    after = _months_before(month, -1)
    return [month + timedelta(days=n) for n in range((after - month).days)]


def _months_before(month: date, count: int) -> date:
    year, number = _shift(month.year, month.month - count)
    return date(year, number, 1)


def _shift(year: int, month: int) -> tuple[int, int]:
    """Put a month number outside 1 to 12 into its year."""
    return year + (month - 1) // 12, (month - 1) % 12 + 1
