"""How an ownershipDocument is written, in the shapes that EDGAR's real ones have. Pure.

The schema is that of its time: X0306, X0508 with the box of Rule 10b5-1 since April 2023, X0609
since 2026. Booleans are 0 and 1 or false and true, dates have an offset or none, as the software
of the filers has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final
from xml.sax.saxutils import escape

BOX_SINCE: Final = date(2023, 4, 1)
LATEST_SCHEMA_SINCE: Final = date(2026, 1, 1)


@dataclass(frozen=True, slots=True)
class Person:
    """A reporting owner."""

    cik: int
    name: str
    director: bool = False
    officer: bool = False
    ten_percent: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table."""

    code: str
    day: date
    shares: int
    price: str | None
    """None leaves the footnotes alone in the price's place."""
    acquired: bool
    after: int | None
    derivative: bool = False
    direct: bool = True
    price_notes: tuple[str, ...] = ()
    code_notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Paper:
    """One Form 4 or 4/A."""

    issuer_cik: int
    issuer: str
    symbol: str
    owners: tuple[Person, ...]
    lines: tuple[Line, ...]
    filed: date
    form: str = "4"
    original: date | None = None
    plan: bool = False
    notes: dict[str, str] = field(default_factory=dict)
    remarks: str = ""
    words: bool = False
    """Booleans as false and true."""
    suffix: str = ""
    """After every date: "-05:00"."""


def write(paper: Paper) -> bytes:
    """Write the document."""
    day = paper.filed
    schema = "X0609" if day >= LATEST_SCHEMA_SINCE else "X0508" if day >= BOX_SINCE else "X0306"
    period = max((line.day for line in paper.lines), default=day)
    parts = [
        '<?xml version="1.0"?>\n<ownershipDocument>',
        f"<schemaVersion>{schema}</schemaVersion>",
        f"<documentType>{paper.form}</documentType>",
        f"<periodOfReport>{_date(paper, period)}</periodOfReport>",
    ]
    if paper.original is not None:
        original = _date(paper, paper.original)
        parts.append(f"<dateOfOriginalSubmission>{original}</dateOfOriginalSubmission>")
    parts += [
        f"<notSubjectToSection16>{_flag(paper, False)}</notSubjectToSection16>",
        f"<issuer><issuerCik>{paper.issuer_cik:010d}</issuerCik>",
        f"<issuerName>{escape(paper.issuer)}</issuerName>",
        f"<issuerTradingSymbol>{escape(paper.symbol)}</issuerTradingSymbol></issuer>",
        *(_owner(paper, person) for person in paper.owners),
    ]
    if day >= BOX_SINCE:
        parts.append(f"<aff10b5One>{_flag(paper, paper.plan)}</aff10b5One>")
    parts += [
        *_table(paper, "nonDerivative", [line for line in paper.lines if not line.derivative]),
        *_table(paper, "derivative", [line for line in paper.lines if line.derivative]),
        "<footnotes>",
        *(f'<footnote id="{name}">{escape(text)}</footnote>' for name, text in paper.notes.items()),
        "</footnotes>",
        f"<remarks>{escape(paper.remarks)}</remarks>",
        f"<ownerSignature><signatureName>/s/ {escape(paper.owners[0].name)}</signatureName>",
        f"<signatureDate>{_date(paper, day)}</signatureDate></ownerSignature>",
        "</ownershipDocument>\n",
    ]
    return "\n".join(parts).encode()


def _owner(paper: Paper, person: Person) -> str:
    ties = {
        "isDirector": person.director,
        "isOfficer": person.officer,
        "isTenPercentOwner": person.ten_percent,
        "isOther": False,
    }
    return (
        f"<reportingOwner><reportingOwnerId><rptOwnerCik>{person.cik:010d}</rptOwnerCik>"
        f"<rptOwnerName>{escape(person.name)}</rptOwnerName></reportingOwnerId>"
        "<reportingOwnerRelationship>"
        + "".join(f"<{name}>{_flag(paper, on)}</{name}>" for name, on in ties.items())
        + f"<officerTitle>{escape(person.title)}</officerTitle></reportingOwnerRelationship>"
        "</reportingOwner>"
    )


def _table(paper: Paper, kind: str, lines: Sequence[Line]) -> list[str]:
    rows = [_row(paper, kind, line) for line in lines]
    return [f"<{kind}Table>", *rows, f"</{kind}Table>"]


def _row(paper: Paper, kind: str, line: Line) -> str:
    security = "Stock Option (Right to Buy)" if line.derivative else "Common Stock"
    price = "" if line.price is None else f"<value>{line.price}</value>"
    after = "" if line.after is None else f"<value>{line.after}</value>"
    underlying = (
        "<underlyingSecurity><underlyingSecurityTitle><value>Common Stock</value>"
        "</underlyingSecurityTitle><underlyingSecurityShares>"
        f"<value>{line.shares}.0</value></underlyingSecurityShares></underlyingSecurity>"
    )
    return (
        f"<{kind}Transaction><securityTitle><value>{security}</value></securityTitle>"
        f"<transactionDate><value>{_date(paper, line.day)}</value></transactionDate>"
        f"<transactionCoding><transactionFormType>4</transactionFormType>"
        f"<transactionCode>{line.code}</transactionCode>"
        f"<equitySwapInvolved>{_flag(paper, False)}</equitySwapInvolved>"
        f"{_notes(line.code_notes)}</transactionCoding>"
        f"<transactionAmounts><transactionShares><value>{line.shares}</value></transactionShares>"
        f"<transactionPricePerShare>{price}{_notes(line.price_notes)}</transactionPricePerShare>"
        "<transactionAcquiredDisposedCode>"
        f"<value>{'A' if line.acquired else 'D'}</value></transactionAcquiredDisposedCode>"
        f"</transactionAmounts>{underlying if line.derivative else ''}"
        f"<postTransactionAmounts><sharesOwnedFollowingTransaction>{after}"
        "</sharesOwnedFollowingTransaction></postTransactionAmounts>"
        "<ownershipNature><directOrIndirectOwnership>"
        f"<value>{'D' if line.direct else 'I'}</value></directOrIndirectOwnership>"
        f"</ownershipNature></{kind}Transaction>"
    )


def _notes(names: tuple[str, ...]) -> str:
    return "".join(f'<footnoteId id="{name}"/>' for name in names)


def _flag(paper: Paper, on: bool) -> str:
    return str(on).lower() if paper.words else str(int(on))


def _date(paper: Paper, day: date) -> str:
    return f"{day.isoformat()}{paper.suffix}"
