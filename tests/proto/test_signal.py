"""The 64-byte signal: every valid one survives the wire, and every damage to it is noticed."""

import contextlib
import itertools
import struct

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.proto.errors import InvalidFrame
from relentless.proto.signal import (
    SIGNAL_DTYPE,
    SIGNAL_SIZE,
    Action,
    Flag,
    Signal,
    iter_frames,
    seal,
)

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
signals = st.builds(
    Signal,
    timestamp=st.integers(0, 2**64 - 1),
    symbol_id=st.integers(0, 2**32 - 1),
    action=st.sampled_from(Action),
    confidence=floats,
    price_target=floats,
    stop_loss=floats,
    position_size=floats,
    risk_score=st.integers(0, 255),
    urgency=st.integers(0, 255),
    strategy_id=st.integers(0, 2**16 - 1),
    sequence=st.integers(0, 2**64 - 1),
    context_id=st.integers(0, 2**64 - 1),
    model_version=st.integers(0, 2**32 - 1),
    flags=st.integers(0, sum(Flag)).map(Flag),
)

EXAMPLE = Signal(
    timestamp=1_381_152_600_123_456_789,
    symbol_id=7,
    action=Action.SELL,
    confidence=0.625,
    price_target=181.25,
    stop_loss=183.5,
    position_size=-0.375,
    risk_score=200,
    urgency=17,
    strategy_id=1,
    sequence=0x0102030405060708,
    context_id=0xF1E2D3C4B5A69788,
    model_version=2,
    flags=Flag.CANARY | Flag.SYNTHETIC,
)


@settings(deadline=None)
@given(signals)
def test_every_signal_survives_the_wire(signal: Signal) -> None:
    frame = signal.pack()
    assert len(frame) == SIGNAL_SIZE
    assert Signal.unpack(frame) == signal
    assert Signal.unpack(frame).pack() == frame


def test_the_bytes_lie_where_the_table_says() -> None:
    frame = EXAMPLE.pack()
    assert int.from_bytes(frame[0:8], "big") == EXAMPLE.timestamp
    assert int.from_bytes(frame[8:12], "big") == EXAMPLE.symbol_id
    assert int.from_bytes(frame[12:16], "big") == 2
    assert struct.unpack("!ffff", frame[16:32]) == (0.625, 181.25, 183.5, -0.375)
    assert (frame[32], frame[33]) == (200, 17)
    assert frame[34:38] == b"\x00\x01\x00\x00"
    assert frame[38:46] == bytes(range(1, 9))
    assert frame[46:54] == bytes.fromhex("f1e2d3c4b5a69788")
    assert frame[54:60] == b"\x00\x00\x00\x02\x00\x22"
    assert int.from_bytes(frame[60:64], "big") == google_crc32c.value(frame[:60])


@pytest.mark.promise("P8")
def test_every_one_and_two_bit_flip_is_detected() -> None:
    frame = EXAMPLE.pack()
    whole = int.from_bytes(frame, "big")
    bits = range(8 * SIGNAL_SIZE)
    flips = itertools.chain(itertools.combinations(bits, 1), itertools.combinations(bits, 2))
    undetected = 0
    for flip in flips:
        damaged = whole
        for bit in flip:
            damaged ^= 1 << bit
        raw = damaged.to_bytes(SIGNAL_SIZE, "big")
        undetected += google_crc32c.value(raw[:60]) == int.from_bytes(raw[60:], "big")
    assert undetected == 0  # of 512 and 130,816


@pytest.mark.promise("P8")
@settings(deadline=None)
@given(signals, st.sets(st.integers(0, 8 * SIGNAL_SIZE - 1), min_size=1, max_size=5))
def test_a_damaged_frame_is_never_read(signal: Signal, flips: set[int]) -> None:
    damaged = int.from_bytes(signal.pack(), "big")
    for bit in flips:
        damaged ^= 1 << bit
    with pytest.raises(InvalidFrame):
        Signal.unpack(damaged.to_bytes(SIGNAL_SIZE, "big"))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_signal_or_an_invalid_frame(raw: bytes) -> None:
    with contextlib.suppress(InvalidFrame):
        assert Signal.unpack(raw).pack() == raw


@pytest.mark.parametrize("name", ["confidence", "price_target", "stop_loss", "position_size"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_float_that_is_not_finite_is_neither_sent_nor_read(name: str, value: float) -> None:
    with pytest.raises(InvalidFrame):
        EXAMPLE._replace(**{name: value}).pack()
    frames = np.frombuffer(EXAMPLE.pack(), SIGNAL_DTYPE).copy()
    frames[name] = value
    seal(frames)
    with pytest.raises(InvalidFrame, match="not finite"):
        Signal.unpack(frames.tobytes())


@pytest.mark.parametrize(("field", "value"), [("action", 3), ("flags", 1 << 7), ("reserved", 1)])
def test_what_is_not_defined_yet_is_refused(field: str, value: int) -> None:
    frames = np.frombuffer(EXAMPLE.pack(), SIGNAL_DTYPE).copy()
    frames[field] = value
    seal(frames)
    with pytest.raises(InvalidFrame, match="unknown here"):
        Signal.unpack(frames.tobytes())


@settings(deadline=None)
@given(st.lists(signals, max_size=20))
def test_a_batch_is_the_frames_one_after_the_other(batch: list[Signal]) -> None:
    assert list(iter_frames(b"".join(s.pack() for s in batch))) == batch


def test_a_buffer_that_ends_inside_a_frame_is_refused() -> None:
    with pytest.raises(InvalidFrame, match="whole number"):
        list(iter_frames(EXAMPLE.pack()[:-1]))
