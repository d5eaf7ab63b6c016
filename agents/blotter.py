"""The paper trading agent's book: positions, cash, fills, profit and loss. Pure.

A fill is made at the reference price that the signal carries (``models.levels.reference_price``:
the price of the tick behind it), in whole shares, without spread, fees or impact. So the profit
shown here is an upper bound of what the same signals would have earned, and says so.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from relentless.models.levels import reference_price
from relentless.proto.signal import Action, Flag, Signal

REBALANCE = 0.1
"""A position is changed in the same direction only by this share of the notional limit or more."""
_IGNORED = Flag.STALE | Flag.REPLAY | Flag.HALTED | Flag.HEARTBEAT


class Why(StrEnum):
    """What a fill was for."""

    SIGNAL = "signal"
    TARGET = "target"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Fill:
    """One paper trade, with the book after it."""

    session: str
    sequence: int
    timestamp: int
    """ns, of the tick behind the signal."""
    symbol: str
    quantity: int
    """Signed: bought or sold."""
    price: float
    why: Why
    position: int
    average: float
    realised: float
    """Of this fill."""
    cash: float
    target: float
    stop: float
    synthetic: bool


@dataclass(slots=True)
class Position:
    """What is held of one symbol."""

    quantity: int = 0
    average: float = 0.0
    last: float = 0.0
    target: float = 0.0
    stop: float = 0.0


@dataclass(slots=True)
class Book:
    """Positions and cash. ``take`` gives the fills that a signal leads to.

    Limits: one symbol's position is worth ``max_notional`` at most, all together at most the
    equity, whatever a signal asks for.
    """

    cash: float
    max_notional: float
    realised: float = 0.0
    positions: dict[str, Position] = field(default_factory=dict)
    fills: int = 0
    ignored: int = 0

    def take(self, session: str, symbol: str, signal: Signal) -> list[Fill]:
        """Mark the symbol to the signal's price, then leave or change the position."""
        price = reference_price(signal.price_target, signal.stop_loss)
        if not symbol or not (math.isfinite(price) and price > 0):
            self.ignored += 1
            return []
        own = self.positions.setdefault(symbol, Position())
        own.last = price
        if signal.flags & _IGNORED:
            self.ignored += 1
            return []
        fills = []
        if (why := _exit(own, price)) is not None:
            fills.append(self._fill(session, symbol, signal, -own.quantity, price, why))
        elif signal.action is not Action.HOLD:
            change = self._wanted(own, signal, price) - own.quantity
            if change:
                own.target, own.stop = signal.price_target, signal.stop_loss
                fills.append(self._fill(session, symbol, signal, change, price, Why.SIGNAL))
        return fills

    def equity(self) -> float:
        """Give cash and positions at their last prices."""
        return self.cash + sum(p.quantity * p.last for p in self.positions.values())

    def gross(self) -> float:
        """Give the absolute value of all positions."""
        return sum(abs(p.quantity) * p.last for p in self.positions.values())

    def unrealised(self) -> float:
        """Give the open positions' profit at their last prices."""
        return sum(p.quantity * (p.last - p.average) for p in self.positions.values())

    def restore(self, fill: dict[str, Any]) -> None:
        """Take up a kept fill: the book stands as it did after it."""
        own = self.positions.setdefault(fill["symbol"], Position())
        own.quantity, own.average = int(fill["position"]), float(fill["average"])
        own.last, own.target, own.stop = fill["price"], fill["target"], fill["stop"]
        self.cash = float(fill["cash"])
        self.realised += float(fill["realised"])
        self.fills += 1

    def summary(self) -> dict[str, Any]:
        """Give the figures that are shown."""
        held = {s: p.quantity for s, p in sorted(self.positions.items()) if p.quantity}
        return {
            "fills": self.fills,
            "ignored": self.ignored,
            "cash": round(self.cash, 2),
            "equity": round(self.equity(), 2),
            "realised": round(self.realised, 2),
            "unrealised": round(self.unrealised(), 2),
            "positions": held,
            "note": "paper: at the tick's price, without spread or fees",
        }

    def _wanted(self, own: Position, signal: Signal, price: float) -> int:
        """Give the position that a signal asks for, within the limits and outside the dead band."""
        size = max(-1.0, min(1.0, signal.position_size))
        room = self.equity() - (self.gross() - abs(own.quantity) * price)
        worth = min(abs(size) * self.max_notional, max(0.0, room))
        wanted = math.copysign(math.floor(worth / price), size) if worth else 0.0
        change = abs(wanted - own.quantity) * price
        turned = own.quantity * wanted < 0
        if not turned and own.quantity and change < REBALANCE * self.max_notional:
            return own.quantity
        return int(wanted)

    def _fill(
        self, session: str, symbol: str, signal: Signal, change: int, price: float, why: Why
    ) -> Fill:
        own = self.positions[symbol]
        before, after = own.quantity, own.quantity + change
        closed = min(abs(before), abs(change)) if before * change < 0 else 0
        realised = math.copysign(closed, before) * (price - own.average) if closed else 0.0
        if before * change >= 0:
            own.average = (own.average * abs(before) + price * abs(change)) / abs(after)
        elif before * after <= 0:
            own.average = price if after else 0.0
        own.quantity = after
        self.cash -= change * price
        self.realised += realised
        self.fills += 1
        return Fill(
            session,
            signal.sequence,
            signal.timestamp,
            symbol,
            change,
            price,
            why,
            after,
            own.average,
            realised,
            self.cash,
            own.target,
            own.stop,
            bool(signal.flags & Flag.SYNTHETIC),
        )


def _exit(own: Position, price: float) -> Why | None:
    """Say whether an open position has reached its target or its stop."""
    if not own.quantity or not own.target:
        return None
    side = 1 if own.quantity > 0 else -1
    if side * (price - own.target) >= 0:
        return Why.TARGET
    return Why.STOP if side * (price - own.stop) <= 0 else None
