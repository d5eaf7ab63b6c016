"""The batched stream of FinancialPredictor, the model in it, beside the same transport without.

Two child processes serve it over TCP loopback as the predictor does (uvloop, credentials checked):
one with the product's lane and engine, one that answers each frame with as many zeros. The client
keeps a window of frames under way; a frame's time runs from its write to its whole answer.
"""

import asyncio
import multiprocessing
import time
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

import grpc
import numpy as np
import uvloop

from bench import parts
from bench.harness import Figure, Section
from bench.parts import Anybody
from relentless.proto.gen import market_pb2, market_pb2_grpc
from relentless.proto.signal import SIGNAL_SIZE
from relentless.proto.tick import TICK_SIZE
from relentless.serving.answers import AtOnce
from relentless.serving.grounds import GroundsRing
from relentless.serving.grpc_service import GrpcServer, PredictorService
from relentless.serving.lease import Lease
from relentless.serving.pipeline import CAPACITY
from relentless.serving.ring import SignalRing
from relentless.store.symbols import SymbolDirectory

FRAMES = (1, 128, 1_024)
WINDOWS = (1, 4)
ROUNDS, ROUND_S, WARM_S = 8, 0.3, 0.3
KEY = (("authorization", "Bearer bench"),)
LIMIT_S = 300.0


class _Echo(PredictorService):
    """Answers zeros."""

    def __init__(self) -> None:
        """Nothing stands behind it."""

    async def StreamPredictBatch(self, _: Any, context: Any) -> None:
        """Answer 64 zeros for each tick."""
        while (batch := await context.read()) is not grpc.aio.EOF:
            count = len(batch.ticks) // TICK_SIZE
            frames, reasons = bytes(SIGNAL_SIZE * count), bytes(count)
            await context.write(market_pb2.SignalBatch(frames=frames, reasons=reasons))

    def drain(self) -> None:
        """Nothing is under way that matters."""


def _product() -> PredictorService:
    lane = parts.lane()
    lease = Lease()
    lease.extend(time.monotonic(), LIMIT_S)
    answers = AtOnce(lane, parts.now_ns, lease.refusal)
    ring = SignalRing(CAPACITY, "bench")
    symbols = SymbolDirectory()
    return PredictorService(answers, ring, symbols, lease, parts.now_ns, GroundsRing(CAPACITY))


async def _serve(echo: bool, parent: Connection) -> None:
    server = GrpcServer(_Echo() if echo else _product(), Anybody())
    parent.send(await server.start("127.0.0.1", 0))
    await asyncio.to_thread(parent.recv)
    await server.close(0)


def _run(echo: bool, parent: Connection) -> None:
    uvloop.run(_serve(echo, parent))


class _Server:
    """A child process and where it listens."""

    def __init__(self, echo: bool) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._link, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_run, args=(echo, theirs), daemon=True)
        self._process.start()
        if not self._link.poll(LIMIT_S):
            raise TimeoutError("the stream's server did not start")
        self.address: str = self._link.recv()

    def close(self) -> None:
        """End the process."""
        self._link.send("end")
        self._process.join(5)
        self._process.kill()


async def _round(
    stub: Any, frames: list[market_pb2.TickBatch], window: int, seconds: float
) -> tuple[list[float], float]:
    """Keep a window of frames under way; give the microseconds of each, and frames a second."""
    call = stub.StreamPredictBatch(metadata=KEY, timeout=LIMIT_S)
    sent: deque[int] = deque()
    samples: list[float] = []
    wanted = SIGNAL_SIZE * (len(frames[0].ticks) // TICK_SIZE)
    clock = time.perf_counter_ns
    begun = clock()
    end = begun + int(seconds * 1e9)
    at = 0
    while True:
        while len(sent) < window and clock() < end:
            sent.append(clock())
            await call.write(frames[at % len(frames)])
            at += 1
        if not sent:
            break
        answer = await call.read()
        samples.append((clock() - sent.popleft()) / 1e3)
        if len(answer.frames) != wanted:
            raise ValueError(f"{len(answer.frames)} bytes of frames, not {wanted}")
    taken = (clock() - begun) / 1e9
    await call.done_writing()
    if await call.read() is not grpc.aio.EOF:
        raise ValueError("a result without a frame")
    return samples, len(samples) / taken


async def _measure(addresses: tuple[str, str]) -> list[Figure]:
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    echo, product = (market_pb2_grpc.FinancialPredictorStub(channel) for channel in channels)
    figures = []
    for count in FRAMES:
        packed = parts.ticks(count * 64).reshape(64, -1)
        frames = [market_pb2.TickBatch(ticks=row.tobytes()) for row in packed]
        for window in WINDOWS:
            samples: dict[Any, list[float]] = {echo: [], product: []}
            rates: dict[Any, list[float]] = {echo: [], product: []}
            for stub in (echo, product):
                await _round(stub, frames, window, WARM_S)
            for turn in range(ROUNDS):
                for stub in (echo, product) if turn % 2 else (product, echo):
                    took, rate = await _round(stub, frames, window, ROUND_S)
                    samples[stub] += took
                    rates[stub].append(rate * count)
            ours, theirs = (float(np.median(rates[stub])) for stub in (product, echo))
            figures.append(
                Figure.of(
                    f"{count:,} a frame, window {window}",
                    samples[product],
                    "us",
                    "echo of zeros",
                    samples[echo],
                    f"{ours:,.0f} ticks/s (echo {theirs:,.0f}: {ours / theirs:.0%})",
                )
            )
    for channel in channels:
        await channel.close()
    return figures


def batched() -> Section:
    """Frames of many packed ticks in, as many 64-byte signals out, over one stream."""
    servers = _Server(echo=True), _Server(echo=False)
    try:
        figures = uvloop.run(_measure((servers[0].address, servers[1].address)))
    finally:
        for server in servers:
            server.close()
    return Section(
        "Batched stream",
        "A frame of packed ticks to its signals over gRPC on TCP loopback, one stream; the "
        "reference is the same stream answered with zeros.",
        figures,
    )
