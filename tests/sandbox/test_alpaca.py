"""Alpaca's stream in a box, through a real websocket."""

import asyncio
import contextlib
import json
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from relentless.configs.clock import ManualClock, RunClock, to_ns
from relentless.configs.settings import Settings
from relentless.sandbox.alpaca import Stream
from relentless.sandbox.bars import RECORDED_TAPE, Bar, Trade, minute_bars
from relentless.sandbox.faults import Faults
from relentless.sandbox.generator import GeneratedTape
from relentless.sandbox.server import serve

DAY = date(2013, 10, 7)
WAIT_S = 30.0
Eastern = Callable[[str], Any]


class Client:
    """A client of the stream, bounded in every wait."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def say(self, **message: Any) -> None:
        await self._socket.send(json.dumps(message))

    async def raw(self, text: str | bytes) -> None:
        await self._socket.send(text)

    async def hear(self) -> list[dict[str, Any]]:
        async with asyncio.timeout(WAIT_S):
            frame: list[dict[str, Any]] = json.loads(await self._socket.recv())
        assert isinstance(frame, list)
        return frame

    async def control(self) -> dict[str, Any]:
        (message,) = await self.hear()
        return message

    async def enter(self, key: str = "key") -> None:
        assert await self.control() == {"T": "success", "msg": "connected"}
        await self.say(action="auth", key=key, secret="secret")
        assert await self.control() == {"T": "success", "msg": "authenticated"}

    async def subscribe(self, **channels: list[str]) -> dict[str, Any]:
        await self.say(action="subscribe", **channels)
        return await self.control()

    @property
    def origin(self) -> str | None:
        assert self._socket.response is not None
        return self._socket.response.headers.get("X-Relentless-Origin")


@contextlib.asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[Client]:
    async with connect(url, max_size=None, **options) as socket:
        yield Client(socket)


@contextlib.asynccontextmanager
async def box(clock: Any, **options: Any) -> AsyncIterator[str]:
    """The stream alone, with one invented symbol."""
    stream = Stream(GeneratedTape(("IBM",), DAY, DAY, 1), clock, **options)
    app = Faults(Starlette(routes=[stream.route()]))
    async with serve(Settings(recordings=None), clock, app=app) as (_, url):
        yield url


@pytest.fixture
def morning(eastern: Eastern) -> ManualClock:
    return ManualClock(eastern("2013-10-07T09:35"))


async def test_the_conversation_is_the_documented_one(morning: ManualClock) -> None:
    async with box(morning) as url, client(url) as me:
        assert me.origin == "synthetic"
        await me.enter()
        answer = await me.subscribe(trades=["IBM"], quotes=["IBM"], bars=["*"])
        assert answer == {
            "T": "subscription",
            "trades": ["IBM"],
            "quotes": ["IBM"],
            "bars": ["*"],
            "updatedBars": [],
            "dailyBars": [],
            "statuses": [],
            "lulds": [],
            "corrections": ["IBM"],
            "cancelErrors": ["IBM"],
        }
        await me.say(action="unsubscribe", quotes=["IBM"])
        answer = await me.control()
        assert (answer["trades"], answer["quotes"]) == (["IBM"], [])


async def test_headers_of_the_handshake_authenticate(morning: ManualClock) -> None:
    headers = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
    async with box(morning) as url, client(url, additional_headers=headers) as me:
        assert (await me.control())["msg"] == "connected"
        assert (await me.control())["msg"] == "authenticated"


async def test_errors_have_their_codes_and_the_connection_stays(morning: ManualClock) -> None:
    async with box(morning) as url, client(url) as me:
        assert (await me.control())["msg"] == "connected"
        for message, code in (
            ('{"action":"subscribe","trades":["IBM"]}', 401),
            ("{broken", 400),
            (b"\x81\xa6action\xa4auth", 400),
            ('["no object"]', 400),
            ('{"action":"auth","key":"","secret":""}', 402),
        ):
            await me.raw(message)
            assert (await me.control())["code"] == code
        await me.say(action="auth", key="k", secret="s")
        assert (await me.control())["msg"] == "authenticated"
        many = [f"A{n}" for n in range(31)]
        for body, code, words in (
            ({"action": "auth", "key": "k", "secret": "s"}, 403, "already authenticated"),
            ({"action": "subscribe", "trades": many}, 405, "symbol limit exceeded"),
            ({"action": "subscribe", "quotes": ["*"]}, 405, "symbol limit exceeded"),
            ({"action": "subscribe", "news": ["IBM"]}, 410, "invalid subscribe action"),
            ({"action": "subscribe", "trades": "IBM"}, 400, "invalid syntax"),
            ({"action": "dance"}, 400, "invalid syntax"),
        ):
            await me.say(**body)
            answer = await me.control()
            assert (answer["T"], answer["code"]) == ("error", code)
            assert words in answer["msg"]
        assert (await me.subscribe(trades=["IBM"]))["T"] == "subscription"


async def test_silence_before_authentication_ends_the_connection(morning: ManualClock) -> None:
    async with box(morning, auth_timeout_s=0.05) as url, client(url) as me:
        await me.control()
        assert await me.control() == {"T": "error", "code": 404, "msg": "auth timeout"}
        with pytest.raises(ConnectionClosed):
            await me.hear()


async def test_a_second_connection_of_a_key_is_refused_and_the_first_goes_on(
    morning: ManualClock,
) -> None:
    async with box(morning, linger_s=0.05) as url:
        async with client(url) as first:
            await first.enter()
            async with client(url) as second:
                assert (await second.control())["msg"] == "connected"
                await second.say(action="auth", key="key", secret="secret")
                assert (await second.control())["code"] == 406
                with pytest.raises(ConnectionClosed):
                    await second.hear()
            async with client(url) as other:
                await other.enter("another")
            assert (await first.subscribe(trades=["IBM"]))["T"] == "subscription"
        async with asyncio.timeout(WAIT_S):
            while True:
                async with client(url) as again:
                    await again.control()
                    await again.say(action="auth", key="key", secret="secret")
                    if (await again.control())["T"] == "success":
                        break


async def test_an_unknown_feed_is_refused(morning: ManualClock) -> None:
    async with box(morning) as url:
        with pytest.raises(InvalidStatus):
            await connect(url.replace("iex", "nothing"))


async def test_messages_come_once_the_clock_has_passed_their_time(
    morning: ManualClock, eastern: Eastern
) -> None:
    tape = GeneratedTape(("IBM",), DAY, DAY, 1)
    since = to_ns(morning.now())
    async with box(morning) as url, client(url) as me:
        await me.enter()
        await me.subscribe(trades=["IBM"], quotes=["IBM"], bars=["IBM"])
        heard: list[dict[str, Any]] = []
        for minute in (36, 38):
            until = eastern(f"2013-10-07T09:{minute}") + timedelta(microseconds=1)
            expected = []
            for message in tape.play(since):
                if message.ns > to_ns(until):
                    break
                if message.channel in {"trades", "quotes", "bars"}:
                    expected.append(json.loads(message.text))
            morning.move_to(until)
            while len(heard) < len(expected):
                heard += await me.hear()
            assert heard == expected
            assert {item["T"] for item in heard} == {"t", "q", "b"}


async def test_a_fast_clock_plays_a_stretch_of_the_day(eastern: Eastern) -> None:
    import time

    clock = RunClock(eastern("2013-10-07T09:59"), 600.0, time.time())
    async with box(clock) as url, client(url) as me:
        await me.enter()
        await me.subscribe(bars=["IBM"])
        starts: list[str] = []
        while len(starts) < 5:
            starts += [item["t"] for item in await me.hear()]
    assert starts == sorted(starts)
    assert starts[0] >= "2013-10-07T13:58:00Z"


async def test_two_fast_plays_send_the_same_frames(morning: ManualClock) -> None:
    async def play(url: str, key: str) -> list[dict[str, Any]]:
        async with client(url) as me:
            await me.enter(key)
            await me.subscribe(bars=["*"], statuses=["*"])
            found: list[dict[str, Any]] = []
            while not found or found[-1]["t"] < "2013-10-07T20:00:00Z":
                found += await me.hear()
            return found

    async with box(morning, fast=True) as url:
        assert await play(url, "a") == await play(url, "b")


async def test_a_client_that_does_not_read_is_let_go(morning: ManualClock) -> None:
    symbols = Settings(recordings=None).predictor.symbols
    stream = Stream(GeneratedTape(symbols, DAY, DAY, 1), morning, fast=True, patience_s=0.3)
    app = Faults(Starlette(routes=[stream.route()]))
    async with serve(Settings(recordings=None), morning, app=app) as (_, url):
        host, _, port = url.removeprefix("ws://").removesuffix("/v2/iex").partition(":")
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        narrow.connect((host, int(port)))
        async with client(url, sock=narrow, max_queue=1, close_timeout=0.1) as me:
            await me.enter()
            await me.subscribe(trades=list(symbols), quotes=list(symbols))
            async with asyncio.timeout(WAIT_S):
                while True:  # the key is free again once the stream has let go of its holder
                    async with client(url) as other:
                        await other.control()
                        await other.say(action="auth", key="key", secret="secret")
                        if (await other.control())["T"] == "success":
                            break


async def replay(url: str, last: str) -> dict[str, list[dict[str, Any]]]:
    """Take the whole recorded tape; give its messages by type."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    async with client(url) as me:
        assert me.origin == "recorded"
        await me.enter()
        await me.subscribe(trades=["IBM"], quotes=["IBM"], bars=["IBM"])
        while not found["b"] or found["b"][-1]["t"] != last:
            for item in await me.hear():
                found[item["T"]].append(item)
    return found


