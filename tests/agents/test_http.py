"""The upstream client gives decoded JSON or a typed error, and never lets a key out."""

import asyncio
import hashlib
import json
import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from relentless.agents.http import Policy
from relentless.agents.runtime.answer import retry_after
from relentless.proto.contexts import Origin
from relentless.proto.errors import (
    SourceMalformed,
    SourceRateLimited,
    SourceRejected,
    SourceUnavailable,
)

from .conftest import FAST, SECRET


def serving(*answers):
    """Give a handler that gives each answer once, then the last for ever, and counts."""
    calls = []

    async def handler(request):
        answer = answers[min(len(calls), len(answers) - 1)]
        calls.append(request)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return await answer(request)
        # A response can be sent once: copy it.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return handler, calls


OK = httpx.Response(200, json={"a": 1})


async def fred(make_run, handler, **how):
    run = await make_run(handler, **how)
    return run.source("fred", key_param="api_key")


async def test_an_answer_carries_its_hash_and_its_address_without_the_key(make_run, tmp_path):
    handler, calls = serving(OK)
    answer = await (await fred(make_run, handler)).get_json("/fred/x", {"series_id": "DGS10"})
    assert answer.value == {"a": 1}
    assert calls[0].url.params["api_key"] == SECRET
    assert answer.url == "http://fred.test/fred/x?series_id=DGS10"
    assert answer.sha256 == hashlib.sha256(OK.content).hexdigest()
    kept = tmp_path / "raw" / answer.sha256[:2] / answer.sha256[2:]
    assert kept.read_bytes() == OK.content
    assert answer.origin is Origin.RECORDED


@pytest.mark.parametrize(
    ("stated", "origin"),
    [("synthetic", Origin.SYNTHETIC), ("live", Origin.RECORDED), ("nonsense", Origin.RECORDED)],
)
async def test_the_origin_header_can_lower_trust_but_not_claim_live(make_run, stated, origin):
    handler, _ = serving(httpx.Response(200, json={}, headers={"X-Relentless-Origin": stated}))
    assert (await (await fred(make_run, handler)).get_json("/x")).origin is origin


@pytest.mark.parametrize(
    "first",
    [
        httpx.Response(500),
        httpx.Response(503, html="<html>down</html>"),
        httpx.Response(429, headers={"Retry-After": "0"}),
        httpx.Response(429),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("peer closed connection"),
        httpx.ReadTimeout("slow"),
    ],
    ids=["500", "503-html", "429-wait", "429", "refused", "cut", "slow"],
)
async def test_a_passing_fault_is_retried(make_run, first):
    handler, calls = serving(first, OK)
    answer = await (await fred(make_run, handler)).get_json("/x")
    assert answer.value == {"a": 1}
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("answer", "error", "calls_made"),
    [
        (httpx.Response(500), SourceUnavailable, 3),
        (httpx.ConnectError("refused"), SourceUnavailable, 3),
        (httpx.Response(429), SourceRateLimited, 3),
        (httpx.Response(400, json={"error_message": "Bad."}), SourceRejected, 1),
        (httpx.Response(301, headers={"Location": "http://else.test"}), SourceRejected, 1),
        (httpx.Response(200, html="<html></html>"), SourceMalformed, 1),
        (httpx.Response(200, content=b"<?xml version='1.0'?><a/>"), SourceMalformed, 1),
        (httpx.Response(200, content=b'{"a": [1, 2'), SourceMalformed, 1),
        (httpx.Response(200, content=b'{"a": NaN}'), SourceMalformed, 1),
        (httpx.Response(200, content=b""), SourceMalformed, 1),
        (httpx.Response(200, content='{"a": "é"}'.encode("latin-1")), SourceMalformed, 1),
        (httpx.Response(200, content=b"[" * 100_000), SourceMalformed, 1),
    ],
    ids=[
        "500",
        "refused",
        "429",
        "400",
        "redirect",
        "html",
        "xml",
        "cut",
        "nan",
        "empty",
        "latin-1",
        "deep",
    ],
)
async def test_a_lasting_fault_is_a_typed_error(make_run, answer, error, calls_made):
    handler, calls = serving(answer)
    with pytest.raises(error) as caught:
        await (await fred(make_run, handler)).get_json("/x")
    assert caught.value.source == "fred"
    assert len(calls) == calls_made


async def test_damaged_compression_is_malformed(make_run):
    async def damaged(request):
        return httpx.Response(
            200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"not gzip")
        )

    handler, _ = serving(damaged)
    with pytest.raises(SourceMalformed, match="compression"):
        await (await fred(make_run, handler)).get_json("/x")


async def test_a_body_past_the_bound_is_refused(make_run):
    handler, _ = serving(httpx.Response(200, json={"a": "x" * 5_000}))
    with pytest.raises(SourceMalformed, match="larger than 1000"):
        await (await fred(make_run, handler, policy=Policy(max_bytes=1_000))).get_json("/x")


