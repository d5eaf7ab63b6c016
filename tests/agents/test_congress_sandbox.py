"""The agent against the sandbox's own Congress: the shipped day, and every fault that it plays."""

import json
from contextlib import asynccontextmanager

import httpx
import pytest

from relentless.agents.base import Run
from relentless.agents.congress import CongressAgent
from relentless.agents.congress import agent as module
from relentless.agents.http import Upstream
from relentless.configs.clock import ManualClock
from relentless.proto.contexts import Origin
from relentless.sandbox.faults import KINDS, Fault
from relentless.sandbox.server import build, serve

from .conftest import FAST, eastern, test_settings

HARMLESS = {"slow_body", "duplicated_page", "shifting_page"}
"""Pages that come late are read on until every distinct record has come: tested below."""
OVER_A_SOCKET = {"cut_body"}
LIST = "/v3/bill/113"
BILLS = 10


@pytest.fixture(autouse=True)
def few_bills(monkeypatch):
    """Read the facts of a few bills: the day's list is whole, the details are enough."""
    monkeypatch.setattr(module, "MAX_BILLS", BILLS)


@asynccontextmanager
async def shipped(tmp_path, *faults, socket=False, timeout_s=0.5):
    """Give a run at 05:10 against the shipped day, in process or over a socket."""
    moment = eastern("2013-10-07 05:10")
    clock = ManualClock(moment)
    settings = test_settings(tmp_path).model_copy(update={"recordings": None})
    app = build(settings, clock)
    app.add(*faults)
    if socket:
        async with serve(settings, clock, app=app) as (http, _):
            settings = test_settings(tmp_path, http, timeout_s)
            async with Upstream(tmp_path / "raw", FAST) as upstream:
                yield Run(moment, upstream, clock, tmp_path, settings)
        return
    settings = test_settings(tmp_path, timeout_s=timeout_s)
    async with Upstream(tmp_path / "raw", FAST, httpx.ASGITransport(app)) as upstream:
        yield Run(moment, upstream, clock, tmp_path, settings)


_CLEAN = []


@pytest.fixture
async def clean(tmp_path_factory):
    """What a run without faults gives, worked out once."""
    if not _CLEAN:
        async with shipped(tmp_path_factory.mktemp("clean"), timeout_s=20) as run:
            _CLEAN.append(await CongressAgent().collect(run))
    return _CLEAN[0]


async def test_the_shipped_day_gives_its_most_relevant_bills(clean):
    assert not clean.gaps
    bills = [message.context["bill_id"] for message in clean.messages]
    assert len(bills) == len(set(bills)) >= BILLS
    assert bills[0] == "113-hjres-59"
    assert {m.evidence[0].origin for m in clean.messages} <= {Origin.RECORDED, Origin.SYNTHETIC}
    assert all(m.known_at <= eastern("2013-10-07 05:10") == m.timestamp for m in clean.messages)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - HARMLESS))
async def test_a_list_that_fails_for_good_is_a_gap_and_no_message(tmp_path, kind):
    fault = Fault(path=LIST, query="limit=250", kind=kind, count=None, seconds=30)
    socket = kind in OVER_A_SOCKET
    async with shipped(tmp_path, fault, socket=socket) as run:
        collected = await CongressAgent().collect(run)
    assert collected.messages == ()
    assert [gap.what for gap in collected.gaps] == ["bill list"]
    assert collected.status == "failed"


@pytest.mark.parametrize("count", [1, None])
@pytest.mark.parametrize("kind", ["duplicated_page", "shifting_page"])
async def test_pages_that_come_again_or_shift_hide_no_bill(tmp_path, clean, kind, count):
    fault = Fault(path=LIST, query="limit=250", kind=kind, after=1, count=count)
    async with shipped(tmp_path, fault, timeout_s=20) as run:
        collected = await CongressAgent().collect(run)
        (kept,) = run.state.glob("113-*/list.json")
    assert not collected.gaps
    assert [m.message_id for m in collected.messages] == [m.message_id for m in clean.messages]
    assert len(json.loads(kept.read_bytes())["bills"]) > 4_800


async def test_bills_that_fail_for_good_are_said_from_the_list(tmp_path, clean):
    kinds = ("rate_limited", "server_error", "truncated_json", "empty_body")
    failing = [message.context["bill_id"] for message in clean.messages[: len(kinds)]]
    faults = [
        Fault(path=f"/v3/bill/{bill.replace('-', '/')}", kind=kind, count=None)
        for bill, kind in zip(failing, kinds, strict=True)
    ]
    async with shipped(tmp_path, *faults, timeout_s=20) as run:
        collected = await CongressAgent().collect(run)
    assert collected.status == "degraded"
    assert {gap.reason for gap in collected.gaps} == {
        *("source_rate_limited", "source_unavailable", "source_malformed"),
    }
    for wanted, told in zip(clean.messages, collected.messages, strict=True):
        assert told.context["bill_id"] == wanted.context["bill_id"]
        assert told.context["stage"] == wanted.context["stage"]
        if told.context["bill_id"] in failing:
            assert not told.context["committees"]
        else:
            assert told.message_id == wanted.message_id


async def test_failures_that_pass_leave_no_trace(tmp_path, clean):
    faults = [
        Fault(path=LIST, kind="rate_limited", retry_after=0),
        Fault(path=LIST, kind="server_error", after=3),
        Fault(path=f"{LIST}/hr", kind="unavailable", after=2),
    ]
    async with shipped(tmp_path, *faults, timeout_s=20) as run:
        collected = await CongressAgent().collect(run)
    assert [m.message_id for m in collected.messages] == [m.message_id for m in clean.messages]
    assert not collected.gaps
