"""The 48-byte packed tick."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.proto.errors import InvalidFrame
from relentless.proto.tick import (
    MAX_TICKS_PER_BATCH,
    TICK_DTYPE,
    TICK_SIZE,
    TICK_STRUCT,
    unpack_ticks,
)

rows = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.floats(allow_nan=False),
        st.floats(allow_nan=False),
        st.floats(allow_nan=False),
        st.integers(-(2**63), 2**63 - 1),
    ),
    min_size=1,
    max_size=30,
)


@settings(deadline=None)
@given(rows)
def test_every_batch_survives_the_wire(ticks: list[tuple[float, ...]]) -> None:
    packed = b"".join(TICK_STRUCT.pack(*tick) for tick in ticks)
    assert [tuple(row) for row in unpack_ticks(packed).tolist()] == ticks
    assert unpack_ticks(packed).tobytes() == packed


def test_the_bytes_lie_where_the_table_says() -> None:
    packed = TICK_STRUCT.pack(-2, 3, 9, 181.25, 181.0, 181.5, 400)
    assert struct.unpack(">q", packed[0:8]) == (-2,)
    assert packed[8:16] == b"\x00\x00\x00\x03\x00\x00\x00\x09"
    assert struct.unpack(">ddd", packed[16:40]) == (181.25, 181.0, 181.5)
    assert int.from_bytes(packed[40:48], "big") == 400


@settings(deadline=None)
@given(st.binary(max_size=4 * TICK_SIZE))
def test_only_whole_ticks_are_read(raw: bytes) -> None:
    if raw and len(raw) % TICK_SIZE == 0:
        assert len(unpack_ticks(raw)) == len(raw) // TICK_SIZE
    else:
        with pytest.raises(InvalidFrame):
            unpack_ticks(raw)


def test_a_batch_is_bounded() -> None:
    assert len(unpack_ticks(bytes(MAX_TICKS_PER_BATCH * TICK_SIZE))) == MAX_TICKS_PER_BATCH
    with pytest.raises(InvalidFrame):
        unpack_ticks(bytes((MAX_TICKS_PER_BATCH + 1) * TICK_SIZE))


def test_reading_copies_nothing() -> None:
    packed = bytes(3 * TICK_SIZE)
    assert not unpack_ticks(packed).flags.owndata
    assert unpack_ticks(packed).dtype == np.dtype(TICK_DTYPE)
