"""The runner: nominal times, delivery in order, and no agent that stops another."""

import asyncio
import sys
import time
from contextlib import asynccontextmanager, suppress
from datetime import date

import httpx
import pytest

from relentless.agents.base import Agent, Collected, Gap
from relentless.agents.http import Upstream
from relentless.agents.runner import Fleet, run_once
from relentless.agents.runtime.outbox import Pace
from relentless.configs.clock import ManualClock, RunClock
from relentless.configs.sessions import next_session
from relentless.configs.settings import ClockSettings
from relentless.proto.base import iso
from relentless.proto.contexts import Topic
from relentless.proto.errors import Forbidden

from .conftest import FAST, eastern, test_settings
from .fake_hub import FakeHub
from .fred_stub import generated, serve

QUICK = Pace(first_s=0.001, most_s=0.005, jitter_s=0.0)


def agent_of(name, collect=None, *, schedule=("05:15", "08:00", "09:20"), timeout_s=30.0, count=3):
    """Make an agent; by default it says ``count`` notes about the time it was run for."""

    async def notes(self, run):
        return Collected(
            tuple(
                self.compose(run, {"n": n, "at": run.as_of.isoformat()}, known_at=run.as_of)
                for n in range(count)
            )
        )

    fields = {
        "name": name,
        "command": name.lower(),
        "topic": Topic.NOTE,
        "schedule": schedule,
        "timeout_s": timeout_s,
        "collect": collect or notes,
    }
    return type(name, (Agent,), fields)()


@asynccontextmanager
async def serving(agents, hub, clock, tmp_path, *, mode="day", lease_s=60.0):
    """Serve agents until the block ends; the end itself is bounded."""
    settings = test_settings(tmp_path)
    settings = settings.model_copy(
        update={
            "clock": ClockSettings(mode=mode),
            "hub": settings.hub.model_copy(update={"agent_lease_s": lease_s}),
        }
    )
    transport = httpx.MockTransport(lambda request: httpx.Response(404))
    async with Upstream(tmp_path / "raw", FAST, transport) as upstream:
        fleet = Fleet(tuple(agents), settings, clock, upstream, hub.connect, QUICK)
        stop = asyncio.Event()
        task = asyncio.create_task(fleet.serve(stop))
        try:
            yield fleet
        finally:
            stop.set()
            async with asyncio.timeout(10):
                await task


def at(text, day="2013-10-07"):
    return iso(eastern(f"{day} {text}"))


async def test_the_newest_passed_time_is_run_at_the_start_and_then_the_schedule(tmp_path):
    hub, clock = FakeHub(), ManualClock(eastern("2013-10-07 05:25"))
    async with serving([agent_of("A")], hub, clock, tmp_path):
        await hub.until(lambda h: h.runs("A") == [at("05:15")])
        clock.move_to(eastern("2013-10-07 08:00"))
        await hub.until(lambda h: h.runs("A") == [at("05:15"), at("08:00")])
        clock.move_to(eastern("2013-10-08 05:20"))
        await hub.until(lambda h: len(h.runs("A")) == 4)
    assert hub.runs("A")[2:] == [at("09:20"), at("05:15", "2013-10-08")]
    assert all(iso(m.timestamp) in hub.runs("A") for m in hub.messages["A"].values())


async def test_before_the_first_time_of_the_day_it_runs_as_of_now(tmp_path):
    hub, clock = FakeHub(), ManualClock(eastern("2013-10-07 04:00"))
    async with serving([agent_of("A")], hub, clock, tmp_path):
        await hub.until(lambda h: len(h.runs("A")) == 1)
        clock.move_to(eastern("2013-10-07 05:15"))
        await hub.until(lambda h: len(h.runs("A")) == 2)
    assert hub.runs("A") == [at("04:00"), at("05:15")]


async def test_a_day_runs_every_missed_time_in_order_and_live_the_newest_alone(tmp_path):
    for mode, expected in (
        ("day", [at("05:15"), at("08:00"), at("09:20")]),
        ("live", [at("09:20")]),
    ):
        hub, clock = FakeHub(), ManualClock(eastern("2013-10-07 12:00"))
        async with serving([agent_of("A")], hub, clock, tmp_path, mode=mode):
            await hub.until(lambda h: h.runs("A")[-1:] == [at("09:20")])
        assert hub.runs("A") == expected


