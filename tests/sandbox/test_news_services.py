"""The news services of the box: true formats and quirks, one set of stories, never tomorrow's."""

import json
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest

from relentless.agents.news.alpaca import parse_page
from relentless.agents.news.gdelt import parse_list
from relentless.agents.news.rss import parse_rss
from relentless.agents.news.sitemap import parse_sitemap
from relentless.configs.clock import ManualClock
from relentless.proto.errors import SourceRateLimited, SourceRejected
from relentless.sandbox.invented_news import LABEL, stories_of
from relentless.sandbox.server import build

from .conftest import market_time

SYMBOLS = ("SPY", "XLF", "TLT", "IBM", "AAPL", "MSFT", "JPM", "XOM")
KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
ALPACA = "/alpaca_data/v1beta1/news"
FEEDS = {
    "cnbc": "/cnbc/rs/search/combinedcms/view.xml?partnerId=wrss01&id=100003114",
    "wsj": "/wsj/rss/RSSMarketsMain.xml",
    "ft": "/ft/rss/home",
    "bloomberg": "/bloomberg/sitemaps/news/latest.xml",
    "reuters": "/reuters/rss/search?q=site:reuters.com&hl=en-US&gl=US&ceid=US:en",
}
GDELT = "/gdelt/api/v2/doc/doc?query=market&mode=artlist&format=json"


class NewsBox:
    """One client of one box, whose clock is moved by hand."""

    def __init__(self, box, at="2013-10-08T12:00"):
        made = box(at)
        self.clock, self.app = made.clock, made.app

    def at(self, text):
        self.clock.move_to(market_time(text))

    async def get(self, path, **how):
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://box") as client:
            return await client.get(path, **how)

    async def items(self, name):
        answer = await self.get(FEEDS[name])
        assert answer.headers["x-relentless-origin"] == "synthetic"
        if name == "bloomberg":
            return parse_sitemap(name, answer.content).items
        return parse_rss(
            name, answer.content, suffix=" - Reuters" if name == "reuters" else ""
        ).items

    async def articles(self, **query):
        answer = await self.get(ALPACA, params=query, headers=KEYS)
        assert answer.status_code == 200, answer.text
        return parse_page(answer.json())


@pytest.fixture
def news(box):
    return NewsBox(box)


@pytest.mark.parametrize("name", FEEDS)
async def test_a_feed_lists_its_newest_invented_stories_and_none_of_later(news, name):
    items = await news.items(name)
    assert 5 <= len(items) <= 150
    now = news.clock.now()
    assert all(now - timedelta(days=4) < item.known_at <= now for item in items)
    assert len({item.guid or item.url for item in items}) == len(items)
    if name in ("bloomberg", "reuters"):
        assert all("(invented)" in item.headline for item in items)
    else:
        assert all(item.summary.endswith(LABEL) for item in items)
        assert [i.published_at for i in items] == sorted(
            (i.published_at for i in items), reverse=True
        )


@pytest.mark.parametrize("name", FEEDS)
async def test_a_feed_grows_and_takes_nothing_back(news, name):
    before = await news.items(name)
    news.at("2013-10-08T12:20")
    after = await news.items(name)
    newest = max(item.published_at for item in before)
    kept = {(i.guid, i.url) for i in after if i.published_at <= newest}
    assert kept <= {(i.guid, i.url) for i in before}
    assert len(kept) >= len(before) - 4


async def test_cnbc_writes_dates_without_seconds(news):
    body = (await news.get(FEEDS["cnbc"])).text
    stated = [part.split("<")[0] for part in body.split("<pubDate>")[1:]]
    assert {text.count(":") for text in stated} == {1, 2}
    assert stated[0].count(":") == 1


async def test_google_ends_titles_with_reuters_links_to_itself_and_is_late(news):
    body = (await news.get(FEEDS["reuters"])).text
    assert body.count(" - Reuters</title>") == body.count("<item>")
    assert body.count("<link>https://news.google.com/rss/articles/CBMi") == body.count("<item>")
    stories = [
        copy
        for back in range(4)
        for story in stories_of(20131007, date(2013, 10, 8) - timedelta(days=back), SYMBOLS)
        for copy in story.copies
        if copy.publisher == "reuters"
    ]
    told = {copy.headline: copy.at for copy in stories}
    items = await news.items("reuters")
    assert all(i.published_at == told[i.headline] + timedelta(minutes=3) for i in items)
    assert [i.published_at for i in items] != sorted(i.published_at for i in items)


@pytest.mark.parametrize("name", FEEDS)
async def test_an_unchanged_feed_is_a_304(news, name):
    first = await news.get(FEEDS[name])
    tag = {"If-None-Match": first.headers["etag"]}
    again = await news.get(FEEDS[name], headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    news.at("2013-10-10T18:00")
    later = await news.get(FEEDS[name], headers=tag)
    assert later.status_code == 200
    assert later.headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    "path",
    ["/cnbc/rs/search/combinedcms/view.xml?id=1", "/reuters/rss/search?q=oil", "/ft/rss/world"],
)
async def test_what_a_publisher_does_not_have_is_not_found(news, path):
    assert (await news.get(path)).status_code == 404


