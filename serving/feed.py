"""The signal feed: 64-byte frames over TCP with login, replay, heartbeats and slow consumers.

Above stands the pipeline, which publishes frames that passed the gates; below, any consumer that
speaks ``docs/feed.md`` (ours is ``serving.clients.feed``). Every consumer has a place in the ring
and is sent what lies between its place and the head: live frames and replays are the same act, and
nothing queues up for a consumer but what the kernel and one write buffer hold. So the feed can stop
at once: after :meth:`FeedServer.halt` returns, no byte of a signal leaves this process.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

import numpy as np
import structlog

from relentless.proto import feed as wire
from relentless.proto.errors import InvalidFrame, Unauthenticated, Unavailable
from relentless.proto.feed import Accepted, Kind, Login, PacketReader, Why
from relentless.proto.signal import Action, Flag, Signal
from relentless.serving.ring import Frames, SignalRing
from relentless.serving.wire import mark_replayed
from relentless.store.ports import SIGNAL_READERS, KeyVerifier
from relentless.store.symbols import SymbolDirectory

WRITE_BUFFER = 65_536
"""Bytes that may wait in this process for one consumer before it counts as blocked."""
_REPLAY = int(Flag.REPLAY)
_log = structlog.get_logger(__name__)


class FeedServer:
    """One session's feed.

    Args:
        ring: where the frames lie.
        symbols: the directory that is sent at login.
        verifier: who may log in.
        permitted: whether signals may leave now (the lease).
        now_ns: market time, for heartbeats.
        heartbeat_s: wall seconds between heartbeats.
        login_s: wall seconds in which a connection must log in.
        slow_frames: a live consumer further behind than this is cut off.
        most: connections at a time.
    """

    def __init__(
        self,
        ring: SignalRing,
        symbols: SymbolDirectory,
        verifier: KeyVerifier,
        *,
        permitted: Callable[[], bool],
        now_ns: Callable[[], int],
        heartbeat_s: float = 1.0,
        login_s: float = 5.0,
        slow_frames: int = 131_072,
        most: int = 256,
    ) -> None:
        self.ring = ring
        self.symbols = symbols
        self.verifier = verifier
        self.permitted = permitted
        self.login_s = login_s
        self.slow_frames = slow_frames
        self.most = most
        self.denied = 0
        self.slow = 0
        self.links: set[_Link] = set()
        self._now_ns = now_ns
        self._heartbeat_s = heartbeat_s
        self._server: asyncio.Server | None = None
        self._beat: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> str:
        """Listen, and give the address as "host:port".

        Raises:
            Unavailable: the port is taken.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Link(self), host, port, ssl=tls)
        except OSError as error:
            raise Unavailable(f"the feed cannot listen on {host}:{port}: {error}") from error
        self._beat = asyncio.create_task(self._heartbeats(), name="feed-heartbeats")
        address = self._server.sockets[0].getsockname()
        return f"{address[0]}:{address[1]}"

    @property
    def consumers(self) -> int:
        """How many are logged in."""
        return sum(link.live for link in self.links)

    def publish(self, frames: Frames) -> None:
        """Take sealed frames, shape [N, 64], numbered from ``ring.head`` on, and send them."""
        first = self.ring.head
        self.ring.append(frames)
        packets = wire.pack_signals(frames.tobytes())
        for link in tuple(self.links):
            link.offer(first, packets)

    def resume(self) -> None:
        """Send what is waiting; call it when a lease was granted after a halt."""
        for link in tuple(self.links):
            link.pump()

    async def halt(self) -> None:
        """Return once no byte of a signal can leave: what was not sent is a replay from now on.

        A consumer that has not taken all its bytes is cut off; it will come back and ask.
        """
        for link in self.links:
            link.demote()
        await asyncio.sleep(0)  # the loop flushes this round's writes at its end
        await asyncio.sleep(0)
        for link in tuple(self.links):
            link.abort_if_blocked()
        self.beat()

    def beat(self) -> None:
        """Send one heartbeat to every consumer."""
        for link in tuple(self.links):
            if link.live:
                link.send(wire.packet(Kind.HEARTBEAT, self._heartbeat(link.place)))

    async def close(self) -> None:
        """Say goodbye, and stop listening."""
        if self._beat is not None:
            self._beat.cancel()
        if self._server is not None:
            self._server.close()
        for link in tuple(self.links):
            link.end(Why.CLOSING, "the predictor is closing; this session ends")
        if self._server is not None:
            try:
                async with asyncio.timeout(1.0):
                    await self._server.wait_closed()
            except TimeoutError:
                for link in tuple(self.links):
                    link.abort()

    def make_room(self) -> bool:
        """End the oldest connection that has not logged in; gives whether there was one.

        So nobody without a key can keep consumers out.
        """
        silent = min(
            (link for link in self.links if not link.live), key=lambda x: x.since, default=None
        )
        if silent is None:
            return False
        self.links.discard(silent)
        silent.end(Why.FULL, "others wait; log in at once")
        return True

    def _heartbeat(self, place: int) -> bytes:
        flags = Flag.HEARTBEAT if self.permitted() else Flag.HEARTBEAT | Flag.HALTED
        now = max(0, self._now_ns())
        return Signal(now, 0, Action.HOLD, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, place, 0, 0, flags).pack()

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            self.beat()


