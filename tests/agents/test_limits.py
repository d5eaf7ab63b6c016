"""Sources of a group share one rate limit over processes, and one silence."""

import asyncio
import sys
import time
from contextlib import asynccontextmanager

import httpx
import pytest

from relentless.agents.http import Upstream
from relentless.agents.runtime.answer import THROTTLED_S, failure
from relentless.agents.runtime.limits import LONGEST_S, SharedLimit, shared_folder
from relentless.configs.settings import SourceSettings
from relentless.proto.errors import SourceRateLimited, SourceRejected

from .conftest import FAST

EACH = 16
"""Requests of each of the two processes."""

ASKS = """
import asyncio, sys
from pathlib import Path
from relentless.agents.http import Upstream
from relentless.configs.settings import SourceSettings

async def main():
    url, folder, name, count = sys.argv[1:]
    settings = SourceSettings(url=url, rate_per_min=480, limit_group="edgar")
    async with Upstream(Path(folder) / name, limits=Path(folder)) as upstream:
        source = upstream.source(name, settings)
        await asyncio.gather(*(source.get_json("/x") for _ in range(int(count))))

asyncio.run(main())
"""


@asynccontextmanager
async def counting_server():
    """Serve on loopback; give the address and the moments at which requests came."""
    came = []

    async def serve(reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                came.append(time.monotonic())
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                writer.write(head + b"Content-Length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came


async def test_two_processes_together_ask_at_most_ten_times_in_any_second(tmp_path):
    async with counting_server() as (url, came):
        asking = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", ASKS, url, str(tmp_path), name, str(EACH))
            )
            for name in ("sec", "sec_archive")
        ]
        ended = await asyncio.wait_for(asyncio.gather(*(p.wait() for p in asking)), 60)
    assert ended == [0, 0]
    assert len(came) == 2 * EACH
    busiest = max(sum(start <= at < start + 1.0 for at in came) for start in came)
    assert busiest <= 10
    assert came[-1] - came[0] < 3 * len(came) / 8, "the limit wastes most of what is allowed"


async def test_both_sources_of_a_group_wait_for_one_another(tmp_path):
    limit = SharedLimit("edgar", 6_000, tmp_path)
    other = SharedLimit("edgar", 6_000, tmp_path)
    begun = time.monotonic()
    await asyncio.gather(*(one.acquire() for one in (limit, other) for _ in range(5)))
    assert time.monotonic() - begun >= 9 * 0.010
    limit.close()
    other.close()


async def test_a_clock_that_was_set_back_does_not_stop_the_group(tmp_path, monkeypatch):
    limit = SharedLimit("edgar", 600, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda real=time.time: real() + 2 * LONGEST_S)
        patched.setattr(
            time, "time_ns", lambda real=time.time_ns: real() + int(2 * LONGEST_S * 1e9)
        )
        await limit.acquire()
        limit.pause(600)
    assert limit.paused_s() == 0
    await asyncio.wait_for(limit.acquire(), 5)
    limit.close()


def test_the_shared_folder_is_the_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = shared_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert shared_folder() == folder


PAGE = b"<html><head><title>SEC.gov | Request Rate Threshold Exceeded</title></head></html>"


@pytest.mark.parametrize("status", [403, 429])
async def test_a_throttle_page_silences_every_source_of_the_group(tmp_path, status):
    asked = []

    def handler(request):
        asked.append(request.url.path)
        return httpx.Response(status, content=PAGE, headers={"content-type": "text/html"})

    settings = SourceSettings(url="http://sec.test", rate_per_min=6_000, limit_group="edgar")
    transport = httpx.MockTransport(handler)
    async with Upstream(tmp_path, FAST, transport, limits=tmp_path) as one:
        with pytest.raises(SourceRateLimited) as caught:
            await one.source("sec", settings).get_json("/a")
        assert caught.value.retry_after == THROTTLED_S
    async with Upstream(tmp_path, FAST, transport, limits=tmp_path) as two:
        with pytest.raises(SourceRateLimited, match="not asked") as caught:
            await two.source("sec_archive", settings).get_json("/b")
        assert 0 < caught.value.retry_after <= THROTTLED_S
    assert asked == ["/a"]


def test_the_recorded_throttle_page_and_the_recorded_refusals_are_told_apart(recordings):
    sec = recordings / "sec"
    page = (sec / "error_429_rate_exceeded.html").read_bytes()
    for status in (403, 429):
        throttled = failure("sec", "/x", status, {}, page)
        assert isinstance(throttled, SourceRateLimited)
        assert throttled.retry_after == 600
    absent = failure("sec", "/x", 403, {}, (sec / "error_403_future_index.xml").read_bytes())
    assert isinstance(absent, SourceRejected)
    assert (absent.status, absent.reason) == (403, "AccessDenied")
    unknown = failure("sec", "/x", 404, {}, (sec / "error_404_submissions.xml").read_bytes())
    assert isinstance(unknown, SourceRejected)
    assert (unknown.status, unknown.reason) == (404, "NoSuchKey")
    plain = failure("sec", "/x", 403, {}, b"<html><title>Undeclared Automated Tool</title></html>")
    assert isinstance(plain, SourceRejected)
    assert plain.reason is None
