"""What a company filed: ``data.sec.gov/submissions/CIK##########.json``.

The newest thousand filings or so stand in columns under ``filings.recent``; older ones lie in
further files (``CIK##########-submissions-001.json``) that hold bare columns. Columns of unequal
length are refused: a row would mix two filings. A company's list also holds what it filed about
others, such as the Forms 4 of an owner; only the filing's own header says who the issuer is.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from relentless.agents.edgar.entries import ACCESSION, FilingEntry, Party, submission_path
from relentless.agents.edgar.times import json_acceptance
from relentless.agents.http import Answer, Source
from relentless.proto.errors import SourceMalformed

COLUMNS: Final = ("accessionNumber", "form", "filingDate", "acceptanceDateTime", "items")
_FILE: Final = re.compile(r"CIK\d{10}-submissions-\d{3}\.json")


@dataclass(frozen=True, slots=True)
class Submissions:
    """A company and what it filed, the newest first as EDGAR gives it."""

    cik: int
    name: str
    tickers: tuple[str, ...]
    sic: str
    entries: tuple[FilingEntry, ...]


@dataclass(frozen=True, slots=True)
class _Older:
    name: str
    until: date


async def submissions(source: Source, cik: int, *, since: date) -> Submissions:
    """Read a company's filings back to a filing date, its older files included where needed.

    Args:
        source: data.sec.gov.
        cik: the company.
        since: filings filed earlier may be left out.

    Raises:
        SourceError: as for ``Source.get_json``; ``SourceRejected`` 404 for an unknown CIK.
    """
    answer = await source.get_json(f"/submissions/CIK{cik:010d}.json")
    company, older = await asyncio.to_thread(read_submissions, source.name, answer, cik)
    entries = list(company.entries)
    for file in older:
        if file.until < since:
            continue
        more = await source.get_json(f"/submissions/{file.name}")
        party = Party("", cik, company.name)
        entries += await asyncio.to_thread(read_columns, source.name, more, more.value, party)
    return Submissions(company.cik, company.name, company.tickers, company.sic, tuple(entries))


def read_submissions(source: str, answer: Answer, cik: int) -> tuple[Submissions, list[_Older]]:
    """Read the first file of a company; also the names of its older files.

    Raises:
        SourceMalformed: another company's, or not in the form of submissions.
    """
    body = answer.value
    filings = body.get("filings") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(filings, dict):
        raise SourceMalformed(source, "no submissions: there is no object 'filings'")
    stated = str(body.get("cik", "")).strip()
    if not stated.isdecimal() or int(stated) != cik:
        raise SourceMalformed(source, f"submissions of {stated[:20]!r} in place of CIK {cik}")
    name = _string(source, body.get("name"), "name")
    entries = read_columns(source, answer, filings.get("recent"), Party("", cik, name))
    tickers = body.get("tickers")
    kept = tuple(t for t in tickers if isinstance(t, str)) if isinstance(tickers, list) else ()
    company = Submissions(cik, name, kept, str(body.get("sic") or ""), tuple(entries))
    return company, _older(source, filings.get("files") or [])


def read_columns(source: str, answer: Answer, columns: Any, party: Party) -> list[FilingEntry]:
    """Read the columns of filings, as they stand under ``recent`` or alone in an older file.

    Raises:
        SourceMalformed: a column is missing, or they are not of one length, or a value is none.
    """
    if not isinstance(columns, dict):
        raise SourceMalformed(source, "no columns of filings")
    lists = {name: value for name, value in columns.items() if isinstance(value, list)}
    if missing := [name for name in COLUMNS if name not in lists]:
        raise SourceMalformed(source, f"no column {missing[0]}")
    lengths = {len(value) for value in lists.values()}
    if len(lengths) != 1:
        raise SourceMalformed(source, f"ragged columns, of {min(lengths)} to {max(lengths)} rows")
    reported = lists.get("reportDate") or [""] * lengths.pop()
    evidence = answer.evidence(f"EDGAR submissions {party.cik}")
    rows = zip(*(lists[name] for name in COLUMNS), reported, strict=True)
    entries = []
    for number, (accession, form, filed, accepted, items, report) in enumerate(rows):
        try:
            if not ACCESSION.fullmatch(accession) or not form.strip():
                raise ValueError("no accession or form")
            entry = FilingEntry(
                accession=accession,
                form=form.strip(),
                cik=party.cik,
                company=party.name,
                role=party.role,
                accepted_at=json_acceptance(accepted),
                exact=False,
                filed=date.fromisoformat(filed),
                items=tuple(item for part in items.split(",") if (item := part.strip())),
                path=submission_path(party.cik, accession),
                report_date=date.fromisoformat(report) if report else None,
                parties=(party,),
                evidence=evidence.model_copy(update={"upstream_timestamp": accepted}),
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise SourceMalformed(source, f"row {number} of the filings: {error}"[:200]) from None
        entries.append(entry)
    return entries


def _older(source: str, files: Any) -> list[_Older]:
    if not isinstance(files, list):
        raise SourceMalformed(source, "the list of older files is none")
    found = []
    for file in files:
        name = file.get("name") if isinstance(file, dict) else None
        if not isinstance(name, str) or not _FILE.fullmatch(name):
            raise SourceMalformed(source, "an older file has no name")
        try:
            until = date.fromisoformat(str(file.get("filingTo")))
        except ValueError:
            raise SourceMalformed(source, f"{name} does not say until when it goes") from None
        found.append(_Older(name, until))
    return found


def _string(source: str, value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SourceMalformed(source, f"submissions without a {what}")
    return value.strip()[:200]
