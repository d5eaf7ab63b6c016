"""The newest message that a hub acknowledged, remembered by the one it told.

A journal whose end was lost, or that was replaced by an older copy, looks whole to the hub that
opens it. Who was told of an entry knows better. Kept in a file, the memory outlives its process.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from relentless.proto.errors import HeadLost

log = structlog.get_logger()


class Acknowledged(NamedTuple):
    """One message, and where the hub said that it is."""

    sequence: int
    message_id: str


class HeadMemory:
    """Remembers for one caller of one hub; without a path only as long as it lives."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.head = None if path is None else _read(path)

    def keep(self, receipts: Iterable[Mapping[str, Any]]) -> None:
        """Take up what was acknowledged; an older message than the newest is not news."""
        newest = max(
            (Acknowledged(each["sequence"], each["message_id"]) for each in receipts), default=None
        )
        if newest is not None and (self.head is None or newest > self.head):
            self.head = newest
            self._write()

    def check(self, page: Mapping[str, Any]) -> None:
        """Hold the page of one message from the remembered one on to what was acknowledged.

        Raises:
            HeadLost: the message is not there.
        """
        if self.head is None:
            return
        found = next(iter(page["messages"]), None)
        if (
            found is None
            or found["sequence"] != self.head.sequence
            or found["message"].get("message_id") != self.head.message_id
        ):
            raise self.lost(f"its journal ends at {page['head']}")

    def fresh(self, before: Acknowledged | None, receipts: Iterable[Mapping[str, Any]]) -> None:
        """Hold new receipts to what was acknowledged before they were asked for.

        Raises:
            HeadLost: a new message has the place of one that was acknowledged before.
        """
        if before is None or before != self.head:
            return
        for each in receipts:
            if not each["duplicate"] and each["sequence"] <= before.sequence:
                raise self.lost(f"it stored a new message as {each['sequence']}")

    def lost(self, how: str) -> HeadLost:
        """Log what the hub lost, forget it, so that it is said once, and give the error."""
        head, self.head = self.head, None
        self._write()
        number = 0 if head is None else head.sequence
        error = HeadLost(
            f"the hub lost what it acknowledged: message {number} is gone ({how}). Its journal was "
            "damaged, or replaced by an older copy; an operator must find out which. What was "
            "published after the copy was made must be published again"
        )
        log.error("hub_lost_what_it_acknowledged", sequence=number, how=how)
        return error

    def _write(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_name(f".{self._path.name}.new")
        beside.write_text(json.dumps(self.head))
        os.replace(beside, self._path)


def _read(path: Path) -> Acknowledged | None:
    """Give what a file remembers; nothing where it cannot be read."""
    try:
        match json.loads(path.read_text("utf-8")):
            case [int(sequence), str(message_id)]:
                return Acknowledged(sequence, message_id)
    except (OSError, ValueError):
        pass
    return None
