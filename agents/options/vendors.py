"""Asking a vendor for an underlying's whole chain. Each vendor is one function.

Yahoo and Tradier are asked once for each expiration, so only some are: the nearest four and those
around 30 and 90 days. The message says how many of how many.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from relentless.agents.base import NO_KEY, Run
from relentless.agents.http import Source
from relentless.agents.options import alpaca, cboe, tradier, yahoo
from relentless.agents.options.chain import Chain, malformed
from relentless.agents.options.smile import FAR_DAYS, NEAR_DAYS
from relentless.agents.runtime.answer import Answer, decode_text
from relentless.configs.clock import EASTERN
from relentless.configs.settings import SourceSettings
from relentless.proto.errors import SourceRejected

MAX_PAGES: Final = 20
NEAREST: Final = 4
COOKIE_URL: Final = "https://fc.yahoo.com"
"""Yahoo sets its cookie here; without it there is no crumb."""


@dataclass(slots=True)
class Session:
    """What one run of the agent shares over its underlyings."""

    run: Run
    crumb: asyncio.Task[str] | None = field(default=None)

    def alpaca(self) -> Source:
        """Give Alpaca with both of its keys."""
        section = self.run.source_settings("alpaca_data")
        key, secret = (v.get_secret_value() if v else NO_KEY for v in (section.key, section.secret))
        headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
        return self.run.upstream.source("alpaca_data", section, secret_headers=headers)

    def tradier(self) -> Source:
        """Give Tradier with its token."""
        section = self.run.source_settings("tradier")
        token = section.key.get_secret_value() if section.key else NO_KEY
        headers = {"Authorization": f"Bearer {token}"}
        return self.run.upstream.source("tradier", section, secret_headers=headers)


Read = tuple[Chain, tuple[Answer, ...]]


async def from_cboe(session: Session, symbol: str) -> Read:
    """Read the one file of an underlying."""
    answer = await session.run.source("cboe").get_json(cboe.path(symbol))
    return await asyncio.to_thread(cboe.read, symbol, answer.value), (answer,)


async def from_tradier(session: Session, symbol: str) -> Read:
    """Read the expirations, and the chains of some."""
    source, asked_at = session.tradier(), session.run.clock.now()
    first = await source.get_json("/v1/markets/options/expirations", {"symbol": symbol})
    listed = tradier.expirations(symbol, first.value)
    answers, rows = [first], []
    for expiry in chosen(listed, _today(session.run)):
        query = {"symbol": symbol, "expiration": expiry.isoformat(), "greeks": "true"}
        answer = await source.get_json("/v1/markets/options/chains", query)
        answers.append(answer)
        rows += tradier.options(symbol, answer.value)
    chain = await asyncio.to_thread(tradier.read, symbol, rows, len(listed), asked_at)
    return chain, tuple(answers)


async def from_alpaca(session: Session, symbol: str) -> Read:
    """Read all pages of an underlying's snapshots."""
    asked_at = session.run.clock.now()
    path = f"/v1beta1/options/snapshots/{symbol}"
    answers = await pages(session.alpaca(), path, {"feed": "indicative", "limit": 1_000})
    rows = [row for answer in answers for row in alpaca.snapshots(symbol, answer.value)]
    return await asyncio.to_thread(alpaca.read, symbol, rows, asked_at), tuple(answers)


async def from_yahoo(session: Session, symbol: str) -> Read:
    """Read the first expiration, which lists the others, and some of those."""
    source, asked_at = session.run.source("yahoo"), session.run.clock.now()
    if session.crumb is None:
        session.crumb = asyncio.ensure_future(_crumb(session.run, source))
    crumb = await asyncio.shield(session.crumb)
    path = f"/v7/finance/options/{symbol}"
    first = await source.get_json(path, {"crumb": crumb})
    found = yahoo.result(symbol, first.value)
    answers, results = [first], [found]
    shown = {yahoo.query(day) for day in yahoo.expirations({"expirationDates": _shown(found)})}
    for expiry in chosen(yahoo.expirations(found), _today(session.run)):
        if (at := yahoo.query(expiry)) not in shown:
            answer = await source.get_json(path, {"crumb": crumb, "date": at})
            answers.append(answer)
            results.append(yahoo.result(symbol, answer.value))
    chain = await asyncio.to_thread(yahoo.read, symbol, results, asked_at)
    return chain, tuple(answers)


def _shown(found: dict[str, Any]) -> list[Any]:
    """Give the expirations whose options a result holds."""
    blocks = found.get("options")
    return [
        block.get("expirationDate")
        for block in (blocks if isinstance(blocks, list) else [])
        if isinstance(block, dict)
    ]


async def _crumb(run: Run, source: Source) -> str:
    """Fetch the cookie, which the shared client keeps, and the crumb that belongs to it."""
    section = source.settings
    if section.origin == "live" and ".yahoo.com" in section.url:
        section = SourceSettings(url=COOKIE_URL, rate_per_min=section.rate_per_min)
    with contextlib.suppress(SourceRejected):  # it answers 404, and sets the cookie all the same
        await run.upstream.source("yahoo_cookie", section).get_bytes("/", accept="text/html")
    answer = await source.get_bytes("/v1/test/getcrumb", accept="text/plain")
    crumb = decode_text(source.name, answer.value).strip()
    if not 1 <= len(crumb) <= 40 or "<" in crumb or " " in crumb:
        malformed("yahoo", "the crumb is none")
    return crumb


VENDORS: Final[Mapping[str, tuple[str, Callable[[Session, str], Awaitable[Read]]]]] = {
    cboe.VENDOR: ("cboe", from_cboe),
    tradier.VENDOR: ("tradier", from_tradier),
    alpaca.VENDOR: ("alpaca_data", from_alpaca),
    yahoo.VENDOR: ("yahoo", from_yahoo),
}
"""In order of preference: the section of the settings, and how to ask."""


def preferred(run: Run) -> list[str]:
    """Give the vendors to ask, in order: the live ones alone, where there is one."""
    live = [n for n, (section, _) in VENDORS.items() if _is_live(run, section)]
    return live or list(VENDORS)


def _is_live(run: Run, section: str) -> bool:
    return run.source_settings(section).origin == "live"


async def pages(
    source: Source, path: str, query: Mapping[str, str | int], most: int = MAX_PAGES
) -> list[Answer]:
    """Follow Alpaca's pages to the end.

    Raises:
        SourceMalformed: a token comes again, or there are more than ``most`` pages.
    """
    answers: list[Answer] = []
    seen: set[str] = set()
    token: str | None = None
    while True:
        asked = {**query, **({"page_token": token} if token else {})}
        answers.append(await source.get_json(path, asked))
        token = alpaca.next_page(answers[-1].value)
        if token is None:
            return answers
        if token in seen or len(answers) >= most:
            malformed("alpaca", f"{path}: more than {len(answers)} pages, or one without end")
        seen.add(token)


def chosen(listed: Iterable[date], today: date) -> list[date]:
    """Give the nearest four expirations, and those around 30 and 90 days."""
    ahead = sorted(day for day in set(listed) if day >= today)
    wanted = set(ahead[:NEAREST])
    for days in (NEAR_DAYS, FAR_DAYS):
        tenor = today + timedelta(days=days)
        wanted |= set([day for day in ahead if day <= tenor][-1:])
        wanted |= set([day for day in ahead if day > tenor][:1])
    return sorted(wanted)


def _today(run: Run) -> date:
    at: datetime = run.as_of.astimezone(EASTERN)
    return at.date()
