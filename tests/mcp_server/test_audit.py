"""The audit: every write and every refusal of a known caller, in the journal's chain."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from relentless.mcp_server import audit
from relentless.mcp_server.server import Hub
from relentless.proto.errors import Forbidden
from relentless.serving.clients.hub import HubClient
from relentless.store.ports import Kind, Role

from .helpers import Served, client, news, principal

LOG = "audit://log"


async def read(hub: Hub, uri: str = LOG) -> dict[str, Any]:
    async with client(hub, "operator") as operator:
        answer = await operator.read_resource(uri)
    said: dict[str, Any] = json.loads(answer.contents[0].text)
    return said


async def entries(hub: Hub, least: int = 1, **wanted: object) -> list[dict[str, Any]]:
    """Wait until there are so many entries with these fields."""
    async with asyncio.timeout(20):
        while True:
            found = (await hub.audit.page(after=0, limit=500))["entries"]
            chosen = [e for e in found if all(e[name] == value for name, value in wanted.items())]
            if len(chosen) >= least:
                return chosen


async def test_every_write_leaves_one_entry_that_says_who_and_what(hub: Hub) -> None:
    message = news(topic="news", message_id="secret-free")
    async with client(hub, "NewsAnalysisAgent") as agent:
        await agent.call_tool("register_agent", {"topics": ["news"]})
        await agent.call_tool("publish_context", {"message": [message, news(topic="note")]})
    async with client(hub, "TradingAgent") as trader:
        await trader.call_tool("ack_messages", {"up_to": 1})
    async with client(hub, "operator") as operator:
        await operator.call_tool("build_daily_context", {})
        await operator.call_tool("set_trading_halt", {"halted": True, "reason": "a drill"})
    found = (await read(hub))["entries"]
    assert [(e["who"], e["what"], e["count"], e["outcome"]) for e in found] == [
        ("NewsAnalysisAgent", "register_agent", 1, "written"),
        ("NewsAnalysisAgent", "publish_context", 2, "written"),
        ("TradingAgent", "ack_messages", 1, "written"),
        ("operator", "build_daily_context", 2, "written"),
        ("operator", "set_trading_halt", 1, "written"),
    ]
    assert found[0]["key"] == "key-of-NewsAnalysisAgent"
    assert found[0]["role"] == Role.AGENT
    assert all(len(e["digest"]) == 64 and e["wall_time"] and e["market_time"] for e in found)
    assert "iPhone" not in json.dumps(found)
    assert await hub.journal.verify() == hub.journal.head()  # type: ignore[attr-defined]


async def test_what_writes_nothing_is_not_audited(hub: Hub) -> None:
    message = {"message": news(topic="news", message_id="once")}
    async with client(hub, "NewsAnalysisAgent") as agent:
        await agent.call_tool("publish_context", message)
        await agent.call_tool("publish_context", message)
        await agent.call_tool("register_agent", {"topics": ["news"]})
        await agent.call_tool("register_agent", {})
        await agent.call_tool("read_messages", {})
    assert [e["what"] for e in await entries(hub)] == ["publish_context", "register_agent"]


async def test_concurrent_writes_of_one_caller_share_entries_that_count_each_once(hub: Hub) -> None:
    async with client(hub, "NewsAnalysisAgent") as agent:
        await asyncio.gather(
            *(
                agent.call_tool("publish_context", {"message": news(message_id=f"m{n}")})
                for n in range(40)
            )
        )
    found = await entries(hub, what="publish_context")
    assert sum(e["count"] for e in found) == 40
    assert len(await hub.journal.read(Kind.MESSAGE, limit=100)) == 40


async def test_a_write_that_is_not_kept_leaves_no_entry(hub: Hub) -> None:
    async with client(hub, "NewsAnalysisAgent") as agent:
        await agent.call_tool("publish_context", {"message": news(message_id="m")})
        other = news(message_id="m", target_agent="FredAgent")
        answer = await agent.call_tool("publish_context", {"message": other})
    assert answer.structured_content["error"]["code"] == "conflict"
    assert len(await entries(hub)) == 1


async def test_a_refused_call_is_an_entry_with_its_error(hub: Hub) -> None:
    async with client(hub, "FredAgent") as agent:
        await agent.call_tool("publish_context", {"message": news(topic="news")})
        await agent.call_tool("set_trading_halt", {"halted": True, "reason": "mine"})
    first = (await entries(hub, outcome="forbidden"))[0]
    assert (first["who"], first["what"]) == ("FredAgent", "publish_context")
    assert len(first["digest"]) == 64
    await hub.audit.close()  # what waits for its second is written now
    second = (await entries(hub, what="set_trading_halt"))[0]
    assert (second["outcome"], len(second["digest"])) == ("forbidden", 64)
    assert hub.audit.denied == 2


async def test_a_flood_of_refusals_is_one_entry_now_and_one_with_the_count(hub: Hub) -> None:
    caller = principal("FredAgent")
    for n in range(1_000):
        hub.audit.refuse(caller, f"context://inbox/other{n}\ud800", Forbidden("no"))
    await hub.audit.close()
    found = await entries(hub, 2)
    assert [e["count"] for e in found] == [1, 999]
    assert len(found[1]["kinds"]) <= audit.MAX_KINDS + 1
    assert sum(found[1]["kinds"].values()) == 999


async def test_refusals_that_the_journal_cannot_take_are_counted(hub: Hub) -> None:
    hub.audit.refuse(principal("FredAgent"), "get_signals", Forbidden("no"))
    await hub.journal.close()
    await hub.audit.close()
    assert (hub.audit.denied, hub.audit.lost) == (1, 1)


async def test_callers_beyond_the_bound_are_counted_only(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_CALLERS", 1)
    for name in ("FredAgent", "CongressAgent"):
        hub.audit.refuse(principal(name), "get_signals", Forbidden("no"))
        hub.audit.refuse(principal(name), "get_signals", Forbidden("no"))
    await hub.audit.close()
    assert hub.audit.denied == 4
    assert sum(e["count"] for e in await entries(hub)) + hub.audit.lost == 4
    assert hub.audit.lost > 0


async def test_the_log_is_paged(hub: Hub) -> None:
    async with client(hub, "NewsAnalysisAgent") as agent:
        for n in range(3):
            await agent.call_tool("publish_context", {"message": news(message_id=f"m{n}")})
    newest = await read(hub, f"{LOG}?limit=2")
    first = await read(hub, f"{LOG}?after=0&limit=2")
    rest = await read(hub, f"{LOG}?after={first['next_after']}")
    assert [e["sequence"] for e in newest["entries"]] == [4, 6]
    assert [e["sequence"] for e in first["entries"]] == [2, 4]
    assert [e["sequence"] for e in rest["entries"]] == [6]
    assert rest["next_after"] == newest["next_after"] == 6


async def test_the_status_counts_refusals_of_known_callers_and_of_unknown_ones(
    served: Served,
) -> None:
    key = {"authorization": f"Bearer {served.credential('FredAgent')}"}
    async with httpx.AsyncClient(base_url=served.base, timeout=60) as session:
        assert (await session.post("/control/lease", json={}, headers=key)).status_code == 403
        assert (await session.post("/mcp", json={})).status_code == 401
        assert (await session.post("/mcp", json={}, headers={"x-api-key": "a.b"})).is_error
    found = await entries(served.hub, what="POST /control/lease")
    assert found[0]["who"] == "FredAgent"
    async with HubClient(served.url, served.credential("reader")) as reader:
        status = (await reader.call("get_status"))["status"]
    assert status["denied"] == {"known_callers": 1, "not_kept": 0}
    assert status["refused_keys"] == 2
