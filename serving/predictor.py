"""The predictor process: market data in; signals out over the feed and gRPC, under the hub's lease.

:func:`build` puts the parts together; :func:`run` starts them in the order in which they may fail
(journal, model, listeners, lease, market data), announces, and ends them in the reverse order: no
new ticks first, then no lease, then the feed says goodbye, and what was emitted is on disk.
TensorFlow is not imported here.
"""

import asyncio
import os
import secrets
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import structlog

from relentless.configs.clock import RunClock
from relentless.configs.process import announce, configure_logging, settle, stop_event
from relentless.configs.settings import Settings
from relentless.configs.tick_path import PredictorSettings
from relentless.models.features import FEATURES
from relentless.models.policy import PolicyLimits
from relentless.proto.daily import DailyContext
from relentless.proto.errors import ModelError, RelentlessError
from relentless.proto.tick import TICK_SIZE
from relentless.serving.answers import Answers, AtOnce, Batched
from relentless.serving.backends import balanced, single
from relentless.serving.engine import InProcessEngine
from relentless.serving.feed import FeedServer
from relentless.serving.gates import EmitLimits
from relentless.serving.grounds import GroundsRing
from relentless.serving.grpc_service import GrpcServer, PredictorService
from relentless.serving.hop import LaneThread
from relentless.serving.hop_path import HopPath
from relentless.serving.ingest import AlpacaIngest, StreamReader
from relentless.serving.lease import Lease, LeaseClient
from relentless.serving.live import LivePath
from relentless.serving.model_server.config import declared_labels
from relentless.serving.pipeline import Lane, activate
from relentless.serving.ports import Predictor
from relentless.serving.ring import SignalRing
from relentless.serving.served import HopModel, ServedModel
from relentless.serving.signal_log import SignalLog
from relentless.serving.tf_client import TfServingPredictor
from relentless.serving.wire import mark_replayed
from relentless.store.journal import open_journal
from relentless.store.keys import KeyRing, keys_path, local_credential
from relentless.store.ports import Journal
from relentless.store.symbols import SymbolDirectory

MODEL_SERVER_WAIT_S = 2.0
LABELS_EVERY_S = 2.0
LABELS_RETRY_S = 15.0
_log = structlog.get_logger(__name__)


@dataclass
class Parts:
    """Everything of one predictor process."""

    settings: Settings
    journal: Journal
    model: InProcessEngine | ServedModel
    labels: TfServingPredictor
    feed: FeedServer
    grpc: GrpcServer
    live: LivePath
    hub: httpx.AsyncClient
    lease: LeaseClient
    ingest: AlpacaIngest
    signal_log: SignalLog


