"""What the predictor says of itself: rates, tick-to-signal times, times of stages and pauses.

Times are wall time inside this process, from the arrival of the message that held the tick to the
frame's hand-over to the feed, kept over a sliding window of ten to twenty seconds.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from relentless.serving.pipeline import StageTimes

STAGES = ("prepare", "features", "inference", "finish")
_WINDOW_S = 10.0
SHOWN_S = 1.0
_BUCKETS = 32 * 34
"""Up to 2 ** 38 ns, four and a half minutes."""


class _Window:
    """Counts of the last ten to twenty seconds by size, in HdrHistogram's log-linear buckets.

    Each power of two has 32 buckets, so a value is known to 3 %. Recording takes a third of a
    microsecond, the package's own Python binding 18, which is a tick's whole time.
    """

    def __init__(self) -> None:
        self._now = [0] * _BUCKETS
        self._before = [0] * _BUCKETS

    def record(self, ns: int, count: int = 1) -> None:
        shift = max(0, ns.bit_length() - 6)
        self._now[min(shift * 32 + (ns >> shift), _BUCKETS - 1)] += count

    def turn(self) -> None:
        self._before = self._now
        self._now = [0] * _BUCKETS

    def percentiles_us(self, *wanted: float) -> list[float | None]:
        total = np.cumsum(np.array(self._now) + np.array(self._before))
        if not total[-1]:
            return [None] * len(wanted)
        places = np.searchsorted(total, [total[-1] * p / 100 for p in wanted])
        return [round(_middle(int(place)) / 1_000, 1) for place in places]


def _middle(bucket: int) -> float:
    """Give the middle of a bucket, ns."""
    shift = max(0, bucket // 32 - 1)
    return (bucket - shift * 32 + 0.5) * float(1 << shift)


class Stats:
    """Counters and windows of one live path. Used from one thread."""

    def __init__(self) -> None:
        self.ticks = 0
        self.signals = 0
        self._latency = _Window()
        self._stages = [_Window() for _ in STAGES]
        self._pauses = _Window()
        self._paused_at = 0
        self._turned = time.monotonic()
        self._rate_at = time.monotonic()
        self._rate_ticks = 0
        self._rate = 0.0
        self._shown: dict[str, Any] = {}
        self._shown_at = 0.0

    def step(self, ticks: int, signals: int, waited_ns: int, times: StageTimes | None) -> None:
        """Note one step: how many ticks, how many signals, and how long the oldest tick took.

        ``times`` are those of its stages, where they were taken.
        """
        self.ticks += ticks
        self.signals += signals
        self._latency.record(waited_ns, ticks)
        if times is not None:
            for window, start, end in zip(self._stages, times, times[1:], strict=False):
                window.record(end - start)

    def report(self) -> dict[str, Any]:
        """Give the counters, the rate over half a second, and percentiles a second old at most."""
        now = time.monotonic()
        if now - self._turned > _WINDOW_S:
            self._turned = now
            for window in (self._latency, self._pauses, *self._stages):
                window.turn()
        if now - self._rate_at >= 0.5:
            self._rate = (self.ticks - self._rate_ticks) / (now - self._rate_at)
            self._rate_at, self._rate_ticks = now, self.ticks
        if now - self._shown_at > SHOWN_S or self._shown.get("p50_us") is None:
            self._shown_at, self._shown = now, self._times()
        return {
            "ticks": self.ticks,
            "signals": self.signals,
            "ticks_per_s": round(self._rate, 1),
            **self._shown,
        }

    @contextmanager
    def watch_collector(self) -> Iterator[None]:
        """Note every pause of Python's garbage collector meanwhile."""
        gc.callbacks.append(self._collector)
        try:
            yield
        finally:
            gc.callbacks.remove(self._collector)

    def _collector(self, phase: str, _info: dict[str, int]) -> None:
        now = time.perf_counter_ns()
        if phase == "start":
            self._paused_at = now
        else:
            self._pauses.record(now - self._paused_at)

    def _times(self) -> dict[str, Any]:
        p50, p99, p999, longest = self._latency.percentiles_us(50.0, 99.0, 99.9, 100.0)
        stages = [window.percentiles_us(50.0, 99.0) for window in self._stages]
        return {
            "p50_us": p50,
            "p99_us": p99,
            "p99_9_us": p999,
            "max_us": longest,
            "stages_p50_us": {name: at[0] for name, at in zip(STAGES, stages, strict=True)},
            "stages_p99_us": {name: at[1] for name, at in zip(STAGES, stages, strict=True)},
            "collector_max_us": self._pauses.percentiles_us(100.0)[0],
        }
