"""The model server as a process of its own: up, asked, swapped and ended, from outside."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from relentless.models.weights import Weights
from relentless.proto.errors import InvalidSettings, ModelUnavailable
from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.listeners import require_local
from relentless.serving.model_server.main import REQUIRED, ModelServer, serve
from relentless.serving.tf_client import TfServingPredictor

from ..saved_models import (
    MODEL,
    C,
    F,
    constant_weights,
    write_graph,
    write_manifest,
    write_version,
    write_warmup,
)

RUN = (
    "from relentless.configs.settings import Settings\n"
    "from relentless.serving.model_server.main import run\n"
    "run(Settings())\n"
)
PATIENCE_S = 60.0

Start = Callable[..., tuple[subprocess.Popen[str], dict[str, Any]]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(
        address: str, root: Path, rest_port: int = 0
    ) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        env = os.environ | {
            "RELENTLESS_MODEL_SERVER__ADDRESS": address,
            "RELENTLESS_MODEL_SERVER__REST_PORT": str(rest_port),
            "RELENTLESS_PATHS__MODELS": str(root),
        }
        with (tmp_path / "stderr").open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=env,
            )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        return process, json.loads(line) if line else {}

    yield run
    for process in started:
        process.kill()
        process.wait(PATIENCE_S)
        if process.stdout:
            process.stdout.close()


def read_p_up(client: TfServingPredictor, version: int) -> float:
    context = client.encode(np.zeros(C, np.float32), 1, version)
    return float(client.predict(np.zeros((1, F), np.float32), context)[0, 0])


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail("what was waited for did not come")


def test_it_announces_serves_and_ends_in_order(tmp_path: Path, start: Start) -> None:
    write_version(tmp_path / "models" / MODEL, 1, constant_weights(0.25))
    with socket.create_server(("127.0.0.1", 0)) as held:
        rest = held.getsockname()[1]
    process, ready = start("127.0.0.1:0", tmp_path / "models", rest)
    assert ready["ready"] == "model-server"
    with httpx.Client(base_url=f"http://{ready['rest']}", timeout=PATIENCE_S) as http:
        state = http.get(f"/v1/models/{MODEL}").json()["model_version_status"][0]["state"]
        metrics = http.get("/monitoring/prometheus/metrics").text
    assert state == "AVAILABLE"
    assert f'request_count{{model_name="{MODEL}"' in metrics
    assert ready["versions"] == [1]
    client = TfServingPredictor(ready["address"], MODEL, timeout_s=PATIENCE_S)
    assert client.labels() == {"stable": 1}
    assert client.healthy()
    assert read_p_up(client, 1) == pytest.approx(0.25, abs=1e-6)
    client.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert process.stdout is not None
    assert process.stdout.read() == ""
    lines = (tmp_path / "stderr").read_text().splitlines()
    assert all(json.loads(line)["process"] == "model-server" for line in lines)


def test_it_does_not_start_without_a_version(tmp_path: Path, start: Start) -> None:
    (tmp_path / "models" / MODEL).mkdir(parents=True)
    process, ready = start("127.0.0.1:0", tmp_path / "models")
    assert not ready
    assert process.wait(PATIENCE_S) == 1
    assert "Traceback" not in (tmp_path / "stderr").read_text()
    assert "cannot start" in (tmp_path / "stderr").read_text()


def test_tensorflow_is_never_imported() -> None:
    code = (
        "import sys\n"
        "from relentless.serving.model_server import main\n"
        "main.library()\n"
        "import hashlib, ssl\n"
        "print('tensorflow' in sys.modules, hashlib.sha256(b'').hexdigest()[:8])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.stdout.split() == ["False", "e3b0c442"]
    assert done.stderr == ""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_version(tmp_path / MODEL, 1, constant_weights(0.1))
    return tmp_path / MODEL


def latest(base: Path, **labels: int) -> ModelServer:
    config = ModelConfig(MODEL, base, Policy(), labels)
    return serve("127.0.0.1:0", (config,), base.parent)


def test_health_answers_under_every_name(base: Path) -> None:
    server = latest(base)
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in (
            "",
            "PredictionService",
            "ModelService",
            "tensorflow.serving.PredictionService",
            "tensorflow.serving.ModelService",
        ):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as unknown:
            stub.Check(health_pb2.HealthCheckRequest(service="x"), timeout=20)
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    server.stop(0.1)


@pytest.mark.promise("P11")
@pytest.mark.parametrize("address", ["0.0.0.0:8500", "[::]:0", "10.0.0.1:1", "example.org:1", ""])
def test_it_does_not_listen_where_others_reach_it(base: Path, address: str) -> None:
    with pytest.raises(InvalidSettings, match="no credential"):
        serve(address, (ModelConfig(MODEL, base),), base.parent)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/x"])
def test_it_listens_where_only_this_machine_reaches_it(address: str) -> None:
    require_local(address)


def test_an_address_that_is_taken_is_said(base: Path) -> None:
    server = latest(base)
    config = ModelConfig(MODEL, base)
    words = f"cannot listen on {server.address}: Address already in use"
    with pytest.raises(ModelUnavailable, match=words):
        serve(server.address, (config,), base.parent)
    server.stop(0.1)


def not_a_number(base: Path, number: int, w: Weights) -> None:
    w.b3[0] = np.nan
    write_version(base, number, w)


def of_another_shape(base: Path, number: int, w: Weights) -> None:
    folder = write_version(base, number, w)
    write_graph(folder, w._replace(w1_features=w.w1_features[: F - 1]))
    write_manifest(folder, number)


def without_a_signature(base: Path, number: int, w: Weights) -> None:
    write_version(base, number, w, leave_out=("predict_folded",))


def of_other_features(base: Path, number: int, w: Weights) -> None:
    write_manifest(write_version(base, number, w), number, feature_digest="0" * 64)


def damaged(base: Path, number: int, w: Weights) -> None:
    graph = write_version(base, number, w) / "saved_model.pb"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(bytes(data))


def gone(base: Path, number: int, w: Weights) -> None:
    folder = write_version(base, number, w)
    (folder / "saved_model.pb").unlink()


def slow(base: Path, number: int, w: Weights) -> None:
    """It loads and answers, after a thousand warm-up requests: the one before serves meanwhile."""
    folder = write_version(base, number, w)
    write_warmup(folder, rows=(1,) * 1_000)
    write_manifest(folder, number)


BAD = (
    not_a_number,
    of_another_shape,
    without_a_signature,
    of_other_features,
    damaged,
    gone,
)


@pytest.mark.promise("P7")
def test_versions_swap_under_load_and_no_request_fails(base: Path, soak: bool) -> None:
    """Good, slow and six kinds of bad versions come by turns; only good ones ever answer."""
    swaps = 300 if soak else 24
    config = ModelConfig(MODEL, base)
    server = serve("127.0.0.1:0", (config,), base.parent, REQUIRED)
    stop, failures = threading.Event(), list[BaseException]()
    seen: set[float] = set()

    def ask() -> None:
        client = TfServingPredictor(server.address, MODEL, timeout_s=PATIENCE_S)
        inputs = {"inputs": np.zeros((1, F), np.float32)}
        try:
            while not stop.is_set():
                scores = client.run("classify", inputs)["scores"]
                seen.add(round(float(scores[0, 1]), 3))
        except BaseException as error:
            failures.append(error)
        client.close()

    callers = [threading.Thread(target=ask) for _ in range(2)]
    for caller in callers:
        caller.start()
    good, newest = {0.1}, 1
    turns = itertools.cycle([write_version, BAD[0], BAD[1], slow, BAD[2], BAD[3], BAD[4], BAD[5]])
    for number, make in zip(range(2, swaps + 2), turns, strict=False):
        p_up = round(0.1 + 0.8 * number / (swaps + 2), 3)
        make(base, number, constant_weights(p_up))
        server.manager.poll()
        if make in BAD:
            (told,) = server.manager.status(MODEL, number)
            assert told.message, f"{make.__name__} was not refused"
        else:
            good.add(p_up)
            newest = number
        assert server.manager.available(MODEL) == [newest]
    stop.set()
    for caller in callers:
        caller.join(PATIENCE_S)
    server.stop(0.1)
    assert not failures
    assert seen <= good
    assert len(seen) > 2


def test_calls_inside_it_finish_when_it_ends(base: Path) -> None:
    server = latest(base)
    client = TfServingPredictor(server.address, MODEL, timeout_s=PATIENCE_S)
    features = np.zeros((200_000, F), np.float32)
    context = client.encode(np.zeros(C, np.float32), 1, 1)
    entered = threading.Event()
    answers: list[Any] = []

    def ask() -> None:
        entered.set()
        answers.append(client.predict(features, context))

    caller = threading.Thread(target=ask)
    with server.manager.use(MODEL) as held:
        # An answer is read before the server has let go of the version that gave it.
        wait_for(lambda: held._users == 1)
        caller.start()
        entered.wait(PATIENCE_S)
        wait_for(lambda: held._users > 1 or bool(answers))
    server.stop(PATIENCE_S)
    caller.join(PATIENCE_S)
    assert answers[0].shape == (200_000, 4)
    assert server.manager.available(MODEL) == []
    client.close()
