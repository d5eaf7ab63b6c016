"""The recorded day in process: sandbox, agents and fold against values worked out independently.

And the same day again with everything that was known later poisoned, in the files and on the wire.
"""

import csv
import gzip
import json
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import httpx
import pytest

from relentless.agents.base import Run
from relentless.agents.congress import CongressAgent
from relentless.agents.fred import FredAgent
from relentless.agents.http import Upstream
from relentless.configs.clock import EASTERN, ManualClock
from relentless.configs.freshness import load
from relentless.configs.settings import Settings, SourceSettings, SourcesSettings
from relentless.models.fold import fold
from relentless.sandbox.server import build

SCRIPT = Path(__file__).with_name("golden_20131007.py")
DAY = (
    *(("05:10", "congress"), ("05:15", "fred"), ("05:30", "fold"), ("06:00", "congress")),
    *(("08:00", "fred"), ("08:05", "fold"), ("09:20", "fred"), ("09:25", "fold")),
)
EARLY = DAY[:3]
TITLE, FINAL = "official_title_first_version", "Appropriations, tax and securities of the future"


def eastern(day, at):
    return datetime.fromisoformat(f"{day}T{at}").replace(tzinfo=EASTERN)


async def play(recordings, state, steps=DAY, sandbox_day=None):
    """Play the day's steps; give the contexts, oldest first.

    ``sandbox_day``: the upstream services stand at that later day, not at the run's moment.
    """
    source = SourceSettings(url="http://sandbox.test", rate_per_min=600_000, origin="recorded")
    sources = SourcesSettings.every(source)
    settings = Settings(sources=sources, recordings=recordings)
    clock = ManualClock(eastern("2013-10-07", "05:00"))
    app = build(settings, clock)
    agents = {"congress": CongressAgent(), "fred": FredAgent()}
    journal, contexts, rules = {}, [], load()
    async with Upstream(state / "raw", transport=httpx.ASGITransport(app)) as upstream:
        for at, what in steps:
            moment = eastern("2013-10-07", at)
            clock.move_to(eastern(sandbox_day, "12:00") if sandbox_day else moment)
            if what == "fold":
                messages = [(n, message) for n, message in enumerate(journal.values(), start=1)]
                day, head = date(2013, 10, 7), len(messages)
                contexts.append(
                    fold(messages, as_of=moment, trading_date=day, head=head, rules=rules)
                )
                continue
            folder = state / what
            folder.mkdir(parents=True, exist_ok=True)
            collected = await agents[what].collect(Run(moment, upstream, clock, folder, settings))
            assert not collected.gaps
            for message in collected.messages:
                journal.setdefault(message.message_id, message)
    return contexts


@pytest.fixture(scope="module")
def played():
    """The contexts of the untouched day, once they are worked out."""
    return {}


@pytest.fixture
async def contexts(recordings, tmp_path, played):
    if not played:
        played["contexts"] = await play(recordings, tmp_path)
    return played["contexts"]


def hold(recordings, path, dumps):
    """Run the independent script over dumped contexts."""
    path.write_text(json.dumps(dumps))
    command = [sys.executable, SCRIPT, "--recordings", recordings, "--check", path]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.promise("P4")
async def test_the_recorded_day_equals_the_golden_contexts(recordings, contexts, tmp_path):
    assert len({context.context_id for context in contexts}) == 3
    dumps = [context.model_dump(mode="json") for context in contexts]
    result = hold(recordings, tmp_path / "contexts.json", dumps)
    assert result.returncode == 0, result.stdout + result.stderr


async def test_the_script_finds_what_is_wrong(recordings, contexts, tmp_path):
    dumps = [context.model_dump(mode="json") for context in contexts]
    early, middle, late = dumps
    early["provenance"]["vix"]["value"] = 16.74
    early["pending_bills"][0], early["pending_bills"][1] = early["pending_bills"][1::-1]
    middle["credit_spread"] = None
    middle["provenance"]["fed_funds_rate"]["known_at"] = "2013-10-07T20:15:00Z"
    late["as_of"] = "2013-10-07T13:26:00Z"
    result = hold(recordings, tmp_path / "contexts.json", dumps)
    assert result.returncode == 1
    for said in (
        "05:30 vix.value",
        "05:30 pending_bills",
        "05:30 vix: the context states",
        "08:05 credit_spread: the context states None",
        "08:05 fed_funds_rate: known at",
        "09:25: no such context",
    ):
        assert said in result.stdout


def poison_fred(recordings, folder):
    """Copy the series; every value that was not known at 05:30 becomes 77.7."""
    first_unknown = {"DTWEXBGS": "2013-09-30", "UNRATE": "2013-09-01"}
    first_unknown |= {"CPIAUCSL": "2013-09-01", "CPILFESL": "2013-09-01"}
    folder.mkdir(parents=True)
    for path in (recordings / "fred" / "csv").glob("*.csv"):
        unknown = first_unknown.get(path.stem, "2013-10-04")
        lines = path.read_text().splitlines()
        kept = [line if line < unknown else f"{line[:10]},77.7" for line in lines[1:]]
        (folder / path.name).write_text("\n".join([lines[0], *kept, ""]))


def poison_bills(recordings, folder):
    """Copy the bills; what was not known on the 6th says the worst, dates included."""
    folder.mkdir(parents=True)
    with gzip.open(recordings / "congress" / "bills_113.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    with gzip.open(folder / "bills_113.csv.gz", "wt", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(_poisoned(row) for row in rows)


def _poisoned(row):
    last, worst = "2013-10-06", "2013-10-08"
    row |= {"display_title_final": FINAL, "last_action": FINAL, "n_versions": "99"}
    if row["first_date"] > last:
        row |= {TITLE: FINAL, "first_date": worst, "versions": f"Introduced in House (ih)@{worst}"}
    for column in ("passed_house_date", "passed_senate_date", "presented_date", "signed_date"):
        if not row[column] or row[column] > last:
            row[column] = worst
    known = [v for v in row["versions"].split("|") if "2013" <= v.rpartition("@")[2] <= last]
    row["versions"] = "|".join([*known, f"Enrolled Bill (enr)@{worst}"])
    return row


@pytest.mark.promise("P4")
async def test_what_the_files_say_of_later_changes_no_byte(recordings, contexts, tmp_path):
    poison_fred(recordings, tmp_path / "data" / "fred" / "csv")
    poison_bills(recordings, tmp_path / "data" / "congress")
    (early,) = await play(tmp_path / "data", tmp_path / "state", EARLY)
    assert early.canonical_bytes() == contexts[0].canonical_bytes()


@pytest.mark.promise("P4")
async def test_services_that_stand_two_weeks_later_change_no_byte(recordings, contexts, tmp_path):
    (early,) = await play(recordings, tmp_path, EARLY, sandbox_day="2013-10-19")
    assert early.canonical_bytes() == contexts[0].canonical_bytes()