async def test_alpaca_pages_hold_every_article_once(news):
    query = {"start": "2013-10-06T00:00:00Z", "end": "2013-10-08T16:00:00Z"}
    whole, token = await news.articles(**query, limit=50)
    assert token is None
    pages, token = [], None
    while True:
        page, token = await news.articles(
            **query, limit=3, **({"page_token": token} if token else {})
        )
        pages += page.items
        if token is None:
            break
    assert [i.guid for i in pages] == [i.guid for i in whole.items]
    assert len(pages) >= 8
    updated = [i.known_at for i in pages]
    assert updated == sorted(updated, reverse=True)
    up, _ = await news.articles(**query, limit=50, sort="asc")
    assert [i.guid for i in up.items] == [i.guid for i in reversed(whole.items)]


async def test_alpaca_filters_by_symbol_and_dates_its_edits(news):
    query = {"start": "2013-10-01T00:00:00Z", "limit": 50}
    only, _ = await news.articles(**query, symbols="IBM")
    assert only.items
    assert {i.symbols for i in only.items} == {("IBM",)}
    whole, _ = await news.articles(**query)
    edited = [i for i in whole.items if i.known_at - i.published_at > timedelta(minutes=1)]
    assert edited
    assert all(i.headline.endswith("(corrected)") for i in edited)
    assert all(i.known_at.minute % 30 >= 15 for i in edited)


@pytest.mark.parametrize(
    ("headers", "query", "status", "message"),
    [
        ({}, {}, 401, "request is not authorized"),
        (KEYS | {"APCA-API-SECRET-KEY": " "}, {}, 403, "forbidden."),
        (KEYS, {"limit": "51"}, 422, "invalid limit"),
        (KEYS, {"start": "noon"}, 422, "invalid start"),
        (KEYS, {"page_token": "!"}, 422, "invalid page_token"),
        (KEYS, {"sort": "up"}, 422, "invalid sort"),
    ],
)
async def test_alpaca_refuses_in_its_own_form(news, headers, query, status, message):
    answer = await news.get(ALPACA, headers=headers, params=query)
    assert answer.status_code == status
    assert message in answer.json()["message"]


async def test_gdelt_lists_what_it_saw_with_spaces_before_punctuation(news):
    answer = await news.get(GDELT + "&maxrecords=250")
    rows = answer.json()["articles"]
    assert [row for row in rows if " %" in row["title"] or " ," in row["title"]]
    items = parse_list(answer.content).items
    assert len(items) == len(rows) > 10
    assert not [item for item in items if " %" in item.headline or " ," in item.headline]
    for item in items:
        assert item.headline.endswith("(invented)")
        assert item.published_at.minute % 15 == 0
        assert item.published_at <= news.clock.now()


async def test_gdelt_allows_one_request_every_five_seconds_of_the_run(news):
    assert (await news.get(GDELT)).status_code == 200
    news.clock.move_to(news.clock.now() + timedelta(seconds=4))
    refused = await news.get(GDELT)
    assert refused.status_code == 200
    with pytest.raises(SourceRateLimited):
        parse_list(refused.content, refused.headers["content-type"])
    news.clock.move_to(news.clock.now() + timedelta(seconds=5))
    assert json.loads((await news.get(GDELT + "&maxrecords=3")).content)["articles"][2:]


@pytest.mark.parametrize("query", ["query=a&mode=artlist&format=json", "query=oil&mode=tonechart"])
async def test_gdelt_says_what_it_does_not_do_in_plain_text(news, query):
    answer = await news.get(f"/gdelt/api/v2/doc/doc?{query}")
    with pytest.raises(SourceRejected):
        parse_list(answer.content, answer.headers["content-type"])


def test_the_stories_of_a_day_are_a_function_of_seed_day_and_symbols():
    day = date(2013, 10, 8)
    one = stories_of(1, day, SYMBOLS)
    stories_of.cache_clear()
    assert stories_of(1, day, SYMBOLS) == one
    assert stories_of(2, day, SYMBOLS) != one
    assert len(one) == 26
    assert {s.intended for s in one} == {"positive", "neutral", "negative"}
    assert 40 <= sum(len(s.copies) for s in one) <= 80
    assert len(stories_of(1, date(2013, 10, 6), SYMBOLS)) == 8
    for story in one:
        assert story.at == min(copy.at for copy in story.copies)
        assert all(LABEL in copy.summary for copy in story.copies)


def test_a_window_holds_about_fifty_stories_at_most():
    for seed in range(5):
        for hour in range(0, 24 * 7, 3):
            now = datetime(2013, 10, 7, tzinfo=UTC) + timedelta(hours=hour)
            days = {(now - timedelta(hours=back)).date() for back in range(-5, 42)}
            stories = [s for day in days for s in stories_of(seed, day, SYMBOLS)]
            inside = [s for s in stories if now - timedelta(hours=36) < s.at <= now]
            assert len(inside) <= 52


async def test_a_live_run_has_todays_stories_too():
    from relentless.configs.settings import Settings

    clock = ManualClock(datetime(2026, 11, 25, 17, tzinfo=UTC))
    app = build(Settings(), clock)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://box"
    ) as client:
        body = (await client.get(FEEDS["ft"])).content
    assert max(i.published_at for i in parse_rss("ft", body).items).date() == date(2026, 11, 25)
