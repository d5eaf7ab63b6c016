"""The gRPC services, as TensorFlow Serving registers them: PredictionService and ModelService.

Each method is thin: it finds a version, calls a pure function, and turns a ``TFError`` into the
status of the same number.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

import grpc
import structlog

from relentless.serving.model_server.capi import TFError
from relentless.serving.model_server.classification import classify
from relentless.serving.model_server.config import from_proto
from relentless.serving.model_server.manager import Manager
from relentless.serving.model_server.prediction import predict
from relentless.serving.model_server.servable import Servable
from relentless.serving.tf_protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

log = structlog.get_logger(__name__)

INVALID_ARGUMENT, UNIMPLEMENTED = 3, 12

MAX_MESSAGE = 1024
SIGNATURE_FIELD = "signature_def"

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def clipped(message: str) -> str:
    """Cut a message where TensorFlow Serving cuts it."""
    return message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "...TRUNCATED"


def answer(method: Callable[[Any], Any], request: Any, context: grpc.ServicerContext) -> Any:
    """Call a method and abort with the status of the error that it raises."""
    try:
        return method(request)
    except TFError as error:
        _abort(context, _CODES.get(error.code, grpc.StatusCode.UNKNOWN), str(error))
    except Exception as error:
        log.exception("request failed", method=getattr(method, "__name__", ""))
        _abort(context, grpc.StatusCode.INTERNAL, f"{type(error).__name__} in the model server")


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
    context.abort(code, clipped(message))
    raise AssertionError("abort returned")


def find(manager: Manager, request: Any) -> AbstractContextManager[Servable]:
    """Lend the version that a request's model_spec asks for.

    Raises:
        TFError: no spec, no name, or nothing under it.
    """
    if not request.HasField("model_spec"):
        raise TFError(INVALID_ARGUMENT, "Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise TFError(INVALID_ARGUMENT, "ModelSpec has no name specified.")
    version = spec.version.value if spec.HasField("version") else None
    return manager.use(spec.name, version, spec.version_label)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Predict, Classify and GetModelMetadata; the others answer UNIMPLEMENTED."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run a signature on tensors."""
        return answer(self._predict, request, context)

    def _predict(self, request: Any) -> Any:
        with find(self._manager, request) as found:
            return predict(found.session, request, found.version)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run a classification signature on ``tf.Example`` records."""
        return answer(self._classify, request, context)

    def _classify(self, request: Any) -> Any:
        with find(self._manager, request) as found:
            response = classification_pb2.ClassificationResponse()
            name = classify(found.session, request, response.result)
            response.model_spec.name = found.name
            response.model_spec.signature_name = name
            response.model_spec.version.value = found.version
            return response

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Refuse: this model has no regression signature."""
        _abort(context, grpc.StatusCode.UNIMPLEMENTED, "Regress is not served here; use Predict")

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Refuse, as ``Regress`` does."""
        _abort(
            context, grpc.StatusCode.UNIMPLEMENTED, "MultiInference is not served here; use Predict"
        )

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Give a version's signatures."""
        return answer(self._metadata, request, context)

    def _metadata(self, request: Any) -> Any:
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
        with find(self._manager, request) as found:
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in found.session.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = found.name
            response.model_spec.version.value = found.version
            response.metadata[SIGNATURE_FIELD].Pack(signatures)
            return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """The state of versions, and reloading the configuration."""

    def __init__(self, manager: Manager, root: Path, *, labels_ahead: bool) -> None:
        self._manager = manager
        self._root = root
        self._labels_ahead = labels_ahead

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Give the state of one version, or of all that are known."""
        return answer(self._status, request, context)

    def _status(self, request: Any) -> Any:
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

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Serve what the request lists, and nothing else, within the model root."""
        return answer(self._reload, request, context)

    def _reload(self, request: Any) -> Any:
        if request.config.WhichOneof("config") != "model_config_list":
            raise TFError(
                INVALID_ARGUMENT,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        configs = from_proto(request.config, self._root)
        self._manager.configure(configs, labels_ahead=self._labels_ahead)
        return model_management_pb2.ReloadConfigResponse()
