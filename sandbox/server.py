"""The sandbox process: every upstream service on one loopback port, each under its own path.

``build`` makes the application; ``serve`` runs it inside a test or another process; ``run`` is the
process. Beside them stand only uvicorn and the settings.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from relentless.configs.clock import EASTERN, Clock, RunClock
from relentless.configs.process import announce, configure_logging, stop_event
from relentless.configs.releases import ReleaseTable
from relentless.configs.settings import Settings
from relentless.sandbox import (
    alpaca_news,
    alpaca_options,
    alphavantage,
    cboe,
    congress,
    edgar,
    feeds,
    fred,
    fred_web,
    gdelt,
    nasdaq,
    tradier,
    yahoo,
)
from relentless.sandbox.alpaca import Stream
from relentless.sandbox.faults import Faults
from relentless.sandbox.frames import Tape
from relentless.sandbox.generated import GeneratedLibrary
from relentless.sandbox.generator import GeneratedTape
from relentless.sandbox.library import Library
from relentless.sandbox.recorded import RecordedLibrary
from relentless.sandbox.recorded_tape import RecordedTape
from relentless.sandbox.shipped import ShippedDay
from relentless.sandbox.world import World

STREAM_PATH = "/v2/iex"
RECORDED_SYMBOL = "IBM"
LIVE_DAYS = 30
"""How long a live run goes on before its invented data ends."""
_log = structlog.get_logger()


def build(settings: Settings, clock: Clock | None = None, library: Library | None = None) -> Faults:
    """Make the application of a run; ``clock`` and ``library`` take the place of the settings'.

    The outermost layer is the fault plan: ``build(...).add(Fault(...))``.
    """
    releases = ReleaseTable.load()
    clock = clock or settings.run_clock()
    world = World(
        library or _library(settings, releases),
        releases,
        clock,
        settings.sandbox.seed,
        settings.predictor.symbols,
        settings.recordings,
    )
    stream = Stream(_tape(settings), clock, fast=settings.sandbox.tape == "fast")
    routes = [*fred.routes(world), *congress.routes(world), stream.route(), *_mounted(world)]
    return Faults(Starlette(routes=routes))


def _mounted(world: World) -> list[BaseRoute]:
    """Give the services that lie under the name of their source."""
    services: dict[str, list[BaseRoute]] = {
        "alpaca_data": [*alpaca_news.routes(world), *alpaca_options.routes(world)],
        "sec": edgar.data_routes(world),
        "sec_archive": edgar.archive_routes(world),
        "gdelt": gdelt.routes(world),
        "cboe": cboe.routes(world),
        "tradier": tradier.routes(world),
        "yahoo": yahoo.routes(world),
        "nasdaq": nasdaq.routes(world),
        "alphavantage": alphavantage.routes(world),
        "fred_web": fred_web.routes(world),
    }
    services |= {name: feeds.routes(world, name) for name in feeds.PUBLISHERS}
    return [Mount(f"/{name}", routes=routes) for name, routes in services.items()]


def _library(settings: Settings, releases: ReleaseTable) -> Library:
    if settings.clock.mode == "live":
        last = RunClock.live().now().date() + timedelta(days=LIVE_DAYS)
        return GeneratedLibrary(last, settings.sandbox.seed, releases)
    if settings.recordings is not None:
        return RecordedLibrary(settings.recordings, releases)
    return ShippedDay.load(settings.sandbox.day, releases)


def _tape(settings: Settings) -> Tape:
    """Choose the ticks: the recorded tape where there is one, else the generator's."""
    symbols = settings.predictor.symbols
    if settings.clock.mode == "live":
        today = RunClock.live().now().astimezone(EASTERN).date()
        return GeneratedTape(symbols, today, date.max - timedelta(days=1), settings.sandbox.seed)
    day = date.fromisoformat(settings.sandbox.day)
    if settings.recordings is not None:
        recorded = RecordedTape(settings.recordings, RECORDED_SYMBOL, day)
        if recorded.exists:
            return recorded
    return GeneratedTape(symbols, day, day, settings.sandbox.seed)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one way to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serve(
    settings: Settings, clock: Clock | None = None, *, port: int = 0, app: Faults | None = None
) -> AsyncIterator[tuple[str, str]]:
    """Run the sandbox until the context ends; give its HTTP address and its stream's.

    ``port`` 0 is any free port. ``app`` is what :func:`build` gave, where the caller plans faults.
    """
    host = settings.sandbox.host
    listener = _listen(host, port)
    config = uvicorn.Config(
        app or build(settings, clock),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
        server_header=False,
        date_header=False,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started:
            if task.done():
                await task
                raise RuntimeError("the sandbox ended before it began to listen")
            await asyncio.sleep(0.005)
        address = f"{host}:{listener.getsockname()[1]}"
        yield f"http://{address}", f"ws://{address}{STREAM_PATH}"
    finally:
        server.should_exit = True
        await task
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    """Bind a socket whose protocol is named: only then does asyncio turn Nagle's delay off."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    configure_logging("sandbox")
    stop = stop_event()
    async with serve(settings, port=settings.sandbox.port) as (http, stream):
        announce("sandbox", http=http, ws=stream)
        _log.info("serving", http=http, ws=stream, recordings=settings.recordings is not None)
        await stop.wait()
    _log.info("ended")
