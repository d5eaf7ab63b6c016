"""Promise P11 under load: floods, while a good client calls.

A real hub process; what it holds in memory is read from outside.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest

from relentless.mcp_server.sessions import MAX_EACH
from relentless.mcp_server.subscriptions import MAX_PER_SESSION, MAX_STREAMS_EACH

from .hostile import LEGACY, headers, leaks, request, said
from .operations import META
from .processes import LONG, HubProcess, hub_process

pytestmark = pytest.mark.promise("P11")
REQUEST_S = 2.0
ANSWER_S = 10.0
"""Seconds within which a good client is answered, whatever others do."""
HELD_MB = 180.0
"""Of the hub with 1,000 open subscriptions."""
FLOOD_MB = 60.0
"""What a flood may add to the hub's memory."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    folder = tmp_path_factory.mktemp("flood")
    with hub_process(folder, rate_per_s=100_000.0, request_s=REQUEST_S) as running:
        with GoodClient(running):
            pass  # whatever a first call loads is not a flood's doing
        yield running
        assert "Traceback" not in running.log.read_text()


class GoodClient:
    """Calls a tool again and again on a thread of its own; leaving says how it went."""

    def __init__(self, hub: HubProcess) -> None:
        self._url = hub.url
        self._headers = headers(hub.credential("reader"), "get_status")
        self._body = json.dumps(request("get_status", {}, modern=True))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.slowest = 0.0
        self.calls = 0
        self.failed: list[str] = []

    def __enter__(self) -> "GoodClient":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LONG)
        assert self.failed == []
        assert self.calls > 0
        assert self.slowest < ANSWER_S

    def _run(self) -> None:
        while not self._stop.is_set() or not self.calls:
            begun = time.monotonic()
            try:
                answer = httpx.post(
                    self._url, content=self._body, headers=self._headers, timeout=LONG
                )
                assert "status" in said(answer.text)["result"]["structuredContent"]
            except Exception as error:  # whatever it was, the client was not served
                self.failed.append(repr(error))
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.calls += 1
            self._stop.wait(0.02)


@contextmanager
def bounded(hub: HubProcess, most_mb: float = FLOOD_MB) -> Iterator[None]:
    """Hold the hub to serve a good client, and not to grow, while something goes on."""
    before = hub.rss_mb()
    with GoodClient(hub):
        yield
    grown = hub.rss_mb() - before
    assert grown < most_mb, f"grew by {grown:.0f} MB from {before:.0f} MB"


def refused(answer: httpx.Response, hub: HubProcess) -> None:
    assert 400 <= answer.status_code < 500, answer.text[:200]
    assert leaks(answer.text, hub.secrets(), str(hub.state)) == []
    assert len(answer.content) < 2_000


