"""Clients that are not ours: the TypeScript SDK in both of its lines, on node, over HTTP."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from relentless.tools.access import ACCESS

from .helpers import Served, news

FOLDER = Path(__file__).resolve().parents[1] / "foreign"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def node() -> str:
    """Node, with the clients of the lock file installed beside their scripts."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        pytest.skip("no node here: the foreign clients cannot run")
    installed = FOLDER / "node_modules" / ".package-lock.json"
    lock = FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-progress"],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"npm ci failed: {done.stderr.strip()[-300:]}")
        installed.touch()
    return found


@pytest.mark.parametrize(
    ("script", "protocol"), [("v1.mjs", "2025-11-25"), ("v2.mjs", "2026-07-28")]
)
async def test_it_lists_calls_and_hears(
    served: Served, node: str, script: str, protocol: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        node,
        script,
        served.url,
        served.credential("NewsAnalysisAgent"),
        json.dumps(news(topic="news")),
        cwd=FOLDER,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    said = json.loads(output)
    assert said["protocol"] == protocol
    assert said["tools"] == list(ACCESS)
    assert said["published"]["receipts"][0]["sequence"] == 1
    assert said["updated"] == "context://topic/news"
