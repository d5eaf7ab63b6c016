"""Who goes to the canary: always the same ones, and about as many as were asked for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.serving.routing import (
    BUCKETS,
    MINUTE_NS,
    bucket,
    bucket_after,
    label_for,
    prefix,
    threshold,
)

OPEN = 1_381_152_600_000_000_000  # 2013-10-07 09:30 in New York


@pytest.mark.parametrize(
    ("symbol", "minute", "expected"),
    [("SPY", 23_019_210, 7_703), ("XLF", 23_019_210, 1_598), ("SPY", 23_019_211, 5_844)],
)
def test_buckets_are_pinned(symbol: str, minute: int, expected: int) -> None:
    assert bucket(symbol, minute) == expected


@settings(deadline=None)
@given(st.text(max_size=8), st.integers(0, 2**62), st.floats(0, 1))
def test_a_minute_is_never_split(symbol: str, ts_ns: int, share: float) -> None:
    start = ts_ns - ts_ns % MINUTE_NS
    labels = {label_for(symbol, t, share) for t in (start, ts_ns, start + MINUTE_NS - 1)}
    assert len(labels) == 1


@settings(deadline=None)
@given(st.text(max_size=8), st.integers(0, 2**62), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_only_adds(symbol: str, ts_ns: int, one: float, two: float) -> None:
    small, large = sorted((one, two))
    if label_for(symbol, ts_ns, small) == "canary":
        assert label_for(symbol, ts_ns, large) == "canary"


def test_none_and_all() -> None:
    assert label_for("SPY", OPEN, 0.0) == "stable"
    assert label_for("SPY", OPEN, 1.0) == "canary"


def test_the_share_is_what_was_asked_for() -> None:
    symbols, minutes = [f"S{n}" for n in range(50)], range(400)
    chosen = sum(
        label_for(s, OPEN + m * MINUTE_NS, 0.05) == "canary" for s in symbols for m in minutes
    )
    assert 0.04 < chosen / (len(symbols) * len(minutes)) < 0.06


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=8), st.integers(0, 2**62))
def test_the_compiled_bucket_is_the_same(symbol: str, minute: int) -> None:
    assert bucket_after(prefix(symbol), minute) == bucket(symbol, minute) < BUCKETS


def test_a_share_of_four_decimals_has_exactly_its_buckets() -> None:
    assert [threshold(n / BUCKETS) for n in range(BUCKETS + 1)] == list(range(BUCKETS + 1))
