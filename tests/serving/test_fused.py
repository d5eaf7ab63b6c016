"""The whole step in one compiled call gives what its stages give, to the bit."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from relentless.proto.tick import Condition
from relentless.serving import fused
from relentless.serving.engine import InProcessEngine
from relentless.serving.gates import Reason
from relentless.serving.pipeline import TIMED, Lane, activate
from relentless.serving.ports import Array, Embedded, LocalPredictor

from .doubles import OPEN_NS, SYMBOLS, context, packed, ticks
from .saved_models import MODEL, constant_weights, random_weights, write_version

LABELS = {"stable": 1, "canary": 2}


class Behind:
    """The same engine as if it stood behind a hop: its weights are not at hand."""

    def __init__(self, engine: InProcessEngine) -> None:
        self._engine = engine

    def labels(self) -> Mapping[str, int]:
        return self._engine.labels()

    def encode(self, context_vector: Array, context_id: int, version: int) -> Embedded:
        return self._engine.encode(context_vector, context_id, version)

    def predict(self, features: Array, context: Embedded) -> Array:
        return self._engine.predict(features, context)

    def close(self) -> None:
        """The engine is another's."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> InProcessEngine:
    base = tmp_path_factory.mktemp("models") / MODEL
    for number in (1, 2):
        write_version(base, number, random_weights(number))
    return InProcessEngine(base, LABELS)


def lane(engine: InProcessEngine | Behind, share: float = 0.3, signals_per_s: int = 10**9) -> Lane:
    made = Lane(
        engine,
        lambda number: SYMBOLS[number - 1],
        symbols=8,
        canary_share=share,
        signals_per_s=signals_per_s,
    )
    made.use(activate(engine, context()))
    return made


def spoiled(count: int) -> np.ndarray:
    """Ticks of which some cannot be, some are of nobody, and some only move quote and volume."""
    rows = ticks(count, step_ns=700_000_000)
    rng = np.random.default_rng(3)
    rows["price"][rng.integers(0, count, count // 20)] = np.nan
    rows["symbol_id"][rng.integers(0, count, count // 20)] = 99
    rows["bid"][rng.integers(0, count, count // 20)] += 5.0
    rows["conditions"][rng.integers(0, count, count // 20)] = int(Condition.NOT_LAST)
    return rows


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [1, 63, 64, 65, 2_000])
def test_one_call_gives_what_the_stages_give(
    engine: InProcessEngine, size: int, share: float
) -> None:
    rows = spoiled(2_000)
    whole, apart = lane(engine, share), lane(Behind(engine), share)
    first = 1
    for at in range(0, len(rows), size):
        part = packed(rows[at : at + size])
        one = whole.process(part, now_ns=OPEN_NS, refuse=lambda: 0, first_sequence=first)
        two = apart.process(part, now_ns=OPEN_NS, refuse=lambda: 0, first_sequence=first)
        assert one.reasons.tolist() == two.reasons.tolist()
        assert one.frames.tobytes() == two.frames.tobytes()
        assert [g.tobytes() for g in one.grounds()] == [g.tobytes() for g in two.grounds()]
        assert one.passed == two.passed
        first += one.passed
    assert first > 1_000
    assert whole.counts.refused() == apart.counts.refused()


def test_what_is_shed_moves_the_state_and_is_not_predicted(engine: InProcessEngine) -> None:
    whole, apart = lane(engine), lane(Behind(engine))
    rows = packed(ticks(8 * 90))
    for made in (whole, apart):
        output = made.process(rows, now_ns=OPEN_NS, refuse=lambda: 0, first_sequence=1, shed=600)
        assert set(output.reasons[600:].tolist()) == {0}
        assert output.passed == 120
        assert made.counts.refused() == {"cold": 512, "shed": 88}
    later = packed(ticks(100, start_ns=OPEN_NS + 10**12, seed=8))
    one, two = (made.process(later, now_ns=OPEN_NS, refuse=lambda: 0) for made in (whole, apart))
    assert one.frames.tobytes() == two.frames.tobytes()


def test_a_refusal_of_all_and_an_empty_bucket_hold_in_one_call_too(
    engine: InProcessEngine,
) -> None:
    made = lane(engine)
    rows = packed(ticks(8 * 80))
    halted = made.process(rows, now_ns=OPEN_NS, refuse=lambda: int(Reason.HALTED))
    assert halted.passed == 0
    assert set(halted.reasons[-8:].tolist()) == {Reason.HALTED}
    slow = lane(engine, signals_per_s=10)
    output = slow.process(rows, now_ns=OPEN_NS, refuse=lambda: 0, first_sequence=1)
    assert output.passed == 1
    assert Reason.RATE in output.reasons.tolist()


def test_a_new_version_is_taken_with_the_next_context(tmp_path: Path) -> None:
    base = tmp_path / MODEL
    for number, p_up in ((1, 0.4), (2, 0.9)):
        write_version(base, number, constant_weights(p_up))
    engine = InProcessEngine(base, {"stable": 1})
    assert isinstance(engine, LocalPredictor)
    made = lane(engine, 0.0)
    rows = packed(ticks(8 * 80))
    assert made.process(rows, now_ns=OPEN_NS, refuse=lambda: 0).heads[-1, 0] == pytest.approx(0.4)
    engine.relabel({"stable": 2})
    made.use(activate(engine, context()))
    output = made.process(rows, now_ns=OPEN_NS, refuse=lambda: 0)
    assert output.heads[-1, 0] == pytest.approx(0.9)


def test_one_step_of_sixteen_says_how_long_its_stages_took(engine: InProcessEngine) -> None:
    made = lane(engine)
    row = packed(ticks(1))
    times = [made.process(row, now_ns=OPEN_NS, refuse=lambda: 0).times for _ in range(2 * TIMED)]
    taken = [t for t in times if t is not None]
    assert len(taken) == 2
    assert all(list(t) == sorted(t) and t.finished > t.start for t in taken)


def test_a_reason_s_member_compiles_nothing_anew(engine: InProcessEngine) -> None:
    made = lane(engine)
    made.process(packed(ticks(1)), now_ns=OPEN_NS, refuse=lambda: 0)
    before = len(fused.step.signatures)  # type: ignore[attr-defined]  # numba's own
    output = made.process(packed(ticks(1)), now_ns=OPEN_NS, refuse=lambda: Reason.HALTED)
    assert output.passed == 0
    assert len(fused.step.signatures) == before  # type: ignore[attr-defined]
