"""The model server as its users start it: a process of its own, by TensorFlow Serving's flags."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from relentless.serving.tf_protos import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

PATIENCE_S = 60.0
COMMAND = [sys.executable, "-m", "relentless.serving.model_server"]


class Server:
    """A started server, what it says, and stubs to it."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.address = f"localhost:{port}"
        self.log = log

    def wait_ready(self) -> dict[str, Any]:
        """Read the line that it prints once it serves; an empty one where it ended instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def says(self, words: str) -> bool:
        return words in self.log.read_text()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def started(folder: Path, *flags: str, ready: bool = True) -> Iterator[Server]:
    """Start a server with these flags and a free port; end it with the block."""
    port = free_port()
    log = folder / f"stderr-{port}"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*COMMAND, f"--port={port}", *flags],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    server = Server(process, port, log)
    try:
        if ready:
            assert server.wait_ready(), log.read_text()
        yield server
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()


def run_to_end(*flags: str) -> subprocess.CompletedProcess[str]:
    """Start a server that is not to stay up."""
    return subprocess.run([*COMMAND, *flags], capture_output=True, text=True, timeout=PATIENCE_S)


def wait_for(condition: Callable[[], bool], what: str = "it") -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError(f"{what} did not come")


def ask(
    address: str,
    model: str = "default",
    x: float = 2.0,
    signature: str = "",
    credentials: grpc.ChannelCredentials | None = None,
    **choice: Any,
) -> Any:
    """Send the Predict of TensorFlow Serving's own test: one number in, one out."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if "label" in choice:
        request.model_spec.version_label = choice["label"]
    if "version" in choice:
        request.model_spec.version.value = choice["version"]
    request.inputs["x"].dtype = 1
    request.inputs["x"].float_val.append(x)
    request.inputs["x"].tensor_shape.dim.add(size=1)
    with open_channel(address, credentials) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(request, timeout=20)


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    if credentials:
        return grpc.secure_channel(address, credentials)
    return grpc.insecure_channel(address)


def answer(address: str, model: str = "default", **choice: Any) -> tuple[float, int]:
    """Give the number and the version that answered."""
    response = ask(address, model, **choice)
    (value,) = response.outputs["y"].float_val
    return value, response.model_spec.version.value


def refusal(address: str, model: str = "default", **choice: Any) -> tuple[Any, str]:
    """Give the code and the words of a Predict that is refused."""
    try:
        ask(address, model, **choice)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("it was answered")


def status(address: str, model: str = "default") -> dict[int, tuple[int, int, str]]:
    """Give the state, the error's code and its words for every version."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    with grpc.insecure_channel(address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        listed = stub.GetModelStatus(request, timeout=20).model_version_status
    return {v.version: (v.state, v.status.error_code, v.status.error_message) for v in listed}


def reload(address: str, *entries: tuple[str, Path], **labels: int) -> Any:
    """Ask for these models, every version of each."""
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    for name, path in entries:
        entry = request.config.model_config_list.config.add(
            name=name, base_path=str(path), model_platform="tensorflow"
        )
        entry.model_version_policy.all.SetInParent()
        for label, number in labels.items():
            entry.version_labels[label] = number
    with grpc.insecure_channel(address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        return stub.HandleReloadConfigRequest(request, timeout=30)


def config_text(*entries: tuple[str, Path], policy: str = "", **labels: int) -> str:
    """Write a ``--model_config_file``."""
    configs = []
    for name, path in entries:
        named = " ".join(
            f'version_labels {{ key: "{label}" value: {number} }}'
            for label, number in labels.items()
        )
        configs.append(
            f'config: {{ name: "{name}", base_path: "{path}", model_platform: "tensorflow" '
            f"{f'model_version_policy {{ {policy} }}' if policy else ''} {named} }}"
        )
    return f"model_config_list: {{ {' '.join(configs)} }}"
