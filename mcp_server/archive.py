"""Closes a day: what the journal received up to the exchange's close goes to history, once."""

import asyncio
from datetime import date

import structlog

from relentless.configs.clock import to_ns
from relentless.configs.sessions import previous_session, session_close
from relentless.proto.daily import DailyContext
from relentless.store.history import History
from relentless.store.ports import Entry, Journal, Kind

log = structlog.get_logger()
PAGE = 5_000


class Archive:
    """Writes closed days; the coordinator says when."""

    def __init__(self, journal: Journal, history: History) -> None:
        self._journal = journal
        self._history = history
        self._after = 0
        """Everything up to this sequence was received before the days still to close."""

    async def close_day(self, day: date) -> None:
        """Write what was received between the close before and this one, and the day's contexts.

        Raises:
            StorageError: a file cannot be written.
        """
        opened, closed = (to_ns(session_close(moment)) for moment in (previous_session(day), day))
        messages = [
            entry for entry in await self._messages(opened) if entry.received_at_ns <= closed
        ]
        kept = await self._journal.read(Kind.CONTEXT, topic=day.isoformat(), limit=1_000)
        contexts = [DailyContext.model_validate_json(entry.body) for entry in kept]
        await asyncio.to_thread(self._history.close_day, day, messages, contexts)
        log.info("day closed", day=day.isoformat(), messages=len(messages), contexts=len(contexts))

    async def catch_up(self, day: date) -> None:
        """Close the session before ``day`` where it had contexts and nobody closed it."""
        before = previous_session(day)
        if before in await asyncio.to_thread(self._history.days):
            return
        if await self._journal.read(Kind.CONTEXT, topic=before.isoformat(), limit=1):
            await self.close_day(before)

    async def _messages(self, after_ns: int) -> list[Entry]:
        """Give the messages received after a time."""
        found: list[Entry] = []
        after = self._after
        while page := await self._journal.read(Kind.MESSAGE, after=after, limit=PAGE):
            after = page[-1].sequence
            found.extend(entry for entry in page if entry.received_at_ns > after_ns)
            if not found:
                self._after = after
        return found
