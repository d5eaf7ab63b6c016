"""What was said before, so that a rewritten calendar is a revision and not a second report.

Calendars give no time of publication and are rewritten after the fact. The ledger keeps, for each
symbol and fiscal quarter, every state that was seen and the run that saw it first. A run sees only
what was seen by its own moment, and says again what it said then. Without the ledger (a new state
folder) the next run is the first that sees anything: the same dates with a later ``known_at``, and
no revision before it.
"""

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from relentless.agents.earnings.facts import Fact, match
from relentless.agents.earnings.reconcile import Expected
from relentless.agents.earnings.rows import When, months_apart
from relentless.proto.base import iso
from relentless.proto.messages import Evidence

FORMAT: Final = 1
KEPT_DAYS: Final = 120
MAX_VERSIONS: Final = 20
RUNS_KEPT: Final = 8

Status = Literal["expected", "moved", "cancelled", "reported"]


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a report, from ``seen_at`` on."""

    seen_at: datetime
    report_date: date
    when: When
    status: Status
    eps_estimate: float | None = None
    confidence: float | None = None
    other_date: date | None = None
    sources: tuple[str, ...] = ()
    previous_report_date: date | None = None
    revisions: int = 0
    reported_at: datetime | None = None
    known_at: datetime | None = None
    """Of a fact: when it could be read; otherwise ``seen_at``."""
    accession: str | None = None
    evidence: tuple[Evidence, ...] = ()

    @property
    def says(self) -> tuple[object, ...]:
        """What makes it another state than the one before."""
        return (
            *(self.report_date, self.when, self.status, self.eps_estimate),
            *(self.confidence, self.other_date, self.sources, self.accession),
        )


@dataclass
class Entry:
    """One report: of a symbol's fiscal quarter, or of an 8-K that nothing expected."""

    symbol: str
    fiscal_quarter: str | None
    versions: list[Version]

    @property
    def key(self) -> str:
        """Its name in the ledger."""
        return f"{self.symbol} {self.fiscal_quarter or self.versions[0].accession}"

    def at(self, as_of: datetime) -> Version | None:
        """Give the newest state that was seen by a moment."""
        return next((v for v in reversed(self.versions) if v.seen_at <= as_of), None)


