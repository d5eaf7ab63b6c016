"""What the hub's tests share: callers, the example message, a client, a hub behind HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mcp import Client

from relentless.configs.clock import EASTERN, ManualClock
from relentless.configs.settings import Settings
from relentless.mcp_server.http import HttpServer, bind
from relentless.mcp_server.server import Hub, build
from relentless.proto.contexts import AGENT_TOPICS, Topic
from relentless.store.keys import LOCAL_ROLES, default_topics, local_credential
from relentless.store.ports import Principal, Role

START = datetime(2013, 10, 7, 5, 25, tzinfo=EASTERN)

CALLER: ContextVar[Principal] = ContextVar("caller")


def principal(name: str, role: Role | None = None, *topics: Topic) -> Principal:
    """A caller of the local set, or another one."""
    role = role or LOCAL_ROLES[name]
    return Principal(name, role, f"key-of-{name}", frozenset(topics) or default_topics(name, role))


@contextlib.contextmanager
def calling(name: str) -> Iterator[None]:
    """Be somebody of the local set, towards an in-memory client's server."""
    token = CALLER.set(principal(name))
    try:
        yield
    finally:
        CALLER.reset(token)


def news(**fields: Any) -> dict[str, Any]:
    """The design's example message, with fields set or left out (None)."""
    message: dict[str, Any] = {
        "protocol": "MCP",
        "version": "1.0",
        "timestamp": "2025-09-27T10:30:00Z",
        "source_agent": "NewsAnalysisAgent",
        "target_agent": "TradingAgent",
        "context": {
            "asset": "AAPL",
            "sentiment": "positive",
            "confidence": 0.85,
            "summary": "Strong iPhone sales reported",
        },
    }
    return {key: value for key, value in (message | fields).items() if value is not None}


def settings_for(state: Path, **hub: Any) -> Settings:
    return Settings(
        _env_file=None,
        paths={"state": state},
        hub={"port": 0, "build_grace_s": 0.2, "expected_agents": (), **hub},
        clock={"mode": "day", "start": START, "speed": 1.0, "epoch": 0.0},
    )


@asynccontextmanager
async def client(hub: Hub, name: str, mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    """An in-memory client of a hub, calling as somebody of the local set."""
    with calling(name):
        async with Client(hub.protocol.server, mode=mode, cache=None, **options) as connected:
            yield connected


@dataclass(frozen=True)
class Served:
    """A hub behind real HTTP."""

    hub: Hub
    url: str
    state: Path

    @property
    def base(self) -> str:
        return self.url.removesuffix("/mcp")

    def credential(self, name: str) -> str:
        return local_credential(self.state, name)


@asynccontextmanager
async def serving(settings: Settings, clock: ManualClock) -> AsyncIterator[Served]:
    """Serve a hub over HTTP in this event loop."""
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with build(settings, clock=clock) as hub:
        server = HttpServer(hub.app, hub.before_end)
        task = asyncio.create_task(server.serve([listener]))
        try:
            async with asyncio.timeout(30):
                await server.ready.wait()
            yield Served(hub, f"http://127.0.0.1:{port}/mcp", settings.paths.state)
        finally:
            server.should_exit = True
            async with asyncio.timeout(30):
                await task


AGENTS = tuple(AGENT_TOPICS)
