"""One copy of a story as a source lists it, and the plain text that may leave its markup. Pure.

Every parser here gives items; ``stories`` makes stories of them. Text from outside is data: tags,
entities, control and direction-changing characters are taken out, and it is cut to a length.
"""

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from lxml import etree
from lxml import html as lxml_html

from relentless.proto.contexts import Origin

MAX_HEADLINE: Final = 300
MAX_SUMMARY: Final = 800
SYMBOL: Final = re.compile(r"^[A-Z][A-Z0-9.\-]{0,11}$")

_TAG = re.compile(r"<[a-zA-Z/!]")
_ENTITY = re.compile(r"&(#\d|#x[0-9a-f]|[a-z]{2,})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Item:
    """One copy of a story."""

    publisher: str
    """The source's name in the settings: "cnbc"."""
    guid: str
    """The source's own id of it; "" where it has none."""
    url: str
    headline: str
    summary: str
    published_at: datetime
    """In UTC, as the source states it."""
    updated_at: datetime | None = None
    """When this wording was written, where the source says so."""
    symbols: tuple[str, ...] = ()
    """Tickers that the source attached."""
    origin: Origin = Origin.LIVE
    body: str = ""
    """SHA-256 of the answer that it was read from."""

    @property
    def known_at(self) -> datetime:
        """When this wording could be read at the earliest."""
        return max(self.published_at, self.updated_at or self.published_at)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one answer held."""

    items: tuple[Item, ...]
    undated: int = 0
    """Entries without a date that can be read: left out, because nobody knows when they were."""
    broken: int = 0
    """Entries without a headline, or of another shape."""


def plain(text: object, limit: int) -> str:
    """Give text without markup, on one line, cut at a word to ``limit`` characters.

    Entities may be escaped twice ("&amp;#39;"), as feeds have them.
    """
    if not isinstance(text, str):
        return ""
    text = text[: 20 * limit]
    for _ in range(2):
        if _TAG.search(text):
            text = _without_tags(text)
        if not _ENTITY.search(text):
            break
        text = html.unescape(text)
    if _TAG.search(text):
        text = _without_tags(text)
    text = "".join(c if unicodedata.category(c)[0] != "C" else _blank(c) for c in text)
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    return (cut.rpartition(" ")[0] or cut).rstrip(",;:") + "…"


def _blank(character: str) -> str:
    """Give a space for a line break or a tab, nothing for what only a terminal would notice."""
    return " " if character in "\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85" else ""


def _without_tags(text: str) -> str:
    try:
        root = lxml_html.fromstring(f"<div>{text.replace(chr(0), ' ')}</div>")
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return re.sub(r"<[^>]*>", " ", text)
    for element in root.iter("script", "style"):
        element.text = ""
    return " ".join(str(piece) for piece in root.itertext())


def moment(text: object) -> datetime | None:
    """Read a date as feeds write it, in UTC; None where it is no date or names no zone.

    RFC 822 with or without seconds ("Sun, 08 Mar 2026 22:16 GMT"), or ISO 8601. A date without a
    time or without a zone says too little to know what could be read when.
    """
    if not isinstance(text, str) or not 10 < len(text.strip()) <= 64:
        return None
    text = text.strip()
    try:
        if text[:4].isdigit():
            found = datetime.fromisoformat(text.upper().replace(" UTC", "+00:00"))
        else:
            found = parsedate_to_datetime(text)
            if found.tzinfo is None and text.endswith("-0000"):
                found = found.replace(tzinfo=UTC)
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def tickers(values: Sequence[object]) -> tuple[str, ...]:
    """Give the tickers among some values, in order, each once."""
    kept = (v for v in values if isinstance(v, str) and SYMBOL.match(v))
    return tuple(dict.fromkeys(kept))[:30]
