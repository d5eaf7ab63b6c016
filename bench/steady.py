"""Minutes of steady market data through the real path: websocket, lane, feed, one consumer.

The predictor's parts run in a child on a core of their own, as ``serving.predictor`` puts them
together, without a hub: the lease is always granted. This process plays the exchange and the
consumer, and polls. A tick's time is its scheduled arrival, so a stall shows in every tick that it
delayed. ``RELENTLESS_SOAK=1`` makes it ten minutes. Data: synthetic.
"""

import asyncio
import json
import logging
import multiprocessing
import os
import socket
import threading
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection

import psutil
import uvloop
from websockets.asyncio.client import connect
from websockets.sync.server import Server, ServerConnection, serve

from bench.harness import Figure, Section, percentile
from bench.parts import Anybody, lane, now_ns, pin
from relentless.configs.process import configure_logging, settle
from relentless.proto.feed import Kind, Login, PacketReader, packet
from relentless.proto.signal import SIGNAL_SIZE
from relentless.serving.feed import FeedServer
from relentless.serving.ingest import AlpacaIngest, StreamReader
from relentless.serving.lease import Grant, Lease
from relentless.serving.live import LivePath
from relentless.serving.ring import SignalRing
from relentless.store.symbols import SymbolDirectory

RATE = 2_000
SECONDS = 600 if os.environ.get("RELENTLESS_SOAK") else 20
SETTLED_S = 5
"""Ticks before this count for nothing: caches and pools fill."""
SYMBOLS = tuple(f"S{n:02d}" for n in range(10))
START_NS = int(datetime(2013, 10, 7, 14, 0, tzinfo=UTC).timestamp()) * 1_000_000_000
WORDS = ("connected", "authenticated")
RSS_EVERY_S = 1.0
STEP_NS = 1_000_000_000 // RATE


