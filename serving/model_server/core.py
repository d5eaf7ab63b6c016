"""Every method of TensorFlow Serving's API without a transport: messages in, messages out.

gRPC (``services.py``) and REST stand above and add nothing to an answer. Below:
``lifecycle/manager.py`` (which version) and one pure module for each kind of inference.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from relentless.serving.model_server.codes import INVALID_ARGUMENT
from relentless.serving.model_server.config import Place, from_proto
from relentless.serving.model_server.inference.classification import classify
from relentless.serving.model_server.inference.examples import DEFAULT_SIGNATURE
from relentless.serving.model_server.inference.multi_inference import multi_inference
from relentless.serving.model_server.inference.prediction import predict
from relentless.serving.model_server.inference.regression import regress
from relentless.serving.model_server.lifecycle.manager import Manager
from relentless.serving.model_server.lifecycle.servable import Servable, Session
from relentless.serving.model_server.metrics import Metrics
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.timed import TimedSession, count_examples
from relentless.serving.tf_protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    regression_pb2,
)

SIGNATURE_FIELD = "signature_def"

Method = Callable[[Any], Any]
"""A request message in, a response message out; raises TFError."""


@dataclass(frozen=True, slots=True)
class Answering:
    """How answers are given."""

    content: bool = False
    """Predict answers in ``tensor_content`` instead of typed fields."""
    check_methods: bool = False
    """Signatures of another method are refused."""


class Core:
    """The methods of PredictionService and ModelService. Safe for concurrent use.

    Every method raises ``TFError`` with TensorFlow Serving's code and words. ``timeout_s`` is what
    is left of the caller's time.
    """

    def __init__(
        self,
        manager: Manager,
        place: Place,
        answering: Answering = Answering(),
        metrics: Metrics | None = None,
    ) -> None:
        self._manager = manager
        self._metrics = metrics
        self._place = place
        self._answering = answering

    def find(self, spec: Any) -> AbstractContextManager[Servable]:
        """Lend the version that a ``ModelSpec`` asks for."""
        if not spec.name:
            raise TFError(INVALID_ARGUMENT, "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        version = spec.version.value if choice == "version" else None
        label = spec.version_label if choice == "version_label" else None
        return self._manager.use(spec.name, version, label)

    def predict(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run a signature on tensors."""
        with self.find(_spec(request)) as found:
            return predict(
                self._session(found, "Predict"),
                request,
                found.version,
                content=self._answering.content,
                check=self._answering.check_methods,
                timeout_s=timeout_s,
            )

    def classify(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run a classification signature on ``tf.Example`` records."""
        return self._by_examples(
            "Classify", classify, request, classification_pb2.ClassificationResponse(), timeout_s
        )

    def regress(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run a regression signature on ``tf.Example`` records."""
        return self._by_examples(
            "Regress", regress, request, regression_pb2.RegressionResponse(), timeout_s
        )

    def _by_examples(
        self, api: str, method: Any, request: Any, response: Any, timeout_s: float | None
    ) -> Any:
        with self.find(_spec(request)) as found:
            response.result.SetInParent()
            method(
                self._session(found, api),
                request,
                response.result,
                check=self._answering.check_methods,
                timeout_s=timeout_s,
            )
            response.model_spec.name = found.name
            response.model_spec.signature_name = (
                request.model_spec.signature_name or DEFAULT_SIGNATURE
            )
            response.model_spec.version.value = found.version
            return response

    def multi_inference(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run several signatures of one model on the same records; the first names the version."""
        response = inference_pb2.MultiInferenceResponse()
        spec = next((task.model_spec for task in request.tasks), None)
        if spec is None:
            raise TFError(INVALID_ARGUMENT, "ModelSpec has no name specified.")
        with self.find(spec) as found:
            multi_inference(
                found.session,
                request,
                found.version,
                response,
                check=self._answering.check_methods,
                timeout_s=timeout_s,
            )
            if self._metrics is not None:
                self._metrics.examples(found.name, count_examples(request.input))
            return response

    def _session(self, found: Servable, api: str) -> Session:
        if self._metrics is None:
            return found.session
        return TimedSession(found.session, self._metrics, found.name, api)

    def metadata(self, request: Any) -> Any:
        """Give a version's signatures."""
        if not request.HasField("model_spec"):
            raise TFError(INVALID_ARGUMENT, "Missing ModelSpec")
        if not request.metadata_field:
            raise TFError(
                INVALID_ARGUMENT,
                "GetModelMetadataRequest must specify at least one metadata_field",
            )
        for name in request.metadata_field:
            if name != SIGNATURE_FIELD:
                raise TFError(INVALID_ARGUMENT, f"Metadata field {name} is not supported")
        with self.find(request.model_spec) as found:
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in found.session.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = found.name
            response.model_spec.version.value = found.version
            response.metadata[SIGNATURE_FIELD].Pack(signatures)
            return response

    def status(self, request: Any) -> Any:
        """Give the state of one version, or of all that are known."""
        if not request.HasField("model_spec"):
            raise TFError(INVALID_ARGUMENT, "Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        response = get_model_status_pb2.GetModelStatusResponse()
        for known in self._manager.status(spec.name, version):
            entry = response.model_version_status.add(version=known.number, state=known.state)
            entry.status.error_code = known.code
            entry.status.error_message = known.message
        return response

    def reload(self, request: Any) -> Any:
        """Serve what the request lists, and nothing else, within the model root.

        The answer says by how much the counters rose that the request names.
        """
        if request.config.WhichOneof("config") != "model_config_list":
            raise TFError(
                INVALID_ARGUMENT,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        before = self._counts(request.metric_names)
        known = self._manager.configured()
        self._manager.configure(from_proto(request.config, self._place, known))
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name, count in self._counts(request.metric_names).items():
            response.metric.add(name=name, int64_value_increase=count - before[name])
        return response

    def _counts(self, names: Iterable[str]) -> dict[str, int]:
        return {name: self._metrics.count(name) if self._metrics else 0 for name in names}


def _spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise TFError(INVALID_ARGUMENT, "Missing ModelSpec")
    return request.model_spec
