"""Revised values: each is a fact of its own, known from the day on which FRED served it."""

import json
from datetime import date

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.agents.base import Run
from relentless.agents.fred import FredAgent
from relentless.agents.fred.observations import read_history, read_rows
from relentless.agents.http import Upstream
from relentless.configs.clock import EASTERN, ManualClock
from relentless.configs.releases import ReleaseTable
from relentless.proto.errors import SourceMalformed
from relentless.sandbox.generated import GeneratedLibrary
from relentless.sandbox.server import build

from .conftest import FAST, eastern, test_settings
from .fred_stub import page

RELEASES = ReleaseTable.load()
OPENS = date(1776, 7, 4)
RECORDED = {
    "obs_SP500.json": 2_609,
    "obs_T10YFF.json": None,
    "obs_GDP_all_vintages.json": 3_201,
    "obs_GDP_latest.json": None,
    "obs_GDP_initial_release_only_output_type4.json": 132,
    "obs_CPILFESL_rt2024-10-10.json": None,
    "obs_WGS10YR_rt2024-10-28.json": None,
    "obs_DPCREDIT.json": None,
    "obs_BAMLC0A0CMEY.json": 2,
}


def body(recordings, name):
    return json.loads((recordings / "fred" / name).read_bytes())


def gdp_known_at(day, vintage):
    return RELEASES.known_at("CPIAUCSL", day, vintage or day)


@pytest.mark.parametrize(
    ("as_of", "value"),
    [
        ("2009-01-30 08:29", None),
        ("2009-01-30 08:30", 14264.6),
        ("2009-02-26 23:00", 14264.6),
        ("2009-02-27 08:29", 14264.6),
        ("2009-02-27 08:30", 14200.3),
        ("2009-07-31 09:00", 14347.3),
        ("2010-07-30 09:00", 14191.2),
        ("2024-01-02 09:00", 14608.209),
    ],
)
def test_every_value_of_gdp_is_known_from_its_own_day(recordings, as_of, value):
    """The figures of the fourth quarter of 2008, read off the recorded answer by hand."""
    found = read_history(
        "GDP",
        body(recordings, "obs_GDP_all_vintages.json"),
        as_of=eastern(as_of),
        opens=OPENS,
        known_at=gdp_known_at,
    )
    assert dict(found.observations).get(date(2008, 10, 1)) == value
    assert found.known_at <= eastern(as_of)


def test_a_value_that_was_taken_back_is_missing_until_it_returns(recordings):
    """1946: 199.7 from December 1992, a point from January 1996, 210.4 from May 1997."""
    answer = body(recordings, "obs_GDP_all_vintages.json")
    seen = [
        dict(
            read_history(
                "GDP", answer, as_of=eastern(f"{day} 12:00"), opens=OPENS, known_at=gdp_known_at
            ).observations
        ).get(date(1946, 1, 1))
        for day in ("1995-06-01", "1996-06-01", "1998-06-01")
    ]
    assert seen == [199.7, None, 210.4]


def test_the_first_release_is_what_the_initial_releases_say(recordings):
    """FRED's own list of first releases (output type 4), against the first row of each date."""
    first = {}
    for row in read_rows("GDP", body(recordings, "obs_GDP_all_vintages.json"), opens=OPENS):
        first.setdefault(row.day, (row.vintage, row.value("GDP")))
    initial = body(recordings, "obs_GDP_initial_release_only_output_type4.json")["observations"]
    assert len(initial) == 132
    for row in initial:
        day = date.fromisoformat(row["date"])
        assert first[day] == (date.fromisoformat(row["realtime_start"]), float(row["value"]))


def test_vintages_are_fred_s_vintage_dates(recordings):
    stated = set(body(recordings, "vintagedates_GDP.json")["vintage_dates"])
    rows = read_rows("GDP", body(recordings, "obs_GDP_all_vintages.json"), opens=OPENS)
    assert {row.vintage.isoformat() for row in rows} <= stated


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_answer_is_read_whole(recordings, name):
    answer = body(recordings, name)
    rows = read_rows(name, answer, opens=date.fromisoformat(answer["realtime_start"]))
    assert len(rows) == answer["count"] == (RECORDED[name] or len(rows))
    points = sum(row["value"] == "." for row in answer["observations"])
    assert sum(row.value(name) is None for row in rows) == points


def test_a_border_of_the_period_is_no_vintage(recordings):
    """The recorded vintage of one day: each row bears the day that was asked for."""
    answer = body(recordings, "obs_CPILFESL_rt2024-10-10.json")
    rows = read_rows("CPILFESL", answer, opens=date(2024, 10, 10))
    assert {row.vintage for row in rows} == {None}


