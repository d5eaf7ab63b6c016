"""Whatever the model says of whatever comes, nothing leaves beyond the limits of emission."""

import time
from pathlib import Path

import numpy as np
import pytest

from relentless.models.policy import PolicyLimits
from relentless.proto.signal import Action, iter_frames
from relentless.serving.engine import InProcessEngine
from relentless.serving.gates import EmitLimits, Reason
from relentless.serving.pipeline import Lane, activate

from .doubles import OPEN_NS, SYMBOLS, context, packed, ticks
from .saved_models import MODEL, random_weights, write_version

CALM, WILD = 1, 2


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> list[InProcessEngine]:
    """Models whose answers are usual, and such that are everywhere."""
    base: Path = tmp_path_factory.mktemp("models") / MODEL
    for number, scale in ((CALM, 1.0), (WILD, 30.0)):
        weights = random_weights(number)
        write_version(base, number, weights._replace(w3=(weights.w3 * scale).astype(np.float32)))
    return [InProcessEngine(base, {"stable": number}) for number in (CALM, WILD)]


def stream(rng: np.random.Generator, count: int) -> np.ndarray:
    """Ticks in bursts of one moment, with jumps, wide and missing quotes."""
    rows = ticks(count, symbols=int(rng.integers(1, 9)), seed=int(rng.integers(1 << 30)))
    moments = np.repeat(np.arange(count), rng.integers(1, 30, count))[:count]
    rows["ts_event"] = OPEN_NS + moments * int(rng.choice([1, 1_000_000, 1_000_000_000]))
    rows["price"] *= np.exp(rng.normal(0, 10 ** rng.uniform(-6, -1.5), count))
    spread = rows["price"] * 10 ** rng.uniform(-6, -2)
    rows["bid"], rows["ask"] = rows["price"] - spread, rows["price"] + spread
    rows["bid"][rng.random(count) < 0.2] = 0.0
    return rows


@pytest.mark.promise("P10")
def test_no_stream_brings_a_signal_beyond_the_limits(
    engines: list[InProcessEngine], soak: bool
) -> None:
    rng = np.random.default_rng(10)
    seen: set[int] = set()
    for _ in range(2_000 if soak else 60):
        limits = EmitLimits(float(10 ** rng.uniform(-4, 0)), float(10 ** rng.uniform(-7, -1)))
        per_s = int(10 ** rng.uniform(1, 5))
        lane = Lane(
            engines[int(rng.integers(2))],
            lambda number: SYMBOLS[number - 1],
            symbols=8,
            policy=PolicyLimits(
                enter=0.5, stay=0.5, cost_weight=0.0, target_volatility=10 ** rng.uniform(-1, 3)
            ),
            limits=limits,
            signals_per_s=per_s,
        )
        lane.use(activate(lane.engine, context()))
        begun = time.perf_counter()
        rows, passed, last = stream(rng, 800), 0, dict[int, tuple[int, Action]]()
        size = int(rng.choice([1, 7, 64, 800]))
        for at in range(0, len(rows), size):
            batch = rows[at : at + size]
            output = lane.process(
                packed(batch), now_ns=OPEN_NS, refuse=lambda: 0, first_sequence=passed + 1
            )
            emitted = list(iter_frames(output.emitted().tobytes()))
            prices = batch["price"][output.reasons == 0]
            for signal, price in zip(emitted, prices, strict=True):
                passed += 1
                assert signal.sequence == passed
                assert abs(signal.position_size) <= limits.max_position
                for level in (signal.price_target, signal.stop_loss):
                    # The frame's levels are float32.
                    assert abs(level - price) <= limits.price_collar * price + 1e-6 * price
                if signal.action is not Action.HOLD:
                    order = signal.timestamp, signal.action
                    assert last.get(signal.symbol_id) != order
                    last[signal.symbol_id] = order
            seen |= set(output.reasons.tolist())
        burst = max(1.0, per_s / 10)
        assert passed <= burst + per_s * (time.perf_counter() - begun) + 1
    assert {Reason.RATE, Reason.SIZE, Reason.COLLAR, Reason.DUPLICATE, 0} <= seen
