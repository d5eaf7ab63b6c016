"""The halt as it is kept: an epoch that grows with every change, in the journal.

It is durable before anybody hears of it. A state that cannot be read is a halt.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from relentless.proto.base import canonical_json, iso
from relentless.proto.errors import RelentlessError
from relentless.store.ports import Journal, Kind, NewEntry, Principal

UNREADABLE: Final = "the halt state cannot be read; an operator must set it again"
FIELDS: Final = frozenset({"epoch", "halted", "reason", "at"})


@dataclass(frozen=True, slots=True)
class Halt:
    """One state of the halt."""

    epoch: int = 0
    halted: bool = False
    reason: str = ""
    by: str = ""
    at: str = ""


async def read_halt(journal: Journal) -> Halt:
    """Give the halt as it was last kept; an unreadable one halts."""
    try:
        kept = await journal.read(Kind.HALT, limit=1, newest_first=True)
    except RelentlessError:
        return Halt(epoch=1, halted=True, reason=UNREADABLE)
    if not kept:
        return Halt()
    try:
        said = json.loads(kept[0].body)
        return Halt(
            epoch=int(said["epoch"]),
            halted=said["halted"] is not False,
            reason=str(said["reason"]),
            by=kept[0].principal,
            at=str(said["at"]),
        )
    except (ValueError, KeyError, TypeError):
        return Halt(epoch=kept[0].sequence, halted=True, reason=UNREADABLE)


async def write_halt(
    journal: Journal, before: Halt, caller: Principal, halted: bool, reason: str, now: datetime
) -> Halt:
    """Keep the next state; durable on return."""
    epoch, at = before.epoch + 1, iso(now)
    body = canonical_json({"epoch": epoch, "halted": halted, "reason": reason, "at": at})
    await journal.append([NewEntry(Kind.HALT, body, principal=caller.name)])
    return Halt(epoch, halted, reason, caller.name, at)
