"""Nothing known later is ever served: every later value is poisoned, and no byte changes."""

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from relentless.configs.clock import EASTERN
from relentless.configs.releases import SERIES, ReleaseTable

MakeBox = Callable[..., Any]
AS_OF = datetime(2013, 10, 7, 9, 25, tzinfo=EASTERN)
POISON = "66.6"
RELEASES = ReleaseTable.load()
LEAKS = (
    "display_title_final",
    "n_versions",
    "last_version",
    "last_date",
    "last_action_date",
    "last_action",
    "became_law_date",
)
DATED = (
    "signed_date",
    "vetoed_date",
    "passed_house_date",
    "passed_senate_date",
    "presented_date",
)


@pytest.fixture(scope="module")
def poisoned(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the recordings in which everything known after the moment is wrong."""
    folder: Path = tmp_path_factory.mktemp("poisoned")
    (folder / "fred" / "csv").mkdir(parents=True)
    (folder / "congress").mkdir()
    changed = 0
    for series_id in SERIES:
        for path in sorted((recordings / "fred" / "csv").glob(f"{series_id}*.csv")):
            lines = list(csv.reader(path.read_text().splitlines()))
            for row in lines[1:]:
                if RELEASES.known_at(series_id, date.fromisoformat(row[0])) > AS_OF:
                    row[1] = POISON
                    changed += 1
            (folder / "fred" / "csv" / path.name).write_text(
                "".join(f"{','.join(row)}\n" for row in lines)
            )
    assert changed > 10_000
    raw = gzip.decompress((recordings / "congress" / "bills_113.csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(io.StringIO(raw)))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(poison_bill(row) for row in rows)
    (folder / "congress" / "bills_113.csv.gz").write_bytes(
        gzip.compress(text.getvalue().encode(), 1)
    )
    return folder


def poison_bill(row: dict[str, str]) -> dict[str, str]:
    """Spoil what the row says of the time from the day on."""
    today = AS_OF.date().isoformat()
    row = row | dict.fromkeys(LEAKS, "poison")
    if row["first_date"] >= today:
        spoiled = dict.fromkeys(row, "poison")
        kept = {"congress", "type", "number", "first_date"}
        numbers = dict.fromkeys(("cosponsors_first", "cosp_D_first", "cosp_R_first"), "77")
        return spoiled | numbers | {name: row[name] for name in kept}
    if not row["signed_date"] or row["signed_date"] >= today:
        row["public_law"] = "113-666"
    for name in DATED:
        if not row[name] or row[name] >= today:
            row[name] = "2013-10-08"
    versions = [entry for entry in row["versions"].split("|") if entry.split("@")[1] < today]
    return row | {"versions": "|".join([*versions, "Enrolled Bill (enr)@2013-10-08", "x@not"])}


def requests() -> Iterator[str]:
    fred = "api_key=00000000000000000000000000000000&file_type=json"
    for series_id in SERIES:
        query = f"{fred}&series_id={series_id}"
        yield f"/fred/series/observations?{query}&observation_start=2012-06-01"
        yield f"/fred/series/observations?{query}&realtime_end=9999-12-31&limit=50&sort_order=desc"
        yield f"/fred/series?{query}"
    yield f"/fred/series/observations?{fred}&series_id=T10YIE"
    for series_id in ("DGS10", "UNRATE", "DTWEXBGS", "VIXCLS"):
        yield f"/fred/series/vintagedates?{fred}&series_id={series_id}&sort_order=desc&limit=500"
    for release in (10, 50):
        yield f"/fred/release/dates?{fred}&release_id={release}"
    for offset in range(0, 6_000, 250):
        yield f"/v3/bill?api_key=k&format=json&limit=250&offset={offset}"
    bills = [("hjres", n) for n in range(59, 90)] + [("hr", n) for n in (1, 2775, 3223, 1036, 1071)]
    for kind, number in bills:
        for part in ("", "/actions", "/committees", "/cosponsors"):
            yield f"/v3/bill/113/{kind}/{number}{part}?api_key=k&format=json"


async def test_poison_in_every_later_value_changes_no_byte(
    box: MakeBox, recordings: Path, poisoned: Path
) -> None:
    clean, spoiled = box("2013-10-07T09:25", recordings), box("2013-10-07T09:25", poisoned)
    asked = 0
    for path in requests():
        ours, theirs = await clean.get(path), await spoiled.get(path)
        assert ours.status_code == theirs.status_code, path
        assert ours.content == theirs.content, path
        asked += ours.status_code == 200
    assert asked > 200


async def test_the_poison_is_there_to_be_seen_once_its_time_has_come(
    box: MakeBox, poisoned: Path
) -> None:
    spoiled = box("2013-10-08T17:00", poisoned)
    assert (await spoiled.values("DGS10"))["2013-10-07"] == "66.60"
    spoiled.at("2013-10-09T00:00")
    body = await spoiled.congress("bill/113/hjres/59")
    assert body["bill"]["latestAction"]["text"] == "Became Public Law No: 113-666."


async def test_the_shipped_day_has_nothing_left_to_leak(box: MakeBox) -> None:
    """Years later the shipped day still serves what it holds: nothing known after it."""
    later = box("2024-01-02T12:00")
    for series_id in SERIES:
        for day in await later.values(series_id):
            known_at = RELEASES.known_at(series_id, date.fromisoformat(day))
            assert known_at.astimezone(EASTERN).date() <= date(2013, 10, 7)
    body = await later.congress("bill", limit=1)
    assert body["bills"][0]["latestAction"]["actionDate"] <= "2013-10-06"
    assert "laws" not in (await later.congress("bill/113/hjres/59"))["bill"]
