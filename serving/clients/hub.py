"""The client of the hub: what an agent, a predictor or a command needs, over MCP.

It speaks the official SDK's client over streamable HTTP in the 2026-07-28 protocol, which holds no
session: entering it sends nothing, and it goes on by itself when the hub was restarted. The hub's
typed errors come back as the same classes of ``proto.errors``.
"""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date, datetime
from typing import Any, Final, Self

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost
from mcp_types import Tool

from relentless.proto.base import iso
from relentless.proto.daily import DailyContext
from relentless.proto.errors import (
    DeadlineExceeded,
    Overloaded,
    RelentlessError,
    SourceError,
    Unauthenticated,
    Unavailable,
)
from relentless.proto.messages import ContextMessage
from relentless.serving.clients.memory import HeadMemory

PROTOCOL: Final = "2026-07-28"
MAX_BATCH: Final = 100
_UNAVAILABLE: Final = -32050
_UNAUTHENTICATED: Final = -32051


class HubClient:
    """One caller's connection to the hub; an async context manager.

    Enter and leave it in the same task. Calls may run side by side.
    """

    def __init__(
        self,
        url: str,
        credential: str,
        *,
        timeout_s: float = 30.0,
        tls: ssl.SSLContext | None = None,
        memory: HeadMemory | None = None,
    ) -> None:
        """Take the address and the key.

        Args:
            url: the hub's MCP endpoint.
            credential: this caller's key.
            timeout_s: how long an answer may take.
            tls: ``HubSettings.calling``'s, for an https address.
            memory: of the newest message that the hub acknowledged; by default this client's alone.
        """
        self.memory = memory or HeadMemory()
        self._url = url
        self._credential = credential
        self._timeout_s = timeout_s
        self._tls = tls
        self._stack = AsyncExitStack()
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        """Get ready; nothing is sent yet."""
        http = await self._stack.enter_async_context(
            steady_http(self._credential, timeout_s=self._timeout_s, tls=self._tls)
        )
        transport = streamable_http_client(self._url, http_client=http)
        self._client = await self._stack.enter_async_context(
            Client(transport, mode=PROTOCOL, cache=None)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of the connections."""
        self._client = None
        await self._stack.aclose()

    async def tools(self) -> list[Tool]:
        """Give the hub's tools as it lists them.

        Raises:
            RelentlessError: the hub's error, as its own class.
        """
        try:
            return list((await self._entered().list_tools()).tools)
        except MCPError as error:
            raise _from_protocol(error) from error

    async def call(
        self, tool: str, arguments: Mapping[str, Any] | None = None, *, wait_s: float = 0.0
    ) -> dict[str, Any]:
        """Call a tool and give its structured answer.

        Args:
            tool: its name.
            arguments: JSON values.
            wait_s: how much longer than the client's own limit the tool may take.

        Raises:
            RelentlessError: the hub's error, as its own class.
            Unavailable: the hub cannot be reached.
            DeadlineExceeded: no answer in time.
        """
        client = self._entered()
        try:
            result = await client.call_tool(
                tool, dict(arguments or {}), read_timeout_seconds=self._timeout_s + wait_s
            )
        except MCPError as error:
            raise _from_protocol(error) from error
        except TimeoutError as error:
            raise DeadlineExceeded(f"the hub did not answer {tool} in time") from error
        content: dict[str, Any] = result.structured_content or {}
        if result.is_error:
            text = " ".join(getattr(item, "text", "") for item in result.content)
            raise _from_tool(content.get("error") or {}, text or f"{tool} failed")
        return content

    async def register(
        self,
        *,
        name: str | None = None,
        topics: Sequence[str] | None = None,
        schedule: Sequence[str] | None = None,
        last_run: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Register with the hub, or renew the lease and report the last run.

        Args:
            name: this agent's name; the credential's where absent.
            topics: what it publishes.
            schedule: when it runs on exchange days, in exchange time: "05:15", or a crontab line.
            last_run: scheduled_at, finished_at, status ("ok", "degraded", "failed"), messages,
                gaps and error of the last run.

        Raises:
            HeadLost: the hub no longer holds the newest message that it acknowledged here.
        """
        arguments = {
            "name": name,
            "topics": None if topics is None else [str(topic) for topic in topics],
            "schedule": None if schedule is None else list(schedule),
            "last_run": None if last_run is None else dict(last_run),
        }
        given = {key: value for key, value in arguments.items() if value is not None}
        answer = await self.call("register_agent", given)
        await self.check_head()
        return answer

    async def check_head(self) -> None:
        """Ask the hub for the newest message that it acknowledged to this client.

        Raises:
            HeadLost: it is not there any more.
        """
        if (head := self.memory.head) is not None:
            page = await self.call("read_messages", {"after": head.sequence - 1, "limit": 1})
            if head == self.memory.head:
                self.memory.check(page)

    async def publish(
        self, messages: Sequence[ContextMessage | Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Publish messages, in batches, and give their receipts in order, once durable.

        Raises:
            Conflict: a message id is there with another body.
            Forbidden: a topic or a sender that the credential does not permit.
            HeadLost: the messages are there, but one that was acknowledged before is not.
        """
        receipts: list[dict[str, Any]] = []
        bodies = [_body(message) for message in messages]
        for start in range(0, len(bodies), MAX_BATCH):
            batch = {"message": bodies[start : start + MAX_BATCH]}
            before = self.memory.head
            answer = await self.call("publish_context", batch)
            self.memory.fresh(before, answer["receipts"])
            self.memory.keep(answer["receipts"])
            receipts.extend(answer["receipts"])
        return receipts

    async def read(
        self,
        topic: str | None = None,
        *,
        after: int | None = None,
        limit: int = 50,
        wait_s: float = 0.0,
        inbox: bool = False,
    ) -> dict[str, Any]:
        """Read messages after a sequence number: of a topic, or those addressed to this agent.

        Without ``after`` a topic is read from its start, an inbox from what was acknowledged.
        """
        arguments: dict[str, Any] = {"limit": limit, "wait_s": wait_s}
        if after is not None:
            arguments["after"] = after
        if topic is not None:
            arguments["topic"] = str(topic)
        if inbox:
            arguments["inbox"] = True
        return await self.call("read_messages", arguments, wait_s=wait_s)

    async def ack(self, up_to: int) -> dict[str, Any]:
        """Acknowledge every message up to a sequence number."""
        return await self.call("ack_messages", {"up_to": up_to})

    async def daily_context(
        self, day: date | None = None, *, as_of: datetime | None = None
    ) -> DailyContext:
        """Give the newest daily context, or a past day's.

        Raises:
            NotFound: none was built.
        """
        arguments: dict[str, Any] = {"fields": ["*"]}
        if day is not None:
            arguments["date"] = day.isoformat()
        if as_of is not None:
            arguments["as_of"] = iso(as_of)
        answer = await self.call("get_daily_context", arguments)
        return DailyContext.model_validate(answer["context"])

    async def read_resource(self, uri: str) -> str:
        """Give the text of a resource.

        Raises:
            RelentlessError: the hub's error, as its own class.
        """
        try:
            result = await self._entered().read_resource(uri)
        except MCPError as error:
            raise _from_protocol(error) from error
        return "".join(getattr(item, "text", "") for item in result.contents)

    @asynccontextmanager
    async def watch(self, *uris: str) -> AsyncIterator[AsyncIterator[str]]:
        """Listen for changes of resources; gives the URI of each that changed.

        Events are cues without content, and none is replayed: read after each, and after
        reconnecting. The iteration ends when the hub ends.

        Raises:
            Unavailable: the hub cannot be reached, or the stream was cut.
        """
        client = self._entered()

        async def events() -> AsyncIterator[str]:
            try:
                async for event in subscription:
                    if uri := getattr(event, "uri", None):
                        yield str(uri)
            except SubscriptionLost as error:
                raise Unavailable("the hub's stream was cut; listen again") from error

        try:
            async with client.listen(resource_subscriptions=list(uris)) as subscription:
                yield events()
        except MCPError as error:
            raise _from_protocol(error) from error
        except SubscriptionLost as error:
            raise Unavailable("the hub's stream was cut; listen again") from error

    def _entered(self) -> Client:
        if self._client is None:
            raise RuntimeError("use HubClient as `async with HubClient(...) as hub`")
        return self._client


def steady_http(
    credential: str, *, timeout_s: float = 30.0, tls: ssl.SSLContext | None = None
) -> httpx2.AsyncClient:
    """Give an HTTP client for the SDK's transport that outlives the hub's absence."""
    return httpx2.AsyncClient(
        headers={"authorization": f"Bearer {credential}"},
        timeout=httpx2.Timeout(timeout_s, read=None),
        transport=_Steady(tls),
    )


class _Steady(httpx2.AsyncBaseTransport):
    """HTTP whose failures are answers: the SDK's client gives up for good on an exception here."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=True if tls is None else tls)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                return response
            await response.aread()
        except httpx2.TransportError as error:
            reason = f"the hub at {request.url.host}:{request.url.port} cannot be reached"
            return _answer(503, _UNAVAILABLE, f"{reason} ({type(error).__name__}); is it running?")
        if response.status_code in (401, 403):
            return _answer(
                response.status_code,
                _UNAUTHENTICATED,
                "the hub refused the API key; it is unknown, expired or revoked",
            )
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def _answer(status: int, code: int, message: str) -> httpx2.Response:
    error = {"code": code, "message": message}
    return httpx2.Response(status, json={"jsonrpc": "2.0", "id": None, "error": error})


def _body(message: ContextMessage | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(message, ContextMessage):
        return message.model_dump(mode="json", exclude_none=True)
    return dict(message)


def _classes(root: type[RelentlessError]) -> dict[str, type[RelentlessError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_classes(child))
    return found


def _from_tool(error: Mapping[str, Any], text: str) -> RelentlessError:
    """Give a tool's error as its class; those that carry more than a message as their base."""
    kind = _classes(RelentlessError).get(str(error.get("code")), RelentlessError)
    message = str(error.get("message") or text)
    if kind is Overloaded:
        return Overloaded(message, error.get("retry_after"))
    if issubclass(kind, SourceError) or kind.code == "gated":
        return RelentlessError(message)
    return kind(message)


def _from_protocol(error: MCPError) -> RelentlessError:
    if error.code == _UNAVAILABLE:
        return Unavailable(error.message)
    if error.code == _UNAUTHENTICATED:
        return Unauthenticated(error.message)
    data = error.error.data
    return _from_tool(data if isinstance(data, Mapping) else {}, error.message)
