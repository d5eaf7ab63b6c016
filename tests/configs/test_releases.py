"""Release times: the rules at their edges, and against what daily polls really saw."""

import csv
import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from relentless.configs.clock import EASTERN
from relentless.configs.releases import (
    SERIES,
    ReleaseTable,
    business_day_from,
    federal_holidays,
    good_friday,
)

TABLE = ReleaseTable.load()


def eastern(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=EASTERN)


@pytest.mark.parametrize(
    ("series_id", "observation", "expected"),
    [
        ("DGS10", "2013-10-03", "2013-10-04T16:15"),
        ("DGS10", "2013-10-04", "2013-10-07T16:15"),
        ("DGS10", "2013-10-11", "2013-10-15T16:15"),  # over Columbus Day
        ("DFF", "2013-10-05", "2013-10-07T16:15"),
        ("T10Y2Y", "2019-06-20", "2019-06-21T16:15"),
        ("T10Y2Y", "2019-06-21", "2019-06-21T23:59"),
        ("T5YIE", "2013-10-04", "2013-10-07T16:15"),
        ("BAMLC0A0CM", "2013-10-04", "2013-10-07T10:51"),
        ("VIXCLS", "2013-10-04", "2013-10-07T08:41"),
        ("VIXCLS", "2026-04-02", "2026-04-06T08:41"),  # over Good Friday
        ("DTWEXBGS", "2013-09-30", "2013-10-07T16:15"),
        ("DTWEXBGS", "2013-10-04", "2013-10-07T16:15"),
        ("DTWEXBGS", "2013-10-07", "2013-10-15T16:15"),  # Columbus Day moves H.10 to Tuesday
        ("UNRATE", "2013-08-01", "2013-09-06T08:30"),
        ("UNRATE", "2013-09-01", "2013-10-22T08:30"),
        ("UNRATE", "2024-12-01", "2025-01-10T08:30"),
        ("UNRATE", "2026-04-01", "2026-05-08T08:30"),
        ("CPIAUCSL", "2013-08-01", "2013-09-17T08:30"),
        ("CPILFESL", "2013-09-01", "2013-10-30T08:30"),
        ("CPIAUCSL", "2013-01-01", "2013-02-21T08:30"),  # not the factors' revision on 02-19
        ("CPIAUCSL", "2000-08-01", "2000-09-15T08:30"),  # not the correction on 09-28
        ("CPIAUCSL", "1995-12-01", "1996-02-01T08:30"),
        ("DFEDTARU", "2008-12-16", "2008-12-16T14:15"),
        ("DFEDTARL", "2015-12-17", "2015-12-17T14:00"),
    ],
)
def test_an_observation_is_known_when_its_release_comes(
    series_id: str, observation: str, expected: str
) -> None:
    assert TABLE.known_at(series_id, date.fromisoformat(observation)) == eastern(expected)


def test_every_series_has_a_rule_with_evidence_for_every_day() -> None:
    for series_id in SERIES:
        assert TABLE.title(series_id)
        assert TABLE.units(series_id)
        assert TABLE.frequency(series_id) in {"Daily", "Daily, 7-Day", "Daily, Close", "Monthly"}
        for year in range(1962, 2031):
            observation = date(year, 7, 1)
            assert TABLE.evidence(series_id, observation)
            known_at = TABLE.known_at(series_id, observation)
            assert known_at.tzinfo is UTC
            assert known_at.date() >= observation


def test_release_times_never_run_backwards() -> None:
    by_rule = {TABLE.info(series_id).rule.release_id: series_id for series_id in SERIES}
    assert len(by_rule) == 8
    for series_id in by_rule.values():
        monthly = TABLE.frequency(series_id) == "Monthly"
        days = [date(2000, 1, 1) + timedelta(days=n) for n in range(30 * 365)]
        days = [day for day in days if day.day == 1] if monthly else days
        times = [TABLE.known_at(series_id, day) for day in days]
        assert times == sorted(times)


