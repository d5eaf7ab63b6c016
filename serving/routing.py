"""Which label a tick goes to: a fixed share to the canary, by symbol and minute.

TensorFlow Serving splits no traffic, so the caller chooses the label, and a replay chooses alike.
A symbol and minute fall into the bucket ``crc32c(key) mod 10,000``, where ``key`` is the symbol
in UTF-8 followed by the minute since the Unix epoch as a signed 64-bit big-endian number. Buckets
below ``share * 10,000`` go to the canary: a larger share only adds to a smaller one.

:func:`label_for` says it for one tick; the tick pipeline keeps :func:`prefix` of each symbol and
calls the compiled :func:`bucket_after` for each tick.
"""

from typing import Literal

import google_crc32c
import numpy as np

from relentless.models.compiled import compiled
from relentless.serving.wire import crc_after

BUCKETS = 10_000
MINUTE_NS = 60_000_000_000

Label = Literal["stable", "canary"]


def bucket(symbol: str, minute: int) -> int:
    """Give the bucket in [0, 10,000) of a symbol in a minute since the Unix epoch."""
    value: int = google_crc32c.value(symbol.encode() + minute.to_bytes(8, "big", signed=True))
    return value % BUCKETS


def prefix(symbol: str) -> int:
    """Give the checksum of a symbol alone, which :func:`bucket_after` goes on from."""
    value: int = google_crc32c.value(symbol.encode())
    return value


@compiled
def bucket_after(symbol_prefix: int, minute: int) -> int:
    """Give ``bucket`` of the symbol with this prefix; compiled, for every tick."""
    crc = crc_after(np.uint32(symbol_prefix), np.uint64(minute))
    return np.int64(crc) % BUCKETS  # type: ignore[return-value]  # the compiler's own integer


def threshold(canary_share: float) -> int:
    """Give the number of buckets that go to the canary."""
    return round(canary_share * BUCKETS)


def label_for(symbol: str, ts_ns: int, canary_share: float) -> Label:
    """Give the label for a tick at ``ts_ns`` (ns since the Unix epoch)."""
    return "canary" if bucket(symbol, ts_ns // MINUTE_NS) < threshold(canary_share) else "stable"
