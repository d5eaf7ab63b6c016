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

from relentless.serving.model_server.capi import TFError
from relentless.serving.model_server.prediction import predict
from relentless.serving.model_server.servable import Session
from relentless.serving.tf_protos import prediction_log_pb2

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000

FAILED_PRECONDITION, DATA_LOSS = 9, 15


def masked_crc(data: bytes) -> int:
    """Give the checksum that TFRecord files store: CRC-32C, rotated and offset."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    """Read a TFRecord file.

    Raises:
        TFError: DATA_LOSS for a truncated file or a checksum that does not hold.
    """
    data, at = path.read_bytes(), 0
    while at < len(data):
        try:
            length, check = struct.unpack_from("<QI", data, at)
            (body_check,) = struct.unpack_from("<I", data, at + 12 + length)
        except struct.error as error:
            raise TFError(DATA_LOSS, f"{path.name} is truncated at byte {at}") from error
        body = data[at + 12 : at + 12 + length]
        if masked_crc(data[at : at + 8]) != check or masked_crc(body) != body_check:
            raise TFError(DATA_LOSS, f"{path.name} is corrupted at byte {at}")
        yield body
        at += 16 + length


def admit(session: Session, folder: Path, version: int, required: Collection[str]) -> int:
    """Check and warm up a loaded version; give the number of warm-up requests that ran.

    Raises:
        TFError: why this version must not serve.
    """
    if missing := sorted(set(required) - set(session.signatures)):
        raise TFError(FAILED_PRECONDITION, f"signatures missing: {', '.join(missing)}")
    path, count = folder / WARMUP_FILE, 0
    if not path.exists():
        return 0
    for record in records(path):
        count += 1
        if count > MAX_RECORDS:
            raise TFError(FAILED_PRECONDITION, f"more than {MAX_RECORDS} warm-up requests")
        _replay(session, record, version)
    return count


def _replay(session: Session, record: bytes, version: int) -> None:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise TFError(DATA_LOSS, "a warm-up record is no PredictionLog") from error
    if log.WhichOneof("log_type") != "predict_log":
        return
    request = log.predict_log.request
    response = predict(session, request, version)
    for alias, tensor in response.outputs.items():
        _check_finite(alias, request.model_spec.signature_name, tensor)


def _check_finite(alias: str, signature: str, tensor: Any) -> None:
    values = np.array(tensor.float_val or tensor.double_val)
    if not np.isfinite(values).all():
        raise TFError(FAILED_PRECONDITION, f"warm-up of {signature}: output {alias} is not finite")
