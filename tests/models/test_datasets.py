"""Daily bars as samples: the targets, and that nothing looks ahead."""

from datetime import datetime

import numpy as np
import pytest

from relentless.configs.clock import EASTERN, to_ns
from relentless.models.datasets import (
    FROZEN,
    HORIZON,
    Bars,
    bar_features,
    close_ns,
    load_bars,
    samples_of,
    sigmas,
    targets_of,
)
from relentless.models.feature_spec import READY_RETURNS


def bars(days=300, seed=1, scale=0.01):
    rng = np.random.default_rng(seed)
    dates = np.datetime64("2012-01-02") + np.arange(days)
    close = 50 * np.exp(np.cumsum(rng.normal(0, scale, days)))
    return Bars("X", "test", dates, close, np.zeros(days))


def test_the_targets_are_those_of_the_horizon():
    asset = bars()
    targets, sigma = targets_of(asset.close), sigmas(asset.close)
    for day in (0, 77, len(targets) - 1):
        ahead = np.diff(np.log(asset.close[day : day + HORIZON + 1]))
        total = np.log(asset.close[day + HORIZON] / asset.close[day])
        up, scaled, ratio, big = targets[day]
        assert up == (total > 0)
        assert scaled == pytest.approx(total / sigma[day], rel=1e-5)
        assert ratio == pytest.approx((ahead**2).mean() / sigma[day] ** 2, rel=1e-5)
        assert big == (abs(total) > 2 * sigma[day] * np.sqrt(HORIZON))
    assert len(targets) == len(asset.close) - HORIZON


def test_later_prices_change_no_feature_and_no_unit():
    asset = bars()
    later = asset.close.copy()
    later[200:] *= 3
    poisoned = Bars("X", "test", asset.dates, later, asset.volume)
    assert bar_features(asset)[:200].tobytes() == bar_features(poisoned)[:200].tobytes()
    assert sigmas(asset.close)[:200].tobytes() == sigmas(later)[:200].tobytes()


def test_samples_begin_when_features_are_ready_and_end_within_the_data():
    asset = bars()
    samples = samples_of([asset, asset])
    each = len(asset.close) - HORIZON - READY_RETURNS
    assert len(samples.features) == 2 * each
    assert samples.dates[0] == asset.dates[READY_RETURNS]
    assert samples.ends[-1] == asset.dates[-1]
    assert ((samples.ends - samples.dates).astype(int) == HORIZON).all()
    assert np.isfinite(samples.targets).all()


def test_a_price_that_stands_still_is_left_out():
    asset = bars()
    asset.close[100:220] = asset.close[100]
    samples = samples_of([asset])
    assert samples.sigma.min() >= FROZEN


def test_the_close_is_at_four_in_new_york_summer_and_winter():
    days = np.array(["2013-10-07", "2013-12-02"], "datetime64[D]")
    wanted = [datetime(2013, 10, 7, 16, tzinfo=EASTERN), datetime(2013, 12, 2, 16, tzinfo=EASTERN)]
    assert close_ns(days).tolist() == [to_ns(moment) for moment in wanted]


def test_the_packages_hold_what_the_documents_say():
    pytest.importorskip("skfolio")
    assets = load_bars()
    assert [a.source for a in assets].count("skfolio") == 21
    assert {a.name for a in assets if a.volume.any()} == {"sp500_volume", "nasdaq_volume"}
    for asset in assets:
        assert (np.diff(asset.dates).astype(int) > 0).all()
        assert (asset.close > 0).all()
        assert asset.dates[0] >= np.datetime64("1990-01-02")
        assert asset.dates[-1] <= np.datetime64("2022-12-28")
