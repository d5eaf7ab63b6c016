"""Batching through the whole server: many gRPC clients, one run, and the files of production."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import yaml

from relentless.configs.settings import REPOSITORY
from relentless.proto.errors import InvalidSettings, ModelRejected, ModelUnavailable
from relentless.serving.model_server.config import ModelConfig, under
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.server import Models, ModelServer, start
from relentless.serving.tensor_proto import RawTensor, pack
from relentless.serving.tf_client import TfServingPredictor
from relentless.serving.tf_protos import predict_pb2, prediction_service_pb2_grpc

from ...saved_models import EMBEDDING, HIDDEN, MODEL, C, F, random_weights, write_version

FILES = REPOSITORY / "configs" / "tfserving"
PATIENCE_S = 60.0
WEIGHTS = {1: random_weights(1), 2: random_weights(2)}

Serve = Callable[..., ModelServer]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, weights in WEIGHTS.items():
        write_version(tmp_path / MODEL, number, weights)
    return tmp_path


@pytest.fixture
def serve(root: Path) -> Iterator[Serve]:
    made: list[ModelServer] = []

    def run(parameters: str) -> ModelServer:
        path = root / "batching.config"
        path.write_text(parameters)
        options = ServerOptions(enable_batching=True, batching_parameters_file=str(path))
        config = ModelConfig(MODEL, root / MODEL, Policy("all"))
        made.append(start(options, Models((config,), under(root)), ("127.0.0.1:0",)))
        return made[-1]

    yield run
    for server in made:
        server.stop(0.1)
    assert not [t for t in threading.enumerate() if t.name.startswith("batch_threads_")]


def watch(server: ModelServer, version: int) -> list[int]:
    """Give a list that fills with the rows of each run of a version."""
    with server.manager.use(MODEL, version) as found:
        wrapped = found.session._wrapped
    runs: list[int] = []
    run = wrapped.run

    def counted(feeds: Any, fetches: Any, timeout_s: float | None = None) -> Any:
        runs.append(next(iter(feeds.values())).shape[0])
        return run(feeds, fetches, timeout_s)

    wrapped.run = counted
    return runs


def ask(address: str, rows: Any, context: Any, version: int) -> Any:
    """Ask with one row of context for each row, over a channel of one's own."""
    client = TfServingPredictor(address, MODEL, timeout_s=PATIENCE_S)
    try:
        inputs = {"features": rows, "context": np.repeat(context, len(rows), axis=0)}
        return client.run("serving_default", inputs, version)
    finally:
        client.close()


def test_requests_of_many_clients_become_one_run(serve: Serve) -> None:
    server = serve("max_batch_size { value: 24 } batch_timeout_micros { value: 400000 }")
    runs = {version: watch(server, version) for version in WEIGHTS}
    random = np.random.default_rng(3)
    features = random.normal(size=(48, F)).astype(np.float32)
    context = random.normal(size=(1, EMBEDDING)).astype(np.float32)
    with futures.ThreadPoolExecutor(48) as pool:
        answers = [
            pool.submit(ask, server.address, features[at : at + 1], context, 1 + at % 2)
            for at in range(48)
        ]
        for at, answer in enumerate(answers):
            weights = WEIGHTS[1 + at % 2]
            bias = context[0] @ weights.w1_context + weights.b1
            wanted = weights.predict_folded(features[at : at + 1], bias)
            got = answer.result(PATIENCE_S)
            np.testing.assert_allclose(got["p_up"], wanted[:, 0], atol=1e-5)
    for version in WEIGHTS:
        assert sum(runs[version]) == 24
        assert len(runs[version]) < 24


