"""Words: a text cut into tokens, and the engine's own lexicon, ``lexicon.toml``. Pure."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

LEXICON: Final = Path(__file__).with_name("lexicon.toml")

_TOKEN: Final = re.compile(
    r"""
    [$€£¥]?\d[\d,.]*\d(?:%|[a-z]{1,2}\b)?|[$€£¥]?\d(?:%|[a-z]{1,2}\b)?  # figures
    |[A-Za-z][A-Za-z&]*(?:\.[A-Za-z])+\.?|[^\W\d_]+(?:[-'][^\W\d_]+)*  # words
    |[%;:,.?!()]
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What words mean, by their inflected forms, in lower case."""

    verbs: dict[str, int]
    """A movement, +1 up or -1 down; so the four below."""
    shares: frozenset[str]
    """Forms of verbs that speak of shares where they have no other object."""
    transitive: dict[str, int]
    adjectives: dict[str, int]
    nouns: dict[str, int]
    adverbs: dict[str, int]
    objects: dict[str, int]
    """What moves: +1 where up is good news, -1 where it is bad."""
    words: dict[str, int]
    terms: tuple[tuple[re.Pattern[str], str], ...]
    """Patterns of several words, and the word that each stands for."""
    reversers: frozenset[str]
    undoers: frozenset[str]
    negators: frozenset[str]
    hedges: frozenset[str]
    positive: re.Pattern[str]
    negative: re.Pattern[str]
    neutral: re.Pattern[str]


_PLAIN: Final = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
        "\u00a0": " ",
    }
)


def plain(text: str) -> str:
    """Put plain quotation marks, dashes and spaces for the printer's; every place stays."""
    return text.translate(_PLAIN)


def simplified(text: str) -> str:
    """Lower a text's case and put one word for each term of several."""
    text = plain(text).lower()
    for pattern, word in lexicon().terms:
        text = pattern.sub(word, text)
    return text


def tokens(text: str) -> list[str]:
    """Cut a text into words, figures and marks, in lower case."""
    return [match.lower() for match in _TOKEN.findall(plain(text))]


def inflect(entry: str) -> list[str]:
    """Give a verb's forms: "drop" gives drop, drops, dropped, dropping.

    An entry with slashes lists its forms itself; one of several words has no others.
    """
    if "/" in entry:
        return entry.split("/")
    if " " in entry:
        return [entry]
    if entry.endswith("e"):
        return [entry, entry + "s", entry + "d", entry[:-1] + "ing"]
    if re.search(r"[^aeiou]y$", entry):
        return [entry, entry[:-1] + "ies", entry[:-1] + "ied", entry + "ing"]
    if re.search(r"(s|sh|ch|x)$", entry):
        return [entry, entry + "es", entry + "ed", entry + "ing"]
    stem = entry + entry[-1] if re.fullmatch(r"[^aeiou]{1,3}[aeiou][^aeiouwxy]", entry) else entry
    return [entry, entry + "s", stem + "ed", stem + "ing"]


@cache
def lexicon() -> Lexicon:
    """Read the lexicon, once."""
    raw: dict[str, Any] = tomllib.loads(LEXICON.read_text(encoding="utf-8"))

    def moving(kind: str) -> dict[str, int]:
        fixed = kind in ("adjectives", "adverbs", "nouns")
        return {
            form: sign
            for side, sign in (("up", 1), ("down", -1))
            for entry in raw["movement"][side][kind]
            for form in ([entry] if fixed else inflect(entry))
        }

    def pattern(kind: str) -> re.Pattern[str]:
        return re.compile(r"\b(?:" + "|".join(raw["phrases"][kind]) + r")\b")

    objects = {form: 1 for form in raw["objects"]["good"]}
    objects |= {form: -1 for form in raw["objects"]["bad"]}
    words = {form: 1 for entry in raw["words"]["positive"] for form in inflect(entry)}
    words |= {form: -1 for entry in raw["words"]["negative"] for form in inflect(entry)}
    return Lexicon(
        verbs=moving("verbs"),
        shares=frozenset(
            form for entry in raw["movement"]["shares"]["verbs"] for form in inflect(entry)
        ),
        transitive=moving("transitive"),
        adjectives=moving("adjectives"),
        nouns=moving("nouns"),
        adverbs=moving("adverbs"),
        objects=objects,
        words=words,
        terms=tuple(
            (re.compile(r"(?<!\w)(?:" + "|".join(patterns) + r")\b"), word)
            for word, patterns in raw["terms"].items()
        ),
        reversers=frozenset(form for entry in raw["words"]["reversers"] for form in inflect(entry)),
        undoers=frozenset(form for entry in raw["words"]["undoers"] for form in inflect(entry)),
        negators=frozenset(raw["words"]["negators"]),
        hedges=frozenset(raw["words"]["hedges"]),
        positive=pattern("positive"),
        negative=pattern("negative"),
        neutral=pattern("neutral"),
    )
