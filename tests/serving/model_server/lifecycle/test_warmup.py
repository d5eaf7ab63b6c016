"""Warm-up requests of every kind run before a version serves, and one that fails, fails it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relentless.serving.model_server.codes import DATA_LOSS
from relentless.serving.model_server.lifecycle.loading import Loading
from relentless.serving.model_server.lifecycle.warmup import MAX_RECORDS, WARMUP_FILE
from relentless.serving.model_server.runtime import session as sessions
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import RawTensor, pack
from relentless.serving.tf_protos import prediction_log_pb2

from ...saved_models import write_records
from ..upstream_models import CLASSIFY, REGRESS, half_plus


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return half_plus(tmp_path / "m" / "1", 2.0)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of records of each run of a session."""
    seen: list[int] = []
    run = sessions.SavedModelSession.run

    def counted(self: Any, feeds: Any, fetches: Any, timeout_s: Any = None) -> Any:
        seen.append(len(next(iter(feeds.values())).data))
        return run(self, feeds, fetches, timeout_s)

    monkeypatch.setattr(sessions.SavedModelSession, "run", counted)
    return seen


def to_predict(x: float, signature: str = "") -> Any:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    request.inputs["x"].CopyFrom(pack(RawTensor.of(np.array([x], np.float32))))
    return log


def by_examples(kind: str, signature: str) -> Any:
    log = prediction_log_pb2.PredictionLog()
    request = getattr(log, kind).request
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    record = request.input.example_list.examples.add()
    record.features.feature["x"].float_list.value.append(1.0)
    return log


def to_infer_twice() -> Any:
    log = prediction_log_pb2.PredictionLog()
    request = log.multi_inference_log.request
    for signature, method in (("classify_x_to_y", CLASSIFY), ("regress_x_to_y", REGRESS)):
        task = request.tasks.add(method_name=method)
        task.model_spec.name = "m"
        task.model_spec.signature_name = signature
    request.input.example_list.examples.add().features.feature["x"].float_list.value.append(1.0)
    return log


def every_kind() -> list[Any]:
    return [
        to_predict(1.0),
        by_examples("classify_log", "classify_x_to_y"),
        by_examples("regress_log", "regress_x_to_y"),
        to_infer_twice(),
        prediction_log_pb2.PredictionLog(),
    ]


@pytest.mark.parametrize(("iterations", "times"), [(1, 4), (3, 12)])
def test_every_kind_of_request_runs_as_often_as_was_asked_for(
    folder: Path, runs: list[int], iterations: int, times: int
) -> None:
    write_records(folder, every_kind())
    Loading(iterations=iterations).load("m", 1, folder).close()
    assert len(runs) == times


def test_without_warm_up_nothing_runs(folder: Path, runs: list[int]) -> None:
    write_records(folder, [to_predict(1.0, "missing")])
    Loading(warm_up=False).load("m", 1, folder).close()
    assert runs == []


def session_run() -> Any:
    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.SetInParent()
    return log


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda: [to_predict(1.0, "missing")], 9, 'Serving signature key "missing" not found.'),
        (lambda: [by_examples("classify_log", "missing")], 3, "No signature was found"),
        (lambda: [by_examples("regress_log", "serving_default")], 3, "No regression inputs"),
        (lambda: [session_run()], 12, "Unsupported log_type for warmup: 5"),
        (
            lambda: [prediction_log_pb2.PredictionLog()] * (MAX_RECORDS + 1),
            3,
            "Number of warmup records exceeds the maximum",
        ),
    ],
)
def test_a_request_that_fails_fails_the_load(
    folder: Path, make: Callable[[], list[Any]], code: int, words: str
) -> None:
    write_records(folder, make())
    with pytest.raises(TFError, match=words) as refused:
        Loading().load("m", 1, folder)
    assert refused.value.code == code


BAD_FORMAT = "Please verify your warmup data is in TFRecord format."


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda good: bytes(12), rf"corrupted record at 0 \(Is this .*\?\)\. {BAD_FORMAT}"),
        (lambda good: good[:-5], f"truncated record at 0' failed with .*{BAD_FORMAT}"),
        (lambda good: good[:12] + b"?" + good[13:], rf"corrupted record at 12\. {BAD_FORMAT}"),
    ],
)
def test_a_file_in_another_format_fails_the_load(
    folder: Path, spoil: Callable[[bytes], bytes], words: str
) -> None:
    write_records(folder, [to_predict(1.0)])
    path = folder / WARMUP_FILE
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(TFError, match=words) as refused:
        Loading().load("m", 1, folder)
    assert refused.value.code == DATA_LOSS


def test_what_is_too_short_for_a_record_is_passed_over(folder: Path, runs: list[int]) -> None:
    write_records(folder, [to_predict(1.0)])
    with (folder / WARMUP_FILE).open("ab") as file:
        file.write(b"too short")
    Loading().load("m", 1, folder).close()
    assert len(runs) == 1


def test_a_record_that_is_no_request_fails_the_load(folder: Path) -> None:
    write_records(folder, [Record(b"malformed_record")])
    with pytest.raises(TFError, match="Failed to parse warmup record: malformed_record from "):
        Loading().load("m", 1, folder)


class Record(bytes):
    """Bytes in the place of a message."""

    def SerializeToString(self) -> bytes:
        return self


def test_only_our_own_models_must_answer_numbers(folder: Path) -> None:
    write_records(folder, [to_predict(float("nan"))])
    Loading().load("m", 1, folder).close()
    with pytest.raises(TFError, match="is not finite"):
        Loading(required=("serving_default",)).load("m", 1, folder)
