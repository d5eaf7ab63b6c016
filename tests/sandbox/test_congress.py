"""Congress.gov in a box: the wire, paging, errors, and bills as known that morning."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from relentless.sandbox.actions import actions
from relentless.sandbox.library import Bill, Stage

MakeBox = Callable[..., Any]


async def every_bill(here: Any, path: str = "bill", **parameters: Any) -> list[dict[str, Any]]:
    """Follow the pages to the end."""
    found: list[dict[str, Any]] = []
    while True:
        body = await here.congress(path, limit=250, offset=len(found), **parameters)
        found += body["bills"]
        if "next" not in body["pagination"]:
            assert len(found) == body["pagination"]["count"]
            return found


async def test_lists_and_details_have_the_fields_of_the_recorded_ones(
    box: MakeBox, recordings: Path
) -> None:
    def real(name: str) -> Any:
        return json.loads((recordings / "congress" / name).read_text())

    here = box()
    listed = await here.congress("bill")
    theirs = real("bill_list_p1.json")
    assert list(listed) == list(theirs)
    assert set(listed["bills"][0]) == set(theirs["bills"][0])
    assert len(listed["bills"]) == len(theirs["bills"]) == 20
    assert set(listed["request"]) == set(theirs["request"])

    detail = (await here.congress("bill/113/hr/3223"))["bill"]
    theirs = real("bill_117_hr_3076.json")["bill"]
    assert set(detail) - {"originChamberCode"} <= set(theirs)
    assert set(detail["sponsors"][0]) <= set(theirs["sponsors"][0])
    assert set(detail["cosponsors"]) == set(theirs["cosponsors"])
    assert set(detail["latestAction"]) == set(theirs["latestAction"])

    history = await here.congress("bill/113/hr/3223/actions")
    theirs = real("bill_117_hr_3076_actions.json")
    assert set(history) == set(theirs)
    assert set(history["actions"][0]) <= set(theirs["actions"][0])
    assert set(history["request"]) == set(theirs["request"])

    committees = await here.congress("bill/113/hr/3223/committees")
    theirs = real("bill_117_hr_3076_committees.json")
    assert set(committees) == set(theirs)
    assert set(committees["committees"][0]) <= set(theirs["committees"][0])
    empty = await here.congress("bill/113/hjres/59/cosponsors")
    assert empty["cosponsors"] == []


async def test_every_bill_of_the_morning_is_listed_once(box: MakeBox) -> None:
    bills = await every_bill(box(), "bill/113")
    assert len(bills) == 4_931
    assert len({(bill["type"], bill["number"]) for bill in bills}) == 4_931
    days = [bill["latestAction"]["actionDate"] for bill in bills]
    assert days == sorted(days, reverse=True)
    assert max(days) <= "2013-10-06"


async def test_the_recorded_morning_holds_all_types(box: MakeBox, recordings: Path) -> None:
    here = box(recordings=recordings)
    assert len(await every_bill(here)) == 5_641
    counts = 0
    for kind in ("hr", "s", "hjres", "sjres"):
        body = await here.congress(f"bill/113/{kind}", limit=1)
        counts += body["pagination"]["count"]
    assert counts == 4_931


async def test_a_page_is_at_most_250_and_20_unasked(box: MakeBox) -> None:
    here = box()
    assert len((await here.congress("bill", limit=1000))["bills"]) == 250
    assert len((await here.congress("bill"))["bills"]) == 20
    first = await here.congress("bill/113/hr", limit=3)
    second = (await here.get(first["pagination"]["next"] + "&api_key=k")).json()
    assert "prev" in second["pagination"]
    assert "api_key" not in str(second)
    whole = (await here.congress("bill/113/hr", limit=6))["bills"]
    assert whole == first["bills"] + second["bills"]


async def test_the_answer_is_xml_unless_json_is_asked_for(box: MakeBox) -> None:
    response = await box().get("/v3/bill/113/hjres/59", api_key="k")
    assert response.headers["content-type"].startswith("application/xml")
    root = Xml.fromstring(response.text)
    assert root.tag == "api-root"
    assert root.findtext("bill/number") == "59"
    assert root.findtext("bill/sponsors/item/party") == "R"


@pytest.mark.parametrize(
    ("path", "headers", "status", "error"),
    [
        ("/v3/bill", {}, 403, {"code": "API_KEY_MISSING"}),
        ("/v3/bill?api_key=<bad>", {}, 403, {"code": "API_KEY_INVALID"}),
        ("/v3/bill/113/hr/99999?api_key=k", {}, 404, "Unknown resource: bill/113/hr/99999"),
        ("/v3/bill/113/xx?api_key=k", {}, 404, "Unknown resource: bill/113/xx"),
        ("/v3/nothing/here?api_key=k", {}, 404, "Unknown resource: nothing/here"),
        ("/v3/bill?limit=many&api_key=k", {}, 400, "Invalid value for limit: many"),
    ],
)
async def test_errors_have_the_real_bodies(
    box: MakeBox, path: str, headers: dict[str, str], status: int, error: Any
) -> None:
    response = await box().get(path)
    assert response.status_code == status
    body = response.json()["error"]
    assert body == error if isinstance(error, str) else body["code"] == error["code"]


async def test_the_quoted_bodies_are_ours(box: MakeBox, recordings: Path) -> None:
    quoted = (recordings / "congress" / "errors_quoted.jsonl").read_text().splitlines()
    response = await box().get("/v3/bill?api_key=<bad>")
    assert response.json() == json.loads(quoted[0])["body"]


async def test_a_bill_appears_the_day_after_its_first_text(box: MakeBox, recordings: Path) -> None:
    here = box("2013-09-10T23:59:59", recordings=recordings)
    response = await here.get("/v3/bill/113/hjres/59", api_key="k", format="json")
    assert response.status_code == 404
    here.at("2013-09-11T00:00")
    detail = (await here.congress("bill/113/hjres/59"))["bill"]
    assert detail["latestAction"]["actionDate"] == "2013-09-10"
    assert detail["updateDate"] == "2013-09-11T04:00:00Z"


async def test_the_shutdowns_resolution_is_told_up_to_the_day_before(
    box: MakeBox, recordings: Path
) -> None:
    for folder in (None, recordings):
        here = box(recordings=folder)
        history = (await here.congress("bill/113/hjres/59/actions"))["actions"]
        told = [(item["actionDate"], item["text"]) for item in history]
        assert told == [
            ("2013-09-30", "Resolving differences -- House actions: House amendment."),
            ("2013-09-27", "Resolving differences -- Senate actions: Senate amendment."),
            ("2013-09-27", "Passed/agreed to in Senate."),
            ("2013-09-23", "Placed on Senate Legislative Calendar under General Orders."),
            ("2013-09-20", "Passed/agreed to in House."),
            ("2013-09-10", "Referred to the House Committee on Appropriations."),
            ("2013-09-10", "Referred to the House Committee on Budget."),
            ("2013-09-10", "Introduced in House"),
        ]
        detail = (await here.congress("bill/113/hjres/59"))["bill"]
        assert "laws" not in detail
        assert "2014" in detail["title"]
        assert detail["sponsors"][0]["party"] == "R"


async def test_a_law_is_told_once_it_is_signed(box: MakeBox, recordings: Path) -> None:
    here = box("2013-12-26T12:00", recordings=recordings)
    assert "laws" not in (await here.congress("bill/113/hjres/59"))["bill"]
    here.at("2013-12-27T00:00")
    detail = (await here.congress("bill/113/hjres/59"))["bill"]
    assert detail["laws"] == [{"number": "113-67", "type": "Public Law"}]
    assert detail["latestAction"]["text"] == "Became Public Law No: 113-67."


async def test_forty_three_are_law_that_morning(box: MakeBox) -> None:
    bills = await every_bill(box())
    laws = [bill for bill in bills if bill["latestAction"]["text"].startswith("Became Public Law")]
    assert len(laws) == 43


async def test_the_window_filters_on_the_update_date(box: MakeBox) -> None:
    here = box()
    fresh = await every_bill(here, fromDateTime="2013-10-06T00:00:00Z")
    assert fresh
    assert {bill["updateDate"] for bill in fresh} == {"2013-10-06"}
    old = await every_bill(here, toDateTime="2013-10-05T23:59:59Z")
    assert len(fresh) + len(old) == 4_931
    ascending = await here.congress("bill", sort="updateDate+asc")
    stamps = [bill["updateDateIncludingText"] for bill in ascending["bills"]]
    assert stamps == sorted(stamps)


def test_a_date_that_is_no_date_is_no_stage(recordings: Path) -> None:
    from relentless.configs.releases import ReleaseTable
    from relentless.sandbox.recorded import RecordedLibrary

    library = RecordedLibrary(recordings, ReleaseTable.load())
    (resolution,) = [
        bill for bill in library.bills(date(2013, 10, 6)) if bill.key == (113, "hjres", 59)
    ]
    assert "enr" not in {stage.step for stage in resolution.stages}


def test_a_bill_first_seen_as_reported_was_introduced_by_then() -> None:
    bill = Bill(
        congress=113,
        kind="hr",
        number=1,
        title="To do a thing.",
        sponsor="X000001",
        party="D",
        state="NY",
        committees=("House - Budget Committee",),
        cosponsors=(0, 0, 0),
        first_day=date(2013, 3, 1),
        stages=(Stage(date(2013, 3, 1), "rh"), Stage(date(2013, 4, 1), "passed_house")),
    )
    assert [item.text for item in actions(bill, date(2013, 3, 1))] == [
        "Reported in House.",
        "Referred to the House Committee on Budget.",
        "Introduced in House",
    ]
