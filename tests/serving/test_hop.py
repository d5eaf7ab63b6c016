"""Ticks through model servers: one request out, the oldest shed, no mix, no late signal."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from relentless.proto.signal import Flag, Signal, iter_frames
from relentless.serving import hop_path
from relentless.serving.answers import BACKLOG as CALLS_BACKLOG
from relentless.serving.answers import WAITING, Batched
from relentless.serving.balanced import BalancedPredictor
from relentless.serving.engine import InProcessEngine
from relentless.serving.gates import Reason
from relentless.serving.hop import LaneThread
from relentless.serving.hop_path import HopPath
from relentless.serving.lease import Lease
from relentless.serving.live import BACKLOG, PENDING
from relentless.serving.pipeline import CAPACITY
from relentless.serving.served import HopModel, ServedModel

from .doubles import OPEN_NS, Feeder, context, eventually, loose, new_lane, packed, ticks
from .model_stubs import LABELS, Told, real_server
from .saved_models import MODEL

LIMIT_S = 60.0


@pytest.fixture
def told() -> Iterator[Told]:
    server = Told()
    yield server
    server.stop()


@pytest.fixture
def edge(tmp_path: Path) -> InProcessEngine:
    real_server(tmp_path).stop(0)  # it writes the versions
    return InProcessEngine(tmp_path / MODEL, LABELS)


class Hop:
    """A live path over a model server, and a lane beside it for callers."""

    def __init__(
        self, feeder: Feeder, server: Told, edge: InProcessEngine | None, **lane: Any
    ) -> None:
        servers = BalancedPredictor(
            [("primary", {server.address: server.client()})], edge=edge, timeout_s=10.0
        )
        self.served = ServedModel(servers, edge)
        self.served.relabel(LABELS)
        models = HopModel(self.served), HopModel(self.served)
        lanes = [LaneThread(new_lane(model, limits=loose(), **lane), model) for model in models]
        for thread in lanes:
            thread.lane.counts.array[:] = 0  # without what made it warm
        self.lease = Lease(lambda: 0.0)
        self.lease.extend(0.0, 60.0)
        self.feeder = feeder
        self.path = HopPath(lanes, self.served, feeder.server, self.lease, lambda: OPEN_NS)
        self.path.context = context()
        self.answers = Batched(lanes[1], lambda: OPEN_NS, self.lease.refusal)
        self.pushed = 0

    def push(self, count: int) -> None:
        rows = ticks(count, start_ns=OPEN_NS + self.pushed)
        for row in rows.tolist():
            self.path.push(*row)
        self.pushed += 1_000_000 * count

    async def taken(self, count: int) -> dict[str, Any]:
        """Wait until so many ticks came back; give the path's statistics."""
        await eventually(lambda: self.path.stats.ticks >= count)
        return self.path.statistics()

    def signals(self) -> list[Signal]:
        ring = self.feeder.ring
        return list(iter_frames(ring.read(1, ring.head - 1).tobytes())) if ring.head > 1 else []


@asynccontextmanager
async def hop(server: Told, edge: InProcessEngine | None = None, **lane: Any) -> AsyncIterator[Hop]:
    async with Feeder(capacity=100_000) as feeder:
        made = Hop(feeder, server, edge, **lane)
        try:
            yield made
        finally:
            await made.path.close()
            await asyncio.to_thread(made.served.close)


async def held(server: Told) -> None:
    """Wait until a prediction is held at the server's gate."""
    before = server.counts["Predict"]
    await eventually(lambda: server.counts["Predict"] > before)


def predictions(server: Told) -> Callable[[], int]:
    start = server.counts["Predict"]
    return lambda: server.counts["Predict"] - start


async def test_ticks_that_come_while_a_request_is_out_go_with_the_next(told: Told) -> None:
    async with hop(told) as here:
        asked = predictions(told)
        told.gate = threading.Event()
        here.push(10)
        await held(told)
        for _ in range(50):
            here.push(10)
            await asyncio.sleep(0)
        assert asked() == 1
        told.gate.set()
        said = await here.taken(510)
        assert asked() == 2
        signals = here.signals()
        assert [s.sequence for s in signals] == list(range(1, 511))
        assert [s.timestamp for s in signals] == sorted(s.timestamp for s in signals)
        assert not any(s.flags & Flag.FAILOVER for s in signals)
        assert (said["withheld"], said["model_servers"]["site"]) == (0, "primary")


async def test_of_too_many_ticks_the_oldest_are_not_predicted_and_that_is_counted(
    told: Told,
) -> None:
    async with hop(told) as here:
        told.gate = threading.Event()
        here.push(1)
        await held(told)
        asked = predictions(told)
        here.push(BACKLOG + 5_000)
        told.gate.set()
        said = await here.taken(BACKLOG + 5_001)
        assert asked() == BACKLOG // CAPACITY
        assert said["gated"]["shed"] == 5_000
        assert len(here.signals()) == BACKLOG + 1
        assert said["ticks"] == said["signals"] + 5_000


