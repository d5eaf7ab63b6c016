"""SecAgent against EDGAR in the box: the shipped day, faults, look-ahead, and what is kept."""

from datetime import date, timedelta

import httpx
import pytest

from relentless.agents.base import Run
from relentless.agents.edgar.access import ARCHIVE
from relentless.agents.http import Upstream
from relentless.agents.sec import SecAgent
from relentless.agents.sec import agent as module
from relentless.agents.sec import headers as headers_module
from relentless.configs.clock import EASTERN
from relentless.proto.contexts import Origin
from relentless.sandbox import edgar_filings, filers, form4
from relentless.sandbox.faults import KINDS, Fault
from relentless.sandbox.filings import Filed

from . import box as boxes
from .box import DATA, FEED, INDEX, OWN, TICKERS
from .conftest import FAST, eastern


def box(tmp_path, *faults, as_of="2013-10-07 07:55", **how):
    return boxes.box(tmp_path, *faults, as_of=as_of, **how)


async def collect(tmp_path, *faults, **how):
    async with box(tmp_path, *faults, **how) as run:
        return await SecAgent().collect(run)


def ids(collected):
    return {m.context["accession"]: m.message_id for m in collected.messages}


_CLEAN = {}


@pytest.fixture
async def clean(tmp_path_factory):
    """What a run at 07:55 without faults gives, worked out once."""
    if not _CLEAN:
        _CLEAN["it"] = await collect(tmp_path_factory.mktemp("clean"))
    return _CLEAN["it"]


async def test_the_shipped_day_tells_each_filing_once_the_runs_companies_first(clean):
    assert clean.gaps == ()
    assert len(clean.messages) > 50
    assert len(ids(clean)) == len(clean.messages)
    assert {m.evidence[0].origin for m in clean.messages} == {Origin.SYNTHETIC}
    mine = [m.context["cik"] in OWN.values() for m in clean.messages]
    assert sum(mine) >= 5 and mine == sorted(mine, reverse=True)
    weights = [
        m.context["importance"] for m in clean.messages if m.context["cik"] not in OWN.values()
    ]
    assert weights == sorted(weights, reverse=True)
    told = {m.context["symbol"] for m in clean.messages}
    assert not told & {"SPY", "XLF", "TLT"}


async def test_every_message_is_known_when_its_filing_was_public(clean):
    as_of = eastern("2013-10-07 07:55")
    waited = 0
    for message in clean.messages:
        said = message.typed()
        local = said.accepted_at.astimezone(EASTERN)
        assert message.known_at <= as_of
        assert message.known_at >= said.accepted_at
        assert said.accepted_exact is True
        assert message.expires_at - message.known_at == timedelta(days=module.VALID_DAYS)
        until_ten = said.form in ("4", "4/A")  # Forms 4 keep their day until 22:00
        if (local.hour, local.minute) > (17, 30) and not until_ten:
            waited += 1
            assert message.known_at.astimezone(EASTERN).hour == 6
        else:
            assert message.known_at == said.accepted_at
    assert waited > 0


async def test_the_evenings_filings_are_not_known_at_five_and_are_at_seven(tmp_path, clean):
    early = await collect(tmp_path / "early", as_of="2013-10-07 05:00")
    assert set(ids(early).items()) < set(ids(clean).items())
    new = [m for m in clean.messages if m.context["accession"] not in ids(early)]
    assert {m.known_at >= eastern("2013-10-07 06:00") for m in new} == {True}


async def test_items_are_named_in_the_summary(clean):
    results = [m for m in clean.messages if "2.02" in m.context["items"]]
    assert results
    for message in results:
        assert "2.02 Results of Operations and Financial Condition" in message.context["summary"]
        assert message.context["importance"] >= 0.45


async def test_what_is_kept_saves_requests_and_changes_nothing(tmp_path, clean):
    first = await collect(tmp_path)
    kept = Fault(path=DATA, kind="server_error", count=None)
    again = await collect(tmp_path, kept)
    assert again.gaps == ()
    (file,) = tmp_path.glob("edgar-*.json")
    file.write_bytes(file.read_bytes()[:100])
    lost = await collect(tmp_path)
    for run in (first, again, lost):
        assert ids(run) == ids(clean)


