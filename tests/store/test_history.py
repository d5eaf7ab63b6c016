"""History: closed days as Parquet, and reads as of a moment that see nothing of its future."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from relentless.configs.clock import to_ns
from relentless.proto.base import canonical_json
from relentless.proto.contexts import Topic
from relentless.proto.daily import DailyContext, FeatureProvenance
from relentless.proto.errors import InvalidInput, StorageError
from relentless.proto.messages import ContextMessage
from relentless.store.history import History
from relentless.store.ports import Entry, Kind

DAY = date(2013, 10, 7)
AS_OF = datetime(2013, 10, 7, 9, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def entry(
    sequence: int, known_at: datetime, value: float = 2.65, topic: Topic = Topic.RATES
) -> Entry:
    if topic is Topic.RATES:
        content = {"series_id": "DGS10", "value": value}
    else:
        content = {"text": "it's « noted »"}
    message = ContextMessage(
        timestamp=known_at,
        source_agent="FredAgent",
        topic=topic,
        message_id=f"m{sequence}",
        observed_at=datetime(2013, 10, 4, tzinfo=UTC),
        known_at=known_at,
        context=content,
    )
    return Entry(
        sequence=sequence,
        kind=Kind.MESSAGE,
        body=canonical_json(message.model_dump(mode="json", exclude_unset=True)),
        key=f"m{sequence}",
        principal="FredAgent",
        topic=topic.value,
        target="*",
        known_at_ns=to_ns(known_at),
        received_at_ns=to_ns(known_at) + 1,
        digest=message.content_digest(),
        chain=bytes(32),
    )


def context(
    number: int, as_of: datetime, rate: float = 0.08, known_at: datetime | None = None
) -> DailyContext:
    return DailyContext(
        fed_funds_rate=rate,
        as_of=as_of,
        trading_date=DAY,
        context_id=f"{number:064x}",
        fold_version=1,
        head=number,
        provenance={"fed_funds_rate": FeatureProvenance(value=rate, known_at=known_at or as_of)},
    )


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "it's history")


def test_a_closed_day_comes_back_as_it_was(history: History) -> None:
    messages = [entry(2, AS_OF, topic=Topic.NOTE), entry(1, AS_OF - MINUTE)]
    paths = history.close_day(DAY, messages, [context(1, AS_OF)])
    assert [str(path.relative_to(history.root)) for path in paths] == [
        "messages/date=2013-10-07/part.parquet",
        "contexts/date=2013-10-07/part.parquet",
    ]
    found = history.messages_as_of(AS_OF)
    assert [each.sequence for each in found] == [1, 2]
    for past, given in zip(found, sorted(messages, key=lambda each: each.sequence), strict=True):
        for name in ("topic", "principal", "target", "key", "digest", "body"):
            assert getattr(past, name) == getattr(given, name)
        assert (past.known_at_ns, past.received_at_ns) == (given.known_at_ns, given.received_at_ns)
        assert past.observed_at_ns == to_ns(datetime(2013, 10, 4, tzinfo=UTC))
        assert past.message().content_digest() == given.digest
    assert history.context_as_of(AS_OF) == context(1, AS_OF)
    assert history.days() == [DAY]


def test_nothing_known_later_is_returned_whatever_the_future_holds(history: History) -> None:
    messages = [entry(number, AS_OF - number * MINUTE) for number in range(1, 6)]
    contexts = [context(1, AS_OF - 2 * MINUTE), context(2, AS_OF)]
    history.close_day(DAY, messages, contexts)
    before = history.messages_as_of(AS_OF), history.context_as_of(AS_OF)

    poison = [entry(number, AS_OF + MINUTE, value=999.0) for number in range(6, 12)]
    later = [
        context(3, AS_OF + MINUTE, rate=999.0),
        # Claims to be old and holds a value that was known later.
        context(4, AS_OF, rate=999.0, known_at=AS_OF + timedelta(microseconds=1)),
    ]
    history.close_day(DAY, [*messages, *poison], [*contexts, *later])
    history.close_day(DAY + timedelta(days=1), poison, later)
    assert (history.messages_as_of(AS_OF), history.context_as_of(AS_OF)) == before
    assert history.context_as_of(AS_OF + MINUTE).fed_funds_rate == 999.0


def test_an_as_of_join_gives_each_moment_its_own_newest_context(history: History) -> None:
    assert history.contexts_as_of([AS_OF, AS_OF]) == [None, None]
    days = [DAY + timedelta(days=number) for number in range(3)]
    built = [context(number, AS_OF + timedelta(days=number)) for number in range(3)]
    for day, each in zip(days, built, strict=True):
        history.close_day(day, [], [each])
    moments = [
        AS_OF + timedelta(days=1, hours=1),
        AS_OF - MINUTE,
        AS_OF,
        AS_OF + timedelta(days=400),
        AS_OF,
    ]
    assert history.contexts_as_of(moments) == [built[1], None, built[0], built[2], built[0]]
    assert history.contexts_as_of([]) == []


def test_among_contexts_of_one_moment_the_one_that_read_furthest_counts(history: History) -> None:
    history.close_day(DAY, [], [context(2, AS_OF), context(9, AS_OF), context(5, AS_OF)])
    assert history.context_as_of(AS_OF) == context(9, AS_OF)


def test_messages_are_kept_apart_by_topic_and_by_head(history: History) -> None:
    topics = (Topic.RATES, Topic.NOTE, Topic.RATES)
    history.close_day(
        DAY, [entry(number, AS_OF, topic=topic) for number, topic in enumerate(topics, 1)], []
    )
    rates = history.messages_as_of(AS_OF, topic="rates")
    assert [each.sequence for each in rates] == [1, 3]
    assert [each.sequence for each in history.messages_as_of(AS_OF, up_to=2)] == [1, 2]


def test_the_same_rows_give_the_same_bytes_in_any_order(history: History) -> None:
    messages = [entry(number, AS_OF) for number in range(1, 30)]
    contexts = [context(number, AS_OF) for number in range(3)]
    first = [path.read_bytes() for path in history.close_day(DAY, messages, contexts)]
    again = history.close_day(DAY, messages[::-1], contexts[::-1])
    assert [path.read_bytes() for path in again] == first


def test_a_day_that_cannot_be_written_leaves_the_one_that_was_there(history: History) -> None:
    history.close_day(DAY, [entry(1, AS_OF)], [])
    binary = Entry(**{**{n: getattr(entry(2, AS_OF), n) for n in Entry.__slots__}, "body": b"\xff"})
    with pytest.raises(InvalidInput, match="entry 2"):
        history.close_day(DAY, [binary], [])
    blocked = History(history.root / "file")
    (history.root / "file").write_text("not a folder")
    with pytest.raises(StorageError, match="cannot be written"):
        blocked.close_day(DAY, [], [])
    assert len(history.messages_as_of(AS_OF)) == 1
    left = [path.name for path in history.root.rglob("*") if path.name.startswith(".")]
    assert left == []


def test_a_damaged_file_is_a_loud_error(history: History) -> None:
    path, _ = history.close_day(DAY, [entry(1, AS_OF)], [])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StorageError, match="close the damaged day again"):
        history.messages_as_of(AS_OF)


def test_another_process_reads_what_this_one_closed(history: History) -> None:
    history.close_day(DAY, [entry(1, AS_OF)], [context(1, AS_OF)])
    program = (
        "import sys, pathlib, datetime\n"
        "from relentless.store.history import History\n"
        "history = History(pathlib.Path(sys.argv[1]))\n"
        "assert 'duckdb' not in sys.modules, 'imported before it is used'\n"
        "moment = datetime.datetime.fromisoformat(sys.argv[2])\n"
        "print(len(history.messages_as_of(moment)), history.context_as_of(moment).context_id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(history.root), AS_OF.isoformat()],
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ),
    )
    assert done.stdout.split() == ["1", f"{1:064x}"], done.stderr
