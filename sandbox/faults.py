"""Faults on demand: what upstream services do when they fail, by path and count.

A plan is a list of faults. A request takes the first fault that matches it and has not been used
up; the others pass untouched. The plan is set in process (``Faults.plan``) or over HTTP:
``POST /_faults`` adds, ``GET`` shows what is left, ``DELETE`` clears. It stands outside the
services, which know nothing of it.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from lxml import etree
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Kind = Literal[
    "rate_limited",
    "forbidden",
    "server_error",
    "unavailable",
    "hang",
    "cut_body",
    "slow_body",
    "truncated_json",
    "empty_body",
    "empty_page",
    "wrong_charset",
    "duplicated_page",
    "shifting_page",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_HTML: Final = (
    "<!DOCTYPE html><html><head><title>503 Service Unavailable</title></head>"
    "<body><h1>Service Unavailable</h1><p>The server is temporarily unable to service your "
    "request.</p></body></html>"
)


_DENIED: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
)
_OFFSETS: Final = ("offset", "start")
"""Query parameters that say at which item a page begins."""
_SIZES: Final = ("limit", "count")


class Fault(BaseModel):
    """One kind of failure, for the requests that it matches."""

    model_config = ConfigDict(extra="forbid")

    path: str = "/"
    """Where the path begins."""
    query: str = ""
    """What the query must hold: "series_id=DGS10"."""
    kind: Kind
    """``cut_body`` needs a real connection: in process there is none to cut."""
    count: int | None = Field(default=1, ge=0)
    """How many requests fail; None is all of them."""
    after: int = Field(default=0, ge=0)
    """How many matching requests pass first."""
    retry_after: int | None = None
    """Of ``rate_limited``: the header in seconds, or no header."""
    shift: int = 3
    """Of ``shifting_page``: by how many items the list moved since the page before."""
    seconds: float = Field(default=0.05, ge=0)
    """Of ``slow_body``: between two pieces. Of ``hang``: before the answer. Wall time."""


@dataclass
class _Body:
    """An answer that was caught on its way out."""

    start: Message
    content: bytes


class Faults:
    """ASGI middleware that plays a plan of faults."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.plan: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        """Append to the plan."""
        self.plan.extend(fault.model_copy() for fault in faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the control path, play a fault, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == "/_faults":
            response = await self._control(scope, receive)
            await response(scope, receive, send)
        elif (fault := self._take(scope)) is None:
            await self._app(scope, receive, send)
        else:
            await self._play(fault, scope, receive, send)

    def _take(self, scope: Scope) -> Fault | None:
        query = scope["query_string"].decode("latin-1")
        for fault in self.plan:
            if not scope["path"].startswith(fault.path) or fault.query not in query:
                continue
            if fault.after > 0:
                fault.after -= 1
            elif fault.count is None:
                return fault
            elif fault.count > 0:
                fault.count -= 1
                return fault
        return None

    async def _control(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] == "DELETE":
            self.plan.clear()
        elif scope["method"] == "POST":
            body = b""
            more = True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            try:
                self.add(*TypeAdapter(list[Fault]).validate_json(body))
            except ValidationError as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse([fault.model_dump() for fault in self.plan])

    async def _play(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.kind:
            case "rate_limited":
                headers = (
                    {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after}"}
                )
                error = {"error": {"code": "OVER_RATE_LIMIT", "message": "Too many requests"}}
                await JSONResponse(error, 429, headers)(scope, receive, send)
            case "forbidden":
                await Response(_DENIED, 403, media_type="application/xml")(scope, receive, send)
            case "duplicated_page":
                await self._app(_paged(scope, None), receive, send)
            case "shifting_page":
                await self._app(_paged(scope, fault.shift), receive, send)
            case "server_error":
                await Response("Internal Server Error", 500)(scope, receive, send)
            case "unavailable":
                await Response(_HTML, 503, media_type="text/html")(scope, receive, send)
            case "hang":
                await asyncio.sleep(fault.seconds)
                await self._app(scope, receive, send)
            case _:
                caught = await self._catch(scope, receive)
                await _spoil(fault, caught, send)

    async def _catch(self, scope: Scope, receive: Receive) -> _Body:
        caught = _Body({}, b"")

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                caught.start = message
            else:
                caught.content += message.get("body", b"")

        await self._app(scope, receive, keep)
        return caught


def _paged(scope: Scope, shift: int | None) -> Scope:
    """Move the item at which a page begins back by ``shift``; None gives the page before again.

    A request without an offset, or for the first page, is as it was.
    """
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    name = next((name for name in _OFFSETS if query.get(name, "").isdecimal()), None)
    if name is None:
        return scope
    size = next((int(query[n]) for n in _SIZES if query.get(n, "").isdecimal()), 0)
    query[name] = str(max(int(query[name]) - (size if shift is None else shift), 0))
    return {**scope, "query_string": urlencode(query).encode()}


async def _spoil(fault: Fault, caught: _Body, send: Send) -> None:
    """Send an answer that was right until a moment ago."""
    content = caught.content
    headers = MutableHeaders(raw=caught.start["headers"])
    half = content[: len(content) // 2]
    match fault.kind:
        case "cut_body":
            # The length that was promised stays: the server closes the connection half-way.
            await send(caught.start)
            await send({"type": "http.response.body", "body": half, "more_body": True})
            return
        case "slow_body":
            await send(caught.start)
            size = max(len(content) // 8, 1)
            for at in range(0, len(content), size):
                piece = content[at : at + size]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(fault.seconds)
            await send({"type": "http.response.body", "body": b""})
            return
        case "truncated_json":
            content = half
        case "empty_body":
            content = b""
        case "empty_page":
            content = _emptied(content)
        case _:
            kind = headers.get("content-type", "application/json").partition(";")[0]
            headers["content-type"] = f"{kind}; charset=utf-8"
            content = content.decode("utf-8", "replace").encode("utf-16")
    headers["content-length"] = str(len(content))
    await send(caught.start)
    await send({"type": "http.response.body", "body": content})


def _document(content: bytes) -> "etree._Element | None":
    """Read a body that is XML; None for anything else."""
    try:
        return etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    except (etree.XMLSyntaxError, ValueError):
        return None


def _emptied(content: bytes) -> bytes:
    """Give a JSON object with every list in it empty, or a feed without entries.

    The counts stay. A table in text keeps its first line.
    """
    root = _document(content)
    if root is not None:
        for element in root.xpath("//*[local-name()='item' or local-name()='entry']"):
            element.getparent().remove(element)
        for element in root.xpath("//*[local-name()='urlset']/*"):
            element.getparent().remove(element)
        emptied: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
        return emptied
    try:
        body: Any = json.loads(content)
    except ValueError:
        return content.partition(b"\n")[0]
    if not isinstance(body, dict):
        return b"[]"
    return json.dumps(
        {name: [] if isinstance(value, list) else value for name, value in body.items()}
    ).encode()
