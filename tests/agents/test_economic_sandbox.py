"""The economic calendar against the box: the shipped day, moved dates, faults and the future."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta

import httpx
import pytest

from relentless.agents.base import Run
from relentless.agents.economic import EconomicAgent
from relentless.agents.http import Upstream
from relentless.configs import freshness
from relentless.configs.clock import EASTERN, ManualClock
from relentless.configs.events import EventTable, event_table
from relentless.models.fold import fold
from relentless.proto.contexts import EconomicCalendar, Origin, Topic
from relentless.sandbox.faults import KINDS, Fault
from relentless.sandbox.server import build, serve

from .conftest import FAST, eastern, test_settings

HARMLESS = {"slow_body", "duplicated_page", "shifting_page"}
REASONS = {
    "rate_limited": "source_rate_limited",
    "forbidden": "source_rejected",
    "server_error": "source_unavailable",
    "unavailable": "source_unavailable",
    "hang": "source_unavailable",
    "cut_body": "source_unavailable",
}


class Rewrite(httpx.AsyncBaseTransport):
    """The box, with its JSON answers changed on their way."""

    def __init__(self, app, change):
        self._inner = httpx.ASGITransport(app)
        self._change = change

    async def handle_async_request(self, request):
        response = await self._inner.handle_async_request(request)
        body = json.loads(await response.aread())
        changed = self._change(request.url.path, body)
        return httpx.Response(200, json=changed, headers={"X-Relentless-Origin": "synthetic"})


@asynccontextmanager
async def box(tmp_path, *faults, as_of="2013-10-07 05:05", now=None, change=None, **more):
    """Give a run as of a moment; the box's clock stands at ``now``."""
    clock = ManualClock(eastern(now or as_of))
    settings = test_settings(tmp_path).model_copy(update={"recordings": None})
    app = build(settings, clock)
    app.add(*faults)
    policy, timeout_s = more.get("policy", FAST), more.get("timeout_s", 10.0)
    if more.get("socket"):
        async with serve(settings, clock, app=app) as (http, _):
            # The services lie under one path each; the page's has its source's name.
            settings = test_settings(tmp_path, http, timeout_s)
            async with Upstream(tmp_path / "raw", policy) as upstream:
                yield Run(eastern(as_of), upstream, clock, tmp_path, mounted(settings, http))
        return
    transport = Rewrite(app, change) if change else httpx.ASGITransport(app)
    settings = mounted(test_settings(tmp_path, timeout_s=timeout_s), "http://fred.test")
    async with Upstream(tmp_path / "raw", policy, transport) as upstream:
        yield Run(eastern(as_of), upstream, clock, tmp_path, settings)


def mounted(settings, http):
    page = settings.sources.fred_web.model_copy(update={"url": f"{http}/fred_web"})
    sources = settings.sources.model_copy(update={"fred_web": page})
    return settings.model_copy(update={"sources": sources})


async def collect(tmp_path, *faults, **more):
    async with box(tmp_path, *faults, **more) as run:
        return await EconomicAgent().collect(run)


def said(collected):
    return {(m.context["release_id"], at(m).date().isoformat()): m for m in collected.messages}


def at(message):
    return datetime.fromisoformat(message.context["release_at"]).astimezone(EASTERN)


def ids(collected):
    return [m.message_id for m in collected.messages]


_CLEAN = []


@pytest.fixture
async def clean(tmp_path_factory):
    """What a run without faults gives, worked out once."""
    if not _CLEAN:
        _CLEAN.append(await collect(tmp_path_factory.mktemp("clean")))
    return _CLEAN[0]


async def test_the_shipped_day_has_a_whole_calendar(clean):
    assert clean.status == "ok"
    assert len(clean.messages) == len(said(clean)) > 25
    for message in clean.messages:
        assert message.topic is Topic.ECONOMIC_CALENDAR
        assert message.known_at == message.timestamp == eastern("2013-10-07 05:05")
        assert message.observed_at == at(message)
        assert message.expires_at == eastern("2013-10-13 00:00")
        assert message.message_id == message.content_digest()[:32]
        context = message.typed()
        assert isinstance(context, EconomicCalendar)
        assert context.consensus is None
        assert {e.origin for e in message.evidence} <= {Origin.SYNTHETIC, Origin.RECORDED}
        assert not any("api_key" in (e.url or "") for e in message.evidence)


async def test_the_employment_report_of_the_shutdown_has_not_come(clean):
    """Due on 4 October 2013, it came on the 22nd; the new date was not known on the 7th."""
    found = said(clean)
    report = found[50, "2013-10-04"].context
    assert report["status"] == "delayed"
    assert "actual" not in report
    assert report["previous"] == 7.2  # August's
    assert (50, "2013-10-22") not in found
    assert found[50, "2013-11-01"].context["status"] == "scheduled"