class _Link(asyncio.Protocol):
    """One connection: its login, its place in the ring, and whether it takes more."""

    def __init__(self, feed: FeedServer) -> None:
        self.live = False
        self.since = 0.0
        self.place = 0
        self._feed = feed
        self._reader = PacketReader(wire.MAX_CLIENT_PACKET)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle
        self._blocked = False
        self._carried = False
        self._replay_until = 0
        self._symbols_sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER, low=0)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._feed.login_s, self._too_late)
        self.since = loop.time()
        if len(self._feed.links) >= self._feed.most and not self._feed.make_room():
            self._reject(Why.FULL, "too many connections; try later")
            return
        self._feed.links.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self.live = False
        self._feed.links.discard(self)

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self.pump()

    def data_received(self, data: bytes) -> None:
        try:
            for kind, payload in self._reader.feed(data):
                if self._transport.is_closing():
                    return
                self._take(kind, payload)
        except InvalidFrame as error:
            self._reject(Why.PROTOCOL, str(error))

    def send(self, data: bytes) -> None:
        """Write bytes, unless the connection is closing."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def offer(self, first: int, packets: bytes) -> None:
        """Send new frames if this consumer stands just before them; else go on with its backlog."""
        if not self.live:
            return
        if self.place == first and not self._blocked:
            self._tell_symbols()
            self._carried = True
            self.send(packets)
            self.place = self._feed.ring.head
            return
        if not self._blocked:
            self.pump()
        if self.place >= self._replay_until:
            behind = self._feed.ring.head - self.place > self._feed.slow_frames
        else:
            behind = self.place < self._feed.ring.first
        if behind:
            self._feed.slow += 1
            self.end(Why.SLOW, "too slow: the frames not taken are dropped; log in and ask again")

    def pump(self) -> None:
        """Send from this consumer's place to the head, while it takes them and they may leave."""
        ring = self._feed.ring
        while self.live and not self._blocked and self.place < ring.head:
            if not self._feed.permitted():
                return
            if self.place < ring.first:
                self.send(wire.pack_gap(self.place, ring.first))
                self.place = ring.first
            frames = ring.read(self.place, wire.MAX_FRAMES)
            replayed = min(len(frames), self._replay_until - self.place)
            if replayed > 0:
                mark_replayed(frames[:replayed].view(np.uint32), _REPLAY)
            self._tell_symbols()
            self.place += len(frames)
            self._carried = True
            self.send(wire.packet(Kind.SIGNALS, frames.tobytes()))

    def demote(self) -> None:
        """Make what is not sent yet a replay."""
        self._replay_until = self._feed.ring.head

    def abort_if_blocked(self) -> None:
        """Cut the connection off where bytes for it may still be in this process.

        The transport beneath TLS keeps bytes of its own that no count shows, so with TLS whoever
        was sent a signal is cut off.
        """
        hidden = self._carried and self._transport.get_extra_info("sslcontext") is not None
        if hidden or self._transport.get_write_buffer_size():
            self.abort()

    def abort(self) -> None:
        """Cut the connection off, with the bytes that wait for it."""
        self.live = False
        self._transport.abort()

    def end(self, why: Why, text: str) -> None:
        """Say why, and close; what cannot be said to a blocked consumer is not."""
        self.live = False
        if self._blocked:
            self._transport.abort()
        else:
            self.send(wire.pack_reason(Kind.END, why, text))
            self._transport.close()

    def _take(self, kind: Kind, payload: bytes) -> None:
        if not self.live:
            if kind is not Kind.LOGIN:
                raise InvalidFrame("the first packet is a login")
            self._login(Login.unpack(payload))
        elif kind is Kind.REPLAY:
            self._go_back(wire.unpack_sequence(payload))
        elif kind is Kind.LOGOUT:
            self._transport.close()
        elif kind is not Kind.ALIVE:
            raise InvalidFrame(f"a consumer does not send {kind.name.lower()}")

    def _login(self, login: Login) -> None:
        try:
            principal = self._feed.verifier.verify(login.credential)
        except Unauthenticated as error:
            self._reject(Why.AUTHENTICATION, str(error))
            return
        except Unavailable as error:
            self._reject(Why.UNAVAILABLE, str(error))
            return
        if principal.role not in SIGNAL_READERS:
            self._reject(Why.AUTHENTICATION, f"a key of role {principal.role} reads no signals")
            return
        ring = self._feed.ring
        wanted = login.next_sequence
        if login.session not in ("", ring.session) and wanted:
            wanted = 1
        if wanted > ring.head:
            self._reject(Why.SEQUENCE, f"sequence {wanted} is ahead of the feed ({ring.head})")
            return
        self._timer.cancel()
        self.live = True
        self.place = max(wanted, ring.first) if wanted else ring.head
        self.send(Accepted(ring.session, self.place, ring.head).pack())
        self._tell_symbols()
        if 0 < wanted < ring.first:
            self.send(wire.pack_gap(wanted, ring.first))
        self._replay_until = ring.head
        _log.info("consumer logged in", name=principal.name, place=self.place)
        self.pump()

    def _go_back(self, sequence: int) -> None:
        """Answer a replay request: continue from ``sequence``, everything up to now as replayed."""
        ring = self._feed.ring
        if not 0 < sequence <= ring.head:
            raise InvalidFrame(f"sequence {sequence} was never sent; the next is {ring.head}")
        self.place = sequence
        self._replay_until = ring.head
        self.pump()

    def _tell_symbols(self) -> None:
        if self._symbols_sent < len(self._feed.symbols):
            self.send(wire.pack_directory(self._feed.symbols.after(self._symbols_sent)))
            self._symbols_sent = len(self._feed.symbols)

    def _too_late(self) -> None:
        self._reject(Why.AUTHENTICATION, "no login in time")

    def _reject(self, why: Why, text: str) -> None:
        self._feed.denied += why is Why.AUTHENTICATION
        self.live = False
        self.send(wire.pack_reason(Kind.REJECTED, why, text))
        self._transport.close()
