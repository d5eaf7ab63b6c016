"""What the server counts, under TensorFlow Serving's names, and the Prometheus text of it.

No global state: a server makes one ``Metrics`` and hands it to what records. prometheus-client
cannot write these names: it gives every counter the suffix ``_total``. So the text format is
written here, as TensorFlow Serving's exporter does.

Recording is a dictionary look-up and an addition under a lock. Callers name the models that they
ask for, so the number of series is bounded: past it, what is new counts under ``(other)``.
"""

import math
import threading
from bisect import bisect_right
from dataclasses import dataclass, field

from relentless.serving.model_server.codes import NAMES

MAX_SERIES = 1000
OTHER = "(other)"


def code_name(code: int) -> str:
    """Give the name of a status code."""
    return NAMES.get(code, "UNKNOWN") if code else "OK"


def exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """Give the finite upper bounds of ``count`` buckets, each ``growth`` times the one before."""
    return tuple(scale * growth**index for index in range(count))


Key = tuple[str, ...]


@dataclass(slots=True)
class Cell:
    """One series of a histogram."""

    counts: list[int]
    total: float = 0.0


@dataclass(slots=True)
class Counter:
    """A number that only rises, for each combination of label values."""

    name: str
    labels: Key
    series: dict[Key, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Write every series."""
        return [f"{self.name}{{{_pairs(self.labels, k)}}} {n}" for k, n in self.series.items()]


@dataclass(slots=True)
class Histogram:
    """How often values fell below each bound, for each combination of label values.

    As TensorFlow counts them: a value that is a bound lies above it.
    """

    name: str
    labels: Key
    bounds: tuple[float, ...]
    series: dict[Key, Cell] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Write every series: the buckets, cumulated, then sum and count."""
        out = []
        for key, cell in self.series.items():
            pairs, running = _pairs(self.labels, key), 0
            for bound, count in zip((*self.bounds, math.inf), cell.counts, strict=True):
                running += count
                limit = "+Inf" if bound == math.inf else f"{bound:.6g}"
                joined = f'{pairs},le="{limit}"' if pairs else f'le="{limit}"'
                out.append(f"{self.name}_bucket{{{joined}}} {running}")
            out.append(f"{self.name}_sum{{{pairs}}} {cell.total:.15g}")
            out.append(f"{self.name}_count{{{pairs}}} {running}")
        return out


def _pairs(labels: Key, values: Key) -> str:
    return ",".join(
        f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)
    )


def _escaped(value: str) -> str:
    text = value.encode("utf-8", "replace").decode()
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


LATENCY = exponential(10, 1.8, 33)
"""Microseconds, up to some twenty minutes."""


