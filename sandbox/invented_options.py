"""Invented option sessions: chains, trades and volumes, as a pure function of seed, symbol, day.

What is listed follows rules (weeklies for five Fridays, third Fridays for seven months, strikes on
a grid around the symbol's level), so a contract of today was listed yesterday too. The price is the
tick generator's, volatility a smile by formula, prices those of Black and Scholes without carry.
The trades are drawn first and the volumes are their sums, so that every service tells one story.
It imitates no real day and is labelled synthetic.
"""

import math
import random
import zlib
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from relentless.configs import sessions
from relentless.configs.clock import EASTERN
from relentless.proto.errors import InvalidInput
from relentless.sandbox.generator import CLOSE, OPEN, listing, price_at

DELAY: Final = timedelta(minutes=15)
STEP: Final = timedelta(minutes=15)
"""The box makes new answers every quarter of an hour."""
WEEKLIES: Final = 5
MONTHS: Final = 7
BLOCKS: Final = 0.004
"""Share of trades that are blocks."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Listed:
    """The contracts of a symbol on a day, sorted by expiry, strike and right."""

    names: tuple[str, ...]
    """OSI, without padding."""
    expiries: tuple[date, ...]
    calls: npt.NDArray[np.bool_]
    strikes: Floats
    years: Floats


@dataclass(frozen=True)
class Tape:
    """The trades of a session in order of time."""

    contracts: Ints
    """Places in the list of contracts."""
    seconds: Ints
    """Since midnight Eastern."""
    sizes: Ints


@dataclass(frozen=True)
class Shown:
    """What public data show at a moment, by contract."""

    session: date
    at: datetime
    """Eastern; nothing later is in it."""
    made_at: datetime
    spot: float
    previous_spot: float
    listed: Listed
    bids: Floats
    asks: Floats
    theo: Floats
    iv: Floats
    """0 where it is not known."""
    greeks: dict[str, Floats]
    volumes: Ints
    open_interest: Ints
    last_seconds: Ints
    """Of the last trade, since midnight; -1 where there was none in the session."""


def moment(now: datetime) -> tuple[date, datetime, datetime]:
    """Give the session that is shown, until when, and when the answer was made."""
    local = now.astimezone(EASTERN)
    made_at = local.replace(minute=local.minute // 15 * 15, second=0, microsecond=0)
    until = made_at - DELAY
    day = until.date()
    if not trades(day) or until < datetime.combine(day, time(9, 30), EASTERN) + STEP:
        day = before(day)
    return day, min(until, datetime.combine(day, time(16), EASTERN)), made_at


@lru_cache(maxsize=64)
def shown(seed: int, symbol: str, session: date, until: datetime, made_at: datetime) -> Shown:
    """Give what is shown of a session until a moment of it."""
    listed = contracts(symbol, session)
    second = (until.hour * 60 + until.minute) * 60 + until.second
    spot = round(price_at(seed, session, symbol, second // 60), 2)
    previous = round(price_at(seed, before(session), symbol, CLOSE), 2)
    found = tape(seed, symbol, session)
    past = found.seconds <= second
    volumes = np.bincount(
        found.contracts[past], weights=found.sizes[past], minlength=len(listed.names)
    ).astype(np.int64)
    last = np.full(len(listed.names), -1, dtype=np.int64)
    np.maximum.at(last, found.contracts[past], found.seconds[past])
    iv = volatility(seed, symbol, session, listed, spot)
    theo, greeks = black_scholes(listed, spot, iv)
    width = np.maximum(0.02, np.round(theo * 0.03, 2))
    bids = np.maximum(0.0, np.round(theo - width / 2, 2))
    known = np.where((np.abs(greeks["delta"]) > 0.97) | (np.abs(greeks["delta"]) < 0.01), 0.0, iv)
    return Shown(
        session=session,
        at=until,
        made_at=made_at,
        spot=spot,
        previous_spot=previous,
        listed=listed,
        bids=bids,
        asks=np.round(bids + width, 2),
        theo=theo,
        iv=known.astype(np.float64).round(4),
        greeks=greeks,
        volumes=volumes,
        open_interest=open_interest(seed, symbol, before(session), listed),
        last_seconds=last,
    )


@lru_cache(maxsize=1024)
def contracts(symbol: str, day: date) -> Listed:
    """Give what is listed on a day."""
    level = listing(symbol).price
    step = next(s for s in (0.5, 1.0, 2.5, 5.0, 10.0, 1e9) if level * 0.024 <= s or s == 10.0)
    middle = round(level / step)
    rows: list[tuple[date, float, bool]] = []
    for expiry, monthly in _expiries(day):
        reach = 8 if monthly else 4
        for place in range(middle - reach, middle + reach + 1):
            rows += [(expiry, place * step, call) for call in (True, False) if place > 0]
    root = symbol.replace(".", "")
    return Listed(
        names=tuple(
            f"{root}{e:%y%m%d}{'C' if c else 'P'}{round(k * 1000):08d}" for e, k, c in rows
        ),
        expiries=tuple(e for e, _, _ in rows),
        calls=np.array([c for _, _, c in rows]),
        strikes=np.array([k for _, k, _ in rows]),
        years=np.array([max((e - day).days, 0.5) / 365 for e, _, _ in rows]),
    )


def _expiries(day: date) -> list[tuple[date, bool]]:
    """Give the expirations and whether each is a monthly one; a holiday moves it a day up."""
    friday = day + timedelta(days=(4 - day.weekday()) % 7)
    found = {friday + timedelta(weeks=n): False for n in range(WEEKLIES)}
    year, month = day.year, day.month
    for _ in range(MONTHS):
        first = date(year, month, 1)
        third = first + timedelta(days=(4 - first.weekday()) % 7 + 14)
        if third >= day:
            found[third] = True
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    moved = ((d if trades(d) else before(d), monthly) for d, monthly in sorted(found.items()))
    return [(d, monthly) for d, monthly in moved if d >= day]


@lru_cache(maxsize=512)
def tape(seed: int, symbol: str, session: date) -> Tape:
    """Draw the trades of a session: near the money, near in time, busy at both ends of the day."""
    listed = contracts(symbol, session)
    draw = _draws(seed, symbol, session, "tape")
    how = listing(symbol)
    count = int(700 * how.activity * math.exp(0.3 * draw.standard_normal())) + 50
    tilt = math.exp(0.3 * draw.standard_normal())
    away = np.log(listed.strikes / how.price)
    weight = np.exp(-((away / 0.07) ** 2) / 2 - listed.years / 0.2)
    weight *= np.where(listed.calls, 1.0, 0.8 * tilt)
    weight *= np.exp(0.5 * draw.standard_normal(len(weight)))
    chosen = draw.choice(len(weight), size=count, p=weight / weight.sum())
    sizes = np.ceil(np.exp(1.8 + 1.1 * draw.standard_normal(count))).astype(np.int64)
    blocks = draw.random(count) < BLOCKS
    sizes[blocks] += 250 + (400 * draw.random(int(blocks.sum()))).astype(np.int64)
    share = draw.random(count)
    close = _close_minute(session)
    bent = share + 0.12 * np.sin(2 * np.pi * share)  # steep in the middle: fewer trades there
    seconds = np.sort((OPEN * 60 + 1 + bent * ((close - OPEN) * 60 - 2)).astype(np.int64))
    return Tape(chosen.astype(np.int64), seconds, sizes)


def daily_volumes(seed: int, symbol: str, session: date) -> dict[str, tuple[int, int]]:
    """Give volume and number of trades by contract, of those that traded."""
    listed, found = contracts(symbol, session), tape(seed, symbol, session)
    size = len(listed.names)
    volumes = np.bincount(found.contracts, weights=found.sizes, minlength=size)
    trades_ = np.bincount(found.contracts, minlength=size)
    return {listed.names[i]: (int(volumes[i]), int(trades_[i])) for i in np.flatnonzero(volumes)}


@lru_cache(maxsize=1024)
def closing_prices(seed: int, symbol: str, session: date) -> dict[str, float]:
    """Give each contract's theoretical price at a session's close, at least a cent."""
    listed = contracts(symbol, session)
    spot = round(price_at(seed, session, symbol, _close_minute(session)), 2)
    theo, _ = black_scholes(listed, spot, volatility(seed, symbol, session, listed, spot))
    prices = np.maximum(np.round(theo, 2), 0.01).tolist()
    return dict(zip(listed.names, prices, strict=True))


def open_interest(seed: int, symbol: str, close: date, listed: Listed) -> Ints:
    """Give the open interest at a close; it grows with the time that a contract was listed."""
    how = listing(symbol)
    draw = _draws(seed, symbol, close, "open interest")
    own = np.array([zlib.crc32(f"{seed}:{name}".encode()) / 2**32 for name in listed.names])
    away = np.log(listed.strikes / how.price)
    level = 1500 * how.activity * np.exp(-((away / 0.09) ** 2) / 2) * (0.2 + 1.6 * own)
    return np.round(level * np.exp(0.05 * draw.standard_normal(len(own)))).astype(np.int64)


def volatility(seed: int, symbol: str, session: date, listed: Listed, spot: float) -> Floats:
    """Give the smile: higher for low strikes, a little higher for long times."""
    base = listing(symbol).volatility * math.exp(
        0.08 * float(_draws(seed, symbol, session, "volatility").standard_normal())
    )
    away = np.log(listed.strikes / spot) / np.sqrt(np.maximum(listed.years, 0.04))
    smile = 1.0 - 0.25 * away + 0.20 * away**2
    found: Floats = base * np.clip(smile, 0.6, 2.5) * (1.0 + 0.10 * np.sqrt(listed.years))
    return found


def black_scholes(listed: Listed, spot: float, iv: Floats) -> tuple[Floats, dict[str, Floats]]:
    """Give prices and Greeks without carry: vega and rho for a point, theta for a day."""
    deviation = iv * np.sqrt(listed.years)
    d1 = np.log(spot / listed.strikes) / deviation + deviation / 2
    d2 = d1 - deviation
    n1, n2 = _normal(d1), _normal(d2)
    density = np.exp(-(d1**2) / 2) / math.sqrt(2 * math.pi)
    call = spot * n1 - listed.strikes * n2
    put = call - spot + listed.strikes
    rho = listed.strikes * listed.years / 100
    return np.maximum(np.where(listed.calls, call, put), 0.0), {
        "delta": np.where(listed.calls, n1, n1 - 1),
        "gamma": density / (spot * deviation),
        "vega": spot * density * np.sqrt(listed.years) / 100,
        "theta": -spot * density * iv / (2 * np.sqrt(listed.years)) / 365,
        "rho": np.where(listed.calls, rho * n2, rho * (n2 - 1)),
    }


def _normal(x: Floats) -> Floats:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x])


def trades(day: date) -> bool:
    """Say whether the exchange trades; outside its table every weekday counts."""
    try:
        return sessions.is_session(day)
    except InvalidInput:
        return day.weekday() < 5


def before(day: date) -> date:
    """Give the last session before a date."""
    day -= timedelta(days=1)
    while not trades(day):
        day -= timedelta(days=1)
    return day


def _close_minute(day: date) -> int:
    try:
        close = sessions.session_close(day)
    except InvalidInput:
        return CLOSE
    return close.hour * 60 + close.minute


def _draws(seed: int, symbol: str, day: date, what: str) -> np.random.Generator:
    source = random.Random(f"{seed}:{symbol}:{day}:{what}")  # noqa: S311 - nothing secret
    return np.random.default_rng(source.getrandbits(64))
