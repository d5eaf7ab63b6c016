"""EDGAR's formats, read whole from recorded answers, against values read by hand."""

import csv
import gzip
import json
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from relentless.agents.edgar.current import read_feed
from relentless.agents.edgar.entries import FilingEntry, Party, merged
from relentless.agents.edgar.header import document, read_documents, read_header
from relentless.agents.edgar.index import read_index
from relentless.agents.edgar.items import ITEMS, codes_of, importance
from relentless.agents.edgar.submissions import read_columns, read_submissions
from relentless.agents.edgar.tickers import read_tickers
from relentless.agents.edgar.times import (
    atom_updated,
    disseminated_at,
    eastern,
    json_acceptance,
    sgml_acceptance,
)
from relentless.proto.errors import SourceMalformed

from .edgar_wire import answer, json_answer

EST = ZoneInfo("America/New_York")


@pytest.fixture
def sec(recordings):
    return recordings / "sec"


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def test_the_eastern_reading_of_the_json_time_is_the_header_or_late_and_never_early(sec):
    with (sec / "acceptance_time_ET_vs_Z.csv").open() as file:
        rows = list(csv.DictReader(file))
    late = Counter()
    for row in rows:
        true = sgml_acceptance(row["sgml_header_acceptance_ET"])
        late[json_acceptance(row["submissions_json_acceptance"]) - true] += 1
    assert len(rows) == 15
    assert late == {timedelta(0): 11, timedelta(hours=4): 2, timedelta(hours=5): 2}


def test_a_header_time_is_new_yorks_in_winter_and_in_summer():
    assert sgml_acceptance("20240429090018") == utc(2024, 4, 29, 13, 0, 18)
    assert sgml_acceptance("20260306161125") == utc(2026, 3, 6, 21, 11, 25)
    for wrong in ("", "2024042909001", "20241329090018", "2024-04-29"):
        with pytest.raises(ValueError):
            sgml_acceptance(wrong)


def test_the_hours_of_a_clock_change_are_read_as_the_later_moment():
    assert eastern(datetime.fromisoformat("2013-11-03T01:30")) == utc(2013, 11, 3, 6, 30)
    assert eastern(datetime.fromisoformat("2013-03-10T02:30")) == utc(2013, 3, 10, 7, 30)


def test_a_feed_time_needs_its_offset():
    assert atom_updated("2025-12-12T18:02:43-05:00") == utc(2025, 12, 12, 23, 2, 43)
    with pytest.raises(ValueError, match="offset"):
        atom_updated("2025-12-12T18:02:43")


def test_what_is_accepted_in_the_evening_is_public_at_six_of_its_filing_date():
    evening = datetime(2013, 10, 4, 18, 5, tzinfo=EST)
    monday = date(2013, 10, 7)
    assert disseminated_at(evening, monday) == datetime(2013, 10, 7, 6, tzinfo=EST)
    assert disseminated_at(evening, date(2013, 10, 4)) == evening
    earlier_date = datetime(2013, 10, 7, 9, tzinfo=EST)
    assert disseminated_at(earlier_date, date(2013, 9, 3)) == earlier_date


def test_the_recorded_evening_feed_shows_no_form_that_waits_for_the_morning(sec):
    """At 18:03 the forms filed after 17:30 are those that keep the day until 22:00."""
    read, _ = read_feed("sec", answer((sec / "getcurrent_40_p0.atom").read_bytes()))
    assert {entry.form for entry in read} == {"4", "144", "SCHEDULE 13D/A"}
    assert {entry.filed for entry in read} == {date(2025, 12, 12)}
    # The evening before, seen a day later: prospectuses of 18:05 carry the next day's date.
    read, _ = read_feed("sec", answer((sec / "getcurrent_form4_start2400.atom").read_bytes()))
    late = [entry for entry in read if entry.form == "424B2"]
    assert len(late) == 6
    assert {entry.filed for entry in late} == {date(2025, 12, 12)}
    assert {entry.known_at for entry in late} == {utc(2025, 12, 12, 11)}
    assert all(entry.known_at == entry.accepted_at for entry in read if entry.form == "4")


