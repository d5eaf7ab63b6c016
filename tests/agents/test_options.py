"""The agent against the sandbox: the shipped day, catch-up, vendors that fail, and the future."""

import json
from contextlib import asynccontextmanager
from datetime import date

import httpx
import pytest

from relentless.agents.base import Run
from relentless.agents.http import Upstream
from relentless.agents.options import OptionsFlowAgent, vendors
from relentless.configs.clock import ManualClock
from relentless.proto.contexts import Origin
from relentless.sandbox.faults import KINDS, Fault
from relentless.sandbox.server import build, serve

from .conftest import FAST, eastern, test_settings

FRIDAY = date(2013, 10, 4)
MONDAY = date(2013, 10, 7)


class Wire(httpx.AsyncBaseTransport):
    """The sandbox, with a change made to what it answers."""

    def __init__(self, app, change=None):
        self.inner = httpx.ASGITransport(app)
        self.change = change
        self.asked = []

    async def handle_async_request(self, request):
        self.asked.append(request.url.path)
        response = await self.inner.handle_async_request(request)
        body = await response.aread()
        if self.change is not None and response.status_code == 200:
            body = self.change(request, body)
        headers = {k: v for k, v in response.headers.items() if k != "content-length"}
        return httpx.Response(response.status_code, headers=headers, content=body)


@asynccontextmanager
async def sandbox(
    tmp_path, *faults, as_of="2013-10-07 05:20", at=None, change=None, socket=False, symbols=()
):
    """Give a run as of a moment against a sandbox whose clock stands at it, or at ``at``."""
    clock = ManualClock(eastern(at or as_of))

    def narrowed(settings):
        if not symbols:
            return settings
        chosen = settings.predictor.model_copy(update={"symbols": symbols})
        return settings.model_copy(update={"predictor": chosen})

    settings = narrowed(test_settings(tmp_path, timeout_s=0.5))
    app = build(settings.model_copy(update={"recordings": None}), clock)
    app.add(*faults)
    if socket:
        async with serve(settings, clock, app=app) as (http, _):
            settings = narrowed(test_settings(tmp_path, http, 0.5))
            async with Upstream(tmp_path / "raw", FAST) as upstream:
                yield Run(eastern(as_of), upstream, clock, tmp_path, settings)
        return
    async with Upstream(tmp_path / "raw", FAST, Wire(app, change)) as upstream:
        yield Run(eastern(as_of), upstream, clock, tmp_path, settings)


async def collected(tmp_path, *faults, **how):
    async with sandbox(tmp_path, *faults, **how) as run:
        return await OptionsFlowAgent().collect(run)


def ids(found):
    return [m.message_id for m in found.messages]


async def test_before_the_open_every_symbol_says_the_session_before(tmp_path):
    found = await collected(tmp_path)
    assert not found.gaps
    assert len(found.messages) == 8
    for message in found.messages:
        said = message.context
        assert said["session"] == FRIDAY.isoformat()
        assert said["session_closed"] is True
        assert said["open_interest_date"] == "2013-10-03"
        assert said["vendor"] == "cboe"
        assert message.observed_at == eastern("2013-10-04 16:00")
        assert message.known_at == eastern("2013-10-04 16:30")
        assert said["implied_volatility"] > 0
        assert said["skew"] is not None
        assert said["term"] is not None
        assert said["unusual_volume"] is not None
        assert said["compared_with"] == "basket"
        assert {e.origin for e in message.evidence} == {Origin.SYNTHETIC}
    assert sum(m.context["block_trades"] for m in found.messages) > 0


async def test_the_same_session_has_the_same_ids_whenever_it_is_asked_for(tmp_path):
    first = await collected(tmp_path)
    assert ids(await collected(tmp_path, as_of="2013-10-07 09:20")) == ids(first)
    assert ids(await collected(tmp_path / "new", at="2013-10-07 09:25")) == ids(first)
    assert ids(await collected(tmp_path / "eve", as_of="2013-10-04 16:30")) == ids(first)


async def test_during_the_session_nothing_of_the_last_quarter_of_an_hour_is_said(tmp_path):
    found = await collected(tmp_path, as_of="2013-10-07 10:30")
    assert not found.gaps
    assert len(found.messages) == 8
    for message in found.messages:
        assert message.context["session"] == MONDAY.isoformat()
        assert message.context["session_closed"] is False
        assert message.context["open_interest_date"] == FRIDAY.isoformat()
        assert message.context["unusual_volume"] is None
        assert message.observed_at <= eastern("2013-10-07 10:15")
        assert message.known_at <= eastern("2013-10-07 10:30")


async def test_volume_grows_over_the_day_and_ends_as_the_next_morning_says(tmp_path):
    volumes = [
        [
            message.context["volume"]
            for message in (await collected(tmp_path, as_of=f"2013-10-{at}")).messages
        ]
        for at in ("07 11:00", "07 13:00", "07 16:30", "08 05:20")
    ]
    assert volumes[0] < volumes[1] < volumes[2] == volumes[3]
    assert all(a < b < c for a, b, c in zip(*volumes[:3], strict=True))


async def test_a_chain_of_a_session_that_was_not_over_is_known_later(tmp_path):
    found = await collected(tmp_path, at="2013-10-07 11:00", symbols=("IBM",))
    assert found.messages == ()
    assert [(gap.what, gap.reason) for gap in found.gaps] == [
        (f"IBM {vendor}", "known_later") for vendor in ("cboe", "tradier", "alpaca", "yahoo")
    ]


