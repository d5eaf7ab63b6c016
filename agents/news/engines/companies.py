"""Which companies a text names: by tickers, and by the table's names. Pure.

The table is ``agents/news/companies.csv``: facts, written here. A name that is also a word (Apple,
Target, Gap, Visa) counts only where something beside it says that a company is meant.
"""

import csv
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from relentless.agents.news.engines.words import plain

NAMES: Final = Path(__file__).with_name("names.toml")
TABLE: Final = Path(__file__).resolve().parent.parent / "companies.csv"

_LISTED: Final = re.compile(
    r"\(?\b(?:NYSE(?:\s?American|\s?Arca)?|NASDAQ|Nasdaq|NasdaqGS|AMEX|NYSEARCA|BATS|CBOE|OTC)\s?:\s?(?P<ticker>[A-Z]{1,5}(?:[.-][A-Z])?)\b"
)
_CASHTAG: Final = re.compile(r"(?<![\w$])\$(?P<ticker>[A-Z]{1,5}(?:\.[A-Z])?)(?![\w])")
_BRACKETED: Final = re.compile(r"\((?P<ticker>[A-Z]{1,5}(?:\.[A-Z])?)\)")
_WORD: Final = re.compile(r"[\w&'-]+")
BROKERS: Final = frozenset(
    {"GS", "MS", "JPM", "BAC", "C", "WFC", "UBS", "DB", "BCS", "HSBC", "BK", "SPGI", "MCO"}
)
"""Banks whose analysts judge other companies."""


@dataclass(frozen=True, slots=True)
class Company:
    """One row of the table."""

    ticker: str
    name: str
    sector: str
    """GICS sector; "" for a fund on the whole market or on bonds."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A company in a text."""

    ticker: str
    start: int
    end: int
    certain: bool
    """False: by an ambiguous name and the words around it."""


@dataclass(frozen=True, slots=True)
class _Alias:
    ticker: str
    text: str
    ambiguous: bool
    unless: frozenset[str]


@dataclass(frozen=True, slots=True)
class Table:
    """Companies by ticker, and a pattern of every name."""

    companies: dict[str, Company]
    aliases: dict[str, _Alias]
    pattern: re.Pattern[str]


@cache
def table(path: Path = TABLE) -> Table:
    """Read the table, once."""
    companies: dict[str, Company] = {}
    aliases: dict[str, _Alias] = {}
    with path.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            ticker = row["ticker"]
            companies[ticker] = Company(ticker, row["name"], row["sector"])
            unless = frozenset(filter(None, row["unless"].split("|")))
            for text in filter(None, [row["name"], *row["aliases"].split("|")]):
                aliases[text] = _Alias(ticker, text, False, unless)
            for text in filter(None, row["ambiguous"].split("|")):
                aliases[text] = _Alias(ticker, text, True, unless)
    longest = sorted(aliases, key=len, reverse=True)
    names = "|".join(re.escape(text) for text in longest)
    return Table(companies, aliases, re.compile(rf"(?<![\w$@#.])(?:{names})(?![\w&])(?!-[a-z])"))


@cache
def _words() -> dict[str, Any]:
    """Read the words beside names, once: sets, and patterns."""
    raw = tomllib.loads(NAMES.read_text(encoding="utf-8"))["company"]
    patterns = {"suffix", "source", "judged"}
    return {
        key: re.compile(value, re.IGNORECASE if key != "suffix" else 0)
        if key in patterns
        else frozenset(value.split())
        for key, value in raw.items()
    }


def mentions(text: str) -> list[Mention]:
    """Find the companies of a text, in order; each place once.

    Tickers count behind an exchange's name or a dollar sign whatever they are, in brackets only
    where the table has them.
    """
    known, text = table(), plain(text)
    found: list[Mention] = []
    for pattern, strict in ((_LISTED, False), (_CASHTAG, False), (_BRACKETED, True)):
        for match in pattern.finditer(text):
            ticker = match["ticker"].replace("-", ".")
            if strict and ticker not in known.companies:
                continue
            found.append(Mention(ticker, match.start(), match.end(), True))
    titled = _title_case(text)
    for match in known.pattern.finditer(text):
        alias = known.aliases[match.group()]
        if any(m.start < match.end() and match.start() < m.end for m in found):
            continue
        if not alias.ambiguous:
            found.append(Mention(alias.ticker, match.start(), match.end(), True))
        elif _is_company(text, match, alias, titled):
            found.append(Mention(alias.ticker, match.start(), match.end(), False))
    found += _in_company(text, found)
    return sorted(found, key=lambda mention: mention.start)


