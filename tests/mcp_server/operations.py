"""Every operation of every listener, as the access table has it: what it is and how to try it.

A verdict is what a caller saw: "allowed", "forbidden" or "unauthenticated".
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import httpx

from relentless.mcp_server.apps import BOARD
from relentless.mcp_server.resources import LISTED, TEMPLATES
from relentless.proto.feed import Kind, Login, PacketReader
from relentless.proto.feed import unpack_reason as reason
from relentless.proto.gen import market_pb2, market_pb2_grpc
from relentless.serving.feed import FeedServer
from relentless.serving.grpc_service import GrpcServer
from relentless.serving.ring import SignalRing
from relentless.store.keys import KeyRing, keys_path
from relentless.store.ports import Role
from relentless.store.symbols import SymbolDirectory
from relentless.tools.access import (
    ACCESS,
    COMPLETIONS,
    FEED,
    GRPC_SERVICES,
    METHODS,
    RESOURCES,
    ROUTES,
)

from .helpers import Served, news

VERSION, LEGACY = "2026-07-28", "2025-11-25"
LIMIT_S = 30.0
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}
OWNER = "NewsAnalysisAgent"
ARGUMENTS: Mapping[str, dict[str, Any]] = {
    "publish_context": {"message": news(topic="news")},
    "ack_messages": {"up_to": 0},
    "predict_signal": {"symbol": "SPY", "price": 168.0},
    "set_trading_halt": {"halted": True, "reason": "test"},
}
EXAMPLE = {
    "{topic}": "news",
    "{agent}": OWNER,
    "{date}": "2013-10-07",
    "{?after,limit}": "?limit=1",
}
PARAMS: Mapping[str, dict[str, Any]] = {
    "prompts/get": {"name": "explain_signal", "arguments": {"symbol": "SPY"}}
}


@dataclass(frozen=True)
class Listeners:
    """Where to reach everything."""

    http: httpx.AsyncClient
    grpc: str
    feed: str


Try = Callable[[Listeners, str | None], Awaitable[str]]


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked for."""

    name: str
    roles: frozenset[Role] | None
    """Who may, by the table of the code; None asks for no credential."""
    attempt: Try
    owner: str | None = None
    """The only caller who may, beyond its role; "" is nobody."""

    @property
    def takes_tokens(self) -> bool:
        """Whether access tokens are accepted: by the hub, not by the predictor's listeners."""
        return not self.name.startswith(("gRPC", "feed"))

    def expected(self, role: Role | None, caller: str) -> str:
        """Give the verdict; no role is a credential that is not accepted."""
        if self.roles is None:
            return "allowed"
        if role is None:
            return "unauthenticated"
        mine = self.owner is None or self.owner == caller
        return "allowed" if role in self.roles and mine else "forbidden"


class Answering(market_pb2_grpc.FinancialPredictorServicer):
    """Refuses nothing and knows nothing: who gets as far as this was let in."""

    async def Predict(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "let in")

    StreamPredict = StreamPredictBatch = StreamRisk = Explain = Predict

    def drain(self) -> None:
        """Have nothing to end."""


@asynccontextmanager
async def listeners(served: Served) -> AsyncIterator[Listeners]:
    """Serve the gRPC services and the feed beside a hub, with the same keys."""
    ring = KeyRing(keys_path(served.state), every_s=0)
    feed = FeedServer(
        SignalRing(64, "session"),
        SymbolDirectory(),
        ring,
        permitted=lambda: True,
        now_ns=lambda: 0,
    )
    predictor = GrpcServer(Answering(), ring)  # type: ignore[arg-type]
    feed_at, grpc_at = await feed.start("127.0.0.1", 0), await predictor.start("127.0.0.1", 0)
    try:
        limits = httpx.Limits(keepalive_expiry=1.0)  # well before the server ends an idle one
        async with httpx.AsyncClient(base_url=served.base, timeout=LIMIT_S, limits=limits) as http:
            yield Listeners(http, grpc_at, feed_at)
    finally:
        await predictor.close(0)
        await feed.close()


