"""Promise P11 at the predictor's listeners: hostile bytes to the feed and to FinancialPredictor.

A real predictor process; all the while a good consumer reads the feed and a good caller predicts.
"""

import asyncio
import contextlib
import os
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from relentless.proto import feed as wire
from relentless.proto.feed import Kind, Login, PacketReader
from relentless.proto.gen import market_pb2, market_pb2_grpc
from relentless.serving.clients.feed import FeedClient, Received
from relentless.serving.grpc_service import MAX_NAMED
from relentless.store.keys import LOCAL_ROLES, local_credential

from .doubles import OPEN_NS
from .test_predictor import Running, pytestmark, running

pytestmark = [pytestmark, pytest.mark.promise("P11")]
LIMIT_S = 60.0
ANSWER_S = 10.0
"""Seconds within which a good caller is answered, and a good consumer hears of something."""
GROWN_MB = 60.0
METHODS = ("Predict", "StreamPredict", "StreamPredictBatch", "StreamRisk", "Explain")
CODES = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,  # ours: a stream of signals has no end of its own
}
CORE = "Internal error from Core"
"""The client's own: its write was under way as the refusal came."""


class Good:
    """A consumer and a caller that behave, and are served."""

    def __init__(self, here: Running, key: str) -> None:
        self._here, self._key = here, key
        self.received = 0
        self.answered = 0
        self.slowest = 0.0

    async def consume(self) -> None:
        """Read the feed for ever; a pause that is too long is an error."""
        async with FeedClient(self._here.ready["feed"], self._key) as client:
            events = aiter(client)
            while True:
                async with asyncio.timeout(ANSWER_S):
                    self.received += isinstance(await anext(events), Received)

    async def call(self) -> None:
        """Predict for ever."""
        tick = market_pb2.MarketTick(timestamp=OPEN_NS, symbol="SPY", price=168.0, volume=1)
        request = market_pb2.PredictRequest(ticks=[tick])
        async with grpc.aio.insecure_channel(self._here.ready["grpc"]) as channel:
            stub = market_pb2_grpc.FinancialPredictorStub(channel)
            while True:
                begun = time.monotonic()
                bearer = (("authorization", f"Bearer {self._key}"),)
                await stub.Predict(request, timeout=ANSWER_S, metadata=bearer)
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.answered += 1
                await asyncio.sleep(0.02)


