"""Batching as TensorFlow Serving does it: requests of one signature that wait share one run.

``BatchingSession`` stands where its BatchingSession stands, around the session of one version; a
caller blocks in ``run`` until its batch is done. Below: ``request.py`` (a call that waits),
``scheduler.py`` (queues and threads), ``tensors.py`` (putting together and taking
apart), ``options.py``.
"""

import functools
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from relentless.proto.errors import InvalidSettings
from relentless.serving.model_server.batching.options import (
    PER_MODEL_FILE,
    BatchingOptions,
    read_batching,
)
from relentless.serving.model_server.batching.request import Part, Request
from relentless.serving.model_server.batching.scheduler import BatchQueue, BatchScheduler
from relentless.serving.model_server.batching.tensors import count_rows, cut_output, merge
from relentless.serving.model_server.codes import FAILED_PRECONDITION, INTERNAL, INVALID_ARGUMENT
from relentless.serving.model_server.lifecycle.servable import Session
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import RawTensor

log = structlog.get_logger(__name__)

MAX_CALLERS = 256
"""Threads that wait in ``run``, twice the largest batch up to this."""
POOL = ""
"""The metrics' label of the thread pool; TensorFlow Serving's server leaves it empty."""
MAX_QUEUES = 256
"""Queues of one version beyond its signatures': clients choose what they fetch."""
CLOSE_S = 10.0
"""The longest that an unload waits for the queues of its version."""

Signature = tuple[frozenset[str], frozenset[str]]
"""Feeds and fetches by graph name: requests that agree in both may share a run."""


class BatchObserver(Protocol):
    """What is told of batching: ``metrics.Metrics`` under TensorFlow Serving's names."""

    def batch_input(self, rows: int) -> None:
        """Record the rows of one input tensor as it came in."""
        ...

    def queued(self, thread_pool: str, micros: float) -> None:
        """Record how long a request waited for its batch to run."""
        ...

    def batch(self, rows: int, padded: int) -> None:
        """Record one run: the rows that it held, and the rows after padding."""
        ...