@pytest.mark.parametrize(
    ("name", "entries", "filings"),
    [
        ("getcurrent_40_p0.atom", 40, 20),
        ("getcurrent_40_start1.atom", 40, 21),
        ("getcurrent_form4_start2400.atom", 100, 51),
    ],
)
def test_a_recorded_feed_is_read_whole_and_one_filing_is_one_entry(sec, name, entries, filings):
    body = (sec / name).read_bytes()
    read, damaged = read_feed("sec", answer(body))
    assert (len(read), damaged) == (entries, 0)
    stated = re.findall(rb"accession-number=([\d-]+)<", body)
    assert [entry.accession.encode() for entry in read] == stated
    whole = merged(read)
    assert len(whole) == len(set(stated)) == filings
    assert sum(len(entry.parties) for entry in whole) == entries
    assert all(entry.exact and entry.accepted_at for entry in whole)


def test_the_first_recorded_filing_names_issuer_and_owner(sec):
    read, _ = read_feed("sec", answer((sec / "getcurrent_40_p0.atom").read_bytes()))
    first = merged(read)[0]
    assert (first.accession, first.form) == ("0002063236-25-000004", "4")
    assert (first.cik, first.company, first.role) == (1673743, "Hinge Health, Inc.", "Issuer")
    assert {(p.role, p.cik) for p in first.parties} == {("Reporting", 2063236), ("Issuer", 1673743)}
    assert first.accepted_at == utc(2025, 12, 12, 23, 2, 43)
    assert first.path == "/Archives/edgar/data/1673743/0002063236-25-000004.txt"
    assert first.evidence.upstream_timestamp == "2025-12-12T18:02:43-05:00"


def test_pages_that_were_recorded_one_after_the_other_overlap(sec):
    pages = [
        read_feed("sec", answer((sec / name).read_bytes()))[0]
        for name in ("getcurrent_40_p0.atom", "getcurrent_40_start1.atom")
    ]
    one, two = ({entry.accession for entry in page} for page in pages)
    assert one & two
    assert len(merged([*pages[0], *pages[1]])) == len(one | two)


def test_a_feed_of_type_4_holds_other_forms(sec):
    read, _ = read_feed("sec", answer((sec / "getcurrent_form4_start2400.atom").read_bytes()))
    assert Counter(entry.form for entry in read) == {"4": 93, "424B2": 6, "425": 1}


def test_an_eight_k_in_the_feed_says_its_items():
    page = b"""<?xml version="1.0" encoding="ISO-8859-1" ?>
    <feed xmlns="http://www.w3.org/2005/Atom"><entry>
    <title>8-K - Caf\xe9 (Holdings) Corp (0000001750) (Filer)</title>
    <summary type="html"> &lt;b&gt;Filed:&lt;/b&gt; 2024-05-02 &lt;b&gt;AccNo:&lt;/b&gt; x
    &lt;br&gt;Item 2.02: Results of Operations and Financial Condition
    &lt;br&gt;Item 9.01: Financial Statements and Exhibits</summary>
    <updated>2024-05-02T16:30:31-04:00</updated><category term="8-K"/>
    <id>urn:tag:sec.gov,2008:accession-number=0000001750-24-000001</id></entry>
    <entry><title>nothing</title></entry></feed>"""
    (entry,), damaged = read_feed("sec", answer(page))
    assert damaged == 1
    assert entry.items == ("2.02", "9.01")
    assert entry.company == "Caf\xe9 (Holdings) Corp"


