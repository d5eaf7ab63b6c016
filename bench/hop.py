"""The tick path over the embedded model server: an open loop, one request in flight.

Ticks arrive by the clock, and a tick's time runs from when it was due to its signal's hand-over to
the feed: no coordinated omission. The loop sleeps between arrivals, as one that waits for a socket
does; a loop that polls starves gRPC's threads, which then is all that is measured. The reference is
a health check on the same port, which is what the transport costs without a model.
"""

import asyncio
import time
from typing import Any

import grpc
import numpy as np
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench import parts
from bench.harness import Figure, Section, timed
from bench.parts import START, TICK_NS, Anybody
from bench.processes import plan, started
from relentless.configs.process import settle
from relentless.configs.tick_path import ModelServerSettings
from relentless.proto.signal import SIGNAL_DTYPE
from relentless.proto.tick import TICK_DTYPE
from relentless.serving.backends import balanced
from relentless.serving.feed import FeedServer
from relentless.serving.hop import LaneThread
from relentless.serving.hop_path import HopPath
from relentless.serving.lease import Lease
from relentless.serving.pipeline import activate
from relentless.serving.ring import Frames, SignalRing
from relentless.serving.served import HopModel, ServedModel
from relentless.store.symbols import SymbolDirectory

RATES = (1_000, 50_000, 200_000, 500_000)
SECONDS, WARM_S = 3.0, 0.5
PAUSE_S = 0.001
"""What is due within so long arrives together; uvloop does not sleep for less than half of it."""
LIMIT_S = 30.0


class _Feed(FeedServer):
    """A feed that notes which ticks' signals were handed to it, and when."""

    def __init__(self, *args: Any, **named: Any) -> None:
        """Nothing was handed over yet."""
        super().__init__(*args, **named)
        self.taken: list[tuple[int, Frames]] = []

    def publish(self, frames: Frames) -> None:
        """Publish, and note."""
        super().publish(frames)
        self.taken.append((time.perf_counter_ns(), frames))


def _path(settings: ModelServerSettings) -> tuple[HopPath, _Feed, ServedModel]:
    served = ServedModel(balanced(settings), None)
    served.relabel(served.servers.labels())
    model = HopModel(served)
    lease = Lease()
    lease.extend(time.monotonic(), 600.0)
    feed = _Feed(
        SignalRing(262_144, "bench"),
        SymbolDirectory(),
        Anybody(),
        permitted=lease.permitted,
        now_ns=parts.now_ns,
    )
    lane = parts.lane()
    if lane.active is not None:
        context = lane.active.context
        lane.engine = model
        lane.use(activate(model, context))
    path = HopPath([LaneThread(lane, model)], served, feed, lease, parts.now_ns)
    return path, feed, served


async def _arrivals(path: HopPath, feed: _Feed, rate: int, seconds: float) -> list[float]:
    """Give the microseconds from each predicted tick's scheduled arrival to its hand-over."""
    count, step_ns = int(rate * seconds), 1e9 / rate
    pool = parts.ticks(65_536).reshape(-1).view(TICK_DTYPE).tolist()
    first_ns = int(START.timestamp()) * 1_000_000_000
    before = path.stats.ticks
    feed.taken.clear()
    settle()
    begun = time.perf_counter_ns()
    done = 0
    while done < count:
        due = min(int((time.perf_counter_ns() - begun) / step_ns) + 1, count)
        for number in range(done, due):
            path.push(first_ns + number * TICK_NS, *pool[number % len(pool)][1:])
        done = due
        await asyncio.sleep(PAUSE_S)
    async with asyncio.timeout(LIMIT_S):
        while path.stats.ticks - before < count:  # noqa: ASYNC110  # another thread counts
            await asyncio.sleep(PAUSE_S)
    late = []
    for at_ns, frames in feed.taken:
        stamps = frames.reshape(-1).view(SIGNAL_DTYPE)["timestamp"].astype(np.int64)
        late.append((at_ns - begun - (stamps - first_ns) // TICK_NS * step_ns) / 1e3)
    return [float(x) for x in np.concatenate(late)]


async def _measure(settings: ModelServerSettings, rate: int) -> list[float]:
    path, feed, served = await asyncio.to_thread(_path, settings)
    try:
        await _arrivals(path, feed, rate, WARM_S)
        return await _arrivals(path, feed, rate, SECONDS)
    finally:
        await path.close()
        served.close()


def through_servers() -> Section:
    """Ticks through the embedded model server, in chunks of whatever has arrived."""
    figures = []
    with plan() as made, started(["-m", "relentless", "model-server"], made.file):
        settings = made.settings.model_server
        with grpc.insecure_channel(settings.address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            request = health_pb2.HealthCheckRequest()
            timed(lambda: check(request), 50)
            for rate in RATES:
                reference = timed(lambda: check(request), 500)
                samples = uvloop.run(_measure(settings, rate))
                figures.append(
                    Figure.of(
                        f"open loop through the server, {rate:,} ticks/s",
                        samples,
                        "ms",
                        "gRPC health check",
                        reference,
                        f"{len(samples):,} of {int(rate * SECONDS):,} ticks predicted",
                        per=1e3,
                    )
                )
    return Section(
        "Ticks through the embedded model server",
        'The whole live path with `predictor.backend = "server"`; one request in flight.',
        figures,
    )
