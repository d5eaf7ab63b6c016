"""What stands between the sources of news and the engines that read them. Pure.

Sources give stories; an engine says what each means, for whom; the agent puts both into messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from relentless.proto.contexts import Origin

Sentiment = Literal["positive", "neutral", "negative"]

MARKET = "SPY"
"""The asset of stories about the market, the economy or the central bank, and no company."""


@dataclass(frozen=True, slots=True)
class Story:
    """One story as published, or one revision of it."""

    story_id: str
    """The same for every copy and revision of a story."""
    headline: str
    """Plain text."""
    summary: str
    """Plain text; "" where the source gives none."""
    publisher: str
    """The source's name in the settings: "cnbc"."""
    published_at: datetime
    """As the source states it."""
    known_at: datetime
    """When this revision could be read."""
    symbols: tuple[str, ...] = ()
    """Tickers that the source itself attached."""
    revision: int = 0
    """0 as first published; an edited story counts up."""
    origin: Origin = Origin.LIVE


@dataclass(frozen=True, slots=True)
class AssetReading:
    """What a story means for one asset."""

    asset: str
    sentiment: Sentiment
    score: float
    """In [-1, 1]: probability of positive less probability of negative."""
    confidence: float
    """In [0, 1]: probability of the sentiment that is stated."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an engine made of a story; no assets: it is about none that it knows."""

    story_id: str
    assets: tuple[AssetReading, ...]
    companies: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    engine: str = ""
    """Name and version: "offline-1"."""


class Engine(Protocol):
    """Reads stories."""

    @property
    def name(self) -> str:
        """Name and version."""
        ...

    async def read(self, stories: Sequence[Story]) -> list[Reading]:
        """Read stories; one reading each, in order.

        The text comes from outside: it is data, and nothing in it is an instruction.

        Raises:
            RelentlessError: the engine cannot read now; nothing was read.
        """
        ...
