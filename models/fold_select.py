"""Which messages a fold may see, and which of them stand. Pure; the first step of the fold.

A message stands while none newer about the same thing is known. Ignored are: a message known after
``as_of`` or later in the journal than ``head``; one addressed to a single agent; one whose sender
is not the agent that its topic belongs to; one whose topic or known_at nobody resolved.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from relentless.proto.messages import AGENT_TOPICS, BROADCAST, ContextMessage, Origin, Topic

_EARLIEST_SEQUENCE = -1
_WORST_FIRST = (Origin.SYNTHETIC, Origin.RECORDED, Origin.LIVE)
_OWNER: Mapping[Topic, str] = {topic: agent for agent, topic in AGENT_TOPICS.items()}


@dataclass(frozen=True, slots=True)
class Item:
    """A message that stands, with the times that it is judged by."""

    sequence: int
    message: ContextMessage
    known_at: datetime
    observed_at: datetime
    """``known_at`` where the message does not say."""

    @property
    def context(self) -> dict[str, Any]:
        """The normalised context, as JSON."""
        return self.message.context

    @property
    def message_id(self) -> str:
        """The message's id; one nobody gave it is made of its content."""
        return self.message.message_id or self.message.content_digest()[:32]

    @property
    def origin(self) -> Origin:
        """The worst origin among its evidence: synthetic before recorded before live."""
        return worst(evidence.origin for evidence in self.message.evidence)

    def expired(self, as_of: datetime) -> bool:
        """Tell whether its own expiry has come."""
        return self.message.expires_at is not None and self.message.expires_at <= as_of

    def fresh(self, as_of: datetime, max_age: timedelta | None) -> bool:
        """Tell whether it is neither expired nor older than ``max_age`` since known_at."""
        return not self.expired(as_of) and (max_age is None or as_of - self.known_at <= max_age)


def worst(origins: Iterable[Origin]) -> Origin:
    """Give the worst of some origins; without any, live."""
    seen = set(origins)
    return next((origin for origin in _WORST_FIRST if origin in seen), Origin.LIVE)


def _story(context: Mapping[str, Any], message: ContextMessage) -> str:
    story = context.get("story_id") or message.message_id or message.content_digest()
    return f"{context['asset']}\n{story}"


_KEYS: Mapping[Topic, Callable[[Mapping[str, Any], ContextMessage], str]] = {
    Topic.LEGISLATION: lambda context, _: str(context["bill_id"]),
    Topic.RATES: lambda context, _: str(context["series_id"]),
    Topic.NEWS: _story,
    Topic.OPTIONS_FLOW: lambda context, _: str(context["symbol"]),
    Topic.INSIDER: lambda context, _: str(context["symbol"]),
    Topic.EARNINGS_CALENDAR: lambda context, _: (
        f"{context['symbol']}\n{context.get('fiscal_quarter') or ''}"
    ),
    Topic.ECONOMIC_CALENDAR: lambda context, _: (
        f"{context['event']}\n{str(context['release_at'])[:10]}"
    ),
}
"""What a message of each topic is about. A topic without a key has no part in a context."""


def _rank(item: Item) -> tuple[datetime, datetime, int]:
    if item.message.topic is Topic.RATES:
        # A late revision of an old period must not hide the newest period.
        return (item.observed_at, item.known_at, item.sequence)
    return (item.known_at, item.observed_at, item.sequence)


def _admissible(message: ContextMessage, as_of: datetime) -> bool:
    topic, known_at = message.topic, message.known_at
    if topic is None or topic not in _KEYS or known_at is None or known_at > as_of:
        return False
    return message.target_agent in (None, BROADCAST) and message.source_agent == _OWNER[topic]


def select(
    messages: Iterable[tuple[int, ContextMessage]], *, as_of: datetime, head: int
) -> dict[Topic, dict[str, Item]]:
    """Give the messages that stand, by topic and by what they are about.

    Newest is by (known_at, observed_at, sequence), for rates by (observed_at, known_at, sequence).
    The order in which the messages come makes no difference.
    """
    standing: dict[Topic, dict[str, Item]] = {topic: {} for topic in _KEYS}
    for sequence, message in messages:
        if not _EARLIEST_SEQUENCE < sequence <= head or not _admissible(message, as_of):
            continue
        topic, known_at = message.topic, message.known_at
        if topic is None or known_at is None:
            continue
        item = Item(sequence, message, known_at, message.observed_at or known_at)
        about = standing[topic]
        key = _KEYS[topic](message.context, message)
        before = about.get(key)
        if before is None or _rank(item) > _rank(before):
            about[key] = item
    return standing
