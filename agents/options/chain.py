"""One typed option chain, whatever vendor it came from. Pure.

What a vendor does not state stays None: an implied volatility of 0.0 is unknown and not zero, and a
volume belongs to the day of the contract's last trade, not to the day on which it is shown.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

from relentless.agents.options.osi import Osi, Right
from relentless.configs import sessions
from relentless.configs.clock import EASTERN
from relentless.proto.errors import InvalidInput, SourceMalformed

DELAY: Final = timedelta(minutes=15)
"""Public option data come so much late."""
LATE: Final = timedelta(minutes=15)
"""Options on indices and on many funds trade so much longer than shares."""
LEAST_IV: Final = 1e-3
"""Below it an implied volatility is a vendor's sign for "none"."""
MOST_IV: Final = 20.0
MAX_CONTRACTS: Final = 60_000
YEAR_DAYS: Final = 365.0
GREEKS: Final = ("delta", "gamma", "vega", "theta", "rho")


class Contract(NamedTuple):
    """One listed contract as a vendor shows it."""

    symbol: str
    """OSI, without padding."""
    expiry: date
    right: Right
    strike: float
    bid: float | None = None
    ask: float | None = None
    iv: float | None = None
    """As a fraction a year: 0.25."""
    volume: int | None = None
    """Contracts traded in the chain's session."""
    open_interest: int | None = None
    last_trade: datetime | None = None
    delta: float | None = None
    gamma: float | None = None
    vega: float | None = None
    theta: float | None = None
    rho: float | None = None

    @property
    def mid(self) -> float | None:
        """The middle of a quote that has two sides in order."""
        if self.bid is None or self.ask is None or not 0 < self.bid <= self.ask:
            return None
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class Chain:
    """The listed contracts of one underlying at one moment."""

    vendor: str
    underlying: str
    session: date
    """The trading day that the volumes belong to."""
    data_at: datetime
    """The newest trade in it."""
    made_at: datetime
    """When the vendor made the answer; where it does not say, when it was asked."""
    contracts: tuple[Contract, ...]
    spot: float | None = None
    open_interest_date: date | None = None
    """The close that the open interest belongs to: the one before the session."""
    expirations_listed: int | None = None
    """How many expirations the vendor lists, where only some were read."""

    @property
    def closed(self) -> bool:
        """Whether the session's volumes are final in it."""
        return self.made_at >= final_at(self.session)

    @property
    def known_at(self) -> datetime:
        """When public data could hold it: 15 minutes after its newest trade, or the final state."""
        return final_at(self.session) if self.closed else self.data_at + DELAY

    @property
    def observed_at(self) -> datetime:
        """What it is about: the session's close, or the newest trade."""
        return session_close(self.session) if self.closed else self.data_at


def contract_of(
    name: Osi,
    *,
    bid: Any,
    ask: Any,
    iv: Any,
    volume: Any = None,
    open_interest: Any = None,
    last_trade: datetime | None,
    greeks: Mapping[str, Any] = MappingProxyType({}),
) -> Contract:
    """Make a contract of a vendor's own values; of those, what cannot be read is None."""
    return Contract(
        name.text(),
        name.expiry,
        name.right,
        name.strike,
        number(bid),
        number(ask),
        implied(iv),
        count(volume),
        count(open_interest),
        last_trade,
        *(greek(greeks.get(each)) for each in GREEKS),
    )


