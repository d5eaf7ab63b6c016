"""The model server's gRPC port under clients that crowd, stall, lie and send what is no message."""

import os
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.main import ModelServer, serve
from relentless.serving.tensor_proto import RawTensor, pack
from relentless.serving.tf_protos import predict_pb2, prediction_service_pb2_grpc

from ..saved_models import MODEL, F, constant_weights, write_version

pytestmark = pytest.mark.promise("P11")

FUZZED = 2_000 if os.environ.get("RELENTLESS_SOAK") else 150
METHODS = ("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata")
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes.fromhex("000000040000000000")
ENDLESS_HEADERS = bytes.fromhex("ffffff010400000001")
PATIENCE_S = 60.0
TYPED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    base: Path = tmp_path_factory.mktemp("models") / MODEL
    write_version(base, 1, constant_weights(0.7))
    running = serve("127.0.0.1:0", (ModelConfig(MODEL, base),), base.parent)
    yield running
    running.stop(0.1)


@pytest.fixture(scope="module")
def channel(server: ModelServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as opened:
        yield opened


def request(rows: int = 1, signature: str = "classify") -> Any:
    made = predict_pb2.PredictRequest()
    made.model_spec.name = MODEL
    made.model_spec.signature_name = signature
    pack(RawTensor.of(np.zeros((rows, F), np.float32)), into=made.inputs["inputs"])
    return made


def is_well(channel: grpc.Channel) -> bool:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    scores = stub.Predict(request(), timeout=PATIENCE_S).outputs["scores"].float_val
    return bool(scores[1] == pytest.approx(0.7))


def test_a_thousand_requests_at_once_are_all_answered(server: ModelServer) -> None:
    together = threading.Barrier(20)

    def ask(_: int) -> int:
        with grpc.insecure_channel(
            server.address, options=[("grpc.use_local_subchannel_pool", 1)]
        ) as own:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(own)
            together.wait(PATIENCE_S)
            calls = [stub.Predict.future(request(), timeout=PATIENCE_S) for _ in range(50)]
            return sum(len(call.result().outputs["scores"].float_val) == 2 for call in calls)

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(ask, range(20))) == 1_000


def test_half_open_and_stalled_connections_keep_nobody_waiting(
    server: ModelServer, channel: grpc.Channel
) -> None:
    host, _, port = server.address.rpartition(":")
    before = psutil.Process().memory_info().rss
    with ExitStack() as stack:
        for number in range(200):
            link = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            link.sendall((b"", GREETING[:9], GREETING + SETTINGS, b"GET / HTTP/1.1")[number % 4])
        for _ in range(20):
            link = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            link.sendall(GREETING + SETTINGS + ENDLESS_HEADERS)
        assert all(is_well(channel) for _ in range(20))
    assert psutil.Process().memory_info().rss - before < 64 << 20
    assert is_well(channel)


def test_a_client_that_goes_away_leaves_nothing_running(
    server: ModelServer, channel: grpc.Channel
) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    calls = [stub.Predict.future(request(20_000), timeout=PATIENCE_S) for _ in range(20)]
    for call in calls:
        call.cancel()
    assert is_well(channel)
    (held,) = server.manager.available(MODEL)
    with server.manager.use(MODEL, held) as found:
        deadline = threading.Event()
        for _ in range(600):
            if found._users == 1:
                break
            deadline.wait(0.05)
        assert found._users == 1


def sent(channel: grpc.Channel, method: str, data: bytes) -> grpc.StatusCode:
    call = channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")
    try:
        call(data, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        assert "Traceback" not in (error.details() or "")
        return error.code()
    return grpc.StatusCode.OK


@settings(
    max_examples=FUZZED, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=400), method=st.sampled_from(METHODS))
def test_bytes_that_are_no_message_are_refused(
    channel: grpc.Channel, data: bytes, method: str
) -> None:
    # What does not parse is refused by gRPC itself, before any of our code.
    assert sent(channel, method, data) in TYPED | {grpc.StatusCode.INTERNAL}


@settings(
    max_examples=FUZZED, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 12))
def test_a_damaged_request_is_answered_or_refused_by_its_code(
    channel: grpc.Channel, seed: int, flips: int
) -> None:
    rng = random.Random(seed)
    data = bytearray(request(3).SerializeToString())
    for _ in range(flips):
        at = rng.randrange(len(data))
        kind = rng.randrange(3)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            del data[at : at + rng.randrange(1, 9)]
    assert sent(channel, "Predict", bytes(data)) in TYPED | {
        grpc.StatusCode.OK,
        grpc.StatusCode.INTERNAL,
    }


@pytest.mark.parametrize(
    "sizes",
    [
        (1 << 62,),
        (1 << 31, 1 << 31),
        (1 << 20, 1 << 20, 1 << 20),
        (-1, F),
        (3, -(1 << 63)),
        (1,) * 255,
        (0, 1 << 62),
    ],
)
@pytest.mark.parametrize("dtype", [1, 2, 7, 9, 10, 14, 19])
def test_a_shape_that_would_not_fit_is_refused_before_it_is_allocated(
    channel: grpc.Channel, sizes: tuple[int, ...], dtype: int
) -> None:
    made = request()
    tensor = made.inputs["inputs"]
    tensor.Clear()
    tensor.dtype = dtype
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    before = psutil.Process().memory_info().rss
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    with pytest.raises(grpc.RpcError) as refused:
        stub.Predict(made, timeout=PATIENCE_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert psutil.Process().memory_info().rss - before < 64 << 20


def test_it_is_well_after_all_of_that(channel: grpc.Channel) -> None:
    assert is_well(channel)
