"""The client of TF Serving's API: what it gives, and how it fails."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from relentless.proto.errors import ModelInvalid, ModelRejected, ModelUnavailable
from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.main import serve
from relentless.serving.ports import Embedded, Predictor
from relentless.serving.tensor_proto import STRING, RawTensor, pack
from relentless.serving.tf_client import ATTEMPTS, TfServingPredictor
from relentless.serving.tf_protos import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from .saved_models import HIDDEN, MODEL, C, F, random_weights, write_version

WEIGHTS = {1: random_weights(1), 2: random_weights(2)}
FEATURES = np.random.default_rng(5).normal(size=(50, F)).astype(np.float32)
CONTEXT = np.random.default_rng(6).normal(size=C).astype(np.float32)
FOLDED = Embedded(1, 1, np.zeros(64, np.float32), np.zeros(HIDDEN, np.float32))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TfServingPredictor]:
    root = tmp_path_factory.mktemp("models")
    for number, weights in WEIGHTS.items():
        write_version(root / MODEL, number, weights)
    config = ModelConfig(MODEL, root / MODEL, Policy("all"), {"stable": 1, "canary": 2})
    server = serve("127.0.0.1:0", (config,), root)
    opened = TfServingPredictor(server.address, MODEL, timeout_s=30)
    yield opened
    opened.close()
    server.stop(0.1)


def test_it_is_a_predictor(client: TfServingPredictor) -> None:
    predictor: Predictor = client
    assert predictor.labels() == {"stable": 1, "canary": 2}


@pytest.mark.parametrize("version", [1, 2])
def test_it_predicts_what_the_version_says(client: TfServingPredictor, version: int) -> None:
    context = client.encode(CONTEXT, 77, version)
    assert (context.context_id, context.version) == (77, version)
    heads = client.predict(FEATURES, context)
    assert heads.dtype == np.float32
    np.testing.assert_allclose(heads, WEIGHTS[version].predict(FEATURES, CONTEXT), atol=1e-5)


def test_both_ways_to_predict_agree(client: TfServingPredictor) -> None:
    context = client.encode(CONTEXT, 1, 1)
    full = client.run(
        "serving_default", {"features": FEATURES, "context": context.embedding[None]}, 1
    )
    folded = client.predict(FEATURES, context)
    np.testing.assert_allclose(full["p_up"], folded[:, 0], atol=1e-5)


def test_status_and_health(client: TfServingPredictor) -> None:
    assert [(s.version, s.state, s.error) for s in client.status()] == [
        (2, "AVAILABLE", ""),
        (1, "AVAILABLE", ""),
    ]
    assert client.healthy()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.encode(CONTEXT[:3], 1, 1), MODEL),
        (lambda c: c.encode(CONTEXT, 1, 9), "Servable not found"),
        (lambda c: c.predict(FEATURES[:, :3], FOLDED), "atrix"),
        (lambda c: c.run("x", {}, 1), 'signature key "x" not found'),
    ],
)
def test_what_the_server_refuses_is_rejected(
    client: TfServingPredictor, call: Callable[[TfServingPredictor], Any], words: str
) -> None:
    with pytest.raises(ModelRejected, match=words):
        call(client)


def test_an_unknown_model_is_rejected(client: TfServingPredictor) -> None:
    other = TfServingPredictor(client.address, "other", timeout_s=30)
    with pytest.raises(ModelRejected, match="Could not find any versions of model other"):
        other.labels()
    assert not other.healthy()
    other.close()


def test_many_threads_may_share_it(client: TfServingPredictor) -> None:
    context = client.encode(CONTEXT, 1, 1)
    wanted = client.predict(FEATURES, context)
    with futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.predict(FEATURES, context), range(40)))
    assert all(np.array_equal(answer, wanted) for answer in answers)


def test_without_labels_the_highest_version_is_stable(tmp_path: Path) -> None:
    for number, weights in WEIGHTS.items():
        write_version(tmp_path / MODEL, number, weights)
    config = ModelConfig(MODEL, tmp_path / MODEL, Policy("all"))
    server = serve("127.0.0.1:0", (config,), tmp_path)
    with_none = TfServingPredictor(server.address, MODEL, timeout_s=30)
    assert with_none.labels() == {"stable": 2}
    with_none.close()
    server.stop(0.1)


class Stub(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """A server of a few words: each Predict takes the next answer."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.released = threading.Event()

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "hang":
            self.released.wait(60)
            context.abort(grpc.StatusCode.ABORTED, "")
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, "as told")
        return answer

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        told = self.answers[0]
        known = isinstance(told, grpc.StatusCode)
        context.abort(told if known else grpc.StatusCode.UNIMPLEMENTED, "as told")


