"""What a text is about, of a closed list: by words (``topics.toml``). Pure."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

from relentless.agents.news.engines.words import plain

TOPICS: Final = (
    "earnings", "guidance", "m&a", "analyst", "legal", "regulation", "product", "management",
    "macro", "rates", "inflation", "employment", "energy", "credit", "dividend", "layoffs",
    "market",
)  # fmt: skip
"""Every topic; engines give no other."""

RULES: Final = Path(__file__).with_name("topics.toml")


@cache
def _rules() -> tuple[dict[str, re.Pattern[str]], dict[str, re.Pattern[str]]]:
    """Read the patterns, once: the topics', and those of a market story."""
    raw = tomllib.loads(RULES.read_text(encoding="utf-8"))
    listed = {topic: re.compile(rf"\b(?:{raw['topics'][topic]})\b") for topic in TOPICS}
    return listed, {name: re.compile(rule) for name, rule in raw["market"].items()}


def topics(text: str) -> list[str]:
    """Give a text's topics, in the list's order."""
    lower = text.lower()
    return [topic for topic, pattern in _rules()[0].items() if pattern.search(lower)]


def market_places(text: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]] | None:
    """Give where a text names stocks and where it names oil, currencies or bonds; None: no stocks.

    "Stocks dip, Treasury yields jump": only the first speaks of the market.
    """
    lower, rules = plain(text).lower(), _rules()[1]
    stocks = [match.span() for match in rules["stocks"].finditer(lower)]
    others = [match.span() for match in rules["beside"].finditer(lower)]
    return (stocks, others) if stocks else None


def on_market(text: str) -> bool:
    """Tell whether a headline is on the American market, economy or central bank.

    Another country's economy is not, unless the headline names an American one beside it.
    """
    lower, rules = text.lower(), _rules()[1]
    if rules["story"].search(lower) is None:
        return False
    return rules["abroad"].search(lower) is None or rules["home"].search(lower) is not None
