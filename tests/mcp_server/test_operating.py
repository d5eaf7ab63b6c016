"""``run_agent`` and ``manage_model``: what an operator asks for happens, and is kept."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relentless.configs.clock import ManualClock
from relentless.configs.settings import Settings
from relentless.mcp_server.server import Hub, build
from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.main import ModelServer, serve
from relentless.store.ports import Kind
from tests.serving.saved_models import MODEL, random_weights, write_version

from .helpers import CALLER, client

RUN = {
    "scheduled_at": "2013-10-07T09:15:00Z",
    "finished_at": "2013-10-07T09:16:00Z",
    "status": "ok",
}


async def said(hub: Hub, name: str, tool: str, **arguments: Any) -> Any:
    async with client(hub, name) as connected:
        return (await connected.call_tool(tool, arguments)).structured_content


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_agent_is_asked_by_note_and_heartbeat_and_its_report_is_waited_for(
    hub: Hub, mode: str
) -> None:
    told: list[float] = []

    async def heard(done: float, total: float | None, message: str | None) -> None:
        told.append(done)

    async def operator() -> Any:
        async with client(hub, "operator", mode) as connected:
            arguments = {"agent": "FredAgent", "wait_s": 60}
            return await connected.call_tool("run_agent", arguments, progress_callback=heard)

    await said(hub, "FredAgent", "register_agent")
    asked = asyncio.create_task(operator())
    async with asyncio.timeout(30):
        page = await said(hub, "FredAgent", "read_messages", inbox=True, wait_s=20)
    note = page["messages"][0]["message"]
    beat = await said(hub, "FredAgent", "register_agent")
    assert note["source_agent"] == "Hub"
    assert note["context"]["command"] == "run"
    assert beat["run_requested"] == note["context"]["request_id"]
    again = await said(hub, "operator", "run_agent", agent="FredAgent")
    assert (again["request_id"], again["finished"]) == (note["message_id"], False)
    after = await said(hub, "FredAgent", "register_agent", last_run=RUN)
    async with asyncio.timeout(30):
        answer = (await asked).structured_content
    assert answer["finished"]
    assert answer["last_run"]["status"] == "ok"
    assert after["run_requested"] is None
    assert told == sorted(told)
    assert told


async def test_an_agent_that_is_not_there_cannot_be_asked(hub: Hub) -> None:
    async with client(hub, "operator") as operator:
        answer = await operator.call_tool("run_agent", {"agent": "Nobody"})
    assert answer.structured_content["error"]["code"] == "not_found"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ModelServer]:
    root = tmp_path / "models"
    for number in (1, 2):
        write_version(root / MODEL, number, random_weights(number))
    config = ModelConfig(MODEL, root / MODEL, Policy("all"), {"stable": 1, "canary": 2})
    running = serve("127.0.0.1:0", (config,), root)
    yield running
    running.stop(0.1)


def at(settings: Settings, server: ModelServer) -> Settings:
    section = settings.model_server.model_copy(
        update={"address": server.address, "timeout_s": 20.0}
    )
    return settings.model_copy(update={"model_server": section})


async def manage(hub: Hub, **arguments: Any) -> Any:
    async with client(hub, "operator") as operator:
        return (await operator.call_tool("manage_model", arguments)).structured_content


async def test_a_promotion_holds_at_the_model_server_and_is_rolled_back_after_a_restart(
    settings: Settings, clock: ManualClock, server: ModelServer
) -> None:
    mine = at(settings, server)
    async with build(mine, clock=clock, local=CALLER.get) as hub:
        before = await manage(hub, action="status")
        promoted = await manage(hub, action="promote", reason="better")
        again = await manage(hub, action="promote", version=2, reason="better")
        shared = await manage(hub, action="set_canary_share", share=0.2, reason="more")
        assert hub.control.canary_share == 0.2
    assert before["labels"] == {"stable": 1, "canary": 2}
    assert promoted["labels"] == {"stable": 2}
    assert promoted["previous_stable"] == 1
    assert again["error"]["code"] == "conflict"
    assert shared["canary_share"] == 0.2
    async with build(mine, clock=clock, local=CALLER.get) as hub:
        assert hub.control.canary_share == 0.2
        back = await manage(hub, action="roll_back", reason="worse")
        twice = await manage(hub, action="roll_back", reason="worse")
        kept = await hub.journal.read(Kind.MODEL)
    assert back["labels"]["stable"] == 1
    assert twice["error"]["code"] == "not_found"
    assert [entry.principal for entry in kept] == ["operator"] * 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"action": "promote"}, "invalid_input"),
        ({"action": "promote", "version": 9, "reason": "x"}, "not_found"),
        ({"action": "set_canary_share", "reason": "x"}, "invalid_input"),
        ({"action": "status", "share": 0.5}, "invalid_input"),
        ({"action": "roll_back", "reason": "x"}, "not_found"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_changes_nothing(
    settings: Settings,
    clock: ManualClock,
    server: ModelServer,
    arguments: dict[str, Any],
    code: str,
) -> None:
    async with build(at(settings, server), clock=clock, local=CALLER.get) as hub:
        said = await manage(hub, **arguments)
        after = await manage(hub, action="status")
        assert await hub.journal.read(Kind.MODEL) == []
    assert said["error"]["code"] == code
    assert after["labels"] == {"stable": 1, "canary": 2}
