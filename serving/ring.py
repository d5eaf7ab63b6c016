"""The last signals of this session, by sequence: what feed, risk stream and journal read from.

One writer (the pipeline) and any number of readers, each with a place of its own, in one thread. A
reader that falls behind by more than the ring's size has lost frames and is told which.
"""

import asyncio

import numpy as np
import numpy.typing as npt

from relentless.proto.signal import SIGNAL_SIZE

Frames = npt.NDArray[np.uint8]


class SignalRing:
    """Frames of one session. ``head`` is the sequence that the next one will have (from 1)."""

    def __init__(self, capacity: int, session: str) -> None:
        self.session = session
        self.head = 1
        self._capacity = capacity
        self._frames = np.zeros((capacity, SIGNAL_SIZE), np.uint8)
        self._more: asyncio.Event | None = None

    @property
    def first(self) -> int:
        """The oldest sequence that is still here; ``head`` where there is none."""
        return max(1, self.head - self._capacity)

    def append(self, frames: Frames) -> None:
        """Take frames of shape [N, 64] that are numbered from ``head`` on."""
        if len(frames) > self._capacity:
            self.head += len(frames) - self._capacity
            frames = frames[-self._capacity :]
        count = len(frames)
        at = self.head % self._capacity
        until = min(count, self._capacity - at)
        self._frames[at : at + until] = frames[:until]
        if until < count:
            self._frames[: count - until] = frames[until:]
        self.head += count
        if self._more is not None:
            self._more.set()
            self._more = None

    def read(self, first: int, limit: int) -> Frames:
        """Give a copy of up to ``limit`` frames from sequence ``first`` on, shape [<= limit, 64].

        ``first`` must not lie before ``self.first``.
        """
        count = max(0, min(limit, self.head - first))
        at = first % self._capacity
        until = min(count, self._capacity - at)
        if until == count:
            return self._frames[at : at + count].copy()
        return np.concatenate([self._frames[at:], self._frames[: count - until]])

    async def wait(self, after: int) -> None:
        """Return once ``head`` is past ``after``."""
        while self.head <= after:
            if self._more is None:
                self._more = asyncio.Event()
            await self._more.wait()
