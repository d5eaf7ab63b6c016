"""Figures that a text sets against each other: "EUR 35.4 mn from EUR 68.8 mn". Pure."""

import re
from dataclasses import dataclass
from typing import Final

from relentless.agents.news.engines.words import lexicon

_CURRENCY: Final = r"(?:eur|usd|gbp|sek|nok|dkk|chf|cny|jpy|inr|rs|us\$|\$|\u20ac|\u00a3|\u00a5)"
_UNITS: Final = (
    "million|billion|trillion|thousand|mln|mn|bln|bn|tn|m|b|k|pct|per cent|percent|%|cents?|pence"
)
_YEAR: Final = r"(?:19|20)\d\d(?![\d.,]\d|\d|\s?(?:million|mln|mn|billion|bln|bn|euro|dollar))"
_AMOUNT: Final = (
    rf"(?<![\w.,-])(?!{_YEAR})"
    rf"(?P<{{0}}>(?:{_CURRENCY}\s?)?-?\d[\d,]*(?:\.\d+)?\s?(?:{_UNITS})?"
    r"(?:\s(?:euros?|dollars?|pounds|kronor|yen|yuan))?)(?![\w%])"
)
_YEARS: Final = r"(?:[^.;()]{0,60}?)"
_LOSS: Final = (
    r"(?:(?:a |an )?(?:net |operating |pretax |pre-tax |quarterly |annual )*"
    r"(?:loss|deficit|profit|income|gain|surplus) of )?"
)
_COMPARED: Final = (
    r"(?:compared (?:with|to)|as compared (?:with|to)|versus|vs\.?|against"
    r"|(?:up |down |rising |falling )?from|where(?:as)? it was|after)"
)
_BEFORE: Final = re.compile(
    _AMOUNT.replace("{0}", "new")
    + _YEARS
    + rf",?\s{_COMPARED}\s{_LOSS}"
    + _AMOUNT.replace("{0}", "old")
)
_BRACKET: Final = re.compile(
    _AMOUNT.replace("{0}", "new") + r"\s\(" + _AMOUNT.replace("{0}", "old") + r"\)"
)
_FROM_TO: Final = re.compile(
    r"\bfrom\s" + _AMOUNT.replace("{0}", "old") + _YEARS + r"\sto\s" + _AMOUNT.replace("{0}", "new")
)
_COMPARED_FIRST: Final = re.compile(
    r"\b(?:compared (?:with|to)|versus|against)\s"
    + _AMOUNT.replace("{0}", "old")
    + _YEARS
    + r",\s[^.;]{0,50}?"
    + _AMOUNT.replace("{0}", "new")
)
_CROSS: Final = re.compile(
    r"\b(?P<now>loss|deficit|profit|income|gain|surplus)\b(?:[^.;]|\.(?=\d)){0,90}?"
    r"\b(?:compared (?:with|to)|versus|vs\.?|against|from|after|where(?:as)? it)\s(?:had )?"
    r"(?:a |an |its |last year's |the previous year's )?(?:\w+ ){0,2}"
    r"(?P<then>loss|deficit|profit|income|gain|surplus)\b"
)
_LOSSES: Final = frozenset({"loss", "deficit"})
_SCALE: Final = {
    "million": 1e6, "mln": 1e6, "mn": 1e6, "m": 1e6, "billion": 1e9, "bln": 1e9, "bn": 1e9,
    "b": 1e9, "trillion": 1e12, "tn": 1e12, "thousand": 1e3, "k": 1e3,
}  # fmt: skip
_KIND: Final = re.compile(r"%|pct|percent|per cent")
_NUMBER: Final = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_UNIT: Final = re.compile(r"\b(" + "|".join(sorted(_SCALE, key=len, reverse=True)) + r")\b")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two figures of one thing."""

    start: int
    """Where it stands in the text."""
    sign: int
    """+1 where the new one is better news, -1 worse, 0 the same."""
    change: float
    """Relative, in [-1, 1]; signed as good or bad news."""


def comparisons(text: str) -> list[Comparison]:
    """Find what a text in lower case compares; years and dates are no figures."""
    found: list[Comparison] = []
    taken: list[tuple[int, int]] = []
    for match in _CROSS.finditer(text):
        now, then = match["now"] in _LOSSES, match["then"] in _LOSSES
        if now != then:
            found.append(Comparison(match.start(), -1 if now else 1, -1.0 if now else 1.0))
            taken.append(match.span())
    for pattern in (_BEFORE, _BRACKET, _FROM_TO, _COMPARED_FIRST):
        for match in pattern.finditer(text):
            if any(start < match.end() and match.start() < end for start, end in taken):
                continue
            new, old = _value(match["new"]), _value(match["old"])
            if new is None or old is None or _percent(match["new"]) != _percent(match["old"]):
                continue
            taken.append(match.span())
            new, old = (
                _scaled(new, match["new"], match["old"]),
                _scaled(old, match["old"], match["new"]),
            )
            top = max(abs(new), abs(old))
            change = (new - old) / top if top else 0.0
            polarity = _polarity(text[: match.start("new")], text[match.end() :])
            sign = (change > 0) - (change < 0)
            found.append(
                Comparison(match.start(), sign * polarity, max(-1.0, min(1.0, change)) * polarity)
            )
    return found


def _polarity(before: str, after: str) -> int:
    """Say whether more of what is compared is good (+1) or bad (-1): its nearest noun decides."""
    objects = lexicon().objects
    sentence = re.split(r"[.;]\s", before)[-1]
    for word in reversed(re.findall(r"[a-z-]+", sentence)):
        if word in objects:
            return objects[word]
    for word in re.findall(r"[a-z-]+", re.split(r"[.;]\s", after)[0]):
        if word in objects:
            return objects[word]
    return 1


def _percent(amount: str) -> bool:
    return _KIND.search(amount) is not None


def _value(amount: str) -> float | None:
    """Give the figure, or None for a bare year ("from 2007")."""
    match = _NUMBER.search(amount)
    if match is None:
        return None
    digits = match.group().replace(",", "")
    if re.fullmatch(r"(19|20)\d\d", digits) and amount.strip() == match.group():
        return None
    return float(digits)


def _scaled(value: float, own: str, other: str) -> float:
    """Scale by the amount's own unit, or the other's where it has none ("12.3 mn (10.1)")."""
    unit = _UNIT.search(re.sub(r"\d(?=[a-z])", r"\g<0> ", own)) or _UNIT.search(
        re.sub(r"\d(?=[a-z])", r"\g<0> ", other)
    )
    return value * (_SCALE[unit.group(1)] if unit else 1.0)
