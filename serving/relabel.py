"""Gives a model server's labels to other versions, by TensorFlow Serving's own reload request.

The request replaces the server's whole configuration: by the model's entry in the file that both
servers are started with, ``configs/tfserving/models.config``, under other labels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import text_format

from relentless.configs.settings import HERE
from relentless.proto.errors import InvalidSettings, ModelRejected, ModelUnavailable
from relentless.serving.tf_client import channel_options
from relentless.serving.tf_protos import (
    model_management_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
)

CONFIG: Final = HERE / "tfserving" / "models.config"
TIMEOUT_S: Final = 10.0
"""The server answers once it has looked at its versions, and it may be loading one."""

_SILENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
}


def relabel(
    address: str,
    model: str,
    labels: Mapping[str, int],
    *,
    timeout_s: float = TIMEOUT_S,
    channel: grpc.Channel | None = None,
) -> None:
    """Have the server at "host:port" or "unix:path" give its labels to these versions.

    ``channel`` is one that is configured already (TLS), in place of ``address``'s own; it is closed
    here.

    Raises:
        ModelUnavailable: no answer in time; ask for the labels to see which hold.
        ModelRejected: the server refuses, and everything stays as it was.
    """
    entry = declared(CONFIG, model)
    entry.version_labels.clear()
    entry.version_labels.update(labels)
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.append(entry)
    with channel or grpc.insecure_channel(address, channel_options(address)) as opened:
        stub = model_service_pb2_grpc.ModelServiceStub(opened)
        try:
            answer = stub.HandleReloadConfigRequest(request, timeout=timeout_s)
        except grpc.RpcError as error:
            code, said = error.code(), str(error.details() or "")[:400]
            if code in _SILENT:
                raise ModelUnavailable(
                    f"the model server at {address} gave no answer ({code.name}): {said}"
                ) from error
            raise ModelRejected(f"{model}: {said}") from error
    if answer.status.error_code:  # TensorFlow Serving's place for it
        raise ModelRejected(f"{model}: {answer.status.error_message[:400]}")


def declared(path: Path, model: str) -> Any:
    """Give a model's entry in a config file; one that it lacks is served in all its versions.

    Raises:
        InvalidSettings: the file does not parse.
    """
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except (OSError, text_format.ParseError) as error:
        raise InvalidSettings(f"{path}: {error}") from error
    for entry in config.model_config_list.config:
        if entry.name == model:
            return entry
    entry = model_server_config_pb2.ModelConfig(name=model, base_path=f"/models/{model}")
    entry.model_platform = "tensorflow"
    entry.model_version_policy.all.SetInParent()
    return entry
