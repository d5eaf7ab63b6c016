"""The earnings agent against the box: two calendars joined, revisions, reports, and every fault."""

import csv
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count

import httpx
import pytest

from relentless.agents.base import Run
from relentless.agents.earnings import EarningsAgent, ledger
from relentless.agents.earnings.agent import HORIZON, LARGEST, days_ahead
from relentless.agents.earnings.facts import Fact, fact_of, match
from relentless.agents.earnings.ledger import Ledger
from relentless.agents.earnings.reconcile import Expected, reconcile, time_of_day, trading_days
from relentless.agents.earnings.rows import Row
from relentless.agents.edgar.entries import FilingEntry
from relentless.agents.edgar.times import json_acceptance, sgml_acceptance
from relentless.agents.http import Upstream
from relentless.configs.clock import EASTERN, ManualClock
from relentless.configs.sessions import table
from relentless.models.fold_select import select
from relentless.models.fold_symbols import earnings_ahead
from relentless.proto.contexts import Origin, Topic
from relentless.proto.errors import InvalidInput
from relentless.sandbox.faults import KINDS, Fault
from relentless.sandbox.filers import FUNDS
from relentless.sandbox.invented_earnings import companies, plan
from relentless.sandbox.server import build, serve

from .conftest import FAST, SECRET, eastern, test_settings

OWN = ("IBM", "AAPL", "MSFT", "JPM", "XOM")
numbers = count()


class Box:
    """The sandbox in process, on a clock that the test moves, and the agent's state beside it."""

    def __init__(self, tmp_path, at="2013-10-07 05:25", symbols=None):
        self.clock = ManualClock(eastern(at))
        self.tmp = tmp_path
        self.settings = test_settings(tmp_path, "http://box").model_copy(
            update={"recordings": None}
        )
        if symbols is not None:
            predictor = self.settings.predictor.model_copy(update={"symbols": symbols})
            self.settings = self.settings.model_copy(update={"predictor": predictor})
        self.app = build(self.settings, self.clock)
        self.asked = []
        self.state = tmp_path / "state"
        self.rewrite = lambda request, body: body

    async def _pass(self, request):
        self.asked.append(str(request.url))
        response = await httpx.ASGITransport(app=self.app).handle_async_request(request)
        body = self.rewrite(str(request.url), await response.aread())
        headers = [(k, v) for k, v in response.headers.raw if k.lower() != b"content-length"]
        return httpx.Response(response.status_code, headers=headers, content=body)

    async def collect(self, as_of, at=None, policy=FAST):
        """Run the agent as of a moment, the clock at the same one where no other is given."""
        self.clock.move_to(max(self.clock.now(), eastern(at or as_of)))
        self.state.mkdir(exist_ok=True)
        transport = httpx.MockTransport(self._pass)
        async with Upstream(self.tmp / f"raw{next(numbers)}", policy, transport) as upstream:
            run = Run(eastern(as_of), upstream, self.clock, self.state, self.settings)
            return await EarningsAgent().collect(run)


def ids(collected):
    return sorted(message.message_id for message in collected.messages)


def by_symbol(collected):
    return {m.context["symbol"]: m.context for m in collected.messages}


async def test_the_shipped_day_says_when_and_in_how_many_trading_days(tmp_path):
    box = Box(tmp_path)
    collected = await box.collect("2013-10-07 05:05", at="2013-10-07 05:25")
    assert not collected.gaps
    said = by_symbol(collected)
    # 8, 9, 10, 11, 14 (the exchange trades on Columbus Day), 15, 16
    assert (said["JPM"]["report_date"], said["JPM"]["trading_days_ahead"]) == ("2013-10-16", 7)
    assert not FUNDS & said.keys()
    assert all(m.known_at <= eastern("2013-10-07 05:05") for m in collected.messages)
    assert {e.origin for m in collected.messages for e in m.evidence} == {Origin.SYNTHETIC}
    assert all(m.evidence and SECRET not in str(m.evidence) for m in collected.messages)
    expected = [c for c in said.values() if c["status"] == "expected"]
    assert len([c for c in expected if c["symbol"] not in OWN]) == LARGEST
    assert 0.4 in {c["confidence"] for c in expected}, "the calendars disagree nowhere"
    assert all((c["confidence"] == 0.4) == bool(c["other_date"]) for c in expected)


