"""Fixtures for the agents' tests: an upstream client over a fake wire, and a run on it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from relentless.agents.base import Run
from relentless.agents.http import Policy, Upstream
from relentless.configs.clock import EASTERN, ManualClock
from relentless.configs.settings import Settings, SourceSettings, SourcesSettings

Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]

FAST = Policy(
    attempts=3,
    budget_s=20.0,
    wait_initial_s=0.001,
    wait_max_s=0.002,
    wait_jitter_s=0.0,
    breaker_failures=100,
)
SECRET = "abcdef0123456789abcdef0123456789"


def eastern(text: str) -> datetime:
    """Read a time of day in New York: "2013-10-07 05:30"."""
    return datetime.fromisoformat(text).replace(tzinfo=EASTERN)


def test_settings(state: Path, url: str = "http://fred.test", timeout_s: float = 5.0) -> Settings:
    """Give settings whose sources all stand behind one address."""
    source = SourceSettings.model_validate(
        {
            "url": url,
            "key": SECRET,
            "rate_per_min": 60_000,
            "timeout_s": timeout_s,
            "origin": "recorded",
        }
    )
    return Settings(
        sources=SourcesSettings.every(source),
        paths={"state": state},  # type: ignore[arg-type]
    )


test_settings.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
async def make_run(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Run]]]:
    """Give a maker of runs over a handler; it closes what it opened."""
    async with AsyncExitStack() as stack:

        async def make(
            handler: Handler,
            as_of: str = "2013-10-07 05:30",
            *,
            policy: Policy = FAST,
            timeout_s: float = 5.0,
        ) -> Run:
            transport = httpx.MockTransport(handler)  # type: ignore[arg-type]
            upstream = Upstream(tmp_path / "raw", policy, transport)
            await stack.enter_async_context(upstream)
            moment = eastern(as_of)
            return Run(
                as_of=moment,
                upstream=upstream,
                clock=ManualClock(moment),
                state=tmp_path,
                settings=test_settings(tmp_path, timeout_s=timeout_s),
            )

        yield make