async def test_a_filing_seen_in_the_index_alone_gives_the_same_message(
    tmp_path, clean, monkeypatch
):
    monkeypatch.setattr(headers_module, "MAX_HEADERS", 500)
    dead = Fault(path=FEED, query="type=8-K", kind="server_error", count=None)
    other = await collect(tmp_path, dead, now="2013-10-07 22:30")
    assert {gap.what for gap in other.gaps} == {"current feed 8-K"}
    told = ids(other)
    expected = {
        m.context["accession"]
        for m in clean.messages
        if m.context["symbol"] or not m.context["form"].startswith("8-K")
    }
    assert set(told) == expected
    assert all(told[accession] == ids(clean)[accession] for accession in told)


async def test_submissions_that_fail_are_made_up_for_by_feed_and_index(tmp_path, clean):
    dead = Fault(path="/sec/submissions/CIK0000789019", kind="unavailable", count=None)
    other = await collect(tmp_path, dead)
    assert [(g.what, g.reason) for g in other.gaps] == [("submissions MSFT", "source_unavailable")]
    friday = [
        m
        for m in clean.messages
        if m.context["symbol"] == "MSFT" and m.known_at >= eastern("2013-10-04 00:00")
    ]
    assert friday
    for message in friday:
        assert ids(other)[message.context["accession"]] == message.message_id


async def test_a_filing_without_its_header_is_told_late_and_revised_later(tmp_path, clean):
    (wanted,) = [m for m in clean.messages if m.context["accession"] == "0009900001-13-277000"]
    path = f"{DATA}/{wanted.context['cik']}/{wanted.context['accession'].replace('-', '')}"
    dead = Fault(path=path, kind="server_error", count=None)
    other = await collect(tmp_path, dead)
    assert [(g.what, g.reason) for g in other.gaps] == [
        (wanted.context["accession"], "source_unavailable")
    ]
    (told,) = [m for m in other.messages if m.context["accession"] == wanted.context["accession"]]
    assert told.context["accepted_exact"] is False
    assert told.message_id != wanted.message_id
    late = told.typed().accepted_at - wanted.typed().accepted_at
    assert late in (timedelta(0), timedelta(hours=4))
    assert "up to five hours earlier" in told.context["summary"]
    assert ids(await collect(tmp_path)) == ids(clean)


async def test_a_later_clock_changes_nothing_said_about_an_earlier_moment(tmp_path, clean):
    assert ids(await collect(tmp_path, now="2013-10-07 22:30")) == ids(clean)


async def test_a_catch_up_past_the_feeds_reach_says_what_it_could_not_read(tmp_path, clean):
    other = await collect(tmp_path, now="2013-10-11 12:00")
    assert set(ids(other).items()) < set(ids(clean).items())
    mine = {m.context["accession"] for m in clean.messages if m.context["cik"] in OWN.values()}
    assert mine <= set(ids(other))
    assert "left_out" in {gap.reason for gap in other.gaps}


async def test_poison_in_everything_that_is_known_later_changes_nothing(
    tmp_path, clean, monkeypatch
):
    as_of = eastern("2013-10-07 07:55")
    real = edgar_filings._filed

    def poisoned(filer, form, items, at, day, number):
        filed = real(filer, form, items, at, day, number)
        if filers.public_at(filed) <= as_of:
            return filed
        party = ("Filer", filed.parties[0][1], "POISON")
        poison = (filed.accession, filed.form, at, filed.filed, (party,), ("4.02",), b"POISON")
        return Filed(*poison)

    caches = (edgar_filings.invented_on, edgar_filings._own)
    monkeypatch.setattr(edgar_filings, "_filed", poisoned)
    for cache in caches:
        cache.cache_clear()
    try:
        other = await collect(tmp_path, now="2013-10-07 22:30")
        later = await collect(tmp_path / "later", as_of="2013-10-07 22:30")
    finally:
        for cache in caches:
            cache.cache_clear()
    assert [m.message_id for m in other.messages] == [m.message_id for m in clean.messages]
    assert any(m.context["company"] == "POISON" for m in later.messages)


def form_4(number, parties, at="2013-10-04 16:30"):
    moment = eastern(at)
    accession = filers.accession(moment.date(), 600 + number)
    document = b"<?xml version='1.0'?><ownershipDocument/>"
    return Filed(accession, "4", moment, moment.date(), parties, (), document)


