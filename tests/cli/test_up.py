"""``relentless up`` itself: every process real, the shipped day, at high speed."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from relentless.cli.up import Limits, _cause, _reach
from relentless.configs.settings import ClockSettings, Settings
from relentless.proto.errors import Unavailable
from relentless.serving.clients.feed import FeedClient, Received

pytestmark = pytest.mark.timeout(400)
LONG_S = 150.0
"""For what a loaded machine may take its time over."""
PROCESSES = {"sandbox", "hub", "model-server", "agents", "predictor", "trade"}
LIVE = Settings(clock=ClockSettings(mode="live"))
Event = dict[str, Any]


class Run:
    """A running ``relentless up --json``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[Event] = []

    async def hear(self, wanted: Callable[[Event], bool]) -> Event:
        """Read events until one is wanted."""
        stdout = self.process.stdout
        assert stdout is not None
        async with asyncio.timeout(LONG_S):
            while line := await stdout.readline():
                self.events.append(json.loads(line))
                if wanted(self.events[-1]):
                    return self.events[-1]
        raise AssertionError(f"ended with {await self.process.wait()}: {self.events[-3:]}")

    def ready(self) -> dict[str, Event]:
        """Give what each process said when it was ready."""
        return {said["process"]: said for said in self.events if said["event"] == "ready"}

    def children(self) -> dict[str, psutil.Process]:
        """Give the processes that it runs, by their command."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return {child.cmdline()[3]: child for child in found}


@asynccontextmanager
async def up(state: Path, *arguments: str) -> AsyncIterator[Run]:
    """Run ``relentless up``, and leave nothing of it."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RELENTLESS_") and not name.endswith(("_API_KEY", "_SECRET_KEY"))
    }
    words = ("-m", "relentless", "up", "--json", "--state", str(state), *arguments)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        cwd=state,
        env=clean,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Run(process)
    finally:
        if process.returncode is None:
            process.kill()  # its children end by themselves: the parent is gone
        await process.wait()


async def signal_after(address: str, key: str, session: str) -> Received:
    """Give the first signal of a session other than this one."""
    async with asyncio.timeout(LONG_S), FeedClient(address, key) as feed:
        async for event in feed:
            if isinstance(event, Received) and event.session != session:
                return event
    raise AssertionError("the feed ended")


async def test_a_run_signals_survives_its_predictor_and_ends_in_order(tmp_path: Path) -> None:
    async with up(tmp_path, "--speed", "600") as run:
        begun = await run.hear(lambda event: event["event"] == "run")
        first = await run.hear(lambda event: event["event"] == "first_signal")
        assert len(bytes.fromhex(first["frame"])) == 64
        named = run.ready()
        while set(named) != PROCESSES:
            await run.hear(lambda event: event["event"] == "ready")
            named = run.ready()
        before = run.children()
        assert set(before) == PROCESSES

        before["predictor"].kill()
        again = await run.hear(lambda event: event["event"] == "restart")
        assert again["process"] == "predictor" and again["exit"] == -signal.SIGKILL
        await run.hear(lambda e: e["event"] == "ready" and e["process"] == "predictor")
        key = (Path(begun["keys"]) / "reader.key").read_text().strip()
        received = await signal_after(begun["feed"], key, named["predictor"]["session"])
        assert received.signal.sequence >= 1
        after = run.children()
        assert {name for name in PROCESSES if before[name] != after[name]} == {"predictor"}

        run.process.send_signal(signal.SIGINT)
        end = await run.hear(lambda event: event["event"] == "end")
        assert end["restarts"] == {name: int(name == "predictor") for name in PROCESSES}
        assert end["signals"] > 0 and end["contexts"]
        async with asyncio.timeout(LONG_S):
            _, errors = await run.process.communicate()
        assert (run.process.returncode, errors) == (0, b"")
        assert not [child for child in after.values() if child.is_running()]
    for log in (Path(begun["state"]) / "logs").iterdir():
        assert "Traceback" not in log.read_text(), log.name


def test_an_error_of_ours_is_found_in_groups_and_a_defect_goes_on_up() -> None:
    ours = Unavailable("gone")
    assert _cause(ours) is ours
    assert _cause(ExceptionGroup("a", [ExceptionGroup("b", [ours])])) is ours
    with pytest.raises(ExceptionGroup):
        _cause(ExceptionGroup("a", [KeyError("defect")]))


@pytest.mark.parametrize("steps", range(8))
async def test_the_wait_for_a_limit_ends_when_cancelled_just_as_a_signal_comes(steps: int) -> None:
    class Watched:
        signalled = asyncio.Event()

    watched = Watched()
    task = asyncio.create_task(_reach(Limits(), LIVE, watched))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    watched.signalled.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    task.cancel()
    assert done and task.cancelled()