async def test_dates_times_and_trading_days_of_the_shipped_day(clean):
    found = said(clean)
    prices = found[10, "2013-10-16"]
    assert at(prices) == eastern("2013-10-16 08:30")
    assert prices.context["days_ahead"] == 9
    # 8, 9, 10, 11, 14 (Columbus Day: the exchange is open), 15, 16 October.
    assert prices.context["trading_days_ahead"] == 7
    assert prices.context["importance"] == "high"
    # CPIAUCSL, read by hand: 233.696 in July and 233.877 in August, in the vintage of the box.
    assert prices.context["measure"] == "change_pct"
    assert 0 < prices.context["previous"] < 0.3
    credit = found[14, "2013-10-07"].context
    assert (credit["time_source"], credit["trading_days_ahead"]) == ("calendar", 0)
    assert found[180, "2013-10-03"].context["status"] == "released"


async def test_the_prices_change_agrees_with_the_recorded_index(clean, recordings):
    rows = dict(
        line.split(",")
        for line in (recordings / "fred" / "csv" / "CPIAUCSL.csv").read_text().split()
    )
    by_hand = 100 * (float(rows["2013-08-01"]) / float(rows["2013-07-01"]) - 1)
    assert said(clean)[10, "2013-10-16"].context["previous"] == pytest.approx(by_hand)


async def test_a_release_says_its_actual_once_its_time_has_come(tmp_path):
    before = said(await collect(tmp_path, as_of="2013-10-10 08:29"))[180, "2013-10-10"].context
    after = said(await collect(tmp_path, as_of="2013-10-10 08:40"))[180, "2013-10-10"].context
    assert (before["status"], after["status"]) == ("scheduled", "released")
    assert before.get("actual") is None
    assert after["actual"] > 0
    assert after["actual"] != before["previous"]


async def test_a_moved_date_is_withdrawn_and_its_place_taken(tmp_path):
    """The box knows the dates after the shutdown from 18 October on."""
    before = await collect(tmp_path, as_of="2013-10-17 05:05")
    assert not [m for m in before.messages if m.context["status"] == "withdrawn"]
    after = await collect(tmp_path, as_of="2013-10-18 05:05")
    found = said(after)
    old, new = found[10, "2013-10-16"].context, found[10, "2013-10-30"].context
    assert (old["status"], old["moved_to"]) == ("withdrawn", "2013-10-30")
    assert new["status"] == "scheduled"
    assert found[50, "2013-11-01"].context["status"] == "withdrawn"
    assert found[50, "2013-11-08"].context["status"] == "scheduled"
    assert found[50, "2013-10-22"].context["status"] == "scheduled"


def folded(messages, as_of):
    moment = eastern(as_of)
    numbered = list(enumerate(messages, start=1))
    return fold(
        numbered,
        as_of=moment,
        trading_date=moment.date(),
        head=len(numbered),
        rules=freshness.load(),
    )


async def test_the_fold_counts_a_moved_release_once(tmp_path):
    """Two days before a rewritten date and on the day of the rewriting; the old messages stay."""

    def rewritten(path, body):
        for row in body.get("release_dates", ()):
            if row["release_id"] == 9 and row["date"] == "2013-10-11":
                row["date"] = "2013-10-15"
        return body

    first = await collect(tmp_path, as_of="2013-10-07 05:05")
    second = await collect(tmp_path, as_of="2013-10-08 05:05", change=rewritten)
    journal = [*first.messages, *second.messages]

    def sales(context):
        name = event_table().get(9).name
        found = [event for event in context.events if event.name == name]
        return [(e.at.astimezone(EASTERN).date(), e.in_trading_days, e.importance) for e in found]

    assert sales(folded(journal, "2013-10-07 05:30")) == [(date(2013, 10, 11), 4, "medium")]
    assert sales(folded(journal, "2013-10-08 05:30")) == [(date(2013, 10, 15), 5, "medium")]


async def test_events_of_an_agent_that_fell_silent_end(clean):
    assert folded(clean.messages, "2013-10-11 05:30").events
    assert not folded(clean.messages, "2013-10-14 05:30").events


async def test_a_release_known_by_its_day_alone_is_ahead_until_the_day_is_over(tmp_path):
    events = EventTable({13: replace(event_table().get(13), at=None)})
    async with box(tmp_path, as_of="2013-10-15 05:05") as run:
        collected = await EconomicAgent(events).collect(run)
    (message,) = collected.messages
    assert message.context["time_known"] is False
    assert at(message) == eastern("2013-10-16 00:00")
    assert len(folded([message], "2013-10-16 09:25").events) == 1
    assert not folded([message], "2013-10-17 00:01").events


async def test_the_page_s_time_wins_over_the_rule(tmp_path):
    def later(path, body):
        if path.endswith("/releases/calendar"):
            body["pager"] = body["pager"].replace("2:00 pm", "1:00 pm")
        return body

    found = said(await collect(tmp_path, change=later))
    credit = found[14, "2013-10-07"]
    assert at(credit) == eastern("2013-10-07 14:00")  # the rule says 15:00
    assert credit.context["time_source"] == "calendar"


async def test_the_same_moment_says_the_same_whenever_it_runs(tmp_path, clean):
    again = await collect(tmp_path / "other", now="2013-10-07 20:00")
    assert ids(again) == ids(clean)
    once_more = await collect(tmp_path / "other", now="2013-10-07 20:00")
    assert ids(once_more) == ids(clean)


