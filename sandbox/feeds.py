"""The news feeds in a box: CNBC, WSJ, FT, Bloomberg, and Reuters by Google News.

Each has its true route and format. CNBC writes its channel's dates, and here every third item's,
without seconds; Bloomberg has a news sitemap; Google News ends headlines with " - Reuters", links
to an opaque address of its own, orders by relevance, and dates an item when it found it, three
minutes late here. A feed holds its newest items only. Answers have an ETag and are 304 to who
holds them.

Not in the box: the articles that the feeds link to, other feeds of the publishers (404), and edits
in RSS, which has no date for one.
"""

import base64
import hashlib
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final
from xml.etree import ElementTree as Xml
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from relentless.sandbox.invented_news import Told, symbols_of, told_by
from relentless.sandbox.world import ORIGIN_HEADER, World

PUBLISHERS = ("cnbc", "wsj", "ft", "bloomberg", "reuters")
NEWEST: Final = {"cnbc": 30, "wsj": 20, "ft": 25, "bloomberg": 150, "reuters": 100}
GOOGLE_DELAY: Final = timedelta(minutes=3)
CNBC_FEEDS: Final = {"100003114": 1, "10000664": 2, "15839135": 3}
"""Known feeds; all but the first hold every second and every third item."""
_NEWS: Final = "http://www.google.com/schemas/sitemap-news/0.9"
_MAP: Final = "http://www.sitemaps.org/schemas/sitemap/0.9"
_HOSTS: Final = {
    "cnbc": "https://www.cnbc.com",
    "wsj": "https://www.wsj.com/articles",
    "ft": "https://www.ft.com/content",
    "bloomberg": "https://www.bloomberg.com/news/articles",
    "reuters": "https://www.reuters.com/markets",
}


def routes(world: World, publisher: str) -> list[BaseRoute]:
    """Give the routes of one publisher's feeds, under ``/`` and its name."""
    service = _Feeds(world, publisher)
    paths: dict[str, dict[str, Callable[[Request], Response]]] = {
        "cnbc": {"/rs/search/combinedcms/view.xml": service.cnbc},
        "wsj": {
            "/rss/RSSMarketsMain.xml": service.rss,
            "/rss/WSJcomUSBusiness.xml": service.rss,
        },
        "ft": {"/rss/home": service.rss},
        "bloomberg": {"/sitemaps/news/latest.xml": service.sitemap},
        "reuters": {"/rss/search": service.google},
    }
    return [Route(path, endpoint) for path, endpoint in paths[publisher].items()]


def link_of(copy: Told) -> str:
    """Give the address of a copy with its publisher."""
    day = f"{copy.at:%Y-%m-%d}"
    slug = "-".join(copy.headline.lower().replace("%", "").split()[:8])
    slug = "".join(c for c in slug if c.isalnum() or c == "-")
    return f"{_HOSTS[copy.publisher]}/{day}/invented-{slug}-{copy.number}"


