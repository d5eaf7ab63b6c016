"""Reads the Alpaca v2 stream (or the sandbox's) into ticks.

Trades are the ticks; quotes set the bid and ask that the next ticks carry; statuses hold a symbol;
corrections and cancels are counted, because incremental features cannot take a trade back (its
weight fades). One bad message is counted and passed over; a cut connection is made again with
backoff. The origin of what comes is what the server's handshake says.
"""

import asyncio
import json
import struct
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import stamina
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from relentless.proto.errors import (
    SourceError,
    SourceMalformed,
    SourceRejected,
    SourceUnavailable,
)
from relentless.serving import alpaca
from relentless.serving.alpaca import SOURCE
from relentless.store.symbols import SymbolDirectory

ORIGIN_HEADER = "X-Relentless-Origin"
HANDSHAKE_S = 10.0
REJECTED_PAUSE_S = 30.0
_log = structlog.get_logger(__name__)


class Ticks(Protocol):
    """What takes the ticks."""

    def push(
        self,
        ts_ns: int,
        symbol: int,
        conditions: int,
        price: float,
        bid: float,
        ask: float,
        volume: int,
    ) -> None:
        """Take one tick."""
        ...

    def hold(self, symbol: int, held: bool) -> None:
        """Refuse a symbol's signals while its trading is halted."""
        ...


class StreamReader:
    """Turns frames into ticks. Keeps the newest quote of each symbol.

    ``counts`` holds how many messages of each type came, and "malformed" ones.
    """

    def __init__(self, symbols: Sequence[str], directory: SymbolDirectory, ticks: Ticks) -> None:
        self._ids = {symbol: directory.intern(symbol) for symbol in symbols}
        self._quotes: dict[str, tuple[float, float]] = {}
        self._ticks = ticks
        self._origin = 0
        self._recorded = False
        self.counts: Counter[str] = Counter()

    def origin(self, origin: str) -> None:
        """Mark every later tick with where it comes from."""
        self._origin = alpaca.origin_bits(origin)
        self._recorded = origin == "recorded"

    def take(self, messages: Sequence[Any]) -> None:
        """Take the messages of one frame, in order.

        Raises:
            SourceRejected, SourceUnavailable: an error frame.
        """
        for message in messages:
            try:
                self._take(message)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error):
                self.counts["malformed"] += 1

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["T"]
        self.counts[kind] += 1
        if kind == "t":
            self._trade(message)
        elif kind == "q" and message["S"] in self._ids:
            self._quotes[message["S"]] = float(message["bp"]), float(message["ap"])
        elif kind == "s":
            held = alpaca.held_by(message["sc"])
            symbol = self._ids.get(message["S"], 0)
            if held is not None and symbol:
                _log.info("trading status", symbol=message["S"], held=held)
                self._ticks.hold(symbol, held)
        elif kind == "error":
            raise alpaca.error_of(int(message["code"]), str(message.get("msg", "")))

    def _trade(self, message: dict[str, Any]) -> None:
        name = message["S"]
        bid, ask = self._quotes.get(name, (0.0, 0.0))
        codes = tuple(message.get("c") or ())
        self._ticks.push(
            alpaca.parse_ns(message["t"]),
            self._ids[name],
            self._origin | alpaca.conditions_of(codes, message.get("z", ""), self._recorded),
            float(message["p"]),
            bid,
            ask,
            int(message["s"]),
        )


class AlpacaIngest:
    """One connection after the other, until cancelled.

    Args:
        url: the stream's address.
        key: the API key id.
        secret: its secret.
        symbols: what to subscribe to.
        reader: takes the frames.
        default_origin: where the server's handshake does not say.
    """

    def __init__(
        self,
        url: str,
        key: str,
        secret: str,
        symbols: Sequence[str],
        reader: StreamReader,
        default_origin: str = "live",
    ) -> None:
        self._url = url
        self._auth = {"action": "auth", "key": key, "secret": secret}
        self._symbols = list(symbols)
        self._reader = reader
        self._default_origin = default_origin
        self.connections = 0
        self.connected = False

    async def run(self) -> None:
        """Read for ever."""
        while True:
            try:
                socket = await self._open_with_retry()
                try:
                    await self._read(socket)
                finally:
                    self.connected = False
                    await socket.close()
            except SourceRejected as error:
                _log.error("stream refused", error=str(error), again_in_s=REJECTED_PAUSE_S)
                await asyncio.sleep(REJECTED_PAUSE_S)
            except (SourceUnavailable, SourceMalformed, WebSocketException, OSError) as error:
                _log.warning("stream cut", error=str(error) or type(error).__name__)
                await asyncio.sleep(0.1)

    async def _open_with_retry(self) -> ClientConnection:
        async for attempt in stamina.retry_context(
            on=(OSError, TimeoutError, WebSocketException, SourceUnavailable, SourceMalformed),
            attempts=None,
            timeout=None,
            wait_initial=0.1,
            wait_max=5.0,
            wait_jitter=0.2,
        ):
            with attempt:
                socket = await self._open()
        return socket

    async def _open(self) -> ClientConnection:
        """Connect, authenticate and subscribe.

        Raises:
            SourceRejected: the key or the subscription is refused.
            SourceUnavailable: the server cannot take this connection now.
            SourceMalformed: it does not speak the protocol.
        """
        try:
            socket = await connect(
                self._url,
                open_timeout=HANDSHAKE_S,
                close_timeout=1.0,
                max_size=1 << 24,
                compression=None,
                proxy=None,
            )
        except InvalidHandshake as error:
            raise SourceUnavailable(SOURCE, f"handshake refused: {error}") from error
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await self._expect(socket, "connected")
                await socket.send(json.dumps(self._auth))
                await self._expect(socket, "authenticated")
                wanted = {"trades": self._symbols, "quotes": self._symbols}
                statuses = {"statuses": self._symbols}
                await socket.send(json.dumps({"action": "subscribe", **wanted, **statuses}))
        except BaseException:
            await socket.close()
            raise
        said = socket.response.headers.get(ORIGIN_HEADER) if socket.response else None
        self._reader.origin(said or self._default_origin)
        self.connections += 1
        self.connected = True
        _log.info("stream open", origin=said or self._default_origin, symbols=len(self._symbols))
        return socket

    async def _expect(self, socket: ClientConnection, word: str) -> None:
        """Read one control frame that says ``word``; an error frame raises its error."""
        for message in _decode(await socket.recv()):
            if message.get("T") == "error":
                raise _error_of(message)
            if message.get("T") == "success" and message.get("msg") == word:
                return
        raise SourceMalformed(SOURCE, f"expected a success frame that says {word!r}")

    async def _read(self, socket: ClientConnection) -> None:
        """Take frames until the connection ends.

        Raises:
            WebSocketException: it was cut.
            SourceRejected, SourceUnavailable: an error frame.
            SourceMalformed: a frame that is not a JSON array.
        """
        while True:
            self._reader.take(_decode(await socket.recv()))


def _decode(frame: str | bytes) -> list[dict[str, Any]]:
    try:
        messages = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise SourceMalformed(SOURCE, "a frame is not JSON") from error
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise SourceMalformed(SOURCE, "a frame is not an array of objects")
    return messages


def _error_of(message: dict[str, Any]) -> SourceError:
    """Give what an error frame stands for, also where its code is no number."""
    try:
        return alpaca.error_of(int(message.get("code", 500)), str(message.get("msg", "")))
    except (TypeError, ValueError, OverflowError):
        return SourceMalformed(SOURCE, "an error frame without a code")
