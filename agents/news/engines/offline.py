"""The offline engine: reads stories without a key and without the network.

Companies, people and topics by rule; sentiment for each company from the clauses that speak of it.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relentless.agents.news.engines.clauses import about, strangers
from relentless.agents.news.engines.companies import Mention, mentions, subjects, table, tickers
from relentless.agents.news.engines.people import people
from relentless.agents.news.engines.scorer import Scorer
from relentless.agents.news.engines.topics import market_places, on_market, topics
from relentless.agents.news.reading import MARKET, AssetReading, Reading, Sentiment, Story

NAME: Final = "offline-1"
MAX_TEXT: Final = 600
"""Characters of a headline or a summary that are read."""
MAX_ASSETS: Final = 8
VENDOR_SYMBOLS: Final = 3
"""A source that attaches more lists neighbours too: only those that the text names count."""
SUMMARY_WEIGHT: Final = 0.35
"""Of the summary's probabilities beside the headline's."""
_ORDER: Final[tuple[Sentiment, Sentiment, Sentiment]] = ("negative", "neutral", "positive")
_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9.\-]{0,11}")
"""What a message takes as a symbol; a source's "BTC/USD" is none."""
_SAME: Final = {"GOOG": "GOOGL", "BRK.A": "BRK.B", "BRKB": "BRK.B", "BRK-B": "BRK.B"}


class OfflineEngine:
    """Reads by rule and by a small model; the model loads once, on first use, in a thread."""

    def __init__(self, scorer: Scorer | None = None) -> None:
        self._scorer = scorer or Scorer()

    @property
    def name(self) -> str:
        """Name and version."""
        return NAME

    async def read(self, stories: Sequence[Story]) -> list[Reading]:
        """Read stories; one reading each, in order. Raises nothing."""
        return await asyncio.to_thread(self._read, list(stories)) if stories else []

    def _read(self, stories: list[Story]) -> list[Reading]:
        found = [assets_of(story) for story in stories]
        texts: list[str] = []
        for story, assets in zip(stories, found, strict=True):
            for asset in assets:
                texts.extend(part for part in _parts(story, asset) if part)
        unique = list(dict.fromkeys(texts))
        scores = dict(zip(unique, self._scorer.score(unique), strict=True)) if unique else {}
        return [
            Reading(
                story_id=story.story_id,
                assets=tuple(
                    _reading(asset, [scores[part] for part in _parts(story, asset) if part])
                    for asset in assets
                ),
                companies=tuple(companies_of(story)),
                people=tuple(people(f"{story.headline[:MAX_TEXT]}. {story.summary[:MAX_TEXT]}")),
                topics=tuple(topics(f"{story.headline[:MAX_TEXT]} {story.summary[:MAX_TEXT]}")),
                engine=NAME,
            )
            for story, assets in zip(stories, found, strict=True)
        ]


def assets_of(story: Story) -> list[str]:
    """Give the tickers that a story is about, or MARKET for one on the market, or none.

    The headline's companies; the summary's where the headline names none; the source's own symbols
    where they are few or where the text names them too.
    """
    named, in_summary = _subjects(story.headline), _subjects(story.summary)
    vendor = list(
        dict.fromkeys(
            _SAME.get(symbol, symbol) for symbol in story.symbols if _SYMBOL.fullmatch(symbol)
        )
    )
    found = named or in_summary
    if len(vendor) <= VENDOR_SYMBOLS:
        found = list(dict.fromkeys([*vendor, *named])) if vendor else found
    else:
        found = [symbol for symbol in vendor if symbol in (*named, *in_summary)] or found
    if not found and on_market(story.headline[:MAX_TEXT]):
        return [MARKET]
    return found[:MAX_ASSETS]


def _subjects(text: str) -> list[str]:
    text = text[:MAX_TEXT]
    return tickers(subjects(text, mentions(text)))


def companies_of(story: Story) -> list[str]:
    """Give the names, by the table, of the companies in a story's text."""
    known = table().companies
    text = f"{story.headline[:MAX_TEXT]}. {story.summary[:MAX_TEXT]}"
    return [known[ticker].name for ticker in tickers(mentions(text)) if ticker in known]


def _parts(story: Story, asset: str) -> tuple[str, str]:
    """Give what of the headline and of the summary speaks of an asset; "" for nothing."""
    return targeted(story.headline[:MAX_TEXT], asset), targeted(story.summary[:MAX_TEXT], asset)


def targeted(text: str, asset: str) -> str:
    """Give the part of a text that speaks of an asset: all of it, unless it names others too."""
    if asset == MARKET and (stocks := market_places(text)):
        return about(text, stocks[0][0], stocks[1]).strip(" ,;:-")
    found = mentions(text)
    own = next((m for m in found if m.ticker == asset), None)
    if own is None:
        return text.strip()
    others = [_place(m) for m in found if m.ticker != asset]
    others += [place for place in strangers(text) if place[0] != own.start]
    return about(text, _place(own), others).strip(" ,;:-")


def _place(mention: Mention) -> tuple[int, int]:
    return mention.start, mention.end


def _reading(asset: str, rows: list[NDArray[np.float32]]) -> AssetReading:
    """Join the headline's and the summary's probabilities into one reading."""
    if not rows:
        return AssetReading(asset, "neutral", 0.0, 1 / 3)
    joined = (
        rows[0] if len(rows) == 1 else (1 - SUMMARY_WEIGHT) * rows[0] + SUMMARY_WEIGHT * rows[1]
    )
    top = int(np.argmax(joined))
    score = float(joined[2] - joined[0])
    return AssetReading(
        asset, _ORDER[top], max(-1.0, min(1.0, score)), max(0.0, min(1.0, float(joined[top])))
    )