def official(recordings: Path) -> dict[int, tuple[float, ...]]:
    """Read the vendor's bars: minute of the day in ms -> open, high, low, close, volume."""
    with ZipFile(recordings / "ticks" / "lean_IBM_20131007_minute_trade.zip") as archive:
        lines = archive.read(archive.namelist()[0]).decode().split()
    rows = [[int(part) for part in line.split(",")] for line in lines]
    return {row[0]: (*(price / 10_000 for price in row[1:5]), row[5]) for row in rows}


async def test_replayed_trades_make_the_official_minute_bars(
    recordings: Path, eastern: Eastern
) -> None:
    settings = Settings(recordings=recordings)
    settings = settings.model_copy(
        update={"sandbox": settings.sandbox.model_copy(update={"tape": "fast"})}
    )
    midnight = to_ns(eastern("2013-10-07T00:00"))
    clock = ManualClock(eastern("2013-10-07T05:25"))
    async with serve(settings, clock) as (_, url):
        found = await replay(url, last="2013-10-07T23:26:00Z")
    assert (len(found["t"]), len(found["q"])) == (24_293, 54_534)

    trades = [
        Trade(_ns(item["t"], midnight), item["p"], item["s"], item["c"]) for item in found["t"]
    ]
    ours = {
        (bar.start_ns - midnight) // 1_000_000: bar for bar in minute_bars(trades, RECORDED_TAPE)
    }
    theirs = official(recordings)
    assert len(theirs) == 453
    assert set(ours) == set(theirs)
    assert sum(ours[minute].volume == bar[4] for minute, bar in theirs.items()) >= 449
    assert sum(_prices(ours[minute]) == bar[:4] for minute, bar in theirs.items()) >= 450

    sent = [tuple(item[name] for name in "ohlcvn") for item in found["b"]]
    assert sent == [(*_prices(bar), bar.volume, bar.count) for bar in ours.values()]
    assert [item["i"] for item in found["t"]] == list(range(1, 24_294))
    assert {item["z"] for item in found["t"]} == {"A"}


def _prices(bar: Bar) -> tuple[float, float, float, float]:
    return (bar.open, bar.high, bar.low, bar.close)


def _ns(text: str, midnight: int) -> int:
    """Read a time of that day, "2013-10-07T13:30:00.123Z"; Eastern is four hours behind."""
    clock, _, fraction = text[11:-1].partition(".")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    whole = ((hours - 4) * 3600 + minutes * 60 + seconds) * 1_000_000_000
    return midnight + whole + int(fraction.ljust(9, "0"))
