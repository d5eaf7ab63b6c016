"""The shape of an explained signal: from the frame back to the raw evidence."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, JsonValue, WithJsonSchema

from relentless.proto.contexts import Topic
from relentless.proto.daily import Quality
from relentless.tools.context import UNTRUSTED
from relentless.tools.links import Link, daily_link, message_link
from relentless.tools.ports import Emitted, Shape

Part = Literal["provenance", "messages", "frame", "*"]
MAX_MESSAGES = 20
"""Messages that one answer tells of, those of the features that changed last first."""


class ModelSaid(Shape):
    """Which version made the signal, and its answer before policy and gates."""

    version: int
    label: Literal["stable", "canary"]
    heads: dict[str, float] = Field(default={})


class FeatureUse(Shape):
    """One feature of the context, as the model had it."""

    value: float | str | None
    used: bool
    """False: masked, because the value is not ok."""
    quality: Quality
    known_at: AwareDatetime | None = None
    source: str = ""


class ContextUse(Shape):
    """The daily context that the signal was made under."""

    context_id: str
    trading_date: str
    as_of: AwareDatetime
    features: dict[str, JsonValue]
    """:class:`FeatureUse` of each; whole provenance where that was asked for."""
    symbol: JsonValue = None
    """What it says of the signal's own symbol."""


class MessageUse(Shape):
    """One message that a feature was folded from."""

    message_id: str
    sequence: int
    topic: Topic
    source_agent: str
    known_at: AwareDatetime | None = None
    features: list[str]
    evidence: list[dict[str, JsonValue]] = Field(default=[])
    """Source, URL, SHA-256 of the raw body, upstream's own time, origin."""
    context: JsonValue = None
    """What it says, where whole messages were asked for."""


class Explained(Shape):
    """A signal, walked back: frame, model, tick features, context, messages, evidence."""

    signal: Annotated[Emitted, WithJsonSchema({"type": "object"})]
    """As ``get_signals`` gives it, whose schema says its fields."""
    model: ModelSaid
    tick_features: dict[str, float] = Field(default={})
    context: ContextUse | None = None
    messages: Annotated[
        list[MessageUse], WithJsonSchema({"type": "array", "items": {"type": "object"}})
    ] = Field(default=[])
    gaps: list[str] = Field(default=[])
    """What cannot be told, and why."""
    trust: str = UNTRUSTED

    def links(self) -> Sequence[Link]:
        """Give the context's day, and each message."""
        found = [message_link(used.topic, used.sequence) for used in self.messages]
        if self.context is not None:
            found.insert(0, daily_link(self.context.trading_date, 0.8))
        return found
