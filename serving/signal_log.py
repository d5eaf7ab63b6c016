"""Keeps every emitted signal in the predictor's journal, in blocks, off the hot path.

A reader of the ring with a place of its own: it never holds up the pipeline. Where the disk falls a
whole ring behind, the frames that were overwritten are counted as not kept.
"""

import asyncio

import structlog

from relentless.proto.errors import RelentlessError
from relentless.serving.ring import Frames, SignalRing
from relentless.store.ports import Journal, Kind, NewEntry

BLOCK = 4_096
"""Frames in one entry."""
EVERY_S = 0.25
_log = structlog.get_logger(__name__)


class SignalLog:
    """Writes ``Kind.SIGNALS`` entries: packed frames, key "session:first sequence"."""

    def __init__(self, ring: SignalRing, journal: Journal) -> None:
        self._ring = ring
        self._journal = journal
        self.place = 1
        self.missed = 0
        self._block: Frames | None = None

    async def run(self) -> None:
        """Keep what is new every quarter of a second, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.flush()
            except RelentlessError as error:
                _log.error("signals not kept yet", error=str(error))

    async def flush(self) -> None:
        """Keep everything up to the head.

        Raises:
            StorageError: the disk failed; the place stays, and the next call tries again.
        """
        ring = self._ring
        while self.place < ring.head:
            if self._block is None:
                if self.place < ring.first:
                    self.missed += ring.first - self.place
                    self.place = ring.first
                self._block = ring.read(self.place, BLOCK)
            frames = self._block
            entry = NewEntry(
                Kind.SIGNALS,
                frames.tobytes(),
                key=f"{ring.session}:{self.place}",
                principal="predictor",
                topic="signal",
                target=ring.session,
                known_at_ns=int.from_bytes(frames[-1, :8].tobytes(), "big"),
            )
            await self._journal.append([entry])
            self.place += len(frames)
            self._block = None
