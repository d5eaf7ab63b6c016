"""Minute bars from trades, by a rule over sale conditions. Pure.

Volume counts every trade; which trades move open, high, low and close is a rule, and vendors'
rules differ. The rule of the recorded IBM tape was worked out bit by bit against the vendor's own
bars; the consolidated tape's rule (sweeps count) is another.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

MINUTE_NS: Final = 60_000_000_000


class Trade(NamedTuple):
    """What a bar needs of a trade."""

    ns: int
    """Since the Unix epoch."""
    price: float
    size: int
    conditions: Collection[str]


@dataclass(frozen=True, slots=True)
class BarRule:
    """Trades with a condition of ``excluded`` move no price, unless they have one of ``unless``."""

    excluded: frozenset[str]
    unless: frozenset[str] = frozenset()

    def moves_price(self, conditions: Collection[str]) -> bool:
        """Say whether a trade with these conditions moves open, high, low and close."""
        return self.excluded.isdisjoint(conditions) or not self.unless.isdisjoint(conditions)


RECORDED_TAPE: Final = BarRule(excluded=frozenset("F4BVC"), unless=frozenset("T"))
"""The recorded IBM tape's vendor: no sweeps, averages or cash sales in the session."""
CONSOLIDATED: Final = BarRule(excluded=frozenset("4BVCNRIMQ"))
"""The consolidated tape's, as far as the generator's conditions go: sweeps count."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute: prices of the trades that move them, volume and count of all."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    count: int
    vwap: float
    """Of all trades."""


def minute_bars(trades: Iterable[Trade], rule: BarRule) -> Iterator[Bar]:
    """Give a bar for every minute with a trade that moves the price; trades come in time order.

    A minute without such a trade has no bar, as on the consolidated tape.
    """
    minute: list[Trade] = []
    for trade in trades:
        if minute and trade.ns // MINUTE_NS != minute[0].ns // MINUTE_NS:
            yield from _bar(minute, rule)
            minute = []
        minute.append(trade)
    yield from _bar(minute, rule)


def _bar(minute: list[Trade], rule: BarRule) -> Iterator[Bar]:
    prices = [trade.price for trade in minute if rule.moves_price(trade.conditions)]
    if not prices:
        return
    volume = sum(trade.size for trade in minute)
    value = sum(trade.price * trade.size for trade in minute)
    yield Bar(
        start_ns=minute[0].ns // MINUTE_NS * MINUTE_NS,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=volume,
        count=len(minute),
        vwap=round(value / volume, 6) if volume else prices[-1],
    )
