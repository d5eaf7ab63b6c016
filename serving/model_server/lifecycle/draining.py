"""Versions that leave: each is closed when its last request has left, beside everything else.

Below ``manager.py``, whose loading threads never wait for a request.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog

from relentless.serving.model_server.lifecycle.servable import Servable
from relentless.serving.model_server.runtime.capi import TFError

log = structlog.get_logger(__name__)

DRAIN_S = 30.0
CLOSING_S = 2.0
"""The longest that the sessions themselves may take to close when the server ends."""
THREADS = 4


class Drain:
    """Threads that wait for the last requests. Safe for concurrent use."""

    def __init__(self, seconds: float = DRAIN_S) -> None:
        self.seconds = seconds
        """How long is waited; a session that is still in use then closes with its last request."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="model-drain")
        self._lock = threading.Lock()
        self._pending: set[Future[None]] = set()
        self._all_closed = True

    def let_go(self, servable: Servable, ended: Callable[[], None] = lambda: None) -> None:
        """Close a version's session when it may be, then say so."""
        future = self._threads.submit(self._close, servable, ended)
        with self._lock:
            self._pending.add(future)
        future.add_done_callback(self._done)

    def pending(self) -> list[Future[None]]:
        """Give what is not closed yet."""
        with self._lock:
            return list(self._pending)

    def shutdown(self) -> bool:
        """Wait until everything is closed or given up, and tell whether everything is closed.

        A version that began to leave earlier is not waited for longer than those that leave now.
        """
        wait(self.pending(), self.seconds + CLOSING_S)
        self._threads.shutdown(wait=False)
        return self._all_closed and not self.pending()

    def _close(self, servable: Servable, ended: Callable[[], None]) -> None:
        try:
            if not servable.drain(self.seconds):
                self._all_closed = False
                log.error("version still in use", model=servable.name, version=servable.version)
        except TFError as error:
            log.error("version not closed", model=servable.name, error=str(error))
        ended()

    def _done(self, future: Future[None]) -> None:
        with self._lock:
            self._pending.discard(future)
