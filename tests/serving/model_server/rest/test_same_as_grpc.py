"""The same tensors through gRPC and through REST give the same numbers."""

import json
import os
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from relentless.serving.model_server.server import ModelServer
from relentless.serving.tensor_proto import DTYPES as NUMPY
from relentless.serving.tensor_proto import unpack
from relentless.serving.tf_protos import predict_pb2, prediction_service_pb2_grpc

from ..rest_models import DTYPES, proto
from ..rest_server import rest_server

DRAWN = 1_000 if os.environ.get("RELENTLESS_SOAK") else 50

NUMERIC = [name for name in DTYPES if name not in ("half", "uint16", "string")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with rest_server(tmp_path_factory.mktemp("both") / "models") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ModelServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server.rest}", timeout=20) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(server: ModelServer) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def by_grpc(stub: Any, model: str, signature: str, alias: str, tensor: Any) -> dict[str, Any]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    request.inputs[alias].CopyFrom(tensor)
    outputs = stub.Predict(request, timeout=20).outputs
    return {name: unpack(output).array() for name, output in outputs.items()}


def by_rest(client: httpx.Client, model: str, signature: str, key: str, value: Any) -> Any:
    sent = json.dumps({"signature_name": signature, key: value})
    answer = client.post(f"/v1/models/{model}:predict", content=sent)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.content)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, np.ndarray[Any, Any]]:
    """Give a type and an array of it that JSON may spell."""
    name = draw(st.sampled_from(NUMERIC))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=3))
    return name, draw(hnp.arrays(NUMPY[DTYPES[name]], shape))


@settings(max_examples=DRAWN)
@given(arrays())
def test_numbers_are_the_same_bit_for_bit(
    client: httpx.Client, stub: Any, drawn: tuple[str, np.ndarray[Any, Any]]
) -> None:
    name, array = drawn
    tensor = proto(array.ravel().tolist(), array.shape, DTYPES[name])
    wanted = by_grpc(stub, "echo", name, "value", tensor)["value"]
    columns = by_rest(client, "echo", name, "inputs", array.tolist())["outputs"]
    got = np.array(columns, wanted.dtype)
    assert got.shape == wanted.shape
    np.testing.assert_array_equal(got, wanted)
    if array.ndim:
        rows = by_rest(client, "echo", name, "instances", array.tolist())["predictions"]
        np.testing.assert_array_equal(np.array(rows, wanted.dtype), wanted)


@settings(max_examples=DRAWN)
@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_strings_are_the_same(client: httpx.Client, stub: Any, texts: list[str]) -> None:
    raw = [text.encode() for text in texts]
    wanted = by_grpc(stub, "echo", "string", "value", proto(raw, (len(raw),), DTYPES["string"]))
    assert wanted["value"].tolist() == raw
    assert by_rest(client, "echo", "string", "instances", texts) == {"predictions": texts}


@settings(max_examples=DRAWN)
@given(hnp.arrays("<f4", st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32)))
def test_a_model_computes_the_same(
    client: httpx.Client, stub: Any, array: np.ndarray[Any, Any]
) -> None:
    tensor = proto(array.tolist(), array.shape, 1)
    wanted = by_grpc(stub, "half", "serving_default", "x", tensor)["y"]
    got = by_rest(client, "half", "serving_default", "instances", array.tolist())["predictions"]
    np.testing.assert_array_equal(np.array(got, "f4"), wanted)
