"""A filing in the box, whatever its form: what EDGAR's feeds say of it, and its text."""

from dataclasses import dataclass
from datetime import date, datetime

from relentless.proto.contexts import Origin


@dataclass(frozen=True, slots=True)
class Filed:
    """One filing with EDGAR."""

    accession: str
    """"0000320193-13-000012"."""
    form: str
    """"8-K", "4", "4/A"."""
    accepted_at: datetime
    """Aware; EDGAR's acceptance."""
    filed: date
    """EDGAR's filing date, which is not always the day of acceptance."""
    parties: tuple[tuple[str, int, str], ...]
    """Role ("Filer", "Issuer", "Reporting"), CIK and conformed name of each."""
    items: tuple[str, ...]
    """Of an 8-K: "2.02", "9.01"."""
    document: bytes
    """The primary document: ownershipDocument XML for a Form 4, HTML otherwise."""
    origin: Origin = Origin.SYNTHETIC