async def _predict(url: str, report: Connection, stop: asyncio.Event) -> None:
    """Be a predictor between the exchange and one consumer until told to stop."""
    symbols = SymbolDirectory()
    for name in SYMBOLS:
        symbols.intern(name)
    lease = Lease()
    lease.stopped(Grant(lease_s=1, halt_epoch=0, halted=False))
    lease.extend(time.monotonic(), 10.0 * (SECONDS + 60))
    ring = SignalRing(65_536, "steady")
    feed = FeedServer(ring, symbols, Anybody(), permitted=lease.permitted, now_ns=now_ns)
    live = LivePath((lane(len(SYMBOLS)),), feed, lease, now_ns)
    ingest = AlpacaIngest(url, "", "", SYMBOLS, StreamReader(SYMBOLS, symbols, live))
    address = await feed.start("127.0.0.1", 0)
    reading = asyncio.create_task(ingest.run())
    settle()
    report.send(address)
    longest = 0.0
    sizes: list[int] = []
    with live.stats.watch_collector():
        while not stop.is_set():
            await asyncio.sleep(RSS_EVERY_S)
            sizes.append(psutil.Process().memory_info().rss)
            longest = max(longest, live.stats.report()["collector_max_us"] or 0.0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await feed.close()
    report.send((sizes, longest))


async def _relay(url: str, report: Connection, stop: asyncio.Event) -> None:
    """Be the floor: every message from the exchange becomes a frame of zeros with its time."""
    links: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, out: links.append(out), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    report.send(f"{address[0]}:{address[1]}")

    async def pass_on() -> None:
        async with connect(url, compression=None, proxy=None) as exchange:
            for _ in range(len(WORDS)):
                await exchange.recv()
                await exchange.send("")
            number = 0
            while True:
                await exchange.recv()
                stamp = (START_NS + number * STEP_NS).to_bytes(8, "big")
                links[0].write(packet(Kind.SIGNALS, stamp.ljust(SIGNAL_SIZE, b"\0")))
                number += 1

    reading = asyncio.create_task(pass_on())
    await stop.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    server.close()
    report.send(([], 0.0))


def _child(floor: bool, url: str, report: Connection) -> None:
    pin(-1)
    configure_logging("bench", logging.ERROR)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(report.fileno(), stop.set)
        await (_relay if floor else _predict)(url, report, stop)

    uvloop.run(main())


class _Exchange:
    """The market's websocket: shakes hands as Alpaca does, then lends its connection."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.done = threading.Event()
        self.link: ServerConnection
        self._server: Server = serve(self._meet, "127.0.0.1", 0, compression=None)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        port = self._server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/"

    def _meet(self, link: ServerConnection) -> None:
        for word in WORDS:
            link.send(json.dumps([{"T": "success", "msg": word}]))
            link.recv(timeout=10)
        self.link = link
        self.ready.set()
        self.done.wait(SECONDS + 120)

    def close(self) -> None:
        self.done.set()
        self._server.shutdown()
        self._thread.join(5)


def _trade(number: int) -> str:
    moment = START_NS + number * STEP_NS
    seconds, rest = divmod(moment, 1_000_000_000)
    stamp = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
    price = 100.0 + (number * 37 % 100 - 50) / 100
    name = SYMBOLS[number % len(SYMBOLS)]
    return (
        f'[{{"T":"t","S":"{name}","i":{number},"x":"V","p":{price},"s":100,"c":["@"],"z":"C",'
        f'"t":"{stamp}"}}]'
    )


def _samples(exchange: _Exchange, link: socket.socket) -> list[float]:
    """Send every trade when it is due, and note when its signal came: microseconds."""
    link.setblocking(False)
    reader = PacketReader()
    samples: list[float] = []
    total, sent, last = RATE * SECONDS, 0, -1
    begun = time.perf_counter_ns()
    while last < total - 1:
        passed = time.perf_counter_ns() - begun
        if passed > (SECONDS + 10) * 1_000_000_000:
            raise TimeoutError(f"{total - 1 - last} signals did not come")
        while sent < min(passed // STEP_NS + 1, total):
            exchange.link.send(_trade(sent))
            sent += 1
        try:
            data = link.recv(262_144)
        except BlockingIOError:
            continue
        now = time.perf_counter_ns() - begun
        for kind, payload in reader.feed(data):
            for at in range(0, len(payload) if kind is Kind.SIGNALS else 0, SIGNAL_SIZE):
                stamp = int.from_bytes(payload[at : at + 8], "big")
                last = round((stamp - START_NS) / STEP_NS)
                if last >= RATE * SETTLED_S:
                    samples.append((now - last * STEP_NS) / 1e3)
    return samples


def _run(floor: bool) -> tuple[list[float], list[int], float]:
    """Give the samples, the child's resident bytes over time, and its longest collection in us."""
    exchange = _Exchange()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(
        target=_child, args=(floor, exchange.url, theirs), daemon=True
    )
    child.start()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        host, _, port = ours.recv().rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as link:
            link.sendall(Login("bench").pack())
            if not exchange.ready.wait(60):
                raise TimeoutError("nobody connected to the exchange")
            pin(0)
            samples = _samples(exchange, link)
        ours.send("stop")
        sizes, longest = ours.recv()
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
        exchange.close()
        child.join(10)
        child.kill()
    return samples, sizes, longest


def section() -> Section:
    """Measure the floor, then the path."""
    reference, _, _ = _run(floor=True)
    samples, sizes, longest = _run(floor=False)
    after = sizes[SETTLED_S:] or sizes
    mb = 1 << 20
    return Section(
        "Steady market data",
        f"{RATE:,} trades a second for {SECONDS} s over the market's websocket; to the consumer's "
        "socket. The floor passes each message on without looking at it.",
        [
            Figure.of(
                "trade to signal, websocket to feed",
                samples,
                "us",
                "bare relay",
                reference,
                f"p99.9 {percentile(samples, 0.999):,.0f} us (floor "
                f"{percentile(reference, 0.999):,.0f})",
            ),
            Figure("longest garbage collection", longest, "us"),
            Figure(
                "resident memory at the end",
                after[-1] / mb,
                "MB",
                note=f"{(after[-1] - after[0]) / mb:+.1f} MB since {SETTLED_S} s",
            ),
        ],
        {"trade to signal, steady": samples, "bare relay": reference},
    )