async def test_a_flood_while_a_request_is_out_moves_the_state_and_fills_no_memory(
    told: Told,
) -> None:
    async with hop(told) as here:
        told.gate = threading.Event()
        here.push(1)
        await held(told)
        here.push(PENDING + 50)
        assert len(here.path._steps) == 2
        told.gate.set()
        said = await here.taken(PENDING + 51)
        assert said["gated"]["shed"] == PENDING
        assert len(here.signals()) == 51


@pytest.mark.promise("P9")
async def test_what_comes_back_after_a_halt_never_leaves(told: Told) -> None:
    async with hop(told) as here:
        told.gate = threading.Event()
        here.push(10)
        await held(told)
        after = here.path._threads[0].submit(lambda: None)
        told.gate.set()
        after.result(LIMIT_S)  # the step has passed; the event loop has not seen it yet
        here.lease.halted = True
        await here.path.stop()
        said = await here.taken(10)
        assert here.signals() == []
        assert said["withheld"] == 10
        here.lease.halted = False
        here.path.resume()
        here.push(10)
        await here.taken(20)
        assert [s.sequence for s in here.signals()] == list(range(1, 11))


@pytest.mark.promise("P7")
async def test_the_engine_takes_over_marked_and_the_server_takes_it_back(
    told: Told, edge: InProcessEngine
) -> None:
    async with hop(told, edge) as here:
        here.push(10)
        await here.taken(10)
        told.mode = grpc.StatusCode.UNAVAILABLE
        here.push(10)
        said = await here.taken(20)
        assert (said["model_servers"]["site"], said["model_servers"]["failovers"]) == ("edge", 1)
        told.mode = "well"
        await eventually(lambda: here.served.servers.sites.current.name == "primary")
        here.push(10)
        said = await here.taken(30)
        assert said["model_servers"]["returns"] == 1
        marked = [bool(s.flags & Flag.FAILOVER) for s in here.signals()]
        assert marked == [False] * 10 + [True] * 10 + [False] * 10
        assert [s.sequence for s in here.signals()] == list(range(1, 31))


@pytest.mark.promise("P7")
async def test_only_the_version_that_failed_over_is_marked(
    told: Told, edge: InProcessEngine
) -> None:
    async with hop(told, edge, canary_share=0.5) as here:
        del told.versions[LABELS["canary"]]
        here.push(400)
        await here.taken(400)
        signals = here.signals()
        assert {s.model_version for s in signals} == set(LABELS.values())
        for signal in signals:
            assert bool(signal.flags & Flag.FAILOVER) is (signal.model_version == 2)
            assert bool(signal.flags & Flag.CANARY) is (signal.model_version == 2)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("mode", ["nan", "short", grpc.StatusCode.UNAVAILABLE])
async def test_without_an_engine_a_bad_server_gives_no_signal(told: Told, mode: Any) -> None:
    async with hop(told) as here:
        told.mode = mode
        here.push(10)
        said = await here.taken(10)
        assert here.signals() == []
        assert said["gated"]["model"] == 10


async def test_a_context_is_taken_between_steps_and_never_within_one(told: Told) -> None:
    async with hop(told) as here:
        told.gate = threading.Event()
        here.push(10)
        await held(told)
        later = context(mark="cd")
        here.path.use_context(later)
        here.push(10)
        told.gate.set()
        await here.taken(20)
        ids = [s.context_id for s in here.signals()]
        assert ids == [context().short_id] * 10 + [later.short_id] * 10


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND])
async def test_a_context_that_no_server_encodes_is_tried_again_until_one_does(
    told: Told, code: grpc.StatusCode
) -> None:
    async with hop(told) as here:
        told.mode = code
        here.path.use_context(context(mark="cd"))
        here.push(10)
        said = await here.taken(10)
        assert said["gated"]["no_context"] == 10
        told.mode = "well"
        async with asyncio.timeout(LIMIT_S):
            while not here.signals():
                here.push(1)
                await asyncio.sleep(0.02)


@pytest.mark.promise("P7")
async def test_a_canary_that_no_server_has_is_tried_again_and_stable_goes_on(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hop_path, "CANARY_AGAIN_S", 0.01)
    async with hop(told, canary_share=1.0) as here:
        canary = told.versions.pop(LABELS["canary"])
        here.path.use_context(context(mark="cd"))
        here.push(10)
        await here.taken(10)
        assert [s.model_version for s in here.signals()] == [LABELS["stable"]] * 10
        told.versions[LABELS["canary"]] = canary
        here.served.servers.sites.sites[0].endpoints[0].lacks.clear()
        async with asyncio.timeout(LIMIT_S):
            while here.signals()[-1].model_version != LABELS["canary"]:
                here.push(1)
                await asyncio.sleep(0.02)


