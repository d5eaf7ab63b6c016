"""What lies within a request or a load, timed for ``metrics.py``: runs, loads, warm-ups."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relentless.serving.model_server.codes import DATA_LOSS
from relentless.serving.model_server.lifecycle.servable import Session
from relentless.serving.model_server.metrics import Metrics
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import RawTensor

NO_RECORDS = ". Please verify your warmup data is in TFRecord format."
"""What the error adds to the reader's words, which are the metric's label without it."""


class TimedSession:
    """A session for one request, whose run is recorded as the runtime's share of it."""

    def __init__(self, session: Session, metrics: Metrics, model: str, api: str) -> None:
        self.signatures = session.signatures
        self._session = session
        self._metrics = metrics
        self._model = model
        self._api = api

    def run(
        self,
        feeds: Mapping[str, RawTensor],
        fetches: Sequence[str],
        timeout_s: float | None = None,
    ) -> list[RawTensor]:
        """Feed tensors by graph name and fetch others; a run that fails is not recorded."""
        started = time.perf_counter()
        results = self._session.run(feeds, fetches, timeout_s)
        self._metrics.runtime(self._model, self._api, (time.perf_counter() - started) * 1e6)
        return results

    def close(self) -> None:
        """Close the session."""
        self._session.close()


def count_examples(given: Any) -> int:
    """Give the number of records of an ``Input``."""
    kind = given.WhichOneof("kind")
    return len(getattr(given, kind).examples) if kind else 0


@contextmanager
def timed_load(metrics: Metrics | None, folder: Path) -> Iterator[None]:
    """Record an attempt to load a SavedModel."""
    started, failed = time.perf_counter(), True
    try:
        yield
        failed = False
    finally:
        if metrics:
            metrics.load(str(folder), (time.perf_counter() - started) * 1e6, failed=failed)


@contextmanager
def timed_warmup(metrics: Metrics | None, folder: Path) -> Iterator[None]:
    """Record a version's warm-up, unless a request of it failed: as TensorFlow Serving does."""
    started, status = time.perf_counter(), ""
    try:
        yield
        status = "OK"
    except TFError as error:
        if error.code == DATA_LOSS:
            status = f"DATA_LOSS: {str(error).removesuffix(NO_RECORDS)}"
        raise
    finally:
        if metrics and status:
            metrics.warmup(str(folder), status, (time.perf_counter() - started) * 1e6)
