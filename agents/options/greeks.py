"""Greeks of a European option by QuantLib, for contracts whose vendor states none.

Black and Scholes (1973) with Merton's yield. Listed options on shares are American: early exercise
is not in these numbers, which matters deep in the money and before dividends. The library is
imported on first use (half a second).
"""

import math
from typing import NamedTuple

from relentless.agents.options.chain import YEAR_DAYS, Chain, with_contracts
from relentless.agents.options.osi import Right
from relentless.proto.errors import InvalidInput


class Greeks(NamedTuple):
    """Sensitivities of one option on one share."""

    delta: float
    gamma: float
    """Of delta, for 1 of the underlying's price."""
    vega: float
    """For one percentage point of volatility."""
    theta: float
    """For one calendar day."""
    rho: float
    """For one percentage point of the rate."""


def greeks(
    right: Right,
    spot: float,
    strike: float,
    years: float,
    iv: float,
    rate: float = 0.0,
    dividend: float = 0.0,
) -> Greeks:
    """Give the Greeks; ``iv``, ``rate`` and ``dividend`` are fractions a year.

    Raises:
        InvalidInput: an input that is not finite, or a price, strike, time or volatility that is
            not positive.
    """
    numbers = (spot, strike, years, iv, rate, dividend)
    if not all(map(math.isfinite, numbers)) or min(spot, strike, years, iv) <= 0:
        raise InvalidInput("spot, strike, time and volatility must be positive and finite")
    import QuantLib as ql

    forward = spot * math.exp((rate - dividend) * years)
    discount = math.exp(-rate * years)
    kind = ql.Option.Call if right == "C" else ql.Option.Put
    deviation = iv * math.sqrt(years)
    found = ql.BlackCalculator(ql.PlainVanillaPayoff(kind, strike), forward, deviation, discount)
    return Greeks(
        delta=found.delta(spot),
        gamma=found.gamma(spot),
        vega=found.vega(years) / 100,
        theta=found.theta(spot, years) / YEAR_DAYS,
        rho=found.rho(years) / 100,
    )


def complete(chain: Chain) -> Chain:
    """Fill in the deltas that the vendor leaves out, where the inputs are known; no carry.

    Rate and dividend yield are not known here, and are taken as nothing: at 90 days a rate of four
    per cent moves a delta of a quarter by about 0.03.
    """
    spot = chain.spot
    if spot is None or all(c.delta is not None or c.iv is None for c in chain.contracts):
        return chain
    filled = []
    for c in chain.contracts:
        years = (c.expiry - chain.session).days / YEAR_DAYS
        if c.delta is None and c.iv is not None and years > 0:
            found = greeks(c.right, spot, c.strike, years, c.iv)
            c = c._replace(delta=found.delta)
        filled.append(c)
    return with_contracts(chain, filled)
