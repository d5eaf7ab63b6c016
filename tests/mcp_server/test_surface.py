"""What a client sees: the tools, their size, their errors. P14: nothing of it changes unseen."""

import hashlib
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from relentless.mcp_server.server import Hub
from relentless.proto.base import canonical_json
from relentless.tools.access import ACCESS

from .helpers import client, news

PINNED = Path(__file__).with_name("tools_list.json")
DIGEST = "5318c80ccf499a4928ff60fe94bfe0b2b9cfe5c04a9eb53126ace014b9b479ea"


async def listed(hub: Hub, mode: str = "auto") -> list[dict[str, object]]:
    async with client(hub, "reader", mode) as connected:
        tools = (await connected.list_tools()).tools
    return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]


@pytest.mark.promise("P14")
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_tool_surface_is_the_pinned_one(hub: Hub, mode: str) -> None:
    """To change it on purpose: write what this prints into both, and a line into CHANGELOG.md."""
    tools = await listed(hub, mode)
    text = json.dumps(tools, indent=1) + "\n"
    assert json.loads(PINNED.read_text()) == tools, text
    assert hashlib.sha256(canonical_json(tools)).hexdigest() == DIGEST


async def test_the_list_is_small_complete_and_in_the_order_of_the_table(hub: Hub) -> None:
    tools = await listed(hub)
    assert [tool["name"] for tool in tools] == list(ACCESS)
    assert len(tools) <= 15
    assert len(json.dumps({"tools": tools}, separators=(",", ":"))) < 16_000
    for tool in tools:
        assert {"title", "description", "inputSchema", "outputSchema", "annotations"} <= set(tool)
        for schema in (tool["inputSchema"], tool["outputSchema"]):
            Draft202012Validator.check_schema(schema)  # type: ignore[arg-type]
            assert '"$ref"' not in json.dumps(schema)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_wrong_argument_is_answered_shortly_and_with_its_place(hub: Hub, mode: str) -> None:
    async with client(hub, "NewsAnalysisAgent", mode) as connected:
        wrong = news(topic="news", context={"asset": "aapl", "sentiment": "good"})
        answer = await connected.call_tool("publish_context", {"message": wrong})
        more = await connected.call_tool("read_messages", {"limit": 0, "nonsense": True})
    text = answer.content[0].text
    assert answer.is_error
    assert text.startswith("invalid_message: asset: ")
    assert "sentiment" in text and len(text) < 500 and "http" not in text
    assert more.structured_content["error"]["code"] == "invalid_input"
    assert "limit" in more.content[0].text and "nonsense" in more.content[0].text


async def test_arguments_may_come_as_json_text_as_some_hosts_send_them(hub: Hub) -> None:
    async with client(hub, "NewsAnalysisAgent") as connected:
        message = json.dumps(news(topic="news"))
        answer = await connected.call_tool("publish_context", {"message": message})
    assert not answer.is_error, answer.content


async def test_an_error_says_whether_to_try_again(hub: Hub) -> None:
    async with client(hub, "reader") as connected:
        answer = await connected.call_tool("get_daily_context", {})
    assert answer.structured_content == {
        "error": {
            "code": "not_found",
            "message": "no daily context was built yet; build_daily_context builds one",
            "retryable": False,
        }
    }


async def test_what_breaks_inside_does_not_leave_the_hub(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(type(hub.contexts), "get", broken)
    async with client(hub, "reader") as connected:
        answer = await connected.call_tool("get_daily_context", {})
    assert answer.is_error
    assert "hunter2" not in answer.model_dump_json()


async def test_an_unknown_tool_names_those_that_are(hub: Hub) -> None:
    async with client(hub, "reader") as connected:
        answer = await connected.call_tool("no_such_tool", {})
    assert answer.is_error
    assert "get_status" in answer.content[0].text


async def test_outside_text_is_marked_where_it_is_served(hub: Hub) -> None:
    async with client(hub, "NewsAnalysisAgent") as connected:
        await connected.call_tool("publish_context", {"message": news(topic="news")})
        page = await connected.call_tool("read_messages", {"topic": "news"})
        text = (await connected.read_resource("context://topic/news")).contents[0].text
    assert page.structured_content["trust"].startswith("untrusted")
    assert json.loads(text)["trust"].startswith("untrusted")


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    "arguments",
    [
        {"message": "x" * 100_000},
        {"message": [[[[[]]]]]},
        {"message": {"context": {"a": [1] * 20_000}}},
        {"message": [news(topic="news")] * 101},
        {"message": []},
        {"message": None},
        {"message": {"\0": "\ud83d\ude00"}},
        {"message": news(topic="note", context={"n": 10**5_000})},
        {},
    ],
)
async def test_hostile_arguments_give_typed_errors(hub: Hub, arguments: dict[str, object]) -> None:
    before = hub.journal.head()
    async with client(hub, "NewsAnalysisAgent") as connected:
        answer = await connected.call_tool("publish_context", arguments)
    assert answer.is_error
    assert answer.structured_content["error"]["code"] in ("invalid_input", "invalid_message")
    assert hub.journal.head() == before
