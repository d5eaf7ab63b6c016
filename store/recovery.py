"""Opening a journal is recovery: whether its last process ended well or was killed, the same code.

The chain is followed from the last mark, and at least over the newest thousand entries, so that
opening takes as long with ten entries as with ten million. What was lost at the end without a
trace (SQLite drops a damaged suffix of its log silently) only somebody who remembers the head can
notice: hence ``expect``.
"""

from contextlib import closing
from pathlib import Path

import apsw

from relentless.proto.errors import NotFound
from relentless.store.chain import damaged
from relentless.store.lock import OwnerLock, make_folder
from relentless.store.ports import Head
from relentless.store.reading import (
    check_indexes,
    read_chain,
    read_head,
    read_mark,
    typed_errors,
    verify_all,
    verify_from,
)
from relentless.store.schema import CHECKPOINT, connect_reader, connect_writer

TAIL = 1_000
"""Newest entries that every opening checks, marked or not."""


def recover(
    path: Path, expect: Head | None, vfs: str | None, synchronous: str
) -> tuple[OwnerLock, apsw.Connection, Head]:
    """Own the file, open it, and check it. Blocks.

    Raises:
        JournalBusy: another owner has the file.
        JournalDamaged: the chain does not hold, or ``expect`` is not there.
        StorageError: the file is no journal of this version.
    """
    make_folder(path.parent)
    lock = OwnerLock(path)
    try:
        with typed_errors(str(path)):
            connection = connect_writer(path, synchronous=synchronous, vfs=vfs)
        try:
            return lock, connection, _check(connection, expect, str(path))
        except BaseException:
            connection.close()
            raise
    except BaseException:
        lock.release()
        raise


def verify_file(path: Path) -> Head:
    """Check all of a journal and give its newest entry, beside the process that owns it. Blocks.

    Reads only, and only what was committed when it began.

    Raises:
        NotFound: there is no such file.
        JournalDamaged: something does not hold.
        JournalBusy: it cannot be read now.
    """
    if not path.exists():
        raise NotFound(f"there is no journal at {path}")
    with typed_errors(str(path)), closing(connect_reader(path, vfs=None)) as connection:
        connection.execute("BEGIN")
        return verify_all(connection, str(path))


def _check(connection: apsw.Connection, expect: Head | None, path: str) -> Head:
    """Follow the chain since the last mark, look for the remembered head, and set a new mark."""
    with typed_errors(path):
        newest = read_head(connection, path)
        mark = read_mark(connection, path)
        if read_chain(connection, mark.sequence) != mark.chain:
            raise damaged(path, f"entry {mark.sequence} is not the one that was marked as checked")
        start = max(0, min(mark.sequence, newest.sequence - TAIL))
        before = read_chain(connection, start)
        if before is None:
            raise damaged(path, f"entry {start} is missing")
        head = verify_from(connection, Head(start, before), path)
        check_indexes(connection, start, path)
        if expect is not None and read_chain(connection, expect.sequence) != expect.chain:
            raise damaged(
                path,
                f"it ends at entry {head.sequence} and does not hold the entry {expect.sequence} "
                "that was acknowledged: a suffix was lost, or this is another file",
            )
        if head.sequence > mark.sequence:
            connection.execute(CHECKPOINT, (head.sequence, head.chain))
    return head
