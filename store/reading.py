"""Reading the journal: pages of entries by index, each checked against its chain as it is read.

Used by the journal's read threads and by recovery; nothing here writes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import apsw

from relentless.proto.errors import InvalidInput, JournalBusy, StorageError
from relentless.store.chain import GENESIS, Row, check, damaged
from relentless.store.ports import Entry, Head, Kind
from relentless.store.schema import COLUMNS

MAX_LIMIT = 100_000
MAX_SEQUENCE = 2**63 - 1
KINDS = {kind.value: kind for kind in Kind}

_PAGE = f"""
SELECT {", ".join("e." + name for name in COLUMNS.split(", "))}, before.chain
FROM (%s) AS found LEFT JOIN entries AS e ON e.sequence = found.sequence
LEFT JOIN entries AS before ON before.sequence = found.sequence - 1
"""  # noqa: S608 - built from constants

_INDEXED = {
    "entries_key": ("principal", "key"),
    "entries_kind": (),
    "entries_topic": ("topic",),
    "entries_target": ("target",),
    "entries_principal": ("principal",),
}
"""Every index, and what it holds beside the kind; all but the kind's leave out "" of the last."""


@dataclass(frozen=True, slots=True)
class Query:
    """What :meth:`relentless.store.ports.Journal.read` was asked for."""

    kind: Kind
    topic: str | None = None
    targets: tuple[str, ...] | None = None
    principal: str | None = None
    after: int = 0
    up_to: int | None = None
    known_by_ns: int | None = None
    limit: int = 100
    newest_first: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InvalidInput(f"limit is 1 to {MAX_LIMIT:,}; read on from the last sequence")
        if not 0 <= self.after <= MAX_SEQUENCE:
            raise InvalidInput("after is no sequence number; read on from the last sequence")

    def asks_for(self, row: Row) -> bool:
        """Say whether a row is one of those that are asked for."""
        return (
            row.kind == self.kind
            and self.topic in (None, row.topic)
            and self.principal in (None, row.principal)
            and (self.targets is None or row.target in self.targets)
        )


def read_page(connection: apsw.Connection, query: Query, path: str) -> list[Entry]:
    """Give the entries that ``query`` asks for, in its order.

    Raises:
        JournalDamaged: an entry does not hold against its chain.
    """
    if query.targets is not None and not query.targets:
        return []
    statement, values = _select(query)
    entries = []
    for *columns, before in connection.execute(_PAGE % statement, values):
        row = Row(*columns)
        if row.sequence is None or not query.asks_for(row):
            raise damaged(path, "an index names an entry that is not there, or is another")
        check(row, GENESIS if row.sequence == 1 else before, path)
        entries.append(as_entry(row))
    entries.sort(key=lambda entry: entry.sequence, reverse=query.newest_first)
    return entries


def read_head(connection: apsw.Connection, path: str) -> Head:
    """Give the newest entry; sequence 0 in an empty journal."""
    newest = "SELECT sequence, chain FROM entries ORDER BY sequence DESC LIMIT 1"
    return _one_head(connection.execute(newest).fetchone(), path)


def read_mark(connection: apsw.Connection, path: str) -> Head:
    """Give the entry up to which the chain was checked before; sequence 0 where none was."""
    return _one_head(connection.execute("SELECT sequence, chain FROM checkpoint").fetchone(), path)


def _one_head(found: tuple[Any, ...] | None, path: str) -> Head:
    match found:
        case None:
            return Head(0, GENESIS)
        case (int(sequence), bytes(chain)):
            return Head(sequence, chain)
        case _:
            raise damaged(path, "a row does not hold what was written")


def read_chain(connection: apsw.Connection, sequence: int) -> bytes | None:
    """Give the chain value at ``sequence``; None where there is no such entry."""
    if sequence == 0:
        return GENESIS
    found = connection.execute("SELECT chain FROM entries WHERE sequence = ?", (sequence,))
    chain: bytes | None = found.get
    return chain


def verify_from(connection: apsw.Connection, start: Head, path: str) -> Head:
    """Follow the chain from ``start`` to the newest entry and give that. O(entries followed).

    Raises:
        JournalDamaged: a link does not hold, or a sequence is missing.
    """
    sequence, before = start.sequence, start.chain
    rows = f"SELECT {COLUMNS} FROM entries WHERE sequence > ? ORDER BY sequence"  # noqa: S608
    for columns in connection.execute(rows, (sequence,)):
        row = Row(*columns)
        if row.sequence != sequence + 1:
            raise damaged(path, f"entry {sequence + 1} is missing")
        check(row, before, path)
        sequence, before = row.sequence, row.chain
    return Head(sequence, before)


def verify_all(connection: apsw.Connection, path: str) -> Head:
    """Check pages, tables, indexes and the whole chain, and give the newest entry. O(entries).

    Raises:
        JournalDamaged: something does not hold.
    """
    says = connection.pragma("integrity_check")
    if says != "ok":
        raise damaged(path, f"SQLite finds it inconsistent ({says})")
    return verify_from(connection, Head(0, GENESIS), path)


