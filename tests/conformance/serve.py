"""Serve the hub with the suite's fixtures, every request as an operator: for the suite alone.

The suite sends no credential, so the key is put in front of the hub here. Prints the address.
"""

import asyncio
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from fixtures import mount
from starlette.types import ASGIApp, Receive, Scope, Send

from relentless.configs.clock import EASTERN, ManualClock
from relentless.configs.settings import Settings
from relentless.mcp_server.http import HttpServer, bind
from relentless.mcp_server.server import build
from relentless.store.keys import local_credential


class AsOperator:
    """Gives every request the operator's key."""

    def __init__(self, inner: ASGIApp, credential: str) -> None:
        self._inner = inner
        self._key = (b"authorization", f"Bearer {credential}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [*scope["headers"], self._key]}
        await self._inner(scope, receive, send)


async def main() -> None:
    start = datetime(2013, 10, 7, 5, 25, tzinfo=EASTERN)
    with tempfile.TemporaryDirectory(prefix="relentless-conformance-") as folder:
        settings = Settings(
            _env_file=None,
            paths={"state": Path(folder)},
            hub={"port": 0, "expected_agents": ()},
            clock={"mode": "day", "start": start, "speed": 1.0, "epoch": 0.0},
        )
        listener = bind("127.0.0.1", 0)
        async with build(settings, clock=ManualClock(start)) as hub:
            mount(hub.protocol.server)
            await hub.contexts.build(None)
            app = AsOperator(hub.app, local_credential(Path(folder), "operator"))
            server = HttpServer(app, hub.before_end)
            task = asyncio.create_task(server.serve([listener]))
            await server.ready.wait()
            print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
            await asyncio.to_thread(sys.stdin.read)
            server.should_exit = True
            await task


if __name__ == "__main__":
    asyncio.run(main())
