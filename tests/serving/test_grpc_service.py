"""FinancialPredictor over real sockets: one result a tick, and callers that behave badly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from relentless.proto.gen import market_pb2, market_pb2_grpc
from relentless.proto.signal import iter_frames
from relentless.proto.tick import MAX_TICKS_PER_BATCH, TICK_SIZE
from relentless.serving.answers import Answer, AtOnce
from relentless.serving.gates import REASONS
from relentless.serving.grounds import GroundsRing
from relentless.serving.grpc_service import NAME, QUEUED, GrpcServer, PredictorService
from relentless.serving.lease import Lease
from relentless.serving.pipeline import CAPACITY
from relentless.serving.ring import SignalRing
from relentless.serving.streams import Streams
from relentless.store import symbols
from relentless.store.symbols import SymbolDirectory

from .doubles import OPEN_NS, SYMBOLS, Keys, eventually, new_lane, packed, ticks

LIMIT_S = 60.0
KEY = (("authorization", "Bearer good"),)
SMALL = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536)]
"""Of a client: a window that is full after some hundreds of results."""


class Counting(AtOnce):
    """Counts the ticks that it answered."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ticks = 0
        self.gate: asyncio.Event | None = None

    async def answer(self, ticks: Any, indicators: Any = ()) -> Answer:
        if self.gate is not None:
            await self.gate.wait()
        self.ticks += len(ticks)
        return await super().answer(ticks, indicators)


class Serving:
    """A server, a stub to it, and what stands behind it."""

    ring: SignalRing

    def __init__(self, server: GrpcServer, answers: Counting, streams: Streams, at: str) -> None:
        self.server, self.answers, self.streams, self.address = server, answers, streams, at
        self.channel = grpc.aio.insecure_channel(at)
        self.stub = market_pb2_grpc.FinancialPredictorStub(self.channel)

    def batches(self) -> Any:
        return self.stub.StreamPredictBatch(metadata=KEY, timeout=LIMIT_S)


@asynccontextmanager
async def serving(stall_s: float = LIMIT_S) -> AsyncIterator[Serving]:
    directory = SymbolDirectory()
    for name in SYMBOLS:
        directory.intern(name)
    lease = Lease(lambda: 0.0)
    lease.extend(0.0, 60.0)
    answers = Counting(new_lane(), lambda: OPEN_NS, lease.refusal)
    streams = Streams(stall_s)
    ring = SignalRing(200_000, "one")
    service = PredictorService(
        answers, ring, directory, lease, lambda: OPEN_NS, GroundsRing(), streams
    )
    server = GrpcServer(service, Keys())
    made = Serving(server, answers, streams, await server.start("127.0.0.1", 0))
    made.ring = ring
    try:
        async with asyncio.timeout(LIMIT_S):
            yield made
    finally:
        await made.channel.close()
        await server.close(0)


def batch(count: int, seed: int = 7) -> market_pb2.TickBatch:
    return market_pb2.TickBatch(ticks=packed(ticks(count, seed=seed)).tobytes())


async def results(call: Any, wanted: int) -> list[Any]:
    """Read results until there are so many."""
    found: list[Any] = []
    while len(found) < wanted:
        answer = await call.read()
        assert answer is not grpc.aio.EOF, f"ended with {len(found)} of {wanted}"
        assert len(answer.frames) == 64 * len(answer.reasons)
        found += iter_frames(answer.frames)
    assert len(found) == wanted
    return found


async def still(read: Any, seconds: float = 0.3) -> Any:
    """Wait until a number stands still, and give it."""
    last = -1
    while last != (last := read()):  # noqa: ASYNC110  # there is no event for standing still
        await asyncio.sleep(seconds)
    return last


async def ended(call: Any) -> tuple[grpc.StatusCode, str]:
    """Read a stream's end, after every result, and give how it ended."""
    try:
        assert await call.read() is grpc.aio.EOF
    except grpc.aio.AioRpcError as error:
        assert error.code() is await call.code()
    return await call.code(), await call.details()


