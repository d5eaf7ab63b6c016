"""Who takes part: schedules in exchange time, leases in wall time, restarts."""

from datetime import datetime
from typing import Any

import pytest

from relentless.configs.clock import EASTERN
from relentless.mcp_server.registry import Registry, latest_due
from relentless.mcp_server.server import Hub
from relentless.proto.contexts import Topic
from relentless.proto.errors import Forbidden, InvalidInput
from relentless.tools.ports import LastRun

from .helpers import START, principal

FRED = principal("FredAgent")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=EASTERN)


@pytest.mark.parametrize(
    ("schedule", "as_of", "due"),
    [
        (["05:00", "08:00"], "2013-10-07T05:30", "2013-10-07T05:00"),
        (["05:00", "08:00"], "2013-10-07T08:00", "2013-10-07T08:00"),
        (["05:00"], "2013-10-07T04:59", "2013-10-04T05:00"),  # Monday: Friday's
        (["0 5 * * mon-fri"], "2013-10-07T05:30", "2013-10-07T05:00"),
        (["05:00"], "2013-12-25T12:00", "2013-12-24T05:00"),  # Christmas is no session
        (["0 5 1 1 *"], "2013-10-07T05:30", None),
        ([], "2013-10-07T05:30", None),
    ],
)
def test_the_latest_due_run_is_on_an_exchange_day(
    schedule: list[str], as_of: str, due: str | None
) -> None:
    assert latest_due(schedule, at(as_of)) == (at(due) if due else None)


def done(when: str, status: str = "ok") -> LastRun:
    said: dict[str, Any] = {"scheduled_at": at(when), "finished_at": at(when), "status": status}
    return LastRun.model_validate(said)


async def test_an_agent_owes_its_last_due_run_until_it_reports_it(hub: Hub) -> None:
    await hub.registry.register(FRED, None, ["05:00"], None)
    assert hub.registry.unfinished(at("2013-10-07T05:30")) == ["FredAgent"]
    await hub.registry.register(FRED, None, None, done("2013-10-04T05:00"))
    assert hub.registry.unfinished(at("2013-10-07T05:30")) == ["FredAgent"]
    await hub.registry.register(FRED, None, None, done("2013-10-07T05:00", "failed"))
    assert hub.registry.unfinished(at("2013-10-07T05:30")) == []


async def test_what_is_left_out_stays_and_survives_a_restart(hub: Hub) -> None:
    await hub.registry.register(FRED, [Topic.RATES], ["05:00"], None)
    await hub.registry.register(FRED, None, None, done("2013-10-07T05:00"))
    again = Registry(hub.journal, 60.0)
    await again.recover()
    (view,) = again.agents()
    assert (view.topics, view.schedule, view.alive) == ([Topic.RATES], ["05:00"], True)
    assert view.last_run == done("2013-10-07T05:00")


async def test_a_heartbeat_that_says_nothing_new_is_not_kept(hub: Hub) -> None:
    await hub.registry.register(FRED, [Topic.RATES], ["05:00"], None)
    before = hub.journal.head()
    await hub.registry.register(FRED, [Topic.RATES], None, None)
    assert hub.journal.head() == before


async def test_a_lapsed_agent_is_not_waited_for_and_any_call_renews(hub: Hub) -> None:
    now = 0.0
    registry = Registry(hub.journal, 60.0, lambda: now)
    await registry.register(FRED, None, ["05:00"], None)
    now = 61.0
    assert registry.unfinished(START) == []
    assert not registry.agents()[0].alive
    registry.touch(FRED)
    assert registry.unfinished(START) == ["FredAgent"]


async def test_topics_and_schedules_are_checked(hub: Hub) -> None:
    with pytest.raises(Forbidden):
        await hub.registry.register(FRED, [Topic.NEWS], None, None)
    for wrong in ("", "25:00", "* * *", "5", "05:00:00", "a:b"):
        with pytest.raises(InvalidInput):
            await hub.registry.register(FRED, None, [wrong], None)