def test_the_client_learns_that_the_server_batches(serve: Serve) -> None:
    server = serve("max_batch_size { value: 64 }")
    client = TfServingPredictor(server.address, MODEL, timeout_s=PATIENCE_S)
    features = np.random.default_rng(5).normal(size=(50, F)).astype(np.float32)
    vector = np.random.default_rng(6).normal(size=C).astype(np.float32)
    context = client.encode(vector, 1, 2)
    runs = watch(server, 2)
    for _ in range(2):
        heads = client.predict(features, context)
        np.testing.assert_allclose(heads, WEIGHTS[2].predict(features, vector), atol=1e-5)
    assert runs == [50, 50]
    with pytest.raises(ModelRejected, match="Task size 65 is larger than maximum input batch size"):
        client.predict(np.zeros((65, F), np.float32), context)
    client.close()


def test_callers_that_learn_it_at_the_same_time_all_get_their_answers(serve: Serve) -> None:
    server = serve("max_batch_size { value: 64 }")
    client = TfServingPredictor(server.address, MODEL, timeout_s=PATIENCE_S)
    context = client.encode(np.zeros(C, np.float32), 1, 1)
    both, run = threading.Barrier(2), client.run

    def together(*request: Any) -> Any:
        try:
            return run(*request)
        except ModelRejected:
            both.wait(PATIENCE_S)
            raise

    client.run = together  # type: ignore[method-assign]
    with futures.ThreadPoolExecutor(2) as pool:
        features = np.zeros((4, F), np.float32)
        answers = [pool.submit(client.predict, features, context) for _ in range(2)]
        assert [answer.result(PATIENCE_S).shape for answer in answers] == [(4, 4)] * 2
    client.close()


def test_unequal_inputs_are_refused_by_their_code(serve: Serve) -> None:
    server = serve("")
    client = TfServingPredictor(server.address, MODEL, timeout_s=PATIENCE_S)
    inputs = {"features": np.zeros((3, F)), "bias": np.zeros((1, HIDDEN))}
    with pytest.raises(ModelRejected) as refused:
        client.run("predict_folded", inputs, 1)
    assert "Batching Run() input tensors must have equal 0th-dimension size" in str(refused.value)
    cause = refused.value.__cause__
    assert isinstance(cause, grpc.RpcError)
    assert cause.code() is grpc.StatusCode.INVALID_ARGUMENT
    client.close()


def test_an_output_filter_is_held_to_the_batches_too(serve: Serve) -> None:
    server = serve("max_batch_size { value: 8 }")

    def filtered(rows: int) -> Any:
        request = predict_pb2.PredictRequest(output_filter=["risk"])
        request.model_spec.name, request.model_spec.signature_name = MODEL, "predict_folded"
        for alias, width in (("features", F), ("bias", HIDDEN)):
            pack(RawTensor.of(np.zeros((rows, width), np.float32)), into=request.inputs[alias])
        return request

    with grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(filtered(8), timeout=PATIENCE_S)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Predict(filtered(9), timeout=PATIENCE_S)
    assert list(response.outputs) == ["risk"]
    assert response.outputs["risk"].tensor_shape.dim[0].size == 8
    assert refused.value.details() == "Task size 9 is larger than maximum input batch size 8"


def test_the_callers_deadline_is_the_batchs(serve: Serve) -> None:
    server = serve("")
    given: list[float | None] = []
    with server.manager.use(MODEL, 1) as found:
        wrapped = found.session._wrapped
    run = wrapped.run

    def noted(feeds: Any, fetches: Any, timeout_s: float | None = None) -> Any:
        given.append(timeout_s)
        return run(feeds, fetches, timeout_s)

    wrapped.run = noted
    client = TfServingPredictor(server.address, MODEL, timeout_s=20.0)
    client.encode(np.zeros(C, np.float32), 1, 1)
    client.close()
    assert len(given) == 2
    assert all(timeout is not None and 0 < timeout < 22 for timeout in given)


