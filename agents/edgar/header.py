"""The SGML header of a submission, and its documents. Pure, no I/O.

The header comes in two forms: labelled lines under headings ("FILER:") in the whole submission
(``0000320193-24-000001.txt``), and tags ("<FILER>") in the page of headers
(``...-index-headers.html``). Both state the acceptance in Eastern time: it is the best clock there
is. The whole submission holds the documents after it, each with its type.
"""

import html
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from relentless.agents.edgar.entries import ACCESSION, FilingEntry, Party, about, submission_path
from relentless.agents.edgar.items import codes_of
from relentless.agents.edgar.times import sgml_acceptance
from relentless.agents.http import Answer
from relentless.agents.runtime.answer import decode_text
from relentless.proto.errors import SourceMalformed

_ROLES: Final = {
    "FILER": "Filer",
    "ISSUER": "Issuer",
    "REPORTING-OWNER": "Reporting",
    "SUBJECT COMPANY": "Subject",
    "SUBJECT-COMPANY": "Subject",
    "FILED BY": "Filed by",
    "FILED-BY": "Filed by",
}
_HEADER: Final = re.compile(r"<(SEC|IMS)-HEADER>(.*?)</\1-HEADER>", re.DOTALL)
_DOCUMENT: Final = re.compile(r"<DOCUMENT>(.*?)</DOCUMENT>", re.DOTALL)
_TEXT: Final = re.compile(r"<TEXT>\n?(.*?)\n?</TEXT>", re.DOTALL)
_XML: Final = re.compile(r"\s*<(XML|XBRL)>\s*(.*?)\s*</\1>\s*", re.DOTALL)
_SIC: Final = re.compile(r"\[(\d{4})\]")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a submission."""

    type: str
    """"4", "8-K", "EX-99.1"."""
    sequence: str
    filename: str
    description: str
    text: str
    """Its body, without the wrapper that XML and XBRL come in."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a submission says."""

    accession: str
    form: str
    accepted_at: datetime
    """In UTC."""
    filed: date
    period: date | None
    """The period or the event that it reports on."""
    parties: tuple[Party, ...]
    items: tuple[str, ...]
    """Of an 8-K, by code; words that no code is known for are left out."""

    def entry(self, answer: Answer) -> FilingEntry:
        """Give the filing, with an exact time."""
        main = about(self.parties)
        stamp = self.accepted_at.astimezone(UTC).isoformat()
        return FilingEntry(
            accession=self.accession,
            form=self.form,
            cik=main.cik,
            company=main.name,
            role=main.role,
            accepted_at=self.accepted_at,
            exact=True,
            filed=self.filed,
            items=self.items,
            path=submission_path(main.cik, self.accession),
            report_date=self.period,
            parties=self.parties,
            evidence=answer.evidence("EDGAR SGML header", upstream_timestamp=stamp),
        )


def read_header(source: str, answer: Answer) -> Header:
    """Read the header of a submission or of its page of headers.

    Raises:
        SourceMalformed: no whole header, or without accession, form, acceptance, date or party.
    """
    return parse_header(source, _decoded(source, answer))


def read_documents(source: str, answer: Answer) -> list[Document]:
    """Give the documents of a whole submission, in its order.

    Raises:
        SourceMalformed: there is none, or the last is cut.
    """
    return parse_documents(source, _decoded(source, answer))


def document(source: str, documents: list[Document], kind: str) -> Document:
    """Give the first document of a type.

    Raises:
        SourceMalformed: there is none of that type.
    """
    for one in documents:
        if one.type == kind:
            return one
    raise SourceMalformed(source, f"the submission holds no document of type {kind[:20]}")


