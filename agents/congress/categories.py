"""What a bill is about, from the whole words of its title, and which sectors it touches. Pure.

The word lists are the rule: docs/agents/congress.md repeats them. Whole words, because substrings
find "securities" in "insecurities" and "tax" in "syntax".
"""

import re
from collections.abc import Iterable, Mapping

WORDS: Mapping[str, tuple[str, ...]] = {
    "finance": (
        *("appropriation", "appropriations", "bank", "banking", "banks", "budget"),
        *("currency", "debt ceiling", "debt limit", "federal reserve", "finance", "financial"),
        *("fiscal", "monetary", "mortgage", "mortgages", "public debt", "securities", "stimulus"),
        *("treasury",),
    ),
    "tax": ("internal revenue", "tax", "taxation", "taxes", "taxpayer", "taxpayers"),
    "regulation": (
        *("antitrust", "deregulation", "regulate", "regulation", "regulations", "regulatory"),
        *("rulemaking", "rulemakings"),
    ),
    "defense": (
        *("air force", "armed forces", "army", "defense", "marine corps", "military", "missile"),
        *("missiles", "national security", "navy", "weapons"),
    ),
    "infrastructure": (
        *("airport", "airports", "aviation", "bridge", "bridges", "broadband", "highway"),
        *("highways", "infrastructure", "rail", "railroad", "railroads", "transit"),
        *("transportation", "water resources"),
    ),
    "healthcare": (
        *("affordable care act", "drug", "drugs", "health", "healthcare", "hospital"),
        *("hospitals", "medicaid", "medical", "medicare", "pharmaceutical", "physician"),
        *("physicians", "vaccine", "vaccines"),
    ),
    "energy_climate": (
        *("carbon", "clean air", "climate", "coal", "electricity", "emissions", "energy", "gas"),
        *("nuclear", "oil", "petroleum", "pipeline", "pipelines", "renewable", "solar"),
    ),
    "trade": ("customs", "export", "exports", "import", "imports", "tariff", "tariffs", "trade"),
}
"""Words and phrases of each of the eight categories, in lower case."""

CATEGORY_SECTORS: Mapping[str, tuple[str, ...]] = {
    "finance": ("Financials",),
    "tax": ("Financials", "Consumer Discretionary", "Industrials"),
    "regulation": ("Financials", "Industrials"),
    "defense": ("Industrials",),
    "infrastructure": ("Industrials", "Materials"),
    "healthcare": ("Health Care",),
    "energy_climate": ("Energy", "Utilities"),
    "trade": ("Industrials", "Materials", "Consumer Discretionary"),
}
"""GICS sectors that a category touches."""

COMMITTEE_SECTORS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("agriculture", ("Consumer Staples",)),
    ("armed services", ("Industrials",)),
    ("banking", ("Financials", "Real Estate")),
    ("commerce, science", ("Communication Services", "Information Technology", "Industrials")),
    ("energy and commerce", ("Energy", "Health Care", "Communication Services")),
    ("energy and natural resources", ("Energy", "Utilities")),
    ("environment and public works", ("Industrials", "Materials", "Utilities")),
    ("financial services", ("Financials", "Real Estate")),
    ("health, education", ("Health Care",)),
    ("natural resources", ("Energy", "Materials")),
    ("science, space", ("Information Technology",)),
    ("transportation and infrastructure", ("Industrials",)),
)
"""GICS sectors by a part of a committee's name, in lower case. Others touch no sector."""


_WORD = re.compile(r"\w+")
_SINGLE = {name: {w for w in words if " " not in w} for name, words in WORDS.items()}
_PHRASES = {
    name: [
        (word.split()[0], re.compile(rf"\b{word.replace(' ', '[ ]+')}\b"))
        for word in words
        if " " in word
    ]
    for name, words in WORDS.items()
}


def categories_of(title: str) -> tuple[str, ...]:
    """Give the categories whose words stand in a title, in the order of ``WORDS``.

    A first sync asks this of thousands of titles: single words are looked up in a set.
    """
    text = title.lower()
    there = set(_WORD.findall(text))
    return tuple(
        name
        for name, single in _SINGLE.items()
        if not there.isdisjoint(single)
        or any(first in there and phrase.search(text) for first, phrase in _PHRASES[name])
    )


def sectors_of(categories: Iterable[str], committees: Iterable[str]) -> tuple[str, ...]:
    """Give the GICS sectors that categories and committees touch, in alphabetical order."""
    sectors = {sector for name in categories for sector in CATEGORY_SECTORS.get(name, ())}
    for committee in committees:
        name = committee.lower()
        for part, touched in COMMITTEE_SECTORS:
            if part in name:
                sectors.update(touched)
    return tuple(sorted(sectors))
