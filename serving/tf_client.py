"""A model behind TensorFlow Serving's gRPC API: a ``tensorflow/serving`` or the embedded server.

Implements ``ports.Predictor``; both servers are the same to it. Every call has a deadline, only
UNAVAILABLE is tried again, within that same deadline and a budget. Safe for concurrent use. Async
callers use ``asyncio.to_thread``. ``balanced.py`` stands above it where there are several servers.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import stamina
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from relentless.proto.errors import ModelInvalid, ModelRejected, ModelUnavailable
from relentless.serving.budget import RetryBudget
from relentless.serving.ports import HEADS, Array, Embedded
from relentless.serving.tensor_proto import RawTensor, TensorError, pack, unpack
from relentless.serving.tf_protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

LABELS = ("stable", "canary")
UNEQUAL = "input tensors must have equal 0th-dimension size"
"""What a server that batches says to one bias for many rows; it takes one for each."""
ATTEMPTS = 4
"""At most, for UNAVAILABLE."""
LEAST_S = 0.001
"""The deadline of an attempt that has no time left."""

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]
"""A restarted server is found again at once; no answer is too large for a chunk of ticks."""

SPREAD = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
"""gRPC's own balancing, for a name with several addresses: over those that say SERVING."""

_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
}


_ELSEWHERE = _REFUSALS - {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE}
"""Refusals that say something about the server, not about the request."""


_NOT_THERE = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}
"""What a label says whose version does not serve; one that is not known is INVALID_ARGUMENT."""


class Refused(ModelRejected):
    """A refusal with its status."""

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.status = code

    @property
    def elsewhere(self) -> bool:
        """Say whether another server may take the same request."""
        return self.status in _ELSEWHERE