def parse_header(source: str, text: str) -> Header:
    """Read the header out of decoded text; see :func:`read_header`."""
    if "&lt;SEC-HEADER" in text[:10_000]:
        text = html.unescape(text)
    found = _HEADER.search(text)
    if found is None:
        raise SourceMalformed(source, "no whole SGML header")
    facts, parties, names = _facts(found[2])
    try:
        accession = facts["ACCESSION NUMBER"]
        if not ACCESSION.fullmatch(accession):
            raise ValueError(f"no accession: {accession[:30]!r}")
        period = facts.get("CONFORMED PERIOD OF REPORT") or facts.get("PERIOD")
        header = Header(
            accession=accession,
            form=facts.get("CONFORMED SUBMISSION TYPE") or facts["TYPE"],
            accepted_at=sgml_acceptance(facts["ACCEPTANCE DATETIME"]),
            filed=date.fromisoformat(facts.get("FILED AS OF DATE") or facts["FILING DATE"]),
            period=date.fromisoformat(period) if period else None,
            parties=tuple(parties),
            items=codes_of(names),
        )
    except KeyError as error:
        raise SourceMalformed(source, f"the SGML header lacks {error.args[0]}") from None
    except ValueError as error:
        raise SourceMalformed(source, f"the SGML header: {error}"[:200]) from None
    if not header.parties:
        raise SourceMalformed(source, "the SGML header names no party")
    return header


def parse_documents(source: str, text: str) -> list[Document]:
    """Read the documents out of decoded text; see :func:`read_documents`."""
    found = [_document(block) for block in _DOCUMENT.findall(text)]
    if not found or text.count("<DOCUMENT>") > text.count("</DOCUMENT>"):
        raise SourceMalformed(source, "the submission is cut or holds no document")
    return found


def _document(block: str) -> Document:
    head, _, _ = block.partition("<TEXT>")
    said = {
        name: value.strip()
        for name, value in re.findall(r"^<([A-Z]+)>([^\n]*)", head, re.MULTILINE)
    }
    body = _TEXT.search(block)
    text = body[1] if body else ""
    wrapped = _XML.fullmatch(text)
    return Document(
        said.get("TYPE", ""),
        said.get("SEQUENCE", ""),
        said.get("FILENAME", ""),
        said.get("DESCRIPTION", ""),
        wrapped[2] if wrapped else text,
    )


def _facts(header: str) -> tuple[dict[str, str], list[Party], list[str]]:
    """Give the header's own facts (first word wins), its parties, and its items' names."""
    facts: dict[str, str] = {}
    names: list[str] = []
    sections: list[tuple[str, dict[str, str]]] = []
    for line in header.splitlines():
        label, value = _labelled(line)
        if label in _ROLES and not value:
            sections.append((_ROLES[label], {}))
        elif label.startswith("/") or not label:
            continue
        elif label in ("ITEM INFORMATION", "ITEMS"):
            names.append(value)
        else:
            (sections[-1][1] if sections else facts).setdefault(label, value)
    parties = [party for role, said in sections if (party := _party(role, said))]
    return facts, parties, names


def _labelled(line: str) -> tuple[str, str]:
    """Split "<CIK>0000914156" or "CENTRAL INDEX KEY:  0000914156" into label and value."""
    stripped = line.strip()
    if stripped.startswith("<"):
        label, _, value = stripped[1:].partition(">")
        return (label if label in _ROLES else label.replace("-", " ")), value.strip()
    label, _, value = stripped.partition(":")
    return label, value.strip()


def _party(role: str, said: dict[str, str]) -> Party | None:
    cik = said.get("CENTRAL INDEX KEY") or said.get("CIK") or ""
    name = said.get("COMPANY CONFORMED NAME") or said.get("CONFORMED NAME") or ""
    if not (cik.isascii() and cik.isdecimal() and int(cik)):
        return None
    sic = said.get("ASSIGNED SIC") or ""
    if found := _SIC.search(said.get("STANDARD INDUSTRIAL CLASSIFICATION", "")):
        sic = found[1]
    return Party(role, int(cik), name[:200], sic)


def _decoded(source: str, answer: Answer) -> str:
    body: bytes = answer.value
    try:
        return decode_text(source, body, answer.headers.get("content-type", ""))
    except SourceMalformed:
        if not body.strip() or body.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise
        return body.decode("latin-1")  # EDGAR's older submissions are in no stated charset
