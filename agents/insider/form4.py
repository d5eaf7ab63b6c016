"""Forms 3, 4 and 5: the XML of an ownershipDocument, read whole. Pure, no I/O.

The schemas X0206 to X0609 differ in what they may hold (X0508 brought the box of Rule 10b5-1), not
in how it is named, so one reader takes them all; a 4/A has the same shape. A number that is absent,
no number or negative is None. A price of 0 is None as well: it stands where nothing was paid. What
counts as a trade is decided in :mod:`~relentless.agents.insider.trades`.
"""

import math
import re
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Final

from lxml import etree

from relentless.agents.insider.footnotes import Note, PriceRange, read_note, together
from relentless.agents.insider.symbols import symbol_of
from relentless.agents.runtime.markup import parse_xml
from relentless.proto.errors import SourceMalformed

SOURCE: Final = "sec_archive"
FORMS: Final = frozenset({"3", "3/A", "4", "4/A", "5", "5/A"})
MAX_FOOTNOTES: Final = 200
_XML: Final = re.compile(rb"<XML>\s*(?P<document>.*?)\s*</XML>", re.DOTALL)
_DECLARATION: Final = re.compile(r"<\?xml[^>]*\?>")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TRUE: Final = frozenset({"1", "true"})
_FALSE: Final = frozenset({"0", "false"})
_ELSEWHERE: Final = re.compile(r"\bsee\b.{0,12}\bremarks?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Owner:
    """One reporting owner and what ties them to the issuer."""

    cik: int
    name: str
    director: bool = False
    officer: bool = False
    ten_percent: bool = False
    other: bool = False
    title: str = ""
    """An officer's title; where the form says "See Remarks", the remarks."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One row of a table of transactions."""

    derivative: bool
    security: str
    day: date
    """The day of the trade, which is days before the filing."""
    code: str
    """"P" open-market purchase, "S" sale, "A" grant, "M" exercise, "F" tax, "G" gift..."""
    equity_swap: bool
    shares: float | None
    price: float | None
    """In dollars a share; None where none is stated or it is 0."""
    price_range: PriceRange | None
    """What the price's footnote states of a weighted average."""
    acquired: bool | None
    """True acquired, False disposed of, None not stated."""
    post_shares: float | None
    """Held after the transaction."""
    direct: bool | None
    footnotes: tuple[str, ...]
    """Ids of all footnotes of the row."""
    plan: bool
    """Made under a Rule 10b5-1 plan."""
    withholding: bool
    """Sold to pay the tax on an award."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One row that says what is held, without a transaction."""

    derivative: bool
    security: str
    shares: float | None
    """Of a derivative: of the underlying security."""
    direct: bool | None


@dataclass(frozen=True, slots=True)
class Document:
    """One Form 3, 4 or 5."""

    schema: str
    form: str
    issuer_cik: int
    issuer_name: str
    symbol: str | None
    owners: tuple[Owner, ...]
    period: date | None
    original_day: date | None
    """Of an amendment: when the original was filed, where it says so."""
    plan_box: bool | None
    """The box of Rule 10b5-1; None where the form has none (before 2023)."""
    transactions: tuple[Transaction, ...]
    holdings: tuple[Holding, ...]
    remarks: str
    damaged: int
    """Rows of transactions without a day or a code, which are left out."""


def parse_form4(body: bytes | str, source: str = SOURCE) -> Document:
    """Read an ownership document, alone or within its full submission text.

    Text that was decoded already is read as such, whatever charset its declaration names.

    Raises:
        SourceMalformed: no ownershipDocument, not well-formed, or without issuer or owner.
    """
    if isinstance(body, str):
        body = _DECLARATION.sub("", body).encode("utf-8", "replace")
    found = _XML.search(body)
    root = parse_xml(source, found["document"] if found else body)
    if root.tag != "ownershipDocument":
        raise SourceMalformed(source, f"no ownershipDocument but <{str(root.tag)[:40]}>")
    form = _text(root, "documentType")
    if form not in FORMS:
        raise SourceMalformed(source, f"no Form 3, 4 or 5 but {form[:20]!r}")
    issuer_cik = _cik(_text(root, "issuer/issuerCik"))
    remarks = _text(root, "remarks")
    owners = _owners(root, remarks)
    if issuer_cik is None or not owners:
        raise SourceMalformed(source, "an ownership document without issuer or owner")
    footnotes = islice(root.iterfind("footnotes/footnote"), MAX_FOOTNOTES)
    notes = {note.get("id", ""): read_note(_words(note)) for note in footnotes}
    box = _flag(_text(root, "aff10b5One"))
    rows = list(root.iterfind("nonDerivativeTable/nonDerivativeTransaction"))
    rows += root.iterfind("derivativeTable/derivativeTransaction")
    # The box speaks of the form. Where footnotes say which rows it means, it means those alone.
    marked = any(_noted(row, notes).plan for row in rows)
    read = [_transaction(row, notes, everything=box is True and not marked) for row in rows]
    held = list(root.iterfind("nonDerivativeTable/nonDerivativeHolding"))
    held += root.iterfind("derivativeTable/derivativeHolding")
    transactions = tuple(row for row in read if row is not None)
    return Document(
        schema=_text(root, "schemaVersion"),
        form=form,
        issuer_cik=issuer_cik,
        issuer_name=_text(root, "issuer/issuerName"),
        symbol=symbol_of(_text(root, "issuer/issuerTradingSymbol")),
        owners=owners,
        period=_day(_text(root, "periodOfReport")),
        original_day=_day(_text(root, "dateOfOriginalSubmission")),
        plan_box=box,
        transactions=transactions,
        holdings=tuple(_holding(row) for row in held),
        remarks=remarks,
        damaged=len(read) - len(transactions),
    )


def _owners(root: etree._Element, remarks: str) -> tuple[Owner, ...]:
    owners: dict[int, Owner] = {}
    for element in root.iterfind("reportingOwner"):
        cik = _cik(_text(element, "reportingOwnerId/rptOwnerCik"))
        if cik is None:
            continue
        tie = element.find("reportingOwnerRelationship")
        title = "" if tie is None else _text(tie, "officerTitle")
        if remarks and _ELSEWHERE.search(title):
            title = remarks
        owners.setdefault(
            cik,
            Owner(
                cik=cik,
                name=_text(element, "reportingOwnerId/rptOwnerName"),
                director=_tied(tie, "isDirector"),
                officer=_tied(tie, "isOfficer"),
                ten_percent=_tied(tie, "isTenPercentOwner"),
                other=_tied(tie, "isOther"),
                title=title[:200],
            ),
        )
    return tuple(owners.values())


def _transaction(
    row: etree._Element, notes: dict[str, Note], *, everything: bool
) -> Transaction | None:
    day = _day(_text(row, "transactionDate/value"))
    code = _text(row, "transactionCoding/transactionCode").upper()
    if day is None or not code:
        return None
    amounts = "transactionAmounts/transaction"
    price = _number(_text(row, f"{amounts}PricePerShare/value"))
    priced = row.find(f"{amounts}PricePerShare")
    said = _noted(row, notes)
    return Transaction(
        derivative=row.tag == "derivativeTransaction",
        security=_text(row, "securityTitle/value")[:200],
        day=day,
        code=code[:4],
        equity_swap=_flag(_text(row, "transactionCoding/equitySwapInvolved")) is True,
        shares=_number(_text(row, f"{amounts}Shares/value")),
        price=price or None,
        price_range=None if priced is None else _noted(priced, notes).prices,
        acquired={"A": True, "D": False}.get(
            _text(row, f"{amounts}AcquiredDisposedCode/value").upper()
        ),
        post_shares=_number(
            _text(row, "postTransactionAmounts/sharesOwnedFollowingTransaction/value")
        ),
        direct=_direct(row),
        footnotes=tuple(dict.fromkeys(note.get("id", "") for note in row.iter("footnoteId"))),
        plan=everything or said.plan,
        withholding=said.withholding,
    )


def _holding(row: etree._Element) -> Holding:
    derivative = row.tag == "derivativeHolding"
    where = (
        "underlyingSecurity/underlyingSecurityShares/value"
        if derivative
        else "postTransactionAmounts/sharesOwnedFollowingTransaction/value"
    )
    return Holding(
        derivative,
        _text(row, "securityTitle/value")[:200],
        _number(_text(row, where)),
        _direct(row),
    )


def _noted(element: etree._Element, notes: dict[str, Note]) -> Note:
    """Give what an element's footnotes say."""
    ids = dict.fromkeys(note.get("id", "") for note in element.iter("footnoteId"))
    return together(notes[name] for name in ids if name in notes)


def _direct(row: etree._Element) -> bool | None:
    said = _text(row, "ownershipNature/directOrIndirectOwnership/value").upper()
    return {"D": True, "I": False}.get(said)


def _text(element: etree._Element, path: str) -> str:
    found = element.find(path)
    return "" if found is None else _words(found)


def _words(element: etree._Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _tied(tie: etree._Element | None, name: str) -> bool:
    return tie is not None and _flag(_text(tie, name)) is True


def _flag(text: str) -> bool | None:
    lower = text.lower()
    return True if lower in _TRUE else False if lower in _FALSE else None


def _cik(text: str) -> int | None:
    known = len(text) <= 10 and text.isascii() and text.isdigit() and int(text) > 0
    return int(text) if known else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _day(text: str) -> date | None:
    """Read "2024-07-19" or "2024-07-19-05:00": the offset is the filer's, the date is the date."""
    found = _DAY.match(text)
    try:
        return date.fromisoformat(found[0]) if found else None
    except ValueError:
        return None
