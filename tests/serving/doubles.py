"""Doubles for the tick path: a model that is a formula, ticks, a context, keys, a faulty proxy."""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relentless.configs.clock import to_ns
from relentless.proto.daily import DailyContext
from relentless.proto.errors import ModelUnavailable, Unauthenticated
from relentless.proto.signal import Action, Flag, Signal
from relentless.proto.tick import TICK_DTYPE, TICK_SIZE
from relentless.serving.feed import FeedServer
from relentless.serving.gates import EmitLimits
from relentless.serving.pipeline import Lane, activate
from relentless.serving.ports import Array, Embedded
from relentless.serving.ring import SignalRing
from relentless.serving.wire import mark_replayed
from relentless.store.ports import Principal, Role
from relentless.store.symbols import SymbolDirectory

AS_OF = datetime(2013, 10, 7, 9, 30, tzinfo=UTC)
OPEN_NS = to_ns(datetime(2013, 10, 7, 13, 30, tzinfo=UTC))
SYMBOLS = ("SPY", "XLF", "TLT", "IBM", "AAPL", "MSFT", "JPM", "XOM")


async def eventually(true: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Wait on an event loop for something that others bring about.

    Raises:
        TimeoutError: it did not come true in time.
    """
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110  # other threads and processes bring it about
            await asyncio.sleep(0.005)


class Formula:
    """A model that is a formula of the features, a little different in each version."""

    def __init__(self, versions: Mapping[str, int] | None = None) -> None:
        self.versions = dict(versions or {"stable": 1})
        self.fails = False
        self.poison: float | None = None
        self.calls: list[tuple[int, int]] = []

    def labels(self) -> Mapping[str, int]:
        return self.versions

    def encode(self, context_vector: Array, context_id: int, version: int) -> Embedded:
        self.calls.append((0, version))
        return Embedded(context_id, version, np.zeros(64, "f4"), np.zeros(128, "f4"))

    def predict(self, features: Array, context: Embedded) -> Array:
        if self.fails:
            raise ModelUnavailable("gone")
        self.calls.append((len(features), context.version))
        heads = np.empty((len(features), 4), np.float32)
        heads[:, 0] = 0.5 + 0.2 * np.tanh(features[:, 0])
        heads[:, 1] = 2.0 * features[:, 0]
        heads[:, 2] = 1.0 + 0.1 * context.version
        heads[:, 3] = 0.1
        if self.poison is not None:
            heads[:, 1] = self.poison
        return heads

    def close(self) -> None:
        """Nothing to let go of."""


def context(as_of: datetime = AS_OF, mark: str = "ab") -> DailyContext:
    return DailyContext(
        as_of=as_of,
        trading_date=date(2013, 10, 7),
        context_id=mark * 32,
        fold_version=1,
        head=0,
        provenance={},
    )


def ticks(
    count: int,
    *,
    start_ns: int = OPEN_NS,
    step_ns: int = 1_000_000,
    symbols: int = 8,
    seed: int = 7,
    conditions: int = 0,
) -> npt.NDArray[np.void]:
    """Give a random walk of each symbol, one after the other."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, TICK_DTYPE)
    rows["ts_event"] = start_ns + step_ns * np.arange(count)
    rows["symbol_id"] = 1 + np.arange(count) % symbols
    walk = rng.normal(0, 2e-4, (count // symbols + 1, symbols)).cumsum(axis=0).ravel()[:count]
    price = np.round(100 * np.exp(walk), 2)
    rows["price"], rows["bid"], rows["ask"] = price, price - 0.01, price + 0.01
    rows["volume"] = rng.integers(1, 500, count)
    rows["conditions"] = conditions
    return rows


def packed(rows: npt.NDArray[np.void]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(-1, TICK_SIZE)


def new_lane(engine: Formula | None = None, warm: bool = True, **options: Any) -> Lane:
    """Give a lane of eight symbols under a context; warm ones have seen their first ticks."""
    engine = engine or Formula()
    options.setdefault("symbols", 8)
    lane = Lane(engine, lambda number: SYMBOLS[(number - 1) % len(SYMBOLS)], **options)
    lane.use(activate(engine, context()))
    if warm:
        early = ticks(8 * 70, start_ns=OPEN_NS - 10**9)
        lane.process(packed(early), now_ns=OPEN_NS, refuse=lambda: 9)
    return lane


def loose() -> EmitLimits:
    return EmitLimits(1.0, 10.0)


def signal(sequence: int, **fields: Any) -> Signal:
    """Give a plain signal of symbol 1."""
    base = Signal(
        timestamp=OPEN_NS + sequence,
        symbol_id=1,
        action=Action.BUY,
        confidence=0.5,
        price_target=102.0,
        stop_loss=99.0,
        position_size=0.5,
        risk_score=10,
        urgency=20,
        strategy_id=1,
        sequence=sequence,
        context_id=1,
        model_version=1,
        flags=Flag.NONE,
    )
    return base._replace(**fields)


def frames(first: int, count: int) -> npt.NDArray[np.uint8]:
    raw = b"".join(signal(n).pack() for n in range(first, first + count))
    return np.frombuffer(raw, np.uint8).reshape(-1, 64)


class Keys:
    """Knows "good" (a trader), "agent" (an agent) and nobody else."""

    def verify(self, credential: str) -> Principal:
        if credential == "good":
            return Principal("TradingAgent", Role.TRADER, "k1", frozenset())
        if credential == "agent":
            return Principal("FredAgent", Role.AGENT, "k2", frozenset())
        raise Unauthenticated("unknown key")


class Feeder:
    """A feed server with a ring and symbols, started on a free port."""

    def __init__(self, session: str = "one", capacity: int = 1_000, **options: Any) -> None:
        self.allowed = True
        self.symbols = SymbolDirectory()
        for name in SYMBOLS:
            self.symbols.intern(name)
        self.ring = SignalRing(capacity, session)
        options.setdefault("heartbeat_s", 0.05)
        self.server = FeedServer(
            self.ring,
            self.symbols,
            Keys(),
            permitted=lambda: self.allowed,
            now_ns=lambda: OPEN_NS,
            **options,
        )
        self.address = ""

    async def __aenter__(self) -> Self:
        mark_replayed(np.zeros((1, 16), np.uint32), 0)  # compiles before anybody waits for it
        self.address = await self.server.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    def publish(self, count: int = 1) -> None:
        self.server.publish(frames(self.ring.head, count))


class FaultyProxy:
    """Passes bytes between a client and ``target``; what comes from the server goes through a
    ``tamper`` function that takes and gives whole packets (bytes with their length)."""

    def __init__(self, target: Callable[[], str], tamper: Callable[[bytes], list[bytes]]) -> None:
        self._target = target
        self._tamper = tamper
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut every connection."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        host, _, port = self._target().rpartition(":")
        try:
            above_reader, above_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, above_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._up(reader, above_writer))
                group.create_task(self._down(above_reader, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in (writer, above_writer):
                self._writers.discard(end)
                end.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        raise ConnectionResetError

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(2)
            body = await reader.readexactly(int.from_bytes(head, "big"))
            for packet in self._tamper(head + body):
                writer.write(packet)


def chaos(seed: int, rate: float) -> Callable[[bytes], list[bytes]]:
    """Give a tamper that drops, doubles, swaps and damages signal packets at a rate."""
    rng = random.Random(seed)
    kept: list[bytes] = []

    def tamper(packet: bytes) -> list[bytes]:
        if packet[2:3] != b"S" or rng.random() >= rate:
            out = [packet, *kept]
            kept.clear()
            return out
        fault = rng.choice(("drop", "double", "swap", "flip"))
        if fault == "double":
            return [packet, packet]
        if fault == "swap":
            kept.append(packet)
            return []
        if fault == "flip":
            damaged = bytearray(packet)
            damaged[rng.randrange(3, len(packet))] ^= 1 << rng.randrange(8)
            return [bytes(damaged)]
        return []

    return tamper