async def test_a_long_retry_after_ends_the_call_at_once(make_run):
    handler, calls = serving(httpx.Response(429, headers={"Retry-After": "3600"}))
    with pytest.raises(SourceRateLimited) as caught:
        await (await fred(make_run, handler)).get_json("/x")
    assert caught.value.retry_after == 3600
    assert len(calls) == 1


async def test_a_hung_source_is_cut_by_its_timeout(make_run):
    async def hang(request):
        await asyncio.Event().wait()

    handler, calls = serving(hang)
    with pytest.raises(SourceUnavailable, match="no answer"):
        await (await fred(make_run, handler, timeout_s=0.02)).get_json("/x")
    assert len(calls) == 3


async def test_the_budget_bounds_the_whole_call(make_run):
    async def hang(request):
        await asyncio.Event().wait()

    policy = Policy(attempts=1000, budget_s=0.2)
    handler, _ = serving(hang)
    with pytest.raises(SourceUnavailable):
        await (await fred(make_run, handler, policy=policy, timeout_s=60.0)).get_json("/x")


async def test_a_failing_source_is_not_asked_again_and_others_are(make_run):
    handler, calls = serving(httpx.Response(500))
    policy = Policy(attempts=1, breaker_failures=2, breaker_open_s=3600)
    run = await make_run(handler, policy=policy)
    source = run.source("fred", key_param="api_key")
    for _ in range(2):
        with pytest.raises(SourceUnavailable, match="500"):
            await source.get_json("/x")
    with pytest.raises(SourceUnavailable, match="not asked"):
        await source.get_json("/x")
    assert len(calls) == 2
    with pytest.raises(SourceUnavailable, match="500"):
        await run.source("congress").get_json("/x")


async def test_a_refused_request_does_not_open_the_breaker(make_run):
    handler, calls = serving(httpx.Response(400))
    source = await fred(make_run, handler, policy=Policy(breaker_failures=1))
    for _ in range(3):
        with pytest.raises(SourceRejected):
            await source.get_json("/x")
    assert len(calls) == 3


async def test_an_unchanged_body_is_not_sent_again_but_always_asked_for(make_run):
    sent = []

    async def tagged(request):
        sent.append(request.headers.get("if-none-match"))
        if sent[-1] == '"v1"':
            return httpx.Response(304, headers={"ETag": '"v1"'})
        headers = {"ETag": '"v1"', "Cache-Control": "max-age=3600"}
        return httpx.Response(200, json={"a": 1}, headers=headers)

    source = await fred(make_run, tagged)
    first = await source.get_json("/x")
    second = await source.get_json("/x")
    assert sent == [None, '"v1"']
    assert first.value == second.value
    assert first.sha256 == second.sha256


async def test_the_key_shows_nowhere(make_run, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    shown = []
    for answer in (
        httpx.Response(400, json={"error_message": f"{SECRET} is not registered"}),
        httpx.ConnectError(f"cannot reach http://fred.test/x?api_key={SECRET}"),
        httpx.Response(429),
    ):
        handler, _ = serving(answer)
        source = await fred(make_run, handler)
        with pytest.raises(Exception) as caught:
            await source.get_json("/x", {"note": SECRET})
        shown += [str(caught.value), repr(caught.value), repr(source)]
    handler, _ = serving(OK)
    answer = await (await fred(make_run, handler)).get_json("/x", {"note": SECRET})
    shown += [repr(answer), caplog.text, json.dumps([str(p) for p in tmp_path.rglob("*")])]
    assert not [text for text in shown if SECRET in text]


def test_retry_after_reads_seconds_and_dates_and_nothing_else():
    now = datetime(2013, 10, 7, tzinfo=UTC)
    assert retry_after("7", now) == 7
    assert retry_after(format_datetime(now + timedelta(seconds=9), usegmt=True), now) == 9
    assert retry_after(format_datetime(now - timedelta(seconds=9), usegmt=True), now) == 0
    for odd in (None, "", "soon", "-1", "1e9", "9" * 40):
        assert retry_after(odd, now) is None


def test_the_fast_policy_is_only_faster():
    assert FAST.max_bytes == Policy().max_bytes


async def test_bytes_come_as_they_are_with_the_sources_own_user_agent(make_run):
    seen = {}

    def handler(request):
        seen.update(request.headers)
        return httpx.Response(200, content=b"\xff<rss/>", headers={"content-type": "text/xml"})

    run = await make_run(handler)
    settings = run.source_settings("cnbc").model_copy(update={"user_agent": "Acme a@b.example"})
    answer = await run.upstream.source("cnbc", settings).get_bytes("/x", accept="text/xml")
    assert answer.value == b"\xff<rss/>"
    assert seen["user-agent"] == "Acme a@b.example" and seen["accept"] == "text/xml"


async def test_a_refusal_says_its_status(make_run):
    run = await make_run(lambda request: httpx.Response(403, content=b"no"))
    with pytest.raises(SourceRejected) as caught:
        await run.source("cnbc").get_bytes("/x")
    assert caught.value.status == 403
