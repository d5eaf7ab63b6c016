"""The tick pipeline: one sealed result for each tick, the same in every batching."""

import numpy as np
import pytest

from relentless.models import features
from relentless.models.levels import reference_price
from relentless.proto.errors import ModelInvalid
from relentless.proto.signal import Action, Flag, Signal, iter_frames
from relentless.proto.tick import Condition
from relentless.serving.gates import Reason
from relentless.serving.pipeline import CAPACITY, Lane, Output, activate
from relentless.serving.ports import Array, Embedded
from relentless.serving.routing import MINUTE_NS

from .doubles import OPEN_NS, Formula, context, loose, new_lane, packed, ticks


def allow() -> int:
    return 0


def run(lane: Lane, rows: np.ndarray, size: int = CAPACITY, first: int = 1) -> list[Signal]:
    """Give every result, taking the ticks in steps of ``size``."""
    results: list[Signal] = []
    for at in range(0, len(rows), size):
        output = lane.process(
            packed(rows[at : at + size]), now_ns=OPEN_NS, refuse=allow, first_sequence=first
        )
        first += output.passed
        results += iter_frames(output.frames.tobytes())
    return results


def step(lane: Lane, rows: np.ndarray) -> Output:
    return lane.process(packed(rows), now_ns=OPEN_NS, refuse=allow, first_sequence=1)


def test_every_tick_has_exactly_one_result_and_what_passes_is_numbered() -> None:
    results = run(new_lane(limits=loose()), ticks(2_000))
    assert len(results) == 2_000
    assert [s.sequence for s in results] == list(range(1, 2_001))
    assert {s.action for s in results} == set(Action)
    assert {s.symbol_id for s in results} == set(range(1, 9))


def test_a_result_is_of_its_own_tick() -> None:
    rows = ticks(500)
    for row, result in zip(rows, run(new_lane(), rows), strict=True):
        assert (result.timestamp, result.symbol_id) == (row["ts_event"], row["symbol_id"])
        price = reference_price(result.price_target, result.stop_loss)
        assert price == pytest.approx(float(row["price"]), rel=3e-7)
        assert result.context_id == context().short_id


@pytest.mark.parametrize("size", [1, 7, 64])
def test_batching_changes_nothing(size: int) -> None:
    rows = ticks(300)
    whole = run(new_lane(canary_share=0.5, engine=Formula({"stable": 1, "canary": 2})), rows)
    parts = run(new_lane(canary_share=0.5, engine=Formula({"stable": 1, "canary": 2})), rows, size)
    assert whole == parts


def test_the_context_is_encoded_once_for_each_version() -> None:
    engine = Formula({"stable": 1, "canary": 2})
    lane = new_lane(engine, canary_share=0.5)
    run(lane, ticks(1_000), 10)
    assert [version for rows, version in engine.calls if rows == 0] == [1, 2]


def test_the_canary_takes_its_share_of_symbols_and_minutes() -> None:
    engine = Formula({"stable": 1, "canary": 2})
    rows = ticks(8 * 500, step_ns=7_500_000_000)
    results = run(new_lane(engine, canary_share=0.3, warm=True), rows)
    marked = [bool(s.flags & Flag.CANARY) for s in results]
    assert 0.2 < np.mean(marked) < 0.4
    assert all((s.model_version == 2) == m for s, m in zip(results, marked, strict=True))
    by_minute: dict[tuple[int, int], set[bool]] = {}
    for signal, mark in zip(results, marked, strict=True):
        key = signal.symbol_id, signal.timestamp // 60_000_000_000
        by_minute.setdefault(key, set()).add(mark)
    assert all(len(marks) == 1 for marks in by_minute.values())
    assert not any(s.flags & Flag.CANARY for s in run(new_lane(Formula()), ticks(100)))


def test_synthetic_input_is_marked_and_recorded_input_is_not() -> None:
    generated = run(new_lane(), ticks(20, conditions=int(Condition.SYNTHETIC)))
    recorded = run(new_lane(), ticks(20, conditions=int(Condition.RECORDED)))
    assert all(s.flags & Flag.SYNTHETIC for s in generated)
    assert not any(s.flags & Flag.SYNTHETIC for s in recorded)


def one(field: str, value: float) -> np.ndarray:
    rows = ticks(1)
    rows[field] = value
    return rows


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("price", np.nan, Reason.BAD_TICK),
        ("price", np.inf, Reason.BAD_TICK),
        ("price", 0.0, Reason.BAD_TICK),
        ("price", -5.0, Reason.BAD_TICK),
        ("bid", np.nan, Reason.BAD_TICK),
        ("ask", -1.0, Reason.BAD_TICK),
        ("volume", -1, Reason.BAD_TICK),
        ("ts_event", -1, Reason.BAD_TICK),
        ("symbol_id", 0, Reason.UNKNOWN_SYMBOL),
        ("symbol_id", 9, Reason.UNKNOWN_SYMBOL),
        ("symbol_id", 2**32 - 1, Reason.UNKNOWN_SYMBOL),
        ("bid", 200.0, Reason.CROSSED_QUOTE),
    ],
)
def test_a_tick_that_cannot_be_is_refused_and_leaves_no_trace(
    field: str, value: float, reason: Reason
) -> None:
    lane, other = new_lane(), new_lane()
    output = step(lane, one(field, value))
    assert output.reasons.tolist() == [reason]
    (result,) = iter_frames(output.frames.tobytes())
    assert (result.action, result.position_size, result.sequence) == (Action.HOLD, 0.0, 0)
    if reason is not Reason.CROSSED_QUOTE:
        assert run(lane, ticks(50, seed=9)) == run(other, ticks(50, seed=9))