@pytest.mark.parametrize("who", ["operator", "predictor", ""])
@pytest.mark.parametrize("path", ["/mcp", "/control/lease"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_a_hundred_megabytes_is_refused_and_not_kept(
    hub: HubProcess, who: str, path: str, chunked: bool
) -> None:
    piece = b"x" * 1_000_000
    head = headers(hub.credential(who) if who else "x", "publish_context")
    given = {} if chunked else {"content-length": str(100 * len(piece))}
    with bounded(hub), httpx.Client(timeout=LONG) as client:
        pieces = (piece for _ in range(100))
        url = hub.url.removesuffix("/mcp") + path
        try:
            answer = client.post(url, content=pieces, headers=head | given)
        except httpx.WriteError:  # answered and closed while we still sent
            return
        refused(answer, hub)


@pytest.mark.parametrize("path", ["/mcp", "/control/lease"])
@pytest.mark.parametrize("version", ["2026-07-28", LEGACY])
@pytest.mark.parametrize("kind", ["[", '{"a":', '{"jsonrpc":"2.0","id":1,"params":['])
def test_a_body_of_depth_a_hundred_thousand_is_refused(
    hub: HubProcess, path: str, version: str, kind: str
) -> None:
    head = headers(hub.credential("predictor"), "get_status") | {"mcp-protocol-version": version}
    with bounded(hub):
        body = kind * 100_000 + ("]" if kind[-1] == "[" else "1}") * 100_000
        refused(httpx.post(_at(hub, path), content=body[:4_000_000], headers=head), hub)
        # The same within a call that is else as it should be.
        call = json.dumps(request("get_status", {}, modern=True))
        deep = call.replace('"arguments": {}', f'"arguments": {"[" * 100_000 + "]" * 100_000}')
        refused(httpx.post(_at(hub, path), content=deep, headers=head), hub)


def _at(hub: HubProcess, path: str) -> str:
    return hub.url.removesuffix("/mcp") + path


Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def wires(hub: HubProcess, count: int) -> AsyncIterator[list[Wire]]:
    """Open so many connections."""
    opened = []
    try:
        for _ in range(count):
            async with asyncio.timeout(LONG):
                opened.append(await asyncio.open_connection("127.0.0.1", hub.port))
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()
        await asyncio.gather(
            *(writer.wait_closed() for _, writer in opened), return_exceptions=True
        )


async def last_words(wire: Wire) -> bytes:
    """Read until the hub closes the connection."""
    async with asyncio.timeout(REQUEST_S + LONG):
        try:
            return await wire[0].read()
        except ConnectionError:
            return b""


BEGUN = b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\n"


async def test_connections_that_say_nothing_or_half_of_something_are_ended(
    hub: HubProcess, soak: bool
) -> None:
    starts = [b"", b"P", b"\r\n", BEGUN, BEGUN + b"content-length: 10\r\n\r\n{"]
    with bounded(hub):
        async with wires(hub, 3_000 if soak else 400) as opened:
            for number, (_, writer) in enumerate(opened):
                writer.write(starts[number % len(starts)])
            ends = await asyncio.gather(*map(last_words, opened))
    said_so = [end for end in ends if b"408 Request Timeout" in end]
    assert len(said_so) >= len(ends) * 3 // 5  # the last of the starts is answered 401 before
    assert json.loads(said_so[0].partition(b"\r\n\r\n")[2])["error"]["code"] == "deadline_exceeded"


async def test_a_body_of_a_byte_a_second_is_ended_at_its_deadline(hub: HubProcess) -> None:
    key = hub.credential("operator").encode()
    starts = [
        BEGUN + b"x-api-key: " + key + b"\r\ncontent-length: 1000\r\n" + more + b"\r\n"
        for more in (
            b"content-type: application/json\r\naccept: application/json, text/event-stream\r\n",
            b"mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\n"
            b"mcp-name: publish_context\r\ncontent-type: application/json\r\n"
            b"accept: application/json, text/event-stream\r\n",
        )
    ]
    with bounded(hub):
        async with wires(hub, 60) as opened:

            async def trickle(number: int, wire: Wire) -> bytes:
                ending = asyncio.create_task(last_words(wire))
                wire[1].write(starts[number % len(starts)])
                while not ending.done():
                    wire[1].write(b"x")
                    await asyncio.wait({ending}, timeout=1.0)
                return ending.result()

            begun = time.monotonic()
            ends = await asyncio.gather(*(trickle(n, wire) for n, wire in enumerate(opened)))
            took = time.monotonic() - begun
    assert took < REQUEST_S + ANSWER_S
    assert all(b"408 Request Timeout" in end for end in ends if end)
    assert any(ends)


async def test_a_head_without_an_end_is_refused(hub: HubProcess) -> None:
    with bounded(hub):
        async with wires(hub, 5) as opened:
            for _, writer in opened:
                writer.write(BEGUN)
                writer.write(b"".join(b"x-%d: %b\r\n" % (n, b"y" * 100) for n in range(650)))
            ends = await asyncio.gather(*map(last_words, opened))
        async with wires(hub, 1) as (endless,):
            endless[1].write(BEGUN)
            with pytest.raises(ConnectionError):
                for _ in range(1_000):
                    endless[1].write(b"x: %b\r\n" % (b"y" * 100_000))
                    await endless[1].drain()
    # What was still on its way may have the connection reset before the answer is read.
    assert all(b"431 Request Header Fields Too Large" in end for end in ends if end)


def listen(key: str, uris: list[str], number: int = 1) -> bytes:
    """Give the bytes of a request for a stream."""
    params = {"notifications": {"resourceSubscriptions": uris}, "_meta": META}
    call = {"jsonrpc": "2.0", "id": number, "method": "subscriptions/listen", "params": params}
    body = json.dumps(call).encode()
    head = headers(key, None) | {"mcp-method": "subscriptions/listen"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return BEGUN + lines.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


async def first_words(wire: Wire) -> bytes:
    async with asyncio.timeout(LONG):
        try:
            head = await wire[0].readuntil(b"\r\n\r\n")
            return head + await wire[0].read(1_000)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""


async def test_a_thousand_subscriptions_fit_and_further_ones_are_refused(
    hub: HubProcess, soak: bool
) -> None:
    """One caller cannot take all of them, so that others may still listen."""
    key = hub.credential("operator")
    beyond = 9_000 if soak else 100
    with GoodClient(hub):
        async with wires(hub, MAX_STREAMS_EACH) as opened:
            for _, writer in opened:
                writer.write(listen(key, ["context://daily", "agents://"]))
            answers = await asyncio.gather(*map(first_words, opened))
            assert Counter(b"subscriptions/acknowledged" in each for each in answers) == {
                True: MAX_STREAMS_EACH
            }
            held = hub.rss_mb()
            for start in range(0, beyond, 500):
                async with wires(hub, min(500, beyond - start)) as more:
                    for _, writer in more:
                        writer.write(listen(key, ["context://daily"]))
                    late = await asyncio.gather(*map(first_words, more))
                    assert all(b"overloaded" in each for each in late)
            async with wires(hub, 1) as (other,):
                other[1].write(listen(hub.credential("reader"), ["context://daily"]))
                assert b"subscriptions/acknowledged" in await first_words(other)
    assert held < HELD_MB, f"{held:.0f} MB with {MAX_STREAMS_EACH} subscriptions"
    print(f"\n{held:.0f} MB with {MAX_STREAMS_EACH} open subscriptions")


async def test_what_a_stream_may_watch_is_bounded(hub: HubProcess) -> None:
    key = hub.credential("operator")
    many = [f"context://topic/news?after={number}" for number in range(MAX_PER_SESSION + 1)]
    with bounded(hub):
        async with wires(hub, 2) as opened:
            for (_, writer), uris in zip(opened, (many, ["agents://" + "x" * 600]), strict=True):
                writer.write(listen(key, uris))
            for answer in await asyncio.gather(*map(first_words, opened)):
                assert b"invalid_input" in answer


def test_a_caller_has_its_share_of_the_older_sessions_and_of_their_subscriptions(
    hub: HubProcess, soak: bool
) -> None:
    hello = {
        "protocolVersion": LEGACY,
        "clientInfo": {"name": "t", "version": "1"},
        "capabilities": {},
    }
    opening = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
    mine, other = (
        {
            name: value
            for name, value in headers(hub.credential(who), None).items()
            if "mcp" not in name
        }
        for who in ("TradingAgent", "reader")
    )
    with bounded(hub), httpx.Client(timeout=LONG) as client:
        opened = [client.post(hub.url, json=opening, headers=mine) for _ in range(MAX_EACH)]
        sessions = [answer.headers["mcp-session-id"] for answer in opened]
        late = client.post(hub.url, json=opening, headers=mine)
        assert (late.status_code, said(late.text)["error"]["data"]["code"]) == (429, "overloaded")
        assert client.post(hub.url, json=opening, headers=other).status_code == 200
        outcomes: Counter[str] = Counter()
        for session in sessions if soak else sessions[:2]:
            head = headers(hub.credential("TradingAgent"), None, session=session)
            for number in range(MAX_PER_SESSION + 20):
                params = {"uri": f"context://topic/news?after={number}"}
                call = {"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe"}
                answer = client.post(hub.url, json=call | {"params": params}, headers=head)
                error = said(answer.text).get("error", {"data": {"code": "subscribed"}})
                outcomes[error["data"]["code"]] += 1
        assert outcomes["overloaded"] * MAX_PER_SESSION == outcomes["subscribed"] * 20
        for session in sessions:
            head = headers(hub.credential("TradingAgent"), None, session=session)
            assert client.delete(hub.url, headers=head).status_code == 200
        assert client.post(hub.url, json=opening, headers=mine).status_code == 200