async def test_nothing_known_later_changes_what_is_said(tmp_path):
    def poisoned(request, body):
        said = json.loads(body)
        path = request.url.path
        if "/options/bars" in path:
            for rows in said["bars"].values():
                rows.append({**rows[0], "t": "2013-10-07T04:00:00Z", "v": 10**9})
        if "/options/trades" in path:
            for rows in said["trades"].values():
                rows.append({**rows[0], "t": "2013-10-07T14:00:00Z", "s": 10**6})
        return json.dumps(said).encode()

    first = await collected(tmp_path / "a")
    assert ids(await collected(tmp_path / "b", change=poisoned)) == ids(first)


async def test_a_later_chain_is_left_out_before_its_values_are_looked_at(tmp_path):
    def poisoned(request, body):
        return body.replace(b'"volume": ', b'"volume": 9') if "/cboe/" in str(request.url) else body

    found = await collected(
        tmp_path, as_of="2013-10-07 10:00", at="2013-10-07 11:00", change=poisoned, symbols=("IBM",)
    )
    assert found.messages == ()


PASSES = ("slow_body", "duplicated_page", "shifting_page", "empty_page")
"""The chain has no pages; its list lies deeper than ``empty_page`` reaches (the next test)."""


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_a_vendor_that_fails_is_a_gap_and_the_next_one_is_said(tmp_path, kind):
    harmless = kind in PASSES
    path = "/cboe/api/global/delayed_quotes/options/IBM.json"
    fault = Fault(path=path, kind=kind, count=None, seconds=30 if kind == "hang" else 0.01)
    found = await collected(tmp_path, fault, socket=kind == "cut_body", symbols=("IBM", "XOM"))
    vendors_said = {m.context["symbol"]: m.context["vendor"] for m in found.messages}
    assert vendors_said == {"IBM": "cboe" if harmless else "tradier", "XOM": "cboe"}
    assert [gap.what for gap in found.gaps] == ([] if harmless else ["IBM cboe"])
    ibm = next(m for m in found.messages if m.context["symbol"] == "IBM")
    assert any(f"{vendors_said['IBM']} option chain" in e.source for e in ibm.evidence)


async def test_a_chain_without_contracts_is_a_gap_and_the_next_vendor_is_said(tmp_path):
    def emptied(request, body):
        if "/cboe/" not in str(request.url):
            return body
        said = json.loads(body)
        said["data"]["options"] = []
        return json.dumps(said).encode()

    found = await collected(tmp_path, change=emptied, symbols=("IBM",))
    assert [(g.what, g.reason) for g in found.gaps] == [("IBM cboe", "source_malformed")]
    assert [m.context["vendor"] for m in found.messages] == ["tradier"]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"slow_body", "cut_body"}))
async def test_without_trades_and_bars_the_rest_is_said(tmp_path, kind):
    paged = kind in ("duplicated_page", "shifting_page", "empty_page")
    faults = [
        Fault(path=f"/alpaca_data/v1beta1/options/{what}", kind=kind, count=None, seconds=30)
        for what in ("bars", "trades")
    ]
    found = await collected(tmp_path, *faults, symbols=("IBM",))
    (message,) = found.messages
    assert message.context["put_call_volume"] is not None
    if not paged:
        assert {g.what for g in found.gaps} == {"IBM volume history", "IBM block trades"}
        assert message.context["unusual_volume"] is None
        assert message.context["block_trades"] is None
    assert message.context["vendor"] == "cboe"


BROKEN = {
    "tradier": ("/cboe",),
    "alpaca": ("/cboe", "/tradier"),
    "yahoo": ("/cboe", "/tradier", "/alpaca_data"),
}


@pytest.mark.parametrize("vendor", BROKEN)
async def test_every_vendor_tells_of_the_same_session(tmp_path, vendor):
    whole = await collected(tmp_path / "a", symbols=("IBM",))
    faults = [Fault(path=path, kind="forbidden", count=None) for path in BROKEN[vendor]]
    found = await collected(tmp_path / "b", *faults, symbols=("IBM",))
    (message,) = found.messages
    said, wanted = message.context, whole.messages[0].context
    assert said["vendor"] == vendor
    assert said["session"] == FRIDAY.isoformat()
    assert message.known_at == whole.messages[0].known_at
    assert said["implied_volatility"] == pytest.approx(wanted["implied_volatility"], abs=0.01)
    assert said["skew"] == pytest.approx(wanted["skew"], abs=0.01)
    if vendor == "alpaca":
        assert said["volume"] == wanted["volume"]
        assert said["put_call_open_interest"] is None
        assert said["open_interest_date"] is None
    else:
        assert said["expirations"] < said["expirations_listed"]


async def test_where_one_vendor_is_live_no_stand_in_is_asked(tmp_path):
    async with sandbox(tmp_path, symbols=("IBM",)) as run:
        assert vendors.preferred(run) == ["cboe", "tradier", "alpaca", "yahoo"]
        live = run.settings.sources.tradier.model_copy(update={"origin": "live"})
        sources = run.settings.sources.model_copy(update={"tradier": live})
        settings = run.settings.model_copy(update={"sources": sources})
        assert vendors.preferred(Run(run.as_of, run.upstream, run.clock, tmp_path, settings)) == [
            "tradier"
        ]


async def test_no_chain_at_all_is_gaps_alone(tmp_path):
    faults = [Fault(path=p, kind="forbidden", count=None) for p in (*BROKEN["yahoo"], "/yahoo")]
    found = await collected(tmp_path, *faults, symbols=("IBM",))
    assert found.messages == ()
    assert found.status == "failed"
    assert {gap.reason for gap in found.gaps} == {"source_rejected"}
    assert len(found.gaps) == 4
