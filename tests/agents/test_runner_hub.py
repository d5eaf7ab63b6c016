"""The runner against the real hub, over HTTP, each agent with its own key."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from datetime import datetime

import httpx

from relentless.agents.fred import FredAgent
from relentless.agents.http import Upstream
from relentless.agents.runner import Fleet
from relentless.agents.runtime.outbox import Pace
from relentless.configs.settings import ClockSettings
from relentless.mcp_server.server import serve as serve_hub
from relentless.proto.base import iso
from relentless.proto.errors import NotFound, Unavailable
from relentless.proto.messages import ContextMessage
from relentless.serving.clients.hub import HubClient
from relentless.store.keys import ensure_local, local_credential

from .conftest import FAST, eastern, test_settings
from .fred_stub import generated, serve


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def until_stopped(work, stop):
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await task


MORNING = iso(eastern("2013-10-07 08:00"))


def told(agent):
    """Give the nominal time of an agent's last run, as the hub lists it."""
    return (agent.get("last_run") or {}).get("scheduled_at")


async def asked(hub, tool, arguments, ready):
    """Ask a tool until its answer is ready; the hub may be starting."""
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await hub.call(tool, arguments)
                if ready(answer):
                    return answer
            except (Unavailable, NotFound):
                pass
            await asyncio.sleep(0.05)


@asynccontextmanager
async def fred_and_hub(tmp_path, **hub):
    """Run the FRED agent, and a hub that comes up after it; give an operator's client."""
    settings = test_settings(tmp_path)
    settings = settings.model_copy(
        update={
            "hub": settings.hub.model_copy(update={"port": free_port(), **hub}),
            "clock": ClockSettings(start=eastern("2013-10-07 08:01"), speed=1.0, epoch=time.time()),
        }
    )
    ensure_local(tmp_path)

    def connect(name):
        return HubClient(settings.hub.url, local_credential(tmp_path, name))

    transport = httpx.MockTransport(serve(generated()))
    stop = asyncio.Event()
    async with (
        Upstream(tmp_path / "raw", FAST, transport) as upstream,
        HubClient(settings.hub.url, local_credential(tmp_path, "operator")) as operator,
    ):
        fleet = Fleet(
            (FredAgent(),),
            settings,
            settings.run_clock(),
            upstream,
            connect,
            Pace(first_s=0.05, most_s=0.2, jitter_s=0.0),
        )
        async with (
            until_stopped(fleet.serve(stop), stop),
            until_stopped(serve_hub(settings, stop=stop), stop),
        ):
            yield operator


async def morning_told(operator):
    """Wait until the morning's run was reported; give what the hub lists."""
    return await asked(
        operator,
        "list_agents",
        {},
        lambda answer: any(told(agent) == MORNING for agent in answer["agents"]),
    )


async def test_an_agent_runs_when_an_operator_asks(tmp_path):
    async with fred_and_hub(tmp_path, agent_lease_s=1.5) as operator:
        await morning_told(operator)
        asked_for = {"agent": "FredAgent", "wait_s": 20.0}
        answer = await operator.call("run_agent", asked_for, wait_s=20.0)
    assert answer["finished"] and answer["last_run"]["status"] == "ok"
    assert eastern("2013-10-07 08:01") <= datetime.fromisoformat(told(answer))
    assert answer["last_run"]["messages"] == 18


async def test_fred_reaches_a_hub_that_comes_up_after_it(tmp_path):
    async with fred_and_hub(tmp_path) as operator:
        listed = await morning_told(operator)
        read = await operator.read("rates", limit=100)
    (agent,) = [a for a in listed["agents"] if a["agent"] == "FredAgent"]
    assert agent["schedule"] == ["15 5 * * mon-fri", "0 8 * * mon-fri", "20 9 * * mon-fri"]
    run = agent["last_run"]
    assert (run["status"], run["messages"], run["gaps"]) == ("ok", 18, [])
    # Both of the morning's runs said the same, and it is stored once.
    messages = [ContextMessage.parse(item["message"]) for item in read["messages"]]
    assert len(messages) == 18
    assert len({m.context["series_id"] for m in messages}) == 18
    assert {iso(m.timestamp) for m in messages} == {iso(eastern("2013-10-07 05:15"))}
    assert all(m.message_id == m.content_digest()[:32] for m in messages)
