"""The messages that may still stand, so that a fold need not read the whole journal again. Pure.

Beside :mod:`relentless.models.fold_select`, whose rules alone decide. What a newer message has
hidden once is hidden at every later moment, so it can be forgotten: for moments that only go
forward the messages kept here fold to the same context as all of them.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from relentless.models.fold_select import oldest, select, subject
from relentless.proto.messages import ContextMessage

Numbered = tuple[int, ContextMessage]


class Standing:
    """Keeps, of each thing that messages are about, what may stand from a moment on."""

    def __init__(self) -> None:
        self.head = 0
        """The journal sequence up to which messages were taken."""
        self._as_of = datetime.min.replace(tzinfo=UTC)
        self._kept: dict[object, list[Numbered]] = {}

    def covers(self, as_of: datetime, head: int) -> bool:
        """Say whether a fold as of this moment, up to this sequence, may use what is kept."""
        return as_of >= self._as_of and head >= self.head

    def take(self, messages: Iterable[Numbered], head: int) -> None:
        """Take every message after ``self.head`` up to ``head``, known already or not."""
        for sequence, message in messages:
            if (about := subject(sequence, message)) is not None:
                self._kept.setdefault(about, []).append((sequence, message))
        self.head = head

    def forget(self, as_of: datetime) -> None:
        """Forget what is hidden at a moment; folds before it are no longer covered."""
        self._as_of = max(self._as_of, as_of)
        for about, kept in list(self._kept.items()):
            if len(kept) > 1:  # one alone is hidden by nothing
                self._kept[about] = kept = list(_left(kept, self._as_of, self.head))
            if not kept or all(_is_over(message, self._as_of) for _, message in kept):
                del self._kept[about]

    def messages(self) -> Iterator[Numbered]:
        """Give what is kept."""
        for kept in self._kept.values():
            yield from kept

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))


def _is_over(message: ContextMessage, as_of: datetime) -> bool:
    """Say whether a message was known too long ago for this moment and every later one."""
    since = None if message.topic is None else oldest(message.topic, as_of)
    return since is not None and message.known_at is not None and message.known_at < since


def _left(kept: list[Numbered], as_of: datetime, head: int) -> Iterator[Numbered]:
    """Give the one that stands, and those that are known only later."""
    stands = {
        item.sequence for items in select(kept, as_of=as_of, head=head).values() for item in items
    }
    for sequence, message in kept:
        later = message.known_at is not None and message.known_at > as_of
        if later or sequence in stands:
            yield sequence, message
