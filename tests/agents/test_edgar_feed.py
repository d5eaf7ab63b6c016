"""The walk through the current feed: overlapping pages, shifts, holes, and where it ends."""

from datetime import timedelta

import httpx
import pytest

from relentless.agents.edgar.access import ARCHIVE, edgar_source, is_absent
from relentless.agents.edgar.current import MAX_PAGES, current_feed
from relentless.agents.edgar.index import daily_index, full_index
from relentless.agents.edgar.submissions import submissions
from relentless.proto.errors import InvalidSettings, SourceRejected, SourceUnavailable

from .conftest import eastern
from .edgar_wire import atom, feed_of

NOW = eastern("2013-10-07 09:00")


def filings(count, form="4"):
    """Give the entries of so many filings, one a minute back from NOW, two parties each."""
    entries = []
    for n in range(count):
        at = NOW - timedelta(minutes=n)
        row = (f"0000000009-13-{n:06d}", at.isoformat(), at.date().isoformat())
        entries.append((form, f"OWNER {n}", 500 + n, "Reporting", *row))
        entries.append((form, f"ISSUER {n}", 9_000 + n, "Issuer", *row))
    return entries


async def walk(make_run, handler, *, minutes=10_000, form="4"):
    run = await make_run(handler)
    source = run.source(ARCHIVE)
    since = NOW - timedelta(minutes=minutes)
    return await current_feed(source, form, as_of=NOW, since=since)


def numbers(entries):
    return [int(entry.accession[-6:]) for entry in entries]


async def test_every_filing_comes_once_with_its_issuer_first(make_run):
    handler, asked = feed_of(filings(151))
    found, gaps = await walk(make_run, handler, minutes=120)
    assert numbers(found) == list(range(121))
    assert {entry.role for entry in found} == {"Issuer"}
    assert all(len(entry.parties) == 2 for entry in found)
    assert asked == [0, 90, 180]
    assert gaps == []


async def test_filings_that_arrive_while_pages_are_read_hide_none(make_run):
    handler, _ = feed_of(filings(300), moves=7)
    found, gaps = await walk(make_run, handler, minutes=250)
    assert numbers(found) == list(range(251))
    assert gaps == []


async def test_a_page_that_does_not_continue_the_one_before_is_a_gap(make_run):
    entries = filings(300)
    handler, _ = feed_of(entries, moves=-30)
    found, gaps = await walk(make_run, handler, minutes=250)
    assert {gap.reason for gap in gaps} == {"shifted"}
    assert len(found) < 251


async def test_a_feed_that_ends_early_says_how_far_it_reached(make_run):
    handler, _ = feed_of(filings(60))
    found, gaps = await walk(make_run, handler)
    assert numbers(found) == list(range(60))
    (gap,) = gaps
    assert gap.reason == "short_feed" and "2013-10-07T12:01" in gap.detail
    handler, _ = feed_of([])
    found, (gap,) = await walk(make_run, handler)
    assert (found, gap.reason) == ([], "short_feed")


async def test_other_forms_than_the_wanted_one_and_its_amendment_are_dropped(make_run):
    at, day = NOW.isoformat(), "2013-10-07"
    entries = [
        (form, "X", 7, "Filer", f"0000000009-13-{n:06d}", at, day)
        for n, form in enumerate(("4", "4/A", "40-F", "424B2", "425", "4"))
    ]
    found, _ = await walk(make_run, feed_of(entries)[0])
    assert [entry.form for entry in found] == ["4", "4/A", "4"]


async def test_what_is_public_only_later_is_left_out(make_run):
    late = eastern("2013-10-04 18:05").isoformat()
    early = eastern("2013-10-04 17:00").isoformat()
    future = (NOW + timedelta(seconds=1)).isoformat()
    entries = [
        ("8-K", "AFTER", 1, "Filer", "0000000009-13-000001", future, "2013-10-07"),
        ("8-K", "WAITS", 2, "Filer", "0000000009-13-000002", late, "2013-10-07"),
        ("8-K", "SHOWN", 3, "Filer", "0000000009-13-000003", early, "2013-10-04"),
    ]
    handler, _ = feed_of(entries)
    run = await make_run(handler)
    since = eastern("2013-10-04 16:00")
    for at, names in (("05:00", {"SHOWN"}), ("06:00", {"SHOWN", "WAITS"})):
        as_of = eastern(f"2013-10-07 {at}")
        found, _ = await current_feed(run.source(ARCHIVE), "8-K", as_of=as_of, since=since)
        assert {entry.company for entry in found} == names