class NoHealth(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """A model service whose version 3 serves."""

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(version=3, state=30)
        return response


Told = Callable[..., tuple[TfServingPredictor, Stub]]


@pytest.fixture
def told() -> Iterator[Told]:
    ends: list[Callable[[], Any]] = []

    def make(*answers: Any, timeout_s: float = 30.0) -> tuple[TfServingPredictor, Stub]:
        stub = Stub(*answers)
        server = grpc.server(futures.ThreadPoolExecutor(8))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(stub, server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(NoHealth(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        made = TfServingPredictor(f"127.0.0.1:{port}", MODEL, timeout_s=timeout_s)
        ends.extend((stub.released.set, made.close, lambda: server.stop(0).wait(30)))
        return made, stub

    yield make
    for end in ends:
        end()


def answer(rows: int, names: tuple[str, ...], value: float = 0.5) -> Any:
    response = predict_pb2.PredictResponse()
    for name in names:
        response.outputs[name].CopyFrom(pack(RawTensor.of(np.full(rows, value, np.float32))))
    return response


HEADS = ("p_up", "expected_return", "volatility_ratio", "risk")


@pytest.mark.promise("P7")
def test_a_server_that_hangs_is_unavailable_within_the_deadline(told: Told) -> None:
    client, stub = told("hang", timeout_s=0.3)
    with pytest.raises(ModelUnavailable, match="DEADLINE_EXCEEDED"):
        client.predict(FEATURES, FOLDED)
    assert stub.calls == 1


def test_unavailable_is_tried_again(told: Told) -> None:
    gone = grpc.StatusCode.UNAVAILABLE
    client, stub = told(gone, gone, answer(50, HEADS))
    assert client.predict(FEATURES, FOLDED).shape == (50, 4)
    assert stub.calls == 3


def test_the_attempts_have_an_end(told: Told) -> None:
    client, stub = told(grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(ModelUnavailable, match="UNAVAILABLE"):
        client.predict(FEATURES, FOLDED)
    assert stub.calls == ATTEMPTS


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.INTERNAL, ModelUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ModelUnavailable),
        (grpc.StatusCode.INVALID_ARGUMENT, ModelRejected),
        (grpc.StatusCode.NOT_FOUND, ModelRejected),
        (grpc.StatusCode.FAILED_PRECONDITION, ModelRejected),
    ],
)
def test_nothing_else_is_tried_again(
    told: Told, code: grpc.StatusCode, error: type[Exception]
) -> None:
    client, stub = told(code)
    with pytest.raises(error, match="as told"):
        client.predict(FEATURES, FOLDED)
    assert stub.calls == 1


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    "response",
    [answer(50, HEADS[:3]), answer(49, HEADS), predict_pb2.PredictResponse()],
    ids=["a head is missing", "a row is missing", "empty"],
)
def test_an_answer_of_another_shape_is_invalid(told: Told, response: Any) -> None:
    client, _ = told(response)
    with pytest.raises(ModelInvalid, match="has no"):
        client.predict(FEATURES, FOLDED)


@pytest.mark.promise("P11")
def test_an_answer_that_cannot_be_read_is_invalid(told: Told) -> None:
    damaged = answer(50, HEADS)
    damaged.outputs["risk"].tensor_shape.dim[0].size = 3
    client, _ = told(damaged)
    with pytest.raises(ModelInvalid, match="no risk for each of 50 rows"):
        client.predict(FEATURES, FOLDED)


@pytest.mark.promise("P11")
@pytest.mark.parametrize("values", [[b"x"] * 50, np.ones(50, bool), np.ones(50, "c8")])
def test_an_answer_of_another_type_is_invalid(told: Told, values: Any) -> None:
    other = answer(50, HEADS)
    tensor = RawTensor(STRING, (50,), values) if isinstance(values, list) else RawTensor.of(values)
    other.outputs["risk"].CopyFrom(pack(tensor))
    client, _ = told(other)
    with pytest.raises(ModelInvalid, match="risk holds"):
        client.predict(FEATURES, FOLDED)


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    ("code", "labels"),
    [(grpc.StatusCode.NOT_FOUND, {}), (grpc.StatusCode.INVALID_ARGUMENT, {"stable": 3})],
)
def test_a_label_whose_version_is_away_makes_no_other_version_stable(
    told: Told, code: grpc.StatusCode, labels: dict[str, int]
) -> None:
    client, _ = told(code)
    assert client.labels() == labels


@pytest.mark.promise("P11")
def test_an_encoding_of_another_type_is_invalid(told: Told) -> None:
    other = predict_pb2.PredictResponse()
    other.outputs["embedding"].CopyFrom(pack(RawTensor(STRING, (1, 1), [b"x"])))
    client, _ = told(other)
    with pytest.raises(ModelInvalid, match="embedding holds"):
        client.encode(CONTEXT, 1, 1)


def test_a_server_without_a_health_service_is_judged_by_its_versions(told: Told) -> None:
    client, _ = told("hang")
    assert client.healthy()
    assert client.labels() == {"stable": 3}


def test_nobody_there_is_unavailable_and_unhealthy() -> None:
    client = TfServingPredictor("127.0.0.1:1", MODEL, timeout_s=0.5)
    with pytest.raises(ModelUnavailable):
        client.predict(FEATURES, FOLDED)
    assert not client.healthy()
    with pytest.raises(ModelUnavailable, match=r"no model server at 127\.0\.0\.1:1"):
        client.wait_ready(0.05)
    client.close()
    with pytest.raises(ModelUnavailable, match="closed"):
        client.predict(FEATURES, FOLDED)


@pytest.mark.promise("P7")
def test_a_server_that_comes_back_is_found_again(tmp_path: Path) -> None:
    write_version(tmp_path / MODEL, 1, WEIGHTS[1])
    config = ModelConfig(MODEL, tmp_path / MODEL)
    address = f"unix:{tmp_path}/m.sock"
    first = serve(address, (config,), tmp_path)
    client = TfServingPredictor(address, MODEL, timeout_s=30)
    before = client.predict(FEATURES, FOLDED)
    first.stop(0.1)
    short = TfServingPredictor(address, MODEL, timeout_s=0.2)
    with pytest.raises(ModelUnavailable):
        short.predict(FEATURES, FOLDED)
    second = serve(address, (config,), tmp_path)
    client.wait_ready(30)
    np.testing.assert_array_equal(client.predict(FEATURES, FOLDED), before)
    for end in (short.close, client.close):
        end()
    second.stop(0.1)