async def test_a_very_fast_clock_loses_no_run(tmp_path):
    hub = FakeHub()

    clock = RunClock(eastern("2013-10-07 05:00"), 50_000.0, time.time())
    async with serving([agent_of("A"), agent_of("B")], hub, clock, tmp_path):
        await hub.until(lambda h: all(h.runs(n)[-1:] >= [at("09:20")] for n in "AB"))
    for name in "AB":
        assert [t for t in hub.runs(name) if t >= at("05:15")][:3] == [
            at("05:15"),
            at("08:00"),
            at("09:20"),
        ]


async def test_the_report_comes_after_the_messages_in_batches_of_a_hundred(tmp_path):
    hub, clock = FakeHub(), ManualClock(eastern("2013-10-07 05:25"))
    async with serving([agent_of("A", count=250)], hub, clock, tmp_path):
        await hub.until(lambda h: h.runs("A"))
    assert [n for _, n in hub.batches] == [100, 100, 50]
    kinds = [kind for _, kind, _ in hub.events]
    assert kinds.index("report") == 3
    report = hub.last("A")
    assert (report["status"], report["messages"], report["gaps"]) == ("ok", 250, [])
    assert (
        "A",
        "A",
        ("note",),
        tuple(f"{m} {h} * * mon-fri" for m, h in ((15, 5), (0, 8), (20, 9))),
    ) in hub.registrations


async def test_an_agent_registers_before_it_has_run_and_keeps_its_lease(tmp_path):
    hub, clock = FakeHub(), ManualClock(eastern("2013-10-07 05:25"))

    async def never(self, run):
        await asyncio.Event().wait()

    async with serving([agent_of("A", never)], hub, clock, tmp_path, lease_s=0.03):
        await hub.until(lambda h: len(h.registrations) >= 5)
    assert hub.reports == {}


async def raises(self, run):
    raise RuntimeError("bad day" + "!" * 700)


async def hangs(self, run):
    await asyncio.Event().wait()


async def deaf(self, run):
    while not self.released.is_set():
        with suppress(asyncio.CancelledError):
            await self.released.wait()


async def cancels(self, run):
    raise asyncio.CancelledError


async def exits(self, run):
    sys.exit(3)


async def lies(self, run):
    return Collected(({"not": "a message"},))


BAD = {
    "Raises": raises,
    "Hangs": hangs,
    "Deaf": deaf,
    "Cancels": cancels,
    "Exits": exits,
    "Lies": lies,
}


@pytest.mark.promise("P6")
async def test_a_failing_agent_blocks_nobody(tmp_path, soak, monkeypatch):
    """Six agents fail in six ways, one of them deaf to its cancellation; two do not notice."""
    monkeypatch.setattr("relentless.agents.runtime.worker.CANCEL_GRACE_S", 0.02)
    agents = [agent_of(n, c, timeout_s=0.02) for n, c in BAD.items()]
    agents += [agent_of("Good"), agent_of("Better")]
    released = asyncio.Event()
    agents[2].released = released
    today = date(2013, 10, 7)
    hub, clock = FakeHub(), ManualClock(eastern(f"{today} 09:25"))

    def all_ran(times):
        return lambda h: all(len(h.runs(agent.name)) >= times for agent in agents)

    try:
        async with serving(agents, hub, clock, tmp_path):
            for day in range(60 if soak else 5):
                await hub.until(all_ran(3 + 3 * day))
                today = next_session(today)
                clock.move_to(eastern(f"{today} 09:20"))
    finally:
        released.set()
    for name in BAD:
        assert {r["status"] for r in hub.reports[name]} == {"failed"}
        assert all(0 < len(r["error"]) <= 200 for r in hub.reports[name]), "the hub refuses it"
        assert name not in hub.messages
    for name in ("Good", "Better"):
        assert {r["status"] for r in hub.reports[name]} == {"ok"}
        assert len(hub.messages[name]) == 3 * len(hub.runs(name))


