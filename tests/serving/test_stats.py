"""What the predictor says of itself."""

import gc

import numpy as np
import pytest

from relentless.configs.process import settle
from relentless.serving.pipeline import StageTimes
from relentless.serving.stats import Stats, _Window


@pytest.mark.parametrize("scale", [30.0, 4e3, 1e5, 3e8])
def test_percentiles_are_known_to_a_few_per_cent(scale: float) -> None:
    values = np.random.default_rng(5).exponential(scale, 20_000).astype(int) + 64
    window = _Window()
    for value in values.tolist():
        window.record(value)
    for p, got in zip((1, 50, 99, 99.9), window.percentiles_us(1, 50, 99, 99.9), strict=True):
        assert got is not None
        assert got * 1_000 == pytest.approx(np.percentile(values, p), rel=0.04, abs=60)


def test_small_and_huge_values_have_a_place() -> None:
    window = _Window()
    for value in (0, 1, 63, 64, 10**15):
        window.record(value)
    smallest, largest = window.percentiles_us(0, 100)
    assert smallest is not None
    assert largest is not None
    assert smallest < largest


def test_a_window_forgets_after_two_turns() -> None:
    window = _Window()
    window.record(1_000)
    window.turn()
    assert window.percentiles_us(50)[0] == pytest.approx(1.0, rel=0.04)
    window.turn()
    assert window.percentiles_us(50) == [None]


def test_a_report_counts_ticks_and_signals() -> None:
    stats = Stats()
    stats.step(10, 7, 20_000, StageTimes(0, 1_000, 3_000, 6_000, 10_000))
    report = stats.report()
    assert (report["ticks"], report["signals"]) == (10, 7)
    assert report["p50_us"] == report["p99_us"] == pytest.approx(20.0, rel=0.04)
    assert report["p99_9_us"] == report["max_us"] == report["p50_us"]
    assert report["stages_p50_us"]["finish"] == pytest.approx(4.0, rel=0.04)
    assert report["stages_p99_us"]["prepare"] == pytest.approx(1.0, rel=0.04)


def test_a_report_says_how_long_the_garbage_collector_stopped_everything() -> None:
    stats = Stats()
    assert stats.report()["collector_max_us"] is None
    stats = Stats()
    with stats.watch_collector():
        gc.collect()
    gc.collect()
    assert stats.report()["collector_max_us"] > 0
    assert sum(stats._pauses._now) == 1


def test_what_start_up_made_is_out_of_the_collectors_sight() -> None:
    try:
        settle()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_count()[2] == 0
    finally:
        gc.unfreeze()
