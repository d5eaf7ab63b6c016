"""Alpaca's market-data stream, version 2, in a box: ``/v2/{feed}`` as a websocket.

Frames are arrays; control frames have one element. A client authenticates within ten seconds (by
message, or by the two headers of the handshake), subscribes, and gets messages from then on, as
the run's clock passes their time. With ``tape = "fast"`` the first subscription plays the whole
tape from its start instead, as fast as the client takes it. The handshake says where the data
comes from: ``X-Relentless-Origin: recorded | synthetic``.

Any key and secret are taken, one connection a key. Two things differ from the real service: a
refused second connection is closed with a close frame (there: without one), and MessagePack is not
spoken (code 400).
"""

import asyncio
import contextlib
import json
from typing import Any, Final

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from relentless.configs.clock import Clock
from relentless.sandbox.frames import Tape
from relentless.sandbox.player import SLOW_CLIENT_S, Player, SlowClient
from relentless.sandbox.subscription import Refused, Subscription
from relentless.sandbox.world import ORIGIN_HEADER

FEEDS: Final = ("iex", "sip", "delayed_sip", "test")
AUTH_TIMEOUT_S: Final = 10.0
REFUSED_LINGER_S: Final = 10.0
"""How long a connection over the limit stays open after its 406."""
LAST_WORD_S: Final = 1.0
"""How long a client that does not read is given to take its last frame."""
MAX_MESSAGE: Final = 65_536

ERRORS: Final = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    408: "v2 not enabled",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    411: "insufficient scope",
    500: "internal error",
}


class Stream:
    """Every connection of the sandbox's stream."""

    def __init__(
        self,
        tape: Tape,
        clock: Clock,
        *,
        fast: bool = False,
        auth_timeout_s: float = AUTH_TIMEOUT_S,
        linger_s: float = REFUSED_LINGER_S,
        patience_s: float = SLOW_CLIENT_S,
    ) -> None:
        self._tape = tape
        self._clock = clock
        self._fast = fast
        self._auth_timeout_s = auth_timeout_s
        self._linger_s = linger_s
        self._patience_s = patience_s
        self._connected: set[str] = set()
        self._prepared = asyncio.Lock()

    def route(self) -> WebSocketRoute:
        """Give the websocket's route."""
        return WebSocketRoute("/v2/{feed}", self._endpoint)

    async def _endpoint(self, socket: WebSocket) -> None:
        feed = socket.path_params["feed"]
        if feed not in FEEDS:
            await socket.close()
            return
        origin = self._tape.origin.value
        await socket.accept(headers=[(ORIGIN_HEADER.lower().encode(), origin.encode())])
        connection = _Connection(socket)
        key = ""
        try:
            await connection.control({"T": "success", "msg": "connected"})
            key = await self._authenticate(connection)
            if key:
                await self._serve(connection, feed)
        except (WebSocketDisconnect, ConnectionError):
            pass
        finally:
            self._connected.discard(key)
            await connection.close()

    async def _authenticate(self, connection: "_Connection") -> str:
        """Give the key that the client showed; "" where the connection is over."""
        offered = connection.offered()
        try:
            async with asyncio.timeout(self._auth_timeout_s):
                while True:
                    if offered is None:
                        offered = await self._asked(connection)
                    if offered and all(offered):
                        break
                    if offered is not None:
                        await connection.error(402)
                    offered = None
        except TimeoutError:
            await connection.error(404)
            return ""
        key = offered[0]
        if key in self._connected:
            await connection.error(406)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger_s):
                    while True:
                        await connection.receive()
            return ""
        self._connected.add(key)
        await connection.control({"T": "success", "msg": "authenticated"})
        return key

    async def _asked(self, connection: "_Connection") -> tuple[str, str] | None:
        """Read one message before authentication; None where it does not offer a key."""
        message = await connection.receive()
        if message is None:
            await connection.error(400)
        elif message.get("action") != "auth":
            await connection.error(401)
        else:
            return str(message.get("key") or ""), str(message.get("secret") or "")
        return None

    async def _serve(self, connection: "_Connection", feed: str) -> None:
        subscription = Subscription(feed)
        reader = asyncio.create_task(self._obey(connection, subscription))
        player = asyncio.create_task(self._play(connection, subscription))
        try:
            done, _ = await asyncio.wait({reader, player}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await reader
        except SlowClient:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORD_S):
                    await connection.error(407)
        finally:
            for task in (reader, player):
                task.cancel()
            await asyncio.gather(reader, player, return_exceptions=True)

    async def _obey(self, connection: "_Connection", subscription: Subscription) -> None:
        """Answer the client's messages until it leaves."""
        while True:
            message = await connection.receive()
            if message is None:
                await connection.error(400)
                continue
            action = message.pop("action", None)
            if action == "auth":
                await connection.error(403)
                continue
            try:
                subscription.change(str(action), message, self._clock.now_ns())
            except Refused as error:
                await connection.error(error.code)
                continue
            await connection.control({"T": "subscription", **subscription.listed()})

    async def _play(self, connection: "_Connection", subscription: Subscription) -> None:
        """Send market data; end where the tape ends."""
        await subscription.begun.wait()
        async with self._prepared:
            await asyncio.to_thread(self._tape.prepare)
        player = Player(self._clock, connection.send_text, self._patience_s)
        if self._fast:
            await player.fast(self._tape.play(0), subscription)
        else:
            await player.on_time(self._tape.play(subscription.since_ns), subscription)


class _Connection:
    """One websocket: whole messages in, one writer at a time out."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._writing = asyncio.Lock()

    def offered(self) -> tuple[str, str] | None:
        """Give key and secret from the handshake's headers; None where there are none."""
        headers = self._socket.headers
        if "apca-api-key-id" not in headers:
            return None
        return headers["apca-api-key-id"], headers.get("apca-api-secret-key", "")

    async def receive(self) -> dict[str, Any] | None:
        """Read one message; None where it is no JSON object.

        Raises:
            WebSocketDisconnect: the client left.
        """
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        text = message.get("text")
        if text is None or len(text) > MAX_MESSAGE:
            return None
        try:
            body = json.loads(text)
        except ValueError:
            return None
        return body if isinstance(body, dict) else None

    async def send_text(self, text: str) -> None:
        """Send one frame; wait while the client does not take it."""
        async with self._writing:
            await self._socket.send_text(text)

    async def control(self, message: dict[str, Any]) -> None:
        """Send a control frame: an array of one."""
        await self.send_text(json.dumps([message], separators=(",", ":")))

    async def error(self, code: int) -> None:
        """Send an error frame."""
        await self.control({"T": "error", "code": code, "msg": ERRORS[code]})

    async def close(self) -> None:
        """Close, where the client has not."""
        states = (self._socket.client_state, self._socket.application_state)
        if WebSocketState.DISCONNECTED not in states:
            with contextlib.suppress(WebSocketDisconnect, OSError, RuntimeError):
                async with asyncio.timeout(LAST_WORD_S):
                    await self._socket.close()
