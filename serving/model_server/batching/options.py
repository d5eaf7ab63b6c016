"""What ``--batching_parameters_file`` says, checked: TensorFlow Serving's names and defaults.

No queue and no thread is here; ``session.py`` above makes them from these numbers.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relentless.proto.errors import InvalidSettings
from relentless.proto.gen.model_server_pb2 import BatchingParameters
from relentless.serving.model_server.codes import INVALID_ARGUMENT
from relentless.serving.model_server.options import schedulable_cpus
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.text_files import read_message

PER_MODEL_FILE = "batching_params.pbtxt"
"""Beside a version's graph, read where ``--enable_per_model_batching_parameters`` is given."""


@dataclass(frozen=True, slots=True)
class BatchingOptions:
    """How requests are gathered into batches; sizes are rows of the 0th dimension."""

    max_batch_size: int = 1000
    """The largest batch; with ``enable_large_batch_splitting`` the largest request."""
    batch_timeout_s: float = 0.0
    """The longest a request waits for company while a thread is free."""
    max_enqueued_batches: int = 10
    """Batches of one queue that wait; past that a request is refused."""
    num_batch_threads: int = field(default_factory=schedulable_cpus)
    """Batches that run at a time, over all queues."""
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    """A batch is padded to the next of these; none: it runs as it is."""
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0
    """The largest batch that runs, where large requests are split; 0: ``max_batch_size``."""

    def __post_init__(self) -> None:
        """Refuse what TensorFlow Serving refuses when it loads a model.

        Raises:
            TFError: INVALID_ARGUMENT, in its words.
        """
        for wrong, words in (
            (
                self.num_batch_threads < 1,
                f"num_batch_threads must be positive; was {self.num_batch_threads}",
            ),
            (
                self.max_batch_size < 1,
                f"input_batch_size_limit must be positive; was {self.max_batch_size}",
            ),
            (
                self.batch_timeout_s < 0,
                "batch_timeout_micros must be non-negative; was "
                f"{round(self.batch_timeout_s * 1e6)}",
            ),
            (
                self.max_enqueued_batches < 1,
                f"max_enqueued_batches must be positive; was {self.max_enqueued_batches}",
            ),
            (
                self.batch_limit > self.max_batch_size,
                "When enable_large_batch_splitting is true, input_batch_size_limit must be greater "
                "than or equal to max_execution_batch_size.",
            ),
        ):
            if wrong:
                raise TFError(INVALID_ARGUMENT, words)
        self._check_allowed()

    def _check_allowed(self) -> None:
        allowed = self.allowed_batch_sizes
        if not allowed:
            return
        if any(second <= first for first, second in zip((0, *allowed), allowed, strict=False)):
            raise TFError(
                INVALID_ARGUMENT, "allowed_batch_sizes entries must be monotonically increasing"
            )
        # Where requests are split these differ: TensorFlow Serving's session asks for the one, its
        # server for the other.
        if allowed[-1] not in (self.batch_limit, self.max_batch_size):
            raise TFError(
                INVALID_ARGUMENT,
                "Last entry in allowed_batch_sizes must match max_batch_size; "
                f"last entry was {allowed[-1]}; expected {self.max_batch_size}",
            )

    @property
    def batch_limit(self) -> int:
        """The most rows of one run, padding apart."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size:
            return self.max_execution_batch_size
        return self.max_batch_size

    def padded(self, rows: int) -> int:
        """Give the size that a batch of so many rows runs with."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def from_proto(message: Any) -> BatchingOptions:
    """Read a ``BatchingParameters`` message; what it leaves out keeps its default.

    Raises:
        TFError: INVALID_ARGUMENT, in TensorFlow Serving's words.
    """
    given = {
        name: getattr(message, name).value
        for name in (
            "max_batch_size",
            "max_enqueued_batches",
            "num_batch_threads",
            "thread_pool_name",
            "enable_large_batch_splitting",
            "max_execution_batch_size",
        )
        if message.HasField(name)
    }
    if not given.get("enable_large_batch_splitting") and not given.get("max_enqueued_batches", 1):
        # TensorFlow Serving takes no queue at all for a queue of one batch.
        given["max_enqueued_batches"] = 1
    return BatchingOptions(
        batch_timeout_s=message.batch_timeout_micros.value / 1e6,
        allowed_batch_sizes=tuple(message.allowed_batch_sizes),
        pad_variable_length_inputs=message.pad_variable_length_inputs,
        **given,
    )


def read_batching(path: Path) -> BatchingOptions:
    """Read a file of ``BatchingParameters`` in protobuf's text form.

    Raises:
        InvalidSettings: a file that does not parse, or numbers that contradict each other.
    """
    message = read_message(path, BatchingParameters())
    try:
        return from_proto(message)
    except TFError as error:
        raise InvalidSettings(f"{path}: {error}") from error


def from_flags(file: str) -> BatchingOptions:
    """Give what ``--enable_batching`` asks for, with ``--batching_parameters_file`` or without.

    Raises:
        InvalidSettings: ``read_batching`` refuses the file.
    """
    if file:
        return read_batching(Path(file))
    return BatchingOptions(thread_pool_name="model_server_batch_threads")