def rss_mb(here: Running) -> float:
    pages = int(Path(f"/proc/{here.process.pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@asynccontextmanager
async def served_meanwhile(here: Running, state: Path) -> AsyncIterator[None]:
    """Hold the predictor to serve those who behave, and not to grow, while something goes on."""
    good = Good(here, local_credential(state, "TradingAgent"))
    tasks = [asyncio.create_task(work) for work in (good.consume(), good.call())]
    try:
        await _until(tasks, lambda: good.received > 0 and good.answered > 0)
        before, received, answered = rss_mb(here), good.received, good.answered
        yield
        await _until(tasks, lambda: good.received > received and good.answered > answered)
        assert rss_mb(here) - before < GROWN_MB
        assert good.slowest < ANSWER_S
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until(tasks: list[asyncio.Task[None]], met: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not met():
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)


def leaks(text: str, state: Path) -> list[str]:
    keys = [local_credential(state, name) for name in LOCAL_ROLES]
    return [mark for mark in ("Traceback", ".py", str(state), *keys) if mark in text]


def hostile_packets(key: str, chance: random.Random) -> bytes:
    """Give what a consumer that means ill sends: a login broken somewhere, or worse after it."""
    login = bytearray(Login(key, next_sequence=chance.choice((0, 1, 2**64 - 1))).pack())
    match chance.randrange(7):
        case 0:
            login[chance.randrange(len(login))] ^= 1 << chance.randrange(8)
        case 1:
            del login[chance.randrange(len(login)) :]
        case 2:
            return chance.randbytes(chance.randrange(400))
        case 3:
            login += chance.randbytes(chance.randrange(400))
        case 4:
            login += wire.packet(chance.choice(list(Kind)), chance.randbytes(chance.randrange(60)))
        case 5:
            login += b"".join(wire.packet(Kind.REPLAY, struct.pack("!Q", 1)) for _ in range(50))
        case 6:
            login += struct.pack("!Hc", chance.choice((0, 1, 65_535)), b"Q")
    return bytes(login)


async def test_hostile_bytes_at_the_feed_end_their_own_connection(
    tmp_path: Path, soak: bool
) -> None:
    chance = random.Random(11)
    said: Counter[str] = Counter()

    async def send(address: str, packets: bytes) -> None:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        answer = bytearray()
        with contextlib.suppress(ConnectionError, TimeoutError):
            writer.write(packets)
            if chance.random() < 0.5:
                writer.write_eof()
            async with asyncio.timeout(0.3):
                while data := await reader.read(65_536):
                    answer += data[: 1_000_000 - len(answer)]
        for kind, payload in PacketReader().feed(bytes(answer)):
            said[kind.name] += 1
            if kind in (Kind.REJECTED, Kind.END):
                assert leaks(wire.unpack_reason(payload)[1], tmp_path) == []
        writer.transport.abort()

    async with running(tmp_path) as (here, _), served_meanwhile(here, tmp_path):
        key = local_credential(tmp_path, "TradingAgent")
        for _ in range(100 if soak else 8):
            packets = [hostile_packets(key, chance) for _ in range(20)]
            await asyncio.gather(*(send(here.ready["feed"], each) for each in packets))
    assert said["REJECTED"] > 20
    assert said["ACCEPTED"] > 20


async def test_connections_that_never_log_in_keep_no_consumer_out(tmp_path: Path) -> None:
    async with running(tmp_path) as (here, _), served_meanwhile(here, tmp_path):
        host, _, port = here.ready["feed"].rpartition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(600)]
        key = local_credential(tmp_path, "TradingAgent")
        async with FeedClient(here.ready["feed"], key) as client, asyncio.timeout(ANSWER_S):
            async for event in client:
                if isinstance(event, Received):
                    break
        async with asyncio.timeout(LIMIT_S):
            ends = await asyncio.gather(*(reader.read() for reader, _ in silent))
        assert all(ends), "each was told why it was ended"
        for _, writer in silent:
            writer.transport.abort()
        await asyncio.gather(*(w.wait_closed() for _, w in silent), return_exceptions=True)


def hostile_message(chance: random.Random) -> bytes:
    """Give a request's bytes: none, a broken one, one that says what cannot be, or a huge one."""
    numbers = (0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e38, 168.0)
    symbol = chance.choice(("SPY", "", "spy", "../x", "X" * 5_000, "‮", "\0", f"Z{chance.random()}"))
    tick = market_pb2.MarketTick(
        timestamp=chance.choice((0, -1, 2**63 - 1, -(2**63), OPEN_NS)),
        symbol=symbol,
        price=chance.choice(numbers),
        bid=chance.choice(numbers),
        ask=chance.choice(numbers),
        volume=chance.choice((0, -1, 2**63 - 1)),
        technical_indicators=[chance.choice(numbers)] * chance.choice((0, 1, 17, 100_000)),
    )
    request = market_pb2.PredictRequest(ticks=[tick] * chance.choice((0, 1, 3)))
    match chance.randrange(5):
        case 0:
            return chance.randbytes(chance.randrange(300))
        case 1:
            broken = bytearray(request.SerializeToString())[:2_000]
            if broken:
                broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
            return bytes(broken)
        case 2:
            return market_pb2.TickBatch(
                ticks=chance.randbytes(chance.choice((0, 1, 47, 48, 480, 48_000)))
            ).SerializeToString()
        case 3:
            return chance.choice((tick, request)).SerializeToString()
        case _:
            return b"" if chance.random() < 0.9 else bytes(9 << 20)


def knock(address: str, count: int, chance: random.Random) -> None:
    """Open connections that speak no HTTP/2, or half of it, and leave them all at the end."""
    host, _, port = address.rpartition(":")
    starts = (b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", chance.randbytes(99))
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            one = opened.enter_context(socket.create_connection((host, int(port))))
            one.sendall(chance.choice(starts))


async def test_hostile_messages_to_the_predictor_get_a_status(tmp_path: Path, soak: bool) -> None:
    chance = random.Random(12)
    codes: Counter[grpc.StatusCode] = Counter()
    streaming = {"Predict": (0, 0), "Explain": (0, 0), "StreamRisk": (0, 1)}

    async def send(channel: grpc.aio.Channel, name: str, key: str) -> None:
        streams_in, streams_out = streaming.get(name, (1, 1))
        kind = f"{'stream' if streams_in else 'unary'}_{'stream' if streams_out else 'unary'}"
        message = hostile_message(chance)
        given = iter([message] * 2) if streams_in else message
        path = f"/relentless.v1.FinancialPredictor/{name}"
        bearer = (("authorization", f"Bearer {key}"),)
        call = getattr(channel, kind)(path)(given, metadata=bearer, timeout=0.5)
        try:
            if streams_out:
                async for _ in call:
                    pass
            else:
                await call
            codes[grpc.StatusCode.OK] += 1
        except grpc.aio.AioRpcError as error:
            codes[error.code()] += 1
            details = error.details() or ""
            assert leaks(details, tmp_path) == []
            known = error.code() in CODES or details.startswith(CORE)
            assert known, (name, error.code(), details)

    async with running(tmp_path) as (here, _), served_meanwhile(here, tmp_path):
        keys = [local_credential(tmp_path, name) for name in ("TradingAgent", "FredAgent")]
        async with grpc.aio.insecure_channel(here.ready["grpc"]) as channel:
            for _ in range(150 if soak else 12):
                chosen = [(chance.choice(METHODS), chance.choice((*keys, "x"))) for _ in range(16)]
                await asyncio.gather(*(send(channel, name, key) for name, key in chosen))
        knock(here.ready["grpc"], 300 if soak else 50, chance)
    assert codes[grpc.StatusCode.INVALID_ARGUMENT] > 5
    assert codes[grpc.StatusCode.PERMISSION_DENIED] > 5


async def test_callers_cannot_fill_the_symbol_directory(tmp_path: Path) -> None:
    async with running(tmp_path) as (here, _), served_meanwhile(here, tmp_path):
        bearer = (("authorization", f"Bearer {local_credential(tmp_path, 'reader')}"),)
        async with grpc.aio.insecure_channel(here.ready["grpc"]) as channel:
            stub = market_pb2_grpc.FinancialPredictorStub(channel)
            for start in range(0, 2 * MAX_NAMED, 128):
                names = [f"X{number}" for number in range(start, start + 128)]
                ticks = [market_pb2.MarketTick(symbol=name, price=1.0) for name in names]
                request = market_pb2.PredictRequest(ticks=ticks)
                try:
                    await stub.Predict(request, timeout=LIMIT_S, metadata=bearer)
                except grpc.aio.AioRpcError as error:
                    refused = error
                    break
    assert start == MAX_NAMED
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
