"""The hub as a consumer of the signal feed: the newest signals, for people and models.

It follows the feed that a predictor names when it asks for a lease. It is a window, not a record:
the ring is bounded, and where signals come faster than the hub should spend time on, it looks at
the first of each second and lets the rest pass.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from relentless.configs.clock import from_ns
from relentless.proto.base import iso
from relentless.proto.errors import NotFound, RelentlessError
from relentless.tools.ports import Emitted, SignalPage

log = structlog.get_logger()

RING: Final = 2_000
PER_SECOND: Final = 2_000
"""Signals a second that are taken; the hub has other work."""
AGAIN_S: Final = 1.0


class FeedTap:
    """Holds the newest signals; satisfies ``tools.ports.Signals``."""

    def __init__(
        self,
        credential: Callable[[], str],
        changed: Callable[[], None],
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        """Take what gives the key and the TLS of a feed, and who is told of a change."""
        self._tls = tls
        self._credential = credential
        self._changed = changed
        self._ring: deque[Emitted] = deque(maxlen=RING)
        self._session = ""
        self._address: str | None = None
        self._moved = asyncio.Event()
        self.symbols: dict[str, int] = {}

    def follow(self, stats: Mapping[str, Any]) -> None:
        """Follow the feed that a predictor says it serves."""
        address = stats.get("feed")
        if isinstance(address, str) and address and address != self._address:
            self._address = address
            self._moved.set()

    def page(self, *, after: int, limit: int, symbol: str | None) -> SignalPage:
        """Give signals after a sequence number; with ``after`` 0 the newest."""
        found = [
            signal
            for signal in self._ring
            if signal.sequence > after and (symbol is None or signal.symbol == symbol)
        ]
        chosen = found[:limit] if after else found[-limit:]
        next_after = chosen[-1].sequence if chosen else after
        return SignalPage(signals=chosen, next_after=next_after, session=self._session)

    def find(self, session: str | None, sequence: int | None, symbol: str | None) -> Emitted:
        """Give one signal by its number, or the newest, of a symbol or of all."""
        for signal in reversed(self._ring):
            if (
                session in (None, signal.session)
                and sequence in (None, signal.sequence)
                and symbol in (None, signal.symbol)
            ):
                return signal
        wanted = " ".join(
            f"{name} {value}"
            for name, value in (("session", session), ("sequence", sequence), ("symbol", symbol))
            if value is not None
        )
        raise NotFound(
            f"no signal here{' of ' * bool(wanted)}{wanted}: the newest {RING} of session "
            f"{self._session or '(none yet)'} are held; get_signals shows them"
        )

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._moved.wait()
        while True:
            self._moved.clear()
            follow = asyncio.create_task(self._follow(self._address or ""))
            moved = asyncio.create_task(self._moved.wait())
            try:
                await asyncio.wait({follow, moved}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                moved.cancel()
                follow.cancel()
                await asyncio.gather(moved, follow, return_exceptions=True)
            if not self._moved.is_set():
                await asyncio.sleep(AGAIN_S)

    async def _follow(self, address: str) -> None:
        """Read one feed until it refuses, or a second's share is taken."""
        from relentless.serving.clients.feed import FeedClient, Received, SessionStarted

        try:
            async with FeedClient(address, self._credential(), tls=self._tls()) as feed:
                taken, second = 0, time.monotonic()
                async for event in feed:
                    if isinstance(event, SessionStarted):
                        self._restart(event.session)
                    elif isinstance(event, Received):
                        self.take(event.session, event.frame, feed.symbols)
                        taken += 1
                        now = time.monotonic()
                        if now - second >= 1.0:
                            taken, second = 0, now
                        elif taken >= PER_SECOND:
                            return
        except RelentlessError as error:
            log.warning("signal feed", address=address, error=str(error))
        except (OSError, ValueError) as error:
            log.warning("signal feed", address=address, error=type(error).__name__)

    def take(self, session: str, frame: bytes, symbols: Mapping[int, str]) -> None:
        """Keep one signal of the feed."""
        from relentless.proto.signal import Signal

        signal = Signal.unpack(frame)
        symbol = symbols.get(signal.symbol_id, "")
        self.symbols[symbol] = signal.symbol_id
        self._ring.append(emitted(session, symbol, signal, frame))
        self._changed()

    def _restart(self, session: str) -> None:
        if session != self._session:
            self._session = session
            self._ring.clear()


def emitted(session: str, symbol: str, signal: Any, frame: bytes) -> Emitted:
    """Give a signal frame as fields."""
    return Emitted(
        session=session,
        sequence=signal.sequence,
        symbol=symbol,
        timestamp=iso(from_ns(signal.timestamp)),
        action=signal.action.name.lower(),
        confidence=_float32(signal.confidence),
        price_target=_float32(signal.price_target),
        stop_loss=_float32(signal.stop_loss),
        position_size=_float32(signal.position_size),
        risk_score=signal.risk_score,
        urgency=signal.urgency,
        model_version=signal.model_version,
        context_id=f"{signal.context_id:016x}",
        flags=[flag.name.lower() for flag in signal.flags],
        frame=frame.hex(),
    )


def _float32(value: float) -> float:
    """Give the short decimal that reads back as the same 32-bit float."""
    return float(f"{value:.9g}")
