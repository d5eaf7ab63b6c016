"""Bulk codecs against the one-frame codecs that define the bytes."""

import google_crc32c
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.proto.signal import Action, Flag, Signal, iter_frames
from relentless.proto.tick import TICK_STRUCT
from relentless.serving import wire

from .doubles import frames, packed, ticks


def test_the_checksum_is_the_reference_library_s() -> None:
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**32, (500, 16), np.uint32)
    expected = [google_crc32c.value(row.tobytes()[:60]) for row in words]
    assert wire.checksums(words).tolist() == expected


def test_ticks_are_decoded_as_the_struct_says() -> None:
    rows = ticks(100)
    columns = np.zeros((5, 128), np.uint64)
    symbols, conditions = np.zeros(128, np.int64), np.zeros(128, np.uint32)
    wire.decode_ticks(packed(rows).view(np.uint64), columns, symbols, conditions)
    for i, raw in enumerate(packed(rows)):
        ts, symbol, condition, price, bid, ask, volume = TICK_STRUCT.unpack(raw.tobytes())
        assert (columns[0].view(np.int64)[i], symbols[i], conditions[i]) == (ts, symbol, condition)
        assert columns[1:4].view(np.float64)[:, i].tolist() == [price, bid, ask]
        assert columns[4].view(np.int64)[i] == volume


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from(Action),
    st.tuples(floats, floats, floats, floats),
    st.tuples(st.integers(0, 255), st.integers(0, 255)),
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, sum(Flag)),
)
def test_a_frame_is_encoded_as_the_codec_says(
    ts: int,
    symbol: int,
    action: Action,
    numbers: tuple[float, float, float, float],
    scores: tuple[int, int],
    sequence: int,
    context_id: int,
    version: int,
    flags: int,
) -> None:
    out = np.zeros(16, np.uint32)
    wire.encode_signal(
        out,
        np.uint64(ts),
        symbol,
        int(action),
        *numbers,
        *scores,
        7,
        sequence,
        np.uint64(context_id),
        version,
        flags,
    )
    expected = Signal(
        ts, symbol, action, *numbers, *scores, 7, sequence, context_id, version, Flag(flags)
    )
    assert out.tobytes() == expected.pack()


def test_a_replayed_frame_says_so_and_its_checksum_holds() -> None:
    block = frames(1, 50).copy()
    wire.mark_replayed(block.view(np.uint32), int(Flag.REPLAY))
    for n, signal in enumerate(iter_frames(block.tobytes()), start=1):
        assert (signal.sequence, signal.flags) == (n, Flag.REPLAY)
