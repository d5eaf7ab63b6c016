"""FRED's releases and the page of its calendar in a box: the wire, and what is known when."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from relentless.configs.events import event_table
from relentless.configs.releases import ReleaseTable
from relentless.sandbox import schedule
from relentless.sandbox.indicators import KINDS, indicator

MakeBox = Callable[..., Any]
KEY = "0" * 32
RELEASES = ReleaseTable.load()


def shape(value: Any) -> Any:
    """Give the keys of a body, in order, and the type of each value."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def recorded(recordings: Path, name: str) -> Any:
    return json.loads((recordings / "fred" / name).read_bytes())


async def dates(box: Any, release_id: int, first: str, last: str, *, planned: bool) -> list[str]:
    body = await box.fred(
        "releases/dates",
        realtime_start=first,
        realtime_end=last,
        include_release_dates_with_no_data="true" if planned else "false",
        sort_order="asc",
    )
    return [row["date"] for row in body["release_dates"] if row["release_id"] == release_id]


async def test_answers_have_the_shape_of_the_recorded_ones(box: MakeBox, recordings: Path) -> None:
    here = box("2025-01-20T12:00")
    ours = await here.fred("releases/dates")
    real = recorded(recordings, "releases_dates_a.json")
    assert shape(ours) == shape(real)
    assert list(ours) == list(real)
    assert ours["realtime_start"] == "2025-01-01"
    ours, real = await here.fred("releases"), recorded(recordings, "releases_list.json")
    assert list(ours) == list(real)
    assert set(ours["releases"][0]) <= set(real["releases"][0])
    one = await here.fred("release", release_id=10)
    assert one["releases"][0]["name"] == "Consumer Price Index"


async def test_dates_by_rule_are_mostly_the_recorded_ones(box: MakeBox, recordings: Path) -> None:
    """January 2025: the dates that hang on weekdays and on the release table are exact."""
    real: dict[int, list[str]] = {}
    for row in recorded(recordings, "releases_dates_a.json")["release_dates"]:
        real.setdefault(row["release_id"], []).insert(0, row["date"])
    here = box("2025-01-20T12:00")
    for release_id in (10, 50, 101, 18):
        ours = await dates(here, release_id, "2025-01-01", "2025-01-20", planned=False)
        assert set(ours) >= set(real[release_id])
    for release_id in (9, 13, 27, 46, 95, 192, 321):
        (ours_one,) = await dates(here, release_id, "2025-01-01", "2025-01-20", planned=False)
        apart = date.fromisoformat(ours_one) - date.fromisoformat(real[release_id][-1])
        assert abs(apart.days) <= 7


async def test_a_date_without_data_is_listed_only_where_it_is_asked_for(box: MakeBox) -> None:
    here = box("2013-10-07T09:25")
    window = ("2013-10-01", "2013-10-31")
    assert await dates(here, 50, *window, planned=False) == []
    assert await dates(here, 50, *window, planned=True) == ["2013-10-04"]
    assert await dates(here, 10, *window, planned=True) == ["2013-10-16"]
    here.at("2013-10-18T05:00")
    assert await dates(here, 50, *window, planned=True) == ["2013-10-22"]
    assert await dates(here, 10, *window, planned=True) == ["2013-10-30"]
    here.at("2013-10-22T08:29")
    assert await dates(here, 50, *window, planned=False) == []
    here.at("2013-10-22T08:30")
    assert await dates(here, 50, *window, planned=False) == ["2013-10-22"]


