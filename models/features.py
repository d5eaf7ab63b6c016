"""Tick features, incremental and compiled: the same code in training, predictor and hub.

State is one row of float64 for each symbol, allocated once, so a tick costs the same whatever the
number of symbols. ``feature_spec`` holds the names, the formulas and their digest. No I/O; nothing
here is safe for two threads on the same state at once.
"""

import math

import numpy as np
import numpy.typing as npt

from relentless.models.compiled import compiled
from relentless.models.feature_spec import (
    FLOOR,
    LIMIT,
    PLAUSIBLE,
    READY_RETURNS,
    TICK_FEATURES,
    feature_digest,
)

__all__ = [
    "FEATURES",
    "READY_RETURNS",
    "STATE_COLUMNS",
    "TICK_FEATURES",
    "feature_digest",
    "new_state",
    "read_many",
    "ready",
    "update_many",
    "update_quote",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_] | npt.NDArray[np.uint8]
Out = npt.NDArray[np.float32]

# The definition that the code below computes. It is pinned here because the compiler's cache looks
# at the age of this file alone: whoever changes ``feature_spec`` must touch this file too. Another
# order of operations rounds otherwise, and then training ends in other weights.
if (
    feature_digest() != "af7b8acd974e76cb579d44ad9c11ec7a5cd3ef6a215a30553ceb276fef4800c1"
):  # pragma: no cover
    raise ImportError("feature_spec has changed: bring models/features.py and its pin in line")

FEATURES = len(TICK_FEATURES)
"""F, the number of columns of a feature row."""

# Columns of a state row. Distances are x - EW(x), kept as such: no large numbers cancel.
(
    _PRICES,
    _LOG,
    _PRICE,
    _SECONDS,
    _NANOS,
    _RET,
    _DIST_5,
    _DIST_12,
    _DIST_21,
    _DIST_26,
    _DIST_63,
    _DIST_126,
    _MACD_SIGNAL,
    _GAIN,
    _LOSS,
    _VAR_5,
    _VAR_32,
    _VAR_126,
    _VAR_504,
    _DOWN,
    _CUBE,
    _FOURTH,
    _LAGGED,
    _HIGH,
    _LOW,
    _SIDE,
    _VOLUMES,
    _LOGV_5,
    _LOGV_63,
    _LOGV_VAR,
    _LOGV_LAST,
    _SIDED,
    _UNSIDED,
    _TRADES,
    _VWAP_TOP,
    _VWAP_BOTTOM,
    _BID,
    _ASK,
    _QUOTED,
    _PRESSURE,
    _INTERVAL,
    _GAP,
) = range(42)

STATE_COLUMNS = 42
"""K, the number of columns of a state row."""

_BILLION = 1_000_000_000
_FLOOR_2 = FLOOR * FLOOR
_LOG_3 = math.log(3.0)
_FADE = 2.0 / 253.0


def _walk_sd(span: int) -> float:
    """Give the standard deviation of a unit random walk's distance from its EW mean."""
    kept = 1.0 - 2.0 / (span + 1.0)
    return kept / math.sqrt(1.0 - kept * kept)


_SD_5, _SD_21, _SD_63, _SD_126 = (_walk_sd(span) for span in (5, 21, 63, 126))
_ROOT_21, _ROOT_26, _ROOT_63, _ROOT_126 = (math.sqrt(span) for span in (21, 26, 63, 126))


def new_state(n_symbols: int) -> Floats:
    """Give the state of ``n_symbols`` symbols that have seen nothing: float64 [n_symbols, K]."""
    return np.zeros((n_symbols, STATE_COLUMNS), np.float64)


def ready(state: Floats, symbol: int) -> bool:
    """Say whether a symbol has the returns that its features need to count."""
    return bool(state[symbol, _PRICES] > READY_RETURNS)


@compiled
def _step(span: float, inverse: float) -> float:
    """Give the share of the way that an EW mean moves to its newest value."""
    return max(2.0 / (span + 1.0), inverse)


@compiled
def _cut(value: float, limit: float) -> float:
    """Cut to [-limit, limit]; a NaN becomes 0."""
    if value != value:
        return 0.0
    return min(max(value, -limit), limit)