def named_in(text: str, ticker: str) -> bool:
    """Tell whether a text names a company in any way: by ticker or by a name, ambiguous or not."""
    if any(mention.ticker == ticker for mention in mentions(text)):
        return True
    known, text = table(), plain(text)
    return any(
        known.aliases[match.group()].ticker == ticker for match in known.pattern.finditer(text)
    )


def _in_company(text: str, found: list[Mention]) -> list[Mention]:
    """Take an ambiguous name that "and" or a comma joins to a company: "Visa and Mastercard"."""
    known, more, text = table(), list[Mention](), plain(text)
    for match in known.pattern.finditer(text):
        alias = known.aliases[match.group()]
        if not alias.ambiguous or any(m.start <= match.start() < m.end for m in found):
            continue
        for mention in found:
            gap = text[match.end() : mention.start] or text[mention.end : match.start()]
            if gap in (" and ", ", ", " & ", ", and ", "/", " or ", " vs. ", " vs "):
                more.append(Mention(alias.ticker, match.start(), match.end(), False))
                break
    return more


_JUDGED_BY: Final = re.compile(r"(?:\bat|\bby|\bfrom|[-:])\s$")


def subjects(text: str, found: Sequence[Mention]) -> list[Mention]:
    """Drop banks that are only the source: "Goldman Sachs upgrades Delta", "cut to sell at UBS"."""
    text = plain(text)
    judged = _words()["judged"].search(text)
    kept: list[Mention] = []
    for mention in found:
        bank = mention.ticker in BROKERS
        says = bank and _words()["source"].match(text[mention.end :])
        by = bank and judged and _JUDGED_BY.search(text[: mention.start]) and len(found) > 1
        if not says and not by:
            kept.append(mention)
    return kept


def tickers(found: Sequence[Mention]) -> list[str]:
    """Give each ticker once, in order of appearance."""
    return list(dict.fromkeys(mention.ticker for mention in found))


def _title_case(text: str) -> bool:
    """Tell whether nearly every longer word is capital: capitals then say nothing."""
    long = [word for word in _WORD.findall(text) if len(word) > 3 and word[0].isalpha()]
    return len(long) >= 4 and sum(word[0].isupper() for word in long) >= 0.8 * len(long)


def _is_company(text: str, match: re.Match[str], alias: _Alias, titled: bool) -> bool:
    """Judge an ambiguous name by what stands beside it."""
    before, after = text[: match.start()], text[match.end() :]
    if re.match(rf",?\s{_words()['suffix'].pattern}", after) or re.match(
        r"\s?\((?:NYSE|NASDAQ|Nasdaq|[A-Z]{1,5}\))", after
    ):
        return True
    previous = [word.lower() for word in _WORD.findall(before)][-2:]
    following = [word.lower() for word in _WORD.findall(re.sub(r"^'s", "", after))][:2]
    last, first = (previous or [""])[-1], (following or [""])[0]
    if alias.unless & {last, first} or f"{last} {first}" in alias.unless:
        return False
    if text[match.start() : match.end()].isupper() and not text.isupper():
        return False
    possessive = re.match(r"'s?\s", after) is not None
    around = {word.lower() for word in _WORD.findall(text)} - {alias.text.lower()}
    business = len(around & _words()["business"])
    sentence_start = not before.strip() or before.rstrip()[-1:] in ".!?:;\"'"
    acts = first in _words()["acts"] and not (first in _words()["weak_acts"] and business == 0)
    if last in ("the", "a", "an", "this", "that", "his", "her", "their", "my", "your"):
        return False
    if acts and not re.match(r"\s*[,;:.?!]", after):
        return True
    if business and (possessive or first in _words()["business"] or not (titled or sentence_start)):
        return True
    if titled or sentence_start:
        return business >= 2
    return last in _words()["before"] or re.match(r"\s*(?:,|and\b|$)", after) is not None
