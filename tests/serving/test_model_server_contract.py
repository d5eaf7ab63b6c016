"""The embedded server answers what TensorFlow Serving answers, codes and words."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.main import ModelServer, serve
from relentless.serving.model_server.versions import Policy
from relentless.serving.tensor_proto import RawTensor, pack, unpack
from relentless.serving.tf_protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
    tensor_pb2,
)

from .saved_models import MODEL, F, random_weights, write_version

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED

WEIGHTS = {1: random_weights(1), 2: random_weights(2)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    root = tmp_path_factory.mktemp("models")
    for number, weights in WEIGHTS.items():
        write_version(root / MODEL, number, weights)
    config = ModelConfig(MODEL, root / MODEL, Policy("all"), {"stable": 1, "canary": 2, "next": 3})
    running = serve("127.0.0.1:0", (config,), root)
    yield running
    running.stop(0.1)


@pytest.fixture(scope="module")
def channel(server: ModelServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def predictions(channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel: grpc.Channel) -> Any:
    return model_service_pb2_grpc.ModelServiceStub(channel)


def features(rows: int = 2, width: int = F, dtype: Any = np.float32) -> Any:
    return pack(RawTensor.of(np.ones((rows, width), dtype)))


def request(signature: str = "classify", **inputs: Any) -> Any:
    made = predict_pb2.PredictRequest()
    made.model_spec.name = MODEL
    made.model_spec.signature_name = signature
    for alias, tensor in (inputs or {"inputs": features()}).items():
        made.inputs[alias].CopyFrom(tensor)
    return made


def without_spec(r: Any) -> None:
    r.ClearField("model_spec")


def without_name(r: Any) -> None:
    r.model_spec.ClearField("name")
    r.model_spec.signature_name = "x"


def other_model(r: Any) -> None:
    r.model_spec.name = "other"


def other_version(r: Any) -> None:
    r.model_spec.version.value = 9


def version_zero(r: Any) -> None:
    r.model_spec.version.value = 0


def unknown_label(r: Any) -> None:
    r.model_spec.version_label = "beta"


def label_ahead(r: Any) -> None:
    r.model_spec.version_label = "next"


def no_signature(r: Any) -> None:
    r.model_spec.signature_name = "x"


def no_inputs(r: Any) -> None:
    r.inputs.clear()


def extra_input(r: Any) -> None:
    r.inputs["more"].CopyFrom(features())


def wrong_alias(r: Any) -> None:
    r.inputs.clear()
    r.inputs["wrong"].CopyFrom(features())


def damaged_tensor(r: Any) -> None:
    r.inputs["inputs"].tensor_content = b"123"


def unheard_of_type(r: Any) -> None:
    r.inputs["inputs"].dtype = 21


def endless_shape(r: Any) -> None:
    r.inputs["inputs"].tensor_shape.dim[0].size = 1 << 60


def unknown_output(r: Any) -> None:
    r.output_filter.append("y")


def output_twice(r: Any) -> None:
    r.output_filter.extend(["scores", "scores"])


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (without_spec, INVALID, "Missing ModelSpec"),
        (without_name, INVALID, "ModelSpec has no name specified."),
        (other_model, NOT_FOUND, "Servable not found for request: Latest(other)"),
        (other_version, NOT_FOUND, f"Servable not found for request: Specific({MODEL}, 9)"),
        (version_zero, NOT_FOUND, f"Servable not found for request: Specific({MODEL}, 0)"),
        (unknown_label, INVALID, "Unrecognized servable version label: beta"),
        (label_ahead, NOT_FOUND, f"Servable not found for request: Specific({MODEL}, 3)"),
        (no_signature, PRECONDITION, 'Serving signature key "x" not found.'),
        (
            no_inputs,
            INVALID,
            "input size does not match signature: 0!=1 len({}) != len({inputs}). "
            "Sent extra: {}. Missing but required: {inputs}.",
        ),
        (
            extra_input,
            INVALID,
            "input size does not match signature: 2!=1 len({inputs,more}) != len({inputs}). "
            "Sent extra: {more}. Missing but required: {}.",
        ),
        (
            wrong_alias,
            INVALID,
            "Signature input alias: inputs(feed name: inputs:0) not found in request and no "
            "default value provided. Inputs expected to be in the request {wrong}, or default "
            "input alias set: ",
        ),
        (damaged_tensor, INVALID, "tensor parsing error: inputs"),
        (unheard_of_type, INVALID, "tensor parsing error: inputs"),
        (endless_shape, INVALID, "tensor parsing error: inputs"),
        (
            unknown_output,
            INVALID,
            "output tensor alias not found in signature: y Outputs expected to be in the set "
            "{classes,scores}.",
        ),
        (output_twice, INVALID, "duplicate output tensor alias: scores"),
    ],
)
def test_a_bad_predict_is_refused_in_tf_servings_words(
    predictions: Any, spoil: Callable[[Any], None], code: grpc.StatusCode, words: str
) -> None:
    made = request()
    spoil(made)
    with pytest.raises(grpc.RpcError) as refused:
        predictions.Predict(made, timeout=20)
    assert (refused.value.code(), refused.value.details()) == (code, words)


@pytest.mark.parametrize(("width", "dtype"), [(F - 1, "<f4"), (F, "<f8"), (F, "<i8")])
def test_a_wrong_shape_or_type_is_the_sessions_to_refuse(
    predictions: Any, width: int, dtype: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        predictions.Predict(request(inputs=features(2, width, dtype)), timeout=20)
    assert refused.value.code() is INVALID


def test_a_long_message_is_cut_where_tf_serving_cuts_it(predictions: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        predictions.Predict(request("x" * 3000), timeout=20)
    details = refused.value.details()
    assert len(details) == 1024 + len("...TRUNCATED")
    assert details.endswith("xxx...TRUNCATED")


@pytest.mark.parametrize(
    ("asked", "answered"), [({}, 2), ({"label": "stable"}, 1), ({"version": 1}, 1)]
)
def test_the_version_is_the_one_asked_for_or_the_highest(
    predictions: Any, asked: dict[str, Any], answered: int
) -> None:
    made = request()
    if "label" in asked:
        made.model_spec.version_label = asked["label"]
    if "version" in asked:
        made.model_spec.version.value = asked["version"]
    spec = predictions.Predict(made, timeout=20).model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == (MODEL, "classify", answered)


def test_an_empty_signature_name_means_serving_default(predictions: Any) -> None:
    context = pack(RawTensor.of(np.zeros((1, 64), np.float32)))
    made = request("", features=features(3), context=context)
    response = predictions.Predict(made, timeout=20)
    assert response.model_spec.signature_name == "serving_default"
    assert set(response.outputs) == {"p_up", "expected_return", "volatility_ratio", "risk"}
    assert [d.size for d in response.outputs["risk"].tensor_shape.dim] == [3]


def test_answers_come_in_typed_fields_and_as_filtered(predictions: Any) -> None:
    made = request()
    made.output_filter.append("scores")
    outputs = predictions.Predict(made, timeout=20).outputs
    assert set(outputs) == {"scores"}
    assert len(outputs["scores"].float_val) == 4
    assert not outputs["scores"].tensor_content


def test_both_encodings_of_a_tensor_mean_the_same(predictions: Any) -> None:
    array = np.random.default_rng(3).normal(size=(2, F)).astype(np.float32)
    content = tensor_pb2.TensorProto(dtype=1, tensor_content=array.tobytes())
    for size in array.shape:
        content.tensor_shape.dim.add(size=size)
    one, two = (
        predictions.Predict(request(inputs=tensor), timeout=20).outputs["scores"]
        for tensor in (content, pack(RawTensor.of(array)))
    )
    assert one == two


def test_strings_come_back_as_strings(predictions: Any) -> None:
    classes = predictions.Predict(request(), timeout=20).outputs["classes"]
    assert unpack(classes).array().tolist() == [[b"down", b"up"]]


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_any_number_of_rows_is_served(predictions: Any, rows: int) -> None:
    outputs = predictions.Predict(request(inputs=features(rows)), timeout=20).outputs
    assert unpack(outputs["scores"]).shape == (rows, 2)


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
        entry = made.config.model_config_list.config.add(name=name, base_path=path)
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
        ([(MODEL, "/etc")], {}, INVALID, f"Model {MODEL} lies outside the model root"),
        ([(MODEL, "/models/../../etc")], {}, INVALID, f"Model {MODEL} lies outside the model root"),
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
    server: ModelServer,
    entries: list[tuple[str, str]],
    labels: dict[str, int],
    code: grpc.StatusCode,
    words: str,
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        reload(models, *entries, labels=labels)
    assert (refused.value.code(), refused.value.details()) == (code, words)
    assert server.manager.available(MODEL) == [1, 2]


def test_a_reload_of_no_list_is_refused(models: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=20)
    assert refused.value.code() is INVALID
    assert "Only ModelConfigList is currently supported" in refused.value.details()


def test_a_reload_moves_labels(models: Any, predictions: Any, tmp_path: Path) -> None:
    reload(models, (MODEL, f"/models/{MODEL}"), labels={"stable": 2, "canary": 1})
    made = request()
    made.model_spec.version_label = "stable"
    assert predictions.Predict(made, timeout=20).model_spec.version.value == 2
    reload(models, (MODEL, f"/models/{MODEL}"), labels={"stable": 1, "canary": 2})
    assert predictions.Predict(made, timeout=20).model_spec.version.value == 1


def test_what_is_not_served_says_so(predictions: Any) -> None:
    for call, made in (
        (predictions.Regress, regression_pb2.RegressionRequest()),
        (predictions.MultiInference, inference_pb2.MultiInferenceRequest()),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call(made, timeout=20)
        assert refused.value.code() is UNIMPLEMENTED


@pytest.mark.parametrize(
    ("signature", "examples", "code", "words"),
    [
        ("x", 1, INVALID, "No signature was found with the name: x"),
        ("classify", 0, INVALID, "Input is empty"),
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