@dataclass
class Ledger:
    """All reports, and what the last runs said."""

    entries: dict[str, Entry] = field(default_factory=dict)
    said: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By the moment of a run that read everything: the keys of what it said."""
    format: int = FORMAT

    def until(self, as_of: datetime) -> "Ledger":
        """Give the ledger as it was at a moment."""
        kept = {
            key: Entry(
                entry.symbol,
                entry.fiscal_quarter,
                [version for version in entry.versions if version.seen_at <= as_of],
            )
            for key, entry in self.entries.items()
        }
        return Ledger({key: entry for key, entry in kept.items() if entry.versions}, self.said)

    def expect(
        self, found: Expected, as_of: datetime, whole: frozenset[str], evidence: Iterable[Evidence]
    ) -> Entry | None:
        """Take down what the calendars say of a report; give its entry, or None.

        None where the report was made already, or where the calendar that gave the date before
        could not be read now: another calendar's word does not move it.
        """
        entry = self._entry(found.symbol, found.fiscal_quarter)
        before = entry.versions[-1] if entry else None
        if before is not None:
            if before.status == "reported":
                return None
            if before.sources[0] not in (*whole, found.sources[0]):
                return None
        version = Version(
            seen_at=as_of,
            report_date=found.report_date,
            when=found.when,
            status="expected",
            eps_estimate=found.eps_estimate,
            confidence=found.confidence,
            other_date=found.other_date,
            sources=found.sources,
            evidence=tuple(evidence),
        )
        if entry is None or before is None:
            entry = Entry(found.symbol, found.fiscal_quarter, [version])
            self.entries[entry.key] = entry
            return entry
        moved = before.report_date != found.report_date
        version = replace(
            version,
            status="moved" if moved or before.revisions else "expected",
            previous_report_date=before.report_date if moved else before.previous_report_date,
            revisions=before.revisions + moved,
        )
        _add(entry, version)
        return entry

    def cancel(
        self, named: frozenset[str], whole: frozenset[str], as_of: datetime, today: date, last: date
    ) -> None:
        """Cancel what no calendar names any longer, where all that named it were read whole.

        Args:
            named: keys that a calendar names now.
            whole: calendars that were read whole.
            as_of: the run's moment.
            today: its date; a report due then may have gone from a calendar because it was made.
            last: the last day that was asked for.
        """
        for entry in self.entries.values():
            version = entry.versions[-1]
            gone = entry.key not in named and version.status in ("expected", "moved")
            if gone and today < version.report_date <= last and whole.issuperset(version.sources):
                _add(entry, replace(version, seen_at=as_of, status="cancelled"))

    def report(self, fact: Fact, as_of: datetime) -> None:
        """Take down that a report was made; the first filing of a quarter is the one."""
        own = [entry for entry in self.entries.values() if entry.symbol == fact.symbol]
        if any(v.accession == fact.accession for entry in own for v in entry.versions):
            return
        version = Version(
            seen_at=as_of,
            report_date=fact.report_date,
            when=fact.when,
            status="reported",
            reported_at=fact.reported_at,
            known_at=fact.known_at,
            accession=fact.accession,
            sources=("edgar",),
            evidence=fact.evidence,
        )
        dated = {e.fiscal_quarter: e for e in own if e.fiscal_quarter is not None}
        quarter = match(
            fact.report_date, ((q, e.versions[-1].report_date) for q, e in dated.items())
        )
        if quarter is None:
            entry = Entry(fact.symbol, None, [version])
            self.entries[entry.key] = entry
            return
        entry = dated[quarter]
        before = entry.versions[-1]
        if before.status == "reported":
            return
        other = before.report_date if before.report_date != fact.report_date else None
        _add(
            entry,
            replace(
                version,
                eps_estimate=before.eps_estimate,
                previous_report_date=other,
                revisions=before.revisions,
            ),
        )

    def keys_of(self, found: Expected) -> str | None:
        """Give the key under which a report stands already."""
        entry = self._entry(found.symbol, found.fiscal_quarter)
        return entry.key if entry else None

    def _entry(self, symbol: str, quarter: str) -> Entry | None:
        """Give the entry of a quarter; calendars may end it one month apart."""
        exact = self.entries.get(f"{symbol} {quarter}")
        if exact is not None:
            return exact
        return next(
            (
                entry
                for entry in self.entries.values()
                if entry.symbol == symbol
                and entry.fiscal_quarter is not None
                and months_apart(entry.fiscal_quarter, quarter) <= 1
            ),
            None,
        )


def _add(entry: Entry, version: Version) -> None:
    """Append a state that differs from the one before."""
    if version.says != entry.versions[-1].says:
        entry.versions = [*entry.versions, version][-MAX_VERSIONS:]


_LEDGER = TypeAdapter(Ledger)


def path_of(state: Path, upstream: str) -> Path:
    """Give the ledger's file; what one upstream said never mixes with another's."""
    return state / f"ledger-{hashlib.sha256(upstream.encode()).hexdigest()[:12]}.json"


def load(path: Path) -> Ledger:
    """Read a ledger; one that is absent or damaged is a new one."""
    with contextlib.suppress(OSError, ValidationError):
        ledger = _LEDGER.validate_json(path.read_bytes())
        if ledger.format == FORMAT:
            return ledger
    return Ledger()


def keep(path: Path, ledger: Ledger, today: date) -> None:
    """Write a ledger whole, without what is long past."""
    oldest = today - timedelta(days=KEPT_DAYS)
    entries = {k: e for k, e in ledger.entries.items() if e.versions[-1].report_date >= oldest}
    said = dict(sorted(ledger.said.items())[-RUNS_KEPT:])
    beside = path.with_suffix(".tmp")
    beside.write_bytes(_LEDGER.dump_json(Ledger(entries, said)))
    beside.replace(path)


def moment(as_of: datetime) -> str:
    """Write a run's moment as ``said`` keys it."""
    return iso(as_of)
