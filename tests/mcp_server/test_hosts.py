"""What ``docs/hosts.md`` says to write for each host: read, started, called; and by some hosts' own
programs. What has to be installed for that, and is large, runs with the full counts alone."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from relentless.configs.settings import Settings
from relentless.mcp_server.http import bind
from relentless.tools.access import ACCESS

from .helpers import Served
from .test_bundle import PATH
from .test_foreign import FOLDER, INSPECTOR, Absent, install, node22

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "hosts" / "programs"
DOCUMENT = (ROOT / "docs" / "hosts.md").read_text()
URL = "http://127.0.0.1:8765/mcp"
COMMAND = "/path/to/.venv/bin/relentless"
KEY = "RELENTLESS_KEY"
KEY_FORMS = (
    *(f"${{{{ secrets.{KEY} }}}}", f"${{env:{KEY}}}", f"${{{KEY}}}", f"${KEY}"),
    *("${input:relentless-key}", KEY),
)
"""How hosts name the key: their secrets, the environment, a question, or the text itself."""
LIBRARIES = {
    "OpenAI Agents SDK": "openai-agents==0.24.0",
    "LangChain and LangGraph": "langchain-mcp-adapters==0.3.2",
    "PydanticAI": "pydantic-ai-slim[mcp]==2.68.0",
}
CLAUDE = "@anthropic-ai/claude-code/cli-wrapper.cjs"
GEMINI = ".bin/gemini"
READERS: Mapping[str, Callable[[str], Any]] = {
    "json": json.loads,
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
}
FETCHING = {
    name: value
    for name, value in os.environ.items()
    if name.upper().startswith(("SSL_CERT_", "UV_", "HTTPS_PROXY", "NO_PROXY"))
} | {"UV_CACHE_DIR": str(Path.home() / ".cache" / "uv")}
"""What a program that fetches packages is told of this machine, and nothing else."""
pytestmark = pytest.mark.timeout(400)


def sections() -> dict[str, list[tuple[str, str]]]:
    """Every section's blocks: their language and their text."""
    parts = re.split(r"^## (.+)$", DOCUMENT, flags=re.M)[1:]
    return {
        name: re.findall(r"^```(\w+)\n(.*?)^```", body, re.M | re.S)
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


SECTIONS = sections()
CHECKED = dict(re.findall(r"^\| \[(.+?)\]\(#.+?\) \| .+? \| (\w+) \|$", DOCUMENT, re.M))


def block(host: str, language: str) -> str:
    return next(text for kind, text in SECTIONS[host] if kind == language)


def entries(found: Any) -> Iterator[dict[str, Any]]:
    """Every server in a file, by what it says to start or to open."""
    if isinstance(found, dict):
        if {"command", "cmd", "url", "uri", "httpUrl", "serverUrl"} & found.keys():
            yield found
        else:
            for value in found.values():
                yield from entries(value)
    elif isinstance(found, list):
        for value in found:
            yield from entries(value)


ENTRIES = [
    (host, entry)
    for host, blocks in SECTIONS.items()
    for language, text in blocks
    if language in READERS
    for entry in entries(READERS[language](text))
]
OPENED = [(host, entry) for host, entry in ENTRIES if not {"command", "cmd"} & entry.keys()]
STARTED = [(host, entry) for host, entry in ENTRIES if {"command", "cmd"} & entry.keys()]


def keyed(text: str, credential: str) -> str:
    """Put the key where a host puts it."""
    for form in KEY_FORMS:
        text = text.replace(form, credential)
    return text


def headers(entry: dict[str, Any]) -> dict[str, str]:
    options = entry.get("requestOptions", entry)
    return dict(options.get("headers") or entry.get("env_http_headers") or {})


def test_every_host_of_the_table_has_a_recipe_that_is_checked_as_it_says() -> None:
    assert set(CHECKED) == SECTIONS.keys() - {"The board", "Registries"}
    by_kind: dict[str, set[str]] = {}
    for host, kind in CHECKED.items():
        by_kind.setdefault(kind, set()).add(host)
    assert by_kind["program"] == set(RUNS)
    assert by_kind["entry"] <= {host for host, _ in ENTRIES}
    assert by_kind["settings"] == {"claude.ai"}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_address_of_every_recipe_opens_the_hub(served: Served, mode: str) -> None:
    for host, entry in OPENED:
        fields = ("url", "uri", "httpUrl", "serverUrl")
        assert [entry[name] for name in fields if name in entry] == [URL], host
        given = headers(entry)
        assert any(form in given["X-API-Key"] for form in KEY_FORMS), host
        given = {name: keyed(value, served.credential("reader")) for name, value in given.items()}
        async with (
            httpx2.AsyncClient(headers=given, timeout=30) as http,
            Client(streamable_http_client(served.url, http_client=http), mode=mode) as connected,
        ):
            tools = (await connected.list_tools()).tools
        assert [tool.name for tool in tools] == list(ACCESS), host


@pytest.fixture
def command(served: Served, tmp_path: Path) -> Path:
    """The command of the recipes, for the hub of this test."""
    port = served.base.rpartition(":")[2]
    file = tmp_path / "relentless"
    file.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={ROOT / 'src'} RELENTLESS_HUB__PORT={port}\n"
        f'exec {sys.executable} -m relentless "$@"\n'
    )
    file.chmod(0o755)
    return file


