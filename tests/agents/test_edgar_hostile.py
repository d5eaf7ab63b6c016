"""Whatever EDGAR's formats hold, the readers give entries or a typed error."""

import gzip
import json
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relentless.agents.edgar.current import read_feed
from relentless.agents.edgar.header import read_documents, read_header
from relentless.agents.edgar.index import read_index
from relentless.agents.edgar.submissions import read_submissions
from relentless.agents.edgar.tickers import read_tickers
from relentless.proto.errors import SourceMalformed

from .edgar_wire import answer, atom, json_answer

PAGE = atom(
    [("4", "A B", 7, "Issuer", "0000000009-13-000001", "2013-10-07T09:00:00-04:00", "2013-10-07")]
)
HEAD = f"{'Form Type':<12}{'Company Name':<62}{'CIK':<12}{'Date Filed':<12}File Name\n"
INDEX = (HEAD + "-" * 140 + "\n").encode()
SUBMISSION = b"""<SEC-DOCUMENT>x
<SEC-HEADER>x
<ACCEPTANCE-DATETIME>20131004161500
ACCESSION NUMBER:\t\t0000000009-13-000001
CONFORMED SUBMISSION TYPE:\t8-K
ITEM INFORMATION:\t\tOther Events
FILED AS OF DATE:\t\t20131004

FILER:

\tCOMPANY DATA:
\t\tCOMPANY CONFORMED NAME:\t\t\tNINE INC
\t\tCENTRAL INDEX KEY:\t\t\t0000000009
</SEC-HEADER>
<DOCUMENT>
<TYPE>8-K
<TEXT>
hello
</TEXT>
</DOCUMENT>
"""
SUBMISSIONS = {
    "cik": "9",
    "name": "NINE",
    "filings": {
        "recent": {
            "accessionNumber": ["0000000009-13-000001"],
            "form": ["8-K"],
            "filingDate": ["2013-10-01"],
            "acceptanceDateTime": ["2013-10-01T08:00:00.000Z"],
            "items": ["2.02"],
        },
        "files": [],
    },
}
READERS = {
    "feed": (lambda body: read_feed("sec", answer(body)), PAGE),
    "index": (lambda body: read_index("sec", answer(body)), INDEX),
    "header": (lambda body: read_header("sec", answer(body)), SUBMISSION),
    "documents": (lambda body: read_documents("sec", answer(body)), SUBMISSION),
}


@pytest.mark.promise("P11")
@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_and_mutated_bytes_give_entries_or_a_typed_error(name, data):
    read, whole = READERS[name]
    read(whole)
    noise = data.draw(st.binary(max_size=40))
    at = data.draw(st.integers(0, len(whole)))
    cut = data.draw(st.integers(0, 20))
    for body in (
        noise,
        whole[:at] + noise + whole[at + cut :],
        whole[:at],
        gzip.compress(whole)[:at],
    ):
        try:
            read(body)
        except SourceMalformed:
            continue


NAMES = (
    st.text(
        st.characters(codec="ascii", categories=["L", "N", "P"]) | st.just(" "),
        min_size=1,
        max_size=90,
    )
    .map(lambda text: " ".join(text.split()))
    .filter(bool)
)


@given(
    name=NAMES,
    form=st.sampled_from(["4", "8-K/A", "1-A POS", "SCHEDULE 13D/A", "X-17A-5"]),
    cik=st.integers(1, 9_999_999_999),
    day=st.dates(date(1994, 1, 1), date(2030, 12, 31)),
    number=st.integers(0, 999_999),
)
@settings(max_examples=200, deadline=None)
def test_any_row_of_an_index_is_read_back(name, form, cik, day, number):
    accession = f"0000000009-13-{number:06d}"
    gap = "  " if len(form) >= 12 else ""
    path = f"edgar/data/{cik}/{accession}.txt"
    row = f"{form:<12}{gap}{name:<62}  {cik:<12}{day:%Y%m%d}    {path}      "
    (entry,) = read_index("sec", answer(INDEX + row.encode()))
    assert (entry.form, entry.company, entry.cik) == (form, name, cik)
    assert (entry.filed, entry.accession) == (day, accession)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.promise("P11")
@given(
    value=JSON, place=st.sampled_from(["", "filings", "recent", *SUBMISSIONS["filings"]["recent"]])
)
@settings(max_examples=200, deadline=None)
def test_any_json_gives_submissions_and_tickers_or_a_typed_error(value, place):
    body = json.loads(json.dumps(SUBMISSIONS))
    if place == "":
        body = value
    elif place in ("filings",):
        body[place] = value
    elif place == "recent":
        body["filings"][place] = value
    else:
        body["filings"]["recent"][place] = [value]
    sent = json_answer(json.dumps(body).encode())
    for read in (lambda: read_submissions("sec", sent, 9), lambda: read_tickers("sec", sent)):
        try:
            read()
        except SourceMalformed:
            continue


@pytest.mark.promise("P11")
def test_mutated_recordings_give_entries_or_a_typed_error(recordings):
    sec = recordings / "sec"
    bodies = {
        "feed": (sec / "getcurrent_40_p0.atom").read_bytes(),
        "index": (sec / "badform.idx.txt").read_bytes(),
        "header": (sec / "full_8K_2005_0000950137-05-004969.txt").read_bytes(),
        "documents": (sec / "full_8K_2005_0000950137-05-004969.txt").read_bytes(),
    }
    refused = 0
    for name, body in bodies.items():
        for at in range(0, len(body), max(len(body) // 60, 1)):
            for mutated in (body[:at], body[:at] + b"\xff\x00" + body[at + 2 :], body[at:]):
                try:
                    READERS[name][0](mutated)
                except SourceMalformed:
                    refused += 1
    assert refused > 100
