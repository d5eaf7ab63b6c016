"""The board for hosts that show MCP Apps: the page itself, and in a real host in a real browser."""

import asyncio
import base64
import hashlib
import json
import os
import platform
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from relentless.mcp_server import apps
from relentless.mcp_server.server import Hub
from relentless.proto.signal import Flag, Signal

from .helpers import Served, calling, client
from .test_explain import RATE
from .test_foreign import Absent, install
from .test_inference import frame

HOSTS = Path(__file__).resolve().parents[1] / "hosts"
BILL = {
    "timestamp": "2013-10-07T09:15:00Z",
    "source_agent": "CongressAgent",
    "message_id": "bill-1",
    "topic": "legislation",
    "observed_at": "2013-10-04T00:00:00Z",
    "known_at": "2013-10-07T09:10:00Z",
    "context": {
        "bill_id": "113-hr-1",
        "title": "A bill",
        "stage": "introduced",
        "latest_action_date": "2013-10-04",
        "sectors_affected": ["financials"],
        "likelihood_pass": 0.2,
        "market_impact": -0.1,
    },
    "evidence": [{"source": "a docket", "sha256": "ab" * 32, "origin": "synthetic"}],
}


class Elements(HTMLParser):
    """The elements and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.addresses: list[str] = []
        self.inside: dict[str, str] = {}
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href")]
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.inside[self._open] = self.inside.get(self._open, "") + data


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_host_finds_the_page_by_the_tools_that_name_it(hub: Hub, mode: str) -> None:
    async with client(hub, "reader", mode) as connected:
        tools = (await connected.list_tools()).tools
        named = {tool.name: tool.meta["ui"]["resourceUri"] for tool in tools if tool.meta}
        (read,) = (await connected.read_resource(apps.BOARD)).contents
        listed = [resource.uri for resource in (await connected.list_resources()).resources]
        extensions = connected.server_capabilities.extensions or {}
    assert named == dict.fromkeys(("get_daily_context", "get_signals"), apps.BOARD)
    assert read.mime_type == "text/html;profile=mcp-app"
    assert read.meta is not None and not any(read.meta["ui"]["csp"].values())
    assert not any(uri.startswith("ui:") for uri in listed), "a list without hosts' own pages"
    assert ("io.modelcontextprotocol/ui" in extensions) is (mode == "auto")


def test_the_page_is_small_fetches_nothing_and_runs_only_what_is_in_it() -> None:
    page = apps.page()
    found = Elements()
    found.feed(page)
    assert len(page.encode()) < 60_000
    assert found.addresses == []
    assert not re.search(r"\b(https?:|wss?:|url\(|@import|import\(|fetch\(|XMLHttp|eval\()", page)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|srcdoc|Function\(", page
    )
    for tag in ("script", "style"):
        assert found.names.count(tag) == 1
        digest = base64.b64encode(hashlib.sha256(found.inside[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page
    assert "{{" not in page.replace("{{ ", "")


async def prepare(hub: Hub) -> None:
    """Publish what a context is built from, a bill that was made up, and feed signals."""
    for sender, message in (("FredAgent", RATE), ("CongressAgent", BILL)):
        with calling(sender):
            await hub.exchange.publish(_principal(sender), [message])
    context = await hub.contexts.build(None)
    hub.tap._restart("s1")
    for sequence, flags in ((7, Flag.SYNTHETIC | Flag.STALE), (8, Flag.CANARY)):
        take(hub, sequence, flags, context.short_id)


def take(hub: Hub, sequence: int, flags: Flag, context_id: int = 0xABCD) -> None:
    signal = Signal.unpack(frame(sequence, flags=flags))._replace(context_id=context_id)
    hub.tap.take("s1", signal.pack(), {1: "SPY"})


def _principal(name: str) -> Any:
    from .helpers import principal

    return principal(name)


@pytest.fixture(scope="module")
def hosts() -> Path:
    """The host's parts, installed by their lock file, with room for the browser beside them."""
    try:
        install(HOSTS)
    except Absent as error:
        pytest.skip(str(error))
    there = (HOSTS / "node_modules/@sparticuz/chromium").exists()
    if not there or platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("npm has no browser for this machine")
    room = HOSTS / "node_modules/.cache/browser"
    room.mkdir(parents=True, exist_ok=True)
    return room


