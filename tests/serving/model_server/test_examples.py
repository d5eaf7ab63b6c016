"""Classify, Regress and MultiInference over ``tf.Example`` records, in TF Serving's words."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from relentless.serving.model_server.config import ModelConfig, under
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.server import Models, ModelServer, start
from relentless.serving.tensor_proto import RawTensor, pack, unpack
from relentless.serving.tf_protos import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from ..saved_models import FLOAT, STRING, Graph
from .upstream_models import CLASSIFY, PREDICT, REGRESS, counter, half_plus, line, parse_float

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
INTERNAL = grpc.StatusCode.INTERNAL


def odd_shapes(folder: Path) -> Path:
    """Signatures that answer other than their method wants, and bytes that come back."""
    g = Graph()
    records = g.node("Placeholder", name="tf_example", dtype=STRING, shape=None)
    x = parse_float(g, records, "x")
    y = line(g, x, 0.5, 2.0)
    one = g.node("Squeeze", y, squeeze_dims=[1])
    wide = g.node("Concat", g.const(np.array(1, "<i4")), y, y)
    g.nodes[-1].attr["N"].i = 2
    names = g.strings((1, 2), [b"low", b"high"])
    long = g.node("Concat", g.const(np.array(0, "<i4")), y, y)
    g.nodes[-1].attr["N"].i = 2
    whole = g.const(np.array([[1]], "<i8"))
    image = g.node("Placeholder", name="image", dtype=STRING, shape=None)
    same = g.node("Identity", image, dtype=STRING)
    for name, method, outputs in (
        ("both", CLASSIFY, {"classes": names, "scores": wide}),
        ("names", CLASSIFY, {"classes": names}),
        ("flat", CLASSIFY, {"scores": one}),
        ("whole", CLASSIFY, {"scores": whole}),
        ("rows", CLASSIFY, {"scores": long}),
        ("unlike", CLASSIFY, {"classes": names, "scores": y}),
        ("neither", CLASSIFY, {"other": y}),
        ("three", CLASSIFY, {"classes": names, "scores": y, "more": x}),
        ("regress_flat", REGRESS, {"outputs": one}),
        ("regress_wide", REGRESS, {"outputs": wide}),
        ("regress_whole", REGRESS, {"outputs": whole}),
        ("regress_rows", REGRESS, {"outputs": long}),
        ("regress_other", REGRESS, {"other": y}),
        ("regress_two", REGRESS, {"outputs": y, "more": x}),
        ("unheard", "another/method", {"outputs": y}),
    ):
        g.sign_as(name, method, {"inputs": records}, outputs)
    others = g.node("Placeholder", name="other_example", dtype=STRING, shape=None)
    plus_three = line(g, parse_float(g, others, "x"), 0.5, 3.0)
    g.sign_as("regress_own_input", REGRESS, {"inputs": others}, {"outputs": plus_three})
    g.sign_as("no_inputs", CLASSIFY, {"x": records}, {"scores": y})
    g.sign_as("echo", PREDICT, {"bytes": image}, {"bytes": same})
    defaulted = g.sign_as("defaulted", PREDICT, {"a": image, "b": records}, {"a": same, "b": y})
    example = example_of(6.0).SerializeToString()
    defaulted.defaults["b"].CopyFrom(pack(RawTensor(STRING, (1,), [example])))
    return g.write(folder)


def example_of(x: float) -> Any:
    record = classification_pb2.ClassificationRequest().input.example_list.examples.add()
    record.features.feature["x"].float_list.value.append(x)
    return record


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    half_plus(root / "half" / "1", 2.0)
    half_plus(root / "half" / "2", 2.0)
    odd_shapes(root / "odd" / "1")
    counter(root / "counter" / "1")
    return root


def serve(root: Path, **flags: Any) -> ModelServer:
    configs = tuple(ModelConfig(name, root / name) for name in ("half", "odd", "counter"))
    options = ServerOptions(grpc_max_threads=2, **flags)
    return start(options, Models(configs, under(root)), ("127.0.0.1:0",))


@pytest.fixture(scope="module")
def stub(root: Path) -> Iterator[Any]:
    server = serve(root)
    with grpc.insecure_channel(server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
    server.stop(0.1)


@pytest.fixture(scope="module")
def strict(root: Path) -> Iterator[Any]:
    """A stub to a server that checks methods and answers in ``tensor_content``."""
    server = serve(
        root,
        enable_signature_method_name_check=True,
        enable_serialization_as_tensor_content=True,
    )
    with grpc.insecure_channel(server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
    server.stop(0.1)


def of(kind: Any, signature: str, *xs: float, model: str = "odd") -> Any:
    request = kind(input={"example_list": {"examples": [example_of(x) for x in xs]}})
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    return request


def to_classify(signature: str, *xs: float, model: str = "odd") -> Any:
    return of(classification_pb2.ClassificationRequest, signature, *xs, model=model)


def to_regress(signature: str, *xs: float, model: str = "odd") -> Any:
    return of(regression_pb2.RegressionRequest, signature, *xs, model=model)


def tasks(*asked: tuple[str, str, str], xs: tuple[float, ...] = (2.0,)) -> Any:
    request = inference_pb2.MultiInferenceRequest()
    for model, signature, method in asked:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = model
        task.model_spec.signature_name = signature
    request.input.example_list.examples.extend(example_of(x) for x in xs)
    return request


def refused(call: Callable[..., Any], request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=20)
    return error.value.code(), error.value.details()


def test_classify_gives_scores_and_names(stub: Any) -> None:
    response = stub.Classify(to_classify("classify_x_to_y", 2.0, 4.0, model="half"), timeout=20)
    scores = [[c.score for c in row.classes] for row in response.result.classifications]
    assert scores == [[3.0], [4.0]]
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("half", "classify_x_to_y", 2)
    both = stub.Classify(to_classify("both", 2.0), timeout=20).result.classifications[0].classes
    assert [(c.label, c.score) for c in both] == [("low", 3.0), ("high", 3.0)]
    names = stub.Classify(to_classify("names", 2.0), timeout=20).result.classifications[0].classes
    assert [(c.label, c.score) for c in names] == [("low", 0.0), ("high", 0.0)]


def test_a_context_is_part_of_every_example(stub: Any) -> None:
    request = to_classify("classify_x_to_y", model="half")
    listed = request.input.example_list_with_context
    listed.context.CopyFrom(example_of(6.0))
    listed.examples.add()
    listed.examples.add().features.feature["other"].float_list.value.append(1.0)
    response = stub.Classify(request, timeout=20)
    scores = [row.classes[0].score for row in response.result.classifications]
    assert scores[0] == 5.0
    assert len(scores) == 2


@pytest.mark.parametrize("signature", ["regress_x_to_y", "regress_flat"])
def test_regress_gives_one_number_for_each_example(stub: Any, signature: str) -> None:
    model = "half" if signature == "regress_x_to_y" else "odd"
    response = stub.Regress(to_regress(signature, 2.0, 4.0, model=model), timeout=20)
    assert [r.value for r in response.result.regressions] == [3.0, 4.0]
    assert response.model_spec.signature_name == signature


BAD_SHAPE = "Expected Tensor shape: [batch_size num_classes] but got "


@pytest.mark.parametrize(
    ("signature", "rows", "code", "words"),
    [
        ("x", 1, INVALID, "No signature was found with the name: x"),
        ("both", 0, INVALID, "Input is empty."),
        ("flat", 1, INVALID, f"{BAD_SHAPE}[1]"),
        ("whole", 1, INVALID, "Expected scores Tensor of DT_FLOAT. Got: DT_INT64"),
        ("rows", 1, INVALID, "Expected scores output batch size of 1. Got: 2"),
        ("names", 2, INVALID, "Expected classes output batch size of 2. Got: 1"),
        ("unlike", 1, INVALID, "Tensors class and score should match in dim_size(1). Got 2 vs. 1"),
        ("three", 1, INVALID, "Expected one or two output Tensors, found 3"),
        ("neither", 1, INVALID, "Expected classification signature outputs to contain at"),
        ("no_inputs", 1, INVALID, "No classification inputs found in SignatureDef: "),
        ("defaulted", 1, INVALID, "Expected one input Tensor."),
    ],
)
def test_a_classification_that_cannot_be_is_refused(
    stub: Any, signature: str, rows: int, code: grpc.StatusCode, words: str
) -> None:
    given, details = refused(stub.Classify, to_classify(signature, *[2.0] * rows))
    assert given is code
    assert details.startswith(words)


@pytest.mark.parametrize(
    ("signature", "rows", "code", "words"),
    [
        ("x", 1, INVALID, "No signature was found with the name: x"),
        ("regress_flat", 0, INVALID, "Input is empty."),
        (
            "regress_wide",
            1,
            INVALID,
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            "[1,2]",
        ),
        ("regress_whole", 1, INVALID, "Expected output Tensor of DT_FLOAT.  Got: DT_INT64"),
        (
            "regress_rows",
            1,
            INVALID,
            "Input batch size did not match output batch size: 1 vs. 2",
        ),
        ("regress_two", 1, INVALID, "Expected one output Tensor."),
        ("regress_other", 1, INVALID, "No regression outputs found in SignatureDef: "),
        ("no_inputs", 1, INVALID, "No regression inputs found in SignatureDef: "),
    ],
)
def test_a_regression_that_cannot_be_is_refused(
    stub: Any, signature: str, rows: int, code: grpc.StatusCode, words: str
) -> None:
    given, details = refused(stub.Regress, to_regress(signature, *[2.0] * rows))
    assert given is code
    assert details.startswith(words)


@pytest.mark.parametrize("call", ["Classify", "Regress"])
def test_a_record_that_does_not_parse_is_the_graphs_to_refuse(stub: Any, call: str) -> None:
    kind = {
        "Classify": classification_pb2.ClassificationRequest,
        "Regress": regression_pb2.RegressionRequest,
    }[call]
    request = of(kind, "both" if call == "Classify" else "regress_flat", 2.0)
    feature = request.input.example_list.examples[0].features.feature["x"]
    feature.bytes_list.value.append(b"no number")
    assert refused(getattr(stub, call), request)[0] is INVALID


def test_many_inferences_share_one_run(stub: Any) -> None:
    request = tasks(
        ("half", "regress_x_to_y", REGRESS),
        ("half", "classify_x_to_y", CLASSIFY),
        ("half", "regress_x_to_y2", REGRESS),
        xs=(2.0, 4.0),
    )
    results = stub.MultiInference(request, timeout=20).results
    assert [r.value for r in results[0].regression_result.regressions] == [3.0, 4.0]
    scores = results[1].classification_result.classifications
    assert [row.classes[0].score for row in scores] == [3.0, 4.0]
    assert [r.value for r in results[2].regression_result.regressions] == [4.0, 5.0]
    for task, result in zip(request.tasks, results, strict=True):
        assert result.model_spec.name == "half"
        assert result.model_spec.signature_name == task.model_spec.signature_name
        assert result.model_spec.version.value == 2


def test_inferences_with_an_input_each_are_fed_the_same_records(stub: Any) -> None:
    request = tasks(("odd", "regress_flat", REGRESS), ("odd", "regress_own_input", REGRESS))
    results = stub.MultiInference(request, timeout=20).results
    values = [[r.value for r in result.regression_result.regressions] for result in results]
    assert values == [[3.0], [4.0]]


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ([("", "x", REGRESS)], INVALID, "ModelSpec has no name specified."),
        ([("m", "x", REGRESS)], NOT_FOUND, "Servable not found for request: Latest(m)"),
        (
            [("half", "regress_x_to_y", REGRESS), ("", "x", REGRESS)],
            INVALID,
            "Found ModelSpec with an empty model name.",
        ),
        (
            [("half", "regress_x_to_y", REGRESS), ("odd", "regress_flat", REGRESS)],
            INVALID,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            [("half", "regress_x_to_y", REGRESS), ("half", "regress_x_to_y", REGRESS)],
            INVALID,
            "Duplicate evaluation of signature: regress_x_to_y",
        ),
        (
            [("half", "x", REGRESS)],
            INVALID,
            "Requested signature not found in model graph: x",
        ),
        (
            [("half", "regress_x_to_y", PREDICT)],
            UNIMPLEMENTED,
            f"Unsupported signature method_name: {PREDICT}",
        ),
        (
            [("half", "regress_x_to_y", REGRESS), ("half", "regress_x2_to_y3", REGRESS)],
            INVALID,
            "Expects arg[0] to be float but string is provided",
        ),
        ([("half", "regress_x_to_y", REGRESS)], INVALID, "Input is empty."),
    ],
)
def test_inferences_that_do_not_go_together_are_refused(
    stub: Any, asked: list[tuple[str, str, str]], code: grpc.StatusCode, words: str
) -> None:
    xs = () if "empty." in words else (2.0,)
    assert refused(stub.MultiInference, tasks(*asked, xs=xs)) == (code, words)


def test_no_inference_names_no_model(stub: Any) -> None:
    words = "ModelSpec has no name specified."
    assert refused(stub.MultiInference, tasks()) == (INVALID, words)


def test_methods_are_checked_where_that_was_asked_for(strict: Any) -> None:
    assert refused(strict.Classify, to_classify("regress_x_to_y", 2.0, model="half")) == (
        INVALID,
        f"Expected classification signature method_name to be {CLASSIFY}. Was: {REGRESS}",
    )
    assert refused(strict.Regress, to_regress("classify_x_to_y", 2.0, model="half")) == (
        INVALID,
        f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}",
    )
    request = to_predict("unheard", inputs=RawTensor(STRING, (0,), []))
    assert refused(strict.Predict, request) == (
        INTERNAL,
        "Expected prediction signature method_name to be one of "
        f"{{{PREDICT}, {CLASSIFY}, {REGRESS}}}. Was: another/method",
    )
    assert strict.Classify(to_classify("classify_x_to_y", 2.0, model="half"), timeout=20).result


def to_predict(signature: str, model: str = "odd", **inputs: RawTensor) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for alias, tensor in inputs.items():
        request.inputs[alias].CopyFrom(pack(tensor))
    return request


def test_bytes_come_back_as_they_were_in_either_encoding(stub: Any, strict: Any) -> None:
    image = RawTensor(STRING, (2, 1), [bytes(range(256)) * 300, b""])
    for one, in_content in ((stub, False), (strict, True)):
        answered = one.Predict(to_predict("echo", bytes=image), timeout=20).outputs["bytes"]
        assert bool(answered.tensor_content) is in_content
        assert unpack(answered) == image
        request = to_predict("echo")
        request.inputs["bytes"].CopyFrom(pack(image, content=True))
        assert unpack(one.Predict(request, timeout=20).outputs["bytes"]) == image


def test_answers_come_in_content_where_that_was_asked_for(strict: Any) -> None:
    x = RawTensor(FLOAT, (2,), np.array([2.0, 4.0], np.float32).tobytes())
    answered = strict.Predict(to_predict("", model="half", x=x), timeout=20).outputs["y"]
    assert not answered.float_val
    np.testing.assert_array_equal(np.frombuffer(answered.tensor_content, np.float32), [3.0, 4.0])


def test_an_input_that_is_left_out_has_its_default(stub: Any) -> None:
    given = RawTensor(STRING, (1,), [b"a"])
    outputs = stub.Predict(to_predict("defaulted", a=given), timeout=20).outputs
    assert list(outputs["b"].float_val) == [5.0]
    code, words = refused(stub.Predict, to_predict("defaulted", b=given))
    assert code is INVALID
    assert words.startswith("Signature input alias: a(feed name: image:0) not found in request")


def test_values_beyond_the_shape_are_left_out_and_missing_ones_repeat(stub: Any) -> None:
    request = to_predict("", model="half", x=RawTensor(FLOAT, (), b"\0\0\0\0"))
    tensor = request.inputs["x"]
    tensor.ClearField("float_val")
    tensor.float_val.extend([2.0, 4.0, 6.0])
    tensor.tensor_shape.dim.add(size=2)
    assert list(stub.Predict(request, timeout=20).outputs["y"].float_val) == [3.0, 4.0]
    tensor.tensor_shape.dim[0].size = 4
    assert list(stub.Predict(request, timeout=20).outputs["y"].float_val) == [3.0, 4.0, 5.0, 5.0]


def test_a_signature_without_inputs_reads_and_changes_a_variable(stub: Any) -> None:
    def ask(signature: str, **inputs: RawTensor) -> list[float]:
        request = to_predict(signature, model="counter", **inputs)
        return list(stub.Predict(request, timeout=20).outputs["output"].float_val)

    three = RawTensor(FLOAT, (), np.float32(3.0).tobytes())
    assert ask("reset_counter") == [0.0]
    assert ask("incr_counter") == [1.0]
    assert ask("incr_counter_by", delta=three) == [4.0]
    assert ask("get_counter") == [4.0]
