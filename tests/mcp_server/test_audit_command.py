"""``relentless audit`` beside a hub that runs and writes, and without one."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from relentless.serving.clients.hub import HubClient

from .helpers import news
from .processes import LONG, HubProcess, hub_process


def audit(hub: HubProcess, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "relentless", "audit", *options],
        env=os.environ | {"RELENTLESS_SETTINGS": str(hub.file), "COLUMNS": "160"},
        cwd=hub.file.parent,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )


async def test_it_reads_and_verifies_beside_the_running_hub_and_without_it(tmp_path: Path) -> None:
    with hub_process(tmp_path / "hub") as hub:
        stop = asyncio.Event()

        async def publish() -> int:
            async with HubClient(hub.url, hub.credential("NewsAnalysisAgent")) as agent:
                number = 0
                while not stop.is_set():
                    await agent.publish([news(topic="news", message_id=f"m{number}")])
                    number += 1
                return number

        writing = asyncio.create_task(publish())
        try:
            seen = await asyncio.to_thread(audit, hub, "--json", "--limit", "500", "--verify")
        finally:
            stop.set()
        count = await writing
        assert seen.returncode == 0, seen.stderr
        assert "entries hold; the newest is" in seen.stderr
        entries = [json.loads(line) for line in seen.stdout.splitlines()]
        assert {entry["what"] for entry in entries} == {"publish_context"}
        assert sum(entry["count"] for entry in entries) <= count
        table = await asyncio.to_thread(audit, hub)
        assert "NewsAnalysisAgent" in table.stdout

        assert hub.stop() == 0
        after = await asyncio.to_thread(audit, hub, "--json", "--after", "0", "--limit", "500")
        assert after.returncode == 0, after.stderr
        assert "read instead" in after.stderr
        first = json.loads(after.stdout.splitlines()[0])
        assert first["who"] == "NewsAnalysisAgent"


def test_damage_that_only_a_whole_check_finds_is_told(tmp_path: Path) -> None:
    with hub_process(tmp_path / "hub") as hub:
        asyncio.run(_publish(hub))
        assert hub.stop() == 0
        path = hub.state / "hub" / "journal.db"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        told = audit(hub, "--verify")
    assert told.returncode == 2
    assert "restore the last good backup" in told.stderr
    assert "Traceback" not in told.stderr


async def _publish(hub: HubProcess) -> None:
    async with HubClient(hub.url, hub.credential("NewsAnalysisAgent")) as agent:
        await agent.publish([news(topic="note", context={"n": n}) for n in range(100)])


@pytest.mark.parametrize("options", [(), ("--verify",)])
def test_where_no_hub_ever_ran_it_says_so(tmp_path: Path, options: tuple[str, ...]) -> None:
    hub = HubProcess(tmp_path / "hub")
    told = audit(hub, *options)
    assert told.returncode == 2
    assert "no " in told.stderr
    assert "Traceback" not in told.stderr