class BatchingSession:
    """A session that runs requests in batches. ``run`` may be called from many threads."""

    def __init__(
        self,
        wrapped: Session,
        options: BatchingOptions,
        scheduler: BatchScheduler[Part],
        observer: BatchObserver | None = None,
    ) -> None:
        """Make a queue for each signature; the wrapped session is closed with this one.

        Other feeds and fetches, as an ``output_filter`` makes them, get theirs when they come.
        """
        self.signatures: dict[str, Any] = wrapped.signatures
        self._wrapped = wrapped
        self._options = options
        self._scheduler = scheduler
        self._observer = observer
        self._lock = threading.Lock()
        self._inside = 0
        self._state = "open"
        self._queues: dict[Signature, BatchQueue[Part]] = {}
        for signature in wrapped.signatures.values():
            feeds = frozenset(info.name for info in signature.inputs.values())
            fetches = frozenset(info.name for info in signature.outputs.values())
            if (feeds, fetches) not in self._queues:
                self._add_queue(feeds, fetches)
        self._most_queues = len(self._queues) + MAX_QUEUES

    def _add_queue(self, feeds: frozenset[str], fetches: frozenset[str]) -> BatchQueue[Part]:
        process = functools.partial(self._process, names=sorted(fetches))
        queue = self._queues[feeds, fetches] = self._scheduler.add(self._options, process)
        return queue

    def _queue(self, feeds: frozenset[str], fetches: frozenset[str]) -> BatchQueue[Part] | None:
        """Give the queue of these feeds and fetches, a signature's or not; None past the most."""
        if queue := self._queues.get((feeds, fetches)):
            return queue
        with self._lock:
            if queue := self._queues.get((feeds, fetches)):
                return queue
            if self._state != "open" or len(self._queues) >= self._most_queues:
                return None
            return self._add_queue(feeds, fetches)

    def run(
        self,
        feeds: Mapping[str, RawTensor],
        fetches: Sequence[str],
        timeout_s: float | None = None,
    ) -> list[RawTensor]:
        """Feed tensors by graph name and fetch others, together with whoever asks the same.

        Requests without rows run alone.

        Raises:
            TFError: what the session or the queue says, with its code.
        """
        queue = self._queue(frozenset(feeds), frozenset(fetches))
        if queue is None or not (rows := count_rows(feeds)):
            return self._wrapped.run(feeds, fetches, timeout_s)
        if self._observer:
            for tensor in feeds.values():
                self._observer.batch_input(tensor.shape[0])
        request = Request(feeds, rows, timeout_s)
        queue.submit(request.parts[0])
        outputs = request.outputs()
        return [outputs[name] for name in fetches]

    def _process(self, parts: Sequence[Part], names: Sequence[str]) -> None:
        now = time.monotonic()
        if self._observer:
            for part in parts:
                self._observer.queued(POOL, (now - part.queued) * 1e6)
        live = [part for part in parts if part.begin(now)]
        if not live or not self._enter(live):
            return
        try:
            self._run(live, names, now)
        except TFError as error:
            for part in live:
                part.fail(error)
        except Exception as error:
            log.exception("batch failed", requests=len(live))
            for part in live:
                part.fail(TFError(INTERNAL, f"{type(error).__name__} in the model server"))
        finally:
            self._leave()

    def _run(self, parts: Sequence[Part], names: Sequence[str], now: float) -> None:
        sizes = [part.rows for part in parts]
        rows = sum(sizes)
        padding = self._options.padded(rows) - rows
        feeds = merge(
            [part.feeds for part in parts],
            padding,
            pad_lengths=self._options.pad_variable_length_inputs,
        )
        if self._observer:
            self._observer.batch(rows, rows + padding)
        # As long as the most patient of its callers waits.
        limited = all(part.request.limited for part in parts)
        timeout_s = max(part.request.end for part in parts) - now if limited else None
        outputs = self._wrapped.run(feeds, names, timeout_s)
        pieces = {
            name: cut_output(tensor, [*sizes, padding])
            for name, tensor in zip(names, outputs, strict=True)
        }
        for at, part in enumerate(parts):
            part.answer.set_result({name: piece[at] for name, piece in pieces.items()})

    def _enter(self, parts: Sequence[Part]) -> bool:
        with self._lock:
            if self._state != "closed":
                self._inside += 1
                return True
        for part in parts:
            part.fail(TFError(FAILED_PRECONDITION, "the session is closed"))
        return False

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
            late = self._state == "leaving" and not self._inside
            if late:
                self._state = "closed"
        if late:
            self._wrapped.close()

    def close(self) -> None:
        """Run what waits, then close the wrapped session; a second call does nothing.

        A batch that does not end in time closes it when it does.
        """
        end = time.monotonic() + CLOSE_S
        with self._lock:
            queues = list(self._queues.values())
        for queue in queues:
            if not queue.close(max(0.0, end - time.monotonic())):
                log.error("batch still running at the unload of its version")
        with self._lock:
            now = self._state == "open" and not self._inside
            self._state = "closed" if now or self._state == "closed" else "leaving"
        if now:
            self._wrapped.close()


class Batching:
    """Batching for every model of a server: one scheduler, and the options of each version."""

    def __init__(
        self,
        options: BatchingOptions,
        *,
        per_model: bool = False,
        observer: BatchObserver | None = None,
    ) -> None:
        """Prepare the threads; the first version starts them.

        Args:
            options: how batches are made, and how many threads run them.
            per_model: a version is batched by its own ``batching_params.pbtxt``, or not at all.
            observer: told of every batch.
        """
        self.options = options
        self._per_model = per_model
        self._observer = observer
        self._scheduler = BatchScheduler[Part](options.num_batch_threads, options.thread_pool_name)

    @property
    def callers(self) -> int:
        """How many callers may have to wait at a time for full batches to form."""
        return min(2 * self.options.max_batch_size, MAX_CALLERS)

    def wrap(self, name: str, version: int, folder: Path, session: Session) -> Session:
        """Give the session of a version with batching around it.

        Raises:
            TFError: INVALID_ARGUMENT; the version's own parameters do not parse.
        """
        options = self.options
        if self._per_model:
            path = folder / PER_MODEL_FILE
            if not path.exists():
                return session
            try:
                options = read_batching(path)
            except InvalidSettings as error:
                raise TFError(INVALID_ARGUMENT, f"{name} {version}: {error}") from error
        return BatchingSession(session, options, self._scheduler, self._observer)

    def stop(self) -> None:
        """End the threads, after the last version was closed."""
        if not self._scheduler.stop():
            log.error("a batch thread did not end")
