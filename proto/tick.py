"""The 48-byte packed tick of the batched stream: ``!qIIdddq``, big-endian.

ns, symbol_id, conditions, price, bid, ask, volume. Prices are doubles: a tick is never rounded on
the way in. ``conditions`` is a bit field of ``Condition``; a zero bid or ask means no quote yet.
"""

import struct
from enum import IntFlag

import numpy as np
import numpy.typing as npt

from relentless.proto.errors import InvalidFrame

TICK_STRUCT = struct.Struct("!qIIdddq")
TICK_SIZE = 48
if TICK_STRUCT.size != TICK_SIZE:  # pragma: no cover - a broken platform
    raise ImportError(f"the tick frame is {TICK_STRUCT.size} bytes here, not {TICK_SIZE}")

TICK_DTYPE = np.dtype(
    [
        ("ts_event", ">i8"),
        ("symbol_id", ">u4"),
        ("conditions", ">u4"),
        ("price", ">f8"),
        ("bid", ">f8"),
        ("ask", ">f8"),
        ("volume", ">i8"),
    ]
)
MAX_TICKS_PER_BATCH = 65_536


class Condition(IntFlag):
    """What a tick is. A bit is never reused for another meaning."""

    NONE = 0
    SYNTHETIC = 1 << 0
    """Generated, not traded."""
    RECORDED = 1 << 1
    """Replayed from a recording."""
    EXTENDED_HOURS = 1 << 2
    NOT_LAST = 1 << 3
    """Counts for volume and does not set the last price."""


def unpack_ticks(buffer: bytes | bytearray | memoryview) -> npt.NDArray[np.void]:
    """View a buffer as ``TICK_DTYPE`` of shape [N], without a copy.

    Raises:
        InvalidFrame: empty, more than ``MAX_TICKS_PER_BATCH``, or not a whole number of ticks.

    """
    count, rest = divmod(len(buffer), TICK_SIZE)
    if rest or not 0 < count <= MAX_TICKS_PER_BATCH:
        raise InvalidFrame(
            f"a batch holds 1 to {MAX_TICKS_PER_BATCH} ticks of {TICK_SIZE} bytes, "
            f"not {len(buffer)} bytes"
        )
    return np.frombuffer(buffer, TICK_DTYPE)
