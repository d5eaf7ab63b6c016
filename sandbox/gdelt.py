"""GDELT's DOC 2 API in a box: the article list in JSON, and its errors in plain text.

GDELT looks around every fifteen minutes, so ``seendate`` is the next quarter of an hour after the
publication, and it writes spaces around the punctuation of a title. It allows one request every
five seconds. The box counts them by the run's clock, which is the wall's in a live run: a run at
sixty times the speed makes its requests as far apart as a live one does, in market time. Every
second story is listed, by a site of its own or under its publisher's address.

Not in the box: the query's operators (every query finds the same list), other modes and formats
(an error), ``timespan``.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from relentless.configs.clock import EASTERN
from relentless.sandbox.feeds import link_of
from relentless.sandbox.invented_news import SHORT_LABEL, InventedStory, stories_of
from relentless.sandbox.world import ORIGIN_HEADER, World

SPACING: Final = timedelta(seconds=5)
DEFAULT_RECORDS: Final = 75
MAX_RECORDS: Final = 250
LIMITED: Final = (
    "Please limit requests to one every 5 seconds or contact the project for larger queries."
)
_PUNCTUATION: Final = re.compile(r"(?<=\w)([,.;:%])")


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/gdelt``."""
    return [Route("/api/v2/doc/doc", _Doc(world).answer)]


class _Doc:
    def __init__(self, world: World) -> None:
        self._world = world
        self._asked: datetime | None = None

    def answer(self, request: Request) -> Response:
        """Answer a list of articles, or a line of text with the status of a success."""
        now, query = self._world.now(), request.query_params
        before, self._asked = self._asked, now
        if before is not None and timedelta() <= now - before < SPACING:
            return _text(LIMITED)
        if len(query.get("query", "").strip()) < 3:
            return _text("Your query was too short or too long.")
        if query.get("mode", "").lower() != "artlist" or query.get("format", "").lower() != "json":
            return _text("This box answers mode=artlist and format=json only.")
        try:
            start = _moment(query.get("startdatetime")) or now - timedelta(days=90)
            end = min(_moment(query.get("enddatetime")) or now, now)
            records = int(query.get("maxrecords", DEFAULT_RECORDS))
        except ValueError:
            return _text("Invalid parameter.")
        articles = [a for a in self._articles(now) if start <= _seen(a) <= end]
        articles.sort(key=lambda a: (a["seendate"], a["url"]), reverse=True)
        body = {"articles": articles[: min(records, MAX_RECORDS)]} if articles else {}
        return JSONResponse(body, headers={ORIGIN_HEADER: "synthetic"})

    def _articles(self, now: datetime) -> list[dict[str, Any]]:
        world, today = self._world, now.astimezone(EASTERN).date()
        return [
            _article(story)
            for back in range(4)
            for story in stories_of(world.seed, today - timedelta(days=back), world.symbols)
            if story.number % 2 == 0
        ]


def _article(story: InventedStory) -> dict[str, Any]:
    copy = story.copies[-1]
    own = f"https://news.invented.example/{copy.at:%Y/%m/%d}/{copy.number}"
    url = own if copy.publisher in ("alpaca", "reuters") else link_of(copy)
    title = copy.headline.removesuffix(f" {SHORT_LABEL}") + f" {SHORT_LABEL}"
    quarter = 15 * 60
    seen = datetime.fromtimestamp((copy.at.timestamp() // quarter + 1) * quarter, UTC)
    return {
        "url": url,
        "url_mobile": "",
        "title": _PUNCTUATION.sub(r" \1", title),
        "seendate": f"{seen:%Y%m%dT%H%M%SZ}",
        "socialimage": "",
        "domain": url.split("/")[2].removeprefix("www."),
        "language": "English",
        "sourcecountry": "United States",
    }


def _seen(article: dict[str, Any]) -> datetime:
    return datetime.strptime(article["seendate"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _moment(text: str | None) -> datetime | None:
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC) if text else None


def _text(said: str) -> Response:
    return PlainTextResponse(said, 200)
