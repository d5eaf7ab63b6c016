"""An invented present: complete, labelled, and the same tomorrow."""

from collections.abc import Callable
from datetime import date
from typing import Any

from relentless.configs.releases import SERIES, ReleaseTable
from relentless.configs.settings import Settings
from relentless.proto.contexts import Origin
from relentless.sandbox.generated import GeneratedLibrary
from relentless.sandbox.server import build

RELEASES = ReleaseTable.load()
TODAY = date(2026, 11, 20)


def library(last: date = TODAY) -> GeneratedLibrary:
    return GeneratedLibrary(last, 1, RELEASES)


async def test_every_series_is_there_fresh_and_synthetic(make_box: Callable[..., Any]) -> None:
    here = make_box(Settings(recordings=None), "2026-11-20T09:25", library())
    for series_id in SERIES:
        response = await here.get(
            "/fred/series/observations", api_key="0" * 32, file_type="json", series_id=series_id
        )
        assert response.headers["X-Relentless-Origin"] == "synthetic"
        newest = date.fromisoformat(response.json()["observations"][-1]["date"])
        assert (TODAY - newest).days < 62
    spread = await here.values("T10Y2Y", limit=5, sort_order="desc")
    ten, two = [await here.values(name) for name in ("DGS10", "DGS2")]
    for day, value in spread.items():
        if value != "." and day in ten:  # the Treasury's yields follow a day later
            assert abs(float(ten[day]) - float(two[day]) - float(value)) < 0.006


async def test_bills_of_the_sitting_congress_are_served(make_box: Callable[..., Any]) -> None:
    here = make_box(Settings(recordings=None), "2026-11-20T09:25", library())
    body = await here.congress("bill/119", limit=250)
    assert body["pagination"]["count"] > 250
    assert all("invented" in bill["title"] for bill in body["bills"])
    assert max(bill["latestAction"]["actionDate"] for bill in body["bills"]) < "2026-11-20"


def test_tomorrow_contains_today() -> None:
    before, after = library(), library(date(2026, 12, 24))
    for series_id in SERIES:
        first, second = before.series(series_id), after.series(series_id)
        assert first is not None
        assert second is not None
        assert second.values[: len(first.values)] == first.values
        assert first.origin is Origin.SYNTHETIC
    assert before.bills(TODAY) == after.bills(TODAY)


def test_a_live_run_without_keys_gets_it() -> None:
    settings = Settings(recordings=None)
    live = settings.model_copy(
        update={"clock": settings.clock.model_copy(update={"mode": "live"}), "recordings": None}
    )
    assert build(live) is not None
