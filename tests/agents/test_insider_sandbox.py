"""InsiderAgent against EDGAR in the box: the shipped day, faults, look-ahead, and what is kept."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from relentless.agents.http import Answer
from relentless.agents.insider import InsiderAgent, discovery
from relentless.agents.insider import agent as module
from relentless.agents.insider.discovery import Found, in_sample, indexes, order
from relentless.agents.insider.filings import read_submission
from relentless.agents.insider.form4 import Owner, parse_form4
from relentless.agents.insider.shelf import Shelf
from relentless.agents.insider.signal import issuer_signal
from relentless.agents.insider.trades import Report, Row, report_of
from relentless.models.fold_select import select
from relentless.proto.contexts import Origin, Topic
from relentless.proto.errors import SourceMalformed
from relentless.sandbox import filers, form4
from relentless.sandbox.faults import KINDS, Fault

from . import box as boxes
from .box import DATA, FEED, INDEX, OWN, TICKERS
from .conftest import eastern

HARMLESS = {"slow_body", "duplicated_page", "shifting_page"}


def box(tmp_path, *faults, as_of="2013-10-07 05:00", **how):
    return boxes.box(tmp_path, *faults, as_of=as_of, **how)


async def collect(tmp_path, *faults, **how):
    async with box(tmp_path, *faults, **how) as run:
        return await InsiderAgent().collect(run)


def ids(collected):
    return {m.context["symbol"]: m.message_id for m in collected.messages}


_CLEAN = {}


@pytest.fixture
async def clean(tmp_path_factory):
    """What a first run at 05:00 without faults gives, worked out once."""
    if not _CLEAN:
        _CLEAN["it"] = await collect(tmp_path_factory.mktemp("clean"))
    return _CLEAN["it"]


@pytest.fixture
def small(monkeypatch):
    """Read two days of the index and this year's filings of the companies: faults need no more."""
    monkeypatch.setattr(discovery, "INDEX_DAYS", 2)
    monkeypatch.setattr(discovery, "YEARS", 0)


@pytest.fixture
async def little(small, tmp_path_factory):
    """What such a run without faults gives, worked out once."""
    if "little" not in _CLEAN:
        _CLEAN["little"] = await collect(tmp_path_factory.mktemp("little"))
    return _CLEAN["little"]


async def test_the_shipped_day_is_mixed_and_synthetic(clean):
    assert clean.gaps == ()
    said = {m.context["symbol"]: m.context for m in clean.messages}
    assert len(said) == len(clean.messages) > 5
    assert not said.keys() & {"SPY", "XLF", "TLT"}
    assert said["MSFT"]["score"] > 0.3 and said["MSFT"]["opportunistic"] == 1
    assert said["AAPL"]["score"] < 0 and said["AAPL"]["sellers"] == 1
    assert said["IBM"]["score"] == 0 and said["IBM"]["plan_sell_value"] > 0
    assert {said[symbol]["history_years"] for symbol in said.keys() & OWN.keys()} == {3}
    (cluster,) = [context for context in said.values() if context["cluster"]]
    assert cluster["buyers"] == 3 and cluster["score"] >= 0.5
    assert {e.origin for m in clean.messages for e in m.evidence} == {Origin.SYNTHETIC}


async def test_every_message_is_known_by_then_and_ends_with_its_window(clean):
    as_of = eastern("2013-10-07 05:00")
    for message in clean.messages:
        said = message.typed()
        assert said.last_known_at <= message.known_at <= as_of < message.expires_at
        assert message.expires_at - said.last_known_at == timedelta(days=30)
        assert message.observed_at < said.last_known_at
        assert said.net_value == pytest.approx(said.buy_value - said.sell_value)
        assert len(said.accessions) == len(set(said.accessions)) > 0