async def test_a_form_4_belongs_to_its_issuer_whoever_lists_it(tmp_path, monkeypatch):
    forms = [
        form_4(0, (("Reporting", 5_000_001, "DOE JANE"), ("Issuer", 320193, "APPLE INC"))),
        form_4(1, (("Reporting", 19617, "JPMORGAN CHASE & CO"), ("Issuer", 9_850_003, "OTHER"))),
    ]
    monkeypatch.setattr(
        form4, "filed_on", lambda world, day: forms if day == date(2013, 10, 4) else []
    )
    collected = await collect(tmp_path)
    told = [m.context for m in collected.messages if m.context["form"] == "4"]
    assert [(c["accession"], c["symbol"], c["cik"]) for c in told] == [
        (forms[0].accession, "AAPL", 320193)
    ]
    dead = Fault(
        path=f"{DATA}/320193/{forms[0].accession.replace('-', '')}", kind="server_error", count=None
    )
    other = await collect(tmp_path / "dead", dead)
    assert not [m for m in other.messages if m.context["form"] == "4"]
    assert [gap.what for gap in other.gaps] == [forms[0].accession]


async def test_more_than_a_run_may_say_is_counted(tmp_path, clean, monkeypatch):
    monkeypatch.setattr(module, "MAX_MESSAGES", 10)
    few = await collect(tmp_path)
    assert list(ids(few).items()) == list(ids(clean).items())[:10]
    (gap,) = few.gaps
    assert (gap.what, gap.reason) == ("filings", "left_out")
    assert gap.detail.startswith(f"{len(clean.messages) - 10}: ")


HARMLESS = {"slow_body", "duplicated_page", "shifting_page"}
UNTOUCHED = {
    *(("empty_page", TICKERS), ("empty_page", "/sec/")),  # their tables are no JSON lists
    *(("wrong_charset", INDEX), ("wrong_charset", DATA)),  # text tells UTF-16 by its mark
}
PLACES = [(kind, path) for kind in KINDS for path in (TICKERS, "/sec/", FEED, INDEX, DATA)]
PLACES.remove(("empty_page", DATA))  # a page of headers holds no list to empty
REASONS = {
    "rate_limited": {"source_rate_limited"},
    "forbidden": {"source_rejected", "absent"},
    "truncated_json": {"source_malformed"},
    "empty_body": {"source_malformed"},
    "empty_page": {"source_malformed"},
    "wrong_charset": {"source_malformed"},
}


@pytest.mark.parametrize(("kind", "path"), PLACES)
async def test_a_lasting_fault_is_typed_gaps_and_nothing_invented(tmp_path, clean, kind, path):
    hang = kind == "hang"
    fault = Fault(path=path, kind=kind, count=None, seconds=30 if hang else 0.0)
    collected = await collect(
        tmp_path, fault, socket=kind == "cut_body", timeout_s=0.05 if hang else 20.0
    )
    told = {m.context["accession"]: m for m in collected.messages}
    known = {m.context["accession"]: m for m in clean.messages}
    assert set(told) <= set(known)
    for accession, message in told.items():
        if path != TICKERS and message.context["accepted_exact"]:
            assert message.message_id == known[accession].message_id
    if kind in HARMLESS or (kind, path) in UNTOUCHED:
        assert collected.gaps == ()
        assert ids(collected) == ids(clean)
        return
    assert collected.gaps
    consequences = {"no_cik"} if path == TICKERS else {"left_out"} if path == FEED else set()
    reasons = {gap.reason for gap in collected.gaps}
    assert reasons <= REASONS.get(kind, {"source_unavailable"}) | consequences
    assert path == TICKERS or len(told) > 0 or kind == "hang"


async def test_an_undeclared_client_is_not_asked_for(tmp_path):
    async with box(tmp_path) as run:
        live = run.source_settings(ARCHIVE).model_copy(update={"origin": "live"})
        sources = run.settings.sources.model_copy(update={"sec": live, ARCHIVE: live})
        asked = []

        def handler(request):
            asked.append(request)
            return httpx.Response(200)

        async with Upstream(tmp_path, FAST, httpx.MockTransport(handler)) as upstream:
            settings = run.settings.model_copy(update={"sources": sources})
            named = Run(run.as_of, upstream, run.clock, tmp_path, settings)
            collected = await SecAgent().collect(named)
    assert asked == []
    assert [(g.what, g.reason) for g in collected.gaps] == [("EDGAR", "invalid_settings")]
    assert "SEC_CONTACT" in collected.gaps[0].detail
