"""Queues of batches and the threads that they share, as TensorFlow's SharedBatchScheduler.

It knows no tensors: a task has a number of rows and can be split. Tasks of one queue are gathered
in the order they come; the threads go round the queues and take one batch from each that has one
ready. Above: ``session.py``, with a queue for each signature of each version.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

import structlog

from relentless.serving.model_server.batching.options import BatchingOptions
from relentless.serving.model_server.codes import INTERNAL, INVALID_ARGUMENT, UNAVAILABLE
from relentless.serving.model_server.runtime.capi import TFError

log = structlog.get_logger(__name__)

IDLE_S = 5.0
"""A thread without work looks up this often, whatever happens."""


class Task(Protocol):
    """What a queue holds."""

    rows: int

    def split(self, sizes: Sequence[int]) -> Sequence[Self]:
        """Give tasks of these sizes in place of this one."""
        ...

    def fail(self, error: TFError) -> None:
        """Answer the caller with an error, unless it has an answer."""
        ...


T = TypeVar("T", bound=Task)


@dataclass(slots=True)
class Batch(Generic[T]):
    """Tasks that run together; the last batch of a queue is open for more."""

    tasks: list[T] = field(default_factory=list)
    rows: int = 0
    opened: float = 0.0
    """When the first task came."""

    def add(self, task: T, now: float) -> None:
        """Take a task in."""
        if not self.tasks:
            self.opened = now
        self.tasks.append(task)
        self.rows += task.rows


class BatchQueue(Generic[T]):
    """The tasks of one kind. Made by ``BatchScheduler.add``; safe for concurrent use."""

    def __init__(
        self,
        scheduler: "BatchScheduler[T]",
        options: BatchingOptions,
        process: Callable[[Sequence[T]], None],
    ) -> None:
        self._scheduler = scheduler
        self._options = options
        self._process = process
        self._batches: deque[Batch[T]] = deque([Batch()])
        self._running = 0
        self._closed = False

    def submit(self, task: T) -> None:
        """Put a task into the open batch, or behind it.

        Raises:
            TFError: INVALID_ARGUMENT for a task over the limit; UNAVAILABLE where the queue is
                full or closed.
        """
        scheduler, limit = self._scheduler, self._options.batch_limit
        with scheduler.lock:
            if self._closed:
                raise TFError(UNAVAILABLE, "The batch scheduling queue is closed")
            self._check_room(task.rows)
            was_empty, was_ready = not self._batches[-1].tasks, len(self._batches) > 1
            now = time.monotonic()
            for part in self._parts(task):
                if self._batches[-1].rows + part.rows > limit:
                    self._batches.append(Batch())
                self._batches[-1].add(part, now)
            full = self._batches[0].rows >= limit or len(self._batches) > 1
            if was_empty or (full and not was_ready):
                scheduler.work.notify()

    def _check_room(self, rows: int) -> None:
        options, waiting, open_rows = self._options, len(self._batches), self._batches[-1].rows
        if rows > options.max_batch_size:
            raise TFError(
                INVALID_ARGUMENT,
                f"Task size {rows} is larger than maximum input batch size "
                f"{options.max_batch_size}",
            )
        full = "The batch scheduling queue to which this task was submitted is full; "
        if options.enable_large_batch_splitting:
            room = (options.max_enqueued_batches - waiting + 1) * options.batch_limit - open_rows
            if rows > room:
                raise TFError(
                    UNAVAILABLE,
                    f"{full}task size is {rows} but scheduling capacity is only {room} "
                    f"(num_enqueued_batches={waiting}, "
                    f"max_enqueued_batches={options.max_enqueued_batches}, "
                    f"open_batch_size={open_rows}, "
                    f"max_execution_batch_size={options.batch_limit})",
                )
        elif open_rows + rows > options.batch_limit and waiting >= options.max_enqueued_batches:
            raise TFError(
                UNAVAILABLE,
                f"{full}currently {waiting} batches enqueued and max_enqueued_batches is "
                f"{options.max_enqueued_batches}",
            )

    def _parts(self, task: T) -> Sequence[T]:
        limit = self._options.batch_limit
        room = limit - self._batches[-1].rows
        if task.rows <= room or not self._options.enable_large_batch_splitting:
            return [task]
        rest = task.rows - room
        sizes = [room, *[limit] * (rest // limit), rest % limit]
        return task.split([size for size in sizes if size])

    def due(self, now: float) -> float | None:
        """Give when a batch of this queue may run, or None while it has none. Under the lock."""
        first = self._batches[0]
        if not first.tasks:
            return None
        if len(self._batches) > 1 or self._closed or first.rows >= self._options.batch_limit:
            return now
        return first.opened + self._options.batch_timeout_s

    def take(self, now: float) -> Batch[T] | None:
        """Take the first batch if it may run. Under the lock."""
        due = self.due(now)
        if due is None or due > now:
            return None
        batch = self._batches.popleft()
        if not self._batches:
            self._batches.append(Batch())
        self._running += 1
        return batch

    def run(self, batch: Batch[T]) -> None:
        """Process a batch that was taken; nothing that it raises reaches the thread."""
        try:
            self._process(batch.tasks)
        except Exception:
            log.exception("batch failed", rows=batch.rows)
            for task in batch.tasks:
                task.fail(TFError(INTERNAL, "The batch could not be processed"))
        finally:
            with self._scheduler.lock:
                self._running -= 1
                if self._is_empty():
                    self._scheduler.emptied.notify_all()
                    if self._closed:
                        self._scheduler.remove(self)

    def _is_empty(self) -> bool:
        return not self._running and not self._batches[0].tasks

    def close(self, timeout_s: float) -> bool:
        """Take no more, run what waits at once, and leave; False where that took too long."""
        scheduler = self._scheduler
        with scheduler.lock:
            self._closed = True
            scheduler.work.notify_all()
            if not scheduler.emptied.wait_for(self._is_empty, timeout_s):
                return False
            scheduler.remove(self)
            return True

    def abandon(self) -> None:
        """Answer everything that waits with UNAVAILABLE. Under the lock."""
        self._closed = True
        while self._batches:
            for task in self._batches.popleft().tasks:
                task.fail(TFError(UNAVAILABLE, "The model server is stopping"))
        self._batches.append(Batch())


class BatchScheduler(Generic[T]):
    """The threads, and the queues that they serve in turn."""

    def __init__(self, threads: int, name: str) -> None:
        """Make the threads; the first queue starts them, and ``stop`` joins them."""
        self.lock = threading.Lock()
        self.work = threading.Condition(self.lock)
        """Told when a batch may run, or when one begins to wait."""
        self.emptied = threading.Condition(self.lock)
        self._queues: deque[BatchQueue[T]] = deque()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}_{number}", daemon=True)
            for number in range(threads)
        ]
        self._started = False

    def add(
        self, options: BatchingOptions, process: Callable[[Sequence[T]], None]
    ) -> BatchQueue[T]:
        """Give a new queue, whose batches ``process`` runs in one of the threads."""
        queue = BatchQueue(self, options, process)
        with self.lock:
            self._queues.append(queue)
            if not self._started:
                self._started = True
                for thread in self._threads:
                    thread.start()
        return queue

    def remove(self, queue: BatchQueue[T]) -> None:
        """Forget a queue. Under the lock."""
        if queue in self._queues:
            self._queues.remove(queue)

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Answer what still waits with UNAVAILABLE and join the threads; False where one hangs."""
        end = time.monotonic() + timeout_s
        with self.lock:
            self._stopping = True
            for queue in self._queues:
                queue.abandon()
            self._queues.clear()
            self.work.notify_all()
        for thread in self._threads if self._started else ():
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self) -> None:
        while taken := self._next():
            queue, batch = taken
            queue.run(batch)
            # Nothing of a finished batch is kept while the thread waits for the next.
            del taken, queue, batch

    def _next(self) -> tuple[BatchQueue[T], Batch[T]] | None:
        with self.lock:
            while not self._stopping:
                now = time.monotonic()
                for _ in range(len(self._queues)):
                    queue = self._queues[0]
                    self._queues.rotate(-1)
                    if batch := queue.take(now):
                        if any(other.due(now) is not None for other in self._queues):
                            # This thread no longer watches the clock for the others.
                            self.work.notify()
                        return queue, batch
                due = [when for queue in self._queues if (when := queue.due(now)) is not None]
                self.work.wait(min([IDLE_S, *(max(0.0, when - now) for when in due)]))
            return None
