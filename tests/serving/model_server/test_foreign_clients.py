"""Clients that others wrote, against the real process: OpenVINO's, for TensorFlow Serving's API."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest

from .by_flags import free_port, started
from .rest_server import MONITORING
from .upstream_models import half_plus

OVMS = """
import json, sys
import numpy
from ovmsclient import make_grpc_client, make_http_client
make, address = sys.argv[1:]
client = {"grpc": make_grpc_client, "http": make_http_client}[make](address)
def refused(inputs, version):
    try:
        client.predict(inputs, "default", version, timeout=20)
    except Exception as error:
        return [type(error).__name__, str(error)]
print(json.dumps({
    "predict": client.predict(
        {"x": numpy.array([[2.0], [4.0]], numpy.float32)}, "default", 123, timeout=20
    ).tolist(),
    "scalars": client.predict({"x": [6.0]}, "default", 123, timeout=20).tolist(),
    "status": client.get_model_status("default", 123, timeout=20)[123]["state"],
    "metadata": str(client.get_model_metadata("default", 123, timeout=20)),
    "input": refused({"y": [1.0]}, 123),
    "version": refused({"x": [1.0]}, 9),
}))
"""
"""In a process of its own: its protobuf modules carry the names of TensorFlow Serving's."""


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The gRPC and the REST port of a server as its users start it."""
    folder = tmp_path_factory.mktemp("foreign")
    half_plus(folder / "models" / "123", 2.0)
    monitoring = folder / "monitoring.config"
    monitoring.write_text(MONITORING)
    rest = free_port()
    with started(
        folder,
        f"--model_base_path={folder / 'models'}",
        f"--rest_api_port={rest}",
        f"--monitoring_config_file={monitoring}",
    ) as server:
        assert server.says(f"Exporting HTTP/REST API at:localhost:{rest} ...")
        yield server.port, rest


def call(url: str, body: Any = None) -> Any:
    """Ask as TensorFlow Serving's own test does."""
    data = json.dumps(body).encode() if body is not None else None
    with urlopen(Request(url, data), timeout=20) as answer:
        return answer.read()


def test_the_command_answers_rest_on_both_loopbacks(ports: tuple[int, int]) -> None:
    model = f"http://localhost:{ports[1]}/v1/models/default"
    assert json.loads(call(f"{model}:predict", {"instances": [2.0, 3.0, 4.0]})) == {
        "predictions": [3.0, 3.5, 4.0]
    }
    assert json.loads(call(f"{model}:predict", {"inputs": [2.0]})) == {"outputs": [3.0]}
    asked = {"signature_name": "classify_x_to_y", "examples": [{"x": 2.0}]}
    assert json.loads(call(f"{model}:classify", asked)) == {"results": [[["", 3.0]]]}
    asked["signature_name"] = "regress_x_to_y"
    assert json.loads(call(f"{model}:regress", asked)) == {"results": [3.0]}
    assert json.loads(call(model))["model_version_status"][0]["state"] == "AVAILABLE"
    page = call(f"http://127.0.0.1:{ports[1]}/monitoring/prometheus/metrics").decode()
    assert ':tensorflow:serving:request_count{model_name="default",status="OK"} 5' in page


@pytest.mark.skipif(
    not importlib.util.find_spec("ovmsclient"), reason="ovmsclient is not installed"
)
@pytest.mark.parametrize("way", ["grpc", "http"])
def test_openvinos_client_works(ports: tuple[int, int], way: str) -> None:
    address = f"localhost:{ports[way == 'http']}"
    ran = subprocess.run(
        [sys.executable, "-c", OVMS, way, address], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    got = json.loads(ran.stdout)
    assert (got["predict"], got["scalars"]) == ([[3.0], [4.0]], [5.0])
    assert got["status"] == "AVAILABLE"
    assert "DT_FLOAT" in got["metadata"]
    assert got["input"][0] == "InvalidInputError"
    assert got["version"][0] == "ModelNotFoundError"
    assert "Servable not found for request: Specific(default, 9)" in got["version"][1]
