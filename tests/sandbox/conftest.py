"""The sandbox inside a test: one application, a clock that stands still, no network."""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from relentless.configs.clock import EASTERN, ManualClock
from relentless.configs.releases import ReleaseTable
from relentless.configs.settings import Settings
from relentless.sandbox.library import Library
from relentless.sandbox.recorded import RecordedLibrary
from relentless.sandbox.server import build
from relentless.sandbox.shipped import ShippedDay

FRED_KEY = "0123456789abcdef0123456789abcdef"


def market_time(text: str) -> datetime:
    """Read a market time, "2013-10-07T05:30"."""
    return datetime.fromisoformat(text).replace(tzinfo=EASTERN)


class Box:
    """The sandbox's HTTP services at a market time."""

    def __init__(self, settings: Settings, at: str, library: Library | None = None) -> None:
        self.clock = ManualClock(market_time(at))
        self.app = build(settings, self.clock, library)

    def at(self, text: str) -> None:
        """Move the clock."""
        self.clock.move_to(market_time(text))

    async def newest(self, series_id: str) -> str:
        """Give the date of a series' newest observation."""
        body = await self.fred("series", series_id=series_id)
        return str(body["seriess"][0]["observation_end"])

    async def get(self, path: str, **parameters: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://box") as client:
            return await client.get(path, params=parameters or None)

    async def fred(self, path: str, **parameters: Any) -> Any:
        """Ask FRED for JSON, with a key; the body of a good answer."""
        query = {"api_key": FRED_KEY, "file_type": "json"} | parameters
        response = await self.get(f"/fred/{path}", **query)
        assert response.status_code == 200, response.text
        return response.json()

    async def congress(self, path: str, **parameters: Any) -> Any:
        """Ask Congress.gov for JSON, with a key; the body of a good answer."""
        response = await self.get(f"/v3/{path}", api_key="k", format="json", **parameters)
        assert response.status_code == 200, response.text
        return response.json()

    async def values(self, series_id: str, **parameters: Any) -> dict[str, str]:
        """Give a series' values by date."""
        body = await self.fred("series/observations", series_id=series_id, **parameters)
        return {row["date"]: row["value"] for row in body["observations"]}


RELEASES = ReleaseTable.load()


@cache
def library(folder: Path | None) -> Library:
    """Read the shipped day or a folder once for all tests; libraries do not know the time."""
    if folder is None:
        return ShippedDay.load("2013-10-07", RELEASES)
    return RecordedLibrary(folder, RELEASES)


@pytest.fixture
def eastern() -> Callable[[str], datetime]:
    """Read a market time."""
    return market_time


@pytest.fixture
def box() -> Callable[..., Box]:
    """Make a sandbox of the shipped day, or of a folder of recordings."""

    def make(at: str = "2013-10-07T05:30", recordings: Path | None = None) -> Box:
        return Box(Settings(recordings=recordings), at, library(recordings))

    return make


@pytest.fixture
def make_box() -> type[Box]:
    """Make a sandbox of any library."""
    return Box
