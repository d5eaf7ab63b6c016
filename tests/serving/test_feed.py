"""The feed and its client: order without gaps, whatever happens to the wire between them."""

import asyncio
import struct

import pytest
import uvloop

from relentless.proto import feed as wire
from relentless.proto.errors import InvalidInput, Unauthenticated
from relentless.proto.feed import Kind, Login, PacketReader, Why
from relentless.proto.signal import Flag, Signal
from relentless.serving.clients.feed import (
    Disconnected,
    Event,
    FeedClient,
    Heartbeat,
    Lost,
    Received,
    SessionStarted,
)

from .doubles import FaultyProxy, Feeder, chaos, eventually

LIMIT_S = 30.0


async def collect(client: FeedClient, last: int, events: list[Event]) -> list[int]:
    """Read until signal ``last``, and give the sequences in the order of arrival."""
    async with asyncio.timeout(LIMIT_S):
        async for event in client:
            events.append(event)
            if isinstance(event, Received) and event.signal.sequence >= last:
                break
    return [e.signal.sequence for e in events if isinstance(e, Received)]


async def raw(address: str, packet: bytes) -> list[tuple[Kind, bytes]]:
    """Send bytes, and give every packet until the server closes."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(packet)
    async with asyncio.timeout(LIMIT_S):
        data = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    return list(PacketReader().feed(data))


async def consumers(feeder: Feeder, count: int) -> None:
    await eventually(lambda: feeder.server.consumers == count)


async def test_a_consumer_sees_every_signal_once_and_in_order() -> None:
    events: list[Event] = []
    async with Feeder() as feeder, FeedClient(feeder.address, "good", next_sequence=1) as client:
        reading = asyncio.create_task(collect(client, 300, events))
        await consumers(feeder, 1)
        for _ in range(100):
            feeder.publish(3)
            await asyncio.sleep(0)
        assert await reading == list(range(1, 301))
        assert client.symbols[4] == "IBM"
        assert not any(e.replayed for e in events if isinstance(e, Received))
    assert isinstance(events[0], SessionStarted)


async def test_who_comes_late_is_sent_what_was_before_and_it_says_so() -> None:
    events: list[Event] = []
    async with Feeder() as feeder, FeedClient(feeder.address, "good", next_sequence=1) as client:
        feeder.publish(250)
        reading = asyncio.create_task(collect(client, 260, events))
        await consumers(feeder, 1)
        feeder.publish(10)
        assert await reading == list(range(1, 261))
    marked = [e.replayed for e in events if isinstance(e, Received)]
    assert marked == [True] * 250 + [False] * 10


async def test_live_only_begins_at_the_head() -> None:
    events: list[Event] = []
    async with Feeder() as feeder, FeedClient(feeder.address, "good") as client:
        feeder.publish(20)
        reading = asyncio.create_task(collect(client, 21, events))
        await consumers(feeder, 1)
        feeder.publish(1)
        assert await reading == [21]


async def test_live_only_begins_at_the_head_whatever_session_was_before() -> None:
    events: list[Event] = []
    async with Feeder() as feeder, FeedClient(feeder.address, "good", session="old") as client:
        feeder.publish(20)
        reading = asyncio.create_task(collect(client, 21, events))
        await consumers(feeder, 1)
        feeder.publish(1)
        assert await reading == [21]


@pytest.mark.promise("P8")
@pytest.mark.parametrize("seed", range(3))
async def test_drops_doubles_swaps_and_damage_are_repaired(seed: int, soak: bool) -> None:
    total = 20_000 if soak else 600
    events: list[Event] = []
    async with (
        Feeder(capacity=total + 1, heartbeat_s=0.02) as feeder,
        FaultyProxy(lambda: feeder.address, chaos(seed, 0.2)) as proxy,
        FeedClient(proxy.address, "good", next_sequence=1) as client,
    ):
        reading = asyncio.create_task(collect(client, total, events))
        await consumers(feeder, 1)
        while feeder.ring.head <= total:
            feeder.publish(min(3, total + 1 - feeder.ring.head))
            await asyncio.sleep(0)
        assert await reading == list(range(1, total + 1))
        assert client.replays > 0
    assert not any(isinstance(e, Lost) for e in events)


@pytest.mark.promise("P8")
async def test_a_cut_link_is_resumed_where_it_ended() -> None:
    events: list[Event] = []
    async with (
        Feeder() as feeder,
        FaultyProxy(lambda: feeder.address, lambda packet: [packet]) as proxy,
        FeedClient(proxy.address, "good", next_sequence=1) as client,
    ):
        reading = asyncio.create_task(collect(client, 50, events))
        for _ in range(5):
            feeder.publish(5)
            await eventually(lambda: client.next_sequence == feeder.ring.head)
            proxy.cut()
            feeder.publish(5)
        assert await reading == list(range(1, 51))
    assert sum(isinstance(e, Disconnected) for e in events) >= 5
    assert sum(isinstance(e, SessionStarted) for e in events) == 1


@pytest.mark.promise("P8")
async def test_a_restarted_server_is_another_session_and_begins_at_one() -> None:
    events: list[Event] = []
    async with Feeder("one") as old, Feeder("two") as new:
        target = [old]
        async with (
            FaultyProxy(lambda: target[0].address, lambda packet: [packet]) as proxy,
            FeedClient(proxy.address, "good", next_sequence=1) as client,
        ):
            reading = asyncio.create_task(collect(client, 9, events))
            await consumers(old, 1)
            old.publish(7)
            await eventually(lambda: client.next_sequence == 8)
            target[0] = new
            new.publish(8)
            proxy.cut()
            await consumers(new, 1)
            new.publish(1)
            await reading
    started = [e for e in events if isinstance(e, SessionStarted)]
    assert [(e.previous, e.session) for e in started] == [("", "one"), ("one", "two")]
    seen = [(e.session, e.signal.sequence) for e in events if isinstance(e, Received)]
    assert seen == [("one", n) for n in range(1, 8)] + [("two", n) for n in range(1, 10)]


@pytest.mark.promise("P8")
async def test_what_the_ring_no_longer_holds_is_named() -> None:
    events: list[Event] = []
    async with Feeder(capacity=100) as feeder:
        feeder.publish(250)
        async with FeedClient(feeder.address, "good", next_sequence=1) as client:
            assert await collect(client, 250, events) == list(range(151, 251))
    (lost,) = [e for e in events if isinstance(e, Lost)]
    assert (lost.first, lost.last) == (1, 150)


async def test_heartbeats_say_what_comes_next_and_whether_it_may() -> None:
    async with Feeder() as feeder, FeedClient(feeder.address, "good", next_sequence=1) as client:
        feeder.publish(4)
        beats: list[Heartbeat] = []
        async with asyncio.timeout(LIMIT_S):
            async for event in client:
                if isinstance(event, Heartbeat):
                    beats.append(event)
                    feeder.allowed = False
                if beats and beats[-1].halted:
                    break
    assert beats[0].signal.sequence == 5
    assert not beats[0].halted
    assert beats[-1].signal.flags == Flag.HEARTBEAT | Flag.HALTED


async def test_while_halted_nothing_is_sent_not_even_a_replay() -> None:
    events: list[Event] = []
    async with Feeder() as feeder, FeedClient(feeder.address, "good", next_sequence=1) as client:
        feeder.publish(5)
        feeder.allowed = False
        await feeder.server.halt()
        reading = asyncio.create_task(collect(client, 5, events))
        await consumers(feeder, 1)
        await asyncio.sleep(0.15)
        assert not any(isinstance(e, Received) for e in events)
        feeder.allowed = True
        feeder.server.resume()
        assert await reading == [1, 2, 3, 4, 5]
    assert all(e.replayed for e in events if isinstance(e, Received))


@pytest.mark.parametrize("credential", ["bad", "agent", ""])
async def test_nobody_without_the_right_key_gets_in(credential: str) -> None:
    async with Feeder() as feeder:
        async with FeedClient(feeder.address, credential) as client:
            with pytest.raises(Unauthenticated):
                await collect(client, 1, [])
        assert feeder.server.denied == 1
        assert feeder.server.consumers == 0


async def test_a_sequence_that_was_never_sent_is_refused() -> None:
    async with Feeder() as feeder, FeedClient(feeder.address, "good", next_sequence=9) as client:
        with pytest.raises(InvalidInput, match="ahead"):
            await collect(client, 9, [])


async def test_a_connection_that_does_not_log_in_is_closed() -> None:
    async with Feeder(login_s=0.05) as feeder:
        ((kind, payload),) = await raw(feeder.address, b"")
        assert kind is Kind.REJECTED
        assert wire.unpack_reason(payload)[0] is Why.AUTHENTICATION


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        wire.packet(Kind.REPLAY, bytes(8)),
        wire.packet(Kind.LOGIN, b"\xff" * 30),
        struct.pack("!Hc", 60_000, b"L"),
        Login("good").pack() + wire.packet(Kind.REPLAY, b"\xff" * 8),
        Login("good").pack() + wire.packet(Kind.ACCEPTED),
    ],
)
async def test_hostile_bytes_end_one_connection_with_a_reason(sent: bytes) -> None:
    async with Feeder() as feeder:
        *_, (kind, payload) = await raw(feeder.address, sent)
        assert kind is Kind.REJECTED
        assert wire.unpack_reason(payload)[0] is Why.PROTOCOL
        events: list[Event] = []
        async with FeedClient(feeder.address, "good", next_sequence=1) as client:
            feeder.publish(1)
            assert await collect(client, 1, events) == [1]


async def test_a_slow_consumer_is_cut_off_and_nobody_else_notices() -> None:
    async with Feeder(capacity=60_000, slow_frames=10_000) as feeder:
        host, _, port = feeder.address.rpartition(":")
        _, stuck = await asyncio.open_connection(host, int(port), limit=1_024)
        stuck.write(Login("good").pack())
        await consumers(feeder, 1)
        events: list[Event] = []
        async with FeedClient(feeder.address, "good", next_sequence=1) as client:
            reading = asyncio.create_task(collect(client, 120_000, events))
            await consumers(feeder, 2)
            while feeder.ring.head <= 120_000:
                feeder.publish(500)
                await asyncio.sleep(0)
            sequences = await reading
        assert sequences == list(range(sequences[0], 120_001))
        assert feeder.server.slow == 1
        stuck.transport.abort()


async def test_a_new_symbol_is_named_before_its_first_signal() -> None:
    async with Feeder() as feeder, FeedClient(feeder.address, "good", next_sequence=1) as client:
        reading = asyncio.create_task(collect(client, 1, []))
        await consumers(feeder, 1)
        assert feeder.symbols.intern("GE") == 9
        feeder.publish(1)
        await reading
        assert client.symbols[9] == "GE"


async def test_closing_says_goodbye() -> None:
    events: list[Event] = []

    async def read(client: FeedClient) -> None:
        async for event in client:
            events.append(event)
            if isinstance(event, Disconnected):
                return

    async with Feeder() as feeder, FeedClient(feeder.address, "good") as client:
        reading = asyncio.create_task(read(client))
        await consumers(feeder, 1)
        await feeder.server.close()
        async with asyncio.timeout(LIMIT_S):
            await reading
    assert isinstance(events[-1], Disconnected)
    assert "closing" in events[-1].reason


def test_a_heartbeat_is_a_signal_frame() -> None:
    beat = Feeder().server._heartbeat(5)
    assert Signal.unpack(beat).sequence == 5


def test_server_and_client_run_on_uvloop() -> None:
    async def main() -> list[int]:
        async with (
            Feeder() as feeder,
            FeedClient(feeder.address, "good", next_sequence=1) as client,
        ):
            feeder.publish(40)
            await feeder.server.halt()
            feeder.server.resume()
            return await collect(client, 40, [])

    assert uvloop.run(main()) == list(range(1, 41))
