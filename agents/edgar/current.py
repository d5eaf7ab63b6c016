"""The feed of current filings, newest first: ``cgi-bin/browse-edgar?action=getcurrent``.

The feed has one entry for each party of a filing; :func:`current_feed` gives one entry a filing.
``type=4`` also matches 40-F and 424B2: other forms than the wanted one and its amendment are
dropped. New filings push the others down while pages are read, so pages overlap by ten entries: a
page that does not continue the one before it is a gap. Beyond its end the feed answers 503.
"""

import asyncio
import re
from dataclasses import replace
from datetime import date, datetime
from typing import Final

from lxml import etree

from relentless.agents.base import Gap
from relentless.agents.edgar.entries import (
    ACCESSION,
    FilingEntry,
    Party,
    merged,
    submission_path,
)
from relentless.agents.edgar.times import atom_updated
from relentless.agents.http import Answer, Source
from relentless.agents.runtime.markup import parse_xml
from relentless.proto.errors import SourceError, SourceMalformed

PATH: Final = "/cgi-bin/browse-edgar"
COUNT: Final = 100
"""Entries a page, the most that EDGAR gives."""
OVERLAP: Final = 10
MAX_PAGES: Final = 30
ACCEPT: Final = "application/atom+xml, text/xml;q=0.9"
_ATOM: Final = "{http://www.w3.org/2005/Atom}"
_TITLE: Final = re.compile(
    r"(?P<form>.+?) - (?P<name>.*) \((?P<cik>\d{1,10})\) \((?P<role>[^()]+)\)"
)
_FILED: Final = re.compile(r"Filed:(?:</b>)?\s*(\d{4}-\d\d-\d\d)")
_ITEM: Final = re.compile(r"\bItem (\d\.\d\d)\b")


async def current_feed(
    source: Source, form: str, *, as_of: datetime, since: datetime
) -> tuple[list[FilingEntry], list[Gap]]:
    """Read the filings of a form and its amendments, accepted from ``since`` to ``as_of``.

    What the public could read only after ``as_of`` is left out. What was read before a failure is
    kept. A gap "short_feed" says that the feed ended before it reached ``since``.

    Args:
        source: www.sec.gov.
        form: "4", "8-K", "DEF 14A"; its amendment "/A" is included.
        as_of: nothing that is known later is given.
        since: the oldest acceptance that is wanted.
    """
    what = f"current feed {form}"
    entries: list[FilingEntry] = []
    gaps: list[Gap] = []
    before: set[str] = set()
    oldest: datetime | None = None
    for page in range(MAX_PAGES):
        try:
            read, damaged = await _page(source, form, page * (COUNT - OVERLAP))
        except SourceError as error:
            gaps.append(Gap.of(what, error))
            break
        if damaged:
            gaps.append(Gap(what, SourceMalformed.code, f"{damaged} entries of page {page + 1}"))
        here = {entry.accession for entry in read}
        if page and not here & before:
            gaps.append(Gap(what, "shifted", f"page {page + 1} does not continue the one before"))
        entries += read
        before = here
        oldest = min([e.accepted_at for e in read if e.accepted_at], default=oldest)
        if oldest is not None and oldest < since:
            break
        if len(read) + damaged < COUNT:
            if oldest is None or oldest > since:
                reach = "is empty" if oldest is None else f"reaches back to {oldest.isoformat()}"
                gaps.append(Gap(what, "short_feed", f"{reach}, not to {since.isoformat()}"))
            break
    else:
        gaps.append(Gap(what, "too_long", f"more than {MAX_PAGES} pages since {since.isoformat()}"))
    wanted = {form, f"{form}/A"}
    known = [
        entry
        for entry in merged(entries)
        if entry.form in wanted
        and entry.accepted_at is not None
        and entry.accepted_at >= since
        and entry.known_at is not None
        and entry.known_at <= as_of
    ]
    return known, gaps


async def _page(source: Source, form: str, start: int) -> tuple[list[FilingEntry], int]:
    params: dict[str, str | int] = {
        "action": "getcurrent",
        "type": form,
        "owner": "include",
        "count": COUNT,
        "start": start,
        "output": "atom",
    }
    answer = await source.get_bytes(PATH, params, accept=ACCEPT)
    read, damaged = await asyncio.to_thread(read_feed, source.name, answer)
    return read, damaged


def read_feed(source: str, answer: Answer) -> tuple[list[FilingEntry], int]:
    """Read a page: an entry for each of the feed's, and how many were no entry of a filing.

    Raises:
        SourceMalformed: no Atom feed.
    """
    body: bytes = answer.value
    root = parse_xml(source, body)
    if root.tag != f"{_ATOM}feed":
        raise SourceMalformed(source, f"no Atom feed but <{str(root.tag)[:40]}>")
    if "�" in "".join(root.itertext()):
        raise SourceMalformed(source, "the feed's charset is damaged")
    evidence = answer.evidence("EDGAR current feed")
    read: list[FilingEntry] = []
    damaged = 0
    for element in root.iterfind(f"{_ATOM}entry"):
        try:
            entry, stamp = _entry(element)
        except ValueError:
            damaged += 1
            continue
        stamped = evidence.model_copy(update={"upstream_timestamp": stamp})
        read.append(replace(entry, evidence=stamped))
    return read, damaged


def _entry(element: etree._Element) -> tuple[FilingEntry, str]:
    """Read one entry and its own timestamp; ValueError says that it is none of a filing."""
    title = _TITLE.fullmatch(" ".join(_text(element, "title").split()))
    accession = ACCESSION.search(_text(element, "id"))
    summary = _text(element, "summary")
    filed = _FILED.search(summary)
    category = element.find(f"{_ATOM}category")
    form = "" if category is None else category.get("term", "").strip()
    if title is None or accession is None or filed is None or not form:
        raise ValueError("no entry of a filing")
    stamp = _text(element, "updated").strip()
    party = Party(title["role"], int(title["cik"]), title["name"].strip())
    entry = FilingEntry(
        accession=accession[0],
        form=form,
        cik=party.cik,
        company=party.name,
        role=party.role,
        accepted_at=atom_updated(stamp),
        exact=True,
        filed=date.fromisoformat(filed[1]),
        items=tuple(dict.fromkeys(_ITEM.findall(summary))),
        path=submission_path(party.cik, accession[0]),
        parties=(party,),
    )
    return entry, stamp


def _text(element: etree._Element, name: str) -> str:
    return element.findtext(f"{_ATOM}{name}") or ""
