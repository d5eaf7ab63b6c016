"""What an answer points to: resources of this hub that hold more of the same.

An answer that has some satisfies :class:`Linked`; the hub gives them as ``resource_link`` blocks
beside the answer, in which they do not stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Link:
    """One resource of this hub."""

    uri: str
    name: str
    title: str
    priority: float = 0.5
    """From 0, hardly needed, to 1, needed to understand the answer."""


@runtime_checkable
class Linked(Protocol):
    """An answer with links."""

    def links(self) -> Sequence[Link]:
        """Give where to read on."""
        ...


def daily_link(day: str, priority: float = 0.5) -> Link:
    """Give the link to a date's daily context."""
    return Link(f"context://daily/{day}", f"daily-{day}", f"The daily context of {day}", priority)


def message_link(topic: str, sequence: int) -> Link:
    """Give the link to one message, as a page of its topic that holds it alone."""
    uri = f"context://topic/{topic}?after={sequence - 1}&limit=1"
    return Link(uri, f"message-{sequence}", f"Message {sequence}, on {topic}", 0.3)