@compiled
def _quote_position(s: Floats) -> float:
    half = 0.5 * (s[_ASK] - s[_BID])
    if half <= 0.0:
        return 0.0
    return _cut((s[_PRICE] - (s[_BID] + half)) / half, 1.0)


@compiled
def _absorb_quote(s: Floats, bid: float, ask: float) -> None:
    if 0.0 < bid <= ask < PLAUSIBLE:
        s[_BID] = bid
        s[_ASK] = ask


@compiled
def _absorb_interval(s: Floats, ts_ns: int, n: float) -> None:
    seconds = ts_ns // _BILLION
    nanos = ts_ns - seconds * _BILLION
    if n > 1.0:
        dt = max(0.0, (seconds - s[_SECONDS]) + (nanos - s[_NANOS]) * 1e-9)
        s[_INTERVAL] += _step(63.0, 1.0 / (n - 1.0)) * (dt - s[_INTERVAL])
        s[_GAP] = _cut(math.log((dt + 1e-6) / (s[_INTERVAL] + 1e-6)), 2.0)
    s[_SECONDS] = seconds
    s[_NANOS] = nanos


@compiled
def _absorb_return(s: Floats, r: float, inverse: float) -> None:
    """Move every mean of powers of the return; ``inverse`` is 1 / m."""
    square = r * r
    fall = min(r, 0.0)
    slow = _step(126.0, inverse)
    unit = _step(32.0, inverse)
    wilder = max(1.0 / 14.0, inverse)
    s[_VAR_5] += _step(5.0, inverse) * (square - s[_VAR_5])
    s[_VAR_32] += unit * (square - s[_VAR_32])
    s[_VAR_126] += slow * (square - s[_VAR_126])
    s[_VAR_504] += _step(504.0, inverse) * (square - s[_VAR_504])
    s[_DOWN] += slow * (fall * fall - s[_DOWN])
    s[_CUBE] += slow * (square * r - s[_CUBE])
    s[_FOURTH] += slow * (square * square - s[_FOURTH])
    s[_LAGGED] += unit * (r * s[_RET] - s[_LAGGED])
    s[_GAIN] += wilder * (max(r, 0.0) - s[_GAIN])
    s[_LOSS] += wilder * (max(-r, 0.0) - s[_LOSS])
    s[_RET] = r
    if r != 0.0:
        s[_SIDE] = 1.0 if r > 0.0 else -1.0


@compiled
def _absorb_price(s: Floats, ts_ns: int, price: float) -> None:
    n = s[_PRICES] + 1.0
    x = math.log(price)
    _absorb_interval(s, ts_ns, n)
    if n > 1.0:
        r = x - s[_LOG]
        _absorb_return(s, r, 1.0 / (n - 1.0))
        inverse = 1.0 / n
        s[_DIST_5] = (1.0 - _step(5.0, inverse)) * (s[_DIST_5] + r)
        s[_DIST_12] = (1.0 - _step(12.0, inverse)) * (s[_DIST_12] + r)
        s[_DIST_21] = (1.0 - _step(21.0, inverse)) * (s[_DIST_21] + r)
        s[_DIST_26] = (1.0 - _step(26.0, inverse)) * (s[_DIST_26] + r)
        s[_DIST_63] = (1.0 - _step(63.0, inverse)) * (s[_DIST_63] + r)
        s[_DIST_126] = (1.0 - _step(126.0, inverse)) * (s[_DIST_126] + r)
        macd = s[_DIST_26] - s[_DIST_12]
        s[_MACD_SIGNAL] += _step(9.0, inverse) * (macd - s[_MACD_SIGNAL])
        s[_HIGH] = max(x, s[_HIGH] + _FADE * (x - s[_HIGH]))
        s[_LOW] = min(x, s[_LOW] + _FADE * (x - s[_LOW]))
    else:
        s[_HIGH] = x
        s[_LOW] = x
    s[_PRICES] = n
    s[_LOG] = x
    s[_PRICE] = price
    if s[_ASK] > 0.0:
        s[_QUOTED] += 1.0
        s[_PRESSURE] += _step(21.0, 1.0 / s[_QUOTED]) * (_quote_position(s) - s[_PRESSURE])


