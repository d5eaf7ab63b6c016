"""The short way for the one hot call, ``publish_context``: around the SDK, by the same functions.

A request takes it only where it is exactly the call that the SDK would pass on unchanged: a POST of
the 2026-07-28 protocol whose headers and body agree, from a verified key, without an Origin. Key,
role, rate, validation and the tool itself are those of every other call. Whatever else comes is
handed to the SDK untouched, refusals included, so that there is one place that refuses.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from mcp_types import Implementation
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relentless.mcp_server.auth import KeyVerification
from relentless.mcp_server.toolbox import Answer, Toolbox
from relentless.store.ports import Principal

TOOL: Final = "publish_context"
PROTOCOL: Final = b"2026-07-28"
META: Final = "io.modelcontextprotocol/"
MAX_BODY: Final = 1_048_576
_META_KEYS: Final = {
    f"{META}{key}" for key in ("protocolVersion", "clientCapabilities", "clientInfo")
}
_EXPECTED: Final = {
    b"content-type": b"application/json",
    b"mcp-protocol-version": PROTOCOL,
    b"mcp-method": b"tools/call",
    b"mcp-name": TOOL.encode(),
}
_BEARER: Final = b"bearer "


class FastPublish:
    """Answers ``publish_context`` before the SDK; passes everything else on."""

    def __init__(
        self,
        inner: ASGIApp,
        toolbox: Toolbox,
        verification: KeyVerification,
        server: Implementation,
        hosts: frozenset[bytes],
    ) -> None:
        self._inner = inner
        self._toolbox = toolbox
        self._verification = verification
        self._hosts = hosts
        info = server.model_dump(mode="json", by_alias=True, exclude_none=True)
        self._tail = (
            '"resultType":"complete","_meta":'
            + json.dumps({f"{META}serverInfo": info}, separators=(",", ":"))
            + "}}"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        caller = self._caller(scope)
        if caller is None:
            await self._inner(scope, receive, send)
            return
        taken: list[Message] = []
        body = await _body(receive, taken)
        call = None if body is None else _call(body)
        if call is None:
            await self._inner(scope, _again(taken, receive), send)
            return
        number, arguments = call
        answer = await self._toolbox.answer(TOOL, arguments, caller)
        await _respond(send, self._result(number, answer))

    def _caller(self, scope: Scope) -> Principal | None:
        """Give who calls, where the headers are exactly those of the hot call."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != "/mcp":
            return None
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers:
                return None
            headers[name] = value
        if any(headers.get(name) != value for name, value in _EXPECTED.items()):
            return None
        accepted = headers.get(b"accept", b"")
        both = b"application/json" in accepted and b"text/event-stream" in accepted
        host = headers.get(b"host", b"").rpartition(b":")[0]
        key = headers.get(b"authorization", b"")
        if not both or b"origin" in headers or host not in self._hosts:
            return None
        if b"mcp-session-id" in headers or key[: len(_BEARER)].lower() != _BEARER:
            return None
        return self._verification.principal(key[len(_BEARER) :].decode("latin-1"))

    def _result(self, number: int | str, answer: Answer) -> bytes:
        said = (
            f'{{"jsonrpc":"2.0","id":{json.dumps(number)},"result":{{"content":[{{"type":"text",'
            f'"text":{json.dumps(answer.text)}}}],"structuredContent":{answer.structured},'
            f'"isError":{"true" if answer.is_error else "false"},{self._tail}'
        )
        return said.encode()


def _call(body: bytes) -> tuple[int | str, Mapping[str, Any]] | None:
    """Give the id and arguments of a request that is exactly the hot call; else None."""
    try:
        request = json.loads(body)
        params = request["params"]
        meta = params["_meta"]
        arguments, number = params["arguments"], request["id"]
        exact = (
            request.keys() == {"jsonrpc", "id", "method", "params"}
            and (request["jsonrpc"], request["method"]) == ("2.0", "tools/call")
            and params.keys() == {"name", "arguments", "_meta"}
            and params["name"] == TOOL
            and meta[f"{META}protocolVersion"] == PROTOCOL.decode()
            and isinstance(meta[f"{META}clientCapabilities"], dict)
            and meta.keys() <= _META_KEYS
            and isinstance(arguments, dict)
            and type(number) in (int, str)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (number, arguments) if exact else None


async def _body(receive: Receive, taken: list[Message]) -> bytes | None:
    """Read the body, keeping what was received; None where it is too large or cut."""
    body = bytearray()
    while True:
        message = await receive()
        taken.append(message)
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _again(taken: list[Message], receive: Receive) -> Receive:
    """Give the messages that were taken once more, then those that follow."""
    waiting = iter(taken)

    async def replay() -> Message:
        message = next(waiting, None)
        return await receive() if message is None else message

    return replay


async def _respond(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
