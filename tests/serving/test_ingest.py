"""The market-data reader, against frames written by hand after Alpaca's documented contract."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from relentless.proto.errors import (
    SourceError,
    SourceMalformed,
    SourceRejected,
    SourceUnavailable,
)
from relentless.proto.tick import TICK_STRUCT, Condition
from relentless.serving import alpaca
from relentless.serving.ingest import ORIGIN_HEADER, AlpacaIngest, StreamReader
from relentless.store.symbols import SymbolDirectory

LIMIT_S = 20.0
TRADE = {
    "T": "t",
    "i": 96921,
    "S": "AAPL",
    "x": "D",
    "p": 126.55,
    "s": 1,
    "t": "2021-02-22T15:51:44.208Z",
    "c": ["@"],
    "z": "C",
}
QUOTE = {
    "T": "q",
    "S": "AAPL",
    "bx": "U",
    "bp": 126.5,
    "bs": 1,
    "ax": "Q",
    "ap": 126.6,
    "as": 2,
    "t": "2021-02-22T15:51:44.1Z",
    "c": ["R"],
    "z": "C",
}
AT_NS = 1_614_009_104_208_000_000


class Taken:
    """Keeps the ticks, packed as the live path does, and the holds."""

    def __init__(self) -> None:
        self.ticks: list[tuple[Any, ...]] = []
        self.holds: list[tuple[int, bool]] = []

    def push(self, *tick: Any) -> None:
        TICK_STRUCT.pack(*tick)
        self.ticks.append(tick)

    def hold(self, symbol: int, held: bool) -> None:
        self.holds.append((symbol, held))


def new_reader() -> tuple[StreamReader, Taken]:
    taken = Taken()
    return StreamReader(("SPY", "AAPL"), SymbolDirectory(), taken), taken


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2021-02-22T15:51:44.208Z", AT_NS),
        ("2021-02-22T15:51:44.208000001Z", AT_NS + 1),
        ("2021-02-22T15:51:44Z", AT_NS - 208_000_000),
        ("2021-02-22T10:51:44.208-05:00", AT_NS),
        ("2013-10-07T09:30:00.999999999-04:00", 1_381_152_600_999_999_999),
    ],
)
def test_times_are_read_to_the_nanosecond(text: str, ns: int) -> None:
    assert alpaca.parse_ns(text) == ns


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_other_text_is_a_value_error(text: str) -> None:
    try:
        alpaca.parse_ns(text)
    except ValueError:
        return
    assert text[4] == text[7] == "-" or text[:8].isdigit() or "W" in text


def test_a_trade_is_a_tick_with_the_quote_before_it() -> None:
    reader, taken = new_reader()
    reader.take([TRADE, QUOTE, TRADE])
    assert taken.ticks == [
        (AT_NS, 2, 0, 126.55, 0.0, 0.0, 1),
        (AT_NS, 2, 0, 126.55, 126.5, 126.6, 1),
    ]


@pytest.mark.parametrize(
    ("codes", "tape", "recorded", "not_last"),
    [
        (["@"], "C", False, False),
        (["@", "F"], "C", False, False),
        (["@", "I"], "C", False, True),
        (["@", "T"], "C", False, False),
        (["@", "W"], "C", False, True),
        ([" ", "B"], "A", False, True),
        (["@", "B"], "C", False, False),
        ([" ", "F"], "A", True, True),
        ([" ", "F", "T"], "A", True, False),
        ([" ", "M"], "A", True, True),
        ([" "], "A", True, False),
    ],
)
def test_sale_conditions_say_what_sets_the_last_price(
    codes: list[str], tape: str, recorded: bool, not_last: bool
) -> None:
    bits = alpaca.conditions_of(tuple(codes), tape, recorded)
    assert bool(bits & Condition.NOT_LAST) == not_last
    assert bool(bits & Condition.EXTENDED_HOURS) == ("T" in codes)


@pytest.mark.parametrize(
    ("origin", "bit"),
    [
        ("live", Condition.NONE),
        ("recorded", Condition.RECORDED),
        ("synthetic", Condition.SYNTHETIC),
        ("something new", Condition.SYNTHETIC),
    ],
)
def test_every_tick_carries_its_origin(origin: str, bit: Condition) -> None:
    reader, taken = new_reader()
    reader.origin(origin)
    reader.take([TRADE])
    assert taken.ticks[0][2] == bit


def test_a_status_holds_a_symbol_and_lets_it_go() -> None:
    reader, taken = new_reader()
    status = {"T": "s", "S": "SPY", "sm": "", "rc": "", "rm": "", "t": TRADE["t"], "z": "B"}
    reader.take([{**status, "sc": code} for code in ("H", "5", "T", "2", "3")])
    assert taken.holds == [(1, True), (1, False), (1, True), (1, False)]


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"T": "t"},
        {**TRADE, "t": "yesterday"},
        {**TRADE, "t": None},
        {**TRADE, "p": "x"},
        {**TRADE, "s": None},
        {**TRADE, "S": "UNKNOWN"},
        {**TRADE, "s": float("inf")},
        {**TRADE, "s": 10**30},
        {**TRADE, "t": "9999-12-31T23:59:59Z"},
        {"T": "q", "S": "AAPL", "bp": None, "ap": 1},
        {"T": "s"},
        {"T": ["t"]},
        17,
        None,
    ],
)
def test_one_bad_message_is_counted_and_the_next_is_read(bad: Any) -> None:
    reader, taken = new_reader()
    reader.take([bad, TRADE])
    assert len(taken.ticks) == 1
    assert reader.counts["malformed"] == 1


def test_corrections_cancels_and_bars_are_counted() -> None:
    reader, taken = new_reader()
    reader.take([{"T": "c", "S": "AAPL"}, {"T": "x", "S": "AAPL"}, {"T": "b", "S": "AAPL"}])
    assert (reader.counts["c"], reader.counts["x"], reader.counts["b"]) == (1, 1, 1)
    assert not taken.ticks


@pytest.mark.parametrize("code", range(400, 413))
def test_every_error_code_has_its_class(code: int) -> None:
    reader, _ = new_reader()
    with pytest.raises(SourceError) as caught:
        reader.take([{"T": "error", "code": code, "msg": "m"}])
    assert caught.value.retryable == (code in (404, 406, 407, 412))


Script = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def stream(script: Script, origin: str | None = None) -> AsyncIterator[str]:
    """A websocket that plays a script to everybody who connects."""

    def mark(_: ServerConnection, __: Request, response: Response) -> Response:
        if origin:
            response.headers[ORIGIN_HEADER] = origin
        return response

    async with serve(script, "127.0.0.1", 0, process_response=mark) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/v2/iex"


async def greet(socket: ServerConnection) -> dict[str, Any]:
    """Play the opening as the contract has it, and give the subscription that was asked for."""
    await socket.send(json.dumps([{"T": "success", "msg": "connected"}]))
    auth = json.loads(await socket.recv())
    assert auth == {"action": "auth", "key": "id", "secret": "secret"}
    await socket.send(json.dumps([{"T": "success", "msg": "authenticated"}]))
    asked: dict[str, Any] = json.loads(await socket.recv())
    await socket.send(json.dumps([{**asked, "T": "subscription"}]))
    return asked


async def read_until(url: str, done: Callable[[Taken], bool]) -> tuple[Taken, AlpacaIngest]:
    reader, taken = new_reader()
    ingest = AlpacaIngest(url, "id", "secret", ("SPY", "AAPL"), reader)
    task = asyncio.create_task(ingest.run())
    try:
        async with asyncio.timeout(LIMIT_S):
            while not done(taken):  # noqa: ASYNC110 - what is waited for lives in another task
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return taken, ingest


async def test_the_opening_follows_the_contract_and_the_origin_is_the_server_s() -> None:
    asked: list[dict[str, Any]] = []

    async def script(socket: ServerConnection) -> None:
        asked.append(await greet(socket))
        await socket.send(json.dumps([QUOTE, TRADE]))
        await socket.wait_closed()

    async with stream(script, origin="synthetic") as url:
        taken, _ = await read_until(url, lambda taken: bool(taken.ticks))
    assert asked[0]["trades"] == asked[0]["quotes"] == ["SPY", "AAPL"]
    assert taken.ticks == [(AT_NS, 2, Condition.SYNTHETIC, 126.55, 126.5, 126.6, 1)]


@pytest.mark.parametrize("fault", ["close", "abort", "garbage", "deep", "object", "error"])
async def test_a_cut_stream_is_opened_again(fault: str) -> None:
    opened = 0

    async def script(socket: ServerConnection) -> None:
        nonlocal opened
        opened += 1
        await greet(socket)
        await socket.send(json.dumps([TRADE]))
        if opened == 1:
            if fault == "abort":
                socket.transport.abort()
            elif fault in ("garbage", "deep", "object", "error"):
                error = json.dumps([{"T": "error", "code": 500, "msg": "internal error"}])
                sent = {"garbage": "{[", "deep": "[" * 200_000, "object": "{}", "error": error}
                await socket.send(sent[fault])
                await socket.wait_closed()
            return
        await socket.wait_closed()

    async with stream(script) as url:
        _, ingest = await read_until(url, lambda taken: len(taken.ticks) == 2)
    assert ingest.connections == 2


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (402, SourceRejected),
        (406, SourceUnavailable),
        (409, SourceRejected),
        ("x", SourceMalformed),
        (None, SourceMalformed),
    ],
)
async def test_a_refused_authentication_is_a_typed_error(code: Any, error: type[Exception]) -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.send(json.dumps([{"T": "success", "msg": "connected"}]))
        await socket.recv()
        await socket.send(json.dumps([{"T": "error", "code": code, "msg": "no"}]))
        await socket.wait_closed()

    reader, _ = new_reader()
    async with stream(script) as url:
        ingest = AlpacaIngest(url, "id", "secret", ("SPY",), reader)
        with pytest.raises(error):
            async with asyncio.timeout(LIMIT_S):
                await ingest._open()


def test_quotes_of_symbols_that_nobody_asked_for_fill_no_memory() -> None:
    reader, _ = new_reader()
    reader.take([{**QUOTE, "S": f"X{n}"} for n in range(50)] + [QUOTE])
    assert list(reader._quotes) == ["AAPL"]
