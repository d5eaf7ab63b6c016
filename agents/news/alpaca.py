"""Alpaca's news: the REST pages and the frames of its websocket, and the walk over the pages.

An article has ``created_at`` and ``updated_at``; the text is that of ``updated_at``. The service
says a moment's difference for every article, so only a minute or more means an edit (``stories``).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from relentless.agents.http import Answer, Source
from relentless.agents.news.items import (
    MAX_HEADLINE,
    MAX_SUMMARY,
    Item,
    Parsed,
    moment,
    plain,
    tickers,
)
from relentless.proto.contexts import Origin
from relentless.proto.errors import SourceError, SourceMalformed

SOURCE: Final = "alpaca_data"
PUBLISHER: Final = "alpaca"
KEY_HEADER: Final = "APCA-API-KEY-ID"
SECRET_HEADER: Final = "APCA-API-SECRET-KEY"  # noqa: S105 - a name
PATH: Final = "/v1beta1/news"
PAGE: Final = 50
"""Articles on a page; the service allows no more."""
MAX_PAGES: Final = 40


def parse_articles(
    values: Sequence[Any], *, origin: Origin = Origin.LIVE, sha256: str = ""
) -> Parsed:
    """Read articles, of a page or of frames: both have one shape."""
    items, undated, broken = [], 0, 0
    for value in values:
        if not isinstance(value, Mapping):
            broken += 1
            continue
        headline = plain(value.get("headline"), MAX_HEADLINE)
        number, symbols = value.get("id"), value.get("symbols")
        if not headline or isinstance(number, bool) or not isinstance(number, int):
            broken += 1
            continue
        created = moment(value.get("created_at"))
        if created is None:
            undated += 1
            continue
        url = value.get("url")
        items.append(
            Item(
                publisher=PUBLISHER,
                guid=str(number)[:40],
                url=url if isinstance(url, str) and len(url) <= 2_000 else "",
                headline=headline,
                summary=plain(value.get("summary"), MAX_SUMMARY),
                published_at=created,
                updated_at=moment(value.get("updated_at")),
                symbols=tickers(symbols) if isinstance(symbols, list) else (),
                origin=origin,
                body=sha256,
            )
        )
    return Parsed(tuple(items), undated, broken)


def parse_page(
    value: Any, *, origin: Origin = Origin.LIVE, sha256: str = ""
) -> tuple[Parsed, str | None]:
    """Read one page: its articles, and the token of the next one or None.

    Raises:
        SourceMalformed: not of the documented shape.
    """
    if not isinstance(value, dict) or not isinstance(value.get("news"), list):
        raise SourceMalformed(SOURCE, "news: the answer holds no list of news")
    token = value.get("next_page_token")
    if token is not None and not isinstance(token, str):
        raise SourceMalformed(SOURCE, "news: next_page_token is no text")
    return parse_articles(value["news"], origin=origin, sha256=sha256), token or None


def parse_frame(value: Any) -> Parsed:
    """Read a websocket frame: one message or an array of them; those with ``T`` "n" are news."""
    frames = value if isinstance(value, list) else [value]
    return parse_articles([f for f in frames if isinstance(f, Mapping) and f.get("T") == "n"])


async def read_pages(
    source: Source, start: datetime, end: datetime
) -> tuple[Parsed, list[Answer], SourceError | None]:
    """Walk the pages of what was updated between two moments, the newest first.

    A page that fails ends the walk: what came before it is given with the error. So does a page
    that repeats one: its token was given before, or it holds nothing new.

    Raises:
        SourceError: the first page cannot be read.
    """
    query: dict[str, str | int] = {
        "start": _seconds(start),
        "end": _seconds(end),
        "sort": "desc",
        "limit": PAGE,
        "include_content": "false",
    }
    items: dict[str, Item] = {}
    answers: list[Answer] = []
    undated = broken = 0
    seen: set[str] = set()
    token: str | None = None
    while len(answers) < MAX_PAGES:
        try:
            answer = await source.get_json(PATH, query | ({"page_token": token} if token else {}))
            parsed, token = parse_page(answer.value, origin=answer.origin, sha256=answer.sha256)
        except SourceError as error:
            if not answers:
                raise
            return Parsed(tuple(items.values()), undated, broken), answers, error
        answers.append(answer)
        undated, broken = undated + parsed.undated, broken + parsed.broken
        new = {item.guid: item for item in parsed.items if item.guid not in items}
        items |= new
        if token is None:
            return Parsed(tuple(items.values()), undated, broken), answers, None
        if token in seen or not new:
            stuck = SourceMalformed(SOURCE, "news: a page came twice")
            return Parsed(tuple(items.values()), undated, broken), answers, stuck
        seen.add(token)
    cut = SourceMalformed(SOURCE, f"news: more than {MAX_PAGES} pages; the oldest are not read")
    return Parsed(tuple(items.values()), undated, broken), answers, cut


def _seconds(moment_: datetime) -> str:
    """Write a time as the service takes it: no fractions of a second."""
    return moment_.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