def check_indexes(connection: apsw.Connection, after: int, path: str) -> None:
    """Do nothing where every index holds every entry after a sequence number. O(such entries).

    A page's checksum says that it was written so, not where: one of an older day, or of another
    journal, would have a read pass over entries without a word.

    Raises:
        JournalDamaged: an index does not hold an entry.
    """
    for index, columns in _INDEXED.items():
        there = f"AND i.{columns[-1]} <> ''" if columns else ""
        wanted = f"AND e.{columns[-1]} <> ''" if columns else ""
        same = " ".join(f"AND i.{name} = e.{name}" for name in columns)
        missing = connection.execute(
            f"SELECT e.sequence FROM entries AS e NOT INDEXED WHERE e.sequence > ? {wanted} "  # noqa: S608
            f"AND NOT EXISTS (SELECT 1 FROM entries AS i INDEXED BY {index} "
            f"WHERE i.kind = e.kind {same} AND i.sequence = e.sequence {there}) LIMIT 1",
            (after,),
        ).get
        if missing is not None:
            raise damaged(path, f"the index {index} does not hold entry {missing}")


@contextmanager
def typed_errors(path: str) -> Iterator[None]:
    """Turn what SQLite says into the project's errors.

    Our statements are constants: one that SQLite cannot run means a file that we did not write.

    Raises:
        JournalBusy: locked, out of space or of descriptors.
        StorageError: the device failed.
        JournalDamaged: anything else.
    """
    try:
        yield
    except (apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.CantOpenError) as error:
        raise JournalBusy(f"{path} cannot be used now ({error}); free it, then retry") from error
    except (apsw.IOError, apsw.NoMemError) as error:
        if is_checksum_fault(error):
            raise damaged(path, "a page does not hold against its checksum") from error
        raise StorageError(f"{path}: reading failed ({error}); look at the device") from error
    except (apsw.Error, UnicodeDecodeError) as error:
        raise damaged(path, f"SQLite cannot read it ({error})") from error


def extended(error: BaseException) -> int:
    """Give SQLite's extended result code; 0 where the error is not SQLite's."""
    return int(getattr(error, "extendedresult", 0))


def is_checksum_fault(error: BaseException) -> bool:
    """Say whether the checksum VFS found a page that is not what was written."""
    return extended(error) == apsw.SQLITE_IOERR_DATA


def as_entry(row: Row) -> Entry:
    """Give a checked row as the contract's entry."""
    return Entry(
        row.sequence,
        KINDS[row.kind],
        row.body,
        row.key,
        row.principal,
        row.topic,
        row.target,
        row.known_at_ns,
        row.received_at_ns,
        row.digest,
        row.chain,
    )


def _select(query: Query) -> tuple[str, dict[str, str | int]]:
    """Give the statement that finds the sequences of one page.

    A page for several targets is a union with one limited walk for each: a single walk with
    ``IN`` would have to sort everything that matches.
    """
    values: dict[str, str | int] = {
        "kind": query.kind.value,
        "after": query.after,
        "up_to": MAX_SEQUENCE if query.up_to is None else query.up_to,
        "limit": query.limit,
    }
    where = ["kind = :kind", "sequence > :after", "sequence <= :up_to"]
    if query.known_by_ns is not None:
        where.append("known_at_ns <= :known_by_ns")
        values["known_by_ns"] = query.known_by_ns
    index = "entries_kind"
    for name, wanted in (("principal", query.principal), ("topic", query.topic)):
        if wanted is not None:
            where.append(f"{name} = :{name}")
            values[name] = wanted
            if wanted:
                where.append(f"{name} <> ''")
                index = f"entries_{name}"
    if query.targets is None:
        return _walk(index, where, query.newest_first), values
    targets = list(dict.fromkeys(query.targets))
    values |= {f"target{number}": target for number, target in enumerate(targets)}
    if index != "entries_kind" or "" in targets:
        names = ", ".join(f":target{number}" for number in range(len(targets)))
        where.append(f"target IN ({names})")
        return _walk(index, where, query.newest_first), values
    walks = [
        _walk(
            "entries_target",
            [*where, f"target = :target{number}", "target <> ''"],
            query.newest_first,
        )
        for number in range(len(targets))
    ]
    return _union(walks, query.newest_first), values


def _walk(index: str, where: Sequence[str], newest_first: bool) -> str:
    order = "DESC" if newest_first else "ASC"
    return (
        f"SELECT sequence FROM entries INDEXED BY {index} "  # noqa: S608 - names from constants
        f"WHERE {' AND '.join(where)} ORDER BY sequence {order} LIMIT :limit"
    )


def _union(walks: Sequence[str], newest_first: bool) -> str:
    order = "DESC" if newest_first else "ASC"
    joined = " UNION ALL ".join(f"SELECT * FROM ({walk})" for walk in walks)  # noqa: S608
    return f"SELECT sequence FROM ({joined}) ORDER BY sequence {order} LIMIT :limit"  # noqa: S608
