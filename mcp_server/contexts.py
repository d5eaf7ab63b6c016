"""The daily contexts: folded from the journal, kept in it, announced, and read back.

The coordinator says when; this module does. The newest context of each kind of question is held
in memory; a past day's context as of a moment is folded again from what was known then.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final

from relentless.configs.clock import EASTERN, Clock, to_ns
from relentless.configs.freshness import Freshness
from relentless.configs.sessions import is_session, next_session, session_close
from relentless.mcp_server.exchange import HUB, MessageExchange
from relentless.models.fold import fold
from relentless.models.fold_select import READ_TOPICS
from relentless.models.fold_standing import Standing
from relentless.proto.contexts import DailyContextNotice, Topic
from relentless.proto.daily import DailyContext, Quality
from relentless.proto.errors import InvalidInput, NotFound
from relentless.proto.messages import ContextMessage
from relentless.store.ports import Entry, Journal, Kind, NewEntry
from relentless.tools.ports import Progress

PAGE: Final = 5_000
LOOK_BACK: Final = 500
"""Contexts that are looked through for one that a signal names: some months of them."""
LOOK_PAGE: Final = 50


class ContextStore:
    """Every daily context; satisfies ``tools.ports.Contexts``."""

    def __init__(
        self,
        journal: Journal,
        exchange: MessageExchange,
        clock: Clock,
        rules: Freshness,
    ) -> None:
        self._journal = journal
        self._exchange = exchange
        self._clock = clock
        self.rules = rules
        self._building = asyncio.Lock()
        self._standing = Standing()
        self._reading = asyncio.Lock()
        self.latest: DailyContext | None = None
        self.built = 0
        """Contexts built by this process."""
        self._listeners: list[Callable[[], None]] = []

    def on_changed(self, listener: Callable[[], None]) -> None:
        """Have a function called when the newest context is another; it must not block."""
        self._listeners.append(listener)

    async def recover(self) -> None:
        """Take up the newest context that was kept."""
        now_ns = self._clock.now_ns()
        found = await self._journal.read(
            Kind.CONTEXT, known_by_ns=now_ns, limit=100, newest_first=True
        )
        if found:
            self.activate(_context(max(found, key=lambda entry: entry.known_at_ns)))

    async def get(self, day: date | None, as_of: datetime | None) -> DailyContext:
        """Give the newest context, the last of a day, or a day's as it was known at a time."""
        if as_of is not None:
            self._past(as_of)
            return await self.fold(as_of, day or trading_date(as_of))
        if day is None:
            if self.latest is None:
                raise NotFound("no daily context was built yet; build_daily_context builds one")
            return self.latest
        kept = await self._journal.read(
            Kind.CONTEXT, topic=day.isoformat(), limit=1, newest_first=True
        )
        if not kept:
            raise NotFound(f"no daily context was built for {day}; give as_of to fold one")
        return _context(kept[0])

    async def by_short_id(self, short_id: int) -> DailyContext:
        """Give the context that a signal's frame names by the first 8 bytes of its digest.

        Raises:
            NotFound: it is not among the ``LOOK_BACK`` that were kept last.
        """
        start = f"{short_id:016x}"
        if self.latest is not None and self.latest.context_id.startswith(start):
            return self.latest
        up_to: int | None = None
        for _ in range(LOOK_BACK // LOOK_PAGE):
            page = await self._journal.read(
                Kind.CONTEXT, up_to=up_to, limit=LOOK_PAGE, newest_first=True
            )
            for entry in page:
                if entry.digest.startswith(start):
                    return _context(entry)
            if len(page) < LOOK_PAGE:
                break
            up_to = page[-1].sequence - 1
        raise NotFound(f"no context {start} among the last {LOOK_BACK} that were built here")

    async def build(self, as_of: datetime | None, progress: Progress | None = None) -> DailyContext:
        """Fold a context as of a market time, by default now, and keep it.

        Given up before it is written, it leaves nothing; after that it is finished all the same,
        so that the journal and this process never differ.
        """
        moment = as_of or self._clock.now()
        self._past(moment)
        if progress is not None:
            await progress(0, 2, "folding what the journal holds")
        async with self._building:
            folded = await self.fold(moment, trading_date(moment))
            if progress is not None:
                await progress(1, 2, "writing the context")
            keeping = asyncio.create_task(self.keep(folded))
            try:
                return await asyncio.shield(keeping)
            except asyncio.CancelledError:
                await asyncio.wait({keeping})
                raise

    async def fold(self, as_of: datetime, day: date) -> DailyContext:
        """Fold what was known at a moment and stands in the journal now. Keeps no context.

        Moments that go forward read only what is new in the journal; one that lies before an
        earlier call's reads all of it.
        """
        async with self._reading:
            head = self._journal.head().sequence
            standing = self._standing if self._standing.covers(as_of, head) else Standing()
            async for page in self._pages(standing.head, head):
                await asyncio.to_thread(_take, standing, page)
            standing.take((), head)
            messages = list(standing.messages())
            if standing is self._standing:
                await asyncio.to_thread(standing.forget, as_of)
        return await asyncio.to_thread(
            fold, messages, as_of=as_of, trading_date=day, head=head, rules=self.rules
        )

    async def _pages(self, after: int, up_to: int) -> AsyncIterator[list[Entry]]:
        """Give the messages after a sequence, page by page."""
        while page := await self._journal.read(Kind.MESSAGE, after=after, up_to=up_to, limit=PAGE):
            yield page
            after = page[-1].sequence

    async def keep(self, context: DailyContext) -> DailyContext:
        """Store a context, announce it, and make it the newest."""
        body = context.canonical_bytes()
        entry = NewEntry(
            kind=Kind.CONTEXT,
            body=body,
            key=f"{context.context_id}",
            principal=HUB,
            topic=context.trading_date.isoformat(),
            known_at_ns=to_ns(context.as_of),
            digest=context.context_id,
        )
        await self._exchange.announce(_notice(context, self._clock.now()), entry)
        self.built += 1
        self.activate(context)
        return context

    async def kept(self, day: date, as_of: datetime) -> DailyContext | None:
        """Give a day's context of exactly this moment, where one is kept."""
        for entry in await self._journal.read(
            Kind.CONTEXT, topic=day.isoformat(), limit=1_000, newest_first=True
        ):
            if entry.known_at_ns == to_ns(as_of):
                return _context(entry)
        return None

    async def dates(self) -> list[date]:
        """Give the trading dates of the contexts that were kept last, the newest first."""
        kept = await self._journal.read(Kind.CONTEXT, limit=1_000, newest_first=True)
        return sorted({date.fromisoformat(entry.topic) for entry in kept}, reverse=True)

    def activate(self, context: DailyContext) -> None:
        """Make a context the newest, unless one of a later moment, not to come, is."""
        latest = self.latest
        if latest is not None and context.as_of < latest.as_of <= self._clock.now():
            return
        self.latest = context
        for listener in self._listeners:
            listener()

    def _past(self, as_of: datetime) -> None:
        if as_of > self._clock.now() + timedelta(seconds=1 + 0.05 * self._clock.speed):
            raise InvalidInput(f"{as_of.isoformat()} is still to come on the run's clock")


def trading_date(as_of: datetime) -> date:
    """Give the session that a moment's context is for: the day's until its close, else the next."""
    local = as_of.astimezone(EASTERN)
    day = local.date()
    if is_session(day) and local < session_close(day):
        return day
    return next_session(day)


def moments(day: date, times: Sequence[time]) -> list[datetime]:
    """Give the moments of a session's scheduled contexts."""
    return [datetime.combine(day, at, EASTERN) for at in times]


def unmet(context: DailyContext, rules: Freshness) -> frozenset[str]:
    """Give the required features that a context lacks."""
    return frozenset(
        name
        for name in rules.required
        if (entry := context.provenance.get(name)) is None or entry.quality is not Quality.OK
    )


def _take(standing: Standing, page: Sequence[Entry]) -> None:
    """Parse a page's messages, but for those that no context reads, and take them."""
    parse: Callable[[bytes], ContextMessage] = ContextMessage.model_validate_json
    read = (entry for entry in page if entry.topic in READ_TOPICS)
    standing.take(((entry.sequence, parse(entry.body)) for entry in read), page[-1].sequence)


def _context(entry: Entry) -> DailyContext:
    return DailyContext.model_validate_json(entry.body)


def _notice(context: DailyContext, now: datetime) -> ContextMessage:
    qualities = {name: entry.quality for name, entry in context.provenance.items()}
    notice = DailyContextNotice(
        context_id=context.context_id,
        trading_date=context.trading_date,
        as_of=context.as_of,
        ok=sum(quality is Quality.OK for quality in qualities.values()),
        flagged=tuple(
            sorted(name for name, quality in qualities.items() if quality is not Quality.OK)
        ),
    )
    return ContextMessage(
        timestamp=now,
        source_agent=HUB,
        topic=Topic.DAILY_CONTEXT,
        context=notice.model_dump(mode="json"),
        message_id=f"daily-{context.context_id[:32]}",
        known_at=context.as_of,
    )
