"""The measures, against hand-worked values and against pandas."""

import math
import random
from datetime import date, timedelta

import pandas as pd
import pytest

from relentless.agents.fred.measures import (
    Observation,
    measure,
    months_before,
    percentile,
    value_months_before,
    window_values,
    zscore,
)


def daily(values, first=date(2013, 1, 1)):
    return [Observation(first + timedelta(days=n), v) for n, v in enumerate(values)]


def monthly(values, first=(2012, 1)):
    year, month = first
    index = [year * 12 + month - 1 + n for n in range(len(values))]
    return [
        Observation(date(i // 12, i % 12 + 1, 1), v)
        for i, v in zip(index, values, strict=True)
        if v is not None
    ]


def test_ten_values_worked_by_hand():
    # 1..10: mean 5.5, sample variance 82.5 / 9, z of 10 is 4.5 / sqrt(82.5 / 9).
    found = measure(daily([float(n) for n in range(1, 11)]), monthly=False)
    assert found.newest.value == 10
    assert (found.previous, found.change) == (9, 1)
    assert found.zscore == pytest.approx(4.5 / math.sqrt(82.5 / 9), rel=1e-15)
    assert found.percentile == 1.0
    assert found.window_count == 10


def test_a_change_is_the_difference_of_the_numbers_as_written():
    found = measure(monthly([7.5, 7.5, 7.3, 7.2]), monthly=True)
    assert (found.change, found.change_3m) == (-0.1, -0.3)


def test_percentile_counts_equal_values():
    assert percentile([1, 2, 2, 3, 3, 3, 4, 2]) == 4 / 8


@pytest.mark.parametrize("constant", [0.25, 0.1, 0.07, 1 / 3, 1e-9])
def test_a_constant_window_has_neither_zscore_nor_percentile(constant):
    window = [constant] * 30
    assert zscore(window) is None
    assert percentile(window) is None


def test_seven_values_are_too_few_and_eight_are_enough():
    assert zscore([1, 2, 3, 4, 5, 6, 7]) is None
    assert zscore([1, 2, 3, 4, 5, 6, 7, 8]) is not None


def test_a_single_observation_has_no_change():
    found = measure(daily([1.0]), monthly=False)
    assert (found.previous, found.change, found.change_3m, found.change_12m_pct) == (None,) * 4
    assert (found.previous_change_3m, found.previous_change_12m_pct) == (None, None)
    with pytest.raises(ValueError, match="no observation"):
        measure([], monthly=False)


def test_the_window_holds_730_days_and_not_the_731st():
    history = daily([float(n) for n in range(800)])
    window = window_values(history)
    assert len(window) == 730
    assert window[0] == 70.0


def test_months_are_calendar_months():
    assert months_before(date(2013, 5, 31), 3) == date(2013, 2, 28)
    assert months_before(date(2012, 5, 31), 3) == date(2012, 2, 29)
    assert months_before(date(2013, 1, 15), 1) == date(2012, 12, 15)
    assert months_before(date(2013, 10, 3), 12) == date(2012, 10, 3)


def test_a_monthly_series_is_measured_against_its_months():
    history = monthly([200.0, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 214, 216])
    found = measure(history, monthly=True)
    assert found.newest.day == date(2013, 2, 1)
    assert found.change_3m == 216 - 210
    assert found.change_12m_pct == pytest.approx((216 / 201 - 1) * 100)
    assert found.previous_change_3m == 214 - 209
    assert found.previous_change_12m_pct == pytest.approx((214 / 200 - 1) * 100)


def test_a_month_that_was_never_published_is_not_replaced_by_its_neighbour():
    # January 2025 to January 2026 without October, as UNRATE and the CPI are.
    values = [4.0, 4.1, 4.2, 4.2, 4.2, 4.1, 4.2, 4.3, 4.4, None, 4.5, 4.4, 4.3]
    found = measure(monthly(values, (2025, 1)), monthly=True)
    assert found.newest.day == date(2026, 1, 1)
    assert found.change_3m is None
    assert found.previous_change_3m == pytest.approx(4.4 - 4.4)
    assert found.change_12m_pct == pytest.approx((4.3 / 4.0 - 1) * 100)
    after_the_hole = measure(monthly(values[:11], (2025, 1)), monthly=True)
    assert after_the_hole.previous == 4.4
    assert after_the_hole.change_3m == pytest.approx(4.5 - 4.3)


def test_a_daily_series_takes_the_last_value_before_a_closed_day_but_no_older_one():
    history = [
        Observation(date(2013, 7, 3), 2.5),
        Observation(date(2013, 7, 5), 2.7),
        Observation(date(2013, 10, 4), 2.66),
    ]
    assert value_months_before(history, 3, monthly=False) == 2.5
    assert value_months_before(history[1:], 3, monthly=False) is None
    far = [Observation(date(2013, 6, 20), 2.4), history[-1]]
    assert value_months_before(far, 3, monthly=False) is None


def test_no_per_cent_of_a_base_that_is_not_positive():
    for base in (0.0, -0.5):
        history = monthly([base, *[1.0] * 12])
        assert measure(history, monthly=True).change_12m_pct is None


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_pandas_on_random_histories(seed):
    chance = random.Random(seed)
    day, history = date(2010, 1, 4), []
    while len(history) < 900:
        day += timedelta(days=1)
        if day.weekday() < 5 and chance.random() > 0.05:
            history.append(Observation(day, round(chance.gauss(2.0, 1.0), 2)))
    frame = pd.Series([o.value for o in history], index=pd.DatetimeIndex([o.day for o in history]))
    rolling = frame.rolling("730D")
    zscores = (frame - rolling.mean()) / rolling.std(ddof=1)
    shares = rolling.apply(lambda w: (w <= w.iloc[-1]).mean(), raw=False)
    for end in (500, 700, 900):
        found = measure(history[:end], monthly=False)
        assert found.zscore == pytest.approx(zscores.iloc[end - 1], rel=1e-9)
        assert found.percentile == pytest.approx(shares.iloc[end - 1], rel=1e-12)
        back = frame.index[end - 1] - pd.DateOffset(months=3)
        base = frame[: frame.index[end - 1]].asof(back)
        assert found.change_3m == pytest.approx(history[end - 1].value - base)


@pytest.mark.parametrize(
    ("name", "is_monthly"),
    [
        ("DGS10", False),
        ("VIXCLS", False),
        ("T10Y2Y", False),
        ("BAMLH0A0HYM2", False),
        ("DTWEXBGS", False),
        ("UNRATE", True),
        ("CPIAUCSL", True),
        ("CPILFESL", True),
    ],
)
@pytest.mark.parametrize("end", ["2013-10-03", "2020-04-15", "2025-01-10"])
def test_the_recorded_series_agree_with_pandas(recordings, name, is_monthly, end):
    frame = pd.read_csv(
        recordings / "fred" / "csv" / f"{name}.csv",
        names=["date", "value"],
        header=0,
        parse_dates=["date"],
        index_col="date",
        na_values=["."],
    )["value"].dropna()[:end]
    last = frame.index[-1]
    three_years = frame[last - pd.Timedelta(days=3 * 365) :]
    found = measure([Observation(t.date(), v) for t, v in three_years.items()], monthly=is_monthly)
    window = frame[frame.index > last - pd.Timedelta(days=730)]
    assert found.window_count == len(window)
    assert found.zscore == pytest.approx((frame.iloc[-1] - window.mean()) / window.std(), rel=1e-9)
    assert found.percentile == pytest.approx(window.rank(pct=True, method="max").iloc[-1])
    assert found.change == pytest.approx(frame.diff().iloc[-1], abs=1e-9)
    assert found.change_days == (last - frame.index[-2]).days
    three, twelve = (frame.asof(last - pd.DateOffset(months=n)) for n in (3, 12))
    assert found.change_3m == pytest.approx(frame.iloc[-1] - three, abs=1e-9)
    expected = 100 * (frame.iloc[-1] / twelve - 1)
    assert found.change_12m_pct == (pytest.approx(expected) if twelve > 0 else None)
