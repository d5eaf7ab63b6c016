"""Nominal times: exchange time, exchange days, whatever the wall does."""

from datetime import timedelta

import pytest

from relentless.agents.runtime.schedule import Schedule, is_trading_day
from relentless.proto.errors import InvalidSettings

from .conftest import eastern


def test_times_of_day_come_in_order_and_skip_the_weekend():
    schedule = Schedule(("09:20", "05:15"))
    assert schedule.lines == ("20 9 * * mon-fri", "15 5 * * mon-fri")
    moment = eastern("2013-10-04 05:15")
    seen = []
    for _ in range(3):
        moment = schedule.after(moment)
        seen.append(moment)
    assert seen == [
        eastern("2013-10-04 09:20"),
        eastern("2013-10-07 05:15"),
        eastern("2013-10-07 09:20"),
    ]


def test_exchange_holidays_are_skipped():
    schedule = Schedule(("05:15",))
    assert schedule.after(eastern("2013-11-27 12:00")) == eastern("2013-11-29 05:15")
    assert schedule.today(eastern("2013-11-28 12:00")) == []


def test_the_time_of_day_holds_over_a_change_of_the_clocks():
    schedule = Schedule(("05:15",))
    friday, monday = eastern("2013-11-01 05:15"), eastern("2013-11-04 05:15")
    assert schedule.after(friday) == monday
    assert monday.timestamp() - friday.timestamp() == timedelta(days=3, hours=1).total_seconds()


def test_cron_lines_are_taken_as_they_stand():
    schedule = Schedule(("*/30 9-10 * * mon-fri",))
    times = schedule.between(eastern("2013-10-07 09:00"), eastern("2013-10-07 10:30"))
    assert [f"{t:%H:%M}" for t in times] == ["09:30", "10:00", "10:30"]


def test_today_gives_what_has_passed_of_the_day():
    schedule = Schedule(("05:15", "08:00", "09:20"))
    assert schedule.today(eastern("2013-10-07 05:14")) == []
    assert schedule.today(eastern("2013-10-07 05:15")) == [eastern("2013-10-07 05:15")]
    assert len(schedule.today(eastern("2013-10-07 23:59"))) == 3


def test_a_line_that_never_comes_gives_nothing():
    assert Schedule(("0 5 30 2 *",)).after(eastern("2013-10-07 05:00")) is None
    assert (
        Schedule(("05:15",), is_session=lambda day: False).after(eastern("2013-10-07 05:00"))
        is None
    )


@pytest.mark.parametrize("line", ["25:00", "5:61", "a:b", "05:15:00", "x", "* * *", "0 5 * * 1-5"])
def test_what_is_no_time_is_refused(line):
    with pytest.raises(InvalidSettings):
        Schedule((line,))


def test_past_the_exchange_table_every_weekday_counts():
    assert is_trading_day(eastern("2199-01-01 00:00").date())
    assert not is_trading_day(eastern("2199-01-05 00:00").date())
