"""RSS and Atom feeds, read by feedparser from bytes that were already fetched. Pure.

A feed that is HTML, empty or cut is an error. One that is not well-formed but whole (an entity
that XML does not know) is read as feed readers do.
"""

import io
import re
from typing import Final

import feedparser

from relentless.agents.news.items import MAX_HEADLINE, MAX_SUMMARY, Item, Parsed, moment, plain
from relentless.proto.contexts import Origin
from relentless.proto.errors import SourceMalformed

MAX_ENTRIES: Final = 500
_ENDS: Final = re.compile(rb"</(rss|feed|rdf:RDF)\s*>\s*(<!--.*-->\s*)?$", re.DOTALL)


def parse_rss(
    publisher: str,
    body: bytes,
    content_type: str = "",
    *,
    suffix: str = "",
    origin: Origin = Origin.LIVE,
    sha256: str = "",
) -> Parsed:
    """Read a feed.

    Args:
        publisher: the source's name.
        body: as it came.
        content_type: of the answer; feedparser weighs its charset against the document's.
        suffix: taken off the end of headlines: Google News appends " - Reuters". The description
            of such a feed only repeats the headline as a link, and is left out.
        origin: what stands behind the source.
        sha256: of the body.

    Raises:
        SourceMalformed: empty, HTML, cut, or no feed.
    """
    if not body.strip():
        raise SourceMalformed(publisher, "the answer is empty")
    headers = {"content-type": content_type or "application/xml"}
    try:
        # From a stream: feedparser takes bytes for a file's name or an address if they look so.
        feed = feedparser.parse(
            io.BytesIO(body),
            response_headers=headers,
            resolve_relative_uris=False,
            sanitize_html=False,
        )
    except (ValueError, LookupError, RecursionError, AssertionError, AttributeError) as error:
        raise SourceMalformed(publisher, f"no feed: {type(error).__name__}") from None
    if not feed.get("version"):
        head = body[:512].lower()
        what = "HTML came in place of a feed" if b"<html" in head else "the answer is no feed"
        raise SourceMalformed(publisher, what)
    if feed.bozo and not _whole(body, feed.get("encoding") or "utf-8"):
        raise SourceMalformed(publisher, "the feed is cut")
    items, undated, broken = [], 0, 0
    for entry in feed.entries[:MAX_ENTRIES]:
        headline = plain(entry.get("title"), MAX_HEADLINE)
        if suffix:
            headline = headline.removesuffix(suffix).rstrip()
        updated = moment(entry["updated"]) if "updated" in entry else None
        published = moment(entry["published"]) if "published" in entry else updated
        if not headline:
            broken += 1
        elif published is None:
            undated += 1
        else:
            items.append(
                Item(
                    publisher=publisher,
                    guid=_short(entry.get("id")),
                    url=_short(entry.get("link")),
                    headline=headline,
                    summary="" if suffix else plain(entry.get("summary"), MAX_SUMMARY),
                    published_at=published,
                    updated_at=updated,
                    origin=origin,
                    body=sha256,
                )
            )
    return Parsed(tuple(items), undated, broken)


def _whole(body: bytes, encoding: str) -> bool:
    """Say whether a feed that is not well-formed has its end."""
    tail = body[-2_000:] if encoding.lower().startswith(("utf-8", "iso", "win", "us-")) else b""
    return bool(_ENDS.search(tail))


def _short(value: object) -> str:
    """Give an id or a link; one too long to be kept is no id."""
    text = plain(value, 2_001) if isinstance(value, str) else ""
    return text if len(text) <= 2_000 else ""