class _Gone(ModelUnavailable):
    """UNAVAILABLE: the one status that is worth a second attempt."""


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version as the server sees it."""

    version: int
    state: str
    """START, LOADING, AVAILABLE, UNLOADING or END."""
    error: str
    """Empty, or why it does not serve."""


class TfServingPredictor:
    """One model of one server, at "host:port" or "unix:path"."""

    def __init__(
        self,
        address: str,
        model: str,
        *,
        timeout_s: float = 1.0,
        names: tuple[str, ...] = LABELS,
        channel: grpc.Channel | None = None,
        attempts: int = ATTEMPTS,
        budget: RetryBudget | None = None,
    ) -> None:
        """Open a channel; nothing is sent yet.

        Args:
            address: where the server listens; a "dns:///name:port" with several addresses is
                spread over them by gRPC itself.
            model: the served model's name.
            timeout_s: the deadline of every call, further attempts included.
            names: the labels that ``labels`` asks for.
            channel: one that is configured already (TLS), in place of ``address``'s own.
            attempts: how often a call is made at most.
            budget: what its further attempts are taken from, its own by default.
        """
        self.address = address
        self.model = model
        self.timeout_s = timeout_s
        self._names = names
        self._repeats = False
        self._attempts = attempts
        self.budget = budget or RetryBudget()
        self._channel = channel or grpc.insecure_channel(address, options=channel_options(address))
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def labels(self, timeout_s: float | None = None) -> Mapping[str, int]:
        """Give the version of each label that serves now; ``timeout_s`` is each question's.

        A server without labels has its highest available version as "stable". One whose labels are
        on versions that are not there has none: another version was not chosen by anybody.

        Raises:
            ModelUnavailable: no answer within the deadline.
            ModelRejected: the server does not know the model.
        """
        found: dict[str, int] = {}
        labelled = False
        for name in self._names:
            request = get_model_metadata_pb2.GetModelMetadataRequest(
                metadata_field=["signature_def"]
            )
            request.model_spec.name = self.model
            request.model_spec.version_label = name
            try:
                response = self._call(self._predictions.GetModelMetadata, request, timeout_s)
            except Refused as error:
                labelled |= error.status in _NOT_THERE
                continue
            found[name] = response.model_spec.version.value
        if not found and not labelled:
            serving = [s.version for s in self.status(timeout_s) if s.state == "AVAILABLE"]
            return {"stable": max(serving)} if serving else {}
        return found

    def status(self, timeout_s: float | None = None) -> list[VersionStatus]:
        """Give every version that the server knows, newest first.

        Raises:
            ModelUnavailable: no answer within the deadline.
            ModelRejected: the server does not know the model.
        """
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self.model
        response = self._call(self._models.GetModelStatus, request, timeout_s)
        states = get_model_status_pb2.ModelVersionStatus.State
        return [
            VersionStatus(entry.version, states.Name(entry.state), entry.status.error_message)
            for entry in response.model_version_status
        ]

    def healthy(self, timeout_s: float | None = None) -> bool:
        """Say whether the server answers and serves some version of the model."""
        try:
            request = health_pb2.HealthCheckRequest(service="")
            answer = self._call(self._health.Check, request, timeout_s)
            if answer.status != health_pb2.HealthCheckResponse.SERVING:
                return False
        except Refused as error:
            # TensorFlow Serving has the health service only behind a flag.
            if error.status is not grpc.StatusCode.UNIMPLEMENTED:
                return False
        except ModelUnavailable:
            return False
        try:
            return any(entry.state == "AVAILABLE" for entry in self.status(timeout_s))
        except (ModelUnavailable, ModelRejected):
            return False

    def encode(
        self,
        context_vector: Array,
        context_id: int,
        version: int,
        timeout_s: float | None = None,
    ) -> Embedded:
        """Encode a context vector of shape [C] for one version; ``timeout_s`` is both calls'.

        Raises:
            ModelUnavailable: no answer within the deadline.
            ModelRejected: no such version, or a wrong shape.
        """
        row = np.ascontiguousarray(context_vector, np.float32)[None]
        end = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        found: dict[str, Array] = {"context_vector": row}
        for signature, given, wanted in (
            ("encode_context", "context_vector", "embedding"),
            ("fold_context", "embedding", "bias"),
        ):
            left = max(end - time.monotonic(), LEAST_S)
            answer = self.run(signature, {given: found[given]}, version, left).get(wanted)
            if answer is None or answer.ndim != 2 or not len(answer):
                raise ModelInvalid(f"{self.model} {version} {signature}: no row of {wanted}")
            found[wanted] = _numbers(answer, wanted)
        return Embedded(context_id, version, found["embedding"][0].copy(), found["bias"][0].copy())

    def predict(self, features: Array, context: Embedded, timeout_s: float | None = None) -> Array:
        """Predict [N, F] tick features under a context: [N, 4], columns as in ``HEADS``.

        Raises:
            ModelUnavailable: no answer within the deadline.
            ModelRejected: wrong shape, or a version that serves no longer.
            ModelInvalid: an answer without the heads.
        """
        left = self.timeout_s if timeout_s is None else timeout_s
        begun, repeats = time.monotonic(), self._repeats
        rows = len(features) if repeats else 1
        inputs = {"features": features, "bias": np.tile(context.bias, (rows, 1))}
        try:
            outputs = self.run("predict_folded", inputs, context.version, left)
        except ModelRejected as error:
            if repeats or UNEQUAL not in str(error):
                raise
            self._repeats = True
            left = max(left - (time.monotonic() - begun), LEAST_S)
            return self.predict(features, context, left)
        return _heads(outputs, len(features))

    def run(
        self,
        signature: str,
        inputs: Mapping[str, Array],
        version: int | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Array]:
        """Run any signature on float32 arrays; without a version, on the highest that serves.

        Raises:
            ModelUnavailable: no answer within the deadline.
            ModelRejected: the server refuses the request.
            ModelInvalid: an answer that cannot be read.
        """
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self.model
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        for alias, array in inputs.items():
            tensor = RawTensor.of(np.asarray(array, np.float32))
            pack(tensor, into=request.inputs[alias])
        response = self._call(self._predictions.Predict, request, timeout_s)
        try:
            return {alias: unpack(proto).array() for alias, proto in response.outputs.items()}
        except TensorError as error:
            raise ModelInvalid(f"{self.model} {version} {signature}: {error}") from error

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the server takes connections.

        Raises:
            ModelUnavailable: it did not within ``timeout_s``.
        """
        try:
            grpc.channel_ready_future(self._channel).result(timeout_s)
        except grpc.FutureTimeoutError as error:
            raise ModelUnavailable(
                f"no model server at {self.address} within {timeout_s:g} s"
            ) from error

    def close(self) -> None:
        """Close the channel; calls inside it end with an error."""
        self._channel.close()

    def _call(self, method: Any, request: Any, timeout_s: float | None) -> Any:
        timeout = self.timeout_s if timeout_s is None else timeout_s
        end = time.monotonic() + timeout
        self.budget.request()
        try:
            return self._once(method, request, timeout)
        except _Gone as error:
            if self._attempts < 2 or time.monotonic() >= end or not self._worth_another(error):
                raise
        for attempt in stamina.retry_context(
            on=self._worth_another,
            attempts=self._attempts - 1,
            timeout=end - time.monotonic(),
            wait_initial=0.02,
            wait_max=0.2,
            wait_jitter=0.02,
        ):
            with attempt:
                return self._once(method, request, max(end - time.monotonic(), LEAST_S))
        raise ModelUnavailable("no attempt was made")

    def _worth_another(self, error: Exception) -> bool:
        return isinstance(error, _Gone) and self.budget.take()

    def _once(self, method: Any, request: Any, left_s: float) -> Any:
        try:
            return method(request, timeout=left_s)
        except grpc.RpcError as error:
            code, details = error.code(), str(error.details() or "")[:400]
            if code in _REFUSALS:
                raise Refused(f"{self.model}: {details}", code) from error
            kind = _Gone if code is grpc.StatusCode.UNAVAILABLE else ModelUnavailable
            raise kind(
                f"the model server at {self.address} gave no answer ({code.name}): {details}"
            ) from error
        except ValueError as error:
            raise ModelUnavailable(f"the channel to {self.address} is closed") from error


def channel_options(address: str) -> list[tuple[str, Any]]:
    """Give the options of a channel to an address."""
    if not address.startswith("dns:"):
        return OPTIONS
    return [*OPTIONS, ("grpc.service_config", json.dumps(SPREAD))]


def _heads(outputs: Mapping[str, Array], rows: int) -> Array:
    table = np.empty((rows, len(HEADS)), np.float32)
    for column, name in enumerate(HEADS):
        values = outputs.get(name)
        if values is None or values.size != rows:
            raise ModelInvalid(f"the answer has no {name} for each of {rows} rows")
        table[:, column] = _numbers(values, name).ravel()
    return table


def _numbers(array: Array, name: str) -> Array:
    """Give an output as float32.

    Raises:
        ModelInvalid: it holds strings, or other things that are no real numbers.
    """
    if array.dtype.kind not in "fiu":
        raise ModelInvalid(f"{name} holds {array.dtype}, not real numbers")
    return array.astype(np.float32, copy=False)