async def test_nothing_is_lost_while_the_hub_is_away(tmp_path):
    hub, clock = FakeHub(), ManualClock(eastern("2013-10-07 05:25"))
    hub.away = True
    ran = asyncio.Queue()

    async def notes(self, run):
        ran.put_nowait(run.as_of)
        said = self.compose(run, {"at": run.as_of.isoformat()}, known_at=run.as_of)
        return Collected((said,))

    async with serving([agent_of("A", notes)], hub, clock, tmp_path):
        async with asyncio.timeout(10):
            await ran.get()
        clock.move_to(eastern("2013-10-18 12:00"))
        async with asyncio.timeout(10):  # it collects on until the deliveries that wait are full
            for _ in range(9):
                await ran.get()
        hub.away = False
        await hub.until(lambda h: len(h.runs("A")) == 30)
    assert len(hub.messages["A"]) == 30
    assert hub.runs("A") == sorted(hub.runs("A"))


async def test_an_agent_ends_at_once_while_a_call_to_the_hub_is_under_way(tmp_path):
    """A cancellation in the middle of a call is not taken for a failure to be tried again."""
    hub, clock = FakeHub(), ManualClock(eastern("2013-10-07 05:25"))
    hub.hung = asyncio.Event()
    async with serving([agent_of("A")], hub, clock, tmp_path):
        await hub.until(lambda h: h.waiting >= 2)
        mine = asyncio.all_tasks() - {asyncio.current_task()}
    assert all(task.done() for task in mine)


async def test_a_refused_message_is_reported_and_the_others_are_kept(tmp_path):
    hub, clock = FakeHub(), ManualClock(eastern("2013-10-07 05:25"))
    hub.refuse = lambda m: Forbidden("not yours") if m.context["n"] == 1 else None
    async with serving([agent_of("A", count=5)], hub, clock, tmp_path):
        await hub.until(lambda h: h.runs("A"))
    assert {m.context["n"] for m in hub.messages["A"].values()} == {0, 2, 3, 4}
    report = hub.last("A")
    assert (report["status"], report["messages"], len(report["gaps"])) == ("degraded", 4, 1)


async def test_an_agent_without_a_key_waits_for_it_and_stops_nobody(tmp_path):
    hub, clock = FakeHub(), ManualClock(eastern("2013-10-07 05:25"))
    hub.keys = {"B"}
    async with serving([agent_of("A"), agent_of("B")], hub, clock, tmp_path):
        await hub.until(lambda h: h.runs("B"))
        assert "A" not in hub.reports
        hub.keys.add("A")
        await hub.until(lambda h: h.runs("A"))


async def test_gaps_are_told_and_bounded(tmp_path):
    async def gaps(self, run):
        return Collected(gaps=tuple(Gap(f"X{n}", "empty", "y" * 500) for n in range(100)))

    hub, clock = FakeHub(), ManualClock(eastern("2013-10-07 05:25"))
    async with serving([agent_of("A", gaps)], hub, clock, tmp_path):
        await hub.until(lambda h: h.runs("A"))
    report = hub.last("A")
    assert report["status"] == "failed"
    assert len(report["gaps"]) == 40
    assert report["gaps"][-1] == "and 61 more"
    assert all(len(gap) <= 200 for gap in report["gaps"])


async def test_one_run_by_hand_needs_no_hub(tmp_path, monkeypatch):
    transport = httpx.MockTransport(serve(generated()))
    monkeypatch.setattr(
        "relentless.agents.runner.Upstream", lambda raw: Upstream(raw, FAST, transport)
    )
    settings = test_settings(tmp_path).model_copy(
        update={"clock": ClockSettings(start=eastern("2013-10-07 05:25"), epoch=0.0)}
    )
    collected = await run_once(settings, "fred", eastern("2013-10-07 05:15"))
    assert len(collected.messages) == 18
    assert {m.timestamp for m in collected.messages} == {eastern("2013-10-07 05:15")}