async def test_the_command_of_the_recipes_reaches_the_hub(served: Served, command: Path) -> None:
    """One command, however each host spells its entry."""
    spelled = {
        (
            str(entry.get("command") or entry["cmd"]),
            tuple(entry["args"]),
            tuple(sorted((entry.get("env") or entry.get("envs") or {}).items())),
        )
        for _, entry in STARTED
    }
    assert spelled == {(COMMAND, ("mcp",), (("RELENTLESS_PATHS__STATE", "/path/to/var"),))}
    assert len(STARTED) >= 9
    state = {"RELENTLESS_PATHS__STATE": str(served.state)}
    await lists(StdioServerParameters(command=str(command), args=["mcp"], env=state))


async def test_the_command_reaches_a_hub_elsewhere(
    served: Served, command: Path, tmp_path: Path
) -> None:
    line = re.search(r"`relentless (mcp --url https.+?)`", DOCUMENT)
    assert line is not None
    words = line[1].replace("https://hub.example/mcp", served.url).split()
    assert words[-1] == "reader.key"
    words[-1] = str(served.state / "keys" / "reader.key")
    state = {"RELENTLESS_PATHS__STATE": str(tmp_path / "nothing")}
    await lists(StdioServerParameters(command=str(command), args=words, env=state))


async def lists(host: StdioServerParameters) -> None:
    async with Client(host) as connected:
        assert len((await connected.list_tools()).tools) == len(ACCESS)


def test_the_hub_takes_the_settings_that_a_connector_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in re.findall(r"^export (\w+)=(.+)$", block("claude.ai", "sh"), re.M):
        monkeypatch.setenv(name, shlex.split(value)[0])
    hub = Settings(_env_file=None).hub
    hub.check_bind()
    assert hub.oauth is not None and hub.tls is not None
    assert hub.oauth.audience == "https://hub.example/mcp"
    assert hub.allowed_hosts == ("hub.example",)


