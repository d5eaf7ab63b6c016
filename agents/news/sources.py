"""Where the news agent reads, and one way to read each: its copies, its evidence, its gaps.

Each publisher stands alone: one that cannot be read is a gap, and the others go on.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Final

from relentless.agents.base import Gap, Run
from relentless.agents.http import Answer
from relentless.agents.news import alpaca, gdelt
from relentless.agents.news.items import Item, Parsed
from relentless.agents.news.rss import parse_rss
from relentless.agents.news.sitemap import parse_sitemap
from relentless.agents.news.stories import WINDOW
from relentless.proto.messages import Evidence

ACCEPT: Final = "application/rss+xml, application/xml;q=0.9, text/xml;q=0.8"


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed of a publisher."""

    publisher: str
    name: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    suffix: str = ""
    """At the end of every headline, and no part of it."""
    sitemap: bool = False


def _cnbc(number: str, name: str) -> Feed:
    params = (("partnerId", "wrss01"), ("id", number))
    return Feed("cnbc", name, "/rs/search/combinedcms/view.xml", params)


FEEDS: Final = (
    _cnbc("100003114", "CNBC top news"),
    _cnbc("10000664", "CNBC finance"),
    _cnbc("15839135", "CNBC earnings"),
    Feed("wsj", "WSJ markets", "/rss/RSSMarketsMain.xml"),
    Feed("wsj", "WSJ US business", "/rss/WSJcomUSBusiness.xml"),
    Feed("ft", "FT home", "/rss/home"),
    Feed("bloomberg", "Bloomberg news sitemap", "/sitemaps/news/latest.xml", sitemap=True),
    Feed(
        "reuters",
        "Google News site:reuters.com",
        "/rss/search",
        (("q", "site:reuters.com when:2d"), ("hl", "en-US"), ("gl", "US"), ("ceid", "US:en")),
        suffix=" - Reuters",
    ),
)


@dataclass
class Batch:
    """What a part of the sources gave."""

    items: list[Item] = field(default_factory=list)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    """By the SHA-256 of the answer."""
    gaps: list[Gap] = field(default_factory=list)

    def take(self, what: str, parsed: Parsed, answers: list[Answer]) -> "Batch":
        """Add what was parsed, and say what could not be."""
        self.items += parsed.items
        self.evidence |= {a.sha256: a.evidence(what) for a in answers}
        if not parsed.items and not parsed.undated and not parsed.broken:
            self.gaps.append(Gap(what, "empty", "it lists nothing"))
        if parsed.undated:
            self.gaps.append(Gap(what, "undated", f"{parsed.undated} entries left out"))
        if parsed.broken:
            self.gaps.append(Gap(what, "broken", f"{parsed.broken} entries left out"))
        return self


async def read_all(run: Run) -> Batch:
    """Read every source at once; the parts in a fixed order."""
    parts = await asyncio.gather(
        *(_guarded(feed.name, _feed(run, feed)) for feed in FEEDS),
        _guarded("Alpaca news", _alpaca(run)),
        _guarded("GDELT", _gdelt(run)),
    )
    whole = Batch()
    for part in parts:
        whole.items += part.items
        whole.evidence |= part.evidence
        whole.gaps += part.gaps
    return whole


async def _guarded(what: str, reading: Awaitable[Batch]) -> Batch:
    try:
        return await reading
    except Exception as error:
        return Batch(gaps=[Gap.of(what, error)])


async def _feed(run: Run, feed: Feed) -> Batch:
    answer = await run.source(feed.publisher).get_bytes(feed.path, dict(feed.params), accept=ACCEPT)
    return Batch().take(feed.name, await asyncio.to_thread(_parsed, feed, answer), [answer])


def _parsed(feed: Feed, answer: Answer) -> Parsed:
    if feed.sitemap:
        return parse_sitemap(
            feed.publisher, answer.value, origin=answer.origin, sha256=answer.sha256
        )
    return parse_rss(
        feed.publisher,
        answer.value,
        answer.headers.get("content-type", ""),
        suffix=feed.suffix,
        origin=answer.origin,
        sha256=answer.sha256,
    )


async def _alpaca(run: Run) -> Batch:
    source = run.source(
        alpaca.SOURCE, key_header=alpaca.KEY_HEADER, secret_header=alpaca.SECRET_HEADER
    )
    parsed, answers, error = await alpaca.read_pages(source, run.as_of - WINDOW, run.as_of)
    batch = Batch().take("Alpaca news", parsed, answers)
    if error is not None:
        batch.gaps.append(Gap.of("Alpaca news pages", error))
    return batch


async def _gdelt(run: Run) -> Batch:
    parsed, answer = await gdelt.read_list(run.source(gdelt.SOURCE), run.as_of - WINDOW, run.as_of)
    return Batch().take("GDELT", parsed, [answer])
