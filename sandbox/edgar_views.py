"""The forms in which EDGAR in a box writes its filings: JSON, Atom, index tables, SGML. Pure."""

import re
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from relentless.configs.clock import EASTERN
from relentless.sandbox.filers import Company
from relentless.sandbox.filings import Filed

RECENT: Final = 25
"""Filings in the first file of a company; the real service has about a thousand there."""
ITEM_NAMES: Final = {
    "1.01": "Entry into a Material Definitive Agreement",
    "1.02": "Termination of a Material Definitive Agreement",
    "2.01": "Completion of Acquisition or Disposition of Assets",
    "2.02": "Results of Operations and Financial Condition",
    "2.03": "Creation of a Direct Financial Obligation or an Obligation under an Off-Balance "
    "Sheet Arrangement of a Registrant",
    "2.06": "Material Impairments",
    "3.01": "Notice of Delisting or Failure to Satisfy a Continued Listing Rule or Standard; "
    "Transfer of Listing",
    "4.01": "Changes in Registrant's Certifying Accountant",
    "4.02": "Non-Reliance on Previously Issued Financial Statements or a Related Audit Report "
    "or Completed Interim Review",
    "5.02": "Departure of Directors or Certain Officers; Election of Directors; Appointment of "
    "Certain Officers: Compensatory Arrangements of Certain Officers",
    "5.07": "Submission of Matters to a Vote of Security Holders",
    "7.01": "Regulation FD Disclosure",
    "8.01": "Other Events",
    "9.01": "Financial Statements and Exhibits",
}
_PERIOD: Final = re.compile(rb"<periodOfReport>(?:\s*<value>)?\s*(\d{4}-\d\d-\d\d)")
_HEADINGS: Final = {"Filer": "FILER", "Issuer": "ISSUER", "Reporting": "REPORTING-OWNER"}


