"""EDGAR in a box: true forms, true refusals, and nothing before its time."""

import gzip
import json
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from lxml import etree

from relentless.configs.clock import EASTERN
from relentless.sandbox import edgar_filings, filers, form4
from relentless.sandbox.filings import Filed

from .conftest import Box

MakeBox = Callable[..., Box]

FEED = "/sec_archive/cgi-bin/browse-edgar"
DAILY = "/sec_archive/Archives/edgar/daily-index/2013/QTR4"
ATOM = {"a": "http://www.w3.org/2005/Atom"}


async def feed(box: Box, **query: object) -> etree._Element:
    """Ask for a page of the feed."""
    asked = {"action": "getcurrent", "output": "atom", "count": 100} | query
    response = await box.get(FEED, **asked)
    assert response.status_code == 200
    assert response.headers["X-Relentless-Origin"] == "synthetic"
    return etree.fromstring(response.content)


def accessions(page: etree._Element) -> list[str]:
    """Give the accessions of a page, in its order."""
    return [
        text.rpartition("=")[2] for text in page.xpath("//a:entry/a:id/text()", namespaces=ATOM)
    ]


def shape(element: etree._Element) -> list[tuple[str, tuple[str, ...]]]:
    """Give the elements below one and the names of their attributes."""
    return [(child.tag, tuple(child.attrib)) for child in element]


async def test_the_feed_has_the_form_of_the_recorded_one(box: MakeBox, recordings: Path) -> None:
    body = (recordings / "sec" / "getcurrent_40_p0.atom").read_bytes()
    real = etree.fromstring(body)
    response = await box("2013-10-07T07:55").get(
        FEED, action="getcurrent", output="atom", type="8-K", count=40
    )
    ours = etree.fromstring(response.content)
    assert response.content.splitlines()[:2] == body.splitlines()[:2]
    assert shape(ours.find("a:entry", ATOM)) == shape(real.find("a:entry", ATOM))
    head = [row for row in shape(real) if not row[0].endswith("entry")]
    assert [row for row in shape(ours) if not row[0].endswith("entry")] == head
    title = re.compile(r".+ - .+ \(\d{10}\) \((Filer|Issuer|Reporting|Subject|Filed by)\)")
    for page in (ours, real):
        for text in page.xpath("//a:entry/a:title/text()", namespaces=ATOM):
            assert title.fullmatch(text)


async def test_pages_of_the_feed_join_and_beyond_their_end_is_a_503(box: MakeBox) -> None:
    here = box("2013-10-07T07:55")
    found: list[str] = []
    start = 0
    while page := accessions(await feed(here, type="8-K", start=start)):
        found += page
        if len(page) < 100:
            break
        start += 100
    assert len(found) == len(set(found)) > 100
    beyond = await here.get(
        FEED, action="getcurrent", output="atom", type="8-K", start=5100, count=100
    )
    assert beyond.status_code == 503
    assert beyond.headers["content-type"].startswith("text/html")


async def test_a_type_matches_the_beginning_of_a_form(box: MakeBox) -> None:
    page = await feed(box("2013-10-07T12:00"), type="4")
    terms = page.xpath("//a:category/@term", namespaces=ATOM)
    assert {"424B2", "40-F"} <= set(terms)


async def test_what_is_accepted_in_the_evening_shows_at_six_the_next_business_day(
    box: MakeBox,
) -> None:
    here = box("2013-10-07T05:59")
    before = set(accessions(await feed(here, type="8-K", count=100)))
    here.at("2013-10-07T06:00")
    page = await feed(here, type="8-K", count=100)
    new = [
        (entry.findtext("a:updated", None, ATOM), entry.findtext("a:summary", None, ATOM))
        for entry in page.findall("a:entry", ATOM)
        if entry.findtext("a:id", None, ATOM).rpartition("=")[2] not in before
    ]
    assert new
    for updated, summary in new:
        at = datetime.fromisoformat(updated)
        assert at.date() == date(2013, 10, 4) and (at.hour, at.minute) >= (17, 30)
        assert "2013-10-07" in summary


async def test_tomorrows_answer_contains_todays(box: MakeBox) -> None:
    here = box("2013-10-07T12:00")
    today = (await here.get("/sec/submissions/CIK0000320193.json")).json()["filings"]
    here.at("2013-10-21T12:00")
    later = (await here.get("/sec/submissions/CIK0000320193.json")).json()["filings"]
    old, new = (f["recent"]["accessionNumber"] for f in (today, later))
    added = [accession for accession in new if accession not in old]
    assert added, "a company files something in two weeks"
    assert new[len(added) :] == old[: len(new) - len(added)]


