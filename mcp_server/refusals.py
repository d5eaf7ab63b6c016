"""What a refusal says: short, and nothing of the insides.

The SDK's text about a request that is no message of the protocol quotes the library that found the
fault, with every type that was tried and the value that was sent; a client needs one line. Our own
errors may quote what a caller sent, but not all of it.
"""

import json
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BAD_REQUEST: Final = 400
LONGEST: Final = 300
"""Characters of what the SDK says."""
QUOTED: Final = 1_000
"""Characters from the start and from the end of an error's text that is longer than both."""
NO_MESSAGE: Final = "the body is no JSON-RPC message of this protocol"
_QUOTES: Final = ("Validation error", "Parse error")


class Plain:
    """Passes requests on, and shortens what is answered 400."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        held: Message | None = None
        body = bytearray()

        async def watched(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and message["status"] == BAD_REQUEST:
                held = message
                return
            if held is None:
                await send(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                said = plain(bytes(body))
                headers = [pair for pair in held["headers"] if pair[0].lower() != b"content-length"]
                headers.append((b"content-length", b"%d" % len(said)))
                await send({**held, "headers": headers})
                held = None
                await send({"type": "http.response.body", "body": said})

        await self._inner(scope, receive, watched)


def plain(body: bytes) -> bytes:
    """Give a refusal's body with one short line for its message."""
    try:
        said: Any = json.loads(body)
        message = said["error"]["message"]
        quotes = message.startswith(_QUOTES)
    except (ValueError, KeyError, TypeError, AttributeError):
        return body
    if quotes:
        kind = message.partition(":")[0]
        said["error"]["message"] = f"{kind}: {NO_MESSAGE}"
    else:
        said["error"]["message"] = message.partition("\n")[0][:LONGEST]
    return json.dumps(said, separators=(",", ":")).encode()


def brief(text: str) -> str:
    """Give an error's text, without its middle where that quotes too much."""
    if len(text) <= 2 * QUOTED:
        return text
    return f"{text[:QUOTED]} [...] {text[-QUOTED:]}"
