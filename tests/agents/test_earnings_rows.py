"""What calendars write, read: money, dates, quarters, Nasdaq's bodies, Alpha Vantage's table."""

import csv
import io
import json
from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.agents.earnings import alphavantage, nasdaq
from relentless.agents.earnings.rows import Row, day, money, months_apart, quarter, when
from relentless.proto.errors import (
    SourceError,
    SourceMalformed,
    SourceRateLimited,
    SourceRejected,
)

HEAD = "symbol,name,reportDate,fiscalDateEnding,estimate,currency"
LINE = 'IBM,"Machines, Inc.",2013-10-16,2013-09-30,3.96,USD'


def table(head=HEAD, *lines):
    return "".join(f"{line}\r\n" for line in (head, *(lines or (LINE,)))).encode()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("($0.12)", -0.12),
        ("$0.43", 0.43),
        ("-1.51", -1.51),
        ("$-1.51", -1.51),
        ("$4,216,602,795", 4_216_602_795.0),
        (".5", 0.5),
        ("0", 0.0),
        *((text, None) for text in ("NA", "N/A", "", " ", "$", "()", "--1", "nan", "inf", "1e9")),
        *((text, None) for text in ("1,23", "$1,2345", "(-$0.1", None, 3.2, True)),
    ],
)
def test_money_is_read_as_it_is_written_and_nothing_else_is_a_number(text, value):
    assert money(text) == value


def test_dates_come_in_two_forms():
    assert day("12/23/2019") == day("2019-12-23") == date(2019, 12, 23)
    assert [day(t) for t in ("23/12/2019", "NA", "", None, "2019-02-30", "0001-01-01")] == [
        None
    ] * 6


def test_a_quarter_is_the_month_in_which_it_ends():
    assert quarter("Nov/2019") == quarter("2019-11-30") == "2019-11"
    assert [quarter(t) for t in ("nov/2019", "Nov/19", "Q3 2019", "", None)] == [None] * 5
    assert months_apart("2019-12", "2020-01") == 1


def test_a_time_that_is_not_supplied_is_unknown():
    assert when("time-pre-market") == "before_open"
    assert when("time-after-hours") == when("post-market") == "after_close"
    assert {when(t) for t in ("time-not-supplied", "", None, "soon")} == {"unknown"}


# Nasdaq


def good(rows):
    status = {"rCode": 200, "bCodeMessage": None, "developerMessage": None}
    return {"data": None if rows is None else {"rows": rows}, "message": None, "status": status}


def test_the_recorded_day_is_read_whole(recordings):
    text = (recordings / "earnings" / "nasdaq_calendar_earnings_2019-12-23.json").read_text()
    said = nasdaq.read_day(json.loads(text), date(2019, 12, 23))
    assert (said.refused, said.absent) == (0, False)
    at = date(2019, 12, 23)
    assert said.rows == (  # read by hand
        Row("PVTL", at, "2019-10", "unknown", -0.11, 4_216_602_795.0, "Pivotal Software, Inc."),
        Row("NIO", at, "2019-09", "unknown", -0.42, 2_753_093_463.0, "NIO Inc."),
        Row(
            "BRMK", at, "2019-09", "unknown", None, 1_630_380_742.0, "Broadmark Realty Capital Inc."
        ),
        Row("CTXR", at, "2019-09", "unknown", -0.12, 17_323_579.0, "Citius Pharmaceuticals, Inc."),
    )


def test_a_holiday_has_no_data_and_no_rows_are_not_the_same_as_none():
    assert nasdaq.read_day(good(None), date(2019, 12, 25)).absent
    assert not nasdaq.read_day(good([]), date(2019, 12, 24)).absent


def test_a_refusal_with_status_200_is_a_refusal():
    status = {"rCode": 400, "bCodeMessage": [{"code": 1001, "errorMessage": "Invalid date"}]}
    with pytest.raises(SourceRejected, match="Invalid date") as caught:
        nasdaq.read_day({"data": None, "status": status}, date(2019, 12, 24))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [[], {}, {"data": None}, {"status": {"rCode": 200}}, good({}), good([1, 2]), good([{}])],
)
def test_another_form_is_refused(body):
    with pytest.raises(SourceMalformed):
        nasdaq.read_day(body, date(2019, 12, 24))


