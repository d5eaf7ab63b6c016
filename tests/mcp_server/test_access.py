"""P13: who is let in at all, over HTTP; what each may then do is in ``test_p13.py``."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from httpx import Response
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import Scope

from relentless.configs.clock import ManualClock
from relentless.configs.settings import Settings
from relentless.mcp_server.auth import Rate
from relentless.mcp_server.http import Edge
from relentless.proto.errors import Overloaded
from relentless.store.keys import KeyRing, keys_path
from relentless.store.ports import Role

from .helpers import Served, news, serving, settings_for

pytestmark = pytest.mark.promise("P13")
VERSION = "2026-07-28"
HOLDERS = {
    Role.AGENT: "NewsAnalysisAgent",
    Role.TRADER: "TradingAgent",
    Role.READER: "reader",
    Role.OPERATOR: "operator",
    Role.PREDICTOR: "predictor",
}


async def post(served: Served, method: str, params: dict[str, Any], **headers: str) -> Response:
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    name = params.get("name") or params.get("uri")
    async with httpx.AsyncClient(timeout=60, verify=False) as session:
        return await session.post(
            served.url,
            json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": meta}},
            headers={
                "accept": "application/json, text/event-stream",
                "mcp-protocol-version": VERSION,
                "mcp-method": method,
                **({"mcp-name": name} if name else {}),
                **headers,
            },
        )


def code(answer: dict[str, Any]) -> str | None:
    """The error's code, of a tool's answer or of JSON-RPC's error; None where there is none."""
    if "error" in answer:
        return str(answer["error"]["data"]["code"])
    content = answer["result"].get("structuredContent") or {}
    return str(content["error"]["code"]) if answer["result"].get("isError") else None


@pytest.mark.parametrize(
    "method", ["tools/list", "tools/call", "resources/read", "server/discover"]
)
async def test_nothing_is_answered_without_a_credential(served: Served, method: str) -> None:
    params = {"name": "get_status", "uri": "agents://"}
    for headers in ({}, {"authorization": "Bearer x.y"}, {"x-api-key": "x.y"}, {"cookie": "a=b"}):
        answer = await post(served, method, params, **headers)
        assert answer.status_code == 401
        assert "relentless" not in answer.text


async def test_a_key_works_in_either_header(served: Served) -> None:
    key = served.credential("reader")
    for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
        answer = await post(served, "tools/call", {"name": "get_status"}, **headers)
        assert code(answer.json()) is None


async def test_header_values_reach_the_hub_without_padding() -> None:
    seen: list[Scope] = []

    async def inner(scope: Scope, *_: object) -> None:
        seen.append(scope)

    scope = {
        "type": "http",
        "path": "/mcp",
        "headers": [(b"x-api-key", b" a.b\t"), (b"host", b"localhost ")],
    }
    edge = Edge(inner, TransportSecuritySettings())
    await edge(scope, None, None)  # type: ignore[arg-type]
    assert dict(seen[0]["headers"])[b"authorization"] == b"Bearer a.b"
    assert dict(seen[0]["headers"])[b"host"] == b"localhost"


async def test_expired_and_revoked_keys_are_refused(served: Served) -> None:
    ring = KeyRing(keys_path(served.state))
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = ring.create("old", Role.OPERATOR, expires=past)
    revoked = ring.create("gone", Role.OPERATOR)
    assert (await post(served, "tools/list", {}, authorization=f"Bearer {revoked}")).is_success
    ring.revoke(revoked.partition(".")[0])
    for key in (expired, revoked):
        async with asyncio.timeout(30):
            while True:
                answer = await post(served, "tools/list", {}, authorization=f"Bearer {key}")
                if answer.status_code == 401:
                    break


async def test_other_hosts_and_origins_are_refused(served: Served) -> None:
    key = f"Bearer {served.credential('reader')}"
    bad_host = await post(served, "tools/list", {}, authorization=key, host="evil.example")
    bad_origin = await post(
        served, "tools/list", {}, authorization=key, origin="http://evil.example"
    )
    assert (bad_host.status_code, bad_origin.status_code) == (421, 403)


async def test_an_agent_cannot_speak_or_listen_as_another(served: Served) -> None:
    key = f"Bearer {served.credential('FredAgent')}"
    for tool, arguments in (
        ("publish_context", {"message": news(topic="news")}),
        ("register_agent", {"name": "NewsAnalysisAgent"}),
    ):
        params = {"name": tool, "arguments": arguments}
        assert (
            code((await post(served, "tools/call", params, authorization=key)).json())
            == "forbidden"
        )
    watch = {"notifications": {"resourceSubscriptions": ["context://inbox/TradingAgent"]}}
    answer = await post(served, "subscriptions/listen", watch, authorization=key)
    assert "forbidden" in answer.text


async def test_the_control_plane_is_the_predictors_alone(served: Served) -> None:
    body = {"predictor_id": "one", "halt_epoch": 0}
    async with httpx.AsyncClient(base_url=served.base, timeout=60, verify=False) as session:
        assert (await session.get("/health")).json() == {"ok": True}
        assert (await session.post("/control/lease", json=body)).status_code == 401
        for role, holder in HOLDERS.items():
            headers = {"authorization": f"Bearer {served.credential(holder)}"}
            answer = await session.post("/control/lease", json=body, headers=headers)
            assert answer.status_code == (200 if role is Role.PREDICTOR else 403)
        headers = {"x-api-key": served.credential("predictor")}
        for wrong in (b"", b"{", b"[]", b'{"predictor_id": ""}', b'{"wait_s": 9}', b"x" * 100_000):
            answer = await session.post("/control/lease", content=wrong, headers=headers)
            assert answer.status_code in (400, 413)


def test_a_caller_beyond_its_rate_is_told_when_to_come_again() -> None:
    now = 0.0
    rate = Rate(10.0, lambda: now)
    for _ in range(10):
        rate.take("one")
    rate.take("another")
    with pytest.raises(Overloaded) as refused:
        rate.take("one")
    assert refused.value.retry_after == pytest.approx(0.1)
    now = 0.11
    rate.take("one")


async def test_every_way_of_calling_too_often_says_when_to_come_again(
    settings: Settings, clock: ManualClock
) -> None:
    slow = settings_for(settings.paths.state, rate_per_s=0.5)
    async with serving(slow, clock) as served:
        key = {"authorization": f"Bearer {served.credential('operator')}"}
        call = {"name": "get_status", "arguments": {}}
        await post(served, "tools/call", call, **key)
        tool = (await post(served, "tools/call", call, **key)).json()
        read = (await post(served, "resources/read", {"uri": "agents://"}, **key)).json()
        key = {"authorization": f"Bearer {served.credential('predictor')}"}
        async with httpx.AsyncClient(base_url=served.base, timeout=60) as http:
            body = {"predictor_id": "one"}
            first = await http.post("/control/lease", json=body, headers=key)
            route = await http.post("/control/lease", json=body, headers=key)
    assert 0 < tool["result"]["structuredContent"]["error"]["retry_after"] <= 2
    assert 0 < read["error"]["data"]["retry_after"] <= 2
    assert (first.status_code, route.status_code) == (200, 429)
    assert route.headers["retry-after"] in ("1", "2")
    assert 0 < route.json()["error"]["retry_after"] <= 2
