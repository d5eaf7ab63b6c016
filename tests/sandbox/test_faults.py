"""Faults on demand, over a real connection: what a client sees of each kind."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from relentless.configs.clock import ManualClock
from relentless.configs.settings import Settings
from relentless.sandbox.faults import KINDS, Fault, Faults, _emptied
from relentless.sandbox.server import build, serve

GOOD = "/fred/series/observations?series_id=DGS10&file_type=json&limit=50&api_key=" + "0" * 32


@pytest.fixture
async def served(eastern: Callable[[str], Any]) -> AsyncIterator[tuple[Faults, httpx.AsyncClient]]:
    """The sandbox on a port, and a client of it."""
    clock = ManualClock(eastern("2013-10-07T05:30"))
    app = build(Settings(recordings=None), clock)
    async with (
        serve(Settings(recordings=None), clock, app=app) as (url, _),
        httpx.AsyncClient(base_url=url, timeout=20) as client,
    ):
        yield app, client


Served = tuple[Faults, httpx.AsyncClient]


async def test_a_fault_hits_what_it_names_as_often_as_it_says(served: Served) -> None:
    app, client = served
    app.add(Fault(path="/fred", query="series_id=DGS10", kind="server_error", count=2, after=1))
    other = GOOD.replace("DGS10", "DGS2")
    statuses = [(await client.get(path)).status_code for path in (GOOD, other, GOOD, GOOD, GOOD)]
    assert statuses == [200, 200, 500, 500, 200]


async def test_limits_and_outages_look_like_themselves(served: Served) -> None:
    app, client = served
    app.add(
        Fault(kind="rate_limited", retry_after=7),
        Fault(kind="rate_limited"),
        Fault(kind="unavailable"),
    )
    first, second, third = [await client.get(GOOD) for _ in range(3)]
    assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
    assert second.status_code == 429
    assert "Retry-After" not in second.headers
    assert third.status_code == 503
    assert third.headers["content-type"].startswith("text/html")


async def test_a_cut_body_breaks_the_connection(served: Served) -> None:
    app, client = served
    app.add(Fault(kind="cut_body"))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(GOOD)
    assert (await client.get(GOOD)).status_code == 200


async def test_a_slow_or_late_body_is_whole_in_the_end(served: Served) -> None:
    app, client = served
    whole = (await client.get(GOOD)).content
    app.add(Fault(kind="slow_body", seconds=0.001), Fault(kind="hang", seconds=0.001))
    assert (await client.get(GOOD)).content == whole
    assert (await client.get(GOOD)).content == whole
    app.add(Fault(kind="hang", seconds=60))
    with pytest.raises(httpx.ReadTimeout):
        await client.get(GOOD, timeout=0.2)


async def test_spoilt_bodies_are_spoilt_in_their_own_way(served: Served) -> None:
    app, client = served
    kinds: tuple[Any, ...] = ("truncated_json", "empty_body", "empty_page", "wrong_charset")
    app.add(*(Fault(kind=kind) for kind in kinds))
    truncated, nothing, empty, charset = [await client.get(GOOD) for _ in kinds]
    assert {answer.status_code for answer in (truncated, nothing, empty, charset)} == {200}
    with pytest.raises(json.JSONDecodeError):
        truncated.json()
    assert nothing.content == b""
    assert empty.json()["observations"] == []
    assert empty.json()["count"] > 0
    with pytest.raises(UnicodeDecodeError):
        charset.content.decode("utf-8")
    assert "charset=utf-8" in charset.headers["content-type"]


async def test_the_plan_can_be_set_over_http(served: Served) -> None:
    _, client = served
    plan = [{"path": "/v3", "kind": kind, "count": None} for kind in KINDS]
    answer = await client.post("/_faults", json=plan)
    assert [fault["kind"] for fault in answer.json()] == list(KINDS)
    assert (await client.get("/v3/bill?api_key=k")).status_code == 429
    assert (await client.get(GOOD)).status_code == 200
    assert (await client.delete("/_faults")).json() == []
    assert (await client.get("/v3/bill?api_key=k")).status_code == 200
    refused = await client.post("/_faults", json=[{"kind": "earthquake"}])
    assert refused.status_code == 400


def test_the_documented_plan_is_a_plan() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    plan = text.split("```json\n")[1].split("```")[0]
    faults = TypeAdapter(list[Fault]).validate_json(plan)
    assert [fault.kind for fault in faults] == ["rate_limited", "truncated_json"]
    assert all(f"`{kind}`" in text for kind in KINDS)


async def test_a_page_moves_or_comes_again(box):
    sandbox = box()
    query = {"api_key": "k", "format": "json", "limit": 5, "sort": "updateDate asc"}
    first = (await sandbox.get("/v3/bill/113", **query, offset=0)).json()["bills"]
    second = (await sandbox.get("/v3/bill/113", **query, offset=5)).json()["bills"]
    sandbox.app.add(Fault(path="/v3", kind="duplicated_page"))
    assert (await sandbox.get("/v3/bill/113", **query, offset=5)).json()["bills"] == first
    sandbox.app.add(Fault(path="/v3", kind="shifting_page", shift=2))
    moved = (await sandbox.get("/v3/bill/113", **query, offset=5)).json()["bills"]
    assert moved == [*first[-2:], *second[:3]]


async def test_feeds_and_tables_lose_their_entries():
    rss = b"<rss><channel><title>t</title><item><a/></item><item/></channel></rss>"
    assert b"<item" not in _emptied(rss) and b"<title>t</title>" in _emptied(rss)
    atom = b'<feed xmlns="http://www.w3.org/2005/Atom"><entry/><title/></feed>'
    assert b"<entry" not in _emptied(atom)
    assert _emptied(b"symbol,name\nIBM,x\n") == b"symbol,name"
