"""FRED in a box: the wire, the limits, the errors, and what is known when."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from relentless.configs.releases import SERIES

MakeBox = Callable[..., Any]
KEY = "0" * 32


def shape(value: Any) -> Any:
    """Give the keys of a body, in order, and the type of each value."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


@pytest.mark.parametrize(
    ("recorded", "path", "series_id"),
    [
        ("obs_T10YFF.json", "series/observations", "DGS10"),
        ("series_CPILFESL.json", "series", "CPILFESL"),
        ("vintagedates_GDP.json", "series/vintagedates", "DGS10"),
    ],
)
async def test_an_answer_has_the_shape_of_the_recorded_one(
    box: MakeBox, recordings: Path, recorded: str, path: str, series_id: str
) -> None:
    real = json.loads((recordings / "fred" / recorded).read_text())
    ours = await box().fred(path, series_id=series_id)
    assert shape(ours) == shape(real)
    assert list(ours) == list(real)


async def test_release_dates_have_the_shape_of_the_recorded_ones(
    box: MakeBox, recordings: Path
) -> None:
    real = json.loads((recordings / "fred" / "release_dates_CPI_rid10.json").read_text())
    ours = await box(recordings=recordings).fred("release/dates", release_id=10)
    assert shape(ours) == shape(real)
    recorded = [row["date"] for row in real["release_dates"] if "2000" < row["date"] < "2013-10-07"]
    served = [row["date"] for row in ours["release_dates"] if row["date"] > "2000"]
    assert set(served) <= set(recorded)
    assert len(served) > 160


async def test_the_answer_is_xml_unless_json_is_asked_for(box: MakeBox) -> None:
    response = await box().get(
        "/fred/series/observations", api_key=KEY, series_id="DGS10", limit=2, sort_order="desc"
    )
    assert response.headers["content-type"].startswith("text/xml")
    root = Xml.fromstring(response.text)
    assert root.tag == "observations"
    assert root.get("count") == "546"
    assert [child.get("date") for child in root] == ["2013-10-03", "2013-10-02"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"series_id": "DGS10"}, "Variable api_key is not set."),
        ({"series_id": "DGS10", "api_key": "TOO-SHORT"}, "not a 32 character alpha-numeric"),
        ({"series_id": "GDPNOW", "api_key": KEY}, "The series does not exist."),
        ({"api_key": KEY}, "Variable series_id is not set."),
        ({"series_id": "DGS10", "api_key": KEY, "limit": "100001"}, "between 1 and 100000"),
        ({"series_id": "DGS10", "api_key": KEY, "observation_start": "soon"}, "not a valid date"),
        ({"series_id": "DGS10", "api_key": KEY, "units": "pc1"}, "units"),
        ({"series_id": "DGS10", "api_key": KEY, "frequency": "m"}, "frequency"),
        (
            {"series_id": "DGS10", "api_key": KEY, "realtime_start": "2013-10-08"},
            "real-time period",
        ),
    ],
)
async def test_a_bad_request_is_answered_as_fred_does(
    box: MakeBox, parameters: dict[str, str], message: str
) -> None:
    response = await box().get("/fred/series/observations", file_type="json", **parameters)
    assert response.status_code == 400
    body = response.json()
    assert body["error_code"] == 400
    assert body["error_message"].startswith("Bad Request.  ")
    assert message in body["error_message"]
    xml = await box().get("/fred/series/observations", **parameters)
    assert Xml.fromstring(xml.text).get("code") == "400"


async def test_recorded_error_bodies_are_ours_byte_for_byte(box: MakeBox, recordings: Path) -> None:
    real = (recordings / "fred" / "error_400_0.json").read_text().strip()
    ours = await box().get("/fred/series", api_key=KEY, file_type="json", series_id="NONE")
    assert ours.text == real
    quoted = (recordings / "fred" / "errors_quoted.jsonl").read_text().splitlines()
    missing = await box().get("/fred/series", file_type="json", series_id="DGS10")
    assert missing.json() == json.loads(quoted[0])["body"]


async def test_too_many_vintages_are_refused(box: MakeBox, recordings: Path) -> None:
    response = await box(recordings=recordings).get(
        "/fred/series/observations",
        api_key=KEY,
        file_type="json",
        series_id="DGS10",
        realtime_start="1776-07-04",
        realtime_end="9999-12-31",
    )
    assert response.status_code == 400
    assert "exceeds the maximum number of vintage dates allowed (2000)" in response.text