def test_a_row_that_cannot_be_read_is_counted():
    row = {"symbol": "IBM", "fiscalQuarterEnding": "Sep/2013", "epsForecast": "n"}
    future = row | {"fiscalQuarterEnding": "Dec/2013"}  # a quarter that is not over
    said = nasdaq.read_day(good([row, {"symbol": "ibm 1"}, future]), date(2013, 10, 16))
    assert said.refused == 2
    assert said.rows == (Row("IBM", date(2013, 10, 16), "2013-09"),)


# Alpha Vantage

IBM = Row("IBM", date(2013, 10, 16), "2013-09", "unknown", 3.96, None, "Machines, Inc.")


@pytest.mark.parametrize(
    "body",
    [
        table(),
        b"\xef\xbb\xbf" + table(),
        table().decode().encode("utf-16"),
        table().replace(b"\r\n", b"\n"),
        table(HEAD + ",new", LINE + ",x"),
    ],
)
def test_a_table_is_read_by_its_header_whatever_its_marks_and_ends(body):
    assert alphavantage.read_table(body).rows == (IBM,)


@pytest.mark.parametrize("column", alphavantage.TIME_COLUMNS)
@pytest.mark.parametrize("at", range(7))
def test_a_new_column_may_stand_anywhere(column, at):
    rows = list(csv.reader(io.StringIO(table().decode())))
    rows[0].insert(at, column)
    rows[1].insert(at, "post-market")
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    (row,) = alphavantage.read_table(text.getvalue().encode()).rows
    assert (row.symbol, row.report_date, row.when) == ("IBM", date(2013, 10, 16), "after_close")


@pytest.mark.parametrize("column", alphavantage.REQUIRED)
def test_a_column_that_is_needed_and_not_there_ends_the_reading(column):
    with pytest.raises(SourceMalformed, match=column):
        alphavantage.read_table(table(HEAD.replace(column, "other")))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"Information": "We have detected your API key as SECRET"}, SourceRateLimited),
        ({"Note": "SECRET"}, SourceRateLimited),
        ({"Error Message": "SECRET is invalid"}, SourceRejected),
        ({"other": "SECRET"}, SourceMalformed),
    ],
)
def test_json_in_place_of_the_table_is_a_refusal_that_never_repeats_the_key(body, error):
    with pytest.raises(error) as caught:
        alphavantage.read_table(json.dumps(body).encode())
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        (HEAD + "\r\n").encode(),
        table()[:-8],
        table()[:-2],
        table(HEAD + ",symbol", LINE + ",x"),
        table(HEAD, "IBM"),
        table(HEAD, '"IBM'),
    ],
)
def test_a_table_that_is_cut_or_empty_is_refused(body):
    with pytest.raises(SourceMalformed):
        alphavantage.read_table(body)


def test_an_estimate_in_another_currency_is_no_estimate_in_dollars():
    (row,) = alphavantage.read_table(table(HEAD, LINE.replace("USD", "EUR"))).rows
    assert row.eps_estimate is None


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_random_bytes_give_typed_errors_only(body):
    for table in (body, HEAD.encode() + b"\r\n" + body):
        with suppress(SourceError):
            alphavantage.read_table(table)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from(["symbol", "fiscalQuarterEnding", "epsForecast", "time", "name"]), JSON)
@settings(deadline=None)
def test_a_mutated_row_is_read_or_refused(name, value):
    row = {"symbol": "IBM", "fiscalQuarterEnding": "Sep/2013", "epsForecast": "$1", "name": "x"}
    try:
        said = nasdaq.read_day(good([row, row | {name: value}]), date(2013, 10, 16))
    except SourceError:
        return
    assert said.refused + len(said.rows) == 2
    assert all(isinstance(r.eps_estimate, float | None) for r in said.rows)


@given(JSON)
@settings(deadline=None)
def test_any_json_gives_typed_errors_only(body):
    with suppress(SourceError):
        nasdaq.read_day(body, date(2013, 10, 16))
