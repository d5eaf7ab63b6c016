"""A hub's lease endpoint on a real socket, as the contract says, that can be killed and started."""

import asyncio
import json
import time
from typing import Any, Self

from relentless.proto.daily import DailyContext


class FakeHub:
    """Grants leases, keeps a halt across its own deaths, and knows when a halt is acknowledged."""

    def __init__(self, lease_s: float = 0.15, context: DailyContext | None = None) -> None:
        self.lease_s = lease_s
        self.context = context
        self.epoch = 0
        self.halted = False
        self.requests: list[dict[str, Any]] = []
        self.credentials: set[str] = set()
        self.answer: bytes | None = None
        self.delay_s = 0.0
        self._port = 0
        self._confirmed = -1
        self._granted_until = 0.0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._news = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        # whoever holds a lease of the hub before this one may use it up
        self._granted_until = time.monotonic() + self.lease_s

    def kill(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def set_halt(self, halted: bool) -> float:
        """Change the halt; give the monotonic time at which it is acknowledged."""
        self.epoch += 1
        self.halted = halted
        self._tell()
        while self._confirmed < self.epoch and time.monotonic() < self._granted_until:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        return time.monotonic()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = await reader.readexactly(int(lines["content-length"]))
                assert head.startswith("post /control/lease ")
                self.credentials.add(lines["authorization"])
                answer = await self._lease(json.loads(body))
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n%s" % (len(answer), answer)
                )
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _lease(self, request: dict[str, Any]) -> bytes:
        heard = time.monotonic()
        self.requests.append(request)
        self._confirmed = max(self._confirmed, request["halt_epoch"])
        deadline = heard + request["wait_s"]
        while not self._has_news(request) and (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                break
        if not self.halted:
            self._granted_until = max(self._granted_until, heard + self.lease_s)
        new = self.context is not None and self.context.context_id != request["context_id"]
        answer = {
            "lease_s": self.lease_s,
            "halt_epoch": self.epoch,
            "halted": self.halted,
            "reason": "test",
            "context": self.context.model_dump(mode="json") if new and self.context else None,
            "canary_share": 0.05,
        }
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return json.dumps(answer).encode() if self.answer is None else self.answer

    def _has_news(self, request: dict[str, Any]) -> bool:
        return request["halt_epoch"] != self.epoch or (
            self.context is not None and self.context.context_id != request["context_id"]
        )