async def test_a_page_beyond_the_end_is_a_gap_and_what_was_read_is_kept(make_run, recordings):
    page = (recordings / "sec" / "error_503_getcurrent_start5100.html").read_bytes()
    handler, _ = feed_of(filings(300))

    def failing(request):
        if int(request.url.params["start"]) > 100:
            return httpx.Response(503, content=page, headers={"content-type": "text/html"})
        return handler(request)

    found, gaps = await walk(make_run, failing)
    assert numbers(found) == list(range(95))
    assert [gap.reason for gap in gaps] == [SourceUnavailable.code]


async def test_a_walk_is_bounded(make_run):
    same = filings(50)
    handler, asked = feed_of(same * 2 * MAX_PAGES)
    _, gaps = await walk(make_run, handler)
    assert len(asked) == MAX_PAGES
    assert "too_long" in {gap.reason for gap in gaps}


async def test_damaged_entries_are_counted_and_the_others_kept(make_run):
    body = atom(filings(3)).replace(b"accession-number=0000000009-13-000001", b"accession-number=?")
    run = await make_run(lambda request: httpx.Response(200, content=body))
    since = NOW - timedelta(minutes=2)
    found, gaps = await current_feed(run.source(ARCHIVE), "4", as_of=NOW, since=since)
    assert numbers(found) == [0, 2]
    assert (gaps[0].reason, gaps[0].detail) == ("source_malformed", "2 entries of page 1")


async def test_a_file_that_edgar_does_not_have_is_none_and_a_refusal_is_an_error(
    make_run, recordings
):
    absent = (recordings / "sec" / "error_403_future_index.xml").read_bytes()
    unknown = (recordings / "sec" / "error_404_submissions.xml").read_bytes()
    bodies = [httpx.Response(403, content=absent), httpx.Response(403, content=absent)]
    bodies += [httpx.Response(403, html="<html>Undeclared Automated Tool</html>")]
    bodies += [httpx.Response(404, content=unknown)]
    asked = []

    def handler(request):
        asked.append(request.url.path)
        return bodies[len(asked) - 1]

    run = await make_run(handler)
    source = run.source(ARCHIVE)
    assert await daily_index(source, NOW.date()) is None
    assert await full_index(source, 2099, 1) is None
    with pytest.raises(SourceRejected) as caught:
        await daily_index(source, NOW.date())
    assert not is_absent(caught.value)
    with pytest.raises(SourceRejected) as caught:
        await submissions(run.source("sec"), 1, since=NOW.date())
    assert is_absent(caught.value)
    assert asked[0].endswith("/Archives/edgar/daily-index/2013/QTR4/form.20131007.idx")
    assert asked[1].endswith("/Archives/edgar/full-index/2099/QTR1/form.gz")
    assert asked[3].endswith("/submissions/CIK0000000001.json")


async def test_older_files_are_read_only_as_far_as_they_are_wanted(make_run):
    columns = {
        "accessionNumber": ["0000000009-13-000001"],
        "form": ["8-K"],
        "filingDate": ["2013-10-01"],
        "acceptanceDateTime": ["2013-10-01T08:00:00.000Z"],
        "items": ["2.02"],
    }
    older = {**columns, "accessionNumber": ["0000000009-12-000001"], "filingDate": ["2012-05-01"]}
    names = [f"CIK0000000009-submissions-00{n}.json" for n in (1, 2)]
    files = [
        {"name": name, "filingTo": until}
        for name, until in zip(names, ("2012-12-31", "2010-12-31"), strict=True)
    ]
    first = {"cik": "9", "name": "NINE", "filings": {"recent": columns, "files": files}}
    asked = []

    def handler(request):
        asked.append(request.url.path.rpartition("/")[2])
        return httpx.Response(200, json=first if len(asked) == 1 else older)

    run = await make_run(handler)
    since = eastern("2012-01-01 00:00").date()
    company = await submissions(run.source("sec"), 9, since=since)
    assert asked == ["CIK0000000009.json", names[0]]
    assert [entry.form for entry in company.entries] == ["8-K", "8-K"]


@pytest.mark.parametrize("contact", [None, "", "Acme Corp"])
async def test_live_edgar_is_not_asked_without_a_contact(make_run, contact):
    run = await make_run(lambda request: httpx.Response(200, json={}))
    live = run.source_settings(ARCHIVE).model_copy(update={"origin": "live", "user_agent": contact})
    settings = run.settings.model_copy(
        update={"sources": run.settings.sources.model_copy(update={ARCHIVE: live})}
    )
    object.__setattr__(run, "settings", settings)
    with pytest.raises(InvalidSettings, match="SEC_CONTACT"):
        edgar_source(run, ARCHIVE)
    named = live.model_copy(update={"user_agent": "Acme Corp ops@acme.example"})
    sources = run.settings.sources.model_copy(update={ARCHIVE: named})
    object.__setattr__(run, "settings", run.settings.model_copy(update={"sources": sources}))
    assert edgar_source(run, ARCHIVE).settings.user_agent == "Acme Corp ops@acme.example"
