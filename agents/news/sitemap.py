"""News sitemaps (sitemaps.org with Google's news extension), as Bloomberg publishes one. Pure."""

from typing import Final

from lxml import etree

from relentless.agents.news.items import (
    MAX_HEADLINE,
    MAX_SUMMARY,
    Item,
    Parsed,
    moment,
    plain,
    tickers,
)
from relentless.agents.runtime.markup import parse_xml
from relentless.proto.contexts import Origin
from relentless.proto.errors import SourceMalformed

MAX_ENTRIES: Final = 1_000
US_EXCHANGES: Final = frozenset(
    {"NYSE", "NASDAQ", "AMEX", "NYSEARCA", "NYSEAMERICAN", "NYSEMKT", "BATS", "CBOE", "ARCA"}
)
"""A ticker of another exchange is another company's here: LON:BA is no Boeing."""


def parse_sitemap(
    publisher: str, body: bytes, *, origin: Origin = Origin.LIVE, sha256: str = ""
) -> Parsed:
    """Read a news sitemap: ``news:title``, ``news:publication_date``, ``news:stock_tickers``.

    ``lastmod`` later than the publication is when the entry was edited. There is no summary.

    Raises:
        SourceMalformed: empty, HTML, cut, not XML, or no ``urlset``.
    """
    root = parse_xml(publisher, body)
    if etree.QName(root).localname != "urlset":
        raise SourceMalformed(publisher, "the answer is no news sitemap")
    items: list[Item] = []
    undated = broken = 0
    for element in root.iterchildren("{*}url"):
        if len(items) >= MAX_ENTRIES:
            break
        address = _text(element, "{*}loc")
        headline = plain(_text(element, "{*}news/{*}title"), MAX_HEADLINE)
        if not headline or not address or len(address) > 2_000:
            broken += 1
            continue
        published = moment(_text(element, "{*}news/{*}publication_date"))
        if published is None:
            undated += 1
            continue
        stated = _text(element, "{*}news/{*}stock_tickers")
        items.append(
            Item(
                publisher=publisher,
                guid="",
                url=plain(address, MAX_SUMMARY * 3),
                headline=headline,
                summary="",
                published_at=published,
                updated_at=moment(_text(element, "{*}lastmod")),
                symbols=tickers([_symbol(part) for part in stated.split(",")]),
                origin=origin,
                body=sha256,
            )
        )
    return Parsed(tuple(items), undated, broken)


def _text(element: etree._Element, path: str) -> str:
    found = element.find(path)
    return "".join(found.itertext()).strip() if found is not None else ""


def _symbol(stated: str) -> str:
    """Give the ticker of "NASDAQ:AAPL"; "" for another exchange's, or one without an exchange."""
    exchange, _, symbol = stated.strip().partition(":")
    return symbol.strip() if exchange.strip().upper() in US_EXCHANGES else ""
