"""The embedded server answers what TensorFlow Serving answers, codes and words."""

import functools
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from relentless.serving.tensor_proto import RawTensor, pack, unpack
from relentless.serving.tf_protos import (
    predict_pb2,
    prediction_service_pb2_grpc,
    tensor_pb2,
)

from ..saved_models import MODEL, F

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture(scope="module")
def predictions(contract_channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(contract_channel)


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


def sets(path: str, value: Any) -> Callable[[Any], None]:
    """Give a change that sets a field by its dotted path."""
    *parents, name = path.split(".")

    def change(r: Any) -> None:
        setattr(functools.reduce(getattr, parents, r), name, value)

    return change


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
        (
            sets("model_spec.name", "other"),
            NOT_FOUND,
            "Servable not found for request: Latest(other)",
        ),
        (
            sets("model_spec.version.value", 9),
            NOT_FOUND,
            f"Servable not found for request: Specific({MODEL}, 9)",
        ),
        (
            sets("model_spec.version.value", 0),
            NOT_FOUND,
            f"Servable not found for request: Specific({MODEL}, 0)",
        ),
        (
            sets("model_spec.version_label", "beta"),
            INVALID,
            "Unrecognized servable version label: beta",
        ),
        (
            sets("model_spec.version_label", "next"),
            NOT_FOUND,
            f"Servable not found for request: Specific({MODEL}, 3)",
        ),
        (
            sets("model_spec.signature_name", "x"),
            PRECONDITION,
            'Serving signature key "x" not found.',
        ),
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