def assemble(
    vendor: str,
    underlying: str,
    contracts: Iterable[Contract],
    *,
    made_at: datetime,
    spot: float | None = None,
    traded_at: datetime | None = None,
    expirations_listed: int | None = None,
) -> Chain:
    """Put contracts into a chain: find its session, and keep only the volumes of that session.

    ``traded_at`` is the underlying's last trade, where it is stated. A contract that comes twice is
    kept once, as it came first.

    Raises:
        SourceMalformed: no contract, more than ``MAX_CONTRACTS``, or nothing that dates them.
    """
    unique: dict[str, Contract] = {}
    for contract in contracts:
        unique.setdefault(contract.symbol, contract)
        if len(unique) > MAX_CONTRACTS:
            raise SourceMalformed(vendor, f"{underlying}: more than {MAX_CONTRACTS} contracts")
    if not unique:
        raise SourceMalformed(vendor, f"{underlying}: the chain is empty")
    times = [c.last_trade for c in unique.values() if c.last_trade is not None and c.volume]
    if traded_at is not None:
        times.append(traded_at)
    if not times:
        raise SourceMalformed(vendor, f"{underlying}: nothing says which day the chain is of")
    data_at = max(times)
    if data_at > made_at:
        raise SourceMalformed(vendor, f"{underlying}: a trade of {data_at} in a file of {made_at}")
    session = data_at.astimezone(EASTERN).date()
    if not trades_on(session):
        raise SourceMalformed(vendor, f"{underlying}: trades on {session}, which is no session")
    start = datetime.combine(session, time(), EASTERN)
    kept = tuple(
        c._replace(volume=0)
        if c.volume and c.last_trade is not None and c.last_trade < start
        else c
        for c in unique.values()
        if c.expiry >= session
    )
    stated = any(c.open_interest is not None for c in kept)
    return Chain(
        vendor=vendor,
        underlying=underlying,
        session=session,
        data_at=data_at,
        made_at=made_at,
        contracts=kept,
        spot=spot if spot is not None else parity_spot(kept),
        open_interest_date=previous_session(session) if stated else None,
        expirations_listed=expirations_listed,
    )


def with_contracts(chain: Chain, contracts: Iterable[Contract]) -> Chain:
    """Give the same chain of other contracts."""
    return replace(chain, contracts=tuple(contracts))


def parity_spot(contracts: Iterable[Contract]) -> float | None:
    """Give the price that put-call parity implies, without carry: S = K + C - P.

    Read at the strike where call and put are nearest to each other, of the first expiry that has
    both. None where no strike has both quotes.
    """
    sides: dict[tuple[date, float], dict[str, float]] = {}
    for contract in contracts:
        if (mid := contract.mid) is not None:
            sides.setdefault((contract.expiry, contract.strike), {})[contract.right] = mid
    both = {key: mids for key, mids in sides.items() if len(mids) == 2}
    if not both:
        return None
    first = min(expiry for expiry, _ in both)
    near = min((abs(m["C"] - m["P"]), k, m) for (e, k), m in both.items() if e == first)
    spot = near[1] + near[2]["C"] - near[2]["P"]
    return spot if spot > 0 else None


def number(value: Any, *, least: float = 0.0) -> float | None:
    """Give a finite number that is not below ``least``, else None; a text or a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) and result >= least else None


def count(value: Any) -> int | None:
    """Give a whole number that is not negative, else None."""
    result = number(value)
    return int(result) if result is not None and result.is_integer() and result < 1e12 else None


def implied(value: Any) -> float | None:
    """Give an implied volatility; 0.0, and what stands for it, is None."""
    result = number(value, least=LEAST_IV)
    return result if result is not None and result <= MOST_IV else None


def greek(value: Any) -> float | None:
    """Give a Greek of either sign."""
    return number(value, least=-1e9)


def epoch(value: Any, scale: float = 1.0) -> datetime | None:
    """Read seconds since the Unix epoch, or with ``scale`` 1000 milliseconds; 0 is None."""
    seconds = number(value, least=1.0)
    if seconds is None or seconds / scale > 32_503_680_000:
        return None
    return datetime.fromtimestamp(seconds / scale, UTC)


def malformed(vendor: str, what: str) -> NoReturn:
    """Refuse an answer.

    Raises:
        SourceMalformed: always.
    """
    raise SourceMalformed(vendor, what)


def trades_on(day: date) -> bool:
    """Say whether the exchange trades; outside its table every weekday counts."""
    try:
        return sessions.is_session(day)
    except InvalidInput:
        return day.weekday() < 5


def previous_session(day: date) -> date:
    """Give the last session before a date."""
    day -= timedelta(days=1)
    while not trades_on(day):
        day -= timedelta(days=1)
    return day


def session_close(day: date) -> datetime:
    """Give the close of a session."""
    try:
        return sessions.session_close(day)
    except InvalidInput:
        return datetime.combine(day, sessions.CLOSE, EASTERN)


def final_at(day: date) -> datetime:
    """Give when public data hold the whole of a session."""
    return session_close(day) + LATE + DELAY
