"""A server that ends: who is in is answered, who comes later is told to go on."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from relentless.serving.model_server.leaving import LINGER_S, Door

from .by_flags import answer, free_port, started, wait_for
from .upstream_models import half_plus

PATIENCE_S = 20.0


class Echo:
    """A server with one thread, whose only method waits until it may answer."""

    def __init__(self) -> None:
        self.door = Door()
        self.arrived = 0
        self.may_answer = threading.Event()
        self.server = grpc.server(
            futures.ThreadPoolExecutor(1), interceptors=[Counting(self), self.door]
        )
        handlers = {"Echo": grpc.unary_unary_rpc_method_handler(self._echo)}
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test", handlers),)
        )
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def _echo(self, request: bytes, _: grpc.ServicerContext) -> bytes:
        self.may_answer.wait(PATIENCE_S)
        return request

    def call(self, data: bytes) -> Any:
        return self.channel.unary_unary("/test/Echo").future(data, timeout=PATIENCE_S)


class Counting(grpc.ServerInterceptor):
    """Counts the calls that have come in, before the door sees them; one thread asks it."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        self._echo.arrived += 1
        return handler


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.may_answer.set()
    made.channel.close()
    made.server.stop(0).wait(PATIENCE_S)


def test_who_is_in_is_answered_and_who_comes_later_is_refused(echo: Echo) -> None:
    inside, waiting = echo.call(b"a"), echo.call(b"b")
    wait_for(lambda: echo.arrived == 2)
    closing = threading.Thread(target=echo.door.close, args=(PATIENCE_S,))
    closing.start()
    wait_for(lambda: echo.door._closed)
    late = echo.call(b"c")
    wait_for(lambda: echo.arrived == 3)
    assert closing.is_alive()
    echo.may_answer.set()
    assert (inside.result(), waiting.result()) == (b"a", b"b")
    assert late.exception().code() is grpc.StatusCode.UNAVAILABLE
    assert late.exception().details() == "The model server is shutting down"
    closing.join(PATIENCE_S)
    assert not closing.is_alive()


def test_connections_stay_open_a_moment_after_the_last_answer(echo: Echo) -> None:
    echo.may_answer.set()
    assert echo.call(b"a").result() == b"a"
    begun = time.monotonic()
    echo.door.close(PATIENCE_S)
    assert LINGER_S / 2 < time.monotonic() - begun < PATIENCE_S


def test_a_door_that_nobody_went_through_or_that_may_not_wait_closes_at_once(echo: Echo) -> None:
    began = time.monotonic()
    Door().close(PATIENCE_S)
    call = echo.call(b"a")
    wait_for(lambda: echo.door._inside == 1)
    echo.door.close(0.0)
    assert time.monotonic() - began < PATIENCE_S / 2
    echo.may_answer.set()
    assert call.result() == b"a"


def test_sigterm_waits_for_the_slow_calls_of_both_protocols(tmp_path: Path) -> None:
    half_plus(tmp_path / "m" / "1", 2.0)
    batching, rest = tmp_path / "batching", free_port()
    # Two callers are no full batch, so they wait longer than calls are given without flags.
    batching.write_text("max_batch_size { value: 8 } batch_timeout_micros { value: 3000000 }")
    url = f"http://localhost:{rest}/v1/models/default:predict"
    flags = (f"--rest_api_port={rest}", f"--model_base_path={tmp_path / 'm'}", "--enable_batching")
    with (
        started(tmp_path, *flags, f"--batching_parameters_file={batching}") as server,
        futures.ThreadPoolExecutor() as pool,
    ):
        by_grpc = pool.submit(answer, server.address)
        by_rest = pool.submit(httpx.post, url, content=b'{"instances": [2.0]}', timeout=PATIENCE_S)
        time.sleep(1.0)  # Both wait for their batch by then.
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
        assert by_grpc.result(PATIENCE_S) == (3.0, 1)
        assert json.loads(by_rest.result(PATIENCE_S).text) == {"predictions": [3.0]}
        assert server.process.wait(PATIENCE_S) == 0
