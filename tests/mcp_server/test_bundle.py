"""The MCP bundle: by the bundle tool's own judgement, and started as a host starts it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from relentless.configs.settings import Settings
from relentless.mcp_server import stdio
from relentless.mcp_server.apps import BOARD
from relentless.mcp_server.server import Hub
from relentless.proto.errors import InvalidInput, NotFound, Unavailable

from .helpers import Served, client
from .test_foreign import Absent, install

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ROOT / "tests" / "hosts"
pytestmark = pytest.mark.timeout(300)
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
NO_NETWORK = ("dns error", "error sending request", "Failed to fetch", "client error (Connect)")


def built(out: Path) -> Path:
    command = [sys.executable, "-m", "bundle.mcpb", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    return out


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("bundle") / "relentless.mcpb")


@pytest.fixture(scope="module")
def node() -> str:
    try:
        install(HOSTS)
    except Absent as error:
        pytest.skip(str(error))
    return str(shutil.which("node"))


def ran(*command: str) -> str:
    done = subprocess.run(
        command, cwd=HOSTS, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(bundle: Path, node: str) -> Path:
    folder = bundle.parent / "unpacked"
    ran(node, "node_modules/.bin/mcpb", "unpack", str(bundle), str(folder))
    return folder


def manifest(bundle: Path) -> dict[str, Any]:
    with zipfile.ZipFile(bundle) as opened:
        found: dict[str, Any] = json.loads(opened.read("manifest.json"))
    return found


def test_the_same_sources_give_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    assert built(tmp_path / "again.mcpb").read_bytes() == bundle.read_bytes()
    assert bundle.stat().st_size < 200_000


def test_the_bundle_tool_takes_it(unpacked: Path, node: str) -> None:
    said = ran(node, "node_modules/.bin/mcpb", "validate", str(unpacked / "manifest.json"))
    assert "passes" in said
    assert "manifest.json" in os.listdir(unpacked)


async def test_it_lists_the_tools_and_prompts_that_the_hub_lists(bundle: Path, hub: Hub) -> None:
    said = manifest(bundle)
    async with client(hub, "reader") as connected:
        tools = (await connected.list_tools()).tools
        prompts = (await connected.list_prompts()).prompts
        texts = {
            prompt.name: (
                await connected.get_prompt(
                    prompt.name, {a.name: f"${{arguments.{a.name}}}" for a in prompt.arguments}
                )
            )
            .messages[0]
            .content.text
            for prompt in prompts
        }
    assert said["tools"] == [{"name": tool.name, "description": tool.description} for tool in tools]
    assert said["prompts"] == [
        {
            "name": prompt.name,
            "description": prompt.description,
            "arguments": [argument.name for argument in prompt.arguments],
            "text": texts[prompt.name],
        }
        for prompt in prompts
    ]


@pytest.fixture(scope="module")
def ready(unpacked: Path) -> Path:
    """The bundle with what it needs fetched, so that a test of it is not of the network."""
    uv = shutil.which("uv", path=PATH)
    if uv is None:
        pytest.skip("no uv here: it is what a host runs such a bundle with")
    command = [uv, "sync", "--quiet", "--directory", str(unpacked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    if any(reason in done.stderr for reason in NO_NETWORK):
        pytest.skip(f"no packages can be fetched here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    return unpacked


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_host_starts_what_is_in_it(
    served: Served, ready: Path, node: str, tmp_path: Path, mode: str
) -> None:
    key_file = tmp_path / "a key.txt"
    key_file.write_text(served.credential("reader") + "\n")
    given = {"url": served.url, "key_file": str(key_file)}
    config = json.loads(ran(node, "config.mjs", str(ready), json.dumps(given)))
    host = StdioServerParameters(
        command=config["command"],
        args=config["args"],
        env={"PATH": PATH, "HOME": os.environ.get("HOME", "/"), **config.get("env", {})},
        cwd=tmp_path,
    )
    async with Client(host, mode=mode) as connected:
        tools = (await connected.list_tools()).tools
        status = await connected.call_tool("get_status", {})
        (board,) = (await connected.read_resource(BOARD)).contents
    assert [tool.name for tool in tools] == [tool["name"] for tool in manifest_of(ready)["tools"]]
    assert not status.is_error
    assert board.text.startswith("<!doctype html>")


def manifest_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def test_a_host_starts_nothing_before_the_key_is_named(unpacked: Path, node: str) -> None:
    assert json.loads(ran(node, "config.mjs", str(unpacked), "{}")) is None
    asked = manifest_of(unpacked)["user_config"]
    assert asked["key_file"]["sensitive"] and asked["key_file"]["required"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://hub.example/mcp", "use https"),
        ("hub.example/mcp", "is no address"),
        ("https://[::", "is no address"),
        ("ftp://127.0.0.1/mcp", "is no address"),
    ],
)
async def test_a_key_goes_only_where_it_is_safe(url: str, expected: str, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("a.b")
    with pytest.raises(InvalidInput, match=expected):
        await stdio.run(Settings(_env_file=None), url=url, key_file=key_file)


async def test_what_cannot_be_reached_or_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no hub answers at http"):
        await stdio.carry("http://127.0.0.1:9/mcp", "a.b")
    for name, body in (("empty", ""), ("two", "a.b\nc.d\n"), ("bytes", "\u00e9")):
        (tmp_path / name).write_text(body)
    for name in ("absent", "empty", "two", "bytes"):
        with pytest.raises(NotFound, match=name) as caught:
            stdio.credential_in(tmp_path / name)
        assert "c.d" not in str(caught.value)
