"""A disk that is full and a journal that somebody else locks: typed errors, and nothing lost.

A real hub process on a small file system, or with a quota of the kernel's. Reads go on; when there
is room again, or the lock is gone, writes do too, without hands.
"""

import asyncio
import resource
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from relentless.configs.clock import RunClock
from relentless.proto.errors import JournalBusy, RelentlessError, Unavailable
from relentless.serving.clients.hub import HubClient
from relentless.store.journal import open_journal
from relentless.store.schema import connect_writer
from tests.mcp_server.helpers import news
from tests.mcp_server.processes import LONG, HubProcess

pytestmark = [pytest.mark.promise("P1"), pytest.mark.promise("P2")]
ROOM_MB = 6
Act = Callable[[], object]


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[HubProcess, Act, Act]]:
    """Everything of the hub on a file system of a few megabytes: journal, keys and log."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        hub = HubProcess(folder, lease_s=0.2)
        grow = ["mount", "-o", f"remount,size={ROOM_MB * 4}m", str(folder)]
        stack.callback(hub.kill)
        assert hub.start()
        yield hub, lambda: None, lambda: subprocess.run(grow, check=True)


@contextmanager
def quota(folder: Path) -> Iterator[tuple[HubProcess, Act, Act]]:
    """No file of the hub's may grow past a few megabytes, and then none be written at all.

    In between there is room again and again, where SQLite begins its log anew.
    """
    hub = HubProcess(folder, lease_s=0.2)
    assert hub.start()

    def limit(size: int) -> None:
        resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    limit(ROOM_MB << 20)
    try:
        yield hub, lambda: limit(1), lambda: limit(resource.RLIM_INFINITY)
    finally:
        hub.kill()


@asynccontextmanager
async def callers(hub: HubProcess) -> AsyncIterator[tuple[HubClient, HubClient]]:
    """Give an agent and an operator."""
    async with (
        HubClient(hub.url, hub.credential("NewsAnalysisAgent")) as agent,
        HubClient(hub.url, hub.credential("operator")) as operator,
    ):
        yield agent, operator


def heavy(name: str, size: int = 15_000) -> dict[str, Any]:
    return news(topic="note", context={"text": "x" * size}, message_id=name)


async def whole(hub: HubProcess, acknowledged: dict[str, int]) -> None:
    """End the hub in order; its journal holds from end to end, and all that was acknowledged."""
    async with HubClient(hub.url, hub.credential("reader")) as reader:
        found: dict[str, int] = {}
        after = 0
        while messages := (await reader.read("note", after=after, limit=500))["messages"]:
            found |= {each["message"]["message_id"]: each["sequence"] for each in messages}
            after = messages[-1]["sequence"]
    assert acknowledged.items() <= found.items()
    assert hub.stop() == 0
    journal = await open_journal(hub.state / "hub" / "journal.db", RunClock.live())
    try:
        assert (await journal.verify()).sequence >= max(acknowledged.values())
    finally:
        await journal.close()


@pytest.mark.parametrize("small", [small_disk, quota])
async def test_a_full_disk_is_told_and_reads_go_on_until_there_is_room(
    tmp_path: Path, small: Callable[[Path], Any]
) -> None:
    with small(tmp_path / "small") as (hub, choke, free):
        acknowledged: dict[str, int] = {}
        async with callers(hub) as (agent, operator):
            refused: list[str] = []

            async def publish(name: str, size: int) -> None:
                try:
                    (receipt,) = await agent.publish([heavy(name, size)])
                    acknowledged[name] = receipt["sequence"]
                except JournalBusy as error:
                    assert error.retryable
                    refused.append(name)

            async def fill(size: int) -> None:
                before = len(refused)
                for number in range(0, 2_000, 8):
                    names = [f"{size}-{n}" for n in range(number, number + 8)]
                    async with asyncio.timeout(LONG):
                        await asyncio.gather(*(publish(name, size) for name in names))
                    if len(refused) >= before + 16:
                        return
                raise AssertionError("the disk never was full")

            for size in (15_000, 10):  # until not even a small message fits
                await fill(size)
            assert acknowledged

            choke()
            page = await agent.read("note", limit=3)
            assert [each["sequence"] for each in page["messages"]] == sorted(acknowledged.values())[
                :3
            ]
            assert (await operator.call("get_status"))["status"]["journal"]["head"] >= len(
                acknowledged
            )
            for tool, given in (
                ("build_daily_context", {}),
                ("run_agent", {"agent": "NewsAnalysisAgent"}),
            ):
                with pytest.raises(RelentlessError) as told:
                    await operator.call(tool, given)
                assert told.value.code in ("journal_busy", "not_found")
            with pytest.raises(Unavailable, match="could not be kept"):
                await operator.call("set_trading_halt", {"halted": True, "reason": "full"})
            assert (await operator.call("get_status"))["status"]["halt"]["halted"]

            free()
            for name in refused:
                size = int(name.partition("-")[0])
                (receipt,) = await agent.publish([heavy(name, size)])
                assert not receipt["duplicate"]
                acknowledged[name] = receipt["sequence"]
            await operator.call("set_trading_halt", {"halted": True, "reason": "kept now"})
            await operator.call("build_daily_context", {})
        await whole(hub, acknowledged)


async def test_a_journal_that_another_process_locks_is_read_and_written_when_it_is_free(
    tmp_path: Path,
) -> None:
    hub = HubProcess(tmp_path / "hub")
    assert hub.start()
    try:
        async with callers(hub) as (agent, _):
            (first,) = await agent.publish([heavy("first")])
            with closing(sqlite3.connect(hub.state / "hub" / "journal.db")) as other:
                other.execute("BEGIN EXCLUSIVE")
                waiting = asyncio.create_task(agent.publish([heavy("early")]))
                page = await agent.read("note")
                assert [each["sequence"] for each in page["messages"]] == [first["sequence"]]
                async with asyncio.timeout(LONG):
                    with pytest.raises(JournalBusy, match="another process"):
                        await waiting
                late = asyncio.create_task(agent.publish([heavy("late")]))
                await agent.read("note")
                other.rollback()
            async with asyncio.timeout(LONG):
                (receipt,) = await late
            acknowledged = {"first": first["sequence"], "late": receipt["sequence"]}
            (receipt,) = await agent.publish([heavy("early")])
            assert not receipt["duplicate"]
            acknowledged["early"] = receipt["sequence"]
        await whole(hub, acknowledged)
    finally:
        hub.kill()


async def test_a_start_beside_a_lock_waits_or_says_so_and_the_next_one_serves(
    tmp_path: Path,
) -> None:
    hub = HubProcess(tmp_path / "hub")
    assert hub.start()
    async with callers(hub) as (agent, _):
        (first,) = await agent.publish([heavy("first")])
    hub.kill()
    path = hub.state / "hub" / "journal.db"
    with closing(connect_writer(path, synchronous="FULL", vfs=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert not hub.start()
        assert hub.wait() == 2
        assert "free it, then retry" in hub.log.read_text()
        assert "Traceback" not in hub.log.read_text()
    assert hub.start()
    await whole(hub, {"first": first["sequence"]})