def new_session() -> str:
    """Give a session's name: when it began (wall time, UTC), and something nobody else has."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"


def load_engine(folder: Path, server: TfServingPredictor, wait_s: float) -> InProcessEngine:
    """Load the model's versions, proved against the model server, or by their pins without one.

    Raises:
        ModelInvalid: nothing can serve as stable.
    """
    try:
        server.wait_ready(wait_s)
        return InProcessEngine(folder, parity_source=server)
    except ModelError as error:
        _log.warning("model server not asked", error=str(error))
        return InProcessEngine(folder, declared_labels(folder))


async def load_model(
    settings: Settings, labels: TfServingPredictor
) -> InProcessEngine | ServedModel:
    """Give what predicts ticks, compiled: the engine, or the servers with it as their edge.

    Raises:
        ModelInvalid: the engine is wanted, and no version can serve in it.
    """
    server, mine = settings.model_server, settings.predictor
    engine = None
    if mine.backend == "engine" or mine.edge:
        folder = settings.paths.models / server.name
        engine = await asyncio.to_thread(load_engine, folder, labels, MODEL_SERVER_WAIT_S)
        warm_up(engine)
        if mine.backend == "engine":
            return engine
    return ServedModel(balanced(server, engine), engine)


def hop_lane(served: ServedModel, symbols: SymbolDirectory, settings: Settings) -> LaneThread:
    """Give a lane on a thread of its own, compiled."""
    model = HopModel(served)
    trial = new_lane(model, symbols, settings.predictor)
    trial.process(np.zeros((1, TICK_SIZE), np.uint8), now_ns=0, refuse=lambda: 0)
    return LaneThread(new_lane(model, symbols, settings.predictor), model)


def new_lane(engine: Predictor, symbols: SymbolDirectory, settings: PredictorSettings) -> Lane:
    """Give a lane with the limits that are set."""
    return Lane(
        engine,
        symbols.name,
        symbols=len(symbols),
        policy=PolicyLimits(
            enter=settings.enter_probability,
            stay=settings.stay_probability,
            cost_weight=settings.cost_weight,
            max_position=settings.max_position,
        ),
        limits=EmitLimits(settings.max_position, settings.price_collar),
        signals_per_s=settings.max_signals_per_s,
        max_age_ns=int(settings.context_max_age_s * 1e9),
        canary_share=settings.canary_share,
    )


def warm_up(engine: Predictor) -> None:
    """Compile, or load from the cache, what a tick passes, before the first one comes."""
    lane = Lane(engine, str, symbols=1)
    ticks = np.zeros((2, TICK_SIZE), np.uint8)
    epoch = datetime.fromtimestamp(0, UTC)
    nothing = DailyContext(
        as_of=epoch,
        trading_date=epoch.date(),
        context_id="0" * 64,
        fold_version=0,
        head=0,
        provenance={},
    )
    active = activate(engine, nothing)
    for each in (None, active):  # the stages apart, and the whole step
        lane.use(each)
        lane.process(ticks, now_ns=0, refuse=lambda: 0)
    engine.predict(np.zeros((1, FEATURES), np.float32), active.stable)
    mark_replayed(np.zeros((1, 16), np.uint32), 0)


async def build(settings: Settings, clock: RunClock) -> Parts:
    """Make every part; nothing listens or asks yet.

    Raises:
        JournalBusy: another predictor owns the state folder.
        ModelInvalid: no model version can serve.
        NotFound: the local keys were not made.
    """
    mine = settings.predictor
    state = settings.paths.state
    journal = await open_journal(state / "predictor" / "journal.db", clock)
    symbols = SymbolDirectory(state / "predictor" / "symbols.tsv")
    for symbol in mine.symbols:
        symbols.intern(symbol)
    labels = single(settings.model_server)
    model, _ = await asyncio.gather(
        load_model(settings, labels),
        # numba's own start takes as long as the model server's: both at once.
        asyncio.to_thread(mark_replayed, np.zeros((1, 16), np.uint32), 0),
    )
    verifier = KeyRing(keys_path(state))
    lease = Lease()
    ring = SignalRing(mine.replay_frames, new_session())
    feed = FeedServer(ring, symbols, verifier, permitted=lease.permitted, now_ns=clock.now_ns)
    grounds, now_ns = GroundsRing(), clock.now_ns
    live: LivePath
    if isinstance(model, ServedModel):
        threads = tuple(hop_lane(model, symbols, settings) for _ in range(2))
        answers: Answers = Batched(threads[1], now_ns, lease.refusal)
        service = PredictorService(answers, ring, symbols, lease, now_ns, grounds)
        live = HopPath(threads, model, feed, lease, now_ns, (service,), grounds)
    else:
        lanes = new_lane(model, symbols, mine), new_lane(model, symbols, mine)
        answers = AtOnce(lanes[1], now_ns, lease.refusal)
        service = PredictorService(answers, ring, symbols, lease, now_ns, grounds)
        live = LivePath(lanes, feed, lease, now_ns, (service,), grounds)
    hub = httpx.AsyncClient(
        base_url=settings.hub.base_url,
        timeout=httpx.Timeout(2.0),
        trust_env=False,
        # The machine's own authorities, where nothing else is set.
        verify=settings.hub.calling() or ssl.create_default_context(),
    )
    predictor_id = f"{socket.gethostname()}-{os.getpid()}"
    return Parts(
        settings=settings,
        journal=journal,
        model=model,
        labels=labels,
        feed=feed,
        grpc=GrpcServer(service, verifier),
        live=live,
        hub=hub,
        lease=LeaseClient(hub, local_credential(state, "predictor"), predictor_id, lease, live),
        ingest=_ingest(settings, symbols, live),
        signal_log=SignalLog(ring, journal),
    )


def _ingest(settings: Settings, symbols: SymbolDirectory, live: LivePath) -> AlpacaIngest:
    source = settings.sources.alpaca
    wanted = settings.predictor.symbols
    key = source.key or settings.alpaca_api_key
    secret = source.secret or settings.alpaca_secret_key
    return AlpacaIngest(
        source.url,
        key.get_secret_value() if key else "",
        secret.get_secret_value() if secret else "",
        wanted,
        StreamReader(wanted, symbols, live),
        source.origin,
    )


async def follow_labels(parts: Parts) -> None:
    """Take over what the model server's labels name, whenever they change, until cancelled."""
    pause = LABELS_EVERY_S
    while True:
        await asyncio.sleep(pause)
        pause = LABELS_EVERY_S
        try:
            model = parts.model
            asked = model.servers if isinstance(model, ServedModel) else parts.labels
            wanted = await asyncio.to_thread(asked.labels)
            before = dict(parts.model.labels())
            if not wanted or dict(wanted) == before:
                continue
            held = dict(await asyncio.to_thread(parts.model.relabel, wanted))
            if held != dict(wanted):
                pause = LABELS_RETRY_S  # a version was refused
            if held == before:
                continue
        except ModelError:
            pause = LABELS_RETRY_S  # the versions in memory go on serving
            continue
        parts.live.reactivate()


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    configure_logging("predictor")
    settings.predictor.check_bind()
    stop = stop_event()
    parts = await build(settings, settings.run_clock())
    mine = settings.predictor
    tasks: list[asyncio.Task[None]] = []
    try:
        tls = None if mine.tls is None else mine.tls.listening()
        feed_at = await parts.feed.start(mine.host, mine.feed_port, tls)
        grpc_at = await parts.grpc.start(mine.host, mine.grpc_port, mine.tls)
        where = {"grpc": grpc_at, "feed": feed_at, "session": parts.feed.ring.session}
        parts.live.about.update(where)
        jobs = (parts.lease.run(), parts.signal_log.run(), follow_labels(parts), parts.ingest.run())
        tasks += [asyncio.create_task(job) for job in jobs]
        settle()
        announce("predictor", **where)
        with parts.live.stats.watch_collector():
            await _until(stop, tasks)
    finally:
        await _end(parts, tasks)


async def _until(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the end; a job that ends by itself has failed, and its error is raised."""
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in done - {waiting}:
        task.result()


async def _end(parts: Parts, tasks: list[asyncio.Task[None]]) -> None:
    """End in order: ticks and lease, feed and calls, journal."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(parts.feed.close(), parts.grpc.close(0.5))
    await parts.live.close()
    try:
        await parts.signal_log.flush()
    except RelentlessError as error:
        _log.error("last signals not kept", error=str(error))
    await parts.hub.aclose()
    await parts.journal.close()
    parts.labels.close()
    parts.model.close()