def reported_on(filed: Filed) -> date:
    """Give the period or event that a filing reports on."""
    day = filed.accepted_at.astimezone(EASTERN).date()
    if stated := _PERIOD.search(filed.document[:4_096]):
        return date.fromisoformat(stated[1].decode())
    if filed.form.startswith("10-"):  # the last day of the quarter before
        return date(day.year, (day.month - 1) // 3 * 3 + 1, 1) - timedelta(days=1)
    return day - timedelta(days=_hash(filed) % 3)


def submissions(company: Company, filings: Sequence[Filed]) -> dict[str, Any]:
    """Write the first file of a company; ``filings`` is the newest first."""
    older = filings[RECENT:]
    files = [
        {
            "name": f"CIK{company.cik:010d}-submissions-001.json",
            "filingCount": len(older),
            "filingFrom": older[-1].filed.isoformat(),
            "filingTo": older[0].filed.isoformat(),
        }
    ]
    return {
        "cik": f"{company.cik:010d}",
        "entityType": "operating",
        "sic": "",
        "sicDescription": "",
        "name": company.name,
        "tickers": [company.ticker] if company.ticker else [],
        "exchanges": ["NYSE"] if company.ticker else [],
        "ein": "000000000",
        "fiscalYearEnd": "1231",
        "formerNames": [],
        "filings": {"recent": columns(filings[:RECENT]), "files": files if older else []},
    }


def columns(filings: Sequence[Filed]) -> dict[str, list[Any]]:
    """Write filings as columns, as they stand under ``recent`` and alone in an older file."""
    return {
        "accessionNumber": [f.accession for f in filings],
        "filingDate": [f.filed.isoformat() for f in filings],
        "reportDate": [reported_on(f).isoformat() for f in filings],
        "acceptanceDateTime": [_json_time(f) for f in filings],
        "act": ["34" for _ in filings],
        "form": [f.form for f in filings],
        "fileNumber": ["001-00000" for _ in filings],
        "filmNumber": ["" for _ in filings],
        "items": [",".join(f.items) for f in filings],
        "core_type": [f.form for f in filings],
        "size": [len(f.document) for f in filings],
        "isXBRL": [0 for _ in filings],
        "isInlineXBRL": [0 for _ in filings],
        "primaryDocument": [_primary(f) for f in filings],
        "primaryDocDescription": [f.form for f in filings],
    }


def feed(entries: Sequence[tuple[Filed, tuple[str, int, str]]], now: datetime) -> bytes:
    """Write a page of the current feed, an entry for each party, in ISO-8859-1."""
    local = now.astimezone(EASTERN)
    lines = [
        '<?xml version="1.0" encoding="ISO-8859-1" ?>',
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<title>Latest Filings - {local:%a, %d %b %Y %H:%M:%S %Z}</title>",
        '<link rel="alternate" href="/cgi-bin/browse-edgar?action=getcurrent"/>',
        '<link rel="self" href="/cgi-bin/browse-edgar?action=getcurrent"/>',
        "<id>https://www.sec.gov/cgi-bin/browse-edgar?action=getcurrent</id>",
        "<author><name>Webmaster</name><email>webmaster@sec.gov</email></author>",
        f"<updated>{local.isoformat(timespec='seconds')}</updated>",
    ]
    for filed, (role, cik, name) in entries:
        folder = filed.accession.replace("-", "")
        href = f"https://www.sec.gov/Archives/edgar/data/{cik}/{folder}/{filed.accession}-index.htm"
        items = "".join(f"\n<br>Item {code}: {ITEM_NAMES[code]}" for code in filed.items)
        summary = (
            f"\n <b>Filed:</b> {filed.filed} <b>AccNo:</b> {filed.accession} "
            f"<b>Size:</b> {max(len(filed.document) // 1024, 1)} KB{items}\n"
        )
        stamp = filed.accepted_at.astimezone(EASTERN).isoformat(timespec="seconds")
        lines += [
            "<entry>",
            f"<title>{escape(f'{filed.form} - {name} ({cik:010d}) ({role})')}</title>",
            f'<link rel="alternate" type="text/html" href="{href}"/>',
            f'<summary type="html">{escape(summary)}</summary>',
            f"<updated>{stamp}</updated>",
            '<category scheme="https://www.sec.gov/" label="form type" '
            f"term={quoteattr(filed.form)}/>",
            f"<id>urn:tag:sec.gov,2008:accession-number={filed.accession}</id>",
            "</entry>",
        ]
    return ("\n".join([*lines, "</feed>"]) + "\n").encode("iso-8859-1", "xmlcharrefreplace")


def index(filings: Iterable[Filed], kind: str, last: date, *, daily: bool) -> bytes:
    """Write an index: ``kind`` is "form" or "master"; a row for each party."""
    style = "%Y%m%d" if daily else "%Y-%m-%d"
    head = [
        f"Description:           {'Daily' if daily else 'Master'} Index of EDGAR Dissemination Feed"
        + (" by Form Type" if kind == "form" else ""),
        f"Last Data Received:    {last:%b %d, %Y}",
        "Comments:              webmaster@sec.gov",
        "Anonymous FTP:         ftp://ftp.sec.gov/edgar/",
        *([" "] * 4),
    ]
    rows = [
        (filed.form, name, cik, filed.filed.strftime(style), filed.accession)
        for filed in filings
        for _, cik, name in filed.parties
    ]
    if kind == "form":
        head.append(f"{'Form Type':<12}{'Company Name':<62}{'CIK':<12}{'Date Filed':<12}File Name")
        head.append("-" * 141)
        rows.sort()
        body = [
            f"{form:<12}{name:<62}{'' if len(name) < 61 else '  '}{cik:<12}{day:<12}"
            f"edgar/data/{cik}/{number}.txt         "
            for form, name, cik, day, number in rows
        ]
    else:
        head.append("CIK|Company Name|Form Type|Date Filed|File Name")
        head.append("-" * 80)
        rows.sort(key=lambda row: (row[2], row[0], row[4]))
        body = [
            f"{cik}|{name}|{form}|{day}|edgar/data/{cik}/{number}.txt"
            for form, name, cik, day, number in rows
        ]
    return ("\n".join([*head, *body]) + "\n").encode()


def submission(filed: Filed) -> bytes:
    """Write a whole submission: its header in labelled lines, and its one document."""
    lines = [
        f"<SEC-DOCUMENT>{filed.accession}.txt : {filed.filed:%Y%m%d}",
        f"<SEC-HEADER>{filed.accession}.hdr.sgml : {filed.filed:%Y%m%d}",
        f"<ACCEPTANCE-DATETIME>{_sgml_time(filed)}",
        f"ACCESSION NUMBER:\t\t{filed.accession}",
        f"CONFORMED SUBMISSION TYPE:\t{filed.form}",
        "PUBLIC DOCUMENT COUNT:\t\t1",
        f"CONFORMED PERIOD OF REPORT:\t{reported_on(filed):%Y%m%d}",
        *(f"ITEM INFORMATION:\t\t{ITEM_NAMES[code]}" for code in filed.items),
        f"FILED AS OF DATE:\t\t{filed.filed:%Y%m%d}",
        f"DATE AS OF CHANGE:\t\t{filed.filed:%Y%m%d}",
    ]
    for role, cik, name in filed.parties:
        lines += [
            "",
            f"{_HEADINGS[role]}:",
            "",
            f"\t{'OWNER' if role == 'Reporting' else 'COMPANY'} DATA:\t",
            f"\t\tCOMPANY CONFORMED NAME:\t\t\t{name}",
            f"\t\tCENTRAL INDEX KEY:\t\t\t{cik:010d}",
            "",
            "\tFILING VALUES:",
            f"\t\tFORM TYPE:\t\t{filed.form}",
            "\t\tSEC ACT:\t\t1934 Act",
        ]
    xml = filed.document.lstrip().startswith(b"<?xml")
    lines += [
        "</SEC-HEADER>",
        "<DOCUMENT>",
        f"<TYPE>{filed.form}",
        "<SEQUENCE>1",
        f"<FILENAME>{_primary(filed)}",
        "<DESCRIPTION>PRIMARY DOCUMENT",
        "<TEXT>",
        *(["<XML>"] if xml else []),
    ]
    tail = [*(["</XML>"] if xml else []), "</TEXT>", "</DOCUMENT>", "</SEC-DOCUMENT>", ""]
    top = "\n".join([*lines, ""]).encode()
    return top + filed.document.rstrip(b"\n") + b"\n" + "\n".join(tail).encode()


def headers(filed: Filed) -> bytes:
    """Write the page of headers: the same facts in tags."""
    lines = [
        f"<SEC-HEADER>{filed.accession}.hdr.sgml : {filed.filed:%Y%m%d}",
        f"<ACCEPTANCE-DATETIME>{_sgml_time(filed)}",
        f"<ACCESSION-NUMBER>{filed.accession}",
        f"<TYPE>{filed.form}",
        "<PUBLIC-DOCUMENT-COUNT>1",
        f"<PERIOD>{reported_on(filed):%Y%m%d}",
        *(f"<ITEMS>{code}" for code in filed.items),
        f"<FILING-DATE>{filed.filed:%Y%m%d}",
        f"<DATE-OF-FILING-DATE-CHANGE>{filed.filed:%Y%m%d}",
    ]
    for role, cik, name in filed.parties:
        data = "OWNER-DATA" if role == "Reporting" else "COMPANY-DATA"
        lines += [
            f"<{_HEADINGS[role]}>",
            f"<{data}>",
            f"<CONFORMED-NAME>{name}",
            f"<CIK>{cik:010d}",
            f"</{data}>",
            "<FILING-VALUES>",
            f"<FORM-TYPE>{filed.form}",
            "<ACT>34",
            "</FILING-VALUES>",
            f"</{_HEADINGS[role]}>",
        ]
    return "\n".join([*lines, "</SEC-HEADER>", ""]).encode()


def _json_time(filed: Filed) -> str:
    """Write the acceptance with a "Z": Eastern for two filings of three, UTC for the third."""
    zone = UTC if _hash(filed) % 3 == 0 else EASTERN
    return f"{filed.accepted_at.astimezone(zone):%Y-%m-%dT%H:%M:%S}.000Z"


def _sgml_time(filed: Filed) -> str:
    return f"{filed.accepted_at.astimezone(EASTERN):%Y%m%d%H%M%S}"


def _primary(filed: Filed) -> str:
    return "form4.xml" if filed.document.lstrip().startswith(b"<?xml") else "filing.htm"


def _hash(filed: Filed) -> int:
    return zlib.crc32(filed.accession.encode())