async def test_pages_of_the_calendar_join(box: MakeBox) -> None:
    here = box("2013-10-07T09:25")
    query = {"realtime_start": "2013-09-01", "realtime_end": "2013-10-07", "sort_order": "asc"}
    whole = (await here.fred("releases/dates", **query))["release_dates"]
    joined: list[Any] = []
    for offset in range(0, len(whole), 50):
        page = await here.fred("releases/dates", **query, limit=50, offset=offset)
        assert page["count"] == len(whole)
        joined += page["release_dates"]
    assert joined == whole
    newest = await here.fred("releases/dates", **query | {"sort_order": "desc"})
    assert newest["release_dates"] == whole[::-1]


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("releases/dates", {"limit": 1001}),
        ("releases/dates", {"order_by": "release_name"}),
        ("releases/dates", {"include_release_dates_with_no_data": "maybe"}),
        ("release", {"release_id": 999999}),
        ("release/dates", {"release_id": 999999}),
    ],
)
async def test_what_is_not_in_the_box_is_refused(
    box: MakeBox, path: str, parameters: dict[str, Any]
) -> None:
    response = await box().get(f"/fred/{path}", api_key=KEY, file_type="json", **parameters)
    assert response.status_code == 400
    assert response.json()["error_message"].startswith("Bad Request.")


async def test_the_page_has_the_form_of_the_recorded_one(box: MakeBox, recordings: Path) -> None:
    response = await box("2025-07-01T12:00").get(
        "/fred_web/releases/calendar", vs="2025-07-01", ve="2025-07-01"
    )
    assert response.headers["X-Relentless-Origin"] == "synthetic"
    assert "\\/release?rid=" in response.text  # slashes are escaped, as on the real page
    ours, real = response.json(), recorded(recordings, "releases_calendar_html_2025-07-01.json")
    assert list(ours) == list(real) == ["pager", "ptic"]
    for piece in (
        '<span style="font-weight: bold;">Tuesday July 01, 2025</span>',
        '<a href="/release?rid=18">H.15 Selected Interest Rates</a>',
        '<td nowrap style="width:5%; text-align:right">',
        '<i class="fa fa-check fa-lg" style="float: right; color:#1d9d74"></i>',
        f"of {ours['ptic']}&nbsp;",
    ):
        assert piece in ours["pager"]
        assert piece.replace(f"of {ours['ptic']}&", f"of {real['ptic']}&") in real["pager"]
    assert (await box().get("/fred_web/releases/calendar")).status_code == 400


def test_every_release_of_the_table_has_dates_in_every_year() -> None:
    for event in event_table():
        for year in (2012, 2013, 2019, 2026, 2028):
            made = schedule.occurrences(RELEASES, event.release_id, year)
            assert len(made) >= 4
            assert [one.due for one in made] == sorted(one.due for one in made)


def test_every_series_of_the_table_is_served_and_known_with_its_release() -> None:
    for event in event_table():
        if event.series is None or event.series not in KINDS:
            continue
        series = indicator(RELEASES, event.series, 1, date(2026, 6, 1))
        assert series is not None
        assert list(series.days) == sorted(set(series.days))
        assert list(series.known_at) == sorted(series.known_at)
        for at in range(len(series.days)):
            moments = [moment for moment, _ in series.versions(at)]
            assert moments == sorted(moments)


def test_tomorrow_s_invented_figures_contain_today_s() -> None:
    for series_id in KINDS:
        today = indicator(RELEASES, series_id, 1, date(2025, 6, 1))
        later = indicator(RELEASES, series_id, 1, date(2026, 6, 1))
        assert today is not None
        assert later is not None
        for at, day in enumerate(today.days):
            assert later.days[at] == day
            versions = today.versions(at)
            assert later.versions(at)[: len(versions)] == versions


async def test_a_revised_figure_has_a_row_of_its_own(box: MakeBox) -> None:
    here = box("2013-10-07T09:25")
    body = await here.fred(
        "series/observations",
        series_id="ICSA",
        realtime_start="2013-09-01",
        realtime_end="2013-10-07",
        observation_start="2013-09-14",
        observation_end="2013-09-14",
    )
    first, second = body["observations"]
    assert (first["realtime_start"], first["realtime_end"]) == ("2013-09-19", "2013-09-25")
    assert (second["realtime_start"], second["realtime_end"]) == ("2013-09-26", "2013-10-07")
    assert first["value"] != second["value"]
    one_day = {"realtime_start": "2013-09-25", "realtime_end": "2013-09-25"}
    assert (await here.values("ICSA", **one_day))["2013-09-14"] == first["value"]
