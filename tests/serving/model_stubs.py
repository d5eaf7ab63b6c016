"""Model servers that do as they are told, over real sockets, and count what they are asked."""

import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
import numpy as np

from relentless.models.weights import Weights
from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.main import ModelServer, serve
from relentless.serving.ports import HEADS
from relentless.serving.tensor_proto import RawTensor, pack, unpack
from relentless.serving.tf_client import TfServingPredictor
from relentless.serving.tf_protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from .saved_models import MODEL, random_weights, write_version

WAIT_S = 30.0
LABELS = {"stable": 1, "canary": 2}


class Told(  # type: ignore[misc]
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Serves versions with weights as numpy has them, or fails in the way of ``mode``.

    Modes: "well", "nan", "short" (a row is missing), "hang" (until released), or a status code.
    ``counts`` holds how often each method was called.
    """

    def __init__(self, versions: dict[int, Weights] | None = None, mode: Any = "well") -> None:
        self.versions = versions or {n: random_weights(n) for n in LABELS.values()}
        self.mode: Any = mode
        self.counts: dict[str, int] = {"Predict": 0, "GetModelMetadata": 0, "GetModelStatus": 0}
        self.released = threading.Event()
        self.gate: threading.Event | None = None
        """Predictions wait for it, and are then answered."""
        self._counting = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(self, self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    @property
    def asked(self) -> int:
        """How often anything was asked."""
        return sum(self.counts.values())

    def client(self, timeout_s: float = WAIT_S) -> TfServingPredictor:
        return TfServingPredictor(self.address, MODEL, timeout_s=timeout_s, attempts=1)

    def stop(self) -> None:
        self.released.set()
        self._server.stop(0).wait(WAIT_S)

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._begin("Predict", context)
        weights = self.versions.get(request.model_spec.version.value)
        if weights is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
            raise AssertionError
        given = {alias: unpack(proto).array() for alias, proto in request.inputs.items()}
        response = predict_pb2.PredictResponse()
        for alias, array in self._outputs(weights, request.model_spec.signature_name, given):
            response.outputs[alias].CopyFrom(pack(RawTensor.of(array.astype(np.float32))))
        return response

    def _outputs(self, weights: Weights, signature: str, given: dict[str, Any]) -> Any:
        if signature == "encode_context":
            return [("embedding", np.stack([weights.encode(x) for x in given["context_vector"]]))]
        if signature == "fold_context":
            return [("bias", np.stack([weights.fold(x) for x in given["embedding"]]))]
        if self.gate is not None:
            self.gate.wait(WAIT_S)
        heads = predict_folded(weights, given["features"], given["bias"][0])
        if self.mode == "nan":
            heads[0] = np.nan
        elif self.mode == "short":
            heads = heads[1:]
        return [(name, heads[:, k]) for k, name in enumerate(HEADS)]

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._begin("GetModelMetadata", context)
        version = LABELS.get(request.model_spec.version_label)
        if version not in self.versions:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.version.value = version
        return response

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._begin("GetModelStatus", context)
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in self.versions:
            response.model_version_status.add(version=version, state=30)
        return response

    def _begin(self, name: str, context: grpc.ServicerContext) -> None:
        with self._counting:
            self.counts[name] += 1
        if self.mode == "hang":
            self.released.wait(WAIT_S)
            context.abort(grpc.StatusCode.ABORTED, "hung")
        if isinstance(self.mode, grpc.StatusCode):
            context.abort(self.mode, "as told")


def predict_folded(weights: Weights, features: Any, bias: Any) -> Any:
    """Give the heads [N, 4] under a folded bias, as the network of ``models.weights`` has them."""
    with np.errstate(over="ignore", invalid="ignore"):
        hidden = np.maximum(features @ weights.w1_features + bias, 0)
        deep = np.maximum(hidden @ weights.w2 + weights.b2, 0)
        sums = deep @ weights.w3 + weights.b3
        heads = sums.copy()
        for column in (0, 3):
            heads[:, column] = 1 / (1 + np.exp(-sums[:, column]))
        heads[:, 2] = np.logaddexp(0, sums[:, 2])
    return heads


def real_server(root: Any, address: str = "127.0.0.1:0", seed: int = 0) -> ModelServer:
    """Serve versions 1 and 2 through TensorFlow's C API; the same seed gives the same model."""
    if not (root / MODEL).exists():
        for number in LABELS.values():
            write_version(root / MODEL, number, random_weights(number + seed))
    config = ModelConfig(MODEL, root / MODEL, Policy("all"), LABELS)
    return serve(address, (config,), root)


def until(true: Callable[[], bool], what: str, limit_s: float = WAIT_S) -> None:
    """Wait for something that other threads bring about.

    Raises:
        AssertionError: it did not come true in time.
    """
    pause = threading.Event()
    for _ in range(int(limit_s / 0.01)):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError(f"not within {limit_s:g} s: {what}")
