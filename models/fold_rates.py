"""The features that come from economic series: one row each, with its formula. Pure.

Below :mod:`relentless.models.fold`. A feature is missing where any of its series is, stale where
any of them is. Definitions and sources: docs/context.md.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from relentless.configs.freshness import Freshness
from relentless.models.fold_select import Item, worst
from relentless.proto.daily import FeatureProvenance, Quality

Stance = Literal["hawkish", "neutral", "dovish"]
Contexts = Sequence[Mapping[str, Any]]
Reader = Callable[[Contexts], float | str | None]

NEUTRAL_REAL_RATE = 2.0
"""Per cent: the equilibrium real rate of Taylor (1993), "Discretion versus policy rules"."""
DECIMALS = 10
"""Differences are rounded to this many decimals, so that 2.62 - 0.33 reads 2.29."""


def policy_rate(funds: float, upper: float, lower: float) -> float:
    """Give the funds rate held inside its target range, in per cent.

    A day's rate outside the range is a matter of settlement, not of policy.
    """
    return min(max(funds, lower), upper)


def real_policy_rate(funds: float, upper: float, lower: float, inflation: float) -> float:
    """Give the policy rate less core inflation over twelve months, in per cent."""
    return policy_rate(funds, upper, lower) - inflation


def stance(real_rate: float) -> Stance:
    """Name the stance of policy by its real rate, in per cent.

    Above Taylor's equilibrium rate of 2 it restrains: hawkish. Below zero money costs less than
    prices rise: dovish. It is monotone: a higher rate or a lower inflation is never more dovish.
    """
    if real_rate > NEUTRAL_REAL_RATE:
        return "hawkish"
    return "dovish" if real_rate < 0 else "neutral"


@dataclass(frozen=True, slots=True)
class RateFeature:
    """One feature: the series it needs, its value and the value before from their contexts."""

    name: str
    series: tuple[str, ...]
    value: Reader
    previous: Reader
    source: str


def _field(field: str | None) -> Reader:
    return lambda contexts: None if field is None else contexts[0].get(field)


def _one(name: str, series: str, field: str = "value", previous: str | None = None) -> RateFeature:
    source = f"FRED {series}" if field == "value" else f"FRED {series} {field}"
    return RateFeature(name, (series,), _field(field), _field(previous), source)


def _level(name: str, series: str) -> RateFeature:
    return _one(name, series, "value", "previous")


def _difference(name: str, minuend: str, subtrahend: str) -> RateFeature:
    def less(field: str) -> Reader:
        def read(contexts: Contexts) -> float | None:
            left, right = (context.get(field) for context in contexts)
            return None if left is None or right is None else round(left - right, DECIMALS)

        return read

    source = f"FRED {minuend}-{subtrahend}"
    return RateFeature(name, (minuend, subtrahend), less("value"), less("previous"), source)


_POLICY = ("DFF", "DFEDTARU", "DFEDTARL", "CPILFESL")


def _real_policy_rate(value: str, inflation: str) -> Callable[[Contexts], float | None]:
    def read(contexts: Contexts) -> float | None:
        funds, upper, lower = (context.get(value) for context in contexts[:3])
        prices = contexts[3].get(inflation)
        if funds is None or upper is None or lower is None or prices is None:
            return None
        return round(real_policy_rate(funds, upper, lower, prices), DECIMALS)

    return read


_REAL_NOW = _real_policy_rate("value", "change_12m_pct")
_REAL_BEFORE = _real_policy_rate("previous", "previous_change_12m_pct")


def _stance(read: Callable[[Contexts], float | None]) -> Reader:
    def named(contexts: Contexts) -> Stance | None:
        real_rate = read(contexts)
        return None if real_rate is None else stance(real_rate)

    return named


RATE_FEATURES: tuple[RateFeature, ...] = (
    # Fields of the daily context.
    _level("fed_funds_rate", "DFF"),
    _difference("yield_curve_slope", "DGS10", "DGS2"),
    _difference("real_interest_rate", "DGS10", "T10YIE"),
    RateFeature(
        "fed_stance",
        _POLICY,
        _stance(_REAL_NOW),
        _stance(_REAL_BEFORE),
        "FRED DFF within DFEDTARL..DFEDTARU, less CPILFESL change_12m_pct",
    ),
    _level("credit_spread", "BAMLC0A0CM"),
    _level("high_yield_spread", "BAMLH0A0HYM2"),
    _level("inflation_expectation", "T10YIE"),
    _level("dollar_index", "DTWEXBGS"),
    _one("unemployment_trend", "UNRATE", "change_3m", "previous_change_3m"),
    # Further numeric features.
    RateFeature(
        "real_policy_rate",
        _POLICY,
        _REAL_NOW,
        _REAL_BEFORE,
        "FRED DFF within DFEDTARL..DFEDTARU, less CPILFESL change_12m_pct",
    ),
    _level("fed_target_upper", "DFEDTARU"),
    _level("fed_target_lower", "DFEDTARL"),
    _level("treasury_1y", "DGS1"),
    _level("treasury_2y", "DGS2"),
    _level("treasury_10y", "DGS10"),
    _level("treasury_30y", "DGS30"),
    _one("treasury_10y_delta", "DGS10", "change"),
    _one("treasury_10y_zscore", "DGS10", "zscore"),
    _level("yield_curve_10y2y", "T10Y2Y"),
    _one("yield_curve_10y2y_zscore", "T10Y2Y", "zscore"),
    _level("yield_curve_10y3m", "T10Y3M"),
    _level("breakeven_5y", "T5YIE"),
    _one("credit_spread_delta", "BAMLC0A0CM", "change"),
    _one("credit_spread_zscore", "BAMLC0A0CM", "zscore"),
    _one("high_yield_spread_delta", "BAMLH0A0HYM2", "change"),
    _one("high_yield_spread_zscore", "BAMLH0A0HYM2", "zscore"),
    _level("vix", "VIXCLS"),
    _one("vix_delta", "VIXCLS", "change"),
    _one("vix_zscore", "VIXCLS", "zscore"),
    _one("vix_percentile", "VIXCLS", "percentile"),
    _one("dollar_index_zscore", "DTWEXBGS", "zscore"),
    _level("unemployment_rate", "UNRATE"),
    _one("headline_inflation", "CPIAUCSL", "change_12m_pct", "previous_change_12m_pct"),
    _one("core_inflation", "CPILFESL", "change_12m_pct", "previous_change_12m_pct"),
)
"""Every feature of series, in the order in which the context states them."""
SERIES: tuple[str, ...] = tuple(sorted({name for row in RATE_FEATURES for name in row.series}))
"""The series that the features need."""


def rate_features(
    rates: Mapping[str, Item], *, as_of: datetime, rules: Freshness
) -> Iterator[tuple[str, FeatureProvenance]]:
    """Give each feature's value, age and source from the newest message of each series."""
    for feature in RATE_FEATURES:
        yield feature.name, _provenance(feature, rates, as_of, rules)


def _provenance(
    feature: RateFeature, rates: Mapping[str, Item], as_of: datetime, rules: Freshness
) -> FeatureProvenance:
    absent = [series for series in feature.series if series not in rates]
    parts = [rates[series] for series in feature.series if series in rates]
    if absent:
        return FeatureProvenance(
            source=feature.source,
            message_ids=tuple(part.message_id for part in parts),
            note=f"nothing known of {', '.join(absent)}",
        )
    contexts = [part.context for part in parts]
    value = feature.value(contexts)
    old = [
        series
        for series, part in zip(feature.series, parts, strict=True)
        if not part.fresh(as_of, rules.series_max_age(series))
    ]
    quality, note = Quality.OK, ""
    if value is None:
        quality, note = Quality.MISSING, "undefined from what is known"
    elif old:
        quality, note = Quality.STALE, f"too old: {', '.join(old)}"
    return FeatureProvenance(
        value=value,
        previous=feature.previous(contexts),
        observed_at=min(part.observed_at for part in parts),
        known_at=max(part.known_at for part in parts),
        message_ids=tuple(part.message_id for part in parts),
        quality=quality,
        source=feature.source,
        origin=worst(part.origin for part in parts),
        note=note,
    )