async def test_poison_in_what_is_known_later_changes_nothing(tmp_path):
    spoiled = []

    def poison(path, body):
        for row in body.get("observations", ()):
            if row["realtime_start"] >= "2013-10-10":
                row["value"] = "poison"
                spoiled.append(row)
        return body

    morning = "2013-10-10 05:05"
    clean = await collect(tmp_path, as_of=morning)
    collected = await collect(tmp_path, as_of=morning, now="2013-10-10 20:00", change=poison)
    assert spoiled
    assert not collected.gaps
    assert ids(collected) == ids(clean)


async def test_a_run_made_up_on_a_later_day_says_no_schedule(tmp_path):
    """FRED keeps no calendar of earlier days, so only what had come is said."""
    collected = await collect(tmp_path, now="2013-10-09 12:00")
    assert [(gap.what, gap.reason) for gap in collected.gaps] == [("schedule", "known_later")]
    assert collected.messages
    assert {m.context["status"] for m in collected.messages} <= {"released", "delayed"}
    assert all(at(m) <= eastern("2013-10-07 05:05") for m in collected.messages)


async def test_past_the_exchange_s_table_trading_days_are_a_gap(tmp_path):
    collected = await collect(tmp_path, as_of="2030-12-20 05:05")
    assert [(gap.what, gap.reason) for gap in collected.gaps] == [("trading days", "past_table")]
    beyond = [m for m in collected.messages if at(m).year == 2031]
    assert beyond
    assert all(m.context["trading_days_ahead"] is None for m in beyond)
    assert all(m.context["days_ahead"] > 0 for m in beyond)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - HARMLESS))
async def test_a_calendar_that_fails_for_good_is_a_gap_and_no_message(tmp_path, kind):
    fault = Fault(path="/fred/releases/dates", kind=kind, count=None, seconds=30)
    collected = await collect(
        tmp_path, fault, socket=kind == "cut_body", timeout_s=0.5, policy=replace(FAST, attempts=1)
    )
    assert collected.messages == ()
    expected = REASONS.get(kind, "source_malformed")
    assert [(gap.what, gap.reason) for gap in collected.gaps] == [("calendar", expected)]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - HARMLESS - {"empty_page", "cut_body", "hang"}))
async def test_without_the_page_the_rules_stand_in(tmp_path, clean, kind):
    fault = Fault(path="/fred_web", kind=kind, count=None)
    collected = await collect(tmp_path, fault, policy=replace(FAST, attempts=1))
    expected = REASONS.get(kind, "source_malformed")
    assert [(gap.what, gap.reason) for gap in collected.gaps] == [("times of day", expected)]
    assert said(collected).keys() == said(clean).keys()
    assert {m.context["time_source"] for m in collected.messages} == {"rule"}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - HARMLESS - {"cut_body", "hang"}))
async def test_without_a_series_the_dates_stand_alone(tmp_path, clean, kind):
    fault = Fault(query="series_id=ICSA&", kind=kind, count=None)
    collected = await collect(tmp_path, fault, policy=replace(FAST, attempts=1))
    expected = REASONS.get(kind, "source_malformed")
    assert [(gap.what, gap.reason) for gap in collected.gaps] == [("ICSA", expected)]
    for key, message in said(collected).items():
        if key[0] == 180:
            assert message.context.get("previous") is message.context.get("actual") is None
        else:
            assert message.message_id == said(clean)[key].message_id


@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "unavailable", "slow_body"])
async def test_a_passing_fault_leaves_no_trace(tmp_path, clean, kind):
    fault = Fault(path="/fred", kind=kind, count=2, retry_after=0, seconds=0.001)
    collected = await collect(tmp_path, fault)
    assert not collected.gaps
    assert ids(collected) == ids(clean)


@pytest.mark.parametrize("kind", ["duplicated_page", "shifting_page"])
async def test_pages_that_move_while_they_are_read_are_a_gap(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("relentless.agents.economic.agent.PAGE_ROWS", 40)
    whole = await collect(tmp_path)
    assert whole.status == "ok"
    fault = Fault(path="/fred/releases/dates", query="offset=40", kind=kind, count=None)
    collected = await collect(tmp_path, fault)
    assert collected.messages == ()
    assert [(gap.what, gap.reason) for gap in collected.gaps] == [("calendar", "source_malformed")]


async def test_no_key_is_in_a_gap_or_an_evidence(tmp_path):
    key = test_settings(tmp_path).sources.fred.key.get_secret_value()
    fault = Fault(path="/fred/releases/dates", kind="forbidden", count=None)
    collected = await collect(tmp_path, fault)
    assert key not in repr(collected)


async def test_a_live_year_has_its_calendar_too(tmp_path):
    collected = await collect(tmp_path, as_of="2026-03-09 05:05")
    found = said(collected)
    assert at(found[50, "2026-03-06"]) == eastern("2026-03-06 08:30")
    assert found[326, "2026-03-18"].context["importance"] == "high"
    window = timedelta(days=30)
    assert all(
        at(m) - eastern("2026-03-09 00:00") <= window + timedelta(days=1) for m in found.values()
    )
