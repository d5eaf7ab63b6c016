"""The supervisor, over real child processes that are small Python programs."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from relentless.cli.supervisor import Spec, Supervisor
from relentless.proto.errors import DeadlineExceeded, Unavailable

STEADY = """
import json, signal, sys, time
print("noise that is not JSON", flush=True)
def end(*_):
    with open(sys.argv[1], "a") as file:
        file.write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print(json.dumps({"ready": "steady", "pid": __import__("os").getpid()}), flush=True)
time.sleep(60)
"""
STUBBORN = """
import json, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(json.dumps({"ready": "stubborn"}), flush=True)
time.sleep(60)
"""
BROKEN = "import sys; sys.stderr.write('no such luck\\n'); sys.exit(3)"


class Events(list[tuple[str, str, dict[str, Any]]]):
    """What the supervisor told, in order."""

    def __call__(self, kind: str, name: str, fields: dict[str, Any]) -> None:
        self.append((kind, name, fields))


def program(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / f"{name}.py"
    path.write_text(text)
    return str(path)


@pytest.fixture
def events() -> Events:
    return Events()


def supervisor(tmp_path: Path, events: Events) -> Supervisor:
    return Supervisor(tmp_path / "logs", {}, events, command=(sys.executable,))


async def test_a_process_is_ready_when_it_says_so_and_ends_when_asked(
    tmp_path: Path, events: Events
) -> None:
    ended = tmp_path / "ended"
    async with supervisor(tmp_path, events) as run:
        child = run.start(Spec("a", (program(tmp_path, "a", STEADY), str(ended), "a"), 1))
        await run.wait_ready(["a"], 30)
        assert child.state == "ready"
        assert child.address["pid"] == child.process.pid  # type: ignore[union-attr]
    assert child.process is not None and child.process.returncode == 0
    assert ended.read_text() == "a\n"
    assert [kind for kind, _, _ in events] == ["ready"]


async def test_processes_end_stage_by_stage(tmp_path: Path, events: Events) -> None:
    ended = tmp_path / "ended"
    path = program(tmp_path, "a", STEADY)
    async with supervisor(tmp_path, events) as run:
        for name, stage in (("late", 3), ("first", 1), ("middle", 2)):
            run.start(Spec(name, (path, str(ended), name), stage))
        await run.wait_ready(["late", "first", "middle"], 30)
    assert ended.read_text().split() == ["first", "middle", "late"]


async def test_a_killed_process_is_started_again_and_takes_no_other_with_it(
    tmp_path: Path, events: Events
) -> None:
    path = program(tmp_path, "a", STEADY)
    async with supervisor(tmp_path, events) as run:
        victim = run.start(Spec("victim", (path, str(tmp_path / "e"), "v"), 1))
        other = run.start(Spec("other", (path, str(tmp_path / "e"), "o"), 1))
        await run.wait_ready(["victim", "other"], 30)
        before = other.process
        assert victim.process is not None
        first = victim.process.pid
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(30):
            while victim.restarts == 0:  # noqa: ASYNC110 - another process ends
                await asyncio.sleep(0.01)
        await run.wait_ready(["victim"], 30)
        assert victim.process.pid != first
        assert other.process is before and other.restarts == 0
    assert ("restart", "victim", {"exit": -signal.SIGKILL, "pause_s": 0.5}) in events


async def test_one_that_does_not_end_is_killed_and_said(tmp_path: Path, events: Events) -> None:
    run = supervisor(tmp_path, events)
    async with run:
        child = run.start(Spec("deaf", (program(tmp_path, "deaf", STUBBORN),), 1))
        await run.wait_ready(["deaf"], 30)
        await run.end(budget_s=0.3)
    assert ("killed", "deaf", {}) in events
    assert child.process is not None and child.process.returncode == -signal.SIGKILL


async def test_one_that_never_gets_ready_is_named_with_its_log(
    tmp_path: Path, events: Events
) -> None:
    async with supervisor(tmp_path, events) as run:
        run.start(Spec("bad", (program(tmp_path, "bad", BROKEN),), 1))
        with pytest.raises(Unavailable, match="no such luck"):
            await run.wait_ready(["bad"], 60)


async def test_waiting_for_readiness_has_a_limit(tmp_path: Path, events: Events) -> None:
    async with supervisor(tmp_path, events) as run:
        run.start(Spec("mute", (program(tmp_path, "mute", "import time; time.sleep(60)"),), 1))
        with pytest.raises(DeadlineExceeded, match="mute was not ready"):
            await run.wait_ready(["mute"], 0.2)


async def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    child = program(tmp_path, "child", STEADY)
    parent = program(
        tmp_path,
        "parent",
        f"""
import asyncio, json, pathlib, sys
from relentless.cli.supervisor import Spec, Supervisor
async def main():
    logs = pathlib.Path({str(tmp_path / "l")!r})
    run = Supervisor(logs, {{}}, lambda *_: None, command=(sys.executable,))
    async with run:
        run.start(Spec("c", ({child!r}, {str(tmp_path / "e")!r}, "c"), 1))
        await run.wait_ready(["c"], 30)
        print(json.dumps(run.children["c"].address), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
""",
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, parent, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pid = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))["pid"]
    process.kill()
    await process.wait()
    async with asyncio.timeout(30):
        while _alive(pid):  # noqa: ASYNC110 - another process ends
            await asyncio.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
