"""Parquet files by DuckDB, in memory: typed rows in, one whole file out, and queries over many.

Knows nothing of what the rows mean; :mod:`relentless.store.history` does.
"""

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relentless.proto.errors import StorageError
from relentless.store.lock import make_folder, sync_folder

if TYPE_CHECKING:
    import duckdb


FILES = "read_parquet($files, union_by_name = true)"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name and its type in DuckDB; ``TIMESTAMP_NS`` is given as ns since the epoch."""

    name: str
    type: str

    def unnested(self) -> str:
        """Give the expression that turns this column's list parameter into rows."""
        if self.type == "TIMESTAMP_NS":
            return f"make_timestamp_ns(unnest(${self.name}::BIGINT[])) AS {self.name}"
        return f"unnest(${self.name}::{self.type}[]) AS {self.name}"


def write(path: Path, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Path:
    """Put ``rows`` into the file at ``path``, replacing it as a whole, durably; give the path.

    Raises:
        StorageError: the file cannot be written; the one that was there stays.
    """
    lists = {column.name: [row[place] for row in rows] for place, column in enumerate(columns)}
    selected = ", ".join(column.unnested() for column in columns)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        make_folder(path.parent)
        with _database() as database:
            database.execute(f"CREATE TEMP TABLE day AS SELECT {selected}", lists)
            target = str(temporary).replace("'", "''")
            database.execute(f"COPY day TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
        _sync(temporary)
        temporary.rename(path)
        sync_folder(path.parent)
    except (_duckdb().Error, OSError) as error:
        with suppress(OSError):
            temporary.unlink()
        raise StorageError(
            f"{path} cannot be written ({error}); see that there is space"
        ) from error
    return path


def query(files: Sequence[Path], statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run ``statement``, whose ``%s`` is the table of all the rows; no files, no rows.

    Raises:
        StorageError: a file is damaged or gone.
    """
    if not files:
        return []
    try:
        with _database() as database:
            listed = [str(path) for path in files]
            return database.execute(statement % FILES, {"files": listed, **values}).fetchall()
    except (_duckdb().Error, OSError) as error:
        raise StorageError(
            f"history cannot be read ({error}); close the damaged day again from the journal"
        ) from error


def read_json(text: str | bytes) -> Any:
    """Decode JSON.

    Raises:
        ValueError: it is none.
    """
    return json.loads(text)


def _database() -> "duckdb.DuckDBPyConnection":
    """Give a connection of this call's own to the one in-memory database of the process."""
    connection: duckdb.DuckDBPyConnection = _shared().cursor()
    return connection


@cache
def _shared() -> Any:
    return _duckdb().connect(config={"threads": 2})


def _duckdb() -> Any:
    """Import DuckDB on first use: most processes never read history, and it costs them 57 MB."""
    import duckdb

    return duckdb


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
