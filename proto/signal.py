"""The 64-byte trading signal: its codec, one frame or many at a time.

Big-endian, ``!QIIffffBBHHQQIHI``; bytes 60-63 are the CRC-32C of bytes 0-59. ``Signal`` is one
frame as values; ``SIGNAL_DTYPE`` is the same frame for numpy, so that a batch is one array and its
bytes go to the wire unchanged.
"""

import math
import struct
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt

from relentless.proto.errors import InvalidFrame

SIGNAL_STRUCT = struct.Struct("!QIIffffBBHHQQIHI")
SIGNAL_SIZE = 64
_CRC_AT = 60
if SIGNAL_STRUCT.size != SIGNAL_SIZE:  # pragma: no cover - a broken platform
    raise ImportError(f"the signal frame is {SIGNAL_STRUCT.size} bytes here, not {SIGNAL_SIZE}")

SIGNAL_DTYPE = np.dtype(
    [
        ("timestamp", ">u8"),
        ("symbol_id", ">u4"),
        ("action", ">u4"),
        ("confidence", ">f4"),
        ("price_target", ">f4"),
        ("stop_loss", ">f4"),
        ("position_size", ">f4"),
        ("risk_score", "u1"),
        ("urgency", "u1"),
        ("strategy_id", ">u2"),
        ("reserved", ">u2"),
        ("sequence", ">u8"),
        ("context_id", ">u8"),
        ("model_version", ">u4"),
        ("flags", ">u2"),
        ("crc32c", ">u4"),
    ]
)
assert SIGNAL_DTYPE.itemsize == SIGNAL_SIZE  # noqa: S101 - a fact of the line above


class Action(IntEnum):
    """What the signal says to do. A value is never reused for another meaning."""

    HOLD = 0
    BUY = 1
    SELL = 2


class Flag(IntFlag):
    """Bits of ``flags``. A bit is never reused for another meaning."""

    NONE = 0
    STALE = 1 << 0
    CANARY = 1 << 1
    HALTED = 1 << 2  # heartbeats only
    REPLAY = 1 << 3
    HEARTBEAT = 1 << 4
    SYNTHETIC = 1 << 5
    FAILOVER = 1 << 6


_KNOWN_FLAGS = sum(Flag)


class Signal(NamedTuple):
    """One frame, without its checksum and its reserved bytes."""

    timestamp: int
    """ns since the Unix epoch, of the tick."""
    symbol_id: int
    action: Action
    confidence: float
    """In [0, 1]."""
    price_target: float
    stop_loss: float
    position_size: float
    """Signed fraction of the limit, in [-1, 1]."""
    risk_score: int
    """0-255."""
    urgency: int
    """0-255."""
    strategy_id: int
    sequence: int
    """Monotone per feed session; 0 is not on a feed."""
    context_id: int
    """The first 8 bytes of the daily context's digest, big-endian."""
    model_version: int
    flags: Flag = Flag.NONE

    def pack(self) -> bytes:
        """Give the 64 bytes.

        Raises:
            InvalidFrame: a field does not fit its place, or a float is not finite.

        """
        for name in ("confidence", "price_target", "stop_loss", "position_size"):
            if not math.isfinite(getattr(self, name)):
                raise InvalidFrame(f"signal field {name} is not finite; such a signal is not sent")
        try:
            frame = SIGNAL_STRUCT.pack(*self[:10], 0, *self[10:], 0)
        except (struct.error, OverflowError) as error:
            raise InvalidFrame(f"signal field out of range: {error}") from error
        crc: int = google_crc32c.value(frame[:_CRC_AT])
        return frame[:_CRC_AT] + crc.to_bytes(4, "big")

    @classmethod
    def unpack(cls, frame: bytes | bytearray | memoryview) -> "Signal":
        """Read 64 bytes, checksum first.

        Raises:
            InvalidFrame: wrong length, checksum, action or flag, a reserved bit, or a float that is
                not finite.

        """
        if len(frame) != SIGNAL_SIZE:
            raise InvalidFrame(f"a signal frame is {SIGNAL_SIZE} bytes, not {len(frame)}")
        raw = bytes(frame)
        fields = SIGNAL_STRUCT.unpack(raw)
        if google_crc32c.value(raw[:_CRC_AT]) != fields[-1]:
            raise InvalidFrame("signal frame checksum does not match; drop it and ask for a replay")
        *head, reserved, sequence, context_id, model_version, flags, _crc = fields
        if head[2] > Action.SELL or flags & ~_KNOWN_FLAGS or reserved:
            raise InvalidFrame(
                "signal frame holds an action, a flag or a reserved bit unknown here"
            )
        if not all(math.isfinite(value) for value in head[3:7]):
            raise InvalidFrame("signal frame holds a float that is not finite")
        head[2] = Action(head[2])
        return cls._make((*head, sequence, context_id, model_version, Flag(flags)))


def seal(frames: npt.NDArray[np.void]) -> None:
    """Write the checksum of every frame of a ``SIGNAL_DTYPE`` array of shape [N], in place."""
    raw = frames.view(np.uint8).reshape(-1, SIGNAL_SIZE)
    for row, frame in zip(raw, frames, strict=True):
        frame["crc32c"] = google_crc32c.value(row[:_CRC_AT].tobytes())


def iter_frames(buffer: bytes | memoryview) -> Iterator[Signal]:
    """Read a buffer of whole frames.

    Raises:
        InvalidFrame: the length is not a multiple of 64, or a frame is bad.

    """
    if len(buffer) % SIGNAL_SIZE:
        raise InvalidFrame(f"{len(buffer)} bytes is not a whole number of 64-byte frames")
    for at in range(0, len(buffer), SIGNAL_SIZE):
        yield Signal.unpack(buffer[at : at + SIGNAL_SIZE])
