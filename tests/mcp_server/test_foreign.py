"""Clients that are not ours: the TypeScript SDK in both of its lines, and the Inspector."""

import asyncio
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from relentless.tools.access import ACCESS

from .helpers import Served, news

FOLDER = Path(__file__).resolve().parents[1] / "foreign"
INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
pytestmark = pytest.mark.timeout(300)

_spec = importlib.util.spec_from_file_location("foreign_install", FOLDER / "install.py")
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
install, node22, Absent = _module.install, _module.node22, _module.Absent


@pytest.fixture(scope="module")
def node() -> str:
    """Node, with the clients of the lock file installed beside their scripts."""
    try:
        install()
    except Absent as error:
        pytest.skip(str(error))
    return str(shutil.which("node"))


@pytest.mark.parametrize(
    ("script", "protocol"), [("v1.mjs", "2025-11-25"), ("v2.mjs", "2026-07-28")]
)
async def test_it_lists_calls_and_hears(
    served: Served, node: str, script: str, protocol: str
) -> None:
    said = json.loads(
        await ran(
            *(node, script, served.url, served.credential("NewsAnalysisAgent")),
            json.dumps(news(topic="news")),
        )
    )
    assert said["protocol"] == protocol
    assert said["tools"] == list(ACCESS)
    assert said["published"]["receipts"][0]["sequence"] == 1
    assert said["updated"] == "context://topic/news"


async def ran(*command: str) -> str:
    """Run a command beside the clients; give what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=FOLDER, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode() or output.decode()
    return output.decode()


@pytest.mark.parametrize("lines", [("v1", "v2"), ("v2", "v1")])
async def test_two_agents_in_another_language_exchange_context(
    served: Served, node: str, lines: tuple[str, str]
) -> None:
    first, second = "NewsAnalysisAgent", "FredAgent"
    spoken = await asyncio.gather(
        ran(
            node,
            "agent.mjs",
            lines[0],
            served.url,
            served.credential(first),
            first,
            second,
            "first",
        ),
        ran(
            node,
            "agent.mjs",
            lines[1],
            served.url,
            served.credential(second),
            second,
            first,
            "second",
        ),
    )
    one, two = (json.loads(said) for said in spoken)
    assert two["received"] == {"from": first, "text": "what do you see?"}
    assert one["received"] == {"from": second, "text": "seen: what do you see?"}
    assert (one["cue"], two["cue"]) == (f"context://inbox/{first}", f"context://inbox/{second}")
    assert (one["left"], two["left"]) == (0, 0), "what was acknowledged does not come again"


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspector_finds_nothing_to_complain_of(
    served: Served, node: str, era: str
) -> None:
    """Its command line lists with ``--strict``, calls and reads; it has no way to subscribe."""
    modern = node22()
    if modern is None:
        pytest.skip("no Node 22 of npm for this machine: the Inspector needs it")

    async def inspect(*what: str) -> Any:
        header = f"Authorization: Bearer {served.credential('NewsAnalysisAgent')}"
        return json.loads(
            await ran(
                *(str(modern), INSPECTOR, "--cli", served.url, "--transport", "http"),
                *("--header", header, "--protocol-era", era, "--format", "json", *what),
            )
        )

    tools = await inspect("--method", "tools/list", "--strict")
    assert [tool["name"] for tool in tools["result"]["tools"]] == list(ACCESS)
    given = json.dumps({"message": news(topic="news")})
    called = await inspect(
        *("--method", "tools/call", "--tool-name", "publish_context", "--tool-args-json", given)
    )
    assert called["result"]["structuredContent"]["receipts"][0]["sequence"] == 1
    read = await inspect("--method", "resources/read", "--uri", "context://topic/news")
    page = json.loads(read["result"]["contents"][0]["text"])
    assert page["messages"][0]["message"]["context"]["asset"] == "AAPL"
    prompts = await inspect("--method", "prompts/list")
    assert len(prompts["result"]["prompts"]) == 3