def operations() -> list[Operation]:
    """Give all of them. What the table names and nothing here tries is an error."""
    found = [
        Operation(f"tool {name}", access.roles, _tool(name, ARGUMENTS.get(name, {})), _owner(name))
        for name, access in ACCESS.items()
    ]
    writers = ACCESS["publish_context"].roles
    rates = {"series_id": "DGS10", "value": 2.66, "previous": 2.63, "units": "Percent"}
    across = {"message": news(topic="rates", context=rates)}
    as_other = {"name": OWNER}
    found += [
        Operation("publish on another topic", writers, _tool("publish_context", across), ""),
        Operation("register as itself", writers, _tool("register_agent", as_other), OWNER),
    ]
    listed = [*(resource.uri for resource in LISTED), *(each.uri_template for each in TEMPLATES)]
    for uri in [*listed, BOARD]:
        for mark, value in EXAMPLE.items():
            uri = uri.replace(mark, value)
        start = next(start for start in RESOURCES if uri.startswith(start))
        owner = OWNER if start == "context://inbox/" else None
        for way, attempt in (("read", _read), ("subscribe", _subscribe), ("listen", _listen)):
            found.append(Operation(f"{way} {uri}", RESOURCES[start], attempt(uri), owner))
    found += [
        Operation(f"complete {name}", RESOURCES[uri], _complete(name))
        for name, uri in COMPLETIONS.items()
    ]
    found += [Operation(m, frozenset(Role), _method(m, PARAMS.get(m, {}))) for m in METHODS]
    found += [Operation(route, roles, _route(route)) for route, roles in ROUTES.items()]
    for service, roles in GRPC_SERVICES.items():
        found += [
            Operation(f"gRPC {path}", roles, _grpc(path, *way)) for path, way in _rpcs(service)
        ]
    return [*found, Operation("feed login", FEED, _login)]


def _owner(tool: str) -> str | None:
    return OWNER if tool == "publish_context" else None


def headers(credential: str | None) -> dict[str, str]:
    return {} if credential is None else {"authorization": f"Bearer {credential}"}


def _request(method: str, params: Mapping[str, Any], credential: str | None) -> dict[str, Any]:
    name = params.get("name") or params.get("uri")
    return {
        "json": {
            "jsonrpc": "2.0",
            "id": 1,
            "method": method,
            "params": {**params, "_meta": META},
        },
        "headers": {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": VERSION,
            "mcp-method": method,
            **({"mcp-name": str(name)} if name else {}),
            **headers(credential),
        },
    }


def verdict(status: int, answer: Mapping[str, Any]) -> str:
    """Read an answer of the hub; an error that has nothing to do with access is "allowed"."""
    if status in (401, 403):
        return "unauthenticated" if status == 401 else "forbidden"
    error = answer.get("error")
    if isinstance(error, dict):
        assert isinstance(error.get("data"), dict), f"not a refusal of ours: {answer}"
        code = error["data"].get("code")
    else:
        result = answer.get("result") or {}
        content = result.get("structuredContent") or {}
        code = content["error"]["code"] if result.get("isError") else None
    return "forbidden" if code == "forbidden" else "allowed"


def _method(method: str, params: Mapping[str, Any]) -> Try:
    async def attempt(at: Listeners, credential: str | None) -> str:
        answer = await at.http.post("/mcp", **_request(method, params, credential))
        return verdict(answer.status_code, answer.json())

    return attempt


def _tool(name: str, arguments: Mapping[str, Any]) -> Try:
    return _method("tools/call", {"name": name, "arguments": arguments})


def _read(uri: str) -> Try:
    return _method("resources/read", {"uri": uri})


def _complete(argument: str) -> Try:
    reference = {"type": "ref/prompt", "name": "explain_signal"}
    params = {"ref": reference, "argument": {"name": argument, "value": ""}}
    return _method("completion/complete", params)


def _listen(uri: str) -> Try:
    params = {"notifications": {"resourceSubscriptions": [uri]}}

    async def attempt(at: Listeners, credential: str | None) -> str:
        request = _request("subscriptions/listen", params, credential)
        async with at.http.stream("POST", "/mcp", **request) as answer:
            if not answer.headers["content-type"].startswith("text/event-stream"):
                return verdict(answer.status_code, json.loads(await answer.aread()))
            async for line in answer.aiter_lines():
                if line.startswith("data:") and line[5:].strip():
                    return verdict(answer.status_code, json.loads(line[5:]))
        raise AssertionError("the stream ended without a word")

    return attempt


