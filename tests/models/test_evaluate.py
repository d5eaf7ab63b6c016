"""The measures against cases whose answer is known."""

import numpy as np
import pytest

from relentless.models.context_vector import CONTEXT_VECTOR
from relentless.models.datasets import Samples
from relentless.models.evaluate import (
    BLOCK,
    auc,
    calibration,
    cross_entropy,
    evaluate,
    quasi_likelihood,
    resamples,
)
from relentless.models.feature_spec import TICK_FEATURES
from relentless.models.weights import Weights, shapes


def test_auc_counts_pairs():
    rng = np.random.default_rng(0)
    score, happened = rng.integers(0, 6, 80).astype(float), (rng.random(80) < 0.4).astype(float)
    pairs = [(a > b) + (a == b) / 2 for a in score[happened == 1] for b in score[happened == 0]]
    everything = np.arange(80)
    assert auc(score, happened)(everything) == pytest.approx(np.mean(pairs))
    assert auc(score, happened)(np.repeat(everything, 3)) == pytest.approx(np.mean(pairs))
    assert auc(score, np.zeros(80))(everything) == 0.5


def test_the_losses_have_their_minimum_at_the_truth():
    rng = np.random.default_rng(1)
    happened = (rng.random(20_000) < 0.3).astype(float)
    said = [cross_entropy(np.full(20_000, p), happened).mean() for p in (0.2, 0.3, 0.4)]
    assert min(said) == said[1]
    variance = rng.exponential(2.0, 20_000)
    said = [quasi_likelihood(variance, np.full(20_000, v)).mean() for v in (1.6, 2.0, 2.5)]
    assert min(said) == said[1]


def test_calibration_bins_hold_equally_many_rows():
    p = np.linspace(0, 1, 100)
    bins = calibration(p, (p > 0.5).astype(float))
    assert [b["observed"] for b in bins] == [0, 0, 0.5, 1, 1]
    assert [b["said"] for b in bins] == sorted(b["said"] for b in bins)


def test_resamples_take_whole_days_in_blocks():
    dates = np.repeat(np.datetime64("2020-01-01") + np.arange(100), 3)
    shuffled = np.random.default_rng(0).permutation(dates)
    draws = resamples(shuffled, seed=5)
    assert all((a == b).all() for a, b in zip(draws, resamples(shuffled, seed=5), strict=True))
    for rows in draws[:20]:
        days = shuffled[rows].reshape(-1, 3)
        assert (days == days[:, :1]).all()
        assert len(days) == 100
        steps = np.diff(days[:, 0]).astype(int)
        assert (steps != 1).sum() <= 100 // BLOCK


def test_a_model_that_says_the_baseline_gains_nothing():
    rng = np.random.default_rng(2)
    count, f, c = 800, len(TICK_FEATURES), len(CONTEXT_VECTOR)
    big = (rng.random(count) < 0.1).astype(np.float32)
    up = (rng.random(count) < 0.55).astype(np.float32)
    big[:80], big[80:], up[:440], up[440:] = 1, 0, 1, 0
    samples = Samples(
        features=np.zeros((count, f), np.float32),
        targets=np.column_stack([up, rng.normal(size=count), np.ones(count), big]).astype("f4"),
        dates=np.datetime64("2020-01-01") + np.repeat(np.arange(100), 8),
        ends=np.datetime64("2020-01-06") + np.repeat(np.arange(100), 8),
        assets=np.tile(np.arange(8), 100),
        sigma=rng.uniform(0.005, 0.02, count),
    )
    nothing = {n: np.zeros(s, np.float32) for n, s in shapes(c, f).items()}
    says = np.array([np.log(0.55 / 0.45), 0.0, np.log(np.e - 1), np.log(0.1 / 0.9)], np.float32)
    weights = Weights(**nothing | {"b3": says})
    found = evaluate(weights, samples, samples, np.zeros((1, c), np.float32), seed=1)
    measures = {name: m["value"] for name, m in found["measures"].items()}
    for name in (
        "direction_log_loss_gain",
        "direction_accuracy_gain",
        "return_r2_against_zero",
        "volatility_qlike_gain_over_ewma",
        "volatility_qlike_gain_over_har",
        "risk_log_loss_gain",
        "context_risk_gain",
        "context_volatility_gain",
    ):
        assert measures[name] == pytest.approx(0, abs=1e-4), name
    assert measures["direction_auc"] == measures["risk_auc"] == 0.5
    assert found["rows"] == count and found["days"] == 100
