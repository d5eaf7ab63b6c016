"""FRED over a real socket: the shipped day, and every fault that the sandbox can play."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from relentless.agents.base import Run
from relentless.agents.fred import FredAgent
from relentless.agents.http import Upstream
from relentless.configs.clock import ManualClock
from relentless.configs.releases import SERIES
from relentless.proto.contexts import Origin
from relentless.sandbox.faults import KINDS, Fault
from relentless.sandbox.server import build, serve

from .conftest import FAST, eastern, test_settings


@asynccontextmanager
async def sandbox(tmp_path, *faults, as_of="2013-10-07 05:30", timeout_s=10.0, policy=FAST):
    """Give a run against a sandbox whose clock stands at 09:25."""
    clock = ManualClock(eastern("2013-10-07 09:25"))
    settings = test_settings(tmp_path).model_copy(update={"recordings": None})
    app = build(settings, clock)
    app.add(*faults)
    async with serve(settings, clock, app=app) as (http, _):
        settings = test_settings(tmp_path, http, timeout_s)
        async with Upstream(tmp_path / "raw", policy) as upstream:
            yield Run(eastern(as_of), upstream, clock, tmp_path, settings)


def digests(collected):
    return {m.context["series_id"]: m.content_digest() for m in collected.messages}


_WHOLE = {}


@pytest.fixture
async def whole(tmp_path):
    """The digests of a run without faults, worked out once."""
    if not _WHOLE:
        async with sandbox(tmp_path) as run:
            _WHOLE.update(digests(await FredAgent().collect(run)))
    return _WHOLE


async def test_the_shipped_day_is_whole_and_says_what_is_generated(tmp_path):
    async with sandbox(tmp_path) as run:
        collected = await FredAgent().collect(run)
    assert not collected.gaps
    origins = {m.context["series_id"]: m.evidence[0].origin for m in collected.messages}
    generated = {"BAMLH0A0HYM2", "BAMLC0A0CM", "VIXCLS"}
    assert {name for name, origin in origins.items() if origin is Origin.SYNTHETIC} == generated
    assert len(origins) == 18
    assert Origin.LIVE not in origins.values()


async def test_only_the_vix_moves_on_before_the_open(tmp_path):
    seen = {}
    for at in ("05:30", "08:05", "09:25"):
        async with sandbox(tmp_path, as_of=f"2013-10-07 {at}") as run:
            seen[at] = digests(await FredAgent().collect(run))
    assert seen["05:30"] == seen["08:05"]
    moved = {name for name in SERIES if seen["08:05"][name] != seen["09:25"][name]}
    assert moved == {"VIXCLS"}


LASTING = {
    "rate_limited": "source_rate_limited",
    "forbidden": "source_rejected",
    "server_error": "source_unavailable",
    "unavailable": "source_unavailable",
    "hang": "source_unavailable",
    "cut_body": "source_unavailable",
    "truncated_json": "source_malformed",
    "empty_body": "source_malformed",
    "empty_page": "source_malformed",
    "wrong_charset": "source_malformed",
}


def test_every_kind_of_fault_is_lasting_or_harmless_to_a_single_answer():
    harmless = {"slow_body", "duplicated_page", "shifting_page"}  # nothing is asked by pages
    assert set(LASTING) | harmless == set(KINDS)


@pytest.mark.parametrize("kind", LASTING)
async def test_a_lasting_fault_is_a_gap_and_never_a_value(tmp_path, whole, kind):
    hang = kind == "hang"
    fault = Fault(query="series_id=DGS10&", kind=kind, count=None, seconds=3.0 if hang else 0.0)
    policy = replace(FAST, attempts=1) if hang else FAST
    async with sandbox(tmp_path, fault, timeout_s=2.0 if hang else 10.0, policy=policy) as run:
        collected = await FredAgent().collect(run)
    assert [(gap.what, gap.reason) for gap in collected.gaps] == [("DGS10", LASTING[kind])]
    assert digests(collected) == {k: v for k, v in whole.items() if k != "DGS10"}


@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "unavailable", "cut_body"])
async def test_a_passing_fault_leaves_no_gap(tmp_path, whole, kind):
    fault = Fault(path="/fred", kind=kind, count=2, retry_after=0)
    async with sandbox(tmp_path, fault) as run:
        collected = await FredAgent().collect(run)
    assert not collected.gaps
    assert digests(collected) == whole


async def test_a_slow_answer_is_waited_for(tmp_path, whole):
    fault = Fault(path="/fred", kind="slow_body", count=2, seconds=0.01)
    async with sandbox(tmp_path, fault) as run:
        assert digests(await FredAgent().collect(run)) == whole
