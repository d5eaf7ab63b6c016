"""A run against the sandbox of the shipped day, with faults, in process or over a socket."""

from contextlib import asynccontextmanager

import httpx

from relentless.agents.base import Run
from relentless.agents.http import Upstream
from relentless.configs.clock import ManualClock
from relentless.sandbox.server import build, serve

from .conftest import FAST, eastern, test_settings

# The run's companies, and where the box has EDGAR's feed, daily indexes, filings and tickers.
OWN = {"AAPL": 320193, "MSFT": 789019, "IBM": 51143, "JPM": 19617, "XOM": 34088}
FEED = "/sec_archive/cgi-bin"
INDEX = "/sec_archive/Archives/edgar/daily-index"
DATA = "/sec_archive/Archives/edgar/data"
TICKERS = "/sec_archive/files"


@asynccontextmanager
async def box(tmp_path, *faults, as_of, now=None, socket=False, timeout_s=20.0):
    """Give a run as of a moment; ``now`` is the market time at which it physically happens."""
    clock = ManualClock(eastern(now or as_of))
    settings = test_settings(tmp_path).model_copy(update={"recordings": None})
    app = build(settings, clock)
    app.add(*faults)
    moment = eastern(as_of)
    if socket:
        async with serve(settings, clock, app=app) as (http, _):
            settings = test_settings(tmp_path, http, timeout_s)
            async with Upstream(tmp_path / "raw", FAST) as upstream:
                yield Run(moment, upstream, clock, tmp_path, settings)
        return
    settings = test_settings(tmp_path, timeout_s=timeout_s)
    async with Upstream(tmp_path / "raw", FAST, httpx.ASGITransport(app)) as upstream:
        yield Run(moment, upstream, clock, tmp_path, settings)
