"""Queues and their threads: what runs together, in which order, and what is refused."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from relentless.serving.model_server.batching.options import BatchingOptions
from relentless.serving.model_server.batching.scheduler import BatchQueue, BatchScheduler
from relentless.serving.model_server.runtime.capi import TFError

PATIENCE_S = 30.0
NEVER = 3600.0


class Rows:
    """A task that is only its size."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.errors: list[TFError] = []

    def split(self, sizes: Sequence[int]) -> "list[Rows]":
        return [Rows(size) for size in sizes]

    def fail(self, error: TFError) -> None:
        self.errors.append(error)


class Log:
    """What ran, in order; a gate holds every batch until it opens."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.done = threading.Semaphore(0)

    def __call__(self, tasks: Sequence[Rows]) -> None:
        self.batches.append([task.rows for task in tasks])
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        self.done.release()

    def wait(self, batches: int) -> list[list[int]]:
        for _ in range(batches):
            assert self.done.acquire(timeout=PATIENCE_S)
        return self.batches


Make = Callable[..., BatchQueue[Rows]]


@pytest.fixture
def scheduler() -> Iterator[BatchScheduler[Rows]]:
    made = BatchScheduler[Rows](1, "test")
    yield made
    assert made.stop(PATIENCE_S)


def submit(queue: BatchQueue[Rows], *sizes: int) -> None:
    for size in sizes:
        queue.submit(Rows(size))


def test_a_full_batch_runs_at_once_and_the_rest_waits(scheduler: BatchScheduler[Rows]) -> None:
    log = Log()
    log.gate.set()
    queue = scheduler.add(BatchingOptions(4, NEVER), log)
    submit(queue, 1, 2, 1, 3)
    assert log.wait(1) == [[1, 2, 1]]
    assert queue.close(PATIENCE_S)
    assert log.batches == [[1, 2, 1], [3]]


def test_a_task_that_does_not_fit_closes_the_open_batch(scheduler: BatchScheduler[Rows]) -> None:
    log = Log()
    log.gate.set()
    queue = scheduler.add(BatchingOptions(4, NEVER), log)
    submit(queue, 3, 2)
    assert log.wait(1) == [[3]]
    assert queue.close(PATIENCE_S)
    assert log.batches == [[3], [2]]


def test_a_lonely_task_waits_for_the_timeout_alone(scheduler: BatchScheduler[Rows]) -> None:
    log = Log()
    log.gate.set()
    queue = scheduler.add(BatchingOptions(4, 0.02), log)
    submit(queue, 1)
    assert log.wait(1) == [[1]]
    assert queue.close(PATIENCE_S)


def test_while_the_thread_is_busy_tasks_gather(scheduler: BatchScheduler[Rows]) -> None:
    log = Log()
    queue = scheduler.add(BatchingOptions(100), log)
    submit(queue, 1)
    assert log.entered.acquire(timeout=PATIENCE_S)
    submit(queue, 1, 2, 3)
    log.gate.set()
    assert log.wait(2) == [[1], [1, 2, 3]]
    assert queue.close(PATIENCE_S)


def test_the_thread_goes_round_the_queues(scheduler: BatchScheduler[Rows]) -> None:
    log = Log()
    first, second = (scheduler.add(BatchingOptions(1), log) for _ in range(2))
    submit(first, 1)
    assert log.entered.acquire(timeout=PATIENCE_S)
    queues = {"first": first, "second": second}
    order: list[str] = []
    for name, queue in queues.items():
        run = queue._process
        queue._process = lambda tasks, name=name, run=run: (order.append(name), run(tasks))[1]
        submit(queue, 1, 1, 1)
    log.gate.set()
    log.wait(7)
    assert order in (["first", "second"] * 3, ["second", "first"] * 3)
    assert first.close(PATIENCE_S)
    assert second.close(PATIENCE_S)


def test_a_queue_is_bounded_and_says_so(scheduler: BatchScheduler[Rows]) -> None:
    log = Log()
    queue = scheduler.add(BatchingOptions(2, NEVER, max_enqueued_batches=2), log)
    submit(queue, 2)
    assert log.entered.acquire(timeout=PATIENCE_S)
    submit(queue, 2, 1)
    with pytest.raises(TFError) as refused:
        submit(queue, 2)
    assert (refused.value.code, str(refused.value)) == (
        14,
        "The batch scheduling queue to which this task was submitted is full; currently 2 "
        "batches enqueued and max_enqueued_batches is 2",
    )
    submit(queue, 1)
    log.gate.set()
    assert queue.close(PATIENCE_S)
    assert log.batches == [[2], [2], [1, 1]]


def test_a_task_over_the_limit_is_refused(scheduler: BatchScheduler[Rows]) -> None:
    queue = scheduler.add(BatchingOptions(2), Log())
    with pytest.raises(TFError) as refused:
        submit(queue, 3)
    assert (refused.value.code, str(refused.value)) == (
        3,
        "Task size 3 is larger than maximum input batch size 2",
    )
    assert queue.close(PATIENCE_S)


def test_a_large_task_is_split_over_batches(scheduler: BatchScheduler[Rows]) -> None:
    log = Log()
    options = BatchingOptions(
        100, NEVER, 4, enable_large_batch_splitting=True, max_execution_batch_size=4
    )
    queue = scheduler.add(options, log)
    submit(queue, 4)
    assert log.entered.acquire(timeout=PATIENCE_S)
    submit(queue, 1, 9)
    with pytest.raises(TFError) as refused:
        submit(queue, 7)
    assert (refused.value.code, str(refused.value)) == (
        14,
        "The batch scheduling queue to which this task was submitted is full; task size is 7 but "
        "scheduling capacity is only 6 (num_enqueued_batches=3, max_enqueued_batches=4, "
        "open_batch_size=2, max_execution_batch_size=4)",
    )
    log.gate.set()
    assert queue.close(PATIENCE_S)
    assert log.batches == [[4], [1, 3], [4], [2]]


def test_a_closed_queue_takes_nothing_and_a_late_batch_still_ends(
    scheduler: BatchScheduler[Rows],
) -> None:
    log = Log()
    queue = scheduler.add(BatchingOptions(1), log)
    submit(queue, 1)
    assert log.entered.acquire(timeout=PATIENCE_S)
    submit(queue, 1)
    assert not queue.close(0.01)
    with pytest.raises(TFError, match="queue is closed") as refused:
        submit(queue, 1)
    assert refused.value.code == 14
    log.gate.set()
    assert queue.close(PATIENCE_S)
    assert log.batches == [[1], [1]]


def test_a_batch_that_raises_fails_its_tasks_and_no_thread(
    scheduler: BatchScheduler[Rows],
) -> None:
    def broken(tasks: Sequence[Rows]) -> None:
        raise RuntimeError("a defect")

    queue = scheduler.add(BatchingOptions(2, NEVER), broken)
    tasks = [Rows(1), Rows(1)]
    for task in tasks:
        queue.submit(task)
    assert queue.close(PATIENCE_S)
    assert [[error.code for error in task.errors] for task in tasks] == [[13], [13]]
    log = Log()
    log.gate.set()
    after = scheduler.add(BatchingOptions(1), log)
    submit(after, 1)
    assert log.wait(1) == [[1]]


def test_what_waits_at_the_stop_is_answered() -> None:
    scheduler = BatchScheduler[Rows](2, "test")
    queue = scheduler.add(BatchingOptions(4, NEVER), Log())
    task = Rows(1)
    queue.submit(task)
    assert scheduler.stop(PATIENCE_S)
    assert [error.code for error in task.errors] == [14]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test_")]
    with pytest.raises(TFError, match="queue is closed"):
        queue.submit(Rows(1))


def test_an_idle_thread_watches_the_clock_while_another_is_busy() -> None:
    scheduler = BatchScheduler[Rows](2, "test")
    held, free = Log(), Log()
    free.gate.set()
    busy = scheduler.add(BatchingOptions(1), held)
    timed = scheduler.add(BatchingOptions(4, 0.05), free)
    submit(timed, 1)
    submit(busy, 1)
    assert held.entered.acquire(timeout=PATIENCE_S)
    assert free.wait(1) == [[1]]
    held.gate.set()
    assert busy.close(PATIENCE_S)
    assert scheduler.stop(PATIENCE_S)
