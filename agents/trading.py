"""The paper trading agent: consumes the signal feed, trades on paper, keeps a blotter.

It is a consumer like any other: it knows the feed's client and nothing of the predictor. What it
trades lies in its own journal (``Kind.FILL``), from which it takes up its book when it starts
again. Signals that are stale, replayed or of a halted feed only mark the book to their price.
"""

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any

import structlog

from relentless.agents.blotter import Book, Fill
from relentless.configs.process import announce, configure_logging, stop_event
from relentless.configs.settings import Settings
from relentless.proto.errors import RelentlessError
from relentless.serving.clients.feed import (
    Disconnected,
    FeedClient,
    Heartbeat,
    Lost,
    Received,
    SessionStarted,
)
from relentless.store.journal import open_journal
from relentless.store.keys import local_credential
from relentless.store.ports import Journal, Kind, NewEntry

NAME = "TradingAgent"
KEEP_EVERY_S = 0.2
SUMMARY_EVERY_S = 10.0
QUEUED = 10_000
PAGE = 10_000
_log = structlog.get_logger(__name__)


class Blotter:
    """Fills on their way to the journal: kept in order, in groups, off the feed's path."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[Fill] = []
        self._flushing = asyncio.Lock()

    def add(self, fills: list[Fill]) -> None:
        """Take fills; they are kept within a fifth of a second."""
        self._waiting += fills

    @property
    def full(self) -> bool:
        """Whether so many wait that trading must wait for the disk."""
        return len(self._waiting) >= QUEUED

    async def flush(self) -> None:
        """Keep what waits.

        Raises:
            StorageError: the disk failed; the fills wait for the next call.
        """
        async with self._flushing:
            while group := self._waiting[:1_000]:
                await self._journal.append([_entry(fill) for fill in group])
                del self._waiting[: len(group)]

    async def run(self) -> None:
        """Flush again and again, until cancelled."""
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            try:
                await self.flush()
            except RelentlessError as error:
                _log.error("fills not kept yet", error=str(error), waiting=len(self._waiting))

    async def restore(self, book: Book) -> None:
        """Bring a new book to where the last kept fill left it."""
        after = 0
        while entries := await self._journal.read(Kind.FILL, after=after, limit=PAGE):
            for entry in entries:
                book.restore(json.loads(entry.body))
            after = entries[-1].sequence


class TradingAgent:
    """Takes events of the feed into the book."""

    def __init__(self, feed: FeedClient, book: Book, blotter: Blotter) -> None:
        self._feed = feed
        self._blotter = blotter
        self.book = book
        self.signals = 0
        self.halted = False

    async def run(self) -> None:
        """Consume until cancelled.

        Raises:
            Unauthenticated: the feed refuses the credential.
            StorageError: so many fills wait that trading must stop, and the disk failed.
        """
        async for event in self._feed:
            self.take(event)
            if self._blotter.full:
                await self._blotter.flush()

    def take(self, event: object) -> None:
        """Take one event."""
        if isinstance(event, Received):
            self.signals += 1
            symbol = self._feed.symbols.get(event.signal.symbol_id, "")
            fills = self.book.take(event.session, symbol, event.signal)
            if fills:
                self._blotter.add(fills)
        elif isinstance(event, Heartbeat):
            if event.halted != self.halted:
                self.halted = event.halted
                _log.info("feed halted" if event.halted else "feed runs")
        elif isinstance(event, SessionStarted):
            _log.info("session", session=event.session, next_sequence=event.next_sequence)
        elif isinstance(event, Lost):
            _log.error("signals lost", first=event.first, last=event.last)
        elif isinstance(event, Disconnected):
            _log.warning("feed cut", reason=event.reason)

    def summary(self) -> dict[str, Any]:
        """Give what is shown of this agent."""
        return {
            "signals": self.signals,
            "halted": self.halted,
            "duplicates": self._feed.duplicates,
            **self.book.summary(),
        }


async def run(settings: Settings) -> None:
    """Trade on paper until SIGTERM or SIGINT."""
    configure_logging("trade")
    stop = stop_event()
    state = settings.paths.state
    journal = await open_journal(state / "trader" / "journal.db", settings.run_clock())
    book = Book(settings.trader.cash, settings.trader.max_notional)
    blotter = Blotter(journal)
    await blotter.restore(book)
    address = f"{settings.predictor.host}:{settings.predictor.feed_port}"
    try:
        tls = settings.predictor.calling()
        async with FeedClient(address, local_credential(state, NAME), tls=tls) as feed:
            agent = TradingAgent(feed, book, blotter)
            announce("trade", feed=address, paper=True)
            await _until(stop, agent.run(), blotter.run(), _report(agent))
    finally:
        with contextlib.suppress(RelentlessError):
            await blotter.flush()
        await journal.close()
        _log.info("blotter", **book.summary())


async def _until(stop: asyncio.Event, *jobs: Coroutine[Any, Any, None]) -> None:
    """Run jobs until the end; one that ends by itself has failed, and its error is raised."""
    tasks = [asyncio.create_task(job) for job in jobs]
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiting}:
            task.result()
    finally:
        for task in (waiting, *tasks):
            task.cancel()
        await asyncio.gather(waiting, *tasks, return_exceptions=True)


async def _report(agent: TradingAgent) -> None:
    while True:
        await asyncio.sleep(SUMMARY_EVERY_S)
        _log.info("blotter", **agent.summary())


def _entry(fill: Fill) -> NewEntry:
    body = json.dumps(asdict(fill), separators=(",", ":")).encode()
    return NewEntry(
        Kind.FILL,
        body,
        key=f"{fill.session}:{fill.sequence}",
        principal=NAME,
        target=fill.symbol,
        known_at_ns=fill.timestamp,
    )
