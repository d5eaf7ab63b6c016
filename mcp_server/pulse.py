"""A signal that many may wait for and that is given again and again."""

import asyncio


class Pulse:
    """Wakes everybody who took the next beat before it came. Lives on one event loop."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None
        self.closed = False

    def next(self) -> asyncio.Future[None]:
        """Give something to await until the next beat. Take it before looking at the state."""
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_future()
            if self.closed:
                self._next.set_result(None)
        return _shield(self._next)

    def beat(self) -> None:
        """Wake those who wait."""
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    def close(self) -> None:
        """Wake those who wait, and let nobody wait again."""
        self.closed = True
        self.beat()


def _shield(shared: asyncio.Future[None]) -> asyncio.Future[None]:
    """Give a future whose cancellation leaves the shared one alone."""
    return asyncio.shield(shared)
