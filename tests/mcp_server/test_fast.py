"""The short way for publish_context: the SDK's own answers, and nothing else taken."""

from typing import Any

import httpx
import pytest

from relentless.mcp_server.protocol import Protocol

from .helpers import Served, news

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}
HEADERS = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": VERSION,
    "mcp-method": "tools/call",
    "mcp-name": "publish_context",
}
AROUND = {"origin": "http://127.0.0.1:1"}
"""Sends a request through the SDK: the short way takes none with an Origin."""


def call(arguments: Any, **change: Any) -> dict[str, Any]:
    params = {"name": "publish_context", "arguments": arguments, "_meta": META}
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params} | change


@pytest.fixture
def through_sdk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes every tool call that reaches the SDK's handler."""
    seen: list[str] = []
    handler = Protocol._call_tool

    async def noted(self: Protocol, ctx: Any, params: Any) -> Any:
        seen.append(params.name)
        return await handler(self, ctx, params)

    monkeypatch.setattr(Protocol, "_call_tool", noted)
    return seen


async def post(served: Served, body: Any, **headers: str) -> httpx.Response:
    key = {"authorization": f"Bearer {served.credential('NewsAnalysisAgent')}"}
    async with httpx.AsyncClient(timeout=60, verify=False) as session:
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await session.post(served.url, headers=HEADERS | key | headers, **given)


ARGUMENTS: list[Any] = [
    {"message": news(topic="news", message_id="m-1")},
    {"message": [news(topic="news", message_id="m-1"), news(topic="note", message_id="x")]},
    {"message": [news(topic="news", message_id="é")]},
    {"message": news(topic="rates")},
    {"message": news(context={"asset": "“quoted” \\ \u2028"}, topic="news")},
    {"message": news(source_agent="FredAgent")},
    {"message": []},
    {"message": 3, "more": None},
    {},
]


async def test_both_ways_answer_the_same(through_sdk: list[str], served: Served) -> None:
    for arguments in ARGUMENTS:
        through_sdk.clear()
        await post(served, call(arguments))  # what is stored now is a duplicate for both
        short = await post(served, call(arguments))
        assert through_sdk == []
        long = await post(served, call(arguments), **AROUND)
        assert through_sdk == ["publish_context"]
        assert (short.status_code, long.status_code) == (200, 200)
        assert short.json() == long.json(), arguments
        assert short.headers["content-type"] == long.headers["content-type"]


STRANGE: list[tuple[Any, dict[str, str]]] = [
    (call({}, params={"name": "get_status", "arguments": {}, "_meta": META}), {}),
    (call({}, method="tools/list"), {}),
    (call({}, jsonrpc="1.0"), {}),
    (call({}, id=None), {}),
    (call({}, id=1.5), {}),
    (call({}, extra=1), {}),
    (call({}, params={"name": "publish_context", "arguments": {}}), {}),
    (b"", {}),
    (b"{", {}),
    (b"[" * 100_000, {}),
    (b"[]", {}),
    (b"\xff\xfe", {}),
    (call({}), {"mcp-name": "get_status"}),
    (call({}), {"mcp-method": "tools/list"}),
    (call({}), {"mcp-protocol-version": "2025-11-25"}),
    (call({}), {"accept": "text/plain"}),
    (call({}), {"host": "evil.example"}),
    (call({}), {"origin": "http://evil.example"}),
    (call({}), {"authorization": "Bearer x.y"}),
    (call({}), {"authorization": "Basic eDp5"}),
    (call({"message": {"x": "y" * 1_100_000}}), {}),
]


@pytest.mark.promise("P11")
async def test_everything_else_is_the_sdks_to_answer(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("the short way answered")

    monkeypatch.setattr("relentless.mcp_server.fast._respond", never)
    for body, headers in STRANGE:
        answer = await post(served, body, **headers)
        assert 200 <= answer.status_code < 500, (str(body)[:80], headers)
    assert served.hub.journal.head().sequence == 0