async def test_the_messages_are_those_of_the_filings_worked_out_without_a_wire(tmp_path, clean):
    async with box(tmp_path) as run:
        for _ in range(3):  # a first start takes three runs for the window
            collected = await InsiderAgent().collect(run)
        world_symbols = run.settings.predictor.symbols
        seed = run.settings.sandbox.seed
    world = type("W", (), {"seed": seed, "symbols": world_symbols})()
    reports = {}
    day, last = date(2010, 1, 1), date(2013, 10, 6)
    while day <= last:
        for filed in form4.filed_on(world, day):
            recent = day >= date(2013, 9, 7)
            if recent or filed.parties[0][1] in OWN.values():
                made = report_of(parse_form4(filed.document), filed.accession, filed.accepted_at)
                reports.setdefault(made.issuer_cik, []).append(made)
        day += timedelta(days=1)
    as_of = eastern("2013-10-07 05:00")
    expected = {cik: issuer_signal(of, as_of) for cik, of in reports.items()}
    listed = {c.cik for c in filers.others() if c.ticker} | set(OWN.values())
    scores = {cik: s.score for cik, s in expected.items() if s is not None and cik in listed}
    assert {m.context["cik"]: m.context["score"] for m in collected.messages} == scores
    assert collected.gaps == ()


async def test_no_document_is_fetched_twice_and_nothing_changes(tmp_path):
    async with box(tmp_path) as run:
        for _ in range(3):
            first = await InsiderAgent().collect(run)
    dead = Fault(path=DATA, kind="server_error", count=None)
    again = await collect(tmp_path, dead)
    assert again.gaps == ()
    assert ids(again) == ids(first)


async def test_lost_state_is_read_again(tmp_path, clean):
    await collect(tmp_path)
    for table in tmp_path.glob("*/*.json*"):
        table.write_bytes(table.read_bytes()[:50])
    assert ids(await collect(tmp_path)) == ids(clean)


async def test_a_later_clock_changes_nothing_said_about_an_earlier_moment(tmp_path, clean):
    late = await collect(tmp_path, now="2013-10-08 12:00")
    assert ids(late) == ids(clean)


async def test_poison_in_everything_that_is_known_later_changes_nothing(
    tmp_path, clean, monkeypatch
):
    as_of = eastern("2013-10-07 05:00")
    real_on, real_about = form4.filed_on, form4.filed_about

    def poisoned(filings):
        return [
            filed
            if filers.public_at(filed) <= as_of
            else replace(filed, document=filed.document.replace(b"<value>", b"<value>9"))
            for filed in filings
        ]

    monkeypatch.setattr(form4, "filed_on", lambda *a: poisoned(real_on(*a)))
    monkeypatch.setattr(form4, "filed_about", lambda *a: poisoned(real_about(*a)))
    later = await collect(tmp_path, now="2013-10-09 23:00")
    assert ids(later) == ids(clean)
    assert ids(await collect(tmp_path, as_of="2013-10-09 22:30")) != ids(clean)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - HARMLESS - {"empty_page", "wrong_charset"}))
async def test_documents_that_fail_for_good_leave_a_gap_and_nothing_invented(
    tmp_path, kind, monkeypatch, small
):
    monkeypatch.setattr(module, "MAX_DOCUMENTS", 20)
    fault = Fault(path=DATA, kind=kind, count=None, seconds=30)
    async with box(tmp_path, fault, socket=kind == "cut_body", timeout_s=0.3) as run:
        collected = await InsiderAgent().collect(run)
    assert collected.messages == ()
    assert {gap.what for gap in collected.gaps} == {"Forms 4"}
    assert collected.status == "failed"


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_submissions_that_fail_leave_a_gap_and_the_market_goes_on(tmp_path, little, kind):
    fault = Fault(path="/sec/submissions", kind=kind, count=None, seconds=30 * (kind == "hang"))
    async with box(tmp_path, fault, socket=kind == "cut_body", timeout_s=1.0) as run:
        collected = await InsiderAgent().collect(run)
    market = {s: i for s, i in ids(little).items() if s not in OWN}
    told = ids(collected)
    assert {s: told[s] for s in market} == market
    if kind in HARMLESS:
        assert told == ids(little)
    elif kind != "empty_page":
        assert {gap.what for gap in collected.gaps} == {f"submissions {s}" for s in OWN}
        assert all(m.context["history_years"] is None for m in collected.messages)


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_indexes_that_fail_leave_the_companies(tmp_path, little, kind):
    fault = Fault(path=INDEX, kind=kind, count=None, seconds=30 * (kind == "hang"))
    async with box(tmp_path, fault, socket=kind == "cut_body", timeout_s=1.0) as run:
        collected = await InsiderAgent().collect(run)
        shown = {s: i for s, i in ids(collected).items() if s in OWN}
    assert shown == {s: i for s, i in ids(little).items() if s in OWN}
    if kind in HARMLESS | {"wrong_charset"}:  # a byte-order mark tells the charset
        assert collected.gaps == ()
    elif kind not in ("empty_page", "truncated_json", "forbidden"):
        assert any(gap.what.startswith("index 2013-10-04") for gap in collected.gaps)
    elif kind == "forbidden":  # "no such file": yesterday's is late, an old day was a holiday
        assert ("index 2013-10-04", "late") in {(g.what, g.reason) for g in collected.gaps}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - HARMLESS))