class _Feeds:
    def __init__(self, world: World, publisher: str) -> None:
        self._world = world
        self._publisher = publisher

    def _told(self, delay: timedelta = timedelta()) -> list[Told]:
        world = self._world
        now = world.now() - delay
        told = told_by(world.seed, world.symbols, self._publisher, now)
        return told[: NEWEST[self._publisher]]

    def cnbc(self, request: Request) -> Response:
        """Answer one of CNBC's feeds."""
        step = CNBC_FEEDS.get(request.query_params.get("id", ""))
        if step is None or request.query_params.get("partnerId") != "wrss01":
            return PlainTextResponse("Not Found", 404)
        told = [copy for copy in self._told() if copy.number % step == 0]
        return self._answer(request, _rss("CNBC: invented news", told, _cnbc_date))

    def rss(self, request: Request) -> Response:
        """Answer a feed of the WSJ or the FT: of the WSJ's two each has a half."""
        told = self._told()
        if self._publisher == "wsj":
            half = int("Business" in request.url.path)
            told = [copy for copy in told if copy.number % 20 // 10 == half]
        title = f"{self._publisher.upper()}: invented news"
        return self._answer(request, _rss(title, told, lambda copy: _rfc822(copy.at)))

    def google(self, request: Request) -> Response:
        """Answer a search of Google News for stories of reuters.com."""
        query = request.query_params.get("q", "")
        if "site:reuters.com" not in query:
            return PlainTextResponse("Not Found", 404)
        told = self._told(GOOGLE_DELAY)
        random.Random(f"{self._world.seed}:relevance:{len(told)}").shuffle(told)  # noqa: S311
        return self._answer(request, _google(query, told))

    def sitemap(self, request: Request) -> Response:
        """Answer Bloomberg's news sitemap: two days, edits dated by ``lastmod``."""
        now = self._world.now()
        told = [copy for copy in self._told() if copy.at > now - timedelta(days=2)]
        return self._answer(request, self._sitemap(told, now))

    def _sitemap(self, told: Sequence[Told], now: datetime) -> bytes:
        Xml.register_namespace("", _MAP)
        Xml.register_namespace("news", _NEWS)
        root = Xml.Element(f"{{{_MAP}}}urlset")
        for copy in told:
            entry = Xml.SubElement(root, f"{{{_MAP}}}url")
            Xml.SubElement(entry, f"{{{_MAP}}}loc").text = link_of(copy)
            modified = copy.updated_at(now) or copy.at
            Xml.SubElement(entry, f"{{{_MAP}}}lastmod").text = _iso(modified)
            news = Xml.SubElement(entry, f"{{{_NEWS}}}news")
            publication = Xml.SubElement(news, f"{{{_NEWS}}}publication")
            Xml.SubElement(publication, f"{{{_NEWS}}}name").text = "Bloomberg"
            Xml.SubElement(publication, f"{{{_NEWS}}}language").text = "en"
            Xml.SubElement(news, f"{{{_NEWS}}}title").text = copy.headline_at(now)
            Xml.SubElement(news, f"{{{_NEWS}}}publication_date").text = _iso(copy.at)
            symbols = symbols_of(self._world.seed, self._world.symbols, copy)
            tickers = ", ".join(f"NYSE:{symbol}" for symbol in symbols)
            if tickers:
                Xml.SubElement(news, f"{{{_NEWS}}}stock_tickers").text = tickers
        body: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
        return body

    def _answer(self, request: Request, body: bytes) -> Response:
        """Answer a feed, or 304 to who holds it. The body depends on its stories alone."""
        tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        headers = {"ETag": tag, ORIGIN_HEADER: "synthetic", "Cache-Control": "max-age=60"}
        if request.headers.get("If-None-Match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/xml; charset=utf-8")


def _rss(title: str, told: Sequence[Told], date_of: Callable[[Told], str]) -> bytes:
    newest = f"<pubDate>{_no_seconds(told[0].at)}</pubDate>" if told else ""
    items = "".join(
        f"<item><title>{escape(copy.headline)}</title><link>{link_of(copy)}</link>"
        f'<guid isPermaLink="false">{copy.number}</guid><pubDate>{date_of(copy)}</pubDate>'
        f"<description><![CDATA[<p>{escape(copy.summary)}</p>]]></description></item>"
        for copy in told
    )
    return _document(f"<channel><title>{title}</title>{newest}{items}</channel>")


def _google(query: str, told: Sequence[Told]) -> bytes:
    items = []
    for copy in told:
        token = hashlib.sha256(link_of(copy).encode()).digest() * 3
        guid = "CBMi" + base64.urlsafe_b64encode(token).decode().rstrip("=")
        link = f"https://news.google.com/rss/articles/{guid}?oc=5"
        said = escape(
            f'<a href="{link}" target="_blank">{escape(copy.headline)}</a>&nbsp;&nbsp;'
            '<font color="#6f6f6f">Reuters</font>'
        )
        items.append(
            f"<item><title>{escape(copy.headline)} - Reuters</title><link>{link}</link>"
            f'<guid isPermaLink="false">{guid}</guid>'
            f"<pubDate>{_rfc822(copy.at + GOOGLE_DELAY)}</pubDate><description>{said}"
            '</description><source url="https://www.reuters.com">Reuters</source></item>'
        )
    title = escape(f'"{query}" - Google News (invented)')
    return _document(f"<channel><title>{title}</title>{''.join(items)}</channel>")


def _document(channel: str) -> bytes:
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0">'
    return f"{head}{channel}</rss>".encode()


def _cnbc_date(copy: Told) -> str:
    return _no_seconds(copy.at) if copy.number % 3 == 0 else _rfc822(copy.at)


def _no_seconds(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%a, %d %b %Y %H:%M} GMT"


def _rfc822(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _iso(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"
