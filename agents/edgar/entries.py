"""One filing as EDGAR's feeds, indexes and headers tell of it. Pure, no I/O.

A filing is one accession, however many parties it has and wherever it was seen: the current feed
names it once for each party, an index once for each, a company's submissions once for that company.
:func:`merged` makes one entry of several sights, with the best acceptance time among them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from relentless.agents.edgar.times import disseminated_at
from relentless.proto.messages import Evidence

ACCESSION: Final = re.compile(r"\d{10}-\d{2}-\d{6}")
ARCHIVES: Final = "/Archives/edgar/data"
_RANK: Final = {"Issuer": 0, "Subject": 1, "Filer": 2, "Reporting": 4, "Filed by": 4}
"""Whom a filing is about comes before who signed it."""


@dataclass(frozen=True, slots=True)
class Party:
    """One party to a filing."""

    role: str
    """"Filer", "Issuer", "Reporting", "Subject", "Filed by"; "" where the source does not say."""
    cik: int
    name: str
    sic: str = ""
    """Standard industrial classification, four digits, where the header states it."""


@dataclass(frozen=True, slots=True)
class FilingEntry:
    """One filing, by what was said of it so far."""

    accession: str
    form: str
    cik: int
    """Of the party that the filing is about: the issuer of a Form 4, the filer of an 8-K."""
    company: str
    """That party's conformed name; "" where the source does not say."""
    role: str
    accepted_at: datetime | None
    """In UTC; None where the source has dates alone (the indexes)."""
    exact: bool
    """True from an SGML header or the feed's offset; False by the Eastern reading (``times``)."""
    filed: date
    """EDGAR's filing date, which is not the day of acceptance."""
    items: tuple[str, ...] = ()
    """Of an 8-K, by code: "2.02", "9.01"."""
    path: str = ""
    """Of the whole submission under www.sec.gov: "/Archives/edgar/data/320193/...-000001.txt"."""
    report_date: date | None = None
    """The period or event that it reports on."""
    parties: tuple[Party, ...] = ()
    """Everybody named, in the order of being named."""
    evidence: Evidence | None = None

    @property
    def known_at(self) -> datetime | None:
        """When the public could read it (:func:`times.disseminated_at`)."""
        if self.accepted_at is None:
            return None
        return disseminated_at(self.accepted_at, self.filed)

    @property
    def headers_path(self) -> str:
        """Where its SGML header lies, a page of a few kilobytes."""
        folder = f"{ARCHIVES}/{self.cik}/{self.accession.replace('-', '')}"
        return f"{folder}/{self.accession}-index-headers.html"


def submission_path(cik: int, accession: str) -> str:
    """Give where the whole submission lies."""
    return f"{ARCHIVES}/{cik}/{accession}.txt"


def about(parties: Iterable[Party]) -> Party:
    """Give the party that a filing is about: the issuer, else the subject, else the first."""
    return min(parties, key=lambda party: _RANK.get(party.role, 3))


def merged(entries: Iterable[FilingEntry]) -> list[FilingEntry]:
    """Make one entry of all that share an accession, in the order of first sight.

    An exact time goes before an inexact one, the later of two inexact ones before the earlier, and
    any before none. Items, report date and parties are taken from wherever they are known.
    """
    found: dict[str, FilingEntry] = {}
    for entry in entries:
        before = found.get(entry.accession)
        found[entry.accession] = entry if before is None else _joined(before, entry)
    return list(found.values())


def _joined(one: FilingEntry, two: FilingEntry) -> FilingEntry:
    best = two if _certainty(two) > _certainty(one) else one
    parties = {(p.cik, p.name): p for p in (*one.parties, *two.parties)}
    for party in (*one.parties, *two.parties):  # a party whose role is known says more
        if party.role and not parties[party.cik, party.name].role:
            parties[party.cik, party.name] = party
    named = {p.cik for p in parties.values() if p.role}
    kept = tuple(p for p in parties.values() if p.role or p.cik not in named)
    main = about(kept) if kept else Party(best.role, best.cik, best.company)
    return replace(
        best,
        cik=main.cik,
        company=main.name,
        role=main.role,
        path=submission_path(main.cik, best.accession),
        items=one.items or two.items,
        report_date=one.report_date or two.report_date,
        parties=kept,
    )


def _certainty(entry: FilingEntry) -> tuple[bool, bool, float]:
    at = entry.accepted_at
    return (at is not None, entry.exact, 0.0 if at is None or entry.exact else at.timestamp())