async def test_the_feed_and_the_tickers_fail_alone(tmp_path, little, kind):
    faults = [
        Fault(path=path, kind=kind, count=None, seconds=30 * (kind == "hang"))
        for path in (FEED, TICKERS)
    ]
    async with box(tmp_path, *faults, socket=kind == "cut_body", timeout_s=1.0) as run:
        collected = await InsiderAgent().collect(run)
    whats = {gap.what for gap in collected.gaps}
    assert "current feed 4" in whats
    if kind != "empty_page":
        assert "company tickers" in whats
    told = {m.context["symbol"]: m.context["score"] for m in collected.messages}
    expected = {m.context["symbol"]: m.context["score"] for m in little.messages}
    # Without the tickers nobody knows whose past to read: the market alone is told, as before.
    assert told and told.items() <= expected.items()
    assert "company tickers" not in whats or not told.keys() & OWN.keys()


async def test_failures_that_pass_leave_no_trace(tmp_path, little):
    faults = [
        Fault(path=DATA, kind="rate_limited", retry_after=0, after=3),
        Fault(path="/sec/submissions", kind="server_error"),
        Fault(path=INDEX, kind="unavailable", after=2),
    ]
    collected = await collect(tmp_path, *faults)
    assert ids(collected) == ids(little)
    assert collected.gaps == ()


async def test_more_filings_than_a_run_reads_are_left_to_the_next(tmp_path, clean, monkeypatch):
    monkeypatch.setattr(module, "MAX_DOCUMENTS", 60)
    first = await collect(tmp_path)
    assert [gap.reason for gap in first.gaps] == ["unread"]
    assert {m.context["history_years"] for m in first.messages if m.context["symbol"] in OWN} != {3}
    for _ in range(4):
        last = await collect(tmp_path)
    assert last.gaps == ()
    assert set(ids(clean)) <= set(ids(last))


async def test_on_busy_days_one_issuer_in_eight_stands_for_the_market(tmp_path, monkeypatch):
    monkeypatch.setattr(discovery, "WHOLE_DAY", 1)
    async with box(tmp_path) as run:
        for _ in range(3):
            collected = await InsiderAgent().collect(run)
    ciks = {m.context["cik"] for m in collected.messages} - set(OWN.values())
    assert ciks and all(in_sample(cik) for cik in ciks)
    assert abs(sum(in_sample(cik) for cik in range(80_000)) / 80_000 - 1 / 8) < 0.01


async def test_on_busy_days_too_the_feed_is_read_on_from_where_it_was_left(tmp_path, monkeypatch):
    monkeypatch.setattr(discovery, "WHOLE_DAY", 1)
    evening = "2013-10-07 21:40"
    async with box(tmp_path, as_of=evening) as run:
        await InsiderAgent().collect(run)
        assert Shelf(tmp_path, run.identity(module.ARCHIVE)).progress().feed_read_to == run.as_of
    broken = Fault(path=FEED, kind="server_error", count=None)
    async with box(tmp_path, broken, as_of="2013-10-07 22:00") as run:
        await InsiderAgent().collect(run)
        assert Shelf(tmp_path, run.identity(module.ARCHIVE)).progress().feed_read_to == eastern(
            evening
        )


async def test_rows_that_cannot_be_counted_are_named_once(tmp_path, monkeypatch):
    real = form4.filed_about

    def odd(*about):
        return [
            replace(
                filed, document=filed.document.replace(b"<value>D</value>", b"<value>X</value>")
            )
            for filed in real(*about)
        ]

    monkeypatch.setattr(form4, "filed_about", odd)
    on = form4.filed_on
    monkeypatch.setattr(
        form4,
        "filed_on",
        lambda *a: [
            replace(
                filed, document=filed.document.replace(b"<value>D</value>", b"<value>X</value>")
            )
            for filed in on(*a)
        ],
    )
    first = await collect(tmp_path)
    (gap,) = first.gaps
    assert gap.reason == "rows_left_out"
    assert all(m.context["sellers"] == 0 for m in first.messages)
    async with box(tmp_path) as run:
        for _ in range(3):
            again = await InsiderAgent().collect(run)
    assert again.gaps == ()


