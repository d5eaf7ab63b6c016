"""EDGAR's daily and quarterly indexes: every filing of a day or a quarter, without times.

``form.YYYYMMDD.idx`` is a table of fixed columns that long names overflow, so a row is read from
its right end. A day's file appears late in its evening. EDGAR answers 403 with an AccessDenied
document for a file that it does not have: a day to come, a holiday, or a day whose file is late.
"""

import asyncio
import gzip
import re
import zlib
from dataclasses import replace
from datetime import date
from io import BytesIO
from typing import Final, Literal

from relentless.agents.edgar.access import is_absent
from relentless.agents.edgar.entries import FilingEntry, Party
from relentless.agents.http import Answer, Source
from relentless.agents.runtime.answer import decode_text
from relentless.proto.errors import SourceMalformed, SourceRejected

Kind = Literal["form", "master"]

ACCEPT: Final = "text/plain, application/gzip;q=0.9"
MAX_BYTES: Final = 128 * 2**20
"""Of an index that came compressed; a quarter's has about 50 MB."""
_GZIP: Final = b"\x1f\x8b"
_RIGHT: Final = re.compile(
    r"(?P<left>.*\S)\s+(?P<cik>\d{1,10})\s+(?P<filed>\d{4}-?\d\d-?\d\d)\s+"
    r"(?P<path>edgar/data/\d{1,10}/(?P<accession>\d{10}-\d{2}-\d{6})\.txt)\s*"
)
_LAST_OF_MASTER: Final = re.compile(r"edgar/data/\d{1,10}/(\d{10}-\d{2}-\d{6})\.txt")


async def daily_index(source: Source, day: date, kind: Kind = "form") -> list[FilingEntry] | None:
    """Give the filings that EDGAR disseminated on a day; None where it has no such file.

    Some have an earlier filing date: the real index of 18 March 2020 lists filings of July 2019.

    Raises:
        SourceError: as for ``Source.get_bytes``; ``SourceMalformed`` where a row is none.
    """
    quarter = (day.month + 2) // 3
    folder = f"/Archives/edgar/daily-index/{day.year}/QTR{quarter}"
    return await _index(source, f"{folder}/{kind}.{day:%Y%m%d}.idx", kind)


async def full_index(
    source: Source, year: int, quarter: int, kind: Kind = "form"
) -> list[FilingEntry] | None:
    """Give the filings of a quarter so far; None where EDGAR has no such file.

    Raises:
        SourceError: as for ``Source.get_bytes``; ``SourceMalformed`` where a row is none.
    """
    return await _index(source, f"/Archives/edgar/full-index/{year}/QTR{quarter}/{kind}.gz", kind)


async def _index(source: Source, path: str, kind: Kind) -> list[FilingEntry] | None:
    try:
        answer = await source.get_bytes(path, accept=ACCEPT)
    except SourceRejected as error:
        if is_absent(error):
            return None
        raise
    return await asyncio.to_thread(read_index, source.name, answer, kind)


def read_index(source: str, answer: Answer, kind: Kind = "form") -> list[FilingEntry]:
    """Read an index body, compressed or not: one entry a row, without times or roles.

    A filing of several parties has a row for each (``entries.merged`` joins them). A body that is
    cut within a row is refused; one cut between two rows cannot be told from a whole one.

    Raises:
        SourceMalformed: no index, damaged compression, or a row that is none.
    """
    body: bytes = answer.value
    if body.startswith(_GZIP):
        body = _unpacked(source, body)
    text = decode_text(source, body, answer.headers.get("content-type", ""))
    lines = text.splitlines()
    rule = next((n for n, line in enumerate(lines) if line.startswith("-----")), None)
    if not rule or not _is_head(lines[rule - 1], kind):
        raise SourceMalformed(source, f"no {kind} index: its table has no head")
    head = lines[rule - 1]
    evidence = answer.evidence("EDGAR index")
    entries = []
    for number, line in enumerate(lines[rule + 1 :], rule + 2):
        if line.strip():
            try:
                entry = _master_row(line) if kind == "master" else _form_row(line, head)
            except ValueError as error:
                raise SourceMalformed(source, f"line {number} of the index: {error}") from None
            entries.append(replace(entry, evidence=evidence))
    return entries


def _is_head(line: str, kind: Kind) -> bool:
    return line.startswith("Form Type" if kind == "form" else "CIK|Company Name|")


def _form_row(line: str, head: str) -> FilingEntry:
    """Read a row of the form index from its right end, then form and name by the head's column."""
    found = _RIGHT.fullmatch(line)
    if found is None:
        raise ValueError("no row")
    left, column = found["left"], max(head.find("Company Name"), 1)
    if left[column - 1 : column] == " " and left[:column].strip():
        form, name = left[:column], left[column:]
    else:  # the form overflows its column
        form, gap, name = left.partition("  ")
        if not gap:
            raise ValueError("form and name run together")
    return _entry(form.strip(), name.strip(), found["cik"], found["filed"], found["accession"])


def _master_row(line: str) -> FilingEntry:
    """Read a row of the master index: CIK|name|form|date|path."""
    parts = line.rsplit("|", 3)
    cik, bar, name = parts[0].partition("|")
    path = _LAST_OF_MASTER.fullmatch(parts[-1].strip())
    if len(parts) != 4 or not bar or path is None or not cik.strip().isdecimal():
        raise ValueError("no row")
    return _entry(parts[1].strip(), name.strip(), cik, parts[2].strip(), path[1])


def _entry(form: str, name: str, cik: str, filed: str, accession: str) -> FilingEntry:
    party = Party("", int(cik), name)
    return FilingEntry(
        accession=accession,
        form=form,
        cik=party.cik,
        company=name,
        role="",
        accepted_at=None,
        exact=False,
        filed=date.fromisoformat(filed),
        path=f"/Archives/edgar/data/{party.cik}/{accession}.txt",
        parties=(party,),
    )


def _unpacked(source: str, body: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise SourceMalformed(source, "the index's compression is damaged") from None
    if len(text) > MAX_BYTES:
        raise SourceMalformed(source, f"the index is larger than {MAX_BYTES} bytes")
    return text
