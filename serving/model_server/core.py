"""Every method of TensorFlow Serving's API without a transport: messages in, messages out.

gRPC (``services.py``) and REST stand above and add nothing to an answer. Below: ``manager.py``
(which version) and one pure module for each kind of inference.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

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
)

INVALID_ARGUMENT, UNIMPLEMENTED = 3, 12

SIGNATURE_FIELD = "signature_def"

Method = Callable[[Any], Any]
"""A request message in, a response message out; raises TFError."""


class Core:
    """The methods of PredictionService and ModelService. Safe for concurrent use.

    Every method raises ``TFError`` with TensorFlow Serving's code and words.
    """

    def __init__(self, manager: Manager, root: Path, *, labels_ahead: bool) -> None:
        self._manager = manager
        self._root = root
        self._labels_ahead = labels_ahead

    def find(self, request: Any) -> AbstractContextManager[Servable]:
        """Lend the version that a request's model_spec asks for."""
        if not request.HasField("model_spec"):
            raise TFError(INVALID_ARGUMENT, "Missing ModelSpec")
        spec = request.model_spec
        if not spec.name:
            raise TFError(INVALID_ARGUMENT, "ModelSpec has no name specified.")
        version = spec.version.value if spec.HasField("version") else None
        return self._manager.use(spec.name, version, spec.version_label)

    def predict(self, request: Any) -> Any:
        """Run a signature on tensors."""
        with self.find(request) as found:
            return predict(found.session, request, found.version)

    def classify(self, request: Any) -> Any:
        """Run a classification signature on ``tf.Example`` records."""
        with self.find(request) as found:
            response = classification_pb2.ClassificationResponse()
            name = classify(found.session, request, response.result)
            response.model_spec.name = found.name
            response.model_spec.signature_name = name
            response.model_spec.version.value = found.version
            return response

    def regress(self, request: Any) -> Any:
        """Refuse: no regression signature is served."""
        raise TFError(UNIMPLEMENTED, "Regress is not served here; use Predict")

    def multi_inference(self, request: Any) -> Any:
        """Refuse, as ``regress`` does."""
        raise TFError(UNIMPLEMENTED, "MultiInference is not served here; use Predict")

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
        with self.find(request) as found:
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
        """Serve what the request lists, and nothing else, within the model root."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise TFError(
                INVALID_ARGUMENT,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        configs = from_proto(request.config, self._root)
        self._manager.configure(configs, labels_ahead=self._labels_ahead)
        return model_management_pb2.ReloadConfigResponse()