async def ran(*words: str, cwd: Path, **environment: str) -> str:
    """Run a host's program to its end; give what it printed, errors last."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=cwd,
        env={"PATH": PATH, "HOME": str(cwd), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(200):
            output = b"".join(await process.communicate())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()


def program(name: str) -> tuple[str, str]:
    """Give how to start a program of the lock file."""
    try:
        install(PROGRAMS)
    except Absent as error:
        pytest.skip(str(error))
    return str(shutil.which("node")), str(PROGRAMS / "node_modules" / name)


def uv() -> str:
    found = shutil.which("uv", path=PATH)
    if found is None:
        pytest.skip("no uv here to install the library with")
    return found


async def run_library(host: str, served: Served, folder: Path, command: Path) -> None:
    (folder / "recipe.py").write_text(block(host, "python").replace(URL, served.url))
    said = await ran(
        *(uv(), "run", "--no-project", "--python", sys.executable),
        *("--with", LIBRARIES[host], "python", "recipe.py"),
        cwd=folder,
        **FETCHING,
        **{KEY: served.credential("reader")},
    )
    assert f"{len(ACCESS)} tools" in said
    assert '"relentless"' in said or "'relentless'" in said, "the status names the version"


async def run_claude(host: str, served: Served, folder: Path, command: Path) -> None:
    text = block(host, "sh").replace(URL, served.url).replace(COMMAND, str(command))
    text = text.replace("/path/to/var", str(served.state))
    for line in text.splitlines():
        words = shlex.split(keyed(line, served.credential("reader")))
        said = await ran(*program(CLAUDE), *words[1:], cwd=folder)
    assert said.count("Connected") == 2, said


async def run_gemini(host: str, served: Served, folder: Path, command: Path) -> None:
    text = block(host, "json").replace(URL, served.url).replace(COMMAND, str(command))
    (folder / ".gemini").mkdir()
    (folder / ".gemini" / "settings.json").write_text(
        text.replace("/path/to/var", str(served.state))
    )
    said = await ran(
        *program(GEMINI),
        *("mcp", "list"),
        cwd=folder,
        GEMINI_CLI_TRUST_WORKSPACE="true",
        **{KEY: served.credential("reader")},
    )
    assert said.count("Connected") == 2, said


async def run_inspector(host: str, served: Served, folder: Path, command: Path) -> None:
    try:
        install()
    except Absent as error:
        pytest.skip(str(error))
    node = node22()
    if node is None:
        pytest.skip("no Node 22 of npm for this machine: the Inspector needs it")
    line = keyed(block(host, "sh").replace(URL, served.url), served.credential("reader"))
    words = shlex.split(line)
    assert words[:2] == ["npx", "@modelcontextprotocol/inspector"]
    printed = await ran(str(node), str(FOLDER / INSPECTOR), *words[2:], cwd=folder)
    said, _ = json.JSONDecoder().raw_decode(printed)
    assert [tool["name"] for tool in said["result"]["tools"]] == list(ACCESS)


async def run_mcpo(host: str, served: Served, folder: Path, command: Path) -> None:
    text = keyed(block(host, "json"), served.credential("reader")).replace(URL, served.url)
    (folder / "mcpo.json").write_text(text)
    with bind("127.0.0.1", 0) as free:
        port = str(free.getsockname()[1])
    words = [port if word == "8000" else word for word in shlex.split(block(host, "sh"))]
    assert words[0] == "uvx"
    output = folder / "output.txt"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(uv(), "tool", "run", "--python", sys.executable, *words[1:]),
            cwd=folder,
            env={"PATH": PATH, "HOME": str(folder), **FETCHING},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # uv starts mcpo as a child: both end together
        )
    try:
        async with asyncio.timeout(150), httpx2.AsyncClient(timeout=10) as http:
            while True:
                assert process.returncode is None, output.read_text()
                try:
                    answer = await http.post(
                        f"http://127.0.0.1:{port}/relentless/get_status",
                        headers={"Authorization": "Bearer CHOOSE-ONE"},
                        json={},
                    )
                    break
                except httpx2.ConnectError:
                    await asyncio.sleep(0.2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert "relentless" in answer.json()["status"]["versions"]


Run = Callable[[str, Served, Path, Path], Awaitable[None]]
RUNS: Mapping[str, Run] = {
    "Claude Code": run_claude,
    "Gemini CLI": run_gemini,
    "Open WebUI": run_mcpo,
    "Inspector": run_inspector,
    **dict.fromkeys(LIBRARIES, run_library),
}


@pytest.mark.parametrize("host", RUNS)
async def test_a_hosts_own_program_does_what_the_recipe_says(
    host: str, served: Served, tmp_path: Path, command: Path, soak: bool
) -> None:
    if not soak and host != "Inspector":
        pytest.skip(f"{host} is installed for the full counts alone")
    folder = tmp_path / "host"
    folder.mkdir()
    await RUNS[host](host, served, folder, command)