async def test_pages_join_without_gap_or_repetition(box: MakeBox) -> None:
    shipped = box()
    whole = await shipped.values("T10Y2Y")
    joined: list[str] = []
    for offset in range(0, 700, 100):
        joined += await shipped.values("T10Y2Y", limit=100, offset=offset)
    assert joined == list(whole)
    assert list(await shipped.values("T10Y2Y", sort_order="desc")) == joined[::-1]


async def test_a_holiday_is_a_point(box: MakeBox) -> None:
    values = await box().values("DGS10", observation_start="2013-09-01")
    assert values["2013-09-02"] == "."


H15 = ("DFF", "DGS1", "DGS2", "DGS10", "DGS30", "T10Y2Y", "T10Y3M", "T5YIE", "T10YIE")


@pytest.mark.parametrize("source", ["shipped", "recorded"])
async def test_the_newest_values_of_the_day_are_those_of_the_release_rules(
    box: MakeBox, source: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue("recordings") if source == "recorded" else None
    here = box(recordings=folder)
    newest: dict[str, dict[str, str]] = {}
    for at in ("05:30", "08:05", "09:25", "10:51", "16:14", "16:15"):
        here.at(f"2013-10-07T{at}")
        newest[at] = {name: await here.newest(name) for name in SERIES}
    morning = dict.fromkeys(H15, "2013-10-03") | {
        "VIXCLS": "2013-10-03",
        "BAMLC0A0CM": "2013-10-03",
        "BAMLH0A0HYM2": "2013-10-03",
        "DTWEXBGS": "2013-09-27",
        "DFEDTARU": "2013-10-06",
        "DFEDTARL": "2013-10-06",
        "UNRATE": "2013-08-01",
        "CPIAUCSL": "2013-08-01",
        "CPILFESL": "2013-08-01",
    }
    assert newest["05:30"] == newest["08:05"] == morning
    assert newest["09:25"] == morning | {"VIXCLS": "2013-10-04"}
    ice = {"BAMLC0A0CM": "2013-10-04", "BAMLH0A0HYM2": "2013-10-04"}
    assert newest["10:51"] == newest["09:25"] | ice
    target = {"DFEDTARU": "2013-10-07", "DFEDTARL": "2013-10-07"}
    assert newest["16:14"] == newest["10:51"] | target
    evening = dict.fromkeys(H15, "2013-10-04") | {"DFF": "2013-10-06", "DTWEXBGS": "2013-10-04"}
    assert newest["16:15"] == newest["16:14"] | evening


async def test_real_time_in_the_past_serves_what_was_known_that_day(box: MakeBox) -> None:
    here = box()
    august = {"realtime_start": "2013-09-05", "realtime_end": "2013-09-05"}
    assert max(await here.values("UNRATE", **august)) == "2013-07-01"
    body = await here.fred(
        "series/observations",
        series_id="UNRATE",
        realtime_start="2013-09-01",
        realtime_end="2013-10-07",
    )
    last, before = body["observations"][-1], body["observations"][-2]
    assert (last["date"], last["realtime_start"]) == ("2013-08-01", "2013-09-06")
    assert before["realtime_start"] == "2013-09-01"


async def test_each_answer_says_where_its_values_come_from(box: MakeBox, recordings: Path) -> None:
    for folder, vix in ((None, "synthetic"), (recordings, "recorded")):
        here = box(recordings=folder)
        for series_id, origin in (("VIXCLS", vix), ("DGS10", "recorded")):
            response = await here.get("/fred/series", api_key=KEY, series_id=series_id)
            assert response.headers["X-Relentless-Origin"] == origin


async def test_values_are_the_recorded_ones(box: MakeBox, recordings: Path) -> None:
    shipped, recorded = box(), box(recordings=recordings)
    for series_id in (*H15, "DTWEXBGS", "UNRATE", "CPIAUCSL", "CPILFESL", "DFEDTARU"):
        ours = await shipped.values(series_id)
        theirs = await recorded.values(series_id, observation_start=min(ours))
        assert ours == theirs
    assert (await shipped.values("DGS10"))["2013-10-03"] == "2.62"
    assert (await shipped.values("DFEDTARU"))["2013-10-06"] == "0.25"
    invented = await shipped.values("VIXCLS")
    real = await recorded.values("VIXCLS", observation_start=min(invented))
    equal = sum(real.get(day) == value for day, value in invented.items() if value != ".")
    assert equal < 10
