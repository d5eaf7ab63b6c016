"""What the model saw and said for the last signals of a session: the grounds of each.

Beside ``ring.SignalRing``, which keeps the frames: one writer (the live path, after the frames have
left), readers in the same thread, and a fixed number of rows.
"""

from typing import Final, NamedTuple

import numpy as np

from relentless.models.features import FEATURES
from relentless.serving.ports import HEADS, Array

CAPACITY: Final = 32_768
"""Signals whose grounds are kept: 4.7 MB."""


class Grounds(NamedTuple):
    """The grounds of one signal."""

    features: Array
    """Shape [F]: the tick features, in the order of ``feature_spec.TICK_FEATURES``."""
    heads: Array
    """Shape [4]: what the model said, in the order of ``ports.HEADS``."""


class GroundsRing:
    """Rows by sequence, the newest ``capacity`` of them."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._features = np.zeros((capacity, FEATURES), np.float32)
        self._heads = np.zeros((capacity, len(HEADS)), np.float32)
        self._next = self._first = 1

    def append(self, first: int, features: Array, heads: Array) -> None:
        """Take the rows of signals that are numbered from ``first`` on, shapes [N, F], [N, 4].

        A jump in the numbers forgets what was before it.
        """
        count = len(features)
        if first != self._next:
            self._first = first
        self._next = first + count
        if count > self._capacity:
            past = count - self._capacity
            features, heads = features[past:], heads[past:]
            first, count = first + past, count - past
        at = first % self._capacity
        until = min(count, self._capacity - at)
        self._write(at, features[:until], heads[:until])
        if until < count:
            self._write(0, features[until:], heads[until:])

    def find(self, sequence: int) -> Grounds | None:
        """Give a copy of one signal's grounds; None where they are not kept, or no longer."""
        if not max(self._first, self._next - self._capacity) <= sequence < self._next:
            return None
        at = sequence % self._capacity
        return Grounds(self._features[at].copy(), self._heads[at].copy())

    def _write(self, at: int, features: Array, heads: Array) -> None:
        upto = at + len(features)
        self._features[at:upto] = features
        self._heads[at:upto] = heads
