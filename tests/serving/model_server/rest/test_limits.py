"""What a client of REST may do wrong: bodies, heads, pace, number; and that nobody else notices."""

import asyncio
import gzip
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.proto.errors import InvalidSettings, ModelUnavailable
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.rest import http as rest_http
from relentless.serving.model_server.rest import protocol as rest_protocol
from relentless.serving.model_server.rest.start import METRICS_PATH, metrics_path, rest_options
from relentless.serving.model_server.server import ModelServer

from ..by_flags import free_port, wait_for
from ..rest_server import HALF, rest_server

GOOD = b'{"instances": [2.0]}'
ANSWER = {"predictions": [3.0]}

FUZZED = 1_000 if os.environ.get("RELENTLESS_SOAK") else 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rest") / "models"


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[ModelServer]:
    with rest_server(root, rest_api_timeout_in_ms=8_000) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ModelServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server.rest}", timeout=20) as opened:
        yield opened


def connect(server: ModelServer) -> socket.socket:
    host, _, port = server.rest.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def read_to_end(sock: socket.socket) -> bytes:
    """Read until the server closes; a reset counts as closing."""
    got = b""
    try:
        while part := sock.recv(65536):
            got += part
    except ConnectionResetError:
        pass
    return got


def post(body: bytes, *headers: str) -> bytes:
    head = [f"POST {HALF} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def peers() -> list[tuple[str, int]]:
    """Give the other ends of this process's connections, where the server runs too."""
    return [tuple(c.raddr) for c in psutil.Process().net_connections("tcp4") if c.raddr]


def answers(client: httpx.Client) -> bool:
    return bool(client.post(HALF, content=GOOD).json() == ANSWER)


def test_a_connection_serves_one_request_after_another(server: ModelServer) -> None:
    with connect(server) as sock:
        sock.sendall(post(GOOD) + post(GOOD) + post(GOOD, "Connection: close"))
        assert read_to_end(sock).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("encoding", ["gzip", "my_gzip"])
def test_a_gzip_body_is_unpacked(client: httpx.Client, encoding: str) -> None:
    sent = client.post(HALF, content=gzip.compress(GOOD), headers={"Content-Encoding": encoding})
    assert (sent.status_code, sent.json()) == (200, ANSWER)


@pytest.mark.parametrize("body", [b"", b"no gzip"])
def test_a_request_that_needs_no_body_does_not_mind_a_damaged_one(
    client: httpx.Client, body: bytes
) -> None:
    headers = {"Content-Encoding": "gzip"}
    assert client.request("GET", "/v1/models/half", content=body, headers=headers).is_success


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no gzip", "JSON Parse error: The document is empty"),
        (gzip.compress(GOOD)[:-5], "JSON Parse error: The document is empty"),
        (gzip.compress(GOOD) * 2, "JSON Parse error: The document is empty"),
        (gzip.compress(bytes(rest_http.MAX_BODY + 1)), "The gzipped body holds over"),
    ],
    ids=["none", "cut off", "two", "bomb"],
)
def test_a_gzip_body_that_is_none_or_too_large(
    client: httpx.Client, body: bytes, words: str
) -> None:
    sent = client.post(HALF, content=body, headers={"Content-Encoding": "gzip"})
    assert sent.status_code == 400
    assert sent.json()["error"].startswith(words)


@pytest.mark.promise("P11")
def test_a_body_over_the_limit_is_refused_and_its_connection_closed(server: ModelServer) -> None:
    size = rest_http.MAX_BODY + (1 << 20)
    with connect(server) as sock:
        sock.sendall(f"POST {HALF} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        block = b" " * (1 << 20)
        try:
            for _ in range(size >> 20):
                sock.sendall(block)
        except (BrokenPipeError, ConnectionResetError):
            pass
        got = read_to_end(sock)
    assert b"413" in got.partition(b"\r\n")[0] or not got


@pytest.mark.promise("P11")
def test_an_endless_head_is_cut_off(server: ModelServer, client: httpx.Client) -> None:
    with connect(server) as sock:
        try:
            sock.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * (4 * rest_protocol.MAX_HEAD))
            assert read_to_end(sock) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert answers(client)


