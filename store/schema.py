"""The journal's tables in SQLite, and how a connection to them is opened.

Every index ends in the sequence (SQLite appends the rowid), so that a page of one kind, topic,
target or principal is one seek and one short walk however many rows there are. They are partial:
an acknowledgement, which has no topic and no target, does not pay for those.

Every page carries a checksum, by SQLite's own checksum VFS, which apsw ships. The digest chain
covers rows; the checksums cover the rest, above all the indexes: a flipped bit there would make a
read pass over a row without a word.
"""

from contextlib import closing
from functools import cache
from pathlib import Path

import apsw
import apsw.sqlite_extra

from relentless.proto.errors import StorageError

APPLICATION_ID = 0x52_4C_4A_4E
"""Written into the file's header: "RLJN"."""
VERSION = 1

COLUMNS = (
    "sequence, kind, topic, target, principal, key, known_at_ns, received_at_ns, digest, chain, "
    "body"
)

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE entries (
    sequence INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    topic TEXT NOT NULL,
    target TEXT NOT NULL,
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    known_at_ns INTEGER NOT NULL,
    received_at_ns INTEGER NOT NULL,
    digest TEXT NOT NULL,
    chain BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX entries_key ON entries (kind, principal, key) WHERE key <> '';
CREATE INDEX entries_kind ON entries (kind);
CREATE INDEX entries_topic ON entries (kind, topic) WHERE topic <> '';
CREATE INDEX entries_target ON entries (kind, target) WHERE target <> '';
CREATE INDEX entries_principal ON entries (kind, principal) WHERE principal <> '';
CREATE TABLE checkpoint (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL,
    chain BLOB NOT NULL
) STRICT;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""

CHECKPOINT = "INSERT OR REPLACE INTO checkpoint (one, sequence, chain) VALUES (1, ?, ?)"

CHECKSUM_BYTES = 8
"""Reserved at the end of each page: by this the checksum VFS knows its files."""

STATEMENTS = 256
"""Prepared ones that the writing connection keeps."""

BUSY_TIMEOUT_MS = 5_000
"""Only start-up and checkpoints can meet another connection's lock."""


def connect_writer(path: Path, *, synchronous: str, vfs: str | None) -> apsw.Connection:
    """Open the one connection that writes, and create the tables in a new file.

    ``synchronous`` is SQLite's: only ``FULL`` keeps what was acknowledged through a power cut. With
    another ``vfs`` than the usual one a new file has no checksums.

    Raises:
        StorageError: the file is another program's, or a newer version's.
        apsw.Error: whatever SQLite makes of a damaged file.
    """
    if synchronous not in ("FULL", "NORMAL", "OFF"):
        raise ValueError("synchronous is FULL, NORMAL or OFF")
    new = not path.exists() or path.stat().st_size == 0
    connection = apsw.Connection(str(path), vfs=vfs or _checksums(), statementcachesize=STATEMENTS)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        if new and vfs is None and _checksums() is not None:
            connection.reserve_bytes("main", CHECKSUM_BYTES)
        empty = connection.pragma("user_version") == 0 and _is_empty(connection)
        if not empty:
            _refuse_foreign(connection, path)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", synchronous)
        if empty:
            connection.execute(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, vfs: str | None) -> apsw.Connection:
    """Open a connection that only reads; it sees what was committed when its query began."""
    connection = apsw.Connection(
        str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs or _checksums()
    )
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    return connection


def _refuse_foreign(connection: apsw.Connection, path: Path) -> None:
    found = (connection.pragma("application_id"), connection.pragma("user_version"))
    if found != (APPLICATION_ID, VERSION):
        raise StorageError(
            f"{path} is not a journal of version {VERSION} (it says {found}); use the version of "
            "Relentless that wrote it, or another folder"
        )
    if connection.reserve_bytes("main") == CHECKSUM_BYTES and _checksums() is None:
        raise StorageError(
            f"{path} has page checksums, which this build of apsw cannot keep; install apsw's wheel"
        )


@cache
def _checksums() -> str | None:
    """Give the name of the checksum VFS, registering it once; None where apsw comes without it."""
    if apsw.sqlite_extra.has("cksumvfs") is None:
        return None
    with closing(apsw.Connection(":memory:")) as any_connection:
        apsw.sqlite_extra.load(any_connection, "cksumvfs")
    return "cksmvfs"


def _is_empty(connection: apsw.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None