@compiled
def _absorb_volume(s: Floats, volume: float, priced: bool) -> None:
    s[_VOLUMES] += 1.0
    inverse = 1.0 / s[_VOLUMES]
    w = math.log(volume)
    slow = _step(63.0, inverse)
    s[_LOGV_LAST] = w
    away = w - s[_LOGV_63]
    s[_LOGV_VAR] = (1.0 - slow) * (s[_LOGV_VAR] + slow * away * away)
    s[_LOGV_63] += slow * away
    s[_LOGV_5] += _step(5.0, inverse) * (w - s[_LOGV_5])
    side = _step(21.0, inverse)
    s[_SIDED] += side * (s[_SIDE] * volume - s[_SIDED])
    s[_UNSIDED] += side * (volume - s[_UNSIDED])
    if priced:
        s[_TRADES] += 1.0
        share = _step(63.0, 1.0 / s[_TRADES])
        s[_VWAP_TOP] += share * (s[_PRICE] * volume - s[_VWAP_TOP])
        s[_VWAP_BOTTOM] += share * (volume - s[_VWAP_BOTTOM])


@compiled
def _emit_moves(s: Floats, sigma: float, out: Out) -> None:
    """Write columns 0 to 9: where the price has gone."""
    macd = (s[_DIST_26] - s[_DIST_12]) / (sigma * _ROOT_26)
    total = s[_GAIN] + s[_LOSS]
    out[0] = _cut(s[_RET] / sigma, LIMIT)
    out[1] = _cut(s[_DIST_5] / (sigma * _SD_5), LIMIT)
    out[2] = _cut(s[_DIST_21] / (sigma * _SD_21), LIMIT)
    out[3] = _cut(s[_DIST_63] / (sigma * _SD_63), LIMIT)
    out[4] = _cut(s[_DIST_126] / (sigma * _SD_126), LIMIT)
    out[5] = _cut((s[_DIST_21] - s[_DIST_5]) / (sigma * _ROOT_21), LIMIT)
    out[6] = _cut((s[_DIST_126] - s[_DIST_21]) / (sigma * _ROOT_126), LIMIT)
    out[7] = _cut(macd, LIMIT)
    out[8] = _cut(s[_MACD_SIGNAL] / (sigma * _ROOT_26), LIMIT)
    out[9] = 2.0 * s[_GAIN] / total - 1.0 if total > 0.0 else 0.0


@compiled
def _emit_shape(s: Floats, sigma: float, out: Out) -> None:
    """Write columns 10 to 20: how it has moved, and where it lies in its range."""
    var = s[_VAR_32] + _FLOOR_2
    slow = s[_VAR_126] + _FLOOR_2
    out[10] = _cut(abs(s[_RET]) / sigma, LIMIT)
    out[11] = _cut(0.5 * math.log((s[_VAR_5] + _FLOOR_2) / var), LIMIT)
    out[12] = _cut(0.5 * math.log(var / slow), LIMIT)
    out[13] = _cut(0.5 * math.log(slow / (s[_VAR_504] + _FLOOR_2)), LIMIT)
    out[14] = 2.0 * s[_DOWN] / slow - 1.0 if s[_PRICES] > 1.0 else 0.0
    out[15] = _cut(s[_CUBE] / (slow * math.sqrt(slow)), LIMIT)
    out[16] = _cut(math.log((s[_FOURTH] + _FLOOR_2 * _FLOOR_2) / (slow * slow)) - _LOG_3, LIMIT)
    out[17] = _cut(s[_LAGGED] / var, 1.0)
    width = s[_HIGH] - s[_LOW]
    scale = sigma * _ROOT_63
    out[18] = _cut((s[_LOG] - s[_HIGH]) / scale, LIMIT)
    out[19] = _cut((s[_LOG] - s[_LOW]) / scale, LIMIT)
    out[20] = 2.0 * (s[_LOG] - s[_LOW]) / width - 1.0 if width > 0.0 else 0.0


