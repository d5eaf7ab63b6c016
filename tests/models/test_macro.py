"""Macro history: every value at the time FRED could serve it, by the live formulas."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.agents.fred.measures import Observation, measure
from relentless.configs.clock import EASTERN
from relentless.models.macro import (
    MACRO_SERIES,
    contexts_of,
    load_macro,
    read_observations,
)
from relentless.proto.errors import InvalidInput


def write(folder, **series):
    for name in MACRO_SERIES:
        rows = series.get(name, {})
        lines = ["date,value", *(f"{day},{value}" for day, value in rows.items())]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def at(folder, day, hour, minute):
    return load_macro(folder).at(datetime(*day, hour, minute, tzinfo=EASTERN))


def test_a_value_appears_with_its_release_and_not_a_minute_before(tmp_path):
    write(tmp_path, T10YIE={"2013-10-03": 2.19, "2013-10-04": 2.24})
    macro = load_macro(tmp_path)
    release = datetime(2013, 10, 7, 16, 15, tzinfo=EASTERN)
    assert macro.at(release - timedelta(minutes=1))["inflation_expectation"] == 2.19
    assert macro.at(release)["inflation_expectation"] == 2.24


def test_the_shutdown_held_back_the_september_jobs_report(tmp_path):
    months = {"2013-05-01": 7.5, "2013-06-01": 7.5, "2013-08-01": 7.2, "2013-09-01": 7.1}
    write(tmp_path, UNRATE=months)
    assert at(tmp_path, (2013, 10, 7), 9, 25)["unemployment_rate"] == 7.2
    assert at(tmp_path, (2013, 10, 22), 8, 29)["unemployment_rate"] is None  # stale by then
    assert at(tmp_path, (2013, 10, 22), 8, 31)["unemployment_rate"] == 7.1


def test_an_old_value_is_missing_and_never_carried_forward(tmp_path):
    write(tmp_path, DFF={"2013-10-03": 0.08})
    assert at(tmp_path, (2013, 10, 7), 9, 25)["fed_funds_rate"] == 0.08
    assert at(tmp_path, (2013, 10, 14), 9, 25)["fed_funds_rate"] is None


def test_a_feature_of_two_series_needs_both(tmp_path):
    write(tmp_path, DGS10={"2013-10-03": 2.62})
    assert at(tmp_path, (2013, 10, 7), 9, 25)["yield_curve_slope"] is None
    write(tmp_path, DGS10={"2013-10-03": 2.62}, DGS2={"2013-10-03": 0.33})
    assert at(tmp_path, (2013, 10, 7), 9, 25)["yield_curve_slope"] == pytest.approx(2.29)


def test_values_known_later_change_nothing(tmp_path, recordings):
    """Poison everything after a morning: that morning's features stay the same bytes."""
    as_of = datetime(2013, 10, 7, 9, 25, tzinfo=EASTERN)
    source = recordings / "fred" / "csv"
    for name in MACRO_SERIES:
        rows = read_observations(source / f"{name}.csv")
        kept = [(day, value if day <= date(2013, 10, 3) else 1e6) for day, value in rows]
        lines = ["date,value", *(f"{day},{value}" for day, value in kept)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    # What has come out by that morning lies on or before the 3rd; UNRATE and CPI of August.
    said = load_macro(source).at(as_of)
    assert load_macro(tmp_path).at(as_of) == said
    assert said["yield_curve_slope"] == pytest.approx(2.29)


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.5, 3.25, 7.0]), min_size=1, max_size=40),
    st.booleans(),
    st.integers(1, 40),
)
@settings(max_examples=40, deadline=None)
def test_the_measures_are_those_of_the_agent(values, monthly, step):
    if monthly:
        days = [date(2010 + i // 12, i % 12 + 1, 1) for i in range(len(values))]
    else:
        days = [date(2010, 1, 1) + timedelta(days=i * step) for i in range(len(values))]
    name = "UNRATE" if monthly else "DGS10"
    history = [Observation(*row) for row in zip(days, values, strict=True)]
    ours = contexts_of(name, list(zip(days, values, strict=True)))
    for count, (day, context) in enumerate(ours, start=1):
        theirs = measure(history[:count], monthly=monthly)
        assert day == theirs.newest.day
        assert context["value"] == theirs.newest.value
        fields = ("previous", "change", "change_3m", "change_12m_pct") if monthly else (
            "previous", "change", "zscore")  # fmt: skip
        for field in fields:
            wanted = getattr(theirs, field)
            assert context[field] == (None if wanted is None else pytest.approx(wanted))


def test_a_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(InvalidInput, match=r"lacks DFF\.csv.*--macro"):
        load_macro(tmp_path / "nowhere")


def test_days_without_a_value_are_passed_over_and_nonsense_is_not(tmp_path):
    path = tmp_path / "DGS10.csv"
    path.write_text("observation_date,DGS10\n2013-10-01,2.66\n2013-10-14,.\n2013-12-25,\n")
    assert read_observations(path) == [(date(2013, 10, 1), 2.66)]
    path.write_text("date,value\n2013-10-01,high\n")
    with pytest.raises(InvalidInput, match="line 2"):
        read_observations(path)
