"""TLS of the predictor's listeners: the feed and gRPC, with and without clients' certificates."""

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import ValidationError

from relentless.configs.access import TlsSettings
from relentless.configs.tick_path import PredictorSettings
from relentless.proto.errors import InvalidSettings
from relentless.proto.feed import Login
from relentless.serving.clients.channel import predictor_channel
from relentless.serving.clients.feed import Disconnected, FeedClient, SessionStarted
from relentless.serving.grpc_auth import server_credentials
from tests.certificates import family

from .doubles import Feeder, eventually


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return family(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process trusts the authority as OpenSSL's variable says it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))


def settings(folder: Path, *, mutual: bool = False, shown: str | None = None) -> TlsSettings:
    return TlsSettings(
        cert=folder / "hub.pem",
        key=folder / "hub.key",
        client_ca=folder / "ca.pem" if mutual else None,
        own_cert=folder / f"{shown}.pem" if shown else None,
        own_key=folder / f"{shown}.key" if shown else None,
    )


async def first_event(address: str, tls: TlsSettings | None) -> type:
    context = tls.calling() if tls else None
    async with asyncio.timeout(20), FeedClient(address, "good", tls=context, idle_s=2.0) as feed:
        async for event in feed:
            return type(event)
    raise AssertionError("no event")


CASES = [
    (False, None, True),
    (True, "client", True),
    (True, None, False),
    (True, "stranger", False),
]


@pytest.mark.parametrize(("mutual", "shown", "let_in"), CASES)
async def test_the_feed_lets_in_whom_its_tls_lets_in(
    folder: Path, mutual: bool, shown: str | None, let_in: bool
) -> None:
    tls = settings(folder, mutual=mutual, shown=shown)
    feeder = Feeder()
    address = await feeder.server.start("127.0.0.1", 0, tls.listening())
    try:
        wanted = SessionStarted if let_in else Disconnected
        assert await first_event(address, tls) is wanted
    finally:
        await feeder.server.close()


async def test_a_feed_with_tls_hears_nobody_in_the_clear(folder: Path) -> None:
    feeder = Feeder()
    address = await feeder.server.start("127.0.0.1", 0, settings(folder).listening())
    try:
        assert await first_event(address, None) is Disconnected
        assert feeder.server.consumers == 0
    finally:
        await feeder.server.close()


def queued(end: Any, what: int) -> int:
    """Give how many bytes the kernel holds for a socket: TIOCOUTQ to be sent, FIONREAD to read."""
    count: int = struct.unpack("i", fcntl.ioctl(end.fileno(), what, b"\0" * 4))[0]
    return count


def reader_without_hurry(address: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    host, _, port = address.rpartition(":")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    plain.connect((host, int(port)))
    secure = context.wrap_socket(plain, server_hostname=host)
    secure.sendall(Login("good").pack())
    return secure


@pytest.mark.promise("P9")
async def test_with_tls_too_no_byte_of_a_signal_leaves_after_a_halt(folder: Path) -> None:
    tls = settings(folder)
    feeder = Feeder(capacity=100_000, heartbeat_s=60.0)
    address = await feeder.server.start("127.0.0.1", 0, tls.listening())
    try:
        with await asyncio.to_thread(reader_without_hurry, address, tls.calling()) as consumer:
            await eventually(lambda: feeder.server.consumers == 1)
            link = next(iter(feeder.server.links))
            sending = link._transport.get_extra_info("socket")
            sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)

            def in_the_kernel() -> int:
                return queued(sending, termios.TIOCOUTQ) + queued(consumer, termios.FIONREAD)

            await asyncio.sleep(0.2)  # what is not acknowledged yet counts twice
            base, sent = in_the_kernel(), 0
            while base + sent <= in_the_kernel():  # beyond that some wait in this process
                feeder.publish(50)
                sent += 50 * 64
                await asyncio.sleep(0.003)
            assert link._transport.get_write_buffer_size() == 0  # and TLS says nothing of them
            feeder.allowed = False
            await feeder.server.halt()
            assert not link.live
    finally:
        await feeder.server.close()


@pytest.mark.parametrize(("mutual", "shown", "let_in"), CASES)
async def test_grpc_lets_in_whom_its_tls_lets_in(
    folder: Path, mutual: bool, shown: str | None, let_in: bool
) -> None:
    tls = settings(folder, mutual=mutual, shown=shown)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health_pb2_grpc.HealthServicer(), server)
    port = server.add_secure_port("127.0.0.1:0", server_credentials(tls))
    await server.start()
    try:
        async with predictor_channel(f"127.0.0.1:{port}", tls) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as answered:
                await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        reached = grpc.StatusCode.UNIMPLEMENTED if let_in else grpc.StatusCode.UNAVAILABLE
        assert answered.value.code() is reached
    finally:
        await server.stop(None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "predictor.example"])
def test_no_address_beyond_this_machine_without_tls(folder: Path, host: str) -> None:
    with pytest.raises(InvalidSettings, match=r"predictor\.tls\.cert.*insecure_bind"):
        PredictorSettings(host=host).check_bind()
    PredictorSettings(host=host, tls=settings(folder)).check_bind()
    PredictorSettings(host=host, insecure_bind=True).check_bind()
    PredictorSettings().check_bind()


def test_what_is_shown_is_a_certificate_and_its_key(folder: Path) -> None:
    with pytest.raises(ValidationError, match="own_cert and own_key go together"):
        TlsSettings(cert=folder / "hub.pem", key=folder / "hub.key", own_cert=folder / "ca.pem")