async def test_nasdaq_is_asked_for_sessions_alone_and_for_eleven_at_most(tmp_path):
    box = Box(tmp_path, "2013-11-22 05:00")
    await box.collect("2013-11-22 05:05")
    days = sorted(url.partition("date=")[2] for url in box.asked if "date=" in url)
    assert len(days) == HORIZON + 1
    assert days[:5] == ["2013-11-22", "2013-11-25", "2013-11-26", "2013-11-27", "2013-11-29"]
    assert sum("EARNINGS_CALENDAR" in url for url in box.asked) == 1


async def test_the_evening_says_the_same_as_the_morning_and_a_run_repeated_says_it_again(tmp_path):
    box = Box(tmp_path)
    morning = await box.collect("2013-10-07 05:05")
    evening = await box.collect("2013-10-07 16:30")
    news = [m for m in evening.messages if m.context["status"] == "reported"]
    assert set(ids(evening)) - {m.message_id for m in news} <= set(ids(morning))
    assert ids(await box.collect("2013-10-07 05:05")) == ids(morning)
    assert ids(await box.collect("2013-10-07 16:30")) == ids(evening)


async def test_without_its_state_the_agent_says_the_same_with_a_later_time(tmp_path):
    box = Box(tmp_path)
    morning = await box.collect("2013-10-07 05:05")
    (kept,) = box.state.glob("ledger-*.json")
    kept.write_text("{cut")
    again = await box.collect("2013-10-07 16:30")
    for before, after in zip(morning.messages, again.messages, strict=False):
        assert before.context["report_date"] == after.context["report_date"]
    expected = [m for m in again.messages if m.context["status"] == "expected"]
    assert {m.known_at for m in expected} == {eastern("2013-10-07 16:30").astimezone(UTC)}
    numbered = enumerate([*morning.messages, *again.messages], start=1)
    standing = select(numbered, as_of=eastern("2013-10-07 17:00"), head=1_000)
    assert len(standing[Topic.EARNINGS_CALENDAR]) == len(again.messages)


async def test_a_rewritten_calendar_is_a_revision_and_counts_once(tmp_path):
    box = Box(tmp_path)
    seed, symbols = box.settings.sandbox.seed, box.settings.predictor.symbols
    plans = {}
    for symbol, name in companies(symbols):
        for ends in (date(2013, 8, 31), date(2013, 9, 30)):
            plans[symbol, f"{ends:%Y-%m}"] = plan(seed, symbol, name, ends)
    told = []
    moved, cancelled, reported = set(), set(), set()
    for n in range(26):
        day = date(2013, 10, 7) + timedelta(days=n)
        if day.weekday() > 4:
            continue
        collected = await box.collect(f"{day} 05:05")
        assert not collected.gaps
        told += collected.messages
        for said in (m.context for m in collected.messages):
            key = (said["symbol"], said["fiscal_quarter"])
            if said["status"] == "moved":
                moved.add(key)
                assert plans[key].moves_on <= day + timedelta(days=2)
                assert said["revisions"] >= 1
                assert said["previous_report_date"] != said["report_date"]
            elif said["status"] == "cancelled":
                cancelled.add(key)
            elif said["status"] == "reported" and said["fiscal_quarter"]:
                reported.add(key)
    assert len(moved) >= 3
    assert ("JPM", "2013-09") in reported
    # What was cancelled or made, and what was moved away, lies ahead no longer; the rest once.
    as_of = eastern("2013-10-25 08:05")
    items = select(enumerate(told, start=1), as_of=as_of, head=10**6)[Topic.EARNINGS_CALENDAR]
    events, used = earnings_ahead(
        items, as_of=as_of, trading_date=date(2013, 10, 25), horizon=timedelta(days=10)
    )
    keys = [(item.context["symbol"], item.context["fiscal_quarter"]) for item in used]
    assert len(keys) == len(set(keys)) > 5
    assert all(len(dates) == 1 for dates in events.values())
    for item in used:
        said = item.context
        truth = plans[said["symbol"], said["fiscal_quarter"]].on(date(2013, 10, 25))
        late = plans[said["symbol"], said["fiscal_quarter"]].on(date(2013, 10, 23))
        assert said["report_date"] in {str(r.day) for r in (truth, late) if r}