async def test_nothing_is_served_that_is_not_public_yet(box: MakeBox) -> None:
    here = box("2013-10-07T09:00")
    body = (await here.get("/sec/submissions/CIK0000051143.json")).json()
    older = (await here.get("/sec/submissions/CIK0000051143-submissions-001.json")).json()
    recent = body["filings"]["recent"]
    assert len({len(column) for column in recent.values()}) == 1
    assert body["filings"]["files"][0]["filingCount"] == len(older["accessionNumber"])
    assert max(recent["filingDate"]) <= "2013-10-07"
    assert recent["filingDate"][-1] >= older["filingDate"][0]
    assert "filings" not in older


async def test_submissions_have_the_columns_of_the_recorded_ones(
    box: MakeBox, recordings: Path
) -> None:
    real = json.loads((recordings / "sec" / "submissions_CIK0000940418.json").read_bytes())
    ours = (await box().get("/sec/submissions/CIK0000320193.json")).json()
    assert list(ours["filings"]["recent"]) == list(real["filings"]["recent"])
    assert set(ours) <= set(real)
    assert ours["cik"] == "0000320193" and ours["tickers"] == ["AAPL"]


async def test_the_z_of_the_json_time_is_sometimes_eastern_and_sometimes_utc(box: MakeBox) -> None:
    here = box("2013-10-07T09:00")
    recent = (await here.get("/sec/submissions/CIK0000051143.json")).json()["filings"]["recent"]
    differences = set()
    for accession, stated in zip(
        recent["accessionNumber"], recent["acceptanceDateTime"], strict=True
    ):
        folder = accession.replace("-", "")
        path = f"/sec_archive/Archives/edgar/data/51143/{folder}/{accession}-index-headers.html"
        header = (await here.get(path)).text
        (true,) = re.findall(r"<ACCEPTANCE-DATETIME>(\d{14})", header)
        at = datetime.strptime(true, "%Y%m%d%H%M%S")  # noqa: DTZ007
        differences.add(datetime.fromisoformat(stated[:19]) - at)
    hours = timedelta(hours=1)
    assert timedelta(0) in differences
    assert differences & {4 * hours, 5 * hours}
    assert differences <= {timedelta(0), 4 * hours, 5 * hours}


async def test_an_index_appears_at_ten_in_the_evening_and_not_on_holidays(box: MakeBox) -> None:
    here = box("2013-10-07T21:59")
    assert (await here.get(f"{DAILY}/form.20131004.idx")).status_code == 200
    for day in ("20131007", "20131005", "20131014", "20991007"):
        refused = await here.get(f"{DAILY}/form.{day}.idx")
        assert refused.status_code == 403
        assert b"<Code>AccessDenied</Code>" in refused.content
    here.at("2013-10-07T22:00")
    plain = await here.get(f"{DAILY}/form.20131007.idx")
    packed = await here.get(f"{DAILY}/form.20131007.idx.gz")
    assert gzip.decompress(packed.content) == plain.content
    assert plain.content.count(b"edgar/data/") > 150


async def test_an_index_has_the_columns_of_the_recorded_one(box: MakeBox, recordings: Path) -> None:
    real = gzip.decompress((recordings / "sec" / "form.20200318.idx.gz").read_bytes()).decode()
    ours = (await box("2013-10-07T09:00").get(f"{DAILY}/form.20131004.idx")).text
    assert ours.splitlines()[8:10] == real.splitlines()[8:10]
    row = next(line for line in ours.splitlines() if line.startswith("8-K"))
    assert re.fullmatch(r"8-K {9}.{62}\d+ +20131004 {4}edgar/data/\d+/[\d-]{20}\.txt {9}", row)
    assert any(len(line) > 160 for line in ours.splitlines()), "no name overflows its column"


async def test_the_quarters_index_holds_the_days(box: MakeBox) -> None:
    here = box("2013-10-07T09:00")
    path = "/sec_archive/Archives/edgar/full-index/2013/QTR4"
    whole = gzip.decompress((await here.get(f"{path}/form.gz")).content).decode()
    day = (await here.get(f"{DAILY}/form.20131004.idx")).text
    paths = re.compile(r"edgar/data/\S+")
    assert set(paths.findall(day)) < set(paths.findall(whole))
    assert "2013-10-04" in whole
    future = await here.get("/sec_archive/Archives/edgar/full-index/2099/QTR1/form.gz")
    assert future.status_code == 403
    master = (await here.get(f"{path}/master.idx")).text
    assert set(paths.findall(master)) == set(paths.findall(whole))


