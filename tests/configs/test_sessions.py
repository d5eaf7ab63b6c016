"""The exchange table: equal to the library it came from, and right about known days."""

import json
from datetime import date, datetime

import pytest

from relentless.configs.clock import EASTERN
from relentless.configs.export_sessions import export
from relentless.configs.sessions import (
    TABLE,
    is_session,
    next_session,
    previous_session,
    session_close,
    session_open,
    sessions,
    sessions_ahead,
    table,
)
from relentless.proto.errors import InvalidInput


@pytest.mark.filterwarnings("ignore:Series.values")  # the library's own, in pandas 3
def test_the_committed_table_is_what_the_library_says() -> None:
    committed = json.loads(TABLE.read_text())
    fresh = export()
    assert committed | {"library": ""} == fresh | {"library": ""}


@pytest.mark.parametrize(
    ("day", "trades"),
    [
        (date(2013, 10, 7), True),
        (date(2013, 10, 6), False),
        (date(2013, 10, 14), True),  # Columbus Day: bonds rest, shares trade
        (date(2012, 10, 29), False),  # the storm
        (date(2001, 9, 12), False),
        (date(2013, 12, 25), False),
    ],
)
def test_known_days(day: date, trades: bool) -> None:
    assert is_session(day) is trades


def test_neighbours_skip_weekends_and_holidays() -> None:
    assert next_session(date(2013, 10, 4)) == date(2013, 10, 7)
    assert previous_session(date(2013, 10, 7)) == date(2013, 10, 4)
    assert next_session(date(2013, 12, 24)) == date(2013, 12, 26)
    assert len(list(sessions(date(2013, 1, 1), date(2013, 12, 31)))) == 252


def test_hours_are_the_exchanges_own_and_an_early_close_is_known() -> None:
    assert session_open(date(2013, 10, 7)) == datetime(2013, 10, 7, 9, 30, tzinfo=EASTERN)
    assert session_close(date(2013, 10, 7)) == datetime(2013, 10, 7, 16, 0, tzinfo=EASTERN)
    assert session_close(date(2013, 11, 29)) == datetime(2013, 11, 29, 13, 0, tzinfo=EASTERN)


def test_no_answer_is_made_up() -> None:
    with pytest.raises(InvalidInput, match="export_sessions"):
        is_session(date(2050, 1, 3))
    with pytest.raises(InvalidInput):
        session_open(date(2013, 10, 6))
    with pytest.raises(InvalidInput):
        next_session(table().last)


def test_sessions_ahead_are_counted_without_the_first_day_and_with_the_last() -> None:
    friday = date(2013, 11, 22)
    assert sessions_ahead(friday, friday) == 0
    assert sessions_ahead(friday, date(2013, 11, 24)) == 0  # a Sunday
    assert sessions_ahead(friday, date(2013, 11, 25)) == 1
    assert sessions_ahead(friday, date(2013, 11, 29)) == 4  # over Thanksgiving
    assert sessions_ahead(date(2013, 11, 28), date(2013, 11, 29)) == 1
    with pytest.raises(InvalidInput):
        sessions_ahead(friday, date(2050, 1, 3))