def test_without_a_fresh_context_nothing_passes() -> None:
    lane = new_lane(max_age_ns=3_600_000_000_000)
    hour = 3_600_000_000_000
    as_of = lane.active.as_of_ns if lane.active else 0
    late = ticks(1, start_ns=as_of + hour + 1)
    assert step(lane, late).reasons.tolist() == [Reason.STALE_CONTEXT]
    (result,) = iter_frames(step(lane, late).frames.tobytes())
    assert result.flags & Flag.STALE
    by_clock = lane.process(packed(ticks(1)), now_ns=as_of + hour + 1, refuse=allow)
    assert by_clock.reasons.tolist() == [Reason.STALE_CONTEXT]
    early = ticks(1, start_ns=as_of - 1)
    assert step(lane, early).reasons.tolist() == [Reason.LOOK_AHEAD]
    fresh = lane.process(packed(ticks(1, start_ns=as_of)), now_ns=as_of + hour, refuse=allow)
    assert fresh.reasons.tolist() == [Reason.PASSED]
    lane.use(None)
    assert step(lane, ticks(1)).reasons.tolist() == [Reason.NO_CONTEXT]


def test_cold_symbols_are_kept_back_until_their_features_count() -> None:
    lane = new_lane(warm=False)
    reasons = step(lane, ticks(8 * 70)).reasons.reshape(70, 8)
    ready = features.READY_RETURNS
    assert (reasons[:ready] == Reason.COLD).all()
    assert (reasons[ready:] == Reason.PASSED).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_model_that_answers_nonsense_emits_nothing(value: float) -> None:
    engine = Formula()
    lane = new_lane(engine)
    engine.poison = value
    output = step(lane, ticks(10))
    assert output.passed == 0
    assert set(output.reasons.tolist()) == {Reason.BAD_OUTPUT}
    assert len(list(iter_frames(output.frames.tobytes()))) == 10


def test_a_model_that_is_gone_emits_nothing_and_comes_back() -> None:
    engine = Formula()
    lane = new_lane(engine)
    engine.fails = True
    assert set(step(lane, ticks(10)).reasons.tolist()) == {Reason.MODEL}
    engine.fails = False
    later = ticks(10, start_ns=OPEN_NS + 10**9)
    assert step(lane, later).passed == 10


class Half(Formula):
    """A model whose canary does not do what is asked of it."""

    def __init__(self, broken: str) -> None:
        super().__init__({"stable": 1, "canary": 2})
        self.broken = broken

    def encode(self, context_vector: Array, context_id: int, version: int) -> Embedded:
        if self.broken == "encode" and version == 2:
            raise ModelInvalid("NaN")
        return super().encode(context_vector, context_id, version)

    def predict(self, features: Array, context: Embedded) -> Array:
        if self.broken == "predict" and context.version == 2:
            raise ModelInvalid("NaN")
        return super().predict(features, context)


@pytest.mark.promise("P7")
def test_a_canary_that_fails_refuses_its_own_ticks_alone() -> None:
    rows = ticks(400, step_ns=MINUTE_NS // 4)
    well = new_lane(Formula({"stable": 1, "canary": 2}), canary_share=0.3, limits=loose())
    mine = np.array([Flag.CANARY in s.flags for s in run(well, rows)])
    assert 0 < mine.sum() < len(rows)
    lane = new_lane(Half("predict"), canary_share=0.3, limits=loose())
    output = step(lane, rows)
    assert ((output.reasons == Reason.MODEL) == mine).all()
    assert output.passed == len(rows) - mine.sum()


@pytest.mark.promise("P7")
def test_a_canary_that_cannot_encode_gets_no_ticks() -> None:
    lane = new_lane(Half("encode"), canary_share=1.0, limits=loose())
    output = step(lane, ticks(10))
    assert output.passed == 10
    signals = iter_frames(output.frames.tobytes())
    assert {(s.model_version, s.flags) for s in signals} == {(1, Flag.NONE)}


def test_shed_ticks_move_the_state_and_are_not_predicted() -> None:
    lane, other = new_lane(), new_lane()
    first = packed(ticks(400))
    shed = lane.process(first, now_ns=OPEN_NS, refuse=allow, shed=400)
    assert set(shed.reasons.tolist()) == {Reason.SHED}
    other.process(first, now_ns=OPEN_NS, refuse=lambda: int(Reason.NO_LEASE))
    later = ticks(100, start_ns=OPEN_NS + 10**9, seed=8)
    assert run(lane, later) == run(other, later)


def test_more_symbols_find_room_and_the_old_ones_keep_their_state() -> None:
    lane, other = new_lane(), new_lane()
    lane.know(1_000)
    assert run(lane, ticks(100)) == run(other, ticks(100))
    rows = ticks(70)
    rows["symbol_id"] = 1_000
    assert step(lane, rows).reasons[-1] == Reason.PASSED


def test_given_indicators_replace_the_lane_s_own() -> None:
    lane = new_lane()
    rows = ticks(2)
    given_row = np.linspace(-1, 1, features.FEATURES)
    lane.process(packed(rows), now_ns=OPEN_NS, refuse=allow, indicators=[(1, given_row.tolist())])
    assert lane._features[1] == pytest.approx(given_row.astype(np.float32))


def test_no_stable_version_is_an_error() -> None:
    with pytest.raises(Exception, match="stable"):
        activate(Formula({"canary": 2}), context())
