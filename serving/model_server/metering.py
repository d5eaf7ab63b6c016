"""gRPC's requests, recorded. REST's are by ``rest/api.py``: there a body that is no JSON is one."""

import time
from collections.abc import Callable
from typing import Any

from relentless.serving.model_server.codes import INTERNAL
from relentless.serving.model_server.core import Core
from relentless.serving.model_server.metrics import Metrics
from relentless.serving.model_server.runtime.capi import TFError


class MeteredCore:
    """A core for gRPC: Predict, Classify and Regress are recorded, as in TensorFlow Serving."""

    def __init__(self, core: Core, metrics: Metrics) -> None:
        self._metrics = metrics
        self._predict, self._classify, self._regress = core.predict, core.classify, core.regress
        self.multi_inference = core.multi_inference
        self.metadata, self.status, self.reload = core.metadata, core.status, core.reload

    def predict(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run a signature on tensors."""
        return self._call(self._predict, "Predict", request, timeout_s)

    def classify(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run a classification signature on ``tf.Example`` records."""
        return self._call(self._classify, "Classify", request, timeout_s)

    def regress(self, request: Any, timeout_s: float | None = None) -> Any:
        """Run a regression signature on ``tf.Example`` records."""
        return self._call(self._regress, "Regress", request, timeout_s)

    def _call(
        self, method: Callable[..., Any], api: str, request: Any, timeout_s: float | None
    ) -> Any:
        started, code = time.perf_counter(), 0
        try:
            return method(request, timeout_s)
        except Exception as error:
            code = error.code if isinstance(error, TFError) else INTERNAL
            raise
        finally:
            micros = (time.perf_counter() - started) * 1e6
            self._metrics.request(request.model_spec.name, api, "GRPC", code, micros)
