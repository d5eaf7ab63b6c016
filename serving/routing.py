"""Which label a tick goes to: a fixed share to the canary, by symbol and minute.

TensorFlow Serving splits no traffic, so the caller chooses the label, and a replay chooses alike.
A symbol and minute fall into the bucket ``crc32c(key) mod 10,000``, where ``key`` is the symbol
in UTF-8 followed by the minute since the Unix epoch as a signed 64-bit big-endian number. Buckets
below ``share * 10,000`` go to the canary: a larger share only adds to a smaller one.
"""

from collections.abc import Sequence
from typing import Literal

import google_crc32c
import numpy as np
import numpy.typing as npt

BUCKETS = 10_000
MINUTE_NS = 60_000_000_000

Label = Literal["stable", "canary"]


def bucket(symbol: str, minute: int) -> int:
    """Give the bucket in [0, 10,000) of a symbol in a minute since the Unix epoch."""
    value: int = google_crc32c.value(symbol.encode() + minute.to_bytes(8, "big", signed=True))
    return value % BUCKETS


def threshold(canary_share: float) -> int:
    """Give the number of buckets that go to the canary."""
    return int(canary_share * BUCKETS)


def label_for(symbol: str, ts_ns: int, canary_share: float) -> Label:
    """Give the label for a tick at ``ts_ns`` (ns since the Unix epoch)."""
    return "canary" if bucket(symbol, ts_ns // MINUTE_NS) < threshold(canary_share) else "stable"


class Router:
    """The same for arrays of ticks; each symbol and minute is hashed once while the minute lasts.

    Not safe for concurrent use.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        """Take the symbols; ``symbols[i]`` is symbol number i."""
        self._symbols = list(symbols)
        self._minutes = np.full(len(symbols), np.iinfo(np.int64).min, np.int64)
        self._buckets = np.zeros(len(symbols), np.int64)

    def bucket_of(self, number: int, minute: int) -> int:
        """Give the bucket of symbol number ``number`` in a minute."""
        if self._minutes[number] != minute:
            self._buckets[number] = bucket(self._symbols[number], minute)
            self._minutes[number] = minute
        return int(self._buckets[number])

    def canary(
        self, numbers: npt.NDArray[np.integer], ts_ns: npt.NDArray[np.int64], canary_share: float
    ) -> npt.NDArray[np.bool_]:
        """Say for each tick whether the canary takes it; arrays of shape [N]."""
        limit = threshold(canary_share)
        if limit == 0:
            return np.zeros(len(numbers), np.bool_)
        minutes = ts_ns // MINUTE_NS
        chosen: npt.NDArray[np.bool_] = self._buckets[numbers] < limit
        stale = np.flatnonzero(self._minutes[numbers] != minutes)
        for index in stale:
            chosen[index] = self.bucket_of(int(numbers[index]), int(minutes[index])) < limit
        return chosen
