"""When contexts are built, for which moment, and from what."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from relentless.configs.clock import EASTERN, ManualClock, to_ns
from relentless.configs.settings import Settings
from relentless.mcp_server.archive import Archive
from relentless.mcp_server.contexts import trading_date
from relentless.mcp_server.coordinator import Coordinator
from relentless.mcp_server.server import Hub, build
from relentless.proto.contexts import Topic
from relentless.proto.daily import DailyContext, Quality
from relentless.proto.errors import InvalidInput, NotFound
from relentless.store.history import History
from relentless.store.ports import Kind
from relentless.tools.ports import LastRun

from .helpers import principal

FRED = principal("FredAgent")
DAY = date(2013, 10, 7)


def at(hour: int, minute: int = 0, day: int = 7) -> datetime:
    return datetime(2013, 10, day, hour, minute, tzinfo=EASTERN)


def rate(series: str, value: float, known_at: datetime) -> dict[str, Any]:
    return {
        "timestamp": known_at.isoformat(),
        "source_agent": "FredAgent",
        "topic": "rates",
        "context": {"series_id": series, "value": value},
        "observed_at": "2013-10-04T00:00:00Z",
        "known_at": known_at.isoformat(),
    }


def ran(when: datetime) -> LastRun:
    return LastRun(scheduled_at=when, finished_at=when, status="ok", messages=1)


@pytest.fixture
async def running(hub: Hub) -> AsyncIterator[Hub]:
    """A hub whose coordinator runs."""
    task = asyncio.create_task(hub.coordinator.run())
    yield hub
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def newest(hub: Hub, wanted: Callable[[DailyContext], bool]) -> DailyContext:
    """Wait for a context that is as wanted to be the newest."""
    changed = asyncio.Event()
    hub.contexts.on_changed(changed.set)
    async with asyncio.timeout(30):
        while hub.contexts.latest is None or not wanted(hub.contexts.latest):
            changed.clear()
            await changed.wait()
        return hub.contexts.latest


def of(moment: datetime) -> Callable[[DailyContext], bool]:
    return lambda context: context.as_of == moment


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_context_is_built_for_its_nominal_moment_from_what_was_known_then(
    running: Hub, clock: ManualClock
) -> None:
    await running.exchange.publish(FRED, [rate("DFF", 0.08, at(5))])
    clock.move_to(at(5, 47))
    await running.exchange.publish(FRED, [rate("DFF", 9.99, at(5, 40))])
    context = await newest(running, of(at(5, 30)))
    assert context.trading_date == DAY
    assert context.fed_funds_rate == 0.08


async def test_it_waits_for_the_agents_that_were_due(
    settings: Settings, clock: ManualClock
) -> None:
    async with build(patient(settings), clock=clock) as hub:
        task = asyncio.create_task(hub.coordinator.run())
        await hub.registry.register(FRED, [Topic.RATES], ["05:00", "08:00"], None)
        clock.move_to(at(5, 31))
        await settle()
        assert hub.contexts.latest is None
        await hub.exchange.publish(FRED, [rate("DFF", 0.08, at(5))])
        await hub.registry.register(FRED, None, None, ran(at(5)))
        context = await newest(hub, of(at(5, 30)))
        assert context.fed_funds_rate == 0.08
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_waits_for_an_expected_agent_that_has_not_registered_yet(
    settings: Settings, clock: ManualClock
) -> None:
    async with build(patient(settings, "FredAgent"), clock=clock) as hub:
        task = asyncio.create_task(hub.coordinator.run())
        clock.move_to(at(5, 31))
        await settle()
        assert hub.contexts.latest is None
        await hub.registry.register(FRED, None, ["05:00"], ran(at(5)))
        await newest(hub, of(at(5, 30)))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_waits_no_longer_than_the_grace(running: Hub, clock: ManualClock) -> None:
    await running.registry.register(FRED, None, ["05:00"], None)
    clock.move_to(at(5, 31))
    context = await newest(running, of(at(5, 30)))
    assert context.provenance["fed_funds_rate"].quality is Quality.MISSING


async def test_the_day_has_three_and_the_next_session_follows(
    running: Hub, clock: ManualClock
) -> None:
    for moment in (at(5, 30), at(8, 5), at(9, 25), at(5, 30, 8)):
        clock.move_to(moment)
        await newest(running, of(moment))
    kept = await running.journal.read(Kind.CONTEXT)
    assert [entry.known_at_ns for entry in kept] == [
        to_ns(moment) for moment in (at(5, 30), at(8, 5), at(9, 25), at(5, 30, 8))
    ]


async def test_a_clock_that_starts_later_builds_what_was_missed_in_order(
    settings: Settings,
) -> None:
    clock = ManualClock(at(8, 30).astimezone(UTC))
    async with build(settings, clock=clock) as hub:
        task = asyncio.create_task(hub.coordinator.run())
        await newest(hub, of(at(8, 5)))
        assert len(await hub.journal.read(Kind.CONTEXT)) == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_restart_takes_up_what_was_built_and_builds_nothing_twice(
    settings: Settings, clock: ManualClock
) -> None:
    identities = []
    for _ in range(2):
        async with build(settings, clock=clock) as hub:
            task = asyncio.create_task(hub.coordinator.run())
            clock.move_to(at(5, 31))
            identities.append((await newest(hub, of(at(5, 30)))).context_id)
            await settle()
            assert len(await hub.journal.read(Kind.CONTEXT)) == 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert identities[0] == identities[1]


async def test_a_late_required_feature_completes_the_context(
    running: Hub, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relentless.mcp_server.coordinator.DEBOUNCE_S", 0.01)
    clock.move_to(at(5, 30))
    await newest(running, of(at(5, 30)))
    clock.move_to(at(6, 10))
    await running.exchange.publish(FRED, [rate("DFF", 0.08, at(5))])
    context = await newest(running, of(at(6, 10)))
    assert context.fed_funds_rate == 0.08


async def test_a_message_that_completes_nothing_builds_nothing(
    running: Hub, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relentless.mcp_server.coordinator.DEBOUNCE_S", 0.0)
    completed = asyncio.Event()
    complete = Coordinator._complete

    async def noted(self: Coordinator) -> None:
        await complete(self)
        completed.set()

    monkeypatch.setattr(Coordinator, "_complete", noted)
    clock.move_to(at(5, 30))
    first = await newest(running, of(at(5, 30)))
    await running.exchange.publish(FRED, [rate("TEDRATE", 0.2, at(5))])
    async with asyncio.timeout(30):
        await completed.wait()
    assert running.contexts.latest == first


async def test_a_day_is_closed_once_with_what_it_received(
    settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = asyncio.Event()
    close = Archive.close_day

    async def noted(self: Archive, day: date) -> None:
        await close(self, day)
        closed.set()

    monkeypatch.setattr(Archive, "close_day", noted)
    history = History(settings.paths.state / "hub" / "history")
    for _ in range(2):
        async with build(settings, clock=clock) as hub:
            task = asyncio.create_task(hub.coordinator.run())
            if not history.days():
                await hub.exchange.publish(FRED, [rate("DFF", 0.08, at(5))])
                for moment in (at(5, 30), at(8, 5), at(9, 25)):
                    clock.move_to(moment)
                    await newest(hub, of(moment))
                clock.move_to(at(16))
                async with asyncio.timeout(30):
                    await closed.wait()
                    closed.clear()
            await settle()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert history.days() == [DAY]
    assert not closed.is_set()
    kept = history.messages_as_of(at(16), topic="rates")
    assert [message.principal for message in kept] == ["FredAgent"]


@pytest.mark.promise("P4")
async def test_a_past_moment_is_folded_from_what_was_known_then(
    hub: Hub, clock: ManualClock
) -> None:
    await hub.exchange.publish(FRED, [rate("DFF", 0.08, at(5))])
    before = await hub.contexts.build(None)
    clock.move_to(at(9))
    await hub.exchange.publish(FRED, [rate("DFF", 0.11, at(8))])
    then = await hub.contexts.get(DAY, before.as_of)
    assert then.context_id == before.context_id
    now = await hub.contexts.get(DAY, at(9))
    assert (then.fed_funds_rate, now.fed_funds_rate) == (0.08, 0.11)
    with pytest.raises(InvalidInput):
        await hub.contexts.get(None, at(10))
    with pytest.raises(NotFound):
        await hub.contexts.get(date(2013, 10, 8), None)


async def test_a_context_is_announced_as_a_message_of_the_hub(hub: Hub) -> None:
    context = await hub.contexts.build(None)
    (entry,) = await hub.journal.read(Kind.MESSAGE, topic=Topic.DAILY_CONTEXT.value)
    assert entry.principal == "Hub"
    assert context.context_id.encode() in entry.body
    await hub.contexts.build(context.as_of)
    assert len(await hub.journal.read(Kind.CONTEXT)) == 1


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (at(5, 30), DAY),
        (at(15, 59), DAY),
        (at(16), date(2013, 10, 8)),
        (at(12, 0, 6), DAY),  # Sunday
    ],
)
def test_a_moment_serves_the_session_that_is_not_over(moment: datetime, day: date) -> None:
    assert trading_date(moment) == day


def patient(settings: Settings, *expected: str) -> Settings:
    hub = settings.hub.model_copy(update={"build_grace_s": 60.0, "expected_agents": expected})
    return settings.model_copy(update={"hub": hub})
