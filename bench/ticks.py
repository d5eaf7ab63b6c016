"""The tick path: a closed loop over a Unix socket, an open loop by arrival time, and the peak.

All in one process with the in-process engine, without a hub: the lane, the model and the codec are
the product's own. The context is an empty one (every feature masked), which costs the same.
"""

import multiprocessing
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Figure, Section, alternate, percentile
from bench.parts import lane, now_ns, pin, ticks
from relentless.proto.signal import SIGNAL_SIZE
from relentless.proto.tick import TICK_SIZE
from relentless.serving.live import BACKLOG
from relentless.serving.pipeline import CAPACITY, Lane

ROUNDS, PER_ROUND, WARM = 10, 2_000, 1_000
OPEN_LOOP_S = 3.0
"""At one tick a second: ten ticks."""
SYMBOLS = (10, 1_000, 10_000)
ARRIVALS = (
    (1, 10),
    (1_000, 10),
    (50_000, 10),
    (200_000, 10),
    (200_000, 1_000),
    (200_000, 10_000),
    (1_000_000, 10),
)
"""Ticks a second, and of how many symbols."""


def _serve(path: str, echo: bool) -> None:
    pin(-1)
    made = None if echo else lane()
    now = now_ns()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        link, _ = listener.accept()
        with link:
            answer = bytes(SIGNAL_SIZE)
            buffer = bytearray(TICK_SIZE)
            view = np.frombuffer(buffer, np.uint8).reshape(1, TICK_SIZE)
            while link.recv_into(buffer, TICK_SIZE, socket.MSG_WAITALL) == TICK_SIZE:
                if made is not None:
                    output = made.process(view, now_ns=now, refuse=lambda: 0, first_sequence=1)
                    answer = output.frames.tobytes()
                link.sendall(answer)


class _Loop:
    """One server process and a connection to it."""

    def __init__(self, folder: Path, echo: bool) -> None:
        path = str(folder / ("echo" if echo else "lane"))
        self._process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(path, echo), daemon=True
        )
        self._process.start()
        self._link = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 60
        while True:
            try:
                self._link.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self._link.setblocking(False)
        self._ticks = [row.tobytes() for row in ticks(ROUNDS * PER_ROUND + WARM)]
        self._at = 0
        self.round(WARM)

    def round(self, count: int = PER_ROUND) -> list[float]:
        """Send ticks one at a time and give the microseconds of each answer."""
        samples = []
        for tick in self._ticks[self._at : self._at + count]:
            begun = time.perf_counter_ns()
            self._link.sendall(tick)
            while not self._answered():
                pass
            samples.append((time.perf_counter_ns() - begun) / 1e3)
        self._at += count
        return samples

    def _answered(self) -> bool:
        """Take the answer, if it is there: a client that slept would measure its own waking."""
        try:
            return len(self._link.recv(SIGNAL_SIZE)) == SIGNAL_SIZE
        except BlockingIOError:
            return False

    def close(self) -> None:
        """End the process."""
        self._link.close()
        self._process.join(5)
        self._process.kill()


def closed_loop() -> Section:
    """One tick at a time over a Unix socket, against a bare ping-pong of the same sizes."""
    with tempfile.TemporaryDirectory(prefix="relentless-bench-") as folder:
        bare, full = _Loop(Path(folder), echo=True), _Loop(Path(folder), echo=False)
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        pin(0)
        try:
            reference, samples = alternate(bare.round, full.round, ROUNDS)
        finally:
            if cores:
                os.sched_setaffinity(0, cores)
        bare.close()
        full.close()
    figure = Figure.of(
        "tick to signal, closed loop",
        samples,
        "us",
        "socket ping-pong",
        reference,
        f"{len(samples):,} ticks of 48 bytes in, 64 out",
    )
    return Section(
        "Tick to signal over a Unix socket",
        "A child process on another core sleeps until a tick comes and answers with its signal; "
        "the reference answers with 64 zeros. The client polls.",
        [figure, *_stages()],
        {"tick to signal, Unix socket": samples, "bare socket ping-pong": reference},
    )


def _stages() -> list[Figure]:
    made, batch = lane(), ticks(50_000)
    stages: dict[str, list[float]] = {
        name: [] for name in ("decode and gates", "features", "model", "policy, gates, encoding")
    }
    for at in range(len(batch)):
        times = made.process(
            batch[at : at + 1], now_ns=now_ns(), refuse=lambda: 0, first_sequence=1
        ).times
        if times is None:
            continue
        for name, begun, ended in zip(stages, times[:-1], times[1:], strict=True):
            stages[name].append((ended - begun) / 1e3)
    return [
        Figure(f"stage: {name}", percentile(s[100:], 0.5), "us", percentile(s[100:], 0.99))
        for name, s in stages.items()
    ]


