"""The decision policy against its own formulas, written out plainly."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.models import features, policy
from relentless.models.feature_spec import FLOOR
from relentless.models.levels import reference_price
from relentless.models.policy import BUY, HOLD, SELL, Decision, PolicyLimits

LIMITS = PolicyLimits(enter=0.55, stay=0.51, cost_weight=1.0, max_position=0.8)
unit = st.floats(0.0, 1.0)
prices = st.floats(0.01, 1e6)


def reference(
    p_up: float,
    expected: float,
    ratio: float,
    risk: float,
    price: float,
    cost: float,
    sigma: float,
    interval: float,
    stance: int,
) -> Decision:
    """The module's docstring, line by line."""
    mu = expected * sigma
    forward = sigma * min(4.0, max(0.25, ratio))
    sign = 1 if mu > 0 else -1
    q = p_up if sign == 1 else 1 - p_up
    enters = q >= LIMITS.enter and abs(mu) >= LIMITS.cost_weight * cost
    stays = stance == (BUY if sign == 1 else SELL) and q >= LIMITS.stay
    side = sign if mu != 0 and (enters or stays) else 0
    confidence = abs(2 * p_up - 1) * (1 - risk)
    annual = forward * math.sqrt(252 * 6.5 * 3600 / max(interval, 1e-3))
    size = side * LIMITS.max_position * confidence * min(1, LIMITS.target_volatility / annual)
    urgency = round(255 * (1 - cost / abs(mu))) if side and abs(mu) > cost else 0
    action = {0: HOLD, 1: BUY, -1: SELL}[side]
    target, stop = price * (1 + side * 20 * forward), price * (1 - side * 10 * forward)
    return Decision(action, confidence, target, stop, size, round(255 * risk), urgency)


@settings(deadline=None)
@given(
    st.tuples(
        unit,
        st.floats(-5, 5),
        st.floats(0, 10),
        unit,
        prices,
        st.floats(0, 0.01),
        st.floats(1e-6, 0.01),
        st.floats(0, 100),
        st.sampled_from([HOLD, BUY, SELL]),
    )
)
def test_a_decision_follows_the_formulas(
    row: tuple[float, float, float, float, float, float, float, float, int],
) -> None:
    got = Decision(*policy.decide(*row, LIMITS))
    want = reference(*row)
    assert got.action == want.action
    assert got[1:5] == pytest.approx(want[1:5], rel=1e-12, abs=1e-15)
    assert abs(got.risk_score - want.risk_score) <= 1  # halves round either way
    assert abs(got.urgency - want.urgency) <= 1


@settings(deadline=None)
@given(unit, st.floats(-5, 5), st.floats(0, 10), unit, prices, st.floats(0, 0.01))
def test_what_is_decided_fits_the_frame_and_the_limits(
    p_up: float, expected: float, ratio: float, risk: float, price: float, cost: float
) -> None:
    got = Decision(*policy.decide(p_up, expected, ratio, risk, price, cost, 1e-4, 1.0, 0, LIMITS))
    assert 0 <= got.confidence <= 1
    assert abs(got.position_size) <= LIMITS.max_position
    assert 0 <= got.risk_score <= 255
    assert 0 <= got.urgency <= 255
    assert np.sign(got.position_size) in (0, {HOLD: 0, BUY: 1, SELL: -1}[got.action])
    if got.action == HOLD:
        assert (got.position_size, got.urgency) == (0, 0)
        assert got.price_target == got.stop_loss == price


@settings(deadline=None)
@given(unit, st.floats(-5, 5), st.floats(0, 10), unit, prices, st.floats(1e-6, 0.01))
def test_the_reference_price_can_be_read_from_the_frame(
    p_up: float, expected: float, ratio: float, risk: float, price: float, sigma: float
) -> None:
    got = Decision(*policy.decide(p_up, expected, ratio, risk, price, 0.0, sigma, 1.0, 0, LIMITS))
    target, stop = float(np.float32(got.price_target)), float(np.float32(got.stop_loss))
    assert reference_price(target, stop) == pytest.approx(price, rel=3e-7)


def test_a_side_once_taken_is_kept_down_to_the_lower_threshold() -> None:
    def action(p_up: float, stance: int) -> int:
        return policy.decide(p_up, 1.0, 1.0, 0.1, 100.0, 0.0, 1e-4, 1.0, stance, LIMITS)[0]

    assert [action(p, HOLD) for p in (0.56, 0.54)] == [BUY, HOLD]
    assert [action(p, BUY) for p in (0.54, 0.511, 0.509)] == [BUY, BUY, HOLD]
    assert action(0.54, SELL) == HOLD


def test_a_move_smaller_than_the_cost_is_not_taken() -> None:
    def action(cost: float) -> int:
        return policy.decide(0.9, 1.0, 1.0, 0.1, 100.0, cost, 1e-4, 1.0, HOLD, LIMITS)[0]

    assert (action(0.99e-4), action(1.01e-4)) == (BUY, HOLD)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_prediction_that_is_not_finite_gives_nothing_that_passes(
    place: int, value: float
) -> None:
    heads = [0.6, 1.0, 1.0, 0.1]
    heads[place] = value
    got = Decision(*policy.decide(*heads, 100.0, 0.0, 1e-4, 1.0, HOLD, LIMITS))  # type: ignore[arg-type]
    floats = (got.confidence, got.price_target, got.stop_loss, got.position_size)
    assert got.action == HOLD
    assert not any(math.isfinite(number) for number in floats)


def test_the_tracker_is_the_features_own_volatility() -> None:
    rng = np.random.default_rng(3)
    state, tracker = features.new_state(1), policy.new_tracker(1)
    out = np.empty((1, features.FEATURES), np.float32)
    price = 50.0
    for i in range(300):
        price *= math.exp(rng.normal(0, 3e-4))
        ts, not_last = i * 500_000_000, i % 7 == 3
        policy.track(tracker[0], ts, price, not_last)
        features.update_many(
            state,
            np.zeros(1, np.int64),
            np.array([ts]),
            np.array([price]),
            np.ones(1),
            np.zeros(1),
            np.zeros(1),
            np.array([not_last]),
            out,
        )
    sigma = policy.sigma_of(tracker[0])
    last_return = out[0, features.TICK_FEATURES.index("abs_ret_1")] * sigma
    own = state[0]
    assert tracker[0, 0] == own[0]
    assert any(sigma == pytest.approx(math.sqrt(v + FLOOR**2), rel=1e-12) for v in own if v > 0)
    assert last_return > 0
    assert 0.5 <= tracker[0, 4] <= 1.0


def test_half_the_spread_is_a_share_of_the_mid_price() -> None:
    assert policy.half_spread(99.0, 101.0) == pytest.approx(0.01)
    assert policy.half_spread(0.0, 101.0) == policy.NO_QUOTE_COST
    assert policy.half_spread(102.0, 101.0) == policy.NO_QUOTE_COST
