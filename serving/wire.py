"""Wire frames in bulk: packed ticks to native columns, signal columns to sealed 64-byte frames.

Compiled loops over whole batches, for the tick pipeline alone. ``proto.tick`` and ``proto.signal``
define the same bytes one frame at a time and are the reference that the tests hold this against.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from relentless.models.compiled import compiled
from relentless.proto.signal import SIGNAL_SIZE

U1 = npt.NDArray[np.uint8]
U2 = npt.NDArray[np.uint16]
U4 = npt.NDArray[np.uint32]
U8 = npt.NDArray[np.uint64]
I8 = npt.NDArray[np.int64]
F4 = npt.NDArray[np.float32]

FRAME_WORDS = SIGNAL_SIZE // 4
_CASTAGNOLI = 0x82F63B78
"""The reflected polynomial of CRC-32C (Castagnoli, RFC 3720)."""


def _tables() -> U4:
    """Give the four slicing tables, [4, 256]: table k advances a byte by k more zero bytes."""
    table = np.zeros((4, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_CASTAGNOLI if value & 1 else 0)
        table[0, byte] = value
    for k in range(1, 4):
        table[k] = (table[k - 1] >> 8) ^ table[0, table[k - 1] & 0xFF]
    return table


_CRC = _tables()


@compiled
def _swap4(word: Any) -> np.uint32:
    """Reverse the bytes of a 32-bit word."""
    w = np.uint32(word)
    return np.uint32(
        (w >> np.uint32(24))
        | ((w >> np.uint32(8)) & np.uint32(0xFF00))
        | ((w << np.uint32(8)) & np.uint32(0xFF0000))
        | (w << np.uint32(24))
    )


@compiled
def _swap8(word: Any) -> np.uint64:
    """Reverse the bytes of a 64-bit word."""
    w = np.uint64(word)
    low = np.uint64(_swap4(np.uint32(w & np.uint64(0xFFFFFFFF))))
    high = np.uint64(_swap4(np.uint32(w >> np.uint64(32))))
    return np.uint64((low << np.uint64(32)) | high)


@compiled
def _crc_words(row: U4) -> np.uint32:
    """Give the CRC-32C of the first fifteen little-endian words, four bytes a step (slicing)."""
    crc = np.uint32(0xFFFFFFFF)
    for k in range(15):
        crc ^= row[k]
        crc = (
            _CRC[3, crc & np.uint32(0xFF)]
            ^ _CRC[2, (crc >> np.uint32(8)) & np.uint32(0xFF)]
            ^ _CRC[1, (crc >> np.uint32(16)) & np.uint32(0xFF)]
            ^ _CRC[0, crc >> np.uint32(24)]
        )
    return np.uint32(~crc)


@compiled
def crc_after(before: np.uint32, number: np.uint64) -> np.uint32:
    """Go on from a CRC-32C with a number's 8 big-endian bytes."""
    crc = np.uint32(~before)
    for k in range(8):
        byte = np.uint32((number >> np.uint64(56 - 8 * k)) & np.uint64(0xFF))
        crc = _CRC[0, (crc ^ byte) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return np.uint32(~crc)


@compiled
def decode_ticks(words: U8, columns: U8, symbol: I8, conditions: U4) -> None:
    """Turn packed ticks into native columns.

    Args:
        words: the bytes of [N] ticks as shape [N, 6].
        columns: shape [5, >= N], written: ns, price, bid, ask, volume as raw 64-bit words (view the
            rows as i8 or f8).
        symbol: shape [>= N], written.
        conditions: shape [>= N], written.
    """
    for i in range(words.shape[0]):
        columns[0, i] = _swap8(words[i, 0])
        pair = _swap8(words[i, 1])
        symbol[i] = np.int64(pair >> np.uint64(32))
        conditions[i] = np.uint32(pair & np.uint64(0xFFFFFFFF))
        columns[1, i] = _swap8(words[i, 2])
        columns[2, i] = _swap8(words[i, 3])
        columns[3, i] = _swap8(words[i, 4])
        columns[4, i] = _swap8(words[i, 5])


@compiled
def encode_signal(
    row: U4,
    ts: Any,
    symbol: Any,
    action: int,
    confidence: float,
    target: float,
    stop: float,
    size: float,
    risk: int,
    urgency: int,
    strategy: int,
    sequence: Any,
    context_id: Any,
    version: Any,
    flags: int,
) -> None:
    """Write one sealed frame to ``row``, its 64 bytes as shape [16].

    The arguments are the fields of ``proto.signal.Signal``; whole numbers are cut to their places.
    """
    m16 = np.uint64(0xFFFF)
    m32 = np.uint64(0xFFFFFFFF)
    time = np.uint64(ts)
    order = np.uint64(sequence)
    context = np.uint64(context_id)
    model = np.uint64(version)
    floats = row.view(np.float32)
    floats[4] = confidence
    floats[5] = target
    floats[6] = stop
    floats[7] = size
    row[0] = _swap4(time >> np.uint64(32))
    row[1] = _swap4(time & m32)
    row[2] = _swap4(symbol)
    row[3] = _swap4(action)
    for k in range(4, 8):
        row[k] = _swap4(row[k])
    row[8] = _swap4((risk << 24) | (urgency << 16) | strategy)
    row[9] = _swap4(order >> np.uint64(48))
    row[10] = _swap4((order >> np.uint64(16)) & m32)
    row[11] = _swap4(((order & m16) << np.uint64(16)) | (context >> np.uint64(48)))
    row[12] = _swap4((context >> np.uint64(16)) & m32)
    row[13] = _swap4(((context & m16) << np.uint64(16)) | (model >> np.uint64(16)))
    row[14] = _swap4(((model & m16) << np.uint64(16)) | np.uint64(flags))
    row[15] = _swap4(_crc_words(row))


@compiled
def mark_replayed(frames: U4, mask: int) -> None:
    """Set flag bits of sealed frames, shape [N, 16], and seal them again, in place."""
    for i in range(frames.shape[0]):
        frames[i, 14] = _swap4(_swap4(frames[i, 14]) | np.uint32(mask))
        frames[i, 15] = _swap4(_crc_words(frames[i]))


@compiled
def checksums(frames: U4) -> U4:
    """Give the CRC-32C of bytes 0-59 of each frame, shape [N, 16] in, [N] out."""
    out = np.empty(frames.shape[0], np.uint32)
    for i in range(frames.shape[0]):
        out[i] = _crc_words(frames[i])
    return out
