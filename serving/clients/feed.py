"""The feed's client: an endless, ordered, gap-free iteration over signals and heartbeats.

What a consumer must do by ``docs/feed.md`` happens here: login, checksum of every frame, gaps found
and asked for again, duplicates dropped, reconnection with resume. What a consumer must decide is
handed to it as an event: a new session, frames that are lost for good, a cut link.

::

    async with FeedClient("127.0.0.1:8781", credential, session="", next_sequence=1) as feed:
        async for event in feed:
            if isinstance(event, Received):
                print(feed.symbols[event.signal.symbol_id], event.signal)
"""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import stamina

from relentless.proto import feed as wire
from relentless.proto.errors import InvalidFrame, InvalidInput, Unauthenticated, Unavailable
from relentless.proto.feed import Accepted, Kind, Login, PacketReader, Why
from relentless.proto.signal import SIGNAL_SIZE, Flag, Signal

_CHUNK = 262_144
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Received:
    """A signal: the next of its session, never twice."""

    session: str
    signal: Signal
    frame: bytes
    """Its 64 bytes."""

    @property
    def replayed(self) -> bool:
        """Whether it was sent again, or late: true of its time, not of now."""
        return bool(self.signal.flags & Flag.REPLAY)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The server lives; ``signal.sequence`` is the next signal's, ``halted`` says none may come."""

    session: str
    signal: Signal
    halted: bool


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The first login, or another session than before: sequences begin anew."""

    session: str
    previous: str
    next_sequence: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Signals ``first`` to ``last`` are no longer held by the server."""

    session: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link was cut; the client is already trying again."""

    reason: str


Event = Received | Heartbeat | SessionStarted | Lost | Disconnected


class FeedClient:
    """Iterate over it, once. ``symbols`` names every symbol number that was seen so far.

    Args:
        address: "host:port".
        credential: an API key of role trader, reader or operator.
        session: the session that ``next_sequence`` belongs to; "" is whichever runs.
        next_sequence: the first signal wanted; 0 is live only.
        idle_s: wall seconds of silence after which the link counts as cut.
        tls: where the feed has TLS: ``TlsSettings.calling``'s context.
    """

    def __init__(
        self,
        address: str,
        credential: str,
        *,
        session: str = "",
        next_sequence: int = 0,
        idle_s: float = 5.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._credential = credential
        self._idle_s = idle_s
        self._tls = tls
        self._writer: asyncio.StreamWriter | None = None
        self._asked = 0
        self._moved = False
        self.session = session
        self.next_sequence = next_sequence
        self.symbols: dict[int, str] = {}
        self.halted = False
        self.connected = False
        self.bad_frames = 0
        self.duplicates = 0
        self.replays = 0
        self.reconnects = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Log out and close the link."""
        writer, self._writer = self._writer, None
        self.connected = False
        if writer is not None:
            writer.close()
            try:
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()
            except (OSError, TimeoutError):
                pass

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Give events for ever.

        Raises:
            Unauthenticated: the credential is refused.
            InvalidInput: the server cannot serve ``next_sequence`` of this session.
        """
        pause = _PAUSE_S
        while True:
            try:
                async for event in self._connection():
                    yield event
                    pause = _PAUSE_S
                reason = "the server closed the connection"
            except TimeoutError:
                reason = f"nothing was heard for {self._idle_s:g} s"
            except (OSError, InvalidFrame, Unavailable) as error:
                reason = str(error) or type(error).__name__
            await self.close()
            self.reconnects += 1
            yield Disconnected(reason)
            await asyncio.sleep(pause * (0.5 + 0.5 * random.random()))  # noqa: S311 - a pause
            pause = min(2 * pause, 1.0)

    async def _connection(self) -> AsyncIterator[Event]:
        """Log in, and give what comes until the link ends."""
        reader = await self._connect()
        packets = PacketReader()
        while data := await self._read(reader):
            for kind, payload in packets.feed(data):
                for event in self._take(kind, payload):
                    yield event

    async def _connect(self) -> asyncio.StreamReader:
        async for attempt in stamina.retry_context(
            on=(OSError, TimeoutError),
            attempts=None,
            timeout=None,
            wait_initial=0.02,
            wait_max=1.0,
            wait_jitter=0.05,
        ):
            with attempt:
                async with asyncio.timeout(self._idle_s):
                    reader, self._writer = await asyncio.open_connection(
                        self._host, self._port, limit=_CHUNK, ssl=self._tls
                    )
        if self._writer is None:
            raise Unavailable("the feed's link was closed while it opened")
        self._asked = 0
        self._writer.write(Login(self._credential, self.session, self.next_sequence).pack())
        return reader

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(self._idle_s):
            return await reader.read(_CHUNK)

    def _take(self, kind: Kind, payload: bytes) -> list[Event]:
        if kind is Kind.SIGNALS:
            return self._signals(payload)
        if kind is Kind.HEARTBEAT:
            return self._heartbeat(payload)
        if kind is Kind.DIRECTORY:
            self.symbols.update(wire.unpack_directory(payload))
        elif kind is Kind.ACCEPTED:
            return self._accepted(Accepted.unpack(payload))
        elif kind is Kind.GAP:
            return self._gap(*wire.unpack_gap(payload))
        elif kind in (Kind.REJECTED, Kind.END):
            raise _refusal(*wire.unpack_reason(payload))
        return []

    def _accepted(self, accepted: Accepted) -> list[Event]:
        previous, self.session = self.session, accepted.session
        first_time = not self.connected and self.reconnects == 0
        self.connected = True
        self._moved = True
        if previous != accepted.session or first_time:
            if previous and previous != accepted.session and self.next_sequence:
                self.next_sequence = 1  # a gap packet says what of it is gone
            elif not self.next_sequence:
                self.next_sequence = accepted.next_sequence
            return [SessionStarted(accepted.session, previous, accepted.next_sequence)]
        if not self.next_sequence:
            self.next_sequence = accepted.next_sequence
        return []

    def _signals(self, payload: bytes) -> list[Event]:
        if len(payload) % SIGNAL_SIZE:
            raise InvalidFrame("a signals packet is not a whole number of frames")
        events: list[Event] = []
        for at in range(0, len(payload), SIGNAL_SIZE):
            frame = payload[at : at + SIGNAL_SIZE]
            try:
                signal = Signal.unpack(frame)
            except InvalidFrame:
                self.bad_frames += 1
                continue
            if signal.sequence == self.next_sequence:
                self.next_sequence += 1
                self._moved = True
                events.append(Received(self.session, signal, frame))
            elif signal.sequence < self.next_sequence:
                self.duplicates += 1
            else:
                self._ask_again()
        return events

    def _heartbeat(self, payload: bytes) -> list[Event]:
        try:
            signal = Signal.unpack(payload)
        except InvalidFrame:
            self.bad_frames += 1
            return []
        self.halted = bool(signal.flags & Flag.HALTED)
        if not self._moved:
            self._asked = 0  # the answer to the last request was lost too
        self._moved = False
        if signal.sequence > self.next_sequence:
            self._ask_again()
        if self._writer is not None:
            self._writer.write(wire.packet(Kind.ALIVE))
        return [Heartbeat(self.session, signal, self.halted)]

    def _gap(self, wanted: int, available: int) -> list[Event]:
        if available <= self.next_sequence:
            return []
        first, self.next_sequence = self.next_sequence, available
        self._moved = True
        return [Lost(self.session, max(first, wanted), available - 1)]

    def _ask_again(self) -> None:
        """Ask for everything from the first missing signal on, once for each such place."""
        if self._asked != self.next_sequence and self._writer is not None:
            self._asked = self.next_sequence
            self.replays += 1
            self._writer.write(wire.pack_sequence(Kind.REPLAY, self.next_sequence))


def _refusal(why: Why, text: str) -> Exception:
    if why is Why.AUTHENTICATION:
        return Unauthenticated(text)
    if why is Why.SEQUENCE:
        return InvalidInput(text)
    return Unavailable(text)
