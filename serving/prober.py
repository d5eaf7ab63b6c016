"""Asks servers that were set aside whether they are well again, on a thread of its own.

No caller's request is spent on it: a server that hangs keeps the prober waiting and nobody else.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from relentless.serving.sites import Endpoint, Sites

T = TypeVar("T")

JOIN_S = 5.0


class Prober(Generic[T]):
    """Sleeps while every server is up. The thread starts with the first server set aside."""

    def __init__(
        self,
        sites: Sites[T],
        probe: Callable[[Endpoint[T]], bool],
        returned: Callable[[Endpoint[T]], None],
    ) -> None:
        self._sites = sites
        self._probe = probe
        self._returned = returned
        self._news = threading.Event()
        self._ended = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Look again: a server was set aside."""
        with self._lock:
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(
                    target=self._run, name="model-server-prober", daemon=True
                )
                self._thread.start()
        self._news.set()

    def close(self) -> None:
        """End the thread; a probe that is out has to end first."""
        with self._lock:
            self._ended = True
            thread = self._thread
        self._news.set()
        if thread is not None:
            thread.join(JOIN_S)

    def _run(self) -> None:
        while not self._ended:
            ready, pause = self._sites.due()
            for endpoint in ready:
                if self._ended:
                    return
                if self._sites.probed(endpoint, self._probe(endpoint)):
                    self._returned(endpoint)
            if not ready:
                self._news.wait(pause)
                self._news.clear()
