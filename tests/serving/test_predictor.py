"""The predictor process as a whole: real engine, real sockets; hub and exchange are doubles."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from relentless.configs.clock import RunClock, from_ns
from relentless.configs.settings import REPOSITORY
from relentless.models.feature_spec import TICK_FEATURES
from relentless.models.features import FEATURES
from relentless.proto.base import iso
from relentless.proto.gen import market_pb2, market_pb2_grpc
from relentless.proto.signal import Flag, Signal, iter_frames
from relentless.serving import predictor as process
from relentless.serving.clients.feed import FeedClient, Received
from relentless.serving.ports import HEADS
from relentless.store.journal import open_journal
from relentless.store.keys import ensure_local, local_credential
from relentless.store.ports import Kind

from .doubles import OPEN_NS, context, eventually, packed, ticks
from .fake_hub import FakeHub

LIMIT_S = 90.0
CODE = """
import uvloop
from relentless.configs.settings import Settings
from relentless.serving.predictor import run
uvloop.run(run(Settings()))
"""
MODEL = REPOSITORY / "models" / "repository" / "relentless_financial"
pytestmark = pytest.mark.skipif(
    not any(MODEL.glob("*/saved_model.pb")), reason="no trained model here: run `relentless train`"
)


async def exchange(socket: ServerConnection) -> None:
    """Play the opening, then trades of two symbols for ever."""
    await socket.send(json.dumps([{"T": "success", "msg": "connected"}]))
    await socket.recv()
    await socket.send(json.dumps([{"T": "success", "msg": "authenticated"}]))
    asked = json.loads(await socket.recv())
    await socket.send(json.dumps([{**asked, "T": "subscription"}]))
    for n in range(1_000_000):
        price = 100 + 0.01 * ((7 * n) % 11)
        at = iso(from_ns(OPEN_NS + n * 10_000_000))
        quote = {"T": "q", "bp": price - 0.01, "ap": price + 0.01, "t": at, "z": "B"}
        trade = {"T": "t", "i": n, "x": "V", "p": price, "s": 100, "t": at, "c": ["@"], "z": "B"}
        frames = [{**m, "S": symbol} for symbol in ("SPY", "XLF") for m in (quote, trade)]
        with contextlib.suppress(ConnectionClosed):
            await socket.send(json.dumps(frames))
        if socket.state is not State.OPEN:
            return
        await asyncio.sleep(0.002)


class Running:
    """A predictor process and what it announced."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self.process, self.ready = process, ready

    async def end(self) -> tuple[int, bytes]:
        """Ask it to end; give its exit code and what else it wrote to standard output."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        rest = await self.process.stdout.read()
        return await self.process.wait(), rest


@asynccontextmanager
async def predictor(
    state: Path, hub: FakeHub, stream: str, more: Mapping[str, str]
) -> AsyncIterator[Running]:
    ensure_local(state)
    environment = {
        "RELENTLESS_PATHS__STATE": str(state),
        "RELENTLESS_HUB__PORT": hub.url.rpartition(":")[2],
        "RELENTLESS_PREDICTOR__GRPC_PORT": "0",
        "RELENTLESS_PREDICTOR__FEED_PORT": "0",
        "RELENTLESS_PREDICTOR__SYMBOLS": '["SPY", "XLF"]',
        "RELENTLESS_MODEL_SERVER__ADDRESS": "127.0.0.1:1",
        "RELENTLESS_CLOCK__START": iso(from_ns(OPEN_NS)),
        "RELENTLESS_CLOCK__SPEED": "1",
        "RELENTLESS_CLOCK__EPOCH": str(datetime.now(UTC).timestamp()),
        "RELENTLESS_SOURCES__ALPACA__URL": stream,
        "RELENTLESS_SOURCES__ALPACA__ORIGIN": "synthetic",
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CODE,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            yield Running(process, json.loads(await process.stdout.readline()))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def running(state: Path, **more: str) -> AsyncIterator[tuple[Running, FakeHub]]:
    async with (
        FakeHub(lease_s=1.0, context=context()) as hub,
        serve(exchange, "127.0.0.1", 0) as server,
    ):
        port = next(iter(server.sockets)).getsockname()[1]
        async with predictor(state, hub, f"ws://127.0.0.1:{port}", more) as here:
            yield here, hub


async def calls(address: str, state: Path) -> None:
    """Call every gRPC method once, with and without a key."""
    key = (("authorization", f"Bearer {local_credential(state, 'TradingAgent')}"),)
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=LIMIT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = market_pb2_grpc.FinancialPredictorStub(channel)
        tick = market_pb2.MarketTick(timestamp=OPEN_NS, symbol="IBM", price=181.0, volume=100)
        request = market_pb2.PredictRequest(ticks=[tick, tick])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Predict(request, timeout=LIMIT_S)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        agent = (("authorization", f"Bearer {local_credential(state, 'FredAgent')}"),)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Predict(request, timeout=LIMIT_S, metadata=agent)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        response = await stub.Predict(request, timeout=LIMIT_S, metadata=key)
        assert [(s.symbol, s.refused, s.sequence) for s in response.signals] == [
            ("IBM", "cold", 0)
        ] * 2

        async def warm() -> AsyncIterator[market_pb2.MarketTick]:
            for n in range(100):
                price = 181.0 + 0.01 * (n % 5)
                yield market_pb2.MarketTick(
                    timestamp=OPEN_NS + n, symbol="IBM", price=price, volume=100
                )

        stream = stub.StreamPredict(warm(), timeout=LIMIT_S, metadata=key)
        answers = [signal async for signal in stream]
        assert len(answers) == 100
        assert answers[-1].refused == ""
        assert answers[-1].model_version > 0

        async def batches() -> AsyncIterator[market_pb2.TickBatch]:
            for _ in range(2):
                yield market_pb2.TickBatch(ticks=packed(ticks(5_000, symbols=3)).tobytes())

        packs = stub.StreamPredictBatch(batches(), timeout=LIMIT_S, metadata=key)
        count = 0
        async for batch in packs:
            frames = list(iter_frames(batch.frames))
            assert len(frames) == len(batch.reasons)
            count += len(frames)
        assert count == 10_000
        risk = stub.StreamRisk(
            market_pb2.RiskRequest(next_sequence=1), timeout=LIMIT_S, metadata=key
        )
        seen = 0
        async for batch in risk:
            for signal_ in iter_frames(batch.frames):
                seen += 1
                assert signal_.sequence == seen
            if seen > 50:
                break
        risk.cancel()


async def explained(address: str, state: Path, signal: Signal, session: str) -> None:
    """Ask for the grounds of one signal, of one that never was, and of another session."""
    key = (("authorization", f"Bearer {local_credential(state, 'hub')}"),)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = market_pb2_grpc.FinancialPredictorStub(channel)
        request = market_pb2.ExplainRequest(session=session, sequence=signal.sequence)
        answer = await stub.Explain(request, timeout=LIMIT_S, metadata=key)
        assert (len(answer.features), len(answer.heads)) == (FEATURES, len(HEADS))
        assert answer.model_version == signal.model_version
        assert dict(zip(TICK_FEATURES, answer.features, strict=True))["has_quote"] == 1.0
        for wrong in (
            market_pb2.ExplainRequest(session=session, sequence=2**40),
            market_pb2.ExplainRequest(session=session),
            market_pb2.ExplainRequest(session="another", sequence=1),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Explain(wrong, timeout=LIMIT_S, metadata=key)
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        agent = (("authorization", f"Bearer {local_credential(state, 'FredAgent')}"),)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Explain(request, timeout=LIMIT_S, metadata=agent)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_predictor_serves_and_ends_and_keeps_what_it_sent(tmp_path: Path) -> None:
    events: list[Received] = []
    async with running(tmp_path) as (here, hub):
        key = local_credential(tmp_path, "TradingAgent")
        async with FeedClient(here.ready["feed"], key, next_sequence=1) as client:
            async for event in client:
                if isinstance(event, Received):
                    events.append(event)
                    if len(events) == 100:
                        break
            assert client.symbols == {1: "SPY", 2: "XLF"}
        await calls(here.ready["grpc"], tmp_path)
        await explained(here.ready["grpc"], tmp_path, events[50].signal, events[50].session)
        acknowledged = hub.set_halt(True)
        await acknowledged
        stats = hub.requests[-1]["stats"]
        code, rest = await here.end()
    assert (code, rest) == (0, b"")
    assert [e.signal.sequence for e in events] == list(range(1, 101))
    assert all(e.signal.flags & Flag.SYNTHETIC for e in events)
    assert {e.signal.context_id for e in events} == {context().short_id}
    assert {e.session for e in events} == {here.ready["session"]}
    assert stats["signals"] >= 100
    assert stats["p99_us"] >= stats["p50_us"] > 0
    assert stats["feed"] == here.ready["feed"]

    journal = await open_journal(tmp_path / "predictor" / "journal.db", RunClock.live())
    blocks = await journal.read(Kind.SIGNALS, limit=1_000)
    await journal.close()
    kept = [s for block in blocks for s in iter_frames(block.body)]
    assert [s.sequence for s in kept] == list(range(1, len(kept) + 1))
    assert kept[:100] == [e.signal._replace(flags=kept[0].flags) for e in events]
    assert {block.target for block in blocks} == {here.ready["session"]}


async def test_open_streams_end_whole_and_with_a_status_when_the_process_is_told_to_end(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as (here, _):
        key = (("authorization", f"Bearer {local_credential(tmp_path, 'TradingAgent')}"),)
        async with grpc.aio.insecure_channel(here.ready["grpc"]) as channel:
            stub = market_pb2_grpc.FinancialPredictorStub(channel)
            streams = [stub.StreamPredictBatch(metadata=key, timeout=LIMIT_S) for _ in range(5)]
            for stream in streams:
                await stream.write(market_pb2.TickBatch(ticks=packed(ticks(100)).tobytes()))
                answer = await stream.read()
                assert (len(answer.frames), len(answer.reasons)) == (6_400, 100)
            ending = asyncio.create_task(here.end())
            for stream in streams:
                with pytest.raises(grpc.aio.AioRpcError) as ended:
                    await stream.read()
                assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
                assert "first tick without a result" in str(ended.value.details())
            assert await ending == (0, b"")


@pytest.mark.promise("P7")
async def test_over_model_servers_that_are_gone_the_engine_predicts_and_the_signals_say_so(
    tmp_path: Path,
) -> None:
    gone = {
        "RELENTLESS_PREDICTOR__BACKEND": "server",
        "RELENTLESS_MODEL_SERVER__REPLICAS": '["127.0.0.1:2"]',
        "RELENTLESS_MODEL_SERVER__SECONDARY": '["127.0.0.1:3"]',
    }
    async with running(tmp_path, **gone) as (here, hub):
        key = local_credential(tmp_path, "TradingAgent")
        signals: list[Signal] = []
        async with FeedClient(here.ready["feed"], key, next_sequence=1) as client:
            async for event in client:
                if isinstance(event, Received):
                    signals.append(event.signal)
                    if len(signals) == 50:
                        break
        await calls(here.ready["grpc"], tmp_path)
        # A renewal may be older than the first answer.
        await eventually(lambda: hub.requests[-1]["stats"]["model_servers"]["site"] == "edge")
        stats = hub.requests[-1]["stats"]["model_servers"]
        code, rest = await here.end()
    assert (code, rest) == (0, b"")
    assert [s.sequence for s in signals] == list(range(1, 51))
    assert all(s.flags & Flag.FAILOVER for s in signals)
    assert stats["failovers"] == 1
    assert [said["up"] for said in stats["servers"].values()] == [False, False, False, True]


async def test_a_version_that_is_refused_is_not_read_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Model:
        """Takes over stable, and refuses the canary."""

        held: Mapping[str, int] = {"stable": 1}
        asked = 0

        def labels(self) -> Mapping[str, int]:
            return self.held

        def relabel(self, labels: Mapping[str, int]) -> Mapping[str, int]:
            self.asked += 1
            self.held = {"stable": labels["stable"]}
            return self.held

    model, again = Model(), asyncio.Event()
    wanted = {"stable": 2, "canary": 3}
    parts: Any = SimpleNamespace(
        model=model,
        labels=SimpleNamespace(labels=lambda: wanted),
        live=SimpleNamespace(reactivate=again.set),
    )
    monkeypatch.setattr(process, "LABELS_EVERY_S", 0.01)
    monkeypatch.setattr(process, "LABELS_RETRY_S", 0.2)
    following = asyncio.create_task(process.follow_labels(parts))
    await asyncio.wait_for(again.wait(), LIMIT_S)
    again.clear()
    await eventually(lambda: model.asked == 2)
    await asyncio.sleep(0.05)
    assert model.asked == 2
    assert not again.is_set()  # nothing changed by the second attempt
    following.cancel()
