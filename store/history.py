"""History: what was known when, as Parquet for each closed day, read back as of a moment.

``<root>/<dataset>/date=YYYY-MM-DD/part.parquet`` with the datasets ``messages`` and ``contexts``.
A file is written under another name, synced and renamed, so a reader in any process sees a whole
day or none; to close a day again replaces it. DuckDB writes and reads the files in memory (no
database file, so nothing is locked) and is imported on first use. Everything here blocks: call it
from a thread where an event loop runs.

Times are nanoseconds since the Unix epoch here and ``TIMESTAMP_NS`` in UTC in the files. Bodies are
the JSON that the journal holds. The journal stays the record; this is made from it and read for
training, replays and reports.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from relentless.configs.clock import to_ns
from relentless.proto.daily import DailyContext
from relentless.proto.errors import InvalidInput, StorageError
from relentless.proto.messages import ContextMessage
from relentless.store.parquet import Column, query, read_json, write
from relentless.store.ports import Entry

PART = "part.parquet"

MESSAGES = (
    Column("sequence", "BIGINT"),
    Column("kind", "VARCHAR"),
    Column("topic", "VARCHAR"),
    Column("principal", "VARCHAR"),
    Column("target", "VARCHAR"),
    Column("key", "VARCHAR"),
    Column("known_at", "TIMESTAMP_NS"),
    Column("observed_at", "TIMESTAMP_NS"),
    Column("received_at", "TIMESTAMP_NS"),
    Column("digest", "VARCHAR"),
    Column("body", "VARCHAR"),
)
CONTEXTS = (
    Column("head", "BIGINT"),
    Column("context_id", "VARCHAR"),
    Column("trading_date", "DATE"),
    Column("as_of", "TIMESTAMP_NS"),
    Column("known_at", "TIMESTAMP_NS"),
    Column("body", "VARCHAR"),
)


@dataclass(frozen=True, slots=True)
class PastMessage:
    """A message as history holds it; times in ns, ``observed_at_ns`` None where it has none."""

    sequence: int
    topic: str
    principal: str
    target: str
    key: str
    known_at_ns: int
    observed_at_ns: int | None
    received_at_ns: int
    digest: str
    body: bytes

    def message(self) -> ContextMessage:
        """Give the message itself.

        Raises:
            InvalidMessage: the body is not one.
        """
        return ContextMessage.parse(read_json(self.body))


class History:
    """The Parquet files under ``root``; any number of these may read and close days at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def close_day(
        self, day: date, messages: Sequence[Entry], contexts: Sequence[DailyContext]
    ) -> tuple[Path, Path]:
        """Write one day's files and give their paths. The same rows give the same bytes.

        Raises:
            InvalidInput: a body is not UTF-8 text.
            StorageError: the files cannot be written.
        """
        ordered = sorted(messages, key=lambda entry: entry.sequence)
        built = sorted(contexts, key=lambda context: (context.as_of, context.head))
        return (
            write(self._part("messages", day), MESSAGES, [_message_row(each) for each in ordered]),
            write(self._part("contexts", day), CONTEXTS, [_context_row(each) for each in built]),
        )

    def days(self) -> list[date]:
        """Give the closed days, oldest first."""
        folders = (self.root / "messages").glob(f"date=*/{PART}")
        return sorted(
            date.fromisoformat(path.parent.name.removeprefix("date=")) for path in folders
        )

    def messages_as_of(
        self,
        as_of: datetime,
        *,
        topic: str | None = None,
        up_to: int | None = None,
    ) -> list[PastMessage]:
        """Give the messages that were known at ``as_of``, by sequence.

        ``up_to`` also leaves out what the journal received after that sequence: a fold's head.

        Raises:
            StorageError: a file cannot be read.
        """
        rows = self._query(
            "messages",
            """
            SELECT sequence, topic, principal, target, key, epoch_ns(known_at),
                   epoch_ns(observed_at), epoch_ns(received_at), digest, encode(body)
            FROM %s
            WHERE known_at <= make_timestamp_ns($as_of)
              AND ($topic IS NULL OR topic = $topic)
              AND ($up_to IS NULL OR sequence <= $up_to)
            ORDER BY sequence
            """,
            {"as_of": to_ns(as_of), "topic": topic, "up_to": up_to},
        )
        return [PastMessage(*row) for row in rows]

    def context_as_of(self, as_of: datetime) -> DailyContext | None:
        """Give the newest context that was known at ``as_of``; see :meth:`contexts_as_of`."""
        return self.contexts_as_of([as_of])[0]

    def contexts_as_of(self, moments: Sequence[datetime]) -> list[DailyContext | None]:
        """Give, for each moment, the newest context that was known then, by one as-of join.

        A context is known at its ``as_of``, or when the latest value in it was known, should that
        be later: what claims to be old but holds something newer is never given too early.

        Raises:
            StorageError: a file cannot be read.
        """
        if not moments:
            return []
        rows = self._query(
            "contexts",
            """
            WITH asked AS (
                SELECT unnest(range($count)) AS place,
                       make_timestamp_ns(unnest($moments::BIGINT[])) AS moment
            ),
            newest AS (
                SELECT known_at, arg_max(body, (as_of, head)) AS body FROM %s GROUP BY known_at
            )
            SELECT place, body FROM asked ASOF JOIN newest ON asked.moment >= newest.known_at
            """,
            {"count": len(moments), "moments": [to_ns(moment) for moment in moments]},
        )
        found = dict(rows)
        parsed = {body: _read_context(body) for body in set(found.values())}
        return [parsed[found[place]] if place in found else None for place in range(len(moments))]

    def _part(self, dataset: str, day: date) -> Path:
        return self.root / dataset / f"date={day.isoformat()}" / PART

    def _query(self, dataset: str, statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        return query(sorted((self.root / dataset).glob(f"date=*/{PART}")), statement, values)


def _message_row(entry: Entry) -> tuple[Any, ...]:
    try:
        body = entry.body.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"entry {entry.sequence} is not text: keep messages only") from error
    return (
        entry.sequence,
        entry.kind.value,
        entry.topic,
        entry.principal,
        entry.target,
        entry.key,
        entry.known_at_ns,
        _observed_at_ns(body),
        entry.received_at_ns,
        entry.digest,
        body,
    )


def _observed_at_ns(body: str) -> int | None:
    """Give a message's ``observed_at``; None where the body has none."""
    try:
        value = read_json(body)["observed_at"]
        return to_ns(datetime.fromisoformat(value))
    except (KeyError, TypeError, ValueError):
        return None


def _context_row(context: DailyContext) -> tuple[Any, ...]:
    known = [each.known_at for each in context.provenance.values() if each.known_at is not None]
    return (
        context.head,
        context.context_id,
        context.trading_date,
        to_ns(context.as_of),
        to_ns(max([context.as_of, *known])),
        context.canonical_bytes().decode(),
    )


def _read_context(body: str) -> DailyContext:
    try:
        return DailyContext.model_validate_json(body)
    except ValueError as error:
        raise StorageError(
            "history holds a context that is not one; close that day again from the journal"
        ) from error
