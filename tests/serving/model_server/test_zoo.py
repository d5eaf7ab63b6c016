"""Models that TensorFlow and Keras wrote, served: the answers are those of TensorFlow's session."""

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from relentless.serving.tensor_proto import DTYPES, RawTensor, unpack
from relentless.serving.tf_protos import predict_pb2, prediction_service_pb2_grpc, tensor_pb2

from .by_flags import config_text, free_port, started

DECIMAL = (1, 2, 19)
NO_JSON = set(DTYPES) - {1, 2, 3, 4, 5, 6, 9, 10, 22, 23}


def tensor(text: str) -> Any:
    return tensor_pb2.TensorProto.FromString(base64.b64decode(text))


def differs(wanted: RawTensor, found: RawTensor) -> bool:
    if wanted.dtype in DECIMAL and wanted.shape == found.shape:
        return not np.allclose(wanted.array(), found.array(), 1e-6, 1e-6, equal_nan=True)
    return wanted != found


def by_grpc(stub: Any, model: str, signature: str, inputs: dict[str, str], wanted: Any) -> str:
    """Ask one question; give what is wrong with the answer."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for alias, text in inputs.items():
        request.inputs[alias].CopyFrom(tensor(text))
    try:
        outputs = stub.Predict(request, timeout=60).outputs
    except grpc.RpcError as error:
        return "" if error.code().value[0] == wanted else f"{error.code()} {error.details()}"
    if isinstance(wanted, int) or outputs.keys() != wanted.keys():
        return f"answered {sorted(outputs)}"
    wrong = [a for a in outputs if differs(unpack(tensor(wanted[a])), unpack(outputs[a]))]
    return f"other values in {wrong}" if wrong else ""


def as_json(found: RawTensor) -> Any:
    if isinstance(found.data, bytes):
        return found.array().tolist()
    items = [{"b64": base64.b64encode(item).decode()} for item in found.data]
    return items if found.shape else items[0]


def by_rest(port: int, model: str, signature: str, inputs: dict[str, str], wanted: Any) -> str:
    """Ask the same over REST, where every tensor has a form in JSON."""
    sent = {alias: unpack(tensor(text)) for alias, text in inputs.items()}
    answers = {} if isinstance(wanted, int) else {a: unpack(tensor(t)) for a, t in wanted.items()}
    if not sent or any(t.dtype in NO_JSON for t in (*sent.values(), *answers.values())):
        return ""
    body = {"signature_name": signature, "inputs": {a: as_json(t) for a, t in sent.items()}}
    url = f"http://localhost:{port}/v1/models/{model}:predict"
    reply = httpx.post(url, json=body, timeout=60)
    if not answers or reply.status_code != 200:
        return "" if not answers and reply.status_code == 400 else reply.text
    outputs = reply.json()["outputs"]
    outputs = outputs if len(answers) > 1 else {next(iter(answers)): outputs}
    for alias, answer in answers.items():
        if isinstance(answer.data, bytes):
            found = np.array(outputs[alias]).astype(DTYPES[answer.dtype])
            if differs(answer, RawTensor(answer.dtype, found.shape, found.tobytes())):
                return f"other values in {alias}"
        elif alias.endswith("_bytes") and as_json(answer) != outputs[alias]:
            return f"other bytes in {alias}"
    return ""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, soak: bool) -> Path:
    if not soak:
        pytest.skip("imports TensorFlow; runs in the soak")
    root = tmp_path_factory.mktemp("zoo")
    maker = Path(__file__).with_name("zoo.py")
    subprocess.run([sys.executable, maker, root], check=True, timeout=300)
    return root


@pytest.mark.timeout(400)
@pytest.mark.parametrize("threads", [0, 2])
def test_every_model_answers_as_in_tensorflow(zoo: Path, tmp_path: Path, threads: int) -> None:
    names = sorted(path.stem for path in zoo.glob("*.json"))
    config = tmp_path / "models.config"
    config.write_text(config_text(*[(name, zoo / "models" / name) for name in names]))
    port = free_port()
    pools = f"--tensorflow_session_parallelism={threads}"
    flags = (f"--model_config_file={config}", f"--rest_api_port={port}", pools)
    with started(tmp_path, *flags) as server, grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def ask_all(_: int) -> list[str]:
            return [
                f"{name} {signature}: {wrong}"
                for name in names
                for signature, inputs, wanted in json.loads((zoo / f"{name}.json").read_text())
                for wrong in (
                    by_grpc(stub, name, signature, inputs, wanted),
                    by_rest(port, name, signature, inputs, wanted),
                )
                if wrong
            ]

        assert ask_all(0) == []
        with ThreadPoolExecutor(16) as callers:
            assert [wrong for all_ in callers.map(ask_all, range(16)) for wrong in all_] == []