def _subscribe(uri: str) -> Try:
    """Subscribe in the older protocol: a handshake, then the request on the session."""

    async def attempt(at: Listeners, credential: str | None) -> str:
        heads = {"accept": "application/json, text/event-stream", **headers(credential)}

        async def send(method: str, params: Any, **more: Any) -> httpx.Response:
            body = {"jsonrpc": "2.0", "method": method, "params": params, **more}
            return await at.http.post("/mcp", json=body, headers=heads)

        client = {"clientInfo": {"name": "t", "version": "1"}, "capabilities": {}}
        hello = await send("initialize", {"protocolVersion": LEGACY, **client}, id=1)
        if hello.status_code == 401:
            return "unauthenticated"
        heads |= {
            "mcp-session-id": hello.headers["mcp-session-id"],
            "mcp-protocol-version": LEGACY,
        }
        await send("notifications/initialized", {})
        answer = await send("resources/subscribe", {"uri": uri}, id=2)
        await at.http.delete("/mcp", headers=heads)
        data = next(line for line in answer.text.splitlines() if line.startswith("data: {"))
        return verdict(answer.status_code, json.loads(data[6:]))

    return attempt


def _route(route: str) -> Try:
    method, _, path = route.partition(" ")

    async def attempt(at: Listeners, credential: str | None) -> str:
        body = {"predictor_id": "one", "halt_epoch": 0} if method == "POST" else None
        answer = await at.http.request(method, path, json=body, headers=headers(credential))
        assert answer.status_code in (200, 401, 403), answer.text
        return verdict(answer.status_code, {})

    return attempt


def _rpcs(service: str) -> list[tuple[str, tuple[bool, bool]]]:
    """Give each method of a service: its path, and whether request and answer are streams."""
    if service.startswith("relentless."):
        methods = market_pb2.DESCRIPTOR.services_by_name[service.rpartition(".")[2]].methods
        return [(f"/{service}/{m.name}", (m.client_streaming, m.server_streaming)) for m in methods]
    known = {
        "grpc.health.v1.Health": ("Check", (False, False)),
        "grpc.reflection.v1alpha.ServerReflection": ("ServerReflectionInfo", (True, True)),
    }
    name, way = known[service]
    return [(f"/{service}/{name}", way)]


def _grpc(path: str, streams_in: bool, streams_out: bool) -> Try:
    async def attempt(at: Listeners, credential: str | None) -> str:
        metadata = tuple(headers(credential).items())
        async with grpc.aio.insecure_channel(at.grpc) as channel:
            given: Any = iter([b""]) if streams_in else b""
            kind = f"{'stream' if streams_in else 'unary'}_{'stream' if streams_out else 'unary'}"
            call = getattr(channel, kind)(path)(given, metadata=metadata, timeout=LIMIT_S)
            try:
                if streams_out:
                    await call.read()
                else:
                    await call
            except grpc.aio.AioRpcError as error:
                return GRPC.get(error.code(), f"{error.code().name}: {error.details()}")
            return "allowed"

    async def asked(at: Listeners, credential: str | None) -> str:
        for _ in range(3):
            verdict = await attempt(at, credential)
            if not verdict.startswith(WRITE_FAILED):
                break
        return verdict

    return asked


WRITE_FAILED = "INTERNAL: Internal error from Core"
"""The client's own: its write was under way as the refusal came. It is no answer; ask again."""
GRPC = {
    grpc.StatusCode.UNAUTHENTICATED: "unauthenticated",
    grpc.StatusCode.PERMISSION_DENIED: "forbidden",
    grpc.StatusCode.UNIMPLEMENTED: "allowed",  # by what answers here
}
"""What a status says of who asked; any other says nothing of it, and is no verdict."""


async def _login(at: Listeners, credential: str | None) -> str:
    host, _, port = at.feed.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(Login(credential or "").pack())
        packets = PacketReader()
        async with asyncio.timeout(LIMIT_S):
            while data := await reader.read(4_096):
                for kind, payload in packets.feed(data):
                    if kind is Kind.ACCEPTED:
                        return "allowed"
                    if kind is Kind.REJECTED:
                        said = reason(payload)[1]
                        return "forbidden" if "of role" in said else "unauthenticated"
        raise AssertionError("the feed said nothing")
    finally:
        writer.close()
        await writer.wait_closed()
