"""The tick path over the embedded model server: an open loop, one request in flight.

Ticks arrive by the clock; a tick's time runs from the arrival of the oldest one in its chunk to the
chunk's hand-over to the feed, as the predictor's own statistics have it. The reference is a health
check on the same port, which is what the transport costs without a model.
"""

import asyncio
import time
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench import ticks
from bench.harness import Figure, Section, percentile, timed
from bench.processes import plan, started
from relentless.configs.process import settle
from relentless.configs.tick_path import ModelServerSettings
from relentless.proto.errors import Unauthenticated
from relentless.proto.tick import TICK_DTYPE
from relentless.serving.backends import balanced
from relentless.serving.feed import FeedServer
from relentless.serving.hop import LaneThread
from relentless.serving.hop_path import HopPath
from relentless.serving.lease import Lease
from relentless.serving.pipeline import activate
from relentless.serving.ring import SignalRing
from relentless.serving.served import HopModel, ServedModel
from relentless.serving.stats import Stats
from relentless.store.ports import Principal
from relentless.store.symbols import SymbolDirectory

RATES = (1_000, 50_000, 200_000)
SECONDS, WARM_S = 3.0, 0.5
PAUSE_S = 0.0002


class _Nobody:
    def verify(self, credential: str) -> Principal:
        raise Unauthenticated("nobody reads here")


def _path(settings: ModelServerSettings) -> tuple[HopPath, ServedModel]:
    served = ServedModel(balanced(settings), None)
    served.relabel(served.servers.labels())
    model = HopModel(served)
    lease = Lease()
    lease.extend(time.monotonic(), 600.0)
    feed = FeedServer(
        SignalRing(262_144, "bench"),
        SymbolDirectory(),
        _Nobody(),
        permitted=lease.permitted,
        now_ns=ticks.now_ns,
    )
    lane = ticks.lane()
    if lane.active is not None:
        context = lane.active.context
        lane.engine = model
        lane.use(activate(model, context))
    return HopPath([LaneThread(lane, model)], served, feed, lease, ticks.now_ns), served


async def _arrivals(path: HopPath, rate: int, seconds: float) -> dict[str, Any]:
    rows = ticks.ticks(min(int(rate * seconds), 262_144)).reshape(-1).view(TICK_DTYPE).tolist()
    count = int(rate * seconds)
    path.stats = Stats()
    settle()
    begun = time.perf_counter()
    done = 0
    while done < count:
        due = min(int((time.perf_counter() - begun) * rate) + 1, count)
        for at in range(done, due):
            path.push(*rows[at % len(rows)])
        done = due
        await asyncio.sleep(PAUSE_S)
    while path.stats.ticks < count:  # noqa: ASYNC110  # another thread counts
        await asyncio.sleep(0.001)
    return path.statistics()


async def _measure(settings: ModelServerSettings, rate: int) -> dict[str, Any]:
    path, served = await asyncio.to_thread(_path, settings)
    try:
        await _arrivals(path, rate, WARM_S)
        return await _arrivals(path, rate, SECONDS)
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
                said = uvloop.run(_measure(settings, rate))
                shed = said["gated"].get("shed", 0)
                figures.append(
                    Figure(
                        f"open loop through the server, {rate:,} ticks/s",
                        said["p50_us"] / 1e3,
                        "ms",
                        said["p99_us"] / 1e3,
                        "gRPC health check",
                        percentile(reference, 0.5) / 1e3,
                        percentile(reference, 0.99) / 1e3,
                        f"{shed:,} of {said['ticks']:,} shed",
                    )
                )
    return Section(
        "Ticks through the embedded model server",
        'The whole live path with `predictor.backend = "server"`; one request in flight.',
        figures,
    )
