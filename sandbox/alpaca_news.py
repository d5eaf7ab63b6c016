"""Alpaca's news API in a box: ``/v1beta1/news``, with keys, pages, symbols and edits.

Articles are sorted by ``updated_at``, which is a second after ``created_at`` until one is edited;
the token of the next page is that of the real service, base64 of "<ns>|<id>". The bodies of 401 and
403 are those that users of the service quote; that of 422 is its form with words of our own.

Not in the box: contents (always ""), images (always none) and the websocket.
"""

import base64
import binascii
import html
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from relentless.configs.clock import EASTERN, to_ns
from relentless.sandbox.invented_news import symbols_of, told_by
from relentless.sandbox.world import ORIGIN_HEADER, World

MAX_LIMIT: Final = 50
DEFAULT_LIMIT: Final = 10
TOUCH: Final = timedelta(seconds=1)


class _Invalid(Exception):
    """A parameter that the service refuses."""


def routes(world: World) -> list[BaseRoute]:
    """Give the routes of the service, under ``/alpaca_data``."""
    service = _News(world)
    return [Route("/v1beta1/news", service.news)]


class _News:
    def __init__(self, world: World) -> None:
        self._world = world

    def news(self, request: Request) -> JSONResponse:
        """Answer one page of articles."""
        key = request.headers.get("APCA-API-KEY-ID")
        secret = request.headers.get("APCA-API-SECRET-KEY")
        if key is None or secret is None:
            return JSONResponse({"code": 40110000, "message": "request is not authorized"}, 401)
        if not key.strip() or not secret.strip():
            return JSONResponse({"message": "forbidden."}, 403)
        try:
            page = self._page(request)
        except _Invalid as error:
            return JSONResponse({"code": 42210000, "message": str(error)}, 422)
        return JSONResponse(page, headers={ORIGIN_HEADER: "synthetic"})

    def _page(self, request: Request) -> Mapping[str, Any]:
        query, now = request.query_params, self._world.now()
        today = now.astimezone(EASTERN).replace(hour=0, minute=0, second=0, microsecond=0)
        start = _moment(query.get("start"), "start") or today
        end = min(_moment(query.get("end"), "end") or now, now)
        limit = query.get("limit", str(DEFAULT_LIMIT))
        if not limit.isdecimal() or not 1 <= int(limit) <= MAX_LIMIT:
            raise _Invalid(f"invalid limit: it must be between 1 and {MAX_LIMIT}")
        sort = query.get("sort", "desc").lower()
        if sort not in ("asc", "desc"):
            raise _Invalid("invalid sort: it must be asc or desc")
        wanted = {symbol for symbol in query.get("symbols", "").split(",") if symbol}
        articles = [
            (updated, article)
            for updated, article in self._articles(now)
            if start <= updated <= end and (not wanted or wanted & set(article["symbols"]))
        ]
        articles.sort(key=lambda pair: (pair[0], pair[1]["id"]), reverse=sort == "desc")
        after = _token(query.get("page_token"))
        if after is not None:
            articles = [
                pair
                for pair in articles
                if ((to_ns(pair[0]), pair[1]["id"]) < after) == (sort == "desc")
                and (to_ns(pair[0]), pair[1]["id"]) != after
            ]
        page, more = articles[: int(limit)], len(articles) > int(limit)
        token = None
        if more:
            last = f"{to_ns(page[-1][0])}|{page[-1][1]['id']}"
            token = base64.b64encode(last.encode()).decode()
        return {"news": [article for _, article in page], "next_page_token": token}

    def _articles(self, now: datetime) -> list[tuple[datetime, dict[str, Any]]]:
        world = self._world
        found = []
        for copy in told_by(world.seed, world.symbols, "alpaca", now - TOUCH, days=7):
            updated = copy.updated_at(now) or copy.at + TOUCH
            article = {
                "author": "An Invented Desk",
                "content": "",
                "created_at": _iso(copy.at),
                "headline": copy.headline_at(now),
                "id": copy.number,
                "images": [],
                "source": "benzinga",
                "summary": html.escape(copy.summary_at(now)),
                "symbols": list(symbols_of(world.seed, world.symbols, copy)),
                "updated_at": _iso(updated),
                "url": f"https://www.benzinga.com/news/invented/{copy.number}",
            }
            found.append((updated, article))
        return found


def _moment(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _Invalid(f"invalid {name}: {text[:40]} is no RFC 3339 time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _token(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    try:
        ns, _, number = base64.b64decode(text, validate=True).decode().partition("|")
        return int(ns), int(number)
    except (binascii.Error, ValueError):
        raise _Invalid("invalid page_token") from None


def _iso(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