async def test_a_report_that_was_made_carries_edgars_time_and_its_quarter(tmp_path):
    box = Box(tmp_path, "2013-10-14 05:00")
    expected = by_symbol(await box.collect("2013-10-14 05:05"))["JPM"]
    assert expected["status"] == "expected"
    # As of a moment before EDGAR accepted it, it is expected still.
    earlier = await box.collect("2013-10-16 05:05", at="2013-10-16 20:00")
    assert by_symbol(earlier)["JPM"]["status"] == "expected"
    collected = await box.collect("2013-10-17 05:05")
    (message,) = [m for m in collected.messages if m.context["symbol"] == "JPM"]
    said = message.context
    assert (said["status"], said["fiscal_quarter"]) == ("reported", "2013-09")
    assert said["report_date"] == "2013-10-16"
    reported = datetime.fromisoformat(said["reported_at"])
    assert reported.astimezone(EASTERN).date() == date(2013, 10, 16)
    assert message.known_at >= reported
    assert said["when"] == "after_close" and reported.astimezone(EASTERN).hour >= 16


async def test_filings_after_the_moment_change_nothing(tmp_path):
    box = Box(tmp_path, "2013-10-16 20:00")
    clean = await box.collect("2013-10-16 16:00", at="2013-10-16 20:00")

    def poison(url, body):
        if "/submissions/" not in url:
            return body
        said = json.loads(body)
        recent = said["filings"]["recent"]
        for n, accepted in enumerate(recent["acceptanceDateTime"]):
            if json_acceptance(accepted) > eastern("2013-10-16 16:00"):
                recent["items"][n], recent["form"][n] = "2.02", "8-K"
        for name in recent:
            recent[name].insert(0, recent[name][0] if recent[name] else "")
        recent["accessionNumber"][0] = "0009999999-13-000001"
        recent["acceptanceDateTime"][0] = "2013-10-16T16:00:01.000Z"
        recent["items"][0], recent["form"][0] = "2.02", "8-K"
        recent["filingDate"][0] = "2013-10-16"
        return json.dumps(said).encode()

    box.rewrite, box.state = poison, tmp_path / "other"
    assert ids(await box.collect("2013-10-16 16:00")) == ids(clean)


async def test_a_calendar_is_not_asked_for_a_day_that_is_over(tmp_path):
    box = Box(tmp_path)
    collected = await box.collect("2013-10-07 16:30", at="2013-10-08 00:10")
    assert [(gap.what, gap.reason) for gap in collected.gaps] == [("calendars", "another_day")]
    assert {m.context["status"] for m in collected.messages} <= {"reported"}
    assert not [url for url in box.asked if "calendar" in url.lower()]


@pytest.mark.parametrize(
    ("path", "lost", "left"),
    [
        ("/nasdaq", "nasdaq", {"alphavantage", "edgar"}),
        ("/alphavantage", "alphavantage", {"nasdaq", "edgar"}),
        ("/sec_archive", "8-K item 2.02", {"nasdaq", "alphavantage"}),
        ("/sec/", "8-K item 2.02", {"nasdaq", "alphavantage"}),
    ],
)
async def test_what_one_source_fails_to_say_the_others_still_do(tmp_path, path, lost, left):
    box = Box(tmp_path)
    box.app.add(Fault(path=path, kind="server_error", count=None))
    collected = await box.collect("2013-10-07 05:05")
    assert {gap.what.partition(" I")[0] for gap in collected.gaps} >= {lost} or all(
        gap.what.startswith(lost) for gap in collected.gaps
    )
    assert {s for m in collected.messages for s in m.context["sources"]} == left


