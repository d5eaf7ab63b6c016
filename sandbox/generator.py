"""Invented ticks: quotes, trades, bars and the rare correction of a few symbols for a whole day.

Deterministic: every minute of every symbol is drawn from its own seed (seed, date, symbol, minute),
between two points of a price path drawn once a day, so any moment can be played without what lies
before it, and two runs give the same bytes. The shape is a trading day's: sparse from 04:00 (though
busier than most real mornings, so that a run soon has something to show), heavy at the open and
towards the close, sparse again until 20:00; prices on a cent grid around levels of October 2013;
wider spreads outside the session. It imitates no real day and is labelled synthetic.
"""

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from relentless.configs.clock import EASTERN, from_ns, to_ns
from relentless.configs.sessions import is_session
from relentless.proto.contexts import Origin
from relentless.proto.errors import InvalidInput
from relentless.sandbox import frames
from relentless.sandbox.bars import CONSOLIDATED, MINUTE_NS, Trade, minute_bars
from relentless.sandbox.frames import Message

FIRST_MINUTE: Final = 4 * 60
OPEN: Final = 9 * 60 + 30
CLOSE: Final = 16 * 60
LAST_MINUTE: Final = 20 * 60
_SECOND_NS: Final = 1_000_000_000
_VENUES: Final = "NQPZKBYD"
_ODD_TRADE: Final = 0.0004
"""Share of trades that are cancelled or corrected soon after."""


class Listing(NamedTuple):
    """How a symbol trades: price in dollars, yearly volatility, activity, spread in cents, tape."""

    price: float
    volatility: float
    activity: float
    spread: int
    tape: str


LISTINGS: Final = {
    "SPY": Listing(168.00, 0.14, 3.0, 1, "B"),
    "XLF": Listing(19.90, 0.18, 1.0, 1, "B"),
    "TLT": Listing(106.50, 0.12, 0.8, 1, "B"),
    "IBM": Listing(183.00, 0.20, 1.0, 2, "A"),
    "AAPL": Listing(485.00, 0.28, 1.8, 6, "C"),
    "MSFT": Listing(33.50, 0.22, 1.2, 1, "C"),
    "JPM": Listing(52.50, 0.22, 1.0, 1, "A"),
    "XOM": Listing(86.00, 0.16, 0.9, 1, "A"),
}
"""Round levels of the time; other symbols get one from their name."""