@pytest.mark.promise("P12")
@pytest.mark.timeout(300)
async def test_it_lives_in_a_real_host_and_a_real_browser(served: Served, hosts: Path) -> None:
    await prepare(served.hub)
    process = await asyncio.create_subprocess_exec(
        *(str(shutil.which("node")), "board.mjs", served.url),
        *(served.credential("reader"), served.credential("FredAgent")),
        os.environ.get("BOARD_PICTURES", ""),
        cwd=HOSTS,
        env=os.environ | {"TMPDIR": str(hosts)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(150):
            assert process.stdin is not None and process.stdout is not None
            if await process.stdout.readline() == b"refresh\n":
                take(served.hub, 9, Flag.NONE)
            output, errors = await process.communicate(b"go\n")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if b"error while loading shared libraries" in errors:
        pytest.skip("the browser of npm lacks libraries of the system here, such as libnss3")
    assert process.returncode == 0, errors.decode()
    check(json.loads(output))


def check(said: dict[str, Any]) -> None:
    """Look at what the browser saw."""
    names = [call["name"] for call in said["asked"]]
    assert sorted(names) == ["get_daily_context", "get_signals"]
    assert {"ui/initialize", "ui/notifications/initialized"} <= set(said["methods"])
    assert said["heading"].startswith("Daily context 2013-10-07 / Signals")

    context = {row[0]: row[1:] for row in said["context"]}
    value, quality, _, observed, released, source = context["fed funds rate"]
    assert (value, source, quality) == ("0.08", "FRED DFF", "okrecorded")
    assert (observed[:16], released[:16]) == ("2013-10-04 00:00", "2013-10-07 09:15")
    assert context["credit spread"] == ["\u2013", "missing", *["\u2013"] * 3, "FRED BAMLC0A0CM"]
    assert context["legislative risk score"][1].endswith("synthetic")
    assert "financials" in context, "the sectors' scores"

    newest, older = said["signals"]
    assert newest[1:4] == ["SPY", "buy", "0.5"]
    assert newest[4:9] == ["170", "160", "0.25", "7", "1"]
    assert (newest[9], older[9]) == ("canary", "stalesynthetic")
    lines = said["frame"].splitlines()
    hexed = bytes.fromhex("".join(line[4:] for line in lines))
    assert Signal.unpack(hexed).sequence == 8
    assert len(said["refreshed"]) == 3

    assert said["bills"] == ["113-hr-1"]
    assert not said["forged"], "what another window says is not heard"
    hostile = said["hostile"]
    assert hostile["texts"] > 20, "the text is there to be read"
    assert (hostile["markup"], hostile["owned"]) == (0, False)
    assert hostile["classes"] == []
    assert set(said["requests"]) == {"http://host.test/", "http://board.test/"}
    assert said["complaints"] == []

    assert (said["light"][2], said["dark"][2]) == ("light", "dark")
    assert said["light"][0] == said["dark"][0].replace("23, 25, 28", "255, 255, 255")
    assert said["light"][:2] != said["dark"][:2]
    heights = [size["height"] for size in said["sizes"]]
    assert heights[0] < 200 < 1_000 < heights[-1], "it grows with what it shows"
    assert said["teardown"] == {}

    assert said["passive"]["calls"] == 0 and said["passive"]["disabled"]
    assert len(said["passive"]["signals"]) == 1
    assert sorted(said["limited"]["tools"]) == ["get_daily_context"] * 2 + ["get_signals"]
    assert said["limited"]["heading"].startswith("Daily context")