async def test_a_busy_day_waits_where_nobody_knows_who_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(discovery, "WHOLE_DAY", 1)
    found = Found()
    async with box(tmp_path) as run:
        await indexes(run.source("sec_archive"), run.as_of, {}, None, found)
    assert not any(found.counts.get(day, 0) > 1 for day in found.days)
    assert order(found, run.as_of) == [
        entry for day in sorted(found.days, reverse=True) for entry in found.days[day]
    ]


async def test_through_three_weeks_the_newest_message_of_each_issuer_is_the_truth(tmp_path):
    journal, sequence = [], 0
    for n in range(0, 30, 2):
        moment = date(2013, 10, 7) + timedelta(days=n)
        collected = await collect(tmp_path, as_of=f"{moment} 05:00")
        for message in collected.messages:
            sequence += 1
            journal.append((sequence, message))
        as_of = eastern(f"{moment} 05:00")
        standing = select(journal, as_of=as_of, head=sequence)[Topic.INSIDER]
        alive = {i.context["symbol"]: i.message_id for i in standing if not i.expired(as_of)}
        assert alive == ids(collected)


async def test_live_edgar_is_not_asked_without_a_contact(tmp_path):
    async with box(tmp_path) as run:
        section = run.settings.sources.sec.model_copy(update={"origin": "live"})
        sources = run.settings.sources.model_copy(update={"sec": section, "sec_archive": section})
        live = replace(run, settings=run.settings.model_copy(update={"sources": sources}))
        collected = await InsiderAgent().collect(live)
    assert collected.messages == ()
    assert [gap.reason for gap in collected.gaps] == ["invalid_settings"]


@pytest.mark.parametrize(
    ("name", "accession", "known_at", "issuer", "shares"),
    [
        (
            "full_submission_form4_AIR_0001127602-25-001055.txt",
            "0001127602-25-001055",
            "2025-01-10T21:07:30+00:00",
            1750,
            [1_500],
        ),
        (
            "form4_DKNG_multi_S_10b5-1.xml",
            "0001104659-25-025206",
            "2025-03-19T00:01:08+00:00",
            1883685,
            [49_252, 3_525, 52_777],
        ),
        (
            "form4_ZIP_RSU_with_disposal.xml",
            "0001617553-25-000024",
            "2025-03-19T00:14:44+00:00",
            1617553,
            [],
        ),
        (
            "form4_JBLU_derivative_only.xml",
            "0001158463-25-000044",
            "2025-03-13T01:57:40+00:00",
            1158463,
            [],
        ),
    ],
)
def test_recorded_submissions_are_known_from_their_headers_acceptance(
    recordings, name, accession, known_at, issuer, shares
):
    body = (recordings / "insider" / name).read_bytes()
    answer = Answer(body, "http://x.test/a", "0" * 64, Origin.RECORDED, {})
    said = read_submission("sec_archive", answer, accession)
    assert (said.known_at.isoformat(), said.issuer_cik) == (known_at, issuer)
    assert [row.shares for row in said.rows] == shares
    with pytest.raises(SourceMalformed):
        read_submission("sec_archive", answer, "0000000001-25-000001")
    with pytest.raises(SourceMalformed):
        read_submission("sec_archive", replace(answer, value=body[: len(body) // 2]), accession)


def test_what_a_company_filed_about_another_issuer_is_not_its_own():
    at = eastern("2013-10-04 17:00")
    owner = Owner(OWN["JPM"], "JPM as an owner", ten_percent=True)
    row = Row(date(2013, 10, 3), True, 10.0, 5.0, 10.0, True, False)
    about = Report("a", "4", at, 77, "Elsewhere", "ELSE", (owner,), (row,), (row.day,))
    signals = module._signals([about], [OWN["JPM"], 77], eastern("2013-10-07 05:00"))
    assert set(signals) == {77}
