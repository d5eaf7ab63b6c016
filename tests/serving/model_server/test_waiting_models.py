"""Models that wait for something: requests end at their deadline, and the process ends too."""

import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.runtime.session import SavedModelSession
from relentless.serving.model_server.runtime.session_config import SessionConfig, is_small
from relentless.serving.tf_protos import predict_pb2, prediction_service_pb2_grpc

from .by_flags import PATIENCE_S, started, status, wait_for
from .upstream_models import waiting

UNLOADING = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return waiting(tmp_path / "models" / "1")


@pytest.mark.timeout(60)
def test_a_request_that_waits_for_another_ends_at_its_deadline(folder: Path) -> None:
    assert not is_small(folder)
    session = SavedModelSession(folder, SessionConfig().for_folder(folder))
    fetch = session.signatures["serving_default"].outputs["y"].name
    with pytest.raises(TFError) as late:
        session.run({}, [fetch], timeout_s=0.2)
    assert late.value.code == 4
    session.close()


@pytest.mark.timeout(120)
def test_a_request_that_never_ends_does_not_keep_the_process(folder: Path, tmp_path: Path) -> None:
    request: Any = predict_pb2.PredictRequest()
    request.model_spec.name = "default"
    with (
        started(tmp_path, f"--model_base_path={folder.parent}") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        inside = stub.Predict.future(request)
        with pytest.raises(grpc.RpcError, match="Deadline"):
            stub.Predict(request, timeout=0.5)  # By now the first is inside.
        folder.rename(tmp_path / "kept")
        wait_for(lambda: status(server.address)[1][0] == UNLOADING)
        assert inside.running()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S / 3) == 0
        assert server.says("ended with requests inside")