async def test_symbols_holds_and_shares_reach_the_lane_in_their_order(told: Told) -> None:
    async with hop(told, canary_share=0.0) as here:
        here.path.hold(1, True)
        here.push(8)
        here.path.use_canary_share(1.0)
        said = await here.taken(8)
        assert said["gated"] == {"symbol_held": 1}
        here.path.hold(1, False)
        here.push(8)
        await here.taken(16)
        assert {s.model_version for s in here.signals()[-8:]} == {2}
        here.path.know(100)
        here.push(1)
        await here.taken(17)
        assert here.path._lane._known == 100


def rows(count: int, seed: int = 7) -> Any:
    return packed(ticks(count, seed=seed))


async def test_callers_go_together_and_each_has_its_own_results(told: Told) -> None:
    async with hop(told) as here:
        asked = predictions(told)
        told.gate = threading.Event()
        first = asyncio.create_task(here.answers.answer(rows(5)))
        await held(told)
        calls = [
            asyncio.create_task(
                here.answers.answer(packed(ticks(n + 1, start_ns=OPEN_NS + n * 10**9)))
            )
            for n in range(100)
        ]
        gone = calls.pop()
        await asyncio.sleep(0)
        gone.cancel()
        told.gate.set()
        assert len((await first).reasons) == 5
        for number, call in enumerate(calls):
            answer = await call
            found = list(iter_frames(answer.frames))
            assert [s.timestamp for s in found] == [
                OPEN_NS + number * 10**9 + k * 1_000_000 for k in range(number + 1)
            ]
            assert len(answer.reasons) == number + 1
        assert asked() <= 1 + -(-sum(range(101)) // CAPACITY) + 1


async def test_of_too_many_callers_the_oldest_are_answered_without_a_prediction(
    told: Told,
) -> None:
    async with hop(told) as here:
        told.gate = threading.Event()
        first = asyncio.create_task(here.answers.answer(rows(5)))
        await held(told)
        calls = [
            asyncio.create_task(here.answers.answer(rows(CAPACITY, seed=n)))
            for n in range(WAITING // CAPACITY + 3)
        ]
        await asyncio.sleep(0.05)
        assert here.answers._waiting == WAITING
        told.gate.set()
        await first
        answers = [await call for call in calls]
        shed = [set(answer.reasons) == {int(Reason.SHED)} for answer in answers]
        assert all(len(answer.reasons) == CAPACITY for answer in answers)
        assert shed[0] and not shed[-1]
        assert sum(not one for one in shed) >= CALLS_BACKLOG // CAPACITY
        assert here.answers._lane.lane.counts.refused()["shed"] == CAPACITY * sum(shed)


@pytest.mark.promise("P9")
async def test_what_a_caller_is_told_after_a_halt_is_a_hold(told: Told) -> None:
    async with hop(told, signals_per_s=10**9) as here:
        told.gate = threading.Event()
        asked = asyncio.create_task(here.answers.answer(packed(ticks(10))))
        await held(told)
        after = here.path._threads[1].submit(lambda: None)
        told.gate.set()
        after.result(LIMIT_S)  # the step has passed; the event loop has not seen it yet
        here.lease.halted, here.lease.confirmed = True, 1
        frames, reasons = await asked
        assert set(reasons) == {Reason.HALTED}
        for signal in iter_frames(frames):
            assert (signal.action, signal.position_size, signal.price_target) == (0, 0.0, 0.0)
            assert (signal.risk_score, signal.timestamp > 0) == (255, True)


async def test_given_indicators_reach_their_own_rows_when_callers_go_together(
    told: Told,
) -> None:
    async with hop(told) as here:
        told.gate = threading.Event()
        first = asyncio.create_task(here.answers.answer(rows(1)))
        await held(told)
        width = here.path._lane._features.shape[1]
        given = np.linspace(-1, 1, width).astype(np.float32)
        second = asyncio.create_task(here.answers.answer(rows(3)))
        third = asyncio.create_task(here.answers.answer(rows(2), [(1, given.tolist())]))
        await asyncio.sleep(0)
        told.gate.set()
        await asyncio.gather(first, second, third)
        assert here.answers._lane.lane._features[4] == pytest.approx(given)


async def test_the_threads_end_with_the_path(told: Told) -> None:
    async with hop(told) as here:
        here.push(10)
        await here.taken(10)
        assert [t for t in threading.enumerate() if t.name.startswith("lane")]
    assert not [t for t in threading.enumerate() if t.name.startswith("lane")]