def test_an_index_whose_names_overflow_is_read_from_the_right(sec):
    entries = read_index("sec", answer((sec / "badform.idx.txt").read_bytes()))
    assert len(entries) == 10
    long = entries[6]
    assert long.company == ("UNITED PLANNERS' FINANCIAL SERVICES OF AMERICA A LIMITED PARTNER")
    assert (long.form, long.cik, long.filed) == ("X-17A-5", 820694, date(2021, 2, 24))
    assert long.accession == "9999999997-21-003146"
    assert (entries[5].form, entries[5].company) == ("1-A POS", "ALFADAN INC.")
    assert entries[-1].accession == "0001225152-21-000002"
    assert all(entry.accepted_at is None and not entry.exact for entry in entries)


def test_an_index_without_rows_is_empty_and_no_error(sec):
    assert read_index("sec", answer((sec / "empty-form.idx").read_bytes())) == []


def test_a_recorded_day_is_read_whole_packed_or_not(sec):
    packed = (sec / "form.20200318.idx.gz").read_bytes()
    text = gzip.decompress(packed).decode()
    entries = read_index("sec", answer(packed))
    assert entries == [
        FilingEntry(**{n: getattr(e, n) for n in e.__dataclass_fields__} | {"evidence": o.evidence})
        for e, o in zip(read_index("sec", answer(text.encode())), entries, strict=True)
    ]
    rows = [line for line in text.splitlines() if "edgar/data/" in line]
    assert len(entries) == len(rows) == 4084
    # Independently: by the columns that no row of this file overflows for the form and the path.
    for row, entry in zip(rows, entries, strict=True):
        assert entry.form == row[:12].strip()
        assert entry.path.endswith(row.split()[-1])
    assert Counter(entry.form for entry in entries)["10-K"] == sum(
        row.startswith("10-K  ") for row in rows
    )