async def test_every_tick_of_a_hundred_streams_has_one_result_in_order() -> None:
    async def one(number: int) -> None:
        call = here.batches()
        for frames in range(1, 4):
            rows = ticks(frames * 17, seed=number)
            await call.write(market_pb2.TickBatch(ticks=packed(rows).tobytes()))
            found = await results(call, len(rows))
            assert [(s.timestamp, s.symbol_id) for s in found] == [
                (row["ts_event"], row["symbol_id"]) for row in rows
            ]
            assert {s.sequence for s in found} == {0}
        await call.done_writing()
        assert (await ended(call))[0] is grpc.StatusCode.OK

    async with serving() as here:
        await asyncio.gather(*(one(number) for number in range(100)))
        assert here.answers.ticks == 100 * 17 * 6


async def test_a_large_frame_is_answered_in_parts_and_whole() -> None:
    async with serving() as here:
        call = here.batches()
        await call.write(batch(2 * CAPACITY + 5))
        assert len(await results(call, 2 * CAPACITY + 5)) == 2 * CAPACITY + 5


async def test_a_caller_that_half_closes_has_every_result_and_a_good_end() -> None:
    async with serving() as here:
        call = here.batches()
        for _ in range(5):
            await call.write(batch(100))
        await call.done_writing()
        await results(call, 500)
        assert (await ended(call))[0] is grpc.StatusCode.OK


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    "ragged",
    [
        batch(3).ticks[:-1],
        b"",
        b"x",
        bytes(TICK_SIZE * (MAX_TICKS_PER_BATCH + 1)),
    ],
    ids=["a byte short", "empty", "one byte", "too many"],
)
async def test_a_ragged_frame_ends_the_stream_after_the_results_before_it(ragged: bytes) -> None:
    async with serving() as here:
        call = here.batches()
        await call.write(batch(10))
        await call.write(market_pb2.TickBatch(ticks=ragged))
        await results(call, 10)
        code, details = await ended(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "48 bytes" in details
        assert here.answers.ticks == 10


@pytest.mark.promise("P11")
async def test_bytes_that_are_no_message_end_the_stream() -> None:
    async with serving() as here:
        for method in ("StreamPredictBatch", "StreamPredict"):
            call = here.channel.stream_stream(f"/{NAME}/{method}")(metadata=KEY, timeout=LIMIT_S)
            await call.write(b"\xff\xff\xff")
            assert (await ended(call))[0] is grpc.StatusCode.INVALID_ARGUMENT
        call = here.batches()
        await call.write(batch(10))
        await results(call, 10)


async def test_a_caller_that_does_not_read_is_held_back_and_loses_nothing() -> None:
    async with serving() as here, grpc.aio.insecure_channel(here.address, SMALL) as channel:
        stub = market_pb2_grpc.FinancialPredictorStub(channel)
        call = stub.StreamPredictBatch(metadata=KEY, timeout=LIMIT_S)
        frames = 30

        async def write() -> None:
            for _ in range(frames):
                await call.write(batch(CAPACITY))
            await call.done_writing()

        writer = asyncio.create_task(write())
        answered = await still(lambda: here.answers.ticks)
        assert answered < frames * CAPACITY / 2, "it is answered without being read"
        other = here.batches()
        await other.write(batch(10))
        await results(other, 10)
        assert here.answers.ticks == answered + 10
        await results(call, frames * CAPACITY)
        await writer
        assert (await call.code()) is grpc.StatusCode.OK


async def test_a_caller_that_reads_nothing_for_too_long_loses_its_stream_alone() -> None:
    async with serving(stall_s=0.3) as here:
        with grpc.insecure_channel(here.address, SMALL) as plain:
            stub = market_pb2_grpc.FinancialPredictorStub(plain)
            frames = (batch(CAPACITY) for _ in range(60))
            call = stub.StreamPredictBatch(frames, metadata=KEY, timeout=LIMIT_S)
            await eventually(lambda: here.streams.stalled > 0)
            other = here.batches()
            await other.write(batch(10))
            await results(other, 10)
            count = 0

            def read() -> None:
                nonlocal count
                for answer in call:
                    assert len(list(iter_frames(answer.frames))) == len(answer.reasons)
                    count += len(answer.reasons)

            with pytest.raises(grpc.RpcError):
                await asyncio.to_thread(read)
        assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, call.details()
        assert "first tick without a result" in call.details()
        assert 0 < count < 60 * CAPACITY


async def test_a_caller_that_never_reads_keeps_nothing_busy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(stall_s=0.1) as here:
        before = len(asyncio.all_tasks())
        with grpc.insecure_channel(here.address, SMALL) as plain:
            stub = market_pb2_grpc.FinancialPredictorStub(plain)
            frames = (batch(CAPACITY) for _ in range(60))
            call = stub.StreamPredictBatch(frames, metadata=KEY, timeout=LIMIT_S)
            await eventually(lambda: here.streams.stalled > 0)
            await eventually(lambda: here.streams.busy == 0)
            call.cancel()
            await eventually(lambda: len(asyncio.all_tasks()) <= before)
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == []


async def test_a_risk_stream_that_is_not_read_is_cut_and_says_where_to_go_on() -> None:
    async with serving(stall_s=0.2) as here:
        here.ring.append(np.zeros((200_000, 64), np.uint8))
        with grpc.insecure_channel(here.address, SMALL) as plain:
            stub = market_pb2_grpc.FinancialPredictorStub(plain)
            request = market_pb2.RiskRequest(next_sequence=1)
            call = stub.StreamRisk(request, metadata=KEY, timeout=LIMIT_S)
            await eventually(lambda: here.streams.stalled > 0)
            await eventually(lambda: here.streams.busy == 0)
            with pytest.raises(grpc.RpcError):
                await asyncio.to_thread(list, call)
        assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, call.details()
        assert "from the next sequence" in call.details()


async def test_a_cancelled_stream_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as here:
        await here.channel.channel_ready()
        before = len(asyncio.all_tasks())
        for method in (here.stub.StreamPredictBatch, here.stub.StreamPredict):
            calls = [method(metadata=KEY, timeout=LIMIT_S) for _ in range(10)]
            for call in calls:
                await call.wait_for_connection()
                call.cancel()
        unread = here.batches()
        for _ in range(3):
            await unread.write(batch(MAX_TICKS_PER_BATCH // 4))
        await still(lambda: here.answers.ticks, 0.1)
        unread.cancel()
        await eventually(lambda: len(asyncio.all_tasks()) <= before)
        other = here.batches()
        await other.write(batch(10))
        await results(other, 10)
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == []


async def test_a_deadline_ends_a_stream() -> None:
    async with serving() as here:
        call = here.stub.StreamPredictBatch(metadata=KEY, timeout=0.3)
        await call.write(batch(10))
        await results(call, 10)
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
        assert (await call.code()) is grpc.StatusCode.DEADLINE_EXCEEDED


def typed(number: int, **fields: Any) -> market_pb2.MarketTick:
    values = {"timestamp": OPEN_NS + number, "symbol": "SPY", "price": 100.0, "volume": 1}
    return market_pb2.MarketTick(**(values | fields))


async def test_typed_ticks_have_one_result_each_also_of_a_caller_that_never_waits() -> None:
    async with serving() as here:
        call = here.stub.StreamPredict(metadata=KEY, timeout=LIMIT_S)
        count = 3 * QUEUED

        async def write() -> None:
            for number in range(count):
                await call.write(typed(number))
            await call.done_writing()

        writer = asyncio.create_task(write())
        found = [signal.timestamp async for signal in call]
        await writer
        assert found == [OPEN_NS + number for number in range(count)]


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    "wrong", [{"symbol": "no such \n name"}, {"technical_indicators": [1.0, 2.0]}]
)
async def test_a_wrong_tick_ends_a_typed_stream_after_the_results_before_it(
    wrong: dict[str, Any],
) -> None:
    async with serving() as here:
        call = here.stub.StreamPredict(metadata=KEY, timeout=LIMIT_S)
        for number in range(20):
            await call.write(typed(number))
        await call.write(typed(20, **wrong))
        found = [(await call.read()).timestamp for _ in range(20)]
        assert found == [OPEN_NS + number for number in range(20)]
        assert (await ended(call))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_typed_caller_that_does_not_read_is_held_back() -> None:
    async with serving() as here, grpc.aio.insecure_channel(here.address, SMALL) as channel:
        stub = market_pb2_grpc.FinancialPredictorStub(channel)
        call = stub.StreamPredict(metadata=KEY, timeout=LIMIT_S)
        count = 10_000

        async def write() -> None:
            for number in range(count):
                await call.write(typed(number))
            await call.done_writing()

        writer = asyncio.create_task(write())
        assert await still(lambda: here.answers.ticks) < count / 2
        found = [signal.timestamp async for signal in call]
        await writer
        assert found == [OPEN_NS + number for number in range(count)]


async def test_when_the_server_ends_every_stream_has_whole_results_and_a_status() -> None:
    async with serving() as here:
        idle, busy, words = here.batches(), here.batches(), here.stub.StreamPredict(metadata=KEY)
        await idle.write(batch(10))
        await results(idle, 10)
        await words.write(typed(1))
        assert (await words.read()).timestamp == OPEN_NS + 1
        here.answers.gate = asyncio.Event()
        await busy.write(batch(CAPACITY))
        await busy.write(batch(CAPACITY))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(here.server.close(5.0))
        code, details = await ended(idle)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "first tick without a result" in details
        assert (await ended(words))[0] is grpc.StatusCode.UNAVAILABLE
        here.answers.gate.set()
        assert len(await results(busy, CAPACITY)) == CAPACITY
        assert (await ended(busy))[0] is grpc.StatusCode.UNAVAILABLE
        await closing
        with pytest.raises(grpc.aio.AioRpcError):
            await here.stub.Predict(market_pb2.PredictRequest(ticks=[typed(1)]), metadata=KEY)


async def test_one_call_answers_one_signal_for_each_tick() -> None:
    async with serving() as here:
        request = market_pb2.PredictRequest(ticks=[typed(n, symbol="IBM") for n in range(3)])
        response = await here.stub.Predict(request, metadata=KEY, timeout=LIMIT_S)
        assert [s.symbol for s in response.signals] == ["IBM"] * 3
        assert {s.refused for s in response.signals} <= set(REASONS) | {""}
        for count in (0, CAPACITY + 1):
            wrong = market_pb2.PredictRequest(ticks=[typed(0)] * count)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await here.stub.Predict(wrong, metadata=KEY, timeout=LIMIT_S)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_symbol_that_there_is_no_room_for_is_refused_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(symbols, "MAX_SYMBOLS", len(SYMBOLS))
    async with serving() as here:
        for full in (
            here.stub.Predict(
                market_pb2.PredictRequest(ticks=[typed(0, symbol="NEW")]), metadata=KEY
            ),
            here.stub.StreamPredict(iter([typed(0, symbol="NEW")]), metadata=KEY),
        ):
            assert await full.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_given_indicators_stand_in_for_the_features() -> None:
    async with serving() as here:
        lane = here.answers._lane
        given = np.linspace(-1, 1, lane._features.shape[1]).astype(np.float32)
        tick = typed(1, technical_indicators=given.tolist())
        await here.stub.Predict(
            market_pb2.PredictRequest(ticks=[tick]), metadata=KEY, timeout=LIMIT_S
        )
        assert lane._features[0] == pytest.approx(given)


async def test_health_is_open_and_reflection_names_the_service_to_callers_with_a_key() -> None:
    async with serving() as here:
        health = health_pb2_grpc.HealthStub(here.channel)
        request = health_pb2.HealthCheckRequest(service=NAME)
        assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING

        def described(metadata: Any) -> list[str]:
            class Keyed(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):  # type: ignore[misc]
                def intercept_stream_stream(self, go: Any, details: Any, requests: Any) -> Any:
                    return go(details._replace(metadata=metadata), requests)

                def intercept_unary_unary(self, go: Any, details: Any, request: Any) -> Any:
                    return go(details._replace(metadata=metadata), request)

            with grpc.insecure_channel(here.address) as plain:
                keyed = grpc.intercept_channel(plain, Keyed())
                return list(ProtoReflectionDescriptorDatabase(keyed).get_services())

        assert NAME in await asyncio.to_thread(described, KEY)
        with pytest.raises(grpc.RpcError) as refused:
            await asyncio.to_thread(described, ())
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
