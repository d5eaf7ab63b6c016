"""The gates that stand after the model: holds, size, collar, duplicates, rate, and the lease."""

import numpy as np
import pytest

from relentless.models.policy import PolicyLimits
from relentless.proto.signal import Action, iter_frames
from relentless.serving.gates import EmitLimits, Reason, new_bucket, refill

from .doubles import OPEN_NS, Formula, loose, new_lane, packed, ticks


def allow() -> int:
    return 0


def test_a_held_symbol_is_silent_and_the_others_are_not() -> None:
    lane = new_lane()
    lane.hold(3, True)
    output = lane.process(packed(ticks(80)), now_ns=OPEN_NS, refuse=allow)
    held = np.arange(80) % 8 == 2
    assert (output.reasons[held] == Reason.SYMBOL_HELD).all()
    assert (output.reasons[~held] == Reason.PASSED).all()
    lane.hold(3, False)
    later = packed(ticks(8, start_ns=OPEN_NS + 10**9))
    assert lane.process(later, now_ns=OPEN_NS, refuse=allow).passed == 8


@pytest.mark.parametrize("reason", [Reason.HALTED, Reason.NO_LEASE])
def test_without_a_lease_every_result_is_refused_with_that_reason(reason: Reason) -> None:
    output = new_lane().process(packed(ticks(20)), now_ns=OPEN_NS, refuse=lambda: int(reason))
    assert output.passed == 0
    assert set(output.reasons.tolist()) == {reason}
    assert {s.action for s in iter_frames(output.frames.tobytes())} == {Action.HOLD}


def test_a_target_outside_the_collar_is_refused() -> None:
    lane = new_lane(limits=EmitLimits(1.0, 1e-6))
    output = lane.process(packed(ticks(200)), now_ns=OPEN_NS, refuse=allow)
    acted = output.reasons == Reason.COLLAR
    assert acted.any()
    assert {s.action for s in iter_frames(output.emitted().tobytes())} == {Action.HOLD}


def test_a_size_beyond_the_limit_is_refused_whatever_the_policy_says() -> None:
    generous = PolicyLimits(max_position=1.0, target_volatility=1e6)
    lane = new_lane(limits=EmitLimits(0.05, 10.0), policy=generous)
    output = lane.process(packed(ticks(800)), now_ns=OPEN_NS, refuse=allow)
    assert (output.reasons == Reason.SIZE).any()
    assert all(abs(s.position_size) <= 0.05 for s in iter_frames(output.emitted().tobytes()))


def test_the_same_order_for_the_same_event_is_sent_once() -> None:
    lane = new_lane(limits=loose())
    rows = ticks(2_000)
    rows["ts_event"] = OPEN_NS + (np.arange(2_000) // 80) * 1_000_000  # ten ticks of each at once
    output = lane.process(packed(rows), now_ns=OPEN_NS, refuse=allow)
    orders = [s for s in iter_frames(output.emitted().tobytes()) if s.action is not Action.HOLD]
    assert (output.reasons == Reason.DUPLICATE).any()
    last: dict[int, tuple[int, Action]] = {}
    for order in orders:
        assert last.get(order.symbol_id) != (order.timestamp, order.action)
        last[order.symbol_id] = order.timestamp, order.action


def test_the_rate_is_limited_and_comes_back_with_time() -> None:
    bucket = new_bucket(1_000)
    refill(bucket, 10**9)
    assert bucket[0] == 100.0  # a burst of a tenth of a second
    bucket[0] = 0.0
    refill(bucket, 10**9 + 50_000_000)
    assert bucket[0] == pytest.approx(50.0)
    lane = new_lane(signals_per_s=100)
    output = lane.process(packed(ticks(500)), now_ns=OPEN_NS, refuse=allow)
    assert output.passed <= 10 + 100  # the burst, and what a second would add
    assert (output.reasons == Reason.RATE).sum() == 500 - output.passed
    sequences = [s.sequence for s in iter_frames(output.frames.tobytes())]
    assert max(sequences) == 0  # nothing is numbered where no first sequence is given


def test_what_was_refused_takes_no_sequence() -> None:
    lane = new_lane()
    lane.hold(1, True)
    output = lane.process(packed(ticks(80)), now_ns=OPEN_NS, refuse=allow, first_sequence=501)
    assert [s.sequence for s in iter_frames(output.emitted().tobytes())] == list(range(501, 571))


def test_every_reason_is_counted() -> None:
    lane = new_lane(Formula(), warm=False)
    lane.process(packed(ticks(80)), now_ns=OPEN_NS, refuse=allow)
    assert lane.counts.refused() == {"cold": 80}
    assert lane.counts.passed == 0
