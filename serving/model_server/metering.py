"""gRPC's requests, recorded. REST's are by ``rest/api.py``: there a body that is no JSON is one."""

import time
from collections.abc import Callable
from typing import Any

from relentless.serving.model_server.codes import INTERNAL
from relentless.serving.model_server.core import Core
from relentless.serving.model_server.metrics import Metrics
from relentless.serving.model_server.runtime.capi import TFError


class MeteredCore:
    """A core for gRPC: the inference methods are recorded, everything else is as it was."""

    def __init__(self, core: Core, metrics: Metrics) -> None:
        self._metrics = metrics
        self._predict, self._classify = core.predict, core.classify
        self._regress, self._multi_inference = core.regress, core.multi_inference
        self.metadata, self.status, self.reload = core.metadata, core.status, core.reload

    def predict(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run a signature on tensors."""
        return self._call(self._predict, "Predict", request.model_spec, request, timeout_s)

    def classify(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run a classification signature on ``tf.Example`` records."""
        return self._call(self._classify, "Classify", request.model_spec, request, timeout_s)

    def regress(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run a regression signature on ``tf.Example`` records."""
        return self._call(self._regress, "Regress", request.model_spec, request, timeout_s)

    def multi_inference(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run several signatures; the first task's model is the one that is recorded."""
        spec = request.tasks[0].model_spec if request.tasks else None
        return self._call(self._multi_inference, "MultiInference", spec, request, timeout_s)

    def _call(
        self, method: Callable[..., Any], api: str, spec: Any, request: Any, timeout_s: float | None
    ) -> Any:
        started, code = time.perf_counter(), 0
        try:
            return method(request, timeout_s)
        except Exception as error:
            code = error.code if isinstance(error, TFError) else INTERNAL
            raise
        finally:
            micros = (time.perf_counter() - started) * 1e6
            self._metrics.request(spec.name if spec else "", api, "GRPC", code, micros)
