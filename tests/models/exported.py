"""An exported version behind a model server: every signature asked over gRPC and over REST."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np

from relentless.configs.settings import REPOSITORY
from relentless.models.manifest import WEIGHTS
from relentless.models.weights import Weights, load_weights
from relentless.serving.model_server.config import ModelConfig, under
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.main import REQUIRED
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.server import Models, ModelServer, start
from relentless.serving.ports import HEADS
from relentless.serving.tensor_proto import STRING, RawTensor, pack, unpack
from relentless.serving.tf_protos import predict_pb2, prediction_service_pb2_grpc

PATIENCE_S = 60.0
ROWS = 5

Ask = Any
"""(signature, inputs by alias) to outputs by alias, all of them arrays or lists."""


def free_port() -> int:
    """Give a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(base: Path) -> Iterator[ModelServer]:
    """Serve every version under a model's base path, with production's batching, and REST."""
    options = ServerOptions(
        rest_api_port=free_port(),
        enable_batching=True,
        batching_parameters_file=str(REPOSITORY / "configs" / "tfserving" / "batching.config"),
    )
    config = ModelConfig(base.name, base, Policy("all"))
    server = start(options, Models((config,), under(base.parent), REQUIRED), ("127.0.0.1:0",))
    try:
        yield server
    finally:
        server.stop(0.1)


def check_every_signature(folder: Path, ask: Ask) -> None:
    """Hold what a version answers against its own weights; each signature is asked once."""
    weights: Weights = load_weights(folder / WEIGHTS)
    random = np.random.default_rng(9)
    features = random.normal(size=(ROWS, weights.w1_features.shape[0])).astype(np.float32)
    vectors = random.normal(size=(ROWS, weights.encoder_kernel.shape[0])).astype(np.float32)
    embedding = np.array(ask("encode_context", {"context_vector": vectors})["embedding"])
    encoded = np.tanh(vectors @ weights.encoder_kernel + weights.encoder_bias)
    np.testing.assert_allclose(embedding, encoded, atol=1e-5)
    bias = np.array(ask("fold_context", {"embedding": embedding})["bias"])
    np.testing.assert_allclose(bias, encoded @ weights.w1_context + weights.b1, atol=1e-5)
    wanted = np.concatenate(
        [weights.predict(row[None], vector) for row, vector in zip(features, vectors, strict=True)]
    )
    for signature, second in (
        ("predict_folded", {"bias": bias}),
        ("serving_default", {"context": embedding}),
    ):
        heads = ask(signature, {"features": features, **second})
        assert set(heads) == set(HEADS)
        got = np.column_stack([heads[name] for name in HEADS])
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    said = ask("classify", {"inputs": features})
    unknown = np.zeros(weights.encoder_kernel.shape[0], np.float32)
    up = weights.predict(features, unknown)[:, 0]
    np.testing.assert_allclose(
        np.array(said["scores"], np.float32), np.column_stack([1 - up, up]), atol=1e-5
    )
    assert np.array(said["classes"]).tolist() == [["down", "up"]] * ROWS


def by_grpc(address: str, model: str, version: int) -> Ask:
    """Ask by Predict; Classify's signature takes its examples as strings there."""

    def ask(signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        request.model_spec.version.value = version
        for alias, array in inputs.items():
            tensor = RawTensor.of(array.astype(np.float32))
            if signature == "classify":
                records = [example(row) for row in array]
                tensor = RawTensor(STRING, (len(array),), records)
            pack(tensor, into=request.inputs[alias])
        with grpc.insecure_channel(address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            outputs = stub.Predict(request, timeout=PATIENCE_S).outputs
        return {alias: texts(unpack(proto).array()) for alias, proto in outputs.items()}

    return ask


def by_rest(address: str, model: str, version: int) -> Ask:
    """Ask by POST; Classify with its examples as JSON objects."""
    base = f"http://{address}/v1/models/{model}/versions/{version}"

    def ask(signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if signature == "classify":
            examples = [{"features": row.tolist()} for row in inputs["inputs"]]
            body = {"signature_name": signature, "examples": examples}
            answer = httpx.post(f"{base}:classify", json=body, timeout=PATIENCE_S)
            assert answer.status_code == 200, answer.text
            rows = answer.json()["results"]
            return {
                "classes": [[label for label, _ in row] for row in rows],
                "scores": [[score for _, score in row] for row in rows],
            }
        body = {
            "signature_name": signature,
            "inputs": {alias: array.tolist() for alias, array in inputs.items()},
        }
        answer = httpx.post(f"{base}:predict", json=body, timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        outputs = answer.json()["outputs"]
        if isinstance(outputs, dict):
            return outputs
        # One output stands alone, without its name.
        return {"encode_context": {"embedding": outputs}, "fold_context": {"bias": outputs}}[
            signature
        ]

    return ask


def texts(array: Any) -> Any:
    """Give byte strings as text, and anything else as it is."""
    return np.vectorize(bytes.decode)(array) if array.dtype == object else array


def example(row: Any) -> bytes:
    """Write a ``tf.Example`` with one float list, "features", by hand."""

    def field(number: int, body: bytes) -> bytes:
        return bytes([number << 3 | 2]) + varint(len(body)) + body

    floats = field(1, row.astype("<f4").tobytes())
    entry = field(1, b"features") + field(2, field(2, floats))
    return field(1, field(1, entry))


def varint(value: int) -> bytes:
    """Encode a length."""
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
