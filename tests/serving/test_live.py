"""The live path under more ticks than it can predict: it sheds answers, not state, and says so."""

import pytest
import structlog

from relentless.serving.lease import Lease
from relentless.serving.live import BACKLOG, PENDING, LivePath

from .doubles import OPEN_NS, Feeder, new_lane, packed, ticks


async def test_a_backlog_sheds_the_oldest_ticks_answers_and_none_of_their_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lease = Lease()
    monkeypatch.setattr(lease, "refusal", lambda: 0)
    late, punctual = new_lane(), new_lane()
    rows, before = ticks(BACKLOG + 700), late.counts.refused()["shed"]
    async with Feeder(capacity=2 * PENDING) as feeder:
        live = LivePath((late,), feeder.server, lease, lambda: OPEN_NS)
        for row in rows:
            live.push(*row.tolist())
        with structlog.testing.capture_logs() as said:
            live.drain()
        assert live.statistics()["gated"]["shed"] == before + 700
        assert feeder.server.ring.head == BACKLOG + 1
        assert [line["ticks"] for line in said if "overload" in line["event"]] == [700]
        for at in range(0, len(rows), 4_096):
            punctual.process(packed(rows[at : at + 4_096]), now_ns=OPEN_NS, refuse=lambda: 0)
        assert late._state.tobytes() == punctual._state.tobytes()


async def test_what_waits_is_bounded_because_a_full_buffer_is_drained_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lease = Lease()
    monkeypatch.setattr(lease, "refusal", lambda: 0)
    async with Feeder(capacity=2 * PENDING) as feeder:
        live = LivePath((new_lane(),), feeder.server, lease, lambda: OPEN_NS)
        for row in ticks(PENDING + 10).tolist():
            live.push(*row)
        assert live._count == 10
        live.drain()
        assert live.stats.ticks == PENDING + 10
        assert feeder.server.ring.head == BACKLOG + 10 + 1
