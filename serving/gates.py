"""The gates: why a result may not leave. Compiled predicates, one reason for each tick.

A tick's result meets them in this order and keeps the first reason that holds; 0 has passed. The
pipeline runs :func:`tick_reason` before the model and :func:`signal_reason` after it, and the feed
takes what passed. Everything fails closed: what cannot be told is refused.
"""

import math
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from relentless.models.compiled import compiled
from relentless.models.feature_spec import PLAUSIBLE, READY_RETURNS


class Reason(IntEnum):
    """Why a result was kept back. A value is never reused for another meaning."""

    PASSED = 0
    BAD_TICK = 1
    """A price, quote, volume or time that cannot be."""
    UNKNOWN_SYMBOL = 2
    CROSSED_QUOTE = 3
    SYMBOL_HELD = 4
    """The exchange has halted the symbol."""
    NO_CONTEXT = 5
    LOOK_AHEAD = 6
    """The context was built as of a moment after the tick."""
    STALE_CONTEXT = 7
    COLD = 8
    """Too few price ticks for the features to count."""
    SHED = 9
    """Overload: the tick moved the state and was not predicted."""
    MODEL = 10
    """No model version answered."""
    BAD_OUTPUT = 11
    """The model's answer is not finite."""
    HALTED = 12
    NO_LEASE = 13
    SIZE = 14
    COLLAR = 15
    DUPLICATE = 16
    """The same order for the same event."""
    RATE = 17


REASONS: tuple[str, ...] = tuple(reason.name.lower() for reason in Reason)
"""Names as they stand in statistics and in ``TradingSignal.refused``."""

STALE_REASONS = (int(Reason.NO_CONTEXT), int(Reason.STALE_CONTEXT))

BAD_TICK = int(Reason.BAD_TICK)
UNKNOWN_SYMBOL = int(Reason.UNKNOWN_SYMBOL)
_CROSSED_QUOTE = int(Reason.CROSSED_QUOTE)
_SYMBOL_HELD = int(Reason.SYMBOL_HELD)
_NO_CONTEXT = int(Reason.NO_CONTEXT)
_LOOK_AHEAD = int(Reason.LOOK_AHEAD)
_STALE_CONTEXT = int(Reason.STALE_CONTEXT)
_COLD = int(Reason.COLD)
_BAD_OUTPUT = int(Reason.BAD_OUTPUT)
_SIZE = int(Reason.SIZE)
_COLLAR = int(Reason.COLLAR)
_DUPLICATE = int(Reason.DUPLICATE)
_RATE = int(Reason.RATE)


class ContextAge(NamedTuple):
    """What the gates need to know of the daily context, as plain numbers."""

    present: bool = False
    as_of_ns: int = 0
    now_ns: int = 0
    """Market time of this batch."""
    max_age_ns: int = 0


class EmitLimits(NamedTuple):
    """Limits before emission."""

    max_position: float = 1.0
    price_collar: float = 0.10


@compiled
def bad_tick(ts_ns: int, price: float, bid: float, ask: float, volume: float) -> bool:
    """Say whether a tick's numbers cannot be: then it must not touch any state."""
    if ts_ns <= 0 or not 0.0 < price < PLAUSIBLE or not 0.0 <= volume < PLAUSIBLE:
        return True
    return not (0.0 <= bid < PLAUSIBLE and 0.0 <= ask < PLAUSIBLE)


@compiled
def tick_reason(
    ts_ns: int, bid: float, ask: float, held: int, prices: float, age: ContextAge
) -> int:
    """Give the first reason that a sound tick has before the model sees it, or 0.

    ``held`` is not 0 while the exchange halts the symbol; ``prices`` counts its price ticks, this
    one included.
    """
    if bid > ask > 0.0:
        return _CROSSED_QUOTE
    if held != 0:
        return _SYMBOL_HELD
    if not age.present:
        return _NO_CONTEXT
    if age.as_of_ns > ts_ns:
        return _LOOK_AHEAD
    if max(age.now_ns, ts_ns) - age.as_of_ns > age.max_age_ns:
        return _STALE_CONTEXT
    if prices <= READY_RETURNS:
        return _COLD
    return 0


@compiled
def signal_reason(
    ts_ns: int,
    price: float,
    action: int,
    confidence: float,
    target: float,
    stop: float,
    size: float,
    last_ts_ns: int,
    last_action: int,
    limits: EmitLimits,
) -> int:
    """Give the first reason that a decision must stay, or 0; ``last_*``: the last order's."""
    if not math.isfinite(confidence + target + stop + size):
        return _BAD_OUTPUT
    if abs(size) > limits.max_position:
        return _SIZE
    if max(abs(target - price), abs(stop - price)) > limits.price_collar * price:
        return _COLLAR
    if action != 0 and last_ts_ns == ts_ns and last_action == action:
        return _DUPLICATE
    return 0


@compiled
def take_token(bucket: npt.NDArray[np.float64]) -> int:
    """Take one token of the rate limit's bucket: 0, or the reason that there was none."""
    if bucket[0] < 1.0:
        return _RATE
    bucket[0] -= 1.0
    return 0


@compiled
def refill(bucket: npt.NDArray[np.float64], monotonic_ns: int) -> None:
    """Add the tokens of the time since the last call, up to the burst."""
    tokens = bucket[0] + (monotonic_ns - bucket[3]) * bucket[1]
    bucket[0] = min(bucket[2], tokens)
    bucket[3] = monotonic_ns


def new_bucket(per_s: int) -> npt.NDArray[np.float64]:
    """Give a token bucket of wall time: ``per_s`` a second, a burst of a tenth of that.

    An array, so that compiled code takes tokens without a call back: tokens, tokens a ns, burst,
    ns of the last refill.
    """
    burst = max(1.0, per_s / 10)
    return np.array([burst, per_s / 1e9, burst, 0.0])


class GateCounts:
    """How many results ended with each reason; ``array`` is counted up by compiled code."""

    def __init__(self) -> None:
        self.array = np.zeros(len(Reason), np.int64)

    @property
    def passed(self) -> int:
        """How many results passed."""
        return int(self.array[0])

    def refused(self) -> Mapping[str, int]:
        """Give the counts of the reasons that occurred, by name."""
        return {REASONS[i]: int(n) for i, n in enumerate(self.array) if i and n}
