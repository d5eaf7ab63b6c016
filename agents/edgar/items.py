"""The items of Form 8-K: code, name, and how much an item of that code tends to matter. Pure.

Names are those of the form's general instructions (17 CFR 249.308), which a submission's header
repeats as ITEM INFORMATION; some were renamed in the years since 2004. The weights, from 0 to 1,
are a judgement for ordering, fitted to nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the form."""

    code: str
    name: str
    weight: float


ITEMS: Final[dict[str, Item]] = {
    code: Item(code, name, weight)
    for code, weight, name in (
        ("1.01", 0.7, "Entry into a Material Definitive Agreement"),
        ("1.02", 0.7, "Termination of a Material Definitive Agreement"),
        ("1.03", 1.0, "Bankruptcy or Receivership"),
        ("1.04", 0.3, "Mine Safety - Reporting of Shutdowns and Patterns of Violations"),
        ("1.05", 0.8, "Material Cybersecurity Incidents"),
        ("2.01", 0.8, "Completion of Acquisition or Disposition of Assets"),
        ("2.02", 0.9, "Results of Operations and Financial Condition"),
        ("2.03", 0.5, "Creation of a Direct Financial Obligation"),
        (
            "2.04",
            0.8,
            "Triggering Events That Accelerate or Increase a Direct Financial Obligation",
        ),
        ("2.05", 0.6, "Costs Associated with Exit or Disposal Activities"),
        ("2.06", 0.8, "Material Impairments"),
        ("3.01", 0.8, "Notice of Delisting or Failure to Satisfy a Continued Listing Rule"),
        ("3.02", 0.5, "Unregistered Sales of Equity Securities"),
        ("3.03", 0.5, "Material Modifications to Rights of Security Holders"),
        ("4.01", 0.8, "Changes in Registrant's Certifying Accountant"),
        ("4.02", 1.0, "Non-Reliance on Previously Issued Financial Statements"),
        ("5.01", 0.9, "Changes in Control of Registrant"),
        ("5.02", 0.6, "Departure of Directors or Certain Officers; Election of Directors"),
        ("5.03", 0.3, "Amendments to Articles of Incorporation or Bylaws"),
        ("5.04", 0.3, "Temporary Suspension of Trading Under Employee Benefit Plans"),
        ("5.05", 0.3, "Amendments to the Code of Ethics"),
        ("5.06", 0.4, "Change in Shell Company Status"),
        ("5.07", 0.3, "Submission of Matters to a Vote of Security Holders"),
        ("5.08", 0.3, "Shareholder Director Nominations"),
        ("6.01", 0.2, "ABS Informational and Computational Material"),
        ("6.02", 0.2, "Change of Servicer or Trustee"),
        ("6.03", 0.2, "Change in Credit Enhancement or Other External Support"),
        ("6.04", 0.2, "Failure to Make a Required Distribution"),
        ("6.05", 0.2, "Securities Act Updating Disclosure"),
        ("6.06", 0.2, "Static Pool"),
        ("7.01", 0.4, "Regulation FD Disclosure"),
        ("8.01", 0.4, "Other Events"),
        ("9.01", 0.1, "Financial Statements and Exhibits"),
    )
}
FORM_WEIGHTS: Final = {"10-K": 0.7, "10-Q": 0.6, "DEF 14A": 0.3, "4": 0.2}
"""How much a filing of another form tends to matter; an amendment counts half."""
_UNKNOWN: Final = 0.3
"""An 8-K whose items are not known, or of a code that the table lacks."""

_BEGINNINGS: Final = (
    ("creation of a direct financial obligation", "2.03"),
    ("triggering events that accelerate", "2.04"),
    ("cost associated with exit", "2.05"),
    ("costs associated with exit", "2.05"),
    ("notice of delisting", "3.01"),
    ("material modification", "3.03"),
    ("changes in registrant", "4.01"),
    ("non-reliance on", "4.02"),
    ("changes in control", "5.01"),
    ("departure of directors", "5.02"),
    ("amendments to articles", "5.03"),
    ("amendment to articles", "5.03"),
    ("temporary suspension", "5.04"),
    ("amendments to the registrant's code", "5.05"),
    ("amendment to registrant's code", "5.05"),
    ("mine safety", "1.04"),
    ("change of servicer", "6.02"),
    ("regulation fd", "7.01"),
)
_NUMBER: Final = re.compile(r"(?:item\s+)?(\d\.\d\d)\b", re.IGNORECASE)


def codes_of(names: Iterable[str]) -> tuple[str, ...]:
    """Give the codes of items that a header names, by code or by words; unknown words give none."""
    found: dict[str, None] = {}
    for name in names:
        plain = " ".join(name.lower().split())
        number = _NUMBER.match(plain)
        code = number[1] if number else _by_words(plain)
        if code:
            found[code] = None
    return tuple(found)


def _by_words(plain: str) -> str | None:
    for item in ITEMS.values():
        if plain == item.name.lower():
            return item.code
    return next((code for words, code in _BEGINNINGS if plain.startswith(words)), None)


def importance(form: str, items: Iterable[str]) -> float:
    """Say from 0 to 1 how much a filing tends to matter: its weightiest item, or its form."""
    base, amended = form.removesuffix("/A"), form.endswith("/A")
    if base == "8-K":
        known = [ITEMS[code].weight if code in ITEMS else _UNKNOWN for code in items]
        weight = max(known, default=_UNKNOWN)
    else:
        weight = FORM_WEIGHTS.get(base, _UNKNOWN)
    return weight / 2 if amended else weight