class GeneratedTape:
    """Ticks of some symbols from a first day on, session by session."""

    origin = Origin.SYNTHETIC

    def __init__(self, symbols: Sequence[str], first: date, last: date, seed: int) -> None:
        self._symbols = tuple(symbols)
        self._first = first
        self._last = last
        self._seed = seed

    def prepare(self) -> None:
        """Draw the first day's price paths."""
        for symbol in self._symbols:
            _path(self._seed, self._first, symbol)

    def play(self, after_ns: int) -> Iterator[Message]:
        """Give the messages later than ``after_ns``, in order of time."""
        day = max(self._first, from_ns(max(after_ns, 0)).astimezone(EASTERN).date())
        while day <= self._last:
            if _trades_on(day):
                yield from self._day(day, after_ns)
            day += timedelta(days=1)

    def _day(self, day: date, after_ns: int) -> Iterator[Message]:
        midnight = to_ns(datetime.combine(day, time(), EASTERN))
        begin = max(FIRST_MINUTE, (after_ns - midnight) // MINUTE_NS)
        for minute in range(begin, LAST_MINUTE):
            start = midnight + minute * MINUTE_NS
            parts = [
                sorted(_minute(self._seed, day, symbol, minute, start), key=_time)
                for symbol in self._symbols
            ]
            for message in heapq.merge(*parts, key=_time):
                if message.ns > after_ns:
                    yield message


def _time(message: Message) -> int:
    return message.ns


def _trades_on(day: date) -> bool:
    try:
        return is_session(day)
    except InvalidInput:  # beyond the exchange table
        return day.weekday() < 5


@lru_cache(maxsize=64)
def listing(symbol: str) -> Listing:
    """Give how a symbol trades."""
    if symbol in LISTINGS:
        return LISTINGS[symbol]
    draw = random.Random(f"listing:{symbol}")  # noqa: S311 - nothing secret
    price = round(20 * 10 ** draw.random(), 2)
    return Listing(price, 0.15 + 0.2 * draw.random(), 0.6 + draw.random(), 1 + int(price / 80), "A")


@lru_cache(maxsize=256)
def _path(seed: int, day: date, symbol: str) -> tuple[float, ...]:
    """Give the price at the start of each minute of the day, and at its end."""
    draw = random.Random(f"{seed}:{day}:{symbol}:path")  # noqa: S311
    how = listing(symbol)
    daily = how.volatility / math.sqrt(252)
    x = math.log(how.price) + 0.3 * daily * draw.gauss(0.0, 1.0)
    points = [math.exp(x)]
    for minute in range(FIRST_MINUTE, LAST_MINUTE):
        x += daily * _restlessness(minute) * draw.gauss(0.0, 1.0)
        points.append(math.exp(x))
    return tuple(points)


def price_at(seed: int, day: date, symbol: str, minute: int) -> float:
    """Give the price at a minute since midnight; before 04:00 and after 20:00 the nearest one."""
    at = min(max(minute, FIRST_MINUTE), LAST_MINUTE) - FIRST_MINUTE
    return _path(seed, day, symbol)[at]


def _restlessness(minute: int) -> float:
    """Give one minute's share of the day's standard deviation."""
    if not OPEN <= minute < CLOSE:
        return 0.012
    return math.sqrt((0.6 + 1.2 * _smile(minute)) / 390)


def _smile(minute: int) -> float:
    """Give the U of a session: 1 at the open and the close, 0 at its middle."""
    return (2 * (minute - OPEN) / (CLOSE - OPEN) - 1) ** 2


def _rate(minute: int) -> float:
    """Give the expected trades in a minute of a symbol with activity 1."""
    if OPEN <= minute < CLOSE:
        burst = 40 * math.exp(-(minute - OPEN) / 4) + 30 * math.exp(-(CLOSE - 1 - minute) / 4)
        return 14 + 26 * _smile(minute) + burst
    if minute >= CLOSE:
        return 3.0 * math.exp(-(minute - CLOSE) / 40) + 0.2
    return 3.0 + 3.0 * math.exp(-(OPEN - minute) / 35)


def _poisson(draw: random.Random, mean: float) -> int:
    """Draw a count: exactly where the mean is small, else rounded from the normal curve."""
    if mean > 30:
        return max(0, round(mean + math.sqrt(mean) * draw.gauss(0.0, 1.0)))
    limit, product, count = math.exp(-mean), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count


def _minute(seed: int, day: date, symbol: str, minute: int, start: int) -> list[Message]:
    """Draw one minute of one symbol; in no particular order but for equal times."""
    draw = random.Random(f"{seed}:{day}:{symbol}:{minute}")  # noqa: S311
    how = listing(symbol)
    path = _path(seed, day, symbol)
    at = minute - FIRST_MINUTE
    count = _poisson(draw, _rate(minute) * how.activity)
    quotes = count + _poisson(draw, 1.0 + count / 2)
    moments = sorted(int(MINUTE_NS * draw.random()) for _ in range(quotes))
    trading = set(draw.sample(range(quotes), min(count, quotes)))
    noise = how.price * how.volatility / math.sqrt(252 * 390) / 3
    found: list[Message] = []
    trades: list[Trade] = []
    if minute == OPEN:
        found.append(frames.status(start, symbol, "T", "Trading Resumption", how.tape))
    for number, offset in enumerate(moments):
        share = offset / MINUTE_NS
        middle = path[at] + (path[at + 1] - path[at]) * share + noise * draw.gauss(0.0, 1.0)
        bid, ask = _quoted(draw, middle, how.spread, OPEN <= minute < CLOSE)
        ns = start + offset
        found.append(_quote(draw, ns, symbol, bid, ask, how.tape))
        if number in trading:
            moment = min(ns + 1 + int(200_000 * draw.random()), start + MINUTE_NS - 1)
            found += _trade(draw, moment, symbol, minute, number, (bid, ask), trades, start)
    # Corrections change the trades behind the bar, so it is made last; it goes out first.
    trades.sort(key=lambda trade: trade.ns)
    return [*(frames.bar(symbol, body) for body in minute_bars(trades, CONSOLIDATED)), *found]


def _quoted(draw: random.Random, middle: float, spread: int, session: bool) -> tuple[int, int]:
    """Give a bid and an ask in cents around a price."""
    width = spread + int(draw.expovariate(1.5 if session else 0.15 / spread))
    bid = max(1, math.floor(middle * 100 - width / 2 + 0.5))
    return bid, bid + width


def _quote(draw: random.Random, ns: int, symbol: str, bid: int, ask: int, tape: str) -> Message:
    sides = [
        (_VENUES[int(8 * draw.random())], _cents(price), 100 * (1 + int(draw.expovariate(0.25))))
        for price in (bid, ask)
    ]
    return frames.quote(ns, symbol, sides[0], sides[1], tape)


def _trade(
    draw: random.Random,
    ns: int,
    symbol: str,
    minute: int,
    number: int,
    touch: tuple[int, int],
    trades: list[Trade],
    start: int,
) -> list[Message]:
    """Draw a trade at the touch or inside it, and now and then what corrects it."""
    how = listing(symbol)
    cents = touch[draw.random() < 0.5] if draw.random() < 0.85 else sum(touch) // 2
    lots = 1 + int(draw.expovariate(0.7))
    odd = draw.random() < 0.15
    size = 1 + int(99 * draw.random()) if odd else 100 * lots
    sweep, extended = draw.random() < 0.3, not OPEN <= minute < CLOSE
    flags = (("F", sweep), ("T", extended), ("I", odd))
    codes = tuple(code for code, told in flags if told) or (" ",)
    venue = _VENUES[int(8 * draw.random())]
    identity = minute * 10_000 + number * 2
    found = [frames.trade(ns, symbol, identity, venue, _cents(cents), size, codes, how.tape)]
    bare = Trade(ns, cents / 100, size, codes)
    later = ns + _SECOND_NS + int(2 * _SECOND_NS * draw.random())
    if draw.random() >= _ODD_TRADE or later >= start + MINUTE_NS:
        trades.append(bare)
    elif draw.random() < 0.5:
        found.append(frames.cancel(later, symbol, identity, venue, _cents(cents), size, how.tape))
    else:
        old, new = (identity, _cents(cents), size), (identity + 1, _cents(touch[0]), size)
        found.append(frames.correction(later, symbol, venue, old, new, codes, how.tape))
        trades.append(bare._replace(price=touch[0] / 100))
    return found


@lru_cache(maxsize=65_536)
def _cents(cents: int) -> str:
    """Write cents as dollars, exactly."""
    whole, rest = divmod(cents, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".")