def test_recorded_errors_and_lists_without_observations_are_malformed(recordings):
    for name in ("empty_tags.json", "error_400_0.json", "series_SP500.json"):
        with pytest.raises(SourceMalformed):
            read_rows("X", body(recordings, name), opens=OPENS)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_spoiled_answer_is_malformed_or_read_and_nothing_else(data):
    rows = [
        {"realtime_start": "2013-09-06", "realtime_end": "9999-12-31", "date": d, "value": "7.3"}
        for d in ("2013-07-01", "2013-08-01")
    ]
    spot = data.draw(st.sampled_from(["realtime_start", "date", "value"]))
    junk = data.draw(st.none() | st.integers() | st.text(max_size=8) | st.lists(st.none()))
    rows[data.draw(st.integers(0, 1))][spot] = junk
    try:
        found = read_history(
            "UNRATE",
            {"count": 2, "observations": rows},
            as_of=eastern("2013-10-07 05:30"),
            opens=OPENS,
            known_at=lambda day, v: RELEASES.known_at("UNRATE", day, v),
        )
    except SourceMalformed:
        return
    assert all(isinstance(o.value, float) for o in found.observations)


def unrate(*rows):
    """Answer UNRATE with these (date, since, value), and the rest with nothing."""

    def handler(request):
        params = dict(request.url.params)
        if params["series_id"] != "UNRATE":
            return httpx.Response(500)
        answer = page({"UNRATE": []}, params).json()
        answer["observations"] = [
            {"realtime_start": since, "realtime_end": "9999-12-31", "date": day, "value": value}
            for day, since, value in rows
        ]
        answer["count"] = len(rows)
        return httpx.Response(200, json=answer)

    return handler


ROWS = (
    ("2013-06-01", "2013-07-05", "7.6"),
    ("2013-07-01", "2013-08-02", "7.4"),
    ("2013-08-01", "2013-09-06", "7.3"),
    ("2013-08-01", "2013-10-07", "7.2"),
)


async def one(make_run, rows, as_of):
    (message,) = (await FredAgent().collect(await make_run(unrate(*rows), as_of))).messages
    return message


async def test_a_revision_is_a_new_message_beside_the_old(make_run):
    before = await one(make_run, ROWS, "2013-10-07 08:29")
    after = await one(make_run, ROWS, "2013-10-07 08:30")
    assert (before.context["value"], after.context["value"]) == (7.3, 7.2)
    assert before.known_at == eastern("2013-09-06 08:30")
    assert after.known_at == eastern("2013-10-07 08:30")
    assert before.observed_at == after.observed_at == eastern("2013-08-01 00:00")
    assert before.message_id != after.message_id


async def test_a_revision_of_an_older_month_moves_known_at_too(make_run):
    rows = (*ROWS[:2], ("2013-07-01", "2013-09-20", "7.5"), ROWS[2])
    message = await one(make_run, rows, "2013-10-07 05:30")
    assert (message.context["value"], message.context["previous"]) == (7.3, 7.5)
    assert message.context["change_days"] == 31
    assert message.known_at == eastern("2013-09-20 08:30")
    earlier = await one(make_run, rows, "2013-09-19 05:30")
    assert earlier.context["previous"] == 7.4
    assert earlier.known_at == eastern("2013-09-06 08:30")


async def test_what_a_later_revision_says_does_not_matter(make_run):
    poisoned = (*ROWS[:3], ("2013-08-01", "2013-10-07", "poison"))
    clean = await one(make_run, ROWS, "2013-10-07 05:30")
    assert (await one(make_run, poisoned, "2013-10-07 05:30")).message_id == clean.message_id


async def test_the_box_revises_a_generated_series_and_the_agent_follows(tmp_path):
    """January's report brings the yearly revision; the newest months before it move with it."""
    library = GeneratedLibrary(date(2026, 3, 31), 1, RELEASES)
    series = library.series("UNRATE")
    (moment,) = {m for later in series.revisions.values() for m, _ in later if m.year == 2026}
    local = moment.astimezone(EASTERN)
    assert (local.hour, local.minute) == (8, 30)
    seen = {}
    clock = ManualClock(local.replace(hour=12))
    app = build(test_settings(tmp_path).model_copy(update={"recordings": None}), clock, library)
    async with Upstream(tmp_path / "raw", FAST, httpx.ASGITransport(app)) as upstream:
        for hour, minute in ((8, 29), (9, 0)):
            moment_of_run = local.replace(hour=hour, minute=minute)
            run = Run(moment_of_run, upstream, clock, tmp_path, test_settings(tmp_path))
            collected = await FredAgent().collect(run)
            seen[hour] = {m.context["series_id"]: m for m in collected.messages}["UNRATE"]
    assert seen[9].known_at == moment > seen[8].known_at
    at = series.days.index(date(2025, 12, 1))
    before, after = seen[8].context, seen[9].context
    assert before["value"] == float(series.values[at])
    assert after["previous"] == float(series.versions(at)[-1][1])
