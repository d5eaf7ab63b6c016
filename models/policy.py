"""The decision policy: what a prediction means for one tick. Pure and compiled, no I/O.

Below stands the model (the four heads of ``serving.ports.HEADS``), above the tick pipeline, which
runs :func:`decide` for every tick and keeps one row of :func:`new_tracker` for each symbol.

With price ``p``, ``sigma`` the volatility of one price tick (the features' own unit), ``cost`` half
the quoted spread over the mid price (``NO_QUOTE_COST`` without a quote), heads ``p_up``,
``expected_return`` (in sigmas), ``volatility_ratio`` and ``risk``:

* expected move ``mu = expected_return * sigma``; forward volatility
  ``s = sigma * cut(volatility_ratio, 0.25, 4)``.
* side: ``mu``'s sign. It is taken when ``q``, the probability of that side, is at least ``enter``
  and ``|mu| >= cost_weight * cost``; once taken it is kept while ``q >= stay`` (a Schmitt trigger,
  so that noise about one threshold does not trade). Otherwise hold.
* ``confidence = |2 p_up - 1| * (1 - risk)``: the Kelly fraction of an even bet (Kelly, 1956),
  shrunk by the risk of a large move.
* ``position_size = side * limit * confidence * min(1, target_volatility / annual)``: volatility
  targeting (Moskowitz, Ooi and Pedersen, 2012; Harvey et al., 2018), where
  ``annual = s * sqrt(TRADING_SECONDS / seconds between price ticks)``.
* ``price_target = p * (1 + side * K_TARGET * s)`` and ``stop_loss = p * (1 - side * K_STOP * s)``,
  both ``p`` on hold. So ``p`` is always ``(K_STOP * price_target + K_TARGET * stop_loss) /
  (K_STOP + K_TARGET)``: the frame carries its reference price (``levels.reference_price``).
* ``risk_score = round(255 * risk)``; ``urgency = round(255 * (1 - cost / |mu|))``, the share of the
  expected move that is left after crossing the spread; 0 on hold and where nothing is left.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from relentless.models.compiled import compiled
from relentless.models.feature_spec import FLOOR, PLAUSIBLE, SIGMA_SPAN
from relentless.models.levels import K_STOP, K_TARGET

NO_QUOTE_COST = 5e-4
"""Five basis points: assumed where no quote says the cost."""
TRADING_SECONDS = 252 * 6.5 * 3600.0
MIN_INTERVAL_S = 1e-3

HOLD, BUY, SELL = 0, 1, 2

TRACK_COLUMNS = 5
"""Columns of a tracker row: price ticks, log price, variance, time (s), interval (s)."""


class PolicyLimits(NamedTuple):
    """What the policy may do; plain numbers, so that compiled code takes it as it is."""

    enter: float = 0.52
    stay: float = 0.505
    cost_weight: float = 1.0
    target_volatility: float = 0.20
    """Annual."""
    max_position: float = 1.0
    """Fraction of the limit."""


class Decision(NamedTuple):
    """One row of the policy's answer."""

    action: int
    confidence: float
    price_target: float
    stop_loss: float
    position_size: float
    risk_score: int
    urgency: int


def new_tracker(n_symbols: int) -> npt.NDArray[np.float64]:
    """Give the volatility tracker of ``n_symbols`` symbols that have seen nothing."""
    return np.zeros((n_symbols, TRACK_COLUMNS))


@compiled
def track(row: npt.NDArray[np.float64], ts_ns: int, price: float, not_last: bool) -> None:
    """Take one tick into a tracker row: the features' ``sigma``, and the mean interval.

    The variance is ``EW_32(r * r)`` as ``feature_spec`` writes it, the interval ``EW_32(dt)``. Kept
    apart from the feature state so that every tick of a batch meets its own value.
    """
    if not_last or not 0.0 < price < PLAUSIBLE:
        return
    x = math.log(price)
    seconds = ts_ns * 1e-9
    n = row[0] + 1.0
    if n > 1.0:
        step = max(2.0 / (SIGMA_SPAN + 1.0), 1.0 / (n - 1.0))
        r = x - row[1]
        row[2] += step * (r * r - row[2])
        row[4] += step * (max(0.0, seconds - row[3]) - row[4])
    row[0] = n
    row[1] = x
    row[3] = seconds


@compiled
def sigma_of(row: npt.NDArray[np.float64]) -> float:
    """Give the volatility of one price tick, never below the features' floor."""
    return math.sqrt(row[2] + FLOOR * FLOOR)


@compiled
def half_spread(bid: float, ask: float) -> float:
    """Give half the spread over the mid price; ``NO_QUOTE_COST`` without a valid quote."""
    if 0.0 < bid <= ask < PLAUSIBLE:
        return (ask - bid) / (ask + bid)
    return NO_QUOTE_COST


@compiled
def _side(p_up: float, mu: float, cost: float, stance: int, limits: PolicyLimits) -> int:
    """Give +1, -1 or 0: the Schmitt trigger of the module's second point."""
    side = 1 if mu > 0.0 else -1
    q = p_up if side > 0 else 1.0 - p_up
    kept = stance == (BUY if side > 0 else SELL)
    if kept and q >= limits.stay and mu != 0.0:
        return side
    if q >= limits.enter and abs(mu) >= limits.cost_weight * cost and mu != 0.0:
        return side
    return 0


@compiled
def decide(
    p_up: float,
    expected_return: float,
    volatility_ratio: float,
    risk: float,
    price: float,
    cost: float,
    sigma: float,
    interval_s: float,
    stance: int,
    limits: PolicyLimits,
) -> tuple[int, float, float, float, float, int, int]:
    """Turn one prediction into the fields of ``Decision``, by the module's formulas.

    ``cost`` is :func:`half_spread`; ``stance`` the action of the symbol's last emitted signal. A
    prediction that is not finite gives NaNs, which the gates refuse.
    """
    if not math.isfinite(p_up + expected_return + volatility_ratio + risk):  # before they are cut
        return HOLD, math.nan, math.nan, math.nan, math.nan, 255, 0
    mu = expected_return * sigma
    forward = sigma * min(max(volatility_ratio, 0.25), 4.0)
    side = _side(p_up, mu, cost, stance, limits)
    risk = min(max(risk, 0.0), 1.0)
    confidence = min(abs(2.0 * p_up - 1.0), 1.0) * (1.0 - risk)
    annual = forward * math.sqrt(TRADING_SECONDS / max(interval_s, MIN_INTERVAL_S))
    size = side * limits.max_position * confidence * min(1.0, limits.target_volatility / annual)
    target = price * (1.0 + side * K_TARGET * forward)
    stop = price * (1.0 - side * K_STOP * forward)
    urgency = 0
    if side != 0 and abs(mu) > cost:
        urgency = int(255.0 * (1.0 - cost / abs(mu)) + 0.5)
    action = HOLD if side == 0 else (BUY if side > 0 else SELL)
    return action, confidence, target, stop, size, int(255.0 * risk + 0.5), urgency
