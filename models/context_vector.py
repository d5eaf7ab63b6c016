"""The daily context as numbers for the network: values in fixed units, and a mask for each.

Pure. The fold decides what may be used (a stale or missing feature is absent from the context);
here an absent value becomes 0 with mask 0, so that the network can tell it from a real zero.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from relentless.proto.daily import FLOAT_FEATURES, DailyContext

LIMIT = 5.0
"""Standardised values are cut to [-LIMIT, LIMIT]."""


class Scale(NamedTuple):
    """How a value is standardised: ``(value - centre) / scale``."""

    centre: float
    scale: float


SCALES: dict[str, Scale] = {
    # Fixed round numbers near the middle and spread of each feature's range since 1990 where it has
    # a history, and of its definition's range where it has none. Never fitted: a model's inputs do
    # not move when history is extended.
    "legislative_risk_score": Scale(0.5, 0.25),
    "regulatory_change_probability": Scale(0.5, 0.25),
    "fed_funds_rate": Scale(3.0, 2.5),  # per cent
    "yield_curve_slope": Scale(1.0, 1.0),  # percentage points
    "real_interest_rate": Scale(1.0, 1.0),  # percentage points
    "credit_spread": Scale(1.5, 0.75),  # percentage points
    "high_yield_spread": Scale(5.0, 2.5),  # percentage points
    "inflation_expectation": Scale(2.2, 0.5),  # per cent
    "dollar_index": Scale(105.0, 12.0),  # January 2006 = 100
    "unemployment_trend": Scale(0.0, 0.4),  # percentage points in three months
    "news_sentiment": Scale(0.0, 0.5),
    "options_flow_sentiment": Scale(0.0, 0.5),
    "insider_trading_signal": Scale(0.0, 0.5),
    "fed_stance": Scale(0.0, 1.0),
    "vix": Scale(20.0, 8.0),
    "vix_zscore": Scale(0.0, 1.0),
    "credit_spread_delta": Scale(0.0, 0.1),  # percentage points
    "yield_curve_10y3m": Scale(1.5, 1.25),  # percentage points
    "breakeven_5y": Scale(2.0, 0.6),  # per cent
    "core_inflation": Scale(2.2, 0.8),  # per cent in twelve months
    "headline_inflation": Scale(2.5, 1.5),  # per cent in twelve months
    "unemployment_rate": Scale(6.0, 2.0),  # per cent
    "treasury_10y_delta": Scale(0.0, 0.06),  # percentage points in a business day
    "treasury_10y_zscore": Scale(0.0, 1.0),
    "yield_curve_10y2y_zscore": Scale(0.0, 1.0),
    "dollar_index_zscore": Scale(0.0, 1.0),
}
"""Every feature the network sees: the context's floats, the stance, and further ones by name."""

STANCES = {"dovish": -1.0, "neutral": 0.0, "hawkish": 1.0}

CONTEXT_FEATURES: tuple[str, ...] = tuple(SCALES)
"""Names of the values."""
CONTEXT_VECTOR: tuple[str, ...] = CONTEXT_FEATURES + tuple(f"{n}_known" for n in CONTEXT_FEATURES)
"""Names of the C entries of the vector: the values, then their masks."""


def standardise(values: dict[str, float | None]) -> npt.NDArray[np.float32]:
    """Give the vector of shape [C] for values by name; absent, None and NaN are masked."""
    vector = np.zeros(len(CONTEXT_VECTOR), np.float32)
    known = len(CONTEXT_FEATURES)
    for index, (name, (centre, scale)) in enumerate(SCALES.items()):
        value = values.get(name)
        if value is not None and value == value:
            vector[index] = min(max((value - centre) / scale, -LIMIT), LIMIT)
            vector[known + index] = 1.0
    return vector


def vectorise(context: DailyContext) -> npt.NDArray[np.float32]:
    """Give a context's vector: float32 of shape [C], named by ``CONTEXT_VECTOR``."""
    values: dict[str, float | None] = {name: context.extra.get(name) for name in CONTEXT_FEATURES}
    values.update({name: getattr(context, name) for name in FLOAT_FEATURES})
    values["fed_stance"] = None if context.fed_stance is None else STANCES[context.fed_stance]
    return standardise(values)
