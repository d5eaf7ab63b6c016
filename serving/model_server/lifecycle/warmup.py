"""What a version must pass before it is AVAILABLE: its warm-up requests, and the contract.

Warm-up is TensorFlow Serving's: ``assets.extra/tf_serving_warmup_requests`` holds at most a
thousand ``PredictionLog`` records, and one that fails, fails the load. Two checks are our own:
the signatures that the callers rely on exist, and no warm-up answer holds a NaN or an infinity.
"""

import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf.message import DecodeError

from relentless.serving.model_server.codes import (
    DATA_LOSS,
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    UNIMPLEMENTED,
)
from relentless.serving.model_server.inference.classification import classify
from relentless.serving.model_server.inference.multi_inference import multi_inference
from relentless.serving.model_server.inference.prediction import predict
from relentless.serving.model_server.inference.regression import regress
from relentless.serving.model_server.lifecycle.servable import Session
from relentless.serving.model_server.metrics import Metrics
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.timed import NO_RECORDS, TimedSession, count_examples
from relentless.serving.tf_protos import (
    classification_pb2,
    inference_pb2,
    prediction_log_pb2,
    regression_pb2,
)

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000
SHOWN_BYTES = 256
"""How much of a record that cannot be read is in its error."""

_HEADER, _FOOTER = struct.Struct("<QI"), struct.Struct("<I")
"""Before a record its length and that one's checksum, behind it its own."""


def masked_crc(data: bytes) -> int:
    """Give the checksum that TFRecord files store: CRC-32C, rotated and offset."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    """Read a TFRecord file; as TensorFlow does, end quietly where not even a header is left.

    Raises:
        TFError: DATA_LOSS for a truncated record or a checksum that does not hold.
    """
    data, at = path.read_bytes(), 0
    while len(data) - at >= _HEADER.size:
        length, check = _HEADER.unpack_from(data, at)
        if masked_crc(data[at : at + 8]) != check:
            raise _data_loss(f"corrupted record at {at} (Is this even a TFRecord file?)")
        begin = at + _HEADER.size
        end = begin + length
        if end + _FOOTER.size > len(data):
            raise _data_loss(
                f"truncated record at {at}' failed with Read less bytes than requested"
            )
        body = data[begin:end]
        if (masked_crc(body),) != _FOOTER.unpack_from(data, end):
            raise _data_loss(f"corrupted record at {begin}")
        yield body
        at = end + _FOOTER.size


def _data_loss(words: str) -> TFError:
    return TFError(DATA_LOSS, words + NO_RECORDS)


def admit(
    session: Session,
    folder: Path,
    version: int,
    required: Collection[str],
    *,
    iterations: int = 1,
    check: bool = False,
    finite: bool = True,
    metrics: Metrics | None = None,
) -> int:
    """Check and warm up a loaded version; give the number of warm-up requests that were read.

    Args:
        session: what runs the model.
        folder: the SavedModel.
        version: its number.
        required: signatures that must be there.
        iterations: how often each request runs; with 0 the file is not read.
        check: refuse signatures of another method.
        finite: refuse a version that answers a NaN or an infinity.
        metrics: where the runs are recorded, under the models that the records name.

    Raises:
        TFError: why this version must not serve.
    """
    if missing := sorted(set(required) - set(session.signatures)):
        raise TFError(FAILED_PRECONDITION, f"signatures missing: {', '.join(missing)}")
    path, count = folder / WARMUP_FILE, 0
    if iterations < 1 or not path.exists():
        return 0
    for record in records(path):
        count += 1
        if count > MAX_RECORDS:
            raise TFError(
                INVALID_ARGUMENT,
                f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}",
            )
        log = _parsed(record, path)
        for _ in range(iterations):
            for alias, tensor in _replay(session, log, version, check, metrics):
                if finite:
                    _check_finite(alias, log.predict_log.request.model_spec.signature_name, tensor)
    return count


def _parsed(record: bytes, path: Path) -> Any:
    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        shown = record[:SHOWN_BYTES].decode("utf-8", "replace")
        raise TFError(
            INVALID_ARGUMENT, f"Failed to parse warmup record: {shown} from {path}"
        ) from error


def _replay(
    session: Session, log: Any, version: int, check: bool, metrics: Metrics | None
) -> list[tuple[str, Any]]:
    """Run one record, and give the tensors that a Predict answered."""
    kind = log.WhichOneof("log_type")
    request: Any = getattr(log, kind).request if kind else None

    def timed(api: str) -> Session:
        return TimedSession(session, metrics, request.model_spec.name, api) if metrics else session

    if kind == "predict_log":
        response = predict(timed("Predict"), request, version, check=check)
        return list(response.outputs.items())
    if kind == "classify_log":
        result = classification_pb2.ClassificationResult()
        classify(timed("Classify"), request, result, check=check)
    elif kind == "regress_log":
        regress(timed("Regress"), request, regression_pb2.RegressionResult(), check=check)
    elif kind == "multi_inference_log":
        response = inference_pb2.MultiInferenceResponse()
        multi_inference(session, request, version, response, check=check)
        if metrics:
            metrics.examples(request.tasks[0].model_spec.name, count_examples(request.input))
    elif kind == "session_run_log":
        number = prediction_log_pb2.PredictionLog.SESSION_RUN_LOG_FIELD_NUMBER
        raise TFError(UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
    return []


def _check_finite(alias: str, signature: str, tensor: Any) -> None:
    values = np.array(tensor.float_val or tensor.double_val)
    if not np.isfinite(values).all():
        raise TFError(FAILED_PRECONDITION, f"warm-up of {signature}: output {alias} is not finite")
