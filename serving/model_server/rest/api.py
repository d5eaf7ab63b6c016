"""REST as TensorFlow Serving has it, without a socket: a verb, a path and a body in, an answer out.

Above: ``http.py``, which speaks HTTP. Below: ``core.py``, the same methods that gRPC calls,
and the pure modules that turn JSON into messages and back.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from relentless.serving.model_server.codes import FAILED_PRECONDITION, INTERNAL
from relentless.serving.model_server.core import Core
from relentless.serving.model_server.inference.examples import DEFAULT_SIGNATURE
from relentless.serving.model_server.metrics import Metrics
from relentless.serving.model_server.rest.json_answers import (
    classifications_json,
    error_json,
    metadata_json,
    predictions_json,
    regressions_json,
    status_json,
)
from relentless.serving.model_server.rest.json_examples import fill_examples
from relentless.serving.model_server.rest.json_tensor import fill_tensors, signature_name
from relentless.serving.model_server.rest.json_text import bad, parse
from relentless.serving.model_server.rest.paths import Target, target
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tf_protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

log = structlog.get_logger(__name__)

HTTP_STATUS = {
    0: 200, 1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409,
    11: 400, 12: 501, 13: 500, 14: 503, 15: 500, 16: 401,
}  # fmt: skip
"""The HTTP status of each status code."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"


def refusal(error: TFError) -> Answer:
    """Give the answer that an error is."""
    return Answer(HTTP_STATUS.get(error.code, 500), error_json(str(error)))


def _preflight(origin: str) -> Answer:
    if not re.search("https?://", origin):
        raise TFError(FAILED_PRECONDITION, "Origin header is missing in CORS preflight")
    return Answer(200, b"")


class RestApi:
    """The paths under ``/v1/``. Safe for concurrent use."""

    def __init__(self, core: Core, metrics: Metrics, timeout_s: float | None = None) -> None:
        self._core = core
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._methods: dict[str, Callable[[Target, bytes], bytes]] = {
            "predict": self._predict,
            "classify": self._classify,
            "regress": self._regress,
            "status": self._status,
            "metadata": self._metadata,
        }

    def answer(self, verb: str, path: str, body: bytes, origin: str = "") -> Answer:
        """Answer one request; errors become answers too.

        Args:
            verb: the HTTP method. OPTIONS is a preflight, whatever the path.
            path: as it was sent, with its query.
            body: unpacked.
            origin: the header of that name.
        """
        started, model, method, code = time.perf_counter(), "", "", 0
        try:
            if verb == "OPTIONS":
                return _preflight(origin)
            asked = target(verb, path)
            model, method = asked.model, asked.method if verb == "POST" else ""
            return Answer(200, self._methods[asked.method](asked, body))
        except TFError as error:
            code = error.code
            return refusal(error)
        except Exception as error:
            code = INTERNAL
            log.exception("request failed", method=method)
            return refusal(TFError(code, f"{type(error).__name__} in the model server"))
        finally:
            micros = (time.perf_counter() - started) * 1e6
            self._metrics.request(model, method, "REST", code, micros)

    def _predict(self, asked: Target, body: bytes) -> bytes:
        request = predict_pb2.PredictRequest()
        asked.name_in(request.model_spec)
        document = parse(body)
        name = request.model_spec.signature_name = signature_name(document)
        name = name or DEFAULT_SIGNATURE
        with self._core.find(request.model_spec) as found:
            signature = found.session.signatures.get(name)
        if signature is None:
            raise bad(f'Serving signature name: "{name}" not found in signature def')
        spelt = fill_tensors(document, dict(signature.inputs), request)
        del document
        return predictions_json(self._core.predict(request, self._timeout_s).outputs, spelt)

    def _classify(self, asked: Target, body: bytes) -> bytes:
        request = self._examples(classification_pb2.ClassificationRequest(), asked, body)
        return classifications_json(self._core.classify(request, self._timeout_s).result)

    def _regress(self, asked: Target, body: bytes) -> bytes:
        request = self._examples(regression_pb2.RegressionRequest(), asked, body)
        return regressions_json(self._core.regress(request, self._timeout_s).result)

    def _examples(self, request: Any, asked: Target, body: bytes) -> Any:
        asked.name_in(request.model_spec)
        document = parse(body)
        request.model_spec.signature_name = signature_name(document)
        fill_examples(document, request)
        return request

    def _status(self, asked: Target, body: bytes) -> bytes:
        request = get_model_status_pb2.GetModelStatusRequest()
        asked.name_in(request.model_spec)
        return status_json(self._core.status(request))

    def _metadata(self, asked: Target, body: bytes) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        asked.name_in(request.model_spec)
        return metadata_json(self._core.metadata(request))