def test_an_unknown_series_is_refused() -> None:
    with pytest.raises(KeyError):
        TABLE.known_at("GDP", date(2013, 1, 1))


def test_the_federal_holidays_are_the_official_ones() -> None:
    holiday = pytest.importorskip("pandas.tseries.holiday")
    calendar = holiday.USFederalHolidayCalendar()
    official = {day.date() for day in calendar.holidays("1986-01-01", "2035-12-31")}
    ours = {day for year in range(1986, 2036) for day in federal_holidays(year)}
    assert ours == official
    assert [good_friday(year).isoformat()[5:] for year in (2013, 2024, 2026, 2049)] == [
        "03-29",
        "03-29",
        "04-03",
        "04-16",
    ]
    assert business_day_from(date(2013, 10, 12)) == date(2013, 10, 15)


def test_the_table_holds_every_recorded_cpi_date(recordings: Path) -> None:
    raw = json.loads((recordings / "fred" / "release_dates_CPI_rid10.json").read_text())
    recorded = {date.fromisoformat(row["date"]) for row in raw["release_dates"]}
    ours = set(TABLE.info("CPIAUCSL").rule.calendar.values())
    assert ours <= recorded
    extra = {day for day in recorded - ours if day >= date(1980, 3, 1)}
    # What is left over: factor revisions in February, and the correction of September 2000.
    assert {day.month for day in extra} == {2, 9}
    assert len(extra) == 19


def test_known_at_is_never_before_the_last_poll_that_did_not_see_the_value(
    recordings: Path,
) -> None:
    """A daily poll bounds a release from both sides: not there yet, then there."""
    seen: dict[str, dict[date, datetime]] = defaultdict(dict)
    polls: set[datetime] = set()
    for path in sorted((recordings / "fred").glob("fred_first_seen*.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                moment = datetime.fromisoformat(row["first_seen_commit_utc"])
                polls.add(moment)
                if row["series_id"] in SERIES and row["kind"] == "new":
                    day = date.fromisoformat(row["observation_date"])
                    seen[row["series_id"]].setdefault(day, moment)
    assert len(polls) > 30
    compared = 0
    for series_id, observations in seen.items():
        for day, moment in observations.items():
            before = max((poll for poll in polls if poll < moment), default=None)
            known_at = TABLE.known_at(series_id, day)
            if before is not None and before.date() >= day:
                compared += 1
                assert known_at > before, (series_id, day, known_at, before)
    assert compared > 140


def test_known_at_is_not_after_the_poll_that_first_saw_the_value(recordings: Path) -> None:
    """Every row of the daily polls; only the spreads' rule errs late, by less than six hours."""
    path = recordings / "fred" / "fred_first_seen_2026-03_2026-05.csv"
    late: dict[str, list[timedelta]] = defaultdict(list)
    rows = 0
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["series_id"] in SERIES and row["kind"] == "new":
                rows += 1
                seen = datetime.fromisoformat(row["first_seen_commit_utc"])
                day = date.fromisoformat(row["observation_date"])
                known_at = TABLE.known_at(row["series_id"], day)
                if known_at > seen:
                    late[row["series_id"]].append(known_at - seen)
    assert rows == 421
    assert set(late) == {"T10Y2Y", "T5YIE", "T10YIE"}
    assert max(max(found) for found in late.values()) < timedelta(hours=6)
    assert sum(map(len, late.values())) == 134  # 287 of 421 are within the poll, 68 per cent


def test_a_vintage_takes_the_release_s_time_of_day() -> None:
    known_at = TABLE.known_at("UNRATE", date(2024, 1, 1), date(2025, 1, 10))
    assert known_at == eastern("2025-01-10T08:30")
    assert TABLE.known_at("T10Y2Y", date(2018, 1, 2), date(2018, 1, 9)) == eastern(
        "2018-01-09T16:15"
    )
