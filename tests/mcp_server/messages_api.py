"""A stand-in for Claude's Messages API: its wire format, streaming included, by a script.

No network is here, so the real service cannot be asked. The script is a list of answers: blocks of
text and tool calls, an HTTP error, or a function of the request.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Block = dict[str, Any]
Answer = Sequence[Block] | int | Callable[[dict[str, Any]], Sequence[Block]]


def says(text: str) -> Block:
    return {"type": "text", "text": text}


def calls(name: str, **arguments: Any) -> Block:
    return {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": arguments}


def thinks(text: str) -> Block:
    return {"type": "thinking", "thinking": text, "signature": "sealed-by-the-service"}


class MessagesApi:
    """Answers by its script; ``requests`` and ``keys`` hold what came."""

    def __init__(self, *script: Answer) -> None:
        self.script = list(script)
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.stop_reason: str | None = None
        self.usage = {"input_tokens": 1_000, "output_tokens": 100}

    async def endpoint(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("authorization", "").removeprefix("Bearer "))
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, int):
            kind = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
            error = {"type": kind.get(answer, "api_error"), "message": "said by the stand-in"}
            headers = {"retry-after": "0"} if answer == 429 else {}
            return JSONResponse({"type": "error", "error": error}, answer, headers)
        blocks = answer(body) if callable(answer) else answer
        return StreamingResponse(self._events(blocks), media_type="text/event-stream")

    async def _events(self, blocks: Sequence[Block]) -> AsyncIterator[str]:
        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "stand-in",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self.usage | {"output_tokens": 1},
        }
        yield _event("message_start", message=message)
        for index, block in enumerate(blocks):
            if block["type"] == "thinking":
                start: Block = {"type": "thinking", "thinking": "", "signature": ""}
                pieces = [
                    {"type": "thinking_delta", "thinking": block["thinking"]},
                    {"type": "signature_delta", "signature": block["signature"]},
                ]
            elif block["type"] == "text":
                start = {"type": "text", "text": ""}
                pieces = [
                    {"type": "text_delta", "text": block["text"][at : at + 7]}
                    for at in range(0, len(block["text"]), 7)
                ]
            else:
                start = block | {"input": {}}
                given = json.dumps(block["input"])
                pieces = [
                    {"type": "input_json_delta", "partial_json": given[at : at + 5]}
                    for at in range(0, len(given), 5)
                ]
            yield _event("content_block_start", index=index, content_block=start)
            for piece in pieces:
                yield _event("content_block_delta", index=index, delta=piece)
            yield _event("content_block_stop", index=index)
        called = any(block["type"] == "tool_use" for block in blocks)
        reason = self.stop_reason or ("tool_use" if called else "end_turn")
        delta = {"stop_reason": reason, "stop_sequence": None}
        yield _event("message_delta", delta=delta, usage=self.usage)
        yield _event("message_stop")


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


@asynccontextmanager
async def serve(api: MessagesApi) -> AsyncIterator[str]:
    """Serve on loopback; give the address."""
    app = Starlette(routes=[Route("/v1/messages", api.endpoint, methods=["POST"])])
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