def peak() -> Section:
    """Ticks a second in process, by chunk and by number of symbols; the floor copies the bytes."""
    figures = []
    for chunk in (1, 16, 128, 1_024, CAPACITY):
        batch = ticks(chunk * max(4, 16_384 // chunk))
        figures.append(_rate(f"{chunk} a chunk, 10 symbols", lane(), batch, chunk))
    for symbols in SYMBOLS[1:]:
        batch = ticks(32_768, symbols)
        figures.append(_rate(f"1,024 a chunk, {symbols:,} symbols", lane(symbols), batch, 1_024))
    return Section(
        "Peak in process",
        "Ticks a second on one thread; the floor copies 48 bytes in and 64 out.",
        figures,
    )


def _rate(what: str, made: Lane, batch: np.ndarray[Any, Any], chunk: int) -> Figure:
    scratch, out = np.empty((chunk, TICK_SIZE), np.uint8), np.empty((chunk, SIGNAL_SIZE), np.uint8)
    source = np.zeros((chunk, SIGNAL_SIZE), np.uint8)

    def product() -> list[float]:
        begun = time.perf_counter()
        for at in range(0, len(batch), chunk):
            made.process(
                batch[at : at + chunk], now_ns=now_ns(), refuse=lambda: 0, first_sequence=1
            )
        return [len(batch) / (time.perf_counter() - begun)]

    def floor() -> list[float]:
        begun = time.perf_counter()
        for at in range(0, len(batch), chunk):
            np.copyto(scratch, batch[at : at + chunk])
            np.copyto(out, source)
        return [len(batch) / (time.perf_counter() - begun)]

    product()
    reference, rates = alternate(floor, product, 7)
    return Figure(
        what,
        percentile(rates, 0.5),
        "ticks/s",
        None,
        "memcpy",
        percentile(reference, 0.5),
    )


def open_loop() -> Section:
    """Latency from a tick's scheduled arrival to its frame: no coordinated omission."""
    figures, series = [], {}
    for rate, symbols in ARRIVALS:
        samples = _arrivals(rate, lane(symbols), symbols)
        reference = _arrivals(rate, None)
        what = f"open loop, {rate:,} ticks/s, {symbols:,} symbols"
        figures.append(
            Figure.of(
                what,
                samples,
                "us",
                "empty loop",
                reference,
                f"p99.9 {percentile(samples, 0.999):,.0f} us",
            )
        )
        if symbols == SYMBOLS[0] and rate >= 200_000:
            series[what] = samples[:: max(1, len(samples) // 20_000)]
    figures.append(_overload())
    return Section(
        "Open loop in process",
        "Ticks arrive by the clock, ready or not; whatever has arrived is drained. Overload: "
        "more than the peak arrives, and the oldest of what waits are shed.",
        figures,
        series,
    )


def _overload() -> Figure:
    """Offer more than can be predicted: what is answered stays young, and what is shed is told."""
    made, offered = lane(), 2_200_000
    samples = _arrivals(offered, made)
    shed = made.counts.refused().get("shed", 0)
    return Figure.of(
        f"overload, {offered:,} ticks/s offered",
        samples,
        "us",
        note=f"{shed / made.ticks:.0%} shed, every tick in the state",
    )


def _arrivals(rate: int, made: Lane | None, symbols: int = 10) -> list[float]:
    """Give the microseconds from each answered tick's scheduled arrival to its frame."""
    count = max(int(rate * OPEN_LOOP_S), 10)
    pool = ticks(min(count, 262_144), symbols)
    step = 1e9 / rate
    done = 0
    samples: list[np.ndarray[Any, Any]] = []
    begun = time.perf_counter_ns()
    while done < count:
        arrived = min(int((time.perf_counter_ns() - begun) / step) + 1, count)
        if arrived <= done:
            continue
        at = done % len(pool)
        late = max(0, arrived - done - BACKLOG)
        take = min(arrived - done, CAPACITY, len(pool) - at)
        shed = min(late, take)
        if made is not None:
            made.process(
                pool[at : at + take],
                now_ns=now_ns(),
                refuse=lambda: 0,
                first_sequence=done + 1,
                shed=shed,
            )
        ended = time.perf_counter_ns() - begun
        samples.append(ended - np.arange(done + shed, done + take) * step)
        done += take
    every = np.concatenate(samples)[min(rate, count) // 10 :] / 1e3
    return [float(x) for x in every[:: max(1, len(every) // 200_000)]]
