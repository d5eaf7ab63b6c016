"""The digest chain of the journal: each entry sealed onto the one before it. Pure.

SQLite notices a torn page in its log, but not a flipped bit in an older page nor a row that is
gone. The chain does: an entry's value covers every column and the value before, so that one
altered, missing or foreign row breaks every link after it. Writer, reader and recovery share it.
"""

import hashlib
import struct
from typing import NamedTuple

from relentless.proto.errors import JournalDamaged

GENESIS = bytes(32)
"""The chain value before the first entry."""

_FIXED = struct.Struct(">Qqq7I")
"""Sequence, the two times, and the length of each column that follows: no two rows encode alike."""


class Row(NamedTuple):
    """One row as stored, in the order of its columns; ``body`` is last as it may be large."""

    sequence: int
    kind: str
    topic: str
    target: str
    principal: str
    key: str
    known_at_ns: int
    received_at_ns: int
    digest: str
    chain: bytes
    body: bytes


def link(
    before: bytes,
    sequence: int,
    kind: str,
    topic: str,
    target: str,
    principal: str,
    key: str,
    known_at_ns: int,
    received_at_ns: int,
    digest: str,
    body: bytes,
) -> bytes:
    """Give an entry's chain value, 32 bytes: SHA-256 over the value before and every column."""
    columns = (*map(str.encode, (kind, topic, target, principal, key, digest)), body)
    fixed = _FIXED.pack(sequence, known_at_ns, received_at_ns, *map(len, columns))
    return hashlib.sha256(b"".join((before, fixed, *columns))).digest()


def check(row: Row, before: bytes | None, path: str) -> None:
    """Do nothing where ``row`` follows from the value ``before``.

    Raises:
        JournalDamaged: it does not, or the row before it is missing (``before`` is None).
    """
    try:
        holds = before is not None and row.chain == link(
            before,
            row.sequence,
            row.kind,
            row.topic,
            row.target,
            row.principal,
            row.key,
            row.known_at_ns,
            row.received_at_ns,
            row.digest,
            row.body,
        )
    except (AttributeError, TypeError, ValueError, struct.error):
        holds = False
    if not holds:
        raise damaged(path, f"entry {row.sequence} does not follow from the one before it")


def damaged(path: str, what: str) -> JournalDamaged:
    """Give the error for a file that must not be served, with what to do about it."""
    return JournalDamaged(
        f"{path}: {what}. Nothing is served from this file. Stop the process, keep the file and "
        "its -wal and -shm files for inspection, and restore the last good backup of the folder."
    )
