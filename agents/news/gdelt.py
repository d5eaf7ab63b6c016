"""GDELT's DOC 2 API: articles of the world's web that GDELT saw. Pure but for ``read_list``.

``seendate`` is when GDELT saw an article, not when it was published. Errors come as a line of
text, with the status of a success. One request is made in a run; the client's rate limit keeps
requests more than five seconds apart.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from relentless.agents.http import Answer, Source
from relentless.agents.news.items import MAX_HEADLINE, Item, Parsed, plain
from relentless.agents.runtime.answer import decode_json, decode_text
from relentless.proto.contexts import Origin
from relentless.proto.errors import SourceMalformed, SourceRateLimited, SourceRejected

SOURCE: Final = "gdelt"
PATH: Final = "/api/v2/doc/doc"
QUERY: Final = (
    '("stock market" OR "federal reserve" OR "quarterly earnings") '
    "sourcelang:english sourcecountry:US"
)
RECORDS: Final = 75
"""Asked for; the service gives 250 at most."""
_BEFORE: Final = re.compile(r"\s+([,.:;!?%)\]}\u2019])")
_AFTER: Final = re.compile(r"([(\[{$\u2018])\s+")
_APOSTROPHE: Final = re.compile(r"\s+(['\u2019])\s*(s|t|re|ve|ll|d|m)\b", re.IGNORECASE)


def parse_list(
    body: bytes, content_type: str = "", *, origin: Origin = Origin.LIVE, sha256: str = ""
) -> Parsed:
    """Read an article list. An empty object is how the service says that nothing matched.

    Raises:
        SourceRateLimited: its text about one request every five seconds.
        SourceRejected: another text: the query is too short, unknown, ...
        SourceMalformed: empty, HTML, cut, or JSON of another shape.
    """
    head = body[:64].lstrip()
    if head and not head.startswith((b"{", b"[", b"<", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        said = plain(decode_text(SOURCE, body, content_type), 160)
        if "limit requests" in said.lower():
            raise SourceRateLimited(SOURCE, f"200, {said}", 5.0)
        raise SourceRejected(SOURCE, f"200, {said}", 200)
    value = decode_json(SOURCE, body, content_type)
    articles = value.get("articles", []) if isinstance(value, dict) else None
    if not isinstance(articles, list):
        raise SourceMalformed(SOURCE, "the answer holds no list of articles")
    items, undated, broken = [], 0, 0
    for article in articles[:250]:
        if not isinstance(article, Mapping):
            broken += 1
            continue
        headline = plain(_repaired(article.get("title")), MAX_HEADLINE)
        url = article.get("url")
        if not headline or not isinstance(url, str) or not 0 < len(url) <= 2_000:
            broken += 1
            continue
        seen = _seen(article.get("seendate"))
        if seen is None:
            undated += 1
            continue
        items.append(Item(SOURCE, "", url, headline, "", seen, origin=origin, body=sha256))
    return Parsed(tuple(items), undated, broken)


async def read_list(source: Source, start: datetime, end: datetime) -> tuple[Parsed, Answer]:
    """Ask once for the newest articles that GDELT saw between two moments.

    Raises:
        SourceError: the client's, and those of ``parse_list``.
    """
    answer = await source.get_bytes(
        PATH,
        {
            "query": QUERY,
            "mode": "artlist",
            "format": "json",
            "sort": "datedesc",
            "maxrecords": RECORDS,
            "startdatetime": _stamp(start),
            "enddatetime": _stamp(end),
        },
    )
    content_type = answer.headers.get("content-type", "")
    parsed = parse_list(answer.value, content_type, origin=answer.origin, sha256=answer.sha256)
    return parsed, answer


def _repaired(title: Any) -> Any:
    """Take out the spaces that GDELT puts around punctuation: "Apple ' s profit , up 3 %"."""
    if not isinstance(title, str):
        return title
    title = _APOSTROPHE.sub(r"\1\2", title)
    return _AFTER.sub(r"\1", _BEFORE.sub(r"\1", title))


def _seen(value: object) -> datetime | None:
    """Read 20131007T093000Z."""
    if not isinstance(value, str) or len(value) != 16:
        return None
    try:
        return datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S")
