"""The hub as a process: it says that it is ready, ends in order, and serves hosts over stdio."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters

from relentless.configs.settings import Settings
from relentless.proto.errors import Unavailable
from relentless.serving.clients.hub import HubClient
from relentless.store.keys import local_credential
from relentless.tools.access import ACCESS

from .helpers import news
from .processes import LONG, settings_in


@dataclass
class Process:
    process: asyncio.subprocess.Process
    url: str
    state: Path
    environment: dict[str, str]

    def credential(self, name: str) -> str:
        return local_credential(self.state, name)

    async def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LONG):
            _, errors = await self.process.communicate()
        return int(self.process.returncode or 0), errors.decode()


@asynccontextmanager
async def hub_process(folder: Path) -> AsyncIterator[Process]:
    settings = settings_in(folder, 0)
    file = folder / "settings.json"
    file.write_text(settings.dump())
    environment = os.environ | {"RELENTLESS_SETTINGS": str(file)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relentless", "hub"),
        env=environment,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(LONG):
            line = json.loads(await process.stdout.readline())
        assert line["ready"] == "hub"
        yield Process(process, line["url"], settings.paths.state, environment)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_ends_in_order_with_streams_and_waits_open(tmp_path: Path) -> None:
    async with (
        hub_process(tmp_path) as hub,
        HubClient(hub.url, hub.credential("NewsAnalysisAgent")) as agent,
    ):
        waiting = asyncio.create_task(agent.read("news", after=1_000, wait_s=30))
        async with agent.watch("context://topic/news", "context://daily") as changes:
            await agent.publish([news(topic="news")])
            async with asyncio.timeout(LONG):
                assert await anext(changes) == "context://topic/news"
            code, errors = await hub.end()
            async with asyncio.timeout(LONG):
                assert [uri async for uri in changes] == []
        async with asyncio.timeout(LONG):
            assert (await waiting)["messages"] == []
        with pytest.raises(Unavailable):
            await agent.read("news")
    assert code == 0, errors
    assert "Traceback" not in errors
    assert hub.credential("operator") not in errors


async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    async with hub_process(tmp_path) as hub:
        async with HubClient(hub.url, hub.credential("NewsAnalysisAgent")) as agent:
            (receipt,) = await agent.publish([news(topic="news", message_id="m-1")])
        hub.process.kill()
        await hub.process.wait()
    async with hub_process(tmp_path) as again:
        async with HubClient(again.url, again.credential("NewsAnalysisAgent")) as agent:
            page = await agent.read("news")
            assert page["messages"][0]["sequence"] == receipt["sequence"]
            (repeated,) = await agent.publish([news(topic="news", message_id="m-1")])
            assert repeated == receipt | {"duplicate": True}
        assert (await again.end())[0] == 0


@pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed")
async def test_a_host_reaches_it_over_stdio_in_both_eras(tmp_path: Path) -> None:
    async with hub_process(tmp_path) as hub:
        port = int(hub.url.rpartition(":")[2].partition("/")[0])
        file = tmp_path / "running.json"
        file.write_text(settings_in(tmp_path, port).dump())
        command = StdioServerParameters(
            command=sys.executable,
            args=["-m", "relentless", "mcp", "--as", "operator"],
            env=hub.environment | {"RELENTLESS_SETTINGS": str(file)},
        )
        for mode in ("2026-07-28", "legacy"):
            heard: asyncio.Queue[str] = asyncio.Queue()

            async def on_message(message: Any, heard: asyncio.Queue[str] = heard) -> None:
                if isinstance(message, types.ResourceUpdatedNotification):
                    heard.put_nowait(str(message.params.uri))

            async with (
                asyncio.timeout(LONG),
                Client(command, mode=mode, message_handler=on_message) as host,
            ):
                assert len((await host.list_tools()).tools) == len(ACCESS)
                if mode == "legacy":
                    await host.subscribe_resource("context://daily")
                    await host.call_tool("build_daily_context", {})
                    assert await heard.get() == "context://daily"
                else:
                    async with host.listen(resource_subscriptions=["context://daily"]) as events:
                        await host.call_tool("build_daily_context", {})
                        assert (await anext(aiter(events))).uri == "context://daily"
        assert (await hub.end())[0] == 0


async def test_stdio_without_a_hub_says_so(tmp_path: Path) -> None:
    from relentless.mcp_server.stdio import run
    from relentless.store.keys import ensure_local

    ensure_local(tmp_path)
    settings = Settings(_env_file=None, paths={"state": tmp_path}, hub={"port": 9})
    with pytest.raises(Unavailable, match="relentless up"):
        await run(settings, "reader")
