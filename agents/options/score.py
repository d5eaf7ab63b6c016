"""One score in [-1, 1] from the parts that are known; heavy in calls is positive. Pure.

What it rests on: Pan and Poteshman (2006, "The information in option volume for future stock
prices") find that the put-call ratio of volume that buyers open foretells shares' returns; Xing,
Zhang and Zhao (2010, "What does the individual option volatility smirk tell us about future equity
returns?") that a steep smirk goes before low ones. Public delayed data say neither who traded nor
which side opened, so these are measures of the same kind and not theirs; no forecast is claimed.
"""

import math
from collections.abc import Mapping
from typing import Final

WEIGHTS: Final[Mapping[str, float]] = {
    "put_call": 0.4,
    "put_call_change": 0.3,
    "opening": 0.2,
    "skew_change": 0.1,
}
"""Stated judgements, fitted to nothing: what is measured in volume weighs more than in prices."""
VOLUME_PARTS: Final = ("put_call", "put_call_change", "opening")


def parts(
    *,
    balance: float | None,
    ratio_change: float | None,
    opening: float | None,
    skew_change: float | None,
) -> dict[str, float]:
    """Give the known parts, each in [-1, 1] and positive for calls.

    ``balance`` and ``opening`` are (calls - puts) / (calls + puts), of volume and of opening
    premium; the changes are z-scores, of ln(puts / calls) and of the skew, and count as
    -tanh(z / 2).
    """
    found = {
        "put_call": balance,
        "put_call_change": None if ratio_change is None else -math.tanh(ratio_change / 2),
        "opening": opening,
        "skew_change": None if skew_change is None else -math.tanh(skew_change / 2),
    }
    return {name: round(value, 6) for name, value in found.items() if value is not None}


def score(found: Mapping[str, float]) -> float | None:
    """Give the mean of the parts by their weights, renormalised; None without a part of volume."""
    if not any(name in found for name in VOLUME_PARTS):
        return None
    weight = math.fsum(WEIGHTS[name] for name in found)
    total = math.fsum(WEIGHTS[name] * value for name, value in found.items())
    return max(-1.0, min(1.0, round(total / weight, 6)))
