"""PredictionService and ModelService over gRPC; ``profiler.py`` is the third service.

Each method is thin: ``core.py`` answers, and a ``TFError`` becomes the status of the same number.
"""

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
import structlog

from relentless.serving.model_server.core import Core
from relentless.serving.model_server.metering import MeteredCore
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tf_protos import model_service_pb2_grpc, prediction_service_pb2_grpc

log = structlog.get_logger(__name__)

MAX_MESSAGE = 1024

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def clipped(message: str) -> str:
    """Cut a message where TensorFlow Serving cuts it."""
    return message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "...TRUNCATED"


def run(method: Callable[..., Any], request: Any, context: grpc.ServicerContext) -> Any:
    """Call a method within the caller's time; not at all where nobody waits any more."""
    left = context.time_remaining()
    if not context.is_active() or (left is not None and left <= 0):
        _abort(context, grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline exceeded before the run")
    return answer(functools.partial(method, timeout_s=left), request, context)


def answer(method: Callable[[Any], Any], request: Any, context: grpc.ServicerContext) -> Any:
    """Call a method and abort with the status of the error that it raises."""
    try:
        return method(request)
    except TFError as error:
        _abort(context, _CODES.get(error.code, grpc.StatusCode.UNKNOWN), str(error))
    except Exception as error:
        log.exception("request failed", method=repr(method))
        _abort(context, grpc.StatusCode.INTERNAL, f"{type(error).__name__} in the model server")


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
    context.abort(code, clipped(message))
    raise AssertionError("abort returned")


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Inference, and what can be known of a model beforehand."""

    def __init__(self, core: Core | MeteredCore) -> None:
        self._core = core

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run a signature on tensors."""
        return run(self._core.predict, request, context)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run a classification signature on ``tf.Example`` records."""
        return run(self._core.classify, request, context)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run a regression signature on ``tf.Example`` records."""
        return run(self._core.regress, request, context)

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run several signatures of one model on the same records."""
        return run(self._core.multi_inference, request, context)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Give a version's signatures."""
        return answer(self._core.metadata, request, context)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """The state of versions, and reloading the configuration."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Give the state of one version, or of all that are known."""
        return answer(self._core.status, request, context)

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Serve what the request lists, and nothing else."""
        return answer(self._core.reload, request, context)
