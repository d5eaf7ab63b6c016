"""The online store: one contract, in process and on a real Redis that is stopped and restarted."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from relentless.proto.daily import DailyContext
from relentless.proto.errors import InvalidSettings, Unavailable
from relentless.store.online import LocalOnline, open_online
from relentless.store.online_redis import KEY


def context(number: int) -> DailyContext:
    return DailyContext(
        as_of=datetime(2013, 10, 7, 9, 30, tzinfo=UTC),
        trading_date=date(2013, 10, 7),
        context_id=f"{number:064x}",
        fold_version=1,
        head=number,
        fed_funds_rate=0.08,
        provenance={},
    )


class Server:
    """A redis-server on a Unix socket, keeping nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = f"--port 0 --unixsocket {self.folder}/redis.sock --save --appendonly no"
        self.process = subprocess.Popen(
            ["redis-server", *options.split(), "--dir", str(self.folder), "--loglevel", "warning"],
            stdout=subprocess.DEVNULL,
        )

    async def ready(self) -> None:
        async with asyncio.timeout(30):
            while True:
                client = Redis.from_url(self.url)
                try:
                    await client.ping()
                    return
                except (RedisError, OSError):
                    await asyncio.sleep(0.02)
                finally:
                    await client.aclose()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None
        (self.folder / "redis.sock").unlink(missing_ok=True)

    def freeze(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


@pytest.fixture
def server() -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server here: install it to test the online store on Redis")
    # A Unix socket's path is at most 107 bytes: pytest's own folder may be longer.
    with tempfile.TemporaryDirectory(prefix="relentless-") as folder:
        server = Server(Path(folder))
        server.start()
        yield server
        server.kill()


@pytest.fixture(params=["local", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[LocalOnline]:
    if request.param == "local":
        store = await open_online(None)
    else:
        server: Server = request.getfixturevalue("server")
        await server.ready()
        store = await open_online(server.url)
    yield store
    await store.close()


async def test_the_newest_context_comes_back_as_it_was_put(store: LocalOnline) -> None:
    assert await store.get_context() is None
    await store.put_context(context(1))
    await store.put_context(context(2))
    assert await store.get_context() == context(2)


async def test_a_watcher_gets_the_newest_then_each_newer_one(store: LocalOnline) -> None:
    await store.put_context(context(1))
    async with asyncio.timeout(30), aclosing(store.watch()) as contexts:
        assert await anext(contexts) == context(1)
        for number in (2, 3):
            await store.put_context(context(number))
            assert await anext(contexts) == context(number)


async def test_closing_ends_a_watcher_that_waits_for_the_first(store: LocalOnline) -> None:
    async def watch() -> list[DailyContext]:
        return [each async for each in store.watch()]

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.wait_for(watching, 30) == []


async def test_two_processes_share_a_context_on_redis(server: Server) -> None:
    await server.ready()
    hub, predictor = await open_online(server.url), await open_online(server.url)
    await hub.put_context(context(7))
    assert await predictor.get_context() == context(7)
    await hub.close()
    await predictor.close()


async def test_a_redis_that_is_away_is_a_typed_error_and_a_restarted_one_is_filled_again(
    server: Server,
) -> None:
    await server.ready()
    hub, predictor = await open_online(server.url), await open_online(server.url)
    await hub.put_context(context(1))
    async with asyncio.timeout(60), aclosing(predictor.watch()) as contexts:
        assert await anext(contexts) == context(1)
        server.kill()
        for use in (hub.put_context(context(2)), hub.get_context(), predictor.get_context()):
            with pytest.raises(Unavailable, match="cannot be used now") as refused:
                await use
            assert refused.value.retryable
        server.start()
        await server.ready()
        # Redis came back empty. The hub's store remembers what it could not put.
        assert await hub.get_context() == context(2)
        assert await predictor.get_context() == context(2)
        assert await anext(contexts) == context(2)
    await hub.close()
    await predictor.close()


async def test_a_redis_that_hangs_is_a_typed_error(server: Server) -> None:
    await server.ready()
    store = await open_online(server.url)
    await store.put_context(context(1))
    server.freeze()
    try:
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable):
                await store.get_context()
    finally:
        server.thaw()
    assert await store.get_context() == context(1)
    await store.close()


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"0" * 64 + b"\n{}"])
async def test_a_damaged_value_is_never_served(server: Server, damage: bytes) -> None:
    await server.ready()
    store = await open_online(server.url)
    client = Redis.from_url(server.url)
    await client.set(KEY, damage)
    await client.aclose()
    with pytest.raises(Unavailable, match="damaged"):
        await store.get_context()
    await store.close()


async def test_a_url_of_something_else_is_refused_without_its_password() -> None:
    with pytest.raises(InvalidSettings) as refused:
        await open_online("http://user:secret@127.0.0.1:1/0")
    assert "secret" not in str(refused.value)


async def test_an_error_names_the_server_without_its_password() -> None:
    store = await open_online("redis://user:secret@127.0.0.1:1/0")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1") as refused:
        await store.get_context()
    assert "secret" not in str(refused.value)
    await store.close()
