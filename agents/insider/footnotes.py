"""What the footnotes of an ownership document say of a trade: a plan, a price range. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_CHARS: Final = 2_000
_PLAN: Final = re.compile(r"10b5[\s\-\u2010-\u2015]*1", re.IGNORECASE)
_NO_PLAN: Final = re.compile(
    r"\b(?:not|outside|other than|no longer|terminat\w+|without)\b[^.;]{0,80}?10b5", re.IGNORECASE
)
_WITHHELD: Final = re.compile(
    r"sell[\s\-]to[\s\-]cover"
    r"|(?:sold|sale|sales|sell)\b[^.]{0,120}?\b(?:cover|satisfy|pay|fund)\b[^.]{0,80}?\btax",
    re.IGNORECASE,
)
_RANGE: Final = re.compile(
    r"(?:\brang(?:e|es|ed|ing)\b|\bbetween\b)[^$.;]{0,60}?\$\s*(?P<low>\d[\d,]*(?:\.\d+)?)"
    r"[^$;]{0,40}?\$\s*(?P<high>\d[\d,]*(?:\.\d+)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class PriceRange:
    """The lowest and the highest price of the trades that one row sums up, in dollars."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Note:
    """What one footnote, or several together, say of the row that they belong to."""

    plan: bool = False
    withholding: bool = False
    prices: PriceRange | None = None


def read_note(text: str) -> Note:
    """Read a footnote; no more than twice the length that EDGAR takes."""
    said = text[:MAX_CHARS]
    return Note(is_plan(said), is_withholding(said), price_range(said))


def together(notes: Iterable[Note]) -> Note:
    """Put several footnotes together: what any says, and the first range of prices."""
    some = list(notes)
    return Note(
        any(note.plan for note in some),
        any(note.withholding for note in some),
        next((note.prices for note in some if note.prices is not None), None),
    )


def is_plan(text: str) -> bool:
    """Say whether a footnote calls a trade one under a Rule 10b5-1 plan.

    Rule 10b5-1(c) is a defence for trades that a written plan arranged beforehand. A sentence that
    denies the plan ("not made pursuant to", "outside of") is no plan.
    """
    return any(
        _PLAN.search(sentence) and not _NO_PLAN.search(sentence)
        for sentence in re.split(r"(?<=[a-z)])\.\s", text)
    )


def is_withholding(text: str) -> bool:
    """Say whether a footnote says that shares were sold to pay the tax on an award."""
    return _WITHHELD.search(text) is not None


def price_range(text: str) -> PriceRange | None:
    """Read "at prices ranging from $36.98 to $37.97"; None where no such range is stated."""
    found = _RANGE.search(text)
    if found is None:
        return None
    low, high = (float(found[name].replace(",", "")) for name in ("low", "high"))
    return PriceRange(low, high) if 0 < low <= high else None