async def test_a_calendar_that_fails_neither_moves_nor_cancels_what_it_said(tmp_path):
    box = Box(tmp_path)
    before = by_symbol(await box.collect("2013-10-07 05:05"))
    box.app.add(Fault(path="/nasdaq", kind="unavailable", count=None))
    during = await box.collect("2013-10-07 16:30")
    assert [gap.what for gap in during.gaps] == ["nasdaq"]
    expected = [m for m in during.messages if m.context["status"] != "reported"]
    assert not expected, "Alpha Vantage's word replaced Nasdaq's"
    box.app.plan.clear()
    after = by_symbol(await box.collect("2013-10-08 05:05"))
    assert after["JPM"]["report_date"] == before["JPM"]["report_date"]
    assert after["JPM"]["first_seen_at"] == before["JPM"]["first_seen_at"]
    assert after["JPM"]["revisions"] == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_no_kind_of_fault_invents_or_moves_a_report(tmp_path, kind):
    state = tmp_path / "clean"
    state.mkdir()
    clean = by_symbol(await Box(state).collect("2013-10-07 05:05"))
    clock = ManualClock(eastern("2013-10-07 05:25"))
    settings = test_settings(tmp_path).model_copy(update={"recordings": None})
    app = build(settings, clock)
    for path in ("/nasdaq", "/alphavantage", "/sec/", "/sec_archive"):
        app.add(Fault(path=path, kind=kind, count=None, seconds=1.0 if kind == "hang" else 0.0))
    policy = replace(FAST, attempts=1) if kind == "hang" else replace(FAST, attempts=2)
    async with serve(settings, clock, app=app) as (http, _):
        settings = test_settings(tmp_path, http, 0.4 if kind == "hang" else 5.0)
        async with Upstream(tmp_path / "raw", policy) as upstream:
            run = Run(eastern("2013-10-07 05:05"), upstream, clock, tmp_path, settings)
            collected = await EarningsAgent().collect(run)
    harmless = {"slow_body", "duplicated_page", "shifting_page"}
    if kind in harmless:
        assert not collected.gaps
        assert by_symbol(collected) == clean
    else:
        assert collected.gaps
    for symbol, said in by_symbol(collected).items():
        assert said["report_date"] == clean[symbol]["report_date"]
        assert said["status"] == clean[symbol]["status"]


# The joined calendar


def row(day, quarter="2013-09", **more):
    return Row("IBM", date(2013, 10, day), quarter, **more)


def test_nasdaq_is_believed_before_alpha_vantage_and_a_disagreement_is_said():
    (agreed,) = reconcile({"nasdaq": [row(16)], "alphavantage": [row(16, when="after_close")]})
    assert (agreed.confidence, agreed.other_date, agreed.when) == (0.9, None, "after_close")
    (split,) = reconcile({"nasdaq": [row(16)], "alphavantage": [row(17, when="after_close")]})
    assert (split.report_date, split.other_date) == (date(2013, 10, 16), date(2013, 10, 17))
    assert (split.confidence, split.when) == (0.4, "unknown")
    (alone,) = reconcile({"nasdaq": [], "alphavantage": [row(17)]})
    assert (alone.confidence, alone.sources) == (0.7, ("alphavantage",))


def test_quarters_that_end_a_month_apart_are_one_and_others_are_not():
    (one,) = reconcile({"nasdaq": [row(16)], "alphavantage": [row(16, "2013-10")]})
    assert one.fiscal_quarter == "2013-09"
    assert len(reconcile({"nasdaq": [row(16), row(17, "2013-06")]})) == 2


def test_trading_days_are_the_exchanges():
    assert trading_days(date(2013, 10, 7), date(2013, 10, 7)) == 0
    assert trading_days(date(2013, 11, 27), date(2013, 12, 2)) == 2  # Thanksgiving between
    assert trading_days(date(2013, 10, 4), date(2013, 10, 5)) == 0
    with pytest.raises(InvalidInput):
        trading_days(date(2013, 10, 7), table().last + timedelta(days=1))


def test_past_the_exchange_table_there_is_a_gap_and_no_number():
    days, gaps = days_ahead(table().last - timedelta(days=2))
    assert len(days) < HORIZON
    assert [gap.reason for gap in gaps] == ["exchange_table"]


def test_a_half_day_closes_early():
    assert time_of_day(eastern("2013-11-29 12:59:59")) == "during"
    assert time_of_day(eastern("2013-11-29 13:00")) == "after_close"
    assert time_of_day(eastern("2013-11-27 13:00")) == "during"
    assert time_of_day(eastern("2013-11-27 09:29:59")) == "before_open"
    assert time_of_day(eastern("2013-11-30 13:00")) == "before_open"


# Reports that were made


def expected(day, quarter="2013-09"):
    return Expected("IBM", quarter, date(2013, 10, day), "unknown", None, 0.7, None, ("nasdaq",))


def fact(day, number=1):
    at = eastern(f"2013-10-{day:02d} 16:05")
    return Fact("IBM", f"0000051143-13-{number:06d}", at, at, at.date(), "after_close")


