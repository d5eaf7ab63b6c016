"""The caller's deadline, for whatever waits on its behalf below the transport.

gRPC and REST set it around a call; only a queue reads it. It belongs to the thread of the call.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Let the call inside end within so many seconds; None: it has no limit of its own."""
    token = _DEADLINE.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def deadline() -> float | None:
    """Give the end of the running call on the monotonic clock, or None."""
    return _DEADLINE.get()
