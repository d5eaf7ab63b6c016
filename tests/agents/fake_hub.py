"""A hub in memory: it keeps what it is told, and can be away or refuse."""

import asyncio
from contextlib import asynccontextmanager

from relentless.proto.errors import Unavailable


class FakeHub:
    """What every agent told it, by agent name."""

    def __init__(self):
        self.messages = {}
        self.batches = []
        self.reports = {}
        self.registrations = []
        self.events = []
        self.away = False
        self.refuse = lambda message: None
        self.keys = None
        self.hung = None
        self.waiting = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def connect(self, name):
        if self.keys is not None and name not in self.keys:
            raise LookupError(f"no key for {name}")
        yield Connection(self, name)

    async def answer(self):
        """Answer, fail or hang."""
        if self.away:
            raise Unavailable("the hub is away")
        if self.hung is not None:
            self.waiting += 1
            await self.told()
            await self.hung.wait()

    async def told(self):
        async with self._changed:
            self._changed.notify_all()

    async def until(self, condition, timeout_s=20.0):
        """Wait until a condition over this hub holds."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    def runs(self, name):
        """Give the nominal times that an agent reported, in order, each once."""
        return list(dict.fromkeys(r["scheduled_at"] for r in self.reports.get(name, [])))

    def last(self, name):
        return self.reports[name][-1]


class Connection:
    def __init__(self, hub, name):
        self._hub, self._name = hub, name

    async def register(self, *, name=None, topics=(), schedule=(), last_run=None):
        await self._hub.answer()
        self._hub.registrations.append((self._name, name, tuple(topics), tuple(schedule)))
        if last_run is not None:
            self._hub.reports.setdefault(self._name, []).append(dict(last_run))
            self._hub.events.append((self._name, "report", last_run["scheduled_at"]))
        await self._hub.told()
        return {"agent": self._name, "lease_s": 60.0}

    async def publish(self, messages):
        await self._hub.answer()
        for message in messages:
            if error := self._hub.refuse(message):
                raise error
        kept = self._hub.messages.setdefault(self._name, {})
        self._hub.batches.append((self._name, len(messages)))
        self._hub.events.append((self._name, "publish", len(messages)))
        receipts = [
            {"message_id": m.message_id, "sequence": 0, "duplicate": m.message_id in kept}
            for m in messages
        ]
        kept.update({m.message_id: m for m in messages})
        await self._hub.told()
        return receipts