@pytest.mark.promise("P11")
def test_what_is_no_http_is_refused(server: ModelServer) -> None:
    with connect(server) as sock:
        sock.sendall(b"\x00\x01 nothing\r\n\r\n")
        assert read_to_end(sock).startswith(b"HTTP/1.1 400")


@pytest.mark.promise("P11")
def test_a_silent_connection_and_a_slow_head_are_closed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_protocol, "HEAD_S", 0.3)
    with (
        rest_server(root) as running,
        connect(running) as silent,
        connect(running) as slow,
    ):
        slow.sendall(b"GET /v1/models/half HTTP/1.1\r\nX: ")
        assert (read_to_end(silent), read_to_end(slow)) == (b"", b"")


@pytest.mark.promise("P11")
def test_an_answer_that_nobody_reads_is_given_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_http, "KEEP_ALIVE_S", 1)
    sent = json.dumps({"signature_name": "string", "instances": ["a" * (16 << 20)]}).encode()
    with rest_server(root) as running, connect(running) as sock:
        sock.sendall(post(sent).replace(b"half", b"echo", 1))
        client = sock.getsockname()
        wait_for(lambda: client not in peers(), "the end of the connection")
        assert len(read_to_end(sock)) < len(sent)


@pytest.mark.promise("P11")
def test_a_body_that_does_not_come_is_given_up(root: Path) -> None:
    with rest_server(root, rest_api_timeout_in_ms=300) as running, connect(running) as sock:
        sock.sendall(post(GOOD)[:-5])
        assert read_to_end(sock).startswith(b"HTTP/1.1 408")


@pytest.mark.promise("P11")
def test_slow_bodies_and_half_open_connections_keep_nobody_waiting(
    server: ModelServer, client: httpx.Client
) -> None:
    held = [connect(server) for _ in range(60)]
    try:
        for index, sock in enumerate(held):
            if index % 3:
                sock.sendall(post(GOOD)[: -(index % 7) - 1])
        assert all(answers(client) for _ in range(20))
        held[1].sendall(post(GOOD)[-2:])
        assert held[1].recv(65536).startswith(b"HTTP/1.1 200 OK")
    finally:
        for sock in held:
            sock.close()


async def test_a_thousand_requests_at_once_are_all_answered(server: ModelServer) -> None:
    host, _, port = server.rest.rpartition(":")
    together = asyncio.Barrier(1_000)

    async def ask(number: int) -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        body = b'{"instances": [%d]}' % number
        await together.wait()
        writer.write(b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n" % (HALF.encode(), len(body)))
        writer.write(b"Host: x\r\nConnection: close\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        return answer

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(number)) for number in range(1_000)]
    for number, task in enumerate(asked):
        head, _, body = task.result().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert json.loads(body) == {"predictions": [number / 2 + 2]}


@pytest.mark.promise("P11")
def test_past_the_bound_requests_are_refused_and_later_ones_answered(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_http, "MAX_PENDING", 0)
    with (
        rest_server(root) as running,
        httpx.Client(base_url=f"http://{running.rest}", timeout=20) as client,
    ):
        refused = client.post(HALF, content=GOOD)
        assert (refused.status_code, list(refused.json())) == (503, ["error"])
        monkeypatch.setattr(rest_http, "MAX_PENDING", 1)
        assert answers(client)


def test_a_request_that_takes_too_long_is_a_gateway_timeout(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        rest_server(root, rest_api_timeout_in_ms=200) as running,
        httpx.Client(base_url=f"http://{running.rest}", timeout=20) as client,
    ):
        let_go = threading.Event()
        monkeypatch.setattr(running.core, "predict", lambda *_: let_go.wait(20))
        late = client.post(HALF, content=GOOD)
        let_go.set()
        assert late.status_code == 504
        assert late.json() == {"error": "Timed out waiting for notification"}


