"""Volumes and open interest of a chain, and what they are against their own history. Pure."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

from relentless.agents.options import osi
from relentless.agents.options.alpaca import Print
from relentless.agents.options.chain import Chain

LEAST_CALLS: Final = 100
"""Contracts below which a ratio over calls means nothing."""
LEAST_TOTAL: Final = 200
LEAST_OPENING: Final = 3
"""Contracts with opening activity below which its side is chance."""
LEAST_PREMIUM: Final = 10_000.0
LEAST_SESSIONS: Final = 15
"""Earlier sessions without which nothing is called unusual."""
BLOCK_SIZE: Final = 250
"""Contracts in one trade: 25,000 shares, past any usual retail order."""
BASKET: Final = 50
"""Contracts whose bars and trades are asked for."""


class Sides(NamedTuple):
    """Calls and puts, in contracts or dollars."""

    calls: float
    puts: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.calls + self.puts

    @property
    def ratio(self) -> float | None:
        """Puts over calls; None below ``LEAST_CALLS`` calls."""
        return self.puts / self.calls if self.calls >= LEAST_CALLS else None

    @property
    def log_ratio(self) -> float | None:
        """ln(puts / calls); None where either side is below ``LEAST_CALLS``."""
        if min(self.calls, self.puts) < LEAST_CALLS:
            return None
        return math.log(self.puts / self.calls)

    @property
    def balance(self) -> float | None:
        """(calls - puts) / (calls + puts) = -tanh(ln(puts / calls) / 2); None for next to none."""
        return (self.calls - self.puts) / self.total if self.total >= LEAST_TOTAL else None


def volume(chain: Chain) -> Sides | None:
    """Give the session's volume; None where the chain states none."""
    return _sides((c.right, c.volume) for c in chain.contracts if c.volume is not None)


def open_interest(chain: Chain) -> Sides | None:
    """Give the open interest of the close before; None where the chain states none."""
    stated = (c for c in chain.contracts if c.open_interest is not None)
    return _sides((c.right, c.open_interest) for c in stated)


class Opening(NamedTuple):
    """Activity that must have opened positions."""

    contracts: int
    """Contracts whose volume is above all the open interest of the close before."""
    premium: Sides
    """Their volume above it, in dollars of premium at the middle of the quote."""

    @property
    def balance(self) -> float | None:
        """(calls - puts) / (calls + puts) of the premium; None for a few contracts or dollars."""
        if self.contracts < LEAST_OPENING or self.premium.total < LEAST_PREMIUM:
            return None
        return (self.premium.calls - self.premium.puts) / self.premium.total


def opening(chain: Chain) -> Opening | None:
    """Give what was opened at the least: volume above yesterday's open interest cannot be closing.

    None where no contract states both numbers.
    """
    both = [
        (c, c.volume - c.open_interest)
        for c in chain.contracts
        if c.volume is not None and c.open_interest is not None
    ]
    if not both:
        return None
    found = [(c, excess) for c, excess in both if excess > 0]
    worth = [(c.right, excess * c.mid * 100) for c, excess in found if c.mid is not None]
    return Opening(len(found), _sides(worth) or Sides(0.0, 0.0))


def basket(chain: Chain) -> tuple[str, ...]:
    """Give the contracts with the largest open interest of the close before, at most fifty.

    Chosen by what was known before the session, not by the session's own volume, so that their
    volume against their own earlier volume is not high by choice.
    """
    held = [c for c in chain.contracts if c.open_interest]
    held.sort(key=lambda c: (-(c.open_interest or 0), c.symbol))
    return tuple(c.symbol for c in held[:BASKET])


def busiest(chain: Chain) -> tuple[str, ...]:
    """Give the contracts whose volume can hold a block, at most fifty, the busiest first."""
    able = [c for c in chain.contracts if c.volume is not None and c.volume >= BLOCK_SIZE]
    able.sort(key=lambda c: (-(c.volume or 0), c.symbol))
    return tuple(c.symbol for c in able[:BASKET])


class Blocks(NamedTuple):
    """Trades of at least ``BLOCK_SIZE`` contracts."""

    trades: int
    contracts: int


def blocks(prints: Iterable[Print]) -> Blocks:
    """Count the block trades."""
    sizes = [trade.size for trade in prints if trade.size >= BLOCK_SIZE]
    return Blocks(len(sizes), sum(sizes))


def of_basket(chain: Chain, symbols: Iterable[str]) -> Sides | None:
    """Give the session's volume of some contracts."""
    wanted = set(symbols)
    return _sides((c.right, c.volume or 0) for c in chain.contracts if c.symbol in wanted)


def by_session(bars: Iterable[tuple[str, date, int]]) -> dict[date, Sides]:
    """Add daily bars up to calls and puts a session."""
    found: dict[date, list[tuple[str, int]]] = {}
    for symbol, day, traded in bars:
        found.setdefault(day, []).append((osi.read(symbol).right, traded))
    return {day: sides for day in sorted(found) if (sides := _sides(found[day])) is not None}


def zscore(value: float | None, history: Sequence[float]) -> float | None:
    """Give (value - mean) / sample standard deviation of the history.

    None with fewer than ``LEAST_SESSIONS`` values, or where they do not differ.
    """
    if value is None or len(history) < LEAST_SESSIONS:
        return None
    spread = statistics.stdev(history)
    if spread < 1e-9:
        return None
    return (value - statistics.fmean(history)) / spread


def unusual(today: Sides, history: Mapping[date, Sides]) -> float | None:
    """Give the z-score of the logarithm of total volume against earlier sessions."""
    if today.total <= 0:
        return None
    return zscore(
        math.log(today.total), [math.log(s.total) for s in history.values() if s.total > 0]
    )


def ratio_change(today: Sides, history: Mapping[date, Sides]) -> float | None:
    """Give the z-score of ln(puts / calls) against earlier sessions."""
    return zscore(today.log_ratio, [v for s in history.values() if (v := s.log_ratio) is not None])


def _sides(values: Iterable[tuple[str, float | None]]) -> Sides | None:
    calls = puts = 0.0
    seen = False
    for right, value in values:
        seen = True
        if right == "C":
            calls += value or 0
        else:
            puts += value or 0
    return Sides(calls, puts) if seen else None
