"""The envelope that agents exchange over MCP: the context message. Pure, no I/O.

Above it stand the hub (which resolves defaults and stores) and the agents (which write it); what a
message can say is in :mod:`relentless.proto.contexts`.
"""

import hashlib
import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, ValidationError, model_validator

from relentless.proto.base import Frozen, Name, Short, canonical_json, explain, iso
from relentless.proto.contexts import CONTEXT_TYPES, Origin, Topic
from relentless.proto.errors import InvalidMessage

MAX_CONTEXT_BYTES = 16_384
BROADCAST = "*"


class Evidence(Frozen):
    """Where a message's content was read."""

    source: Short
    """Name of the source and of what was asked, "FRED series/observations DGS10"."""
    url: Annotated[str, Field(max_length=1_000)] | None = None
    """Without secrets. The hub never fetches it."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the raw response body, which lies content-addressed in the agent's state folder."""
    upstream_timestamp: Short | None = None
    """The source's own timestamp, as it wrote it."""
    origin: Origin = Origin.LIVE
    note: Short | None = None
    """A caveat: "vintage: recorded later"."""


_MESSAGE_ID = re.compile(r"^[A-Za-z0-9_.:-]{1,128}$")


class ContextMessage(Frozen):
    """The envelope that agents exchange over MCP.

    ``context`` is kept as JSON, normalised by its topic's type; :meth:`typed` gives the model.
    Where ``topic`` is absent the hub resolves it (:meth:`resolved`) from the sender's registration.
    """

    protocol: Literal["MCP"] = "MCP"
    version: Literal["1.0"] = "1.0"
    timestamp: AwareDatetime
    """When the sender wrote it."""
    source_agent: Name
    target_agent: Annotated[str, Field(pattern=r"^(\*|[A-Za-z][A-Za-z0-9_.-]{0,63})$")] | None = (
        None
    )
    """One agent's name; absent or "*" is everybody."""
    context: dict[str, JsonValue]
    message_id: Annotated[str, Field(pattern=_MESSAGE_ID.pattern)] | None = None
    """Idempotency: the same id twice is stored once, with another body it is refused."""
    topic: Topic | None = None
    observed_at: AwareDatetime | None = None
    """What the data is about: the end of the period or the moment observed."""
    known_at: AwareDatetime | None = None
    """When its source could serve it; the time of receipt where absent."""
    expires_at: AwareDatetime | None = None
    evidence: tuple[Evidence, ...] = Field(default=(), max_length=16)

    @model_validator(mode="after")
    def _normalise(self) -> Self:
        if self.topic is not None and self.topic in CONTEXT_TYPES:
            typed = CONTEXT_TYPES[self.topic].model_validate(self.context)
            normal = typed.model_dump(mode="json", exclude_unset=True)
            object.__setattr__(self, "context", normal)
        if len(canonical_json(self.context)) > MAX_CONTEXT_BYTES:
            raise ValueError(f"context is larger than {MAX_CONTEXT_BYTES} bytes; send a summary")
        if self.expires_at and self.known_at and self.expires_at <= self.known_at:
            raise ValueError("expires_at is not after known_at")
        return self

    @classmethod
    def parse(cls, value: Any) -> "ContextMessage":
        """Read a message from decoded JSON.

        Raises:
            InvalidMessage: with one short line per wrong field.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise InvalidMessage(explain(error)) from error

    def typed(self) -> Frozen | None:
        """Give the context as its topic's model; None for a note or an unresolved topic."""
        if self.topic is None or self.topic is Topic.NOTE:
            return None
        return CONTEXT_TYPES[self.topic].model_validate(self.context)

    def resolved(self, *, topic: Topic, known_at: datetime, message_id: str) -> "ContextMessage":
        """Fill what the sender left out, and validate the context against its topic.

        Raises:
            InvalidMessage: the context does not fit the topic.
        """
        fields = self.model_dump(mode="json", exclude_unset=True)
        fields["topic"] = (self.topic or topic).value
        fields.setdefault("known_at", iso(known_at))
        fields.setdefault("message_id", message_id)
        return ContextMessage.parse(fields)

    def content_digest(self) -> str:
        """Give the SHA-256, in hex, of what the message says.

        Who says it to whom, on what topic, about when, known when, until when, and the context; not
        the id, the time of writing or the evidence, so that saying the same again is the same.
        """
        # By hand: a fold digests hundreds of messages, and model_dump takes twice as long.
        says = {
            "source_agent": self.source_agent,
            "target_agent": self.target_agent or BROADCAST,
            "topic": self.topic,
            "observed_at": _as_written(self.observed_at),
            "known_at": _as_written(self.known_at),
            "expires_at": _as_written(self.expires_at),
            "context": self.context,
        }
        return hashlib.sha256(canonical_json(says)).hexdigest()


def _as_written(moment: datetime | None) -> str | None:
    """Write a time as pydantic does: in its own zone, UTC as Z."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
