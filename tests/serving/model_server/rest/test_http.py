"""What an answer is on the wire: its head byte for byte, its connection, and the server's end."""

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relentless.serving.model_server.rest import protocol
from relentless.serving.model_server.server import ModelServer

from ..rest_server import HALF, rest_server

BODY = b'{"instances": [1.0, 2.0, 5.0]}'
ANSWER = b'{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ModelServer]:
    with rest_server(tmp_path / "models") as running:
        yield running


def connect(server: ModelServer) -> socket.socket:
    host, _, port = server.rest.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def predict(sock: socket.socket, version: str = "1.1", *lines: str) -> bytes:
    """Send a request whose answer is ``ANSWER``, and give its head."""
    head = [f"POST {HALF} HTTP/{version}", "Host: x", f"Content-Length: {len(BODY)}", *lines]
    sock.sendall("\r\n".join([*head, "", ""]).encode() + BODY)
    got = b""
    while not got.endswith(ANSWER):
        part = sock.recv(1 << 16)
        assert part, got
        got += part
    return got.removesuffix(ANSWER)


def test_the_head_of_an_answer_is_the_one_that_clients_know(server: ModelServer) -> None:
    with connect(server) as sock:
        assert re.fullmatch(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n"
            b"Content-Length: 43\r\n\r\n",
            predict(sock),
        )
        assert b"\r\nConnection: close\r\n" in predict(sock, "1.1", "Connection: close")
        assert sock.recv(1) == b""


def test_a_head_and_its_body_leave_together(server: ModelServer) -> None:
    with connect(server) as sock:
        sock.sendall(b"GET /v1/models/half/versions/123 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(1 << 16).endswith(b"\n}\n")
        sock.sendall(b"HEAD /v1/models/half HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(1 << 16).endswith(b"\r\n\r\n")


def test_a_connection_of_http_1_0_stays_where_that_was_asked_for(server: ModelServer) -> None:
    with connect(server) as sock:
        for _ in range(2):
            head = predict(sock, "1.0", "Connection: keep-alive")
            assert b"\r\nConnection: keep-alive\r\n" in head
        assert b"\r\nConnection: close\r\n" in predict(sock, "1.0")
        assert sock.recv(1) == b""


def test_a_request_that_meets_the_servers_end_is_answered(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LEAVE_S", 0.5)
    with connect(server) as sock, connect(server) as idle:
        predict(sock)
        loop = threading.Thread(target=server.stop, args=(5.0,))
        loop.start()
        heads = [predict(sock)]
        while b"Connection: close" not in heads[-1]:
            heads.append(predict(sock))
        assert sock.recv(1) == b""
        assert idle.recv(1) == b""
        loop.join(20)