def test_a_report_is_of_the_nearest_quarter_expected_within_ten_days():
    ahead = [("2013-09", date(2013, 10, 16)), ("2013-06", date(2013, 10, 1))]
    assert match(date(2013, 10, 18), ahead) == "2013-09"
    assert match(date(2013, 10, 3), ahead) == "2013-06"
    assert match(date(2013, 10, 27), ahead) is None
    assert match(date(2013, 9, 30), [("2013-10", date(2013, 10, 1))]) is None


def test_a_report_counts_once_and_a_second_filing_of_the_quarter_changes_nothing():
    book, as_of = Ledger(), eastern("2013-10-16 16:30")
    book.expect(expected(17), eastern("2013-10-16 05:05"), frozenset({"nasdaq"}), ())
    book.report(fact(16), as_of)
    book.report(fact(16), as_of)
    book.report(fact(18, 2), as_of)
    (entry,) = book.entries.values()
    assert [v.status for v in entry.versions] == ["expected", "reported"]
    newest = entry.versions[-1]
    assert newest.previous_report_date == date(2013, 10, 17)
    assert book.expect(expected(17), as_of, frozenset({"nasdaq"}), ()) is None


def test_a_report_that_nothing_expected_stands_alone():
    book = Ledger()
    book.report(fact(16), eastern("2013-10-16 16:30"))
    (entry,) = book.entries.values()
    assert entry.fiscal_quarter is None


def test_a_vanished_report_is_cancelled_only_if_all_who_named_it_were_read():
    as_of, today, last = eastern("2013-10-09 05:05"), date(2013, 10, 9), date(2013, 10, 23)
    for whole, status in ((frozenset(), "expected"), (frozenset({"nasdaq"}), "cancelled")):
        book = Ledger()
        book.expect(expected(16), eastern("2013-10-08 05:05"), frozenset({"nasdaq"}), ())
        book.cancel(frozenset(), whole, as_of, today, last)
        (entry,) = book.entries.values()
        assert entry.versions[-1].status == status
    again = book.expect(expected(16), eastern("2013-10-10 05:05"), frozenset({"nasdaq"}), ())
    assert [v.status for v in again.versions] == ["expected", "cancelled", "expected"]


def test_a_ledger_survives_its_file(tmp_path):
    book = Ledger()
    book.expect(expected(16), eastern("2013-10-08 05:05"), frozenset({"nasdaq"}), ())
    book.report(fact(16), eastern("2013-10-16 16:30"))
    path = ledger.path_of(tmp_path, "x")
    ledger.keep(path, book, date(2013, 10, 17))
    assert ledger.load(path) == book
    ledger.keep(path, book, date(2014, 10, 17))
    assert not ledger.load(path).entries


def test_recorded_filings_fall_before_the_open_or_after_the_close_as_their_times_say(recordings):
    name = "earnings_8K_item202_from_submissions.csv"
    with (recordings / "earnings" / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {"before_open": 0, "during": 0, "after_close": 0}
    strange = 0
    for item in rows:
        stated = item["acceptance_json"]  # read as Eastern, which errs late and never early
        said = time_of_day(json_acceptance(stated))
        wall, day = stated[11:19], date.fromisoformat(stated[:10])
        told = "before_open" if wall < "09:30" else "during" if wall < "16:00" else "after_close"
        if day.weekday() > 4 or day in table().closed or day in table().early:
            strange += 1
        else:
            assert said == told, item
        found[said] += 1
    assert strange < 10
    # Companies report around the session: what falls into it is UTC, and why headers are read.
    assert (len(rows), found["during"]) == (542, 171)


def test_a_header_tells_the_time_that_the_list_tells_late(recordings):
    with (recordings / "sec" / "acceptance_time_ET_vs_Z.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["accession"] == "0000320193-22-000061"]
    header = sgml_acceptance(rows[0]["sgml_header_acceptance_ET"])
    listed = {json_acceptance(r["submissions_json_acceptance"]) for r in rows}
    assert time_of_day(header) == "after_close"
    assert {at - header for at in listed} == {timedelta(0), timedelta(hours=4)}
    filed = date.fromisoformat(rows[0]["filing_date"])
    entry = FilingEntry(rows[0]["accession"], "8-K", 320193, "", "", header, False, filed)
    with pytest.raises(ValueError, match="exact"):
        fact_of("AAPL", entry)
    made = fact_of("AAPL", replace(entry, exact=True))
    assert (made.reported_at, made.report_date) == (header, date(2022, 5, 6))
