"""What a chain's implied volatilities say: at the money, skew, term. Pure.

Everything is interpolated in total variance, w = iv^2 T, which is linear in time where volatility
is constant; nothing is extrapolated. Expiries within a week are left out: their volatilities are
mostly noise of the quotes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Final, NamedTuple

from relentless.agents.options.chain import YEAR_DAYS, Chain, Contract

NEAR_DAYS: Final = 30.0
FAR_DAYS: Final = 90.0
LEAST_DAYS: Final = 7
WING_DELTA: Final = 0.25

Point = tuple[float, float]


class Smile(NamedTuple):
    """The volatilities of a chain, as fractions a year; None where it has too few."""

    atm: float | None
    """At the money in 30 days."""
    term: float | None
    """At the money in 90 days less in 30."""
    skew: float | None
    """The put of delta -0.25 less the call of delta 0.25, in 30 days."""
    skew_moneyness: float | None
    """At 90 per cent of the price less at 110 per cent, in 30 days."""


def smile(chain: Chain) -> Smile:
    """Measure a chain; without a price of the underlying nothing is known."""
    spot = chain.spot
    if spot is None:
        return Smile(None, None, None, None)
    by_expiry: dict[date, list[Contract]] = {}
    for contract in chain.contracts:
        if contract.iv is not None and (contract.expiry - chain.session).days >= LEAST_DAYS:
            by_expiry.setdefault(contract.expiry, []).append(contract)

    def at(days: float, read: Callable[[Sequence[Contract]], float | None]) -> float | None:
        found = (((e - chain.session).days, read(group)) for e, group in by_expiry.items())
        return _at_tenor([(tenor, iv) for tenor, iv in found if iv is not None], days)

    near = at(NEAR_DAYS, lambda group: _at_moneyness(group, spot, 1.0))
    far = at(FAR_DAYS, lambda group: _at_moneyness(group, spot, 1.0))
    put = at(NEAR_DAYS, lambda group: _at_delta(group, "P"))
    call = at(NEAR_DAYS, lambda group: _at_delta(group, "C"))
    low = at(NEAR_DAYS, lambda group: _at_moneyness(group, spot, 0.9))
    high = at(NEAR_DAYS, lambda group: _at_moneyness(group, spot, 1.1))
    return Smile(near, _less(far, near), _less(put, call), _less(low, high))


def _less(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _at_moneyness(group: Iterable[Contract], spot: float, moneyness: float) -> float | None:
    """Interpolate variance in log-moneyness over the options out of the money."""
    points = [
        (math.log(c.strike / spot), c.iv**2)
        for c in group
        if c.iv is not None and (c.right == "C") == (c.strike >= spot)
    ]
    variance = interpolate(points, math.log(moneyness))
    return None if variance is None else math.sqrt(variance)


def _at_delta(group: Iterable[Contract], right: str) -> float | None:
    """Interpolate variance in the size of delta over one side."""
    points = [
        (abs(c.delta), c.iv**2)
        for c in group
        if c.iv is not None and c.delta is not None and c.right == right and 0 < abs(c.delta) < 1
    ]
    variance = interpolate(points, WING_DELTA)
    return None if variance is None else math.sqrt(variance)


def _at_tenor(points: Iterable[Point], days: float) -> float | None:
    """Interpolate total variance in time."""
    variance = interpolate([(at, iv**2 * at / YEAR_DAYS) for at, iv in points], days)
    return None if variance is None else math.sqrt(variance * YEAR_DAYS / days)


def interpolate(points: Iterable[Point], x: float) -> float | None:
    """Give the value at ``x`` on the line between its two neighbours; None outside of them.

    Values at one place are averaged.
    """
    groups: dict[float, list[float]] = {}
    for place, value in points:
        groups.setdefault(place, []).append(value)
    below = max((place for place in groups if place <= x), default=None)
    above = min((place for place in groups if place >= x), default=None)
    if below is None or above is None:
        return None
    first, last = _mean(groups[below]), _mean(groups[above])
    share = 0.0 if above == below else (x - below) / (above - below)
    return first + (last - first) * share


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