class Metrics:
    """Everything that one server records. Safe for concurrent use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Counter | Histogram] = []
        serving, loading = ":tensorflow:serving:", ":tensorflow:cc:saved_model:"
        batching = serving + "batching_session:"
        sizes = exponential(1, 2, 14)
        self._load_attempts = self._counter(loading + "load_attempt_count", "model_path", "status")
        self._load_latency = self._counter(loading + "load_latency", "model_path")
        self._input_size = self._histogram(batching + "input_batch_size", sizes)
        self._padding = self._histogram(batching + "padding_size", sizes, "execution_batch_size")
        self._processed_size = self._histogram(batching + "processed_batch_size", sizes)
        self._queuing = self._histogram(
            batching + "queuing_latency", exponential(100, 1.2, 52), "thread_pool_name"
        )
        self._wrapped_runs = self._counter(batching + "wrapped_run_count")
        self._warmup = self._histogram(
            serving + "model_warmup_latency", LATENCY, "model_path", "status"
        )
        self._requests = self._counter(serving + "request_count", "model_name", "status")
        self._examples_total = self._counter(serving + "request_example_count_total", "model")
        self._examples = self._histogram(
            serving + "request_example_counts", exponential(1, 2, 15), "model"
        )
        self._latency = self._histogram(
            serving + "request_latency", LATENCY, "model_name", "API", "entrypoint"
        )
        self._runtime = self._histogram(
            serving + "runtime_latency", LATENCY, "model_name", "API", "runtime"
        )

    def request(self, model: str, api: str, entrypoint: str, code: int, micros: float) -> None:
        """Count an answered request; the time of one that succeeded goes into the histogram.

        Args:
            model: the name that was asked for.
            api: "Predict", "Classify", "Regress"; in REST the path's own word.
            entrypoint: "GRPC" or "REST".
            code: the status code's number, 0 for success.
            micros: wall time.
        """
        self._add(self._requests, (model, code_name(code)), 1)
        if not code:
            self._observe(self._latency, (model, api, entrypoint), micros)

    def runtime(self, model: str, api: str, micros: float) -> None:
        """Record the wall time that TensorFlow took of a request."""
        self._observe(self._runtime, (model, api, "TF1"), micros)

    def examples(self, model: str, count: int) -> None:
        """Record the number of ``tf.Example`` records of a MultiInference request."""
        self._observe(self._examples, (model,), count)
        self._add(self._examples_total, (model,), count)

    def load(self, path: str, micros: float, *, failed: bool) -> None:
        """Record an attempt to load a SavedModel; the latency counts only what succeeded."""
        self._add(self._load_attempts, (path, "fail" if failed else "success"), 1)
        if not failed:
            self._add(self._load_latency, (path,), int(micros))

    def warmup(self, path: str, status: str, micros: float) -> None:
        """Record one warm-up of a version and how it ended: "OK", or a code and its words."""
        self._observe(self._warmup, (path, status), micros)

    def queued(self, thread_pool: str, micros: float) -> None:
        """Record how long a task waited for its batch to run."""
        self._observe(self._queuing, (thread_pool,), micros)

    def batch(self, rows: int, padded: int) -> None:
        """Record one merged run: the rows that it held, and the rows after padding."""
        self._add(self._wrapped_runs, (), 1)
        self._observe(self._processed_size, (), padded)
        self._observe(self._padding, (str(padded),), padded - rows)

    def batch_input(self, rows: int) -> None:
        """Record the rows of one task as it came in."""
        self._observe(self._input_size, (), rows)

    def count(self, name: str) -> int:
        """Give a counter's first series by TensorFlow's name, "/tensorflow/..."; 0 without one."""
        exported = name.replace("/", ":")
        with self._lock:
            for metric in self._all:
                if isinstance(metric, Counter) and metric.name == exported and metric.series:
                    return metric.series[min(metric.series)]
        return 0

    def text(self) -> str:
        """Write all of it in Prometheus' text format."""
        out = []
        with self._lock:
            for metric in self._all:
                kind = "counter" if isinstance(metric, Counter) else "histogram"
                out.append(f"# TYPE {metric.name} {kind}")
                out.extend(metric.lines())
        return "\n".join(out) + "\n"

    def _counter(self, name: str, *labels: str) -> Counter:
        made = Counter(name, labels)
        self._all.append(made)
        return made

    def _histogram(self, name: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
        made = Histogram(name, labels, bounds)
        self._all.append(made)
        return made

    def _add(self, counter: Counter, key: Key, amount: int) -> None:
        with self._lock:
            series = counter.series
            if key not in series and len(series) >= MAX_SERIES:
                key = (OTHER, *key[1:])
            series[key] = series.get(key, 0) + amount

    def _observe(self, histogram: Histogram, key: Key, value: float) -> None:
        index = bisect_right(histogram.bounds, value)
        with self._lock:
            cell = histogram.series.get(key)
            if cell is None:
                if len(histogram.series) >= MAX_SERIES:
                    key = (OTHER, *key[1:])
                cell = histogram.series.setdefault(key, Cell([0] * (len(histogram.bounds) + 1)))
            cell.counts[index] += 1
            cell.total += value
