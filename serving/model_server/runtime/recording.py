"""What sessions run while somebody profiles; at other times nothing is kept.

``session.py`` above adds its runs; ``profiler.py`` starts, stops and reads.
"""

import threading
from typing import NamedTuple

from relentless.serving.model_server.codes import ALREADY_EXISTS
from relentless.serving.model_server.runtime.capi import TFError

MOST_RUNS = 100_000
MOST_BYTES = 64 << 20
"""Of TensorFlow's own records of runs."""


class Run(NamedTuple):
    """One run of a session; times are nanoseconds since the Unix epoch."""

    model: str
    """"name/version"."""
    thread: str
    begun_ns: int
    ended_ns: int
    fetches: tuple[str, ...]
    metadata: bytes
    """TensorFlow's ``RunMetadata``: when each operation ran. A session that runs in its caller's
    thread notes no operations, and this holds none."""


class Recording:
    """The runs since a moment. Safe for concurrent use."""

    def __init__(self, most: int = MOST_RUNS) -> None:
        self.runs: list[Run] = []
        self.left_out = 0
        """Runs that were not kept, for want of room."""
        self._most = most
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, run: Run) -> None:
        """Keep a run, if there is room."""
        with self._lock:
            if len(self.runs) >= self._most or self._bytes + len(run.metadata) > MOST_BYTES:
                self.left_out += 1
                return
            self._bytes += len(run.metadata)
            self.runs.append(run)


class Recorder:
    """One for a server: whether its sessions record, and where."""

    def __init__(self) -> None:
        self.now: Recording | None = None
        """Where runs that begin now are kept, if anywhere."""
        self._lock = threading.Lock()

    def start(self, most: int = MOST_RUNS) -> Recording:
        """Keep the runs from now on, the first ``most``.

        Raises:
            TFError: ALREADY_EXISTS, they are being kept for somebody else.
        """
        with self._lock:
            if self.now is not None:
                raise TFError(ALREADY_EXISTS, "Another profiling session is active.")
            self.now = Recording(min(most, MOST_RUNS))
            return self.now

    def stop(self) -> None:
        """Keep no more."""
        with self._lock:
            self.now = None