async def test_feed_index_and_submission_tell_of_the_same_filing(box: MakeBox) -> None:
    here = box("2013-10-07T09:00")
    index = (await here.get(f"{DAILY}/form.20131004.idx")).text
    path = next(
        re.findall(r"(edgar/data/\S+)", row)[0] for row in index.splitlines() if "8-K" in row
    )
    text = (await here.get(f"/sec_archive/Archives/{path}")).text
    accession = path.rpartition("/")[2].removesuffix(".txt")
    assert f"ACCESSION NUMBER:\t\t{accession}" in text
    assert "Invented for a sandbox" in text
    (at,) = re.findall(r"<ACCEPTANCE-DATETIME>(\d{14})", text)
    assert "20131003173000" < at <= "20131004173000"


async def test_refusals_are_the_real_ones(box: MakeBox, recordings: Path) -> None:
    here = box()
    codes = re.compile(rb"<(\w+)>(?=[^<])")
    unknown = await here.get("/sec/submissions/CIK0000000001.json")
    real = (recordings / "sec" / "error_404_submissions.xml").read_bytes()
    assert unknown.status_code == 404
    assert codes.findall(unknown.content) == codes.findall(real)[:3]
    facts = await here.get("/sec/api/xbrl/companyfacts/CIK0000320193.json")
    assert facts.status_code == 404 and b"NoSuchKey" in facts.content
    missing = await here.get("/sec_archive/Archives/edgar/data/320193/0000320193-13-000001.txt")
    assert missing.status_code == 403 and b"AccessDenied" in missing.content


async def test_a_client_without_a_name_is_refused(box: MakeBox) -> None:
    transport = httpx.ASGITransport(app=box().app)
    async with httpx.AsyncClient(transport=transport, base_url="http://box") as client:
        for path in (
            "/sec/submissions/CIK0000320193.json",
            "/sec_archive/files/company_tickers.json",
        ):
            refused = await client.get(path, headers={"User-Agent": ""})
            assert refused.status_code == 403
            assert "Undeclared Automated Tool" in refused.text


async def test_funds_file_nothing_and_invented_companies_are_named_so(box: MakeBox) -> None:
    table = (await box().get("/sec_archive/files/company_tickers.json")).json()
    rows = {row["ticker"]: row for row in table.values()}
    assert not {"SPY", "XLF", "TLT"} & set(rows)
    assert rows["IBM"]["cik_str"] == 51143 and rows["XOM"]["cik_str"] == 34088
    for row in rows.values():
        assert "(sandbox)" in row["title"] or "(invented)" in row["title"]
        assert row["cik_str"] > 9_000_000 or "(sandbox)" in row["title"]


async def test_forms_4_stand_in_feed_index_and_both_submissions(
    box: MakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2013, 10, 4, 20, 30, tzinfo=EASTERN)
    accession = filers.accession(at.date(), 600)
    parties = (("Reporting", 9_899_999, "DOE JANE"), ("Issuer", 320193, "APPLE INC"))
    period = b"<periodOfReport>2013-10-02</periodOfReport>"
    xml = b'<?xml version="1.0"?><ownershipDocument>' + period + b"</ownershipDocument>"
    filed = Filed(accession, "4", at, at.date(), parties, (), xml)
    monkeypatch.setattr(
        form4, "filed_on", lambda world, day: [filed] if day == date(2013, 10, 4) else []
    )
    here = box("2013-10-04T20:31")
    page = await feed(here, type="4")
    assert accessions(page)[:2] == [accession, accession]
    recent = (await here.get("/sec/submissions/CIK0000320193.json")).json()["filings"]["recent"]
    assert recent["accessionNumber"][0] == accession
    assert recent["reportDate"][0] == "2013-10-02"
    here.at("2013-10-04T22:00")
    index = (await here.get(f"{DAILY}/form.20131004.idx")).text
    assert index.count(accession) == 2
    for cik in (320193, 9_899_999):
        text = (await here.get(f"/sec_archive/Archives/edgar/data/{cik}/{accession}.txt")).text
        assert text.index("REPORTING-OWNER:") < text.index("ISSUER:")
        assert "<XML>\n<?xml" in text and "</ownershipDocument>\n</XML>" in text


def test_the_same_day_is_the_same_whenever_it_is_asked_for() -> None:
    day, symbols = date(2013, 10, 4), ("AAPL", "IBM")
    first = edgar_filings.invented_on(7, symbols, day)
    edgar_filings.invented_on.cache_clear()
    edgar_filings._own.cache_clear()
    edgar_filings._month.cache_clear()
    assert edgar_filings.invented_on(7, symbols, day) == first
    assert edgar_filings.invented_on(8, symbols, day) != first
    assert len({filed.accession for filed in first}) == len(first) < 600
    assert edgar_filings.invented_on(7, symbols, date(2013, 10, 5)) == ()