@compiled
def _emit_market(s: Floats, sigma: float, out: Out) -> None:
    """Write columns 21 to 31: volume, quote, time, and what was seen at all."""
    spread = math.sqrt(s[_LOGV_VAR] + 1e-4)
    for column in range(21, 27):
        out[column] = 0.0
    if s[_VOLUMES] > 0.0:
        out[21] = _cut((s[_LOGV_LAST] - s[_LOGV_63]) / spread, LIMIT)
        out[22] = _cut((s[_LOGV_5] - s[_LOGV_63]) / spread, LIMIT)
        out[23] = _cut(s[_SIDED] / s[_UNSIDED], 1.0)
    if s[_TRADES] > 0.0:
        vwap = s[_VWAP_TOP] / s[_VWAP_BOTTOM]
        out[24] = _cut((s[_PRICE] / vwap - 1.0) / (sigma * _SD_63), LIMIT)
    if s[_ASK] > 0.0:
        mid = 0.5 * (s[_BID] + s[_ASK])
        out[25] = _cut(math.log1p((s[_ASK] - s[_BID]) / mid / sigma), LIMIT)
        if s[_PRICES] > 0.0:
            out[26] = _quote_position(s)
    out[27] = s[_PRESSURE]
    out[28] = s[_GAP]
    out[29] = min(1.0, max(0.0, s[_PRICES] - 1.0) / READY_RETURNS)
    out[30] = 1.0 if s[_ASK] > 0.0 else 0.0
    out[31] = 1.0 if s[_VOLUMES] > 0.0 else 0.0


@compiled
def _emit(s: Floats, out: Out) -> None:
    sigma = math.sqrt(s[_VAR_32] + _FLOOR_2)
    _emit_moves(s, sigma, out)
    _emit_shape(s, sigma, out)
    _emit_market(s, sigma, out)


@compiled
def _absorb(
    s: Floats, ts_ns: int, price: float, volume: float, bid: float, ask: float, not_last: bool
) -> None:
    _absorb_quote(s, bid, ask)
    priced = not not_last and 0.0 < price < PLAUSIBLE
    if priced:
        _absorb_price(s, ts_ns, price)
    if 0.0 < volume < PLAUSIBLE:
        _absorb_volume(s, volume, priced)


@compiled
def _check(state: Floats, symbol_ids: Ints, lengths: tuple[int, ...]) -> None:
    if state.shape[1] != STATE_COLUMNS:
        raise ValueError("the state has another number of columns; make it with new_state")
    for length in lengths:
        if length != symbol_ids.size:
            raise ValueError("the columns of the ticks differ in length")
    for symbol in symbol_ids:
        if not 0 <= symbol < state.shape[0]:
            raise IndexError("a symbol id lies outside the state; nothing was updated")


@compiled
def update_many(
    state: Floats,
    symbol_ids: Ints,
    ts_ns: Ints,
    price: Floats,
    volume: Floats,
    bid: Floats,
    ask: Floats,
    not_last: Flags,
    out: Out,
) -> None:
    """Take N ticks in order, and write the features after each one to ``out`` [N, F].

    ``symbol_ids`` are rows of ``state``; ``ts_ns`` is ns since the Unix epoch; ``volume`` is in
    units traded (0: none); ``bid`` and ``ask`` are prices (0: no quote, the last one stays). A tick
    without a plausible price, or marked ``not_last``, moves quote and volume only.

    Raises:
        ValueError: columns of unequal length, or a foreign state.
        IndexError: a symbol id outside the state. Either way nothing was updated.

    """
    _check(
        state,
        symbol_ids,
        (ts_ns.size, price.size, volume.size, bid.size, ask.size, not_last.size, out.shape[0]),
    )
    for i in range(symbol_ids.size):
        s = state[symbol_ids[i]]
        _absorb(s, ts_ns[i], price[i], volume[i], bid[i], ask[i], bool(not_last[i]))
        _emit(s, out[i])


@compiled
def read_many(state: Floats, symbol_ids: Ints, out: Out) -> None:
    """Write the features as they stand to ``out`` [N, F], without a tick.

    Raises:
        ValueError: unequal lengths, or a foreign state.
        IndexError: a symbol id outside the state.

    """
    _check(state, symbol_ids, (out.shape[0],))
    for i in range(symbol_ids.size):
        _emit(state[symbol_ids[i]], out[i])


@compiled
def update_quote(state: Floats, symbol: int, bid: float, ask: float) -> None:
    """Take a quote without a trade; an implausible or crossed one leaves the last quote.

    Raises:
        IndexError: a symbol id outside the state.

    """
    if not 0 <= symbol < state.shape[0]:
        raise IndexError("a symbol id lies outside the state")
    _absorb_quote(state[symbol], bid, ask)
