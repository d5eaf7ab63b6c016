"""What the predictor says of itself: rates, tick-to-signal times, times of the stages.

Times are wall time inside this process, from the arrival of the message that held the tick to the
frame's hand-over to the feed, kept over a sliding window of ten to twenty seconds.
"""

import time
from typing import Any

from hdrh.histogram import HdrHistogram

from relentless.serving.pipeline import StageTimes

STAGES = ("prepare", "features", "inference", "finish")
_WINDOW_S = 10.0
_SAMPLE = 16
"""Stages are timed in one step of so many."""
_MOST_NS = 60_000_000_000


class _Window:
    """A histogram over the last ten to twenty seconds, ns, two significant digits."""

    def __init__(self) -> None:
        self._now = HdrHistogram(1, _MOST_NS, 2)
        self._before = HdrHistogram(1, _MOST_NS, 2)

    def record(self, ns: int, count: int = 1) -> None:
        self._now.record_value(min(max(ns, 1), _MOST_NS), count)

    def turn(self) -> None:
        self._before = self._now
        self._now = HdrHistogram(1, _MOST_NS, 2)

    def percentiles_us(self, *wanted: float) -> list[float | None]:
        both = HdrHistogram(1, _MOST_NS, 2)
        both.add(self._before)
        both.add(self._now)
        if not both.get_total_count():
            return [None] * len(wanted)
        return [round(both.get_value_at_percentile(p) / 1_000, 1) for p in wanted]


class Stats:
    """Counters and windows of one live path. Used from one thread."""

    def __init__(self) -> None:
        self.ticks = 0
        self.signals = 0
        self._latency = _Window()
        self._stages = [_Window() for _ in STAGES]
        self._steps = 0
        self._turned = time.monotonic()
        self._rate_at = time.monotonic()
        self._rate_ticks = 0
        self._rate = 0.0

    def step(self, ticks: int, signals: int, waited_ns: int, times: StageTimes) -> None:
        """Note one step: how many ticks, how many signals, and how long the oldest tick took."""
        self.ticks += ticks
        self.signals += signals
        self._latency.record(waited_ns, ticks)
        self._steps += 1
        if self._steps % _SAMPLE == 1:
            for window, start, end in zip(self._stages, times, times[1:], strict=False):
                window.record(end - start)

    def report(self) -> dict[str, Any]:
        """Give the counters, the rate since the last half second, and the windows' percentiles."""
        now = time.monotonic()
        if now - self._turned > _WINDOW_S:
            self._turned = now
            for window in (self._latency, *self._stages):
                window.turn()
        if now - self._rate_at >= 0.5:
            self._rate = (self.ticks - self._rate_ticks) / (now - self._rate_at)
            self._rate_at, self._rate_ticks = now, self.ticks
        p50, p99 = self._latency.percentiles_us(50.0, 99.0)
        return {
            "ticks": self.ticks,
            "signals": self.signals,
            "ticks_per_s": round(self._rate, 1),
            "p50_us": p50,
            "p99_us": p99,
            "stages_p50_us": {
                name: window.percentiles_us(50.0)[0]
                for name, window in zip(STAGES, self._stages, strict=True)
            },
        }
