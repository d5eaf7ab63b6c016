"""The exchange of messages: checked against the sender's key, stored, read, acknowledged.

Above it the tools and resources; below it the journal. What is stored is the message as the hub
resolved it, and an idempotency digest of the message as it was sent.
"""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from relentless.configs.clock import Clock, from_ns, to_ns
from relentless.mcp_server.pulse import Pulse
from relentless.proto.base import canonical_json, iso
from relentless.proto.contexts import Topic
from relentless.proto.errors import Forbidden, InvalidInput, InvalidMessage
from relentless.proto.messages import BROADCAST, ContextMessage
from relentless.store.ports import Entry, Journal, Kind, NewEntry, Principal
from relentless.tools.ports import Page, Receipt, Stored

HUB: Final = "Hub"
"""The name under which the hub publishes its own messages."""
PAGE_BYTES: Final = 200_000
"""A page ends before it grows past this, so that a client can take it."""

Published = Callable[[ContextMessage, int], None]
TopicOf = Callable[[Principal], Topic]


class MessageExchange:
    """The durable exchange; satisfies ``tools.ports.Exchange``."""

    def __init__(self, journal: Journal, clock: Clock, topic_of: TopicOf) -> None:
        self._journal = journal
        self._clock = clock
        self._topic_of = topic_of
        self._cursors: dict[str, int] = {}
        self._listeners: list[Published] = []
        self.pulse = Pulse()

    async def recover(self) -> None:
        """Read where every agent's cursor stands."""
        for entry in await self._journal.read(Kind.ACK, limit=100_000, newest_first=True):
            up_to = int(json.loads(entry.body)["up_to"])
            self._cursors[entry.principal] = max(up_to, self._cursors.get(entry.principal, 0))

    def on_published(self, listener: Published) -> None:
        """Have a function called with every new message and its sequence; it must not block."""
        self._listeners.append(listener)

    async def publish(self, caller: Principal, messages: Sequence[object]) -> list[Receipt]:
        """Store messages, all or none, and answer once they are durable."""
        now = self._clock.now()
        checked = [self._check(caller, value, now) for value in messages]
        return await self._store(caller.name, checked)

    async def announce(self, message: ContextMessage, *first: NewEntry) -> int:
        """Store a message of the hub's own, after other entries, in one step; gives its sequence.

        The message is complete: topic, known_at and message_id are set.
        """
        entry = _entry(HUB, message, message.content_digest())
        receipts = await self._journal.append([*first, entry])
        self._tell([message], [receipts[-1].sequence])
        return receipts[-1].sequence

    async def read(
        self,
        caller: Principal,
        *,
        topic: Topic | None,
        inbox: bool,
        after: int | None,
        limit: int,
        wait_s: float = 0.0,
    ) -> Page:
        """Give messages after a sequence number, waiting up to ``wait_s`` for the first."""
        if after is None:
            after = self._cursors.get(caller.name, 0) if inbox else 0
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            head = self._journal.head().sequence
            changed = self.pulse.next()
            entries = await self._journal.read(
                Kind.MESSAGE,
                topic=None if topic is None else topic.value,
                targets=[caller.name] if inbox else None,
                after=after,
                up_to=head,
                limit=limit,
            )
            left = deadline - loop.time()
            if entries or left <= 0 or self.pulse.closed:
                return _page(entries, head, after, limit)
            after = max(after, head)
            await _within(changed, left)

    async def acknowledge(self, caller: Principal, up_to: int) -> int:
        """Move the caller's cursor up to a sequence number; gives where it stands."""
        head = self._journal.head().sequence
        if up_to > head:
            raise InvalidInput(f"the newest message is {head}; {up_to} cannot be acknowledged yet")
        if up_to > self._cursors.get(caller.name, 0):
            body = canonical_json({"up_to": up_to})
            await self._journal.append([NewEntry(Kind.ACK, body, principal=caller.name)])
            self._cursors[caller.name] = max(up_to, self._cursors.get(caller.name, 0))
        return self._cursors.get(caller.name, 0)

    async def _store(
        self, principal: str, checked: Sequence[tuple[ContextMessage, str]]
    ) -> list[Receipt]:
        entries = [_entry(principal, message, digest) for message, digest in checked]
        kept = await self._journal.append(entries)
        fresh = [
            (message, receipt.sequence)
            for (message, _), receipt in zip(checked, kept, strict=True)
            if not receipt.duplicate
        ]
        if fresh:
            self._tell([message for message, _ in fresh], [number for _, number in fresh])
        return [
            Receipt(message_id=entry.key, sequence=receipt.sequence, duplicate=receipt.duplicate)
            for entry, receipt in zip(entries, kept, strict=True)
        ]

    def _tell(self, messages: Sequence[ContextMessage], sequences: Sequence[int]) -> None:
        self.pulse.beat()
        for message, sequence in zip(messages, sequences, strict=True):
            for listener in self._listeners:
                listener(message, sequence)

    def _check(self, caller: Principal, value: object, now: datetime) -> tuple[ContextMessage, str]:
        """Give a message with nothing left out, and the digest of what was sent."""
        message = ContextMessage.parse(value)
        if message.source_agent != caller.name:
            raise Forbidden(f"this key publishes as {caller.name}, not as {message.source_agent}")
        topic = message.topic or self._topic_of(caller)
        if topic not in caller.topics:
            may = ", ".join(sorted(caller.topics)) or "none"
            raise Forbidden(f"{caller.name} may not publish {topic}; its topics: {may}")
        digest = message.content_digest()
        if message.topic is None or message.known_at is None or message.message_id is None:
            message = message.resolved(
                topic=topic, known_at=now, message_id=message.message_id or uuid.uuid4().hex
            )
        known_at = message.known_at or now
        if known_at > now + self._tolerance():
            raise InvalidMessage(
                f"known_at {iso(known_at)} lies after its receipt at {iso(now)}; "
                "say when the source could serve it"
            )
        return message, digest

    def _tolerance(self) -> timedelta:
        """Give how far a sender's reading of the clock may be ahead: 50 ms of wall time."""
        return timedelta(seconds=1 + 0.05 * self._clock.speed)


async def _within(changed: Awaitable[Any], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await changed
    except TimeoutError:
        return


def _entry(principal: str, message: ContextMessage, digest: str) -> NewEntry:
    target = message.target_agent or BROADCAST
    return NewEntry(
        kind=Kind.MESSAGE,
        body=canonical_json(message.model_dump(mode="json", exclude_unset=True)),
        key=message.message_id or "",
        principal=principal,
        topic=message.topic.value if message.topic else Topic.NOTE.value,
        target="" if target == BROADCAST else target,
        known_at_ns=to_ns(message.known_at) if message.known_at else 0,
        digest=digest,
    )


def _page(entries: Sequence[Entry], head: int, after: int, limit: int) -> Page:
    """Make a page; it ends early where it grows too large, and says where to read on."""
    messages: list[Stored] = []
    size = 0
    for entry in entries:
        size += len(entry.body)
        if messages and size > PAGE_BYTES:
            break
        messages.append(
            Stored(
                sequence=entry.sequence,
                received_at=iso(from_ns(entry.received_at_ns)),
                message=json.loads(entry.body),
            )
        )
    whole = len(messages) == len(entries) < limit
    next_after = max(head, after) if whole else messages[-1].sequence
    return Page(messages=messages, next_after=next_after, head=head)
