"""The server's other services, in TF Serving's words: metadata, status, reload, Classify."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from relentless.serving.model_server.main import ModelServer
from relentless.serving.tf_protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from ..conftest import contract_server_in
from ..saved_models import MODEL

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """A server of this module's own, because reloads change what it serves."""
    running = contract_server_in(tmp_path_factory.mktemp("models"))
    yield running
    running.stop(0.1)


@pytest.fixture(scope="module")
def own_channel(own_server: ModelServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(own_server.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def predictions(own_channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(own_channel)


@pytest.fixture(scope="module")
def models(own_channel: grpc.Channel) -> Any:
    return model_service_pb2_grpc.ModelServiceStub(own_channel)


OUTSIDE = (
    f"Model {MODEL} lies outside the model root; a server that is to serve it is started with "
    "another --model_root"
)


def test_metadata_gives_the_signatures_and_the_version(predictions: Any) -> None:
    made = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    made.model_spec.name = MODEL
    made.model_spec.version_label = "canary"
    response = predictions.GetModelMetadata(made, timeout=20)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert response.model_spec.version.value == 2
    assert {"classify", "encode_context", "fold_context", "predict_folded", "serving_default"} == {
        *signatures.signature_def
    }
    assert signatures.signature_def["predict_folded"].inputs["bias"].dtype == 1


@pytest.mark.parametrize(
    ("fields", "name", "code", "words"),
    [
        (["signature_def"], None, INVALID, "Missing ModelSpec"),
        (
            [],
            MODEL,
            INVALID,
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (["other"], MODEL, INVALID, "Metadata field other is not supported"),
        (["signature_def"], "m", NOT_FOUND, "Servable not found for request: Latest(m)"),
    ],
)
def test_bad_metadata_requests(
    predictions: Any, fields: list[str], name: str | None, code: grpc.StatusCode, words: str
) -> None:
    made = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    if name:
        made.model_spec.name = name
    with pytest.raises(grpc.RpcError) as refused:
        predictions.GetModelMetadata(made, timeout=20)
    assert (refused.value.code(), refused.value.details()) == (code, words)


def test_status_lists_the_newest_version_first(models: Any) -> None:
    made = get_model_status_pb2.GetModelStatusRequest()
    made.model_spec.name = MODEL
    listed = models.GetModelStatus(made, timeout=20).model_version_status
    assert [(entry.version, entry.state) for entry in listed] == [(2, 30), (1, 30)]
    assert all(entry.status.error_code == 0 for entry in listed)


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("m", None, "Could not find any versions of model m"),
        (MODEL, 7, f"Could not find version 7 of model {MODEL}"),
    ],
)
def test_status_of_the_unknown(models: Any, name: str, version: int | None, words: str) -> None:
    made = get_model_status_pb2.GetModelStatusRequest()
    made.model_spec.name = name
    if version is not None:
        made.model_spec.version.value = version
    with pytest.raises(grpc.RpcError) as refused:
        models.GetModelStatus(made, timeout=20)
    assert (refused.value.code(), refused.value.details()) == (NOT_FOUND, words)


def reload(models: Any, *entries: tuple[str, str], labels: dict[str, int] | None = None) -> Any:
    made = model_management_pb2.ReloadConfigRequest()
    made.config.model_config_list.SetInParent()
    for name, path in entries:
        entry = made.config.model_config_list.config.add(
            name=name, base_path=path, model_platform="tensorflow"
        )
        entry.model_version_policy.all.SetInParent()
        for label, number in (labels or {}).items():
            entry.version_labels[label] = number
    return models.HandleReloadConfigRequest(made, timeout=20)


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    ("entries", "labels", "code", "words"),
    [
        (
            [(MODEL, "/models/m"), (MODEL, "/models/m")],
            {},
            INVALID,
            f"Illegal to list model {MODEL} multiple times in config list",
        ),
        (
            [(MODEL, "models")],
            {},
            INVALID,
            f"Expected model {MODEL} to have an absolute path or URI; got base_path()=models",
        ),
        ([(MODEL, "/etc")], {}, INVALID, OUTSIDE),
        ([(MODEL, "/models/../../etc")], {}, INVALID, OUTSIDE),
        (
            [(MODEL, f"/models/{MODEL}")],
            {"stable": 3},
            PRECONDITION,
            f"Request to assign label to version 3 of model {MODEL}, which is not currently "
            "available for inference",
        ),
    ],
)
def test_a_bad_reload_changes_nothing(
    models: Any,
    own_server: ModelServer,
    entries: list[tuple[str, str]],
    labels: dict[str, int],
    code: grpc.StatusCode,
    words: str,
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        reload(models, *entries, labels=labels)
    assert (refused.value.code(), refused.value.details()) == (code, words)
    assert own_server.manager.available(MODEL) == [1, 2]


def test_a_reload_of_no_list_is_refused(models: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=20)
    assert refused.value.code() is INVALID
    assert "Only ModelConfigList is currently supported" in refused.value.details()


def test_a_reload_moves_labels(models: Any, predictions: Any) -> None:
    made = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    made.model_spec.name = MODEL
    made.model_spec.version_label = "stable"
    reload(models, (MODEL, f"/models/{MODEL}"), labels={"stable": 2, "canary": 1})
    assert predictions.GetModelMetadata(made, timeout=20).model_spec.version.value == 2
    reload(models, (MODEL, f"/models/{MODEL}"), labels={"stable": 1, "canary": 2})
    assert predictions.GetModelMetadata(made, timeout=20).model_spec.version.value == 1


@pytest.mark.parametrize(
    ("signature", "examples", "code", "words"),
    [
        ("x", 1, INVALID, "No signature was found with the name: x"),
        ("classify", 0, INVALID, "Input is empty."),
        ("serving_default", 1, INVALID, "Expected one input Tensor."),
        ("classify", 1, INVALID, "string"),
    ],
)
def test_classify_takes_examples(
    predictions: Any, signature: str, examples: int, code: grpc.StatusCode, words: str
) -> None:
    made = classification_pb2.ClassificationRequest()
    made.model_spec.name = MODEL
    made.model_spec.signature_name = signature
    for _ in range(examples):
        made.input.example_list.examples.add()
    with pytest.raises(grpc.RpcError) as refused:
        predictions.Classify(made, timeout=20)
    assert refused.value.code() is code
    assert words in refused.value.details()