def test_a_cut_index_is_refused(sec):
    body = gzip.decompress((sec / "form.20200318.idx.gz").read_bytes())
    packed = (sec / "form.20200318.idx.gz").read_bytes()
    for cut in (body[: len(body) // 2], body[:200], packed[:5_000]):
        with pytest.raises(SourceMalformed):
            read_index("sec", answer(cut))


def test_a_master_index_is_read():
    body = (
        b"Description: x\n\nCIK|Company Name|Form Type|Date Filed|File Name\n"
        b"-----------\n1750|AAR CORP | X|8-K|20130924|edgar/data/1750/0001104659-13-071764.txt\n"
    )
    (entry,) = read_index("sec", answer(body), "master")
    assert (entry.cik, entry.company, entry.form) == (1750, "AAR CORP | X", "8-K")
    assert entry.filed == date(2013, 9, 24)


@pytest.mark.parametrize(
    ("name", "company", "rows"),
    [
        ("submissions_CIK0000940418.json", "SIEMENS AG", 31),
        ("submissions_CIK0001677077_rec1.json", "Alzamend Neuro, Inc.", 370),
        ("submissions_CIK0001800903_small.json", "&VEST Domestic Fund II LP", 1),
        ("submissions_CIK0001814722.json", "TR Finance LLC", 27),
        ("submissions_CIK0001940261_small.json", "NVC Holdings, LLC", 5),
        ("submissions_TSLA_2022.json.gz", "Tesla, Inc.", 1001),
    ],
)
def test_recorded_submissions_are_read_whole(sec, name, company, rows):
    body = (sec / name).read_bytes()
    body = gzip.decompress(body) if name.endswith(".gz") else body
    raw = json.loads(body)
    read, older = read_submissions("sec", json_answer(body), int(raw["cik"]))
    recent = raw["filings"]["recent"]
    assert (read.name, len(read.entries)) == (company, rows)
    assert [e.accession for e in read.entries] == recent["accessionNumber"]
    assert [e.form for e in read.entries] == recent["form"]
    assert [e.filed.isoformat() for e in read.entries] == recent["filingDate"]
    assert not any(e.exact for e in read.entries)
    assert [file.name for file in older] == [file["name"] for file in raw["filings"]["files"]]


def test_an_older_file_has_bare_columns(sec):
    body = (sec / "submissions_CIK0001324424-submissions-001.json").read_bytes()
    entries = read_columns("sec", json_answer(body), json.loads(body), Party("", 1324424, "EXPE"))
    assert len(entries) == 976
    second = entries[1]
    assert (second.form, second.items) == ("8-K", ("5.02", "9.01"))
    assert second.accepted_at == utc(2016, 3, 10, 3, 24, 8)
    assert second.report_date == date(2016, 3, 7)


def test_teslas_results_of_october_2022_are_an_item_2_02(sec):
    body = gzip.decompress((sec / "submissions_TSLA_2022.json.gz").read_bytes())
    read, _ = read_submissions("sec", json_answer(body), 1318605)
    results = [e for e in read.entries if e.form == "8-K" and "2.02" in e.items]
    assert any(e.filed == date(2022, 10, 19) for e in results)
    differing = sum(
        e.accepted_at.astimezone(EST).date() != e.filed for e in read.entries if e.accepted_at
    )
    assert differing > 0, "the filing date is not the day of acceptance"


def test_ragged_columns_another_company_and_missing_columns_are_refused(sec):
    raw = json.loads((sec / "submissions_CIK0001940261_small.json").read_bytes())

    def refused(change, match, cik=1940261):
        body = json.loads(json.dumps(raw))
        change(body)
        with pytest.raises(SourceMalformed, match=match):
            read_submissions("sec", json_answer(json.dumps(body).encode()), cik)

    refused(lambda b: b["filings"]["recent"]["form"].pop(), "ragged")
    refused(lambda b: b["filings"]["recent"].pop("items"), "no column items")
    refused(lambda b: None, "in place of CIK", cik=320193)
    refused(lambda b: b.pop("filings"), "filings")
    refused(lambda b: b["filings"]["recent"]["acceptanceDateTime"].__setitem__(0, "soon"), "row 0")


def test_the_header_of_a_recorded_eight_k(sec):
    body = (sec / "full_8K_NVDA_0001045810-26-000024.txt").read_bytes()
    header = read_header("sec", answer(body))
    assert (header.accession, header.form) == ("0001045810-26-000024", "8-K")
    assert header.accepted_at == utc(2026, 3, 6, 21, 11, 25)
    assert (header.filed, header.period) == (date(2026, 3, 6), date(2026, 3, 2))
    assert header.items == ("5.02", "9.01")
    assert header.parties == (Party("Filer", 1045810, "NVIDIA CORP", "3674"),)
    documents = read_documents("sec", answer(body))
    assert [d.type for d in documents][:3] == ["8-K", "EX-10.1", "EX-101.SCH"]
    assert len(documents) == body.count(b"<DOCUMENT>")
    assert document("sec", documents, "8-K").filename == "nvda-20260302.htm"
    with pytest.raises(SourceMalformed, match="no document of type 10-K"):
        document("sec", documents, "10-K")


def test_the_header_of_2005_stands_behind_a_mail_header(sec):
    body = (sec / "full_8K_2005_0000950137-05-004969.txt").read_bytes()
    header = read_header("sec", answer(body))
    assert header.accepted_at == utc(2005, 4, 27, 16, 25, 50)
    assert header.parties == (Party("Filer", 1109357, "EXELON CORP", "4931"),)
    assert header.items == ("5.02",)
    assert [d.type for d in read_documents("sec", answer(body))] == ["8-K"]


def test_both_recorded_forms_of_a_form_4_header_name_issuer_and_owner(sec, recordings):
    tags = read_header("sec", answer((sec / "form4.index-headers.html").read_bytes()))
    assert (tags.accession, tags.form) == ("0001062993-24-012217", "4")
    assert tags.accepted_at == utc(2024, 6, 7, 22, 10, 30)
    assert tags.period == date(2024, 6, 5)
    assert tags.parties == (
        Party("Reporting", 1641388, "Hassett Joseph"),
        Party("Issuer", 914156, "UFP TECHNOLOGIES INC", "3841"),
    )
    path = recordings / "insider" / "full_submission_form4_AIR_0001127602-25-001055.txt"
    labels = read_header("sec", answer(path.read_bytes()))
    assert labels.accepted_at == utc(2025, 1, 10, 21, 7, 30)
    assert [(p.role, p.cik, p.name) for p in labels.parties] == [
        ("Reporting", 1806647, "Garascia Jessica A."),
        ("Issuer", 1750, "AAR CORP"),
    ]
    entry = labels.entry(answer(b"x"))
    assert (entry.cik, entry.role, entry.exact) == (1750, "Issuer", True)
    documents = read_documents("sec", answer(path.read_bytes()))
    xml = document("sec", documents, "4").text
    assert xml.startswith('<?xml version="1.0"?>') and xml.endswith("</ownershipDocument>")


def test_a_cut_submission_gives_no_documents(sec):
    body = (sec / "full_8K_NVDA_0001045810-26-000024.txt").read_bytes()
    for size in (400, 20_000, len(body) // 2):
        with pytest.raises(SourceMalformed):
            read_documents("sec", answer(body[:size]))
    with pytest.raises(SourceMalformed):
        read_header("sec", answer(body[:400]))


def test_the_first_ticker_of_a_company_is_its_primary_one():
    rows = [(1652044, "GOOGL"), (1652044, "GOOG"), (1067983, "BRK-B"), (1, "bad ticker")]
    table = {
        str(n): {"cik_str": cik, "ticker": ticker, "title": "x"}
        for n, (cik, ticker) in enumerate(rows)
    }
    tickers = read_tickers("sec", json_answer(json.dumps(table).encode()))
    assert tickers.symbols == {1652044: "GOOGL", 1067983: "BRK-B"}
    assert tickers.ciks["GOOG"] == 1652044
    for wrong in (b"{}", b"[]", b'{"0": {"cik_str": "1", "ticker": "A"}}'):
        with pytest.raises(SourceMalformed):
            read_tickers("sec", json_answer(wrong))


def test_of_several_sights_the_surest_time_is_kept():
    def seen(at, exact, **more):
        entry = FilingEntry("0000000001-13-000001", "8-K", 7, "A", "Filer", at, exact, date.max)
        return FilingEntry(**{n: getattr(entry, n) for n in entry.__dataclass_fields__} | more)

    feed = seen(utc(2013, 10, 4, 20), True, parties=(Party("Filer", 7, "A"),))
    submissions = seen(
        utc(2013, 10, 5, 0),
        False,
        items=("2.02",),
        report_date=date(2013, 10, 4),
        parties=(Party("", 7, "a inc"),),
    )
    index = seen(None, False, parties=(Party("", 7, "A"),))
    for order in ([feed, submissions, index], [index, submissions, feed]):
        (joined,) = merged(order)
        assert joined.accepted_at == feed.accepted_at and joined.exact
        assert joined.items == ("2.02",) and joined.report_date == date(2013, 10, 4)
        assert joined.parties == (Party("Filer", 7, "A"),)
    (inexact,) = merged([index, submissions])
    assert inexact.accepted_at == submissions.accepted_at and not inexact.exact


def test_item_names_of_a_header_become_codes():
    assert codes_of(item.name for item in ITEMS.values()) == tuple(ITEMS)
    assert codes_of(
        [
            "Cost Associated with Exit or Disposal Activities",
            "Changes in Control of Registrant",
            "Item 8.01",
            "5.02",
            "Something Nobody Wrote",
        ]
    ) == ("2.05", "5.01", "8.01", "5.02")


def test_importance_orders_items_and_halves_amendments():
    assert importance("8-K", ("9.01", "2.02")) == ITEMS["2.02"].weight
    assert importance("8-K/A", ("2.02",)) == ITEMS["2.02"].weight / 2
    assert importance("8-K", ("4.02",)) == 1.0 > importance("8-K", ("8.01",))
    assert importance("10-K", ()) > importance("10-Q", ()) > importance("4", ())
    assert 0 < importance("8-K", ()) < importance("8-K", ("2.02",))
