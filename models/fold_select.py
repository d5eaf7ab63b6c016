"""Which messages a fold may see, and which of them stand. Pure; the first step of the fold.

A message stands while none newer about the same thing is known. Ignored are: a message known after
``as_of``, too long before it, or later in the journal than ``head``; one whose sender is not the
agent that its topic belongs to; one whose topic or known_at nobody resolved. Whom a message is
addressed to makes no difference: addressing routes it to an inbox, and what it says holds for
everybody.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from relentless.proto.contexts import AGENT_TOPICS, Origin, Topic
from relentless.proto.messages import ContextMessage

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


def _about_story(context: Mapping[str, Any]) -> object:
    story = context.get("story_id")
    return (context["asset"], story) if story else None


_ABOUT: Mapping[Topic, Callable[[Mapping[str, Any]], object]] = {
    Topic.LEGISLATION: itemgetter("bill_id"),
    Topic.RATES: itemgetter("series_id"),
    Topic.NEWS: _about_story,
    Topic.OPTIONS_FLOW: itemgetter("symbol"),
    Topic.INSIDER: itemgetter("symbol"),
    Topic.EARNINGS_CALENDAR: lambda context: (context["symbol"], context.get("fiscal_quarter")),
    Topic.ECONOMIC_CALENDAR: lambda context: (context["event"], context["release_at"][:10]),
}
"""What a message of each topic is about; None: about nothing but itself.

A topic without an entry has no part in a context.
"""

LOOKBACK: Mapping[Topic, timedelta] = {Topic.NEWS: timedelta(days=7)}
"""How long before ``as_of`` a message may have been known and still count, where every message is
about something new: else what a fold has to hold would grow without end."""

READ_TOPICS = frozenset(_ABOUT)
"""Topics that contexts are made of."""

_Candidate = tuple[datetime, int, ContextMessage]


def subject(sequence: int, message: ContextMessage) -> object:
    """Give what a message is about, topic included; None where no context can read it."""
    topic = message.topic
    if topic is None or topic not in _ABOUT or message.known_at is None:
        return None
    if message.source_agent != _OWNER[topic]:
        return None
    return topic, _ABOUT[topic](message.context) or sequence


def oldest(topic: Topic, as_of: datetime) -> datetime | None:
    """Give the time before which a message of a topic was known too long ago; None for no bound."""
    lookback = LOOKBACK.get(topic)
    return None if lookback is None else as_of - lookback


def select(
    messages: Iterable[tuple[int, ContextMessage]], *, as_of: datetime, head: int
) -> dict[Topic, list[Item]]:
    """Give the messages that stand, by topic, in the order of the journal.

    Newest is by (known_at, observed_at, sequence), for rates by (observed_at, known_at, sequence):
    a late revision of an old period does not hide the newest period. The order in which the
    messages come makes no difference.
    """
    standing: dict[Topic, dict[object, _Candidate]] = {topic: {} for topic in _ABOUT}
    places = {
        topic: (standing[topic], _OWNER[topic], about, topic is Topic.RATES, oldest(topic, as_of))
        for topic, about in _ABOUT.items()
    }
    for sequence, message in messages:
        topic, known_at = message.topic, message.known_at
        if topic is None or known_at is None or sequence > head or topic not in places:
            continue
        kept, owner, about, by_period, since = places[topic]
        if message.source_agent != owner:
            continue
        # In one zone comparisons are ten times as fast; most of a fold's time is spent here.
        first = known_at if known_at.tzinfo is UTC else known_at.astimezone(UTC)
        if first > as_of or (since is not None and first < since):
            continue
        if by_period and message.observed_at is not None:
            first = message.observed_at.astimezone(UTC)
        key = about(message.context) or sequence
        before = kept.get(key)
        if (
            before is None
            or first > before[0]
            or (first == before[0] and _later(message, sequence, before))
        ):
            kept[key] = (first, sequence, message)
    return {
        topic: [_item(n, m) for _, n, m in sorted(kept.values(), key=itemgetter(1))]
        for topic, kept in standing.items()
    }


def _later(message: ContextMessage, sequence: int, before: _Candidate) -> bool:
    """Break a tie of the first time by both times, then by sequence."""
    new, old = _item(sequence, message), _item(before[1], before[2])
    return (new.known_at, new.observed_at, sequence) > (old.known_at, old.observed_at, before[1])


def _item(sequence: int, message: ContextMessage) -> Item:
    known_at = (message.known_at or message.timestamp).astimezone(UTC)
    observed_at = message.observed_at.astimezone(UTC) if message.observed_at else known_at
    return Item(sequence, message, known_at, observed_at)