def test_an_error_in_the_server_says_its_kind_and_no_more(
    server: ModelServer, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a secret")

    with monkeypatch.context() as patched:
        patched.setattr(server.core, "predict", broken)
        answer = client.post(HALF, content=GOOD)
    assert answer.status_code == 500
    assert answer.json() == {"error": "KeyError in the model server"}
    assert answers(client)


def test_cors_headers_come_where_they_were_asked_for(root: Path, client: httpx.Client) -> None:
    with (
        rest_server(root, rest_api_enable_cors_support=True) as running,
        httpx.Client(base_url=f"http://{running.rest}", timeout=20) as open_to_all,
    ):
        asked = open_to_all.options(HALF, headers={"Origin": "https://a.example"})
        answer = open_to_all.post(HALF, content=GOOD)
        refused = open_to_all.post(HALF)
        page = open_to_all.get(METRICS_PATH)
    for given_headers in (asked.headers, answer.headers, refused.headers):
        assert given_headers["access-control-allow-origin"] == "*"
        assert given_headers["access-control-allow-methods"] == "POST, GET"
        assert given_headers["access-control-allow-headers"] == "Content-Type"
    for given_headers in (page.headers, client.post(HALF, content=GOOD).headers):
        assert "access-control-allow-origin" not in given_headers


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)
KEYS = st.sampled_from(
    ["instances", "inputs", "examples", "context", "signature_name", "x", "b64", "value"]
)
DOCUMENTS = st.dictionaries(
    KEYS, st.recursive(JSON, lambda i: st.dictionaries(KEYS, i)), max_size=4
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Give a good body with some bytes changed, left out or doubled."""
    good = json.dumps(
        {"signature_name": "named", "instances": [{"text": "a\u00e9", "number": [1.5, -2e-3]}]}
    )
    body = bytearray(good.encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body) - 1))
        end = at + draw(st.integers(0, 3))
        body[at:end] = draw(st.binary(max_size=3) | st.sampled_from([b"[", b"}", b'"', b"\\u"]))
    return bytes(body)


BODIES = st.binary(max_size=60) | mutated() | DOCUMENTS.map(lambda d: json.dumps(d).encode())
PATHS = st.sampled_from(
    [HALF, "/v1/models/half:classify", "/v1/models/half:regress", "/v1/models/echo:predict"]
)


@pytest.mark.promise("P11")
@settings(max_examples=FUZZED)
@given(path=PATHS, body=BODIES)
def test_whatever_is_sent_is_answered_or_refused_in_json(
    client: httpx.Client, path: str, body: bytes
) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code in (200, 400, 404, 501)
    if answer.status_code != 200:
        assert list(json.loads(answer.content)) == ["error"]
    assert answers(client)


@pytest.mark.promise("P11")
@settings(max_examples=FUZZED)
@given(
    verb=st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "PATCH"]),
    path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
    prefix=st.sampled_from(["/", "/v1/models/", "/v1/models/half/", "/v1/models/half:"]),
)
def test_whatever_path_is_asked_is_answered_in_json(
    server: ModelServer, verb: str, path: str, prefix: str
) -> None:
    with connect(server) as sock:
        head = f"{verb} {prefix}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        sock.sendall(head.encode())
        got = read_to_end(sock)
    line, _, _ = got.partition(b"\r\n")
    assert line.split(b" ")[1] in (b"200", b"400", b"404")
    body = got.partition(b"\r\n\r\n")[2]
    assert body.startswith(b"Invalid HTTP") or isinstance(json.loads(body), dict)


def test_a_taken_port_and_a_public_address_are_refused(root: Path, server: ModelServer) -> None:
    taken = int(server.rest.rpartition(":")[2])
    with (
        pytest.raises(ModelUnavailable, match="cannot listen for REST"),
        rest_server(root, rest_api_port=taken),
    ):
        pass
    with pytest.raises(InvalidSettings, match="no credential"):
        rest_options(ServerOptions(rest_api_port=1, bind_address="0.0.0.0"))


def test_rest_is_off_without_a_port_and_on_the_port_of_grpc(tmp_path: Path) -> None:
    port = free_port()
    assert rest_options(ServerOptions()) is None
    assert rest_options(ServerOptions(port=port, rest_api_port=port)) is None
    unlimited = rest_options(ServerOptions(rest_api_port=port, rest_api_timeout_in_ms=0))
    assert unlimited is not None
    assert unlimited.timeout_s is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", METRICS_PATH),
        ('prometheus_config { enable: true path: "/m" }', "/m"),
        ('prometheus_config { path: "/m" }', ""),
        ("", ""),
    ],
)
def test_the_monitoring_file_says_where_metrics_are(tmp_path: Path, text: str, path: str) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert metrics_path(str(file)) == path
    assert metrics_path("") == ""
