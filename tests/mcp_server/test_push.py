"""Push: a subscriber of either era hears that a resource changed, and not too often."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
import pytest
from mcp import MCPError

from relentless.mcp_server.server import Hub
from relentless.mcp_server.subscriptions import MAX_PER_SESSION, Push
from relentless.proto.contexts import Topic
from relentless.serving.clients.hub import HubClient

from .helpers import Served, client, news, principal

NEWS = principal("NewsAnalysisAgent")
OPERATOR = principal("operator")
CASES: list[tuple[str, str, Callable[[Hub], Awaitable[Any]]]] = [
    (
        "NewsAnalysisAgent",
        "context://topic/news",
        lambda hub: hub.exchange.publish(NEWS, [news(topic="news")]),
    ),
    (
        "TradingAgent",
        "context://inbox/TradingAgent",
        lambda hub: hub.exchange.publish(NEWS, [news(topic="news")]),
    ),
    ("reader", "context://daily", lambda hub: hub.contexts.build(None)),
    (
        "reader",
        "agents://",
        lambda hub: hub.registry.register(NEWS, [Topic.NEWS], None, None),
    ),
]


@pytest.mark.parametrize(("who", "uri", "change"), CASES, ids=[case[1] for case in CASES])
async def test_a_listener_hears_of_a_change(
    hub: Hub, who: str, uri: str, change: Callable[[Hub], Awaitable[Any]]
) -> None:
    async with (
        client(hub, who) as connected,
        connected.listen(resource_subscriptions=[uri]) as heard,
    ):
        await change(hub)
        async with asyncio.timeout(20):
            event = await anext(aiter(heard))
    assert getattr(event, "uri", None) == uri


@pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed")
@pytest.mark.parametrize(("who", "uri", "change"), CASES, ids=[case[1] for case in CASES])
async def test_an_older_client_hears_of_a_change(
    hub: Hub, who: str, uri: str, change: Callable[[Hub], Awaitable[Any]]
) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def on_message(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            heard.put_nowait(str(message.params.uri))

    async with client(hub, who, "legacy", message_handler=on_message) as connected:
        await connected.subscribe_resource(uri)
        await change(hub)
        async with asyncio.timeout(20):
            assert await heard.get() == uri
        await connected.unsubscribe_resource(uri)
    assert hub.push.watched() == 0


@pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed")
async def test_a_session_that_ends_is_forgotten_and_may_not_hoard(hub: Hub) -> None:
    async with client(hub, "reader", "legacy") as connected:
        for number in range(MAX_PER_SESSION):
            await connected.subscribe_resource(f"context://topic/news?after={number}")
        assert hub.push.watched() == MAX_PER_SESSION
        with pytest.raises(MCPError, match="100"):
            await connected.subscribe_resource("context://daily")
    assert hub.push.watched() == 0


async def test_a_burst_is_told_of_at_once_and_at_its_end() -> None:
    push = Push()
    told: asyncio.Queue[object] = asyncio.Queue()
    push.bus.subscribe(told.put_nowait)
    for _ in range(1_000):
        push.changed("context://topic/news")
    async with asyncio.timeout(20):
        await told.get()
        await told.get()
    push.close()
    assert told.empty()


async def test_the_hubs_client_publishes_reads_acknowledges_and_watches(served: Served) -> None:
    agent = HubClient(served.url, served.credential("NewsAnalysisAgent"))
    async with agent, HubClient(served.url, served.credential("TradingAgent")) as trader:
        await agent.register(topics=["news"], schedule=["05:15"])
        async with agent.watch("context://topic/news") as changes:
            receipts = await agent.publish([news(message_id=f"m{n}") for n in range(150)])
            async with asyncio.timeout(20):
                assert await anext(changes) == "context://topic/news"
        sequences = [receipt["sequence"] for receipt in receipts]
        assert len(sequences) == 150
        assert sequences == sorted(set(sequences))
        page = await trader.read(inbox=True, limit=500)
        assert len(page["messages"]) == 150
        await trader.ack(page["next_after"])
        assert (await trader.read(inbox=True))["messages"] == []
