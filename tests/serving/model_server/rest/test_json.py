"""JSON and tensors without a server: the short way says what the long way says, numbers survive."""

import json
import math
import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from relentless.serving.model_server.codes import INVALID_ARGUMENT, UNIMPLEMENTED
from relentless.serving.model_server.rest.json_answers import decimals, predictions_json
from relentless.serving.model_server.rest.json_examples import fill_examples
from relentless.serving.model_server.rest.json_tensor import Format, fill_tensors, short_way
from relentless.serving.model_server.rest.json_text import (
    MAX_CONTAINERS,
    MAX_TEXT,
    parse,
    value_text,
)
from relentless.serving.model_server.rest.json_values import long_way
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import RawTensor, pack, unpack
from relentless.serving.tf_protos import classification_pb2, meta_graph_pb2, predict_pb2

from ..rest_models import DTYPES

SIGNED = meta_graph_pb2.TensorInfo(name="x:0", dtype=DTYPES["string"])

SERVED = [dtype for name, dtype in DTYPES.items() if name not in ("half", "uint16")]

NUMBERS = st.integers(-(1 << 65), 1 << 65) | st.floats() | st.integers(-200, 300)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=3)
LISTS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=8)


def alike(one: RawTensor, other: RawTensor) -> bool:
    return (one.dtype, one.shape, one.data) == (other.dtype, other.shape, other.data)


@given(value=LISTS | st.lists(NUMBERS, max_size=6), dtype=st.sampled_from(SERVED))
def test_the_short_way_gives_what_the_long_way_gives_and_refuses_what_it_refuses(
    value: Any, dtype: int
) -> None:
    try:
        wanted = long_way(value, dtype)
    except TFError:
        assert short_way(value, dtype) is None
    else:
        quick = short_way(value, dtype)
        assert quick is None or alike(quick, wanted)


SHAPES = hnp.array_shapes(min_dims=0, max_side=4)


@given(hnp.arrays("<f4", SHAPES, elements=st.floats(width=32)) | hnp.arrays("<f8", SHAPES))
def test_a_tensor_survives_the_way_through_json(array: np.ndarray[Any, Any]) -> None:
    tensor = RawTensor.of(array)
    written = predictions_json({"y": pack(tensor)}, Format.COLUMNAR)
    read = short_way(parse(written)["outputs"], tensor.dtype)
    assert read is not None
    np.testing.assert_array_equal(read.array(), array)


@given(
    hnp.arrays("<f4", st.integers(0, 20), elements=st.floats(width=32))
    | hnp.arrays("<f8", st.integers(0, 20))
)
def test_a_written_decimal_reads_back_as_itself_and_as_a_decimal(
    values: np.ndarray[Any, Any],
) -> None:
    for text, value in zip(decimals(values), values.tolist(), strict=True):
        back = json.loads(text)
        assert isinstance(back, float)
        assert (math.isnan(back) and math.isnan(value)) or values.dtype.type(back) == value


@given(hnp.arrays("<i8", hnp.array_shapes(max_dims=3, max_side=3)))
def test_rows_are_cut_at_the_first_dimension(array: np.ndarray[Any, Any]) -> None:
    written = predictions_json({"y": pack(RawTensor.of(array))}, Format.ROW)
    assert json.loads(written) == {"predictions": array.tolist()}


def test_answers_without_tensors_or_rows_are_refused() -> None:
    with pytest.raises(TFError, match="Cannot convert empty tensor map to JSON"):
        predictions_json({}, Format.ROW)
    with pytest.raises(TFError, match="Tensor name: y has no shape information"):
        predictions_json({"y": pack(RawTensor.of(np.float32(1).reshape(())))}, Format.ROW)
    half = pack(RawTensor.of(np.zeros(2, np.float16)))
    with pytest.raises(TFError, match="Failed to write JSON value for tensor type: half"):
        predictions_json({"y": half}, Format.ROW)
    assert unpack(half).dtype == 19


@pytest.mark.promise("P11")
def test_brackets_that_would_cost_too_much_are_refused_before_they_are_read() -> None:
    with pytest.raises(TFError, match="lists and objects"):
        parse(b'{"a": [' + b"[]," * MAX_CONTAINERS + b"[]]}")


@pytest.mark.promise("P11")
@given(LISTS | st.dictionaries(st.text(max_size=3), LISTS, max_size=3))
def test_an_error_repeats_a_bounded_part_of_a_value(value: Any) -> None:
    assert len(value_text(value)) <= MAX_TEXT + len("...TRUNCATED")
    assert len(value_text([value] * MAX_TEXT)) <= MAX_TEXT + len("...TRUNCATED")


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    "text", ["9" * 5000, "-" + "9" * 400, "1" + "0" * 309, "1e999", "-1E+0400", "0.1e00310"]
)
def test_a_number_past_every_double_is_refused(text: str) -> None:
    with pytest.raises(TFError, match="Number too big to be stored in double"):
        long_way(parse(f'{{"a": {text}}}'.encode())["a"], DTYPES["double"])


@pytest.mark.parametrize("text", ["1e-400", "1.5e-0999", "0e999"])
def test_a_number_below_every_double_is_zero(text: str) -> None:
    assert parse(f'{{"a": {text}}}'.encode())["a"] == 0.0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('["-NaN"]', ["-NaN"]),
        ('[-Inf, "Inf", Infinity]', [-math.inf, "Inf", math.inf]),
        ('["\\ud83d\\ude00"]', ["\U0001f600"]),
        ('["\\\\ud800"]', ["\\ud800"]),
        ('["\\u0000"]', ["\0"]),
    ],
)
def test_what_the_parser_accepts_beyond_plain_json(text: str, wanted: Any) -> None:
    assert parse(f'{{"a": {text}}}'.encode())["a"] == wanted


WORDS = ("instances", "inputs", "examples", "signature_name", "b64", "null", "true", "NaN", "Inf")
PIECES = st.sampled_from(
    [*'[]{}",:\\/-+.eE \n\t\0', *WORDS, "\\u", "d800", "dc00", "9" * 30, "9" * 5000, "1e400"]
) | st.text(max_size=3)


@pytest.mark.promise("P11")
@settings(max_examples=5_000 if os.environ.get("RELENTLESS_SOAK") else 300)
@given(st.lists(PIECES, max_size=25).map("".join), st.binary(max_size=2), st.booleans())
def test_what_is_no_json_is_refused_and_nothing_else_happens(
    text: str, raw: bytes, inside: bool
) -> None:
    body = text.encode("utf-8", "surrogatepass") + raw
    body = b'{"instances": [' + body + b"]}" if inside else body
    try:
        document = parse(body)
        fill_tensors(document, {"x": SIGNED}, predict_pb2.PredictRequest())
        fill_examples(document, classification_pb2.ClassificationRequest())
    except TFError as error:
        assert error.code in (INVALID_ARGUMENT, UNIMPLEMENTED)
        assert len(str(error)) < 4 * MAX_TEXT
