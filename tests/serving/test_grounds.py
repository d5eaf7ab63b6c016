"""What the model saw of each signal: kept by sequence, for the last ones, and never mixed up."""

import numpy as np
import pytest

from relentless.models.features import FEATURES
from relentless.serving.grounds import GroundsRing
from relentless.serving.lease import Lease
from relentless.serving.live import LivePath
from relentless.serving.ports import HEADS

from .doubles import OPEN_NS, Feeder, new_lane, ticks


def rows(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.arange(first, first + count, dtype=np.float32)[:, None]
    return np.tile(numbers, FEATURES), np.tile(-numbers, len(HEADS))


@pytest.mark.parametrize("size", [1, 3, 7, 8, 20])
def test_the_last_rows_are_found_by_their_number_and_older_ones_are_not(size: int) -> None:
    ring = GroundsRing(capacity=8)
    for first in range(1, 60, size):
        ring.append(first, *rows(first, size))
        last = first + size - 1
        for sequence in range(last + 2):
            found = ring.find(sequence)
            if max(1, last - 7) <= sequence <= last:
                assert found is not None
                assert set(found.features.tolist()) == {float(sequence)}
                assert set(found.heads.tolist()) == {-float(sequence)}
            else:
                assert found is None


def test_a_jump_in_the_numbers_gives_no_row_of_another_signal() -> None:
    ring = GroundsRing(capacity=8)
    ring.append(1, *rows(1, 4))
    ring.append(7, *rows(7, 1))
    assert [n for n in range(20) if ring.find(n) is not None] == [7]


async def test_every_signal_of_the_feed_has_the_features_and_heads_that_made_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model's double says p_up from the first feature, so a row mixed up would show."""
    grounds = GroundsRing()
    lease = Lease()
    async with Feeder() as feeder:
        lane = new_lane()
        live = LivePath((lane,), feeder.server, lease, lambda: OPEN_NS, grounds=grounds)
        monkeypatch.setattr(lease, "refusal", lambda: 0)
        batch = ticks(300, symbols=3)
        for at in range(0, 300, 25):
            for tick in batch[at : at + 25]:
                live.push(*tick.tolist())
            live.drain()
        ring = feeder.server.ring
        active = lane.active
        assert ring.head > 1
        assert active is not None
        for sequence in range(ring.first, ring.head):
            found = grounds.find(sequence)
            assert found is not None
            expected = lane.engine.predict(found.features[None], active.stable)[0]
            assert found.heads.tolist() == expected.tolist()
        assert grounds.find(ring.head) is None