@pytest.mark.promise("P7")
def test_versions_swap_under_batched_load_and_no_request_fails(root: Path, serve: Serve) -> None:
    server = serve("max_batch_size { value: 8 } batch_timeout_micros { value: 2000 }")
    stop, failures, answered = threading.Event(), list[BaseException](), list[int]()
    context = np.zeros((1, EMBEDDING), np.float32)

    def keep_asking() -> None:
        client = TfServingPredictor(server.address, MODEL, timeout_s=PATIENCE_S)
        inputs = {"features": np.zeros((1, F)), "context": context}
        try:
            while not stop.is_set():
                client.run("serving_default", inputs)
                answered.append(1)
        except BaseException as error:
            failures.append(error)
        client.close()

    callers = [threading.Thread(target=keep_asking) for _ in range(6)]
    for caller in callers:
        caller.start()
    for number in range(3, 9):
        write_version(root / MODEL, number, random_weights(number))
        server.manager.poll()
        leaving = root / MODEL / str(number - 2)
        leaving.rename(root / MODEL / f".gone-{number}")
        server.manager.poll()
        assert server.manager.available(MODEL) == [number - 1, number]
    stop.set()
    for caller in callers:
        caller.join(PATIENCE_S)
    assert not failures
    assert answered


def test_parameters_that_contradict_each_other_end_the_start(serve: Serve) -> None:
    with pytest.raises(InvalidSettings, match="allowed_batch_sizes must match max_batch_size"):
        serve("max_batch_size { value: 8 } allowed_batch_sizes: 4")


def test_a_version_whose_warm_up_cannot_be_batched_does_not_serve(serve: Serve) -> None:
    """The warm-up goes the way of the requests: its 8 rows are over the limit."""
    with pytest.raises(ModelUnavailable, match="Task size 8 is larger than maximum input"):
        serve("max_batch_size { value: 4 }")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_process_serves_with_all_the_files_of_production(root: Path, tmp_path: Path) -> None:
    """The container's own command line, with folders and ports moved; its probes; its metrics."""
    command = re.findall(r'"(--[^"]+)"', (FILES / "Dockerfile").read_text())
    models = tmp_path / "models.config"
    text = (FILES / "models.config").read_text()
    models.write_text(text.replace('"/models/', f'"{root}/'))
    listening, port = tmp_path / "grpc.sock", free_port()
    arguments = [
        flag.replace("/etc/tfserving/models.config", str(models)).replace(
            "/etc/tfserving", str(FILES)
        )
        for flag in command
    ]
    arguments[:2] = ["--port=0", f"--grpc_socket_path={listening}", f"--rest_api_port={port}"]
    with (tmp_path / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "relentless.serving.model_server", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    try:
        client = TfServingPredictor(f"unix:{listening}", MODEL, timeout_s=PATIENCE_S)
        client.wait_ready(PATIENCE_S)
        assert client.labels() == {"stable": 1, "canary": 2}
        context = client.encode(np.zeros(C, np.float32), 1, 2)
        features = np.ones((20, F), np.float32)
        wanted = WEIGHTS[2].predict(features, np.zeros(C, np.float32))
        np.testing.assert_allclose(client.predict(features, context), wanted, atol=1e-5)
        client.close()
        (cluster, *_) = yaml.safe_load_all((FILES / "kubernetes.yaml").read_text())
        (container,) = cluster["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = container[probe]["httpGet"]["path"]
            assert get(f"http://127.0.0.1:{port}{path}")[0] == 200
        compose = yaml.safe_load((FILES / "compose.common.yaml").read_text())
        _, *check = compose["services"]["tf-serving"]["healthcheck"]["test"]
        check = [word.replace("$$", "$").replace("/8501", f"/{port}") for word in check]
        assert subprocess.run(check, capture_output=True, timeout=PATIENCE_S).returncode == 0
        status, metrics = get(f"http://127.0.0.1:{port}/monitoring/prometheus/metrics")
        assert status == 200
        batches = ':tensorflow:serving:batching_session:processed_batch_size_bucket{le="32"}'
        assert any(
            line.startswith(batches) and int(line.split()[-1]) > 0 for line in metrics.splitlines()
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait(PATIENCE_S)
    assert "Traceback" not in (tmp_path / "stderr").read_text()
