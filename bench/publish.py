"""Durable ``publish_context`` at 16 callers, against a plain tool of the SDK that keeps nothing.

Both servers are processes of their own; the client speaks HTTP/1.1 over kept-alive sockets and
parses no more than the length of the answer, so that it is not the limit.
"""

import asyncio
import json
import os
import secrets
import sys
import time
from pathlib import Path

from bench.harness import Figure, Section, alternate, percentile
from bench.processes import plan, started
from relentless.store.keys import local_credential

CALLERS, CALLS, ROUNDS = 16, 25, 6
PLAIN_PORT_ENV = "RELENTLESS_BENCH_PORT"
PROTOCOL = "2026-07-28"


def plain_server() -> None:
    """Run the reference: one tool of the SDK that validates its argument and answers."""
    import uvicorn
    from mcp.server import MCPServer
    from pydantic import BaseModel

    class Receipt(BaseModel):
        sequence: int

    server = MCPServer("plain", log_level="ERROR")

    @server.tool()
    async def publish_context(message: dict[str, object]) -> Receipt:
        """Take a message and forget it."""
        return Receipt(sequence=len(message))

    app = server.streamable_http_app(json_response=True)
    config = uvicorn.Config(
        app, port=int(os.environ[PLAIN_PORT_ENV]), log_level="error", loop="uvloop"
    )
    print(json.dumps({"ready": "plain"}), flush=True)
    uvicorn.Server(config).run()


def _request(host: str, port: int, credential: str) -> bytes:
    context = {"series_id": "DGS10", "value": 2.66, "previous": 2.63, "units": "Percent"}
    message = {
        "protocol": "MCP",
        "version": "1.0",
        "timestamp": "2013-10-04T12:00:00Z",
        "source_agent": "FredAgent",
        "topic": "rates",
        "known_at": "2013-10-04T12:00:00Z",
        "message_id": secrets.token_hex(16),
        "context": context,
    }
    name = "io.modelcontextprotocol"
    body = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "name": "publish_context",
                "arguments": {"message": message},
                "_meta": {f"{name}/protocolVersion": PROTOCOL, f"{name}/clientCapabilities": {}},
            },
        }
    ).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
        f"accept: application/json, text/event-stream\r\nmcp-protocol-version: {PROTOCOL}\r\n"
        f"mcp-method: tools/call\r\nmcp-name: publish_context\r\n"
        f"authorization: Bearer {credential}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _caller(host: str, port: int, credential: str, samples: list[float]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    for _ in range(CALLS):
        request = _request(host, port, credential)
        begun = time.perf_counter_ns()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        samples.append((time.perf_counter_ns() - begun) / 1e3)
        if b'"isError":true' in body or b'"error":' in body[:80]:
            raise RuntimeError(f"the server refused: {body[:300]!r}")
    writer.close()


def _round(host: str, port: int, credential: str) -> tuple[list[float], float]:
    samples: list[float] = []

    async def every() -> None:
        await asyncio.gather(*(_caller(host, port, credential, samples) for _ in range(CALLERS)))

    begun = time.perf_counter()
    asyncio.run(every())
    return samples, CALLERS * CALLS / (time.perf_counter() - begun)


def section() -> Section:
    """Measure both, in alternating rounds."""
    with plan() as made:
        unlimited = made.settings.hub.model_copy(update={"rate_per_s": 1e6})
        chosen = made.settings.model_copy(update={"hub": unlimited})
        file = Path(made.file)
        file.write_text(chosen.dump())
        host, port, plain = chosen.hub.host, chosen.hub.port, chosen.sandbox.port
        os.environ[PLAIN_PORT_ENV] = str(plain)
        credential = local_credential(chosen.paths.state, "FredAgent")
        rates: dict[str, list[float]] = {"hub": [], "plain": []}

        def run(name: str, at: int) -> list[float]:
            samples, rate = _round(host, at, credential)
            rates[name].append(rate)
            return samples

        with (
            started(["-m", "relentless", "hub"], file),
            started(["-m", "bench.publish"], file),
        ):
            for name, at in (("hub", port), ("plain", plain)):
                run(name, at)
            rates = {"hub": [], "plain": []}
            reference, samples = alternate(
                lambda: run("plain", plain), lambda: run("hub", port), ROUNDS
            )
    return Section(
        "Publishing",
        "publish_context of one message, on disk before it is answered, against a plain SDK tool.",
        [
            Figure(
                f"calls a second at {CALLERS} callers",
                percentile(rates["hub"], 0.5),
                "calls/s",
                None,
                "plain SDK tool",
                percentile(rates["plain"], 0.5),
                note="more is better",
            ),
            Figure.of(
                "latency of a call",
                samples,
                "ms",
                "plain SDK tool",
                reference,
                per=1e3,
            ),
        ],
    )


if __name__ == "__main__":
    if PLAIN_PORT_ENV not in os.environ:
        sys.exit("bench.publish is started by `python -m bench`")
    plain_server()
