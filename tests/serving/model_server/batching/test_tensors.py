"""Requests put into one batch and taken apart: nothing is lost, and TensorFlow's refusals."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.serving.model_server.batching.tensors import (
    count_rows,
    cut,
    cut_output,
    join,
    merge,
)
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import DTYPES, STRING, RawTensor


def floats(*shape: int) -> RawTensor:
    return RawTensor.of(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))


def strings(rows: int, *values: bytes) -> RawTensor:
    return RawTensor(STRING, (rows, len(values) // rows), list(values))


def refusal(*args: Any, **kwargs: Any) -> tuple[int, str]:
    with pytest.raises(TFError) as refused:
        args[0](*args[1:], **kwargs)
    return refused.value.code, str(refused.value)


def test_the_rows_of_a_request_are_its_inputs_common_size() -> None:
    assert count_rows({"a": floats(3, 2), "b": floats(3)}) == 3
    assert refusal(count_rows, {}) == (
        3,
        "Batching Run() must have at least one input tensor",
    )
    assert refusal(count_rows, {"a": floats()}) == (
        3,
        "Batching Run() input tensors must have at least one dimension",
    )
    assert refusal(count_rows, {"a": floats(3), "b": floats(2, 3)}) == (
        3,
        "Batching Run() input tensors must have equal 0th-dimension size",
    )


@settings(max_examples=150, deadline=None)
@given(
    dtype=st.sampled_from(sorted(DTYPES)),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    inner=st.lists(st.integers(0, 3), max_size=2),
    padding=st.integers(0, 3),
    seed=st.integers(0, 9),
)
def test_what_was_merged_comes_apart_as_it_was(
    dtype: int, sizes: list[int], inner: list[int], padding: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    requests = [
        {"x": RawTensor.of(random.integers(0, 2, (size, *inner)).astype(DTYPES[dtype]))}
        for size in sizes
    ]
    merged = merge(requests, padding, pad_lengths=False)["x"]
    assert merged.shape == (sum(sizes) + padding, *inner)
    pieces = cut_output(merged, [*sizes, padding])
    assert pieces[: len(sizes)] == [request["x"] for request in requests]
    first_row = requests[-1]["x"].array()[0]
    assert all((row == first_row).all() for row in pieces[-1].array())


def test_strings_are_merged_and_cut_too() -> None:
    requests = [{"x": strings(1, b"a", b"")}, {"x": strings(2, b"b", b"c", b"long", b"\0")}]
    merged = merge(requests, 1, pad_lengths=False)["x"]
    assert merged == strings(4, b"a", b"", b"b", b"c", b"long", b"\0", b"b", b"c")
    assert cut(merged, [1, 2, 1])[:2] == [request["x"] for request in requests]


def test_other_dimensions_must_agree_unless_they_are_padded() -> None:
    requests = [{"x": floats(1, 2)}, {"x": floats(2, 3)}]
    code, words = refusal(merge, requests, 0, pad_lengths=False)
    assert code == 9
    assert words == (
        "Tensors with name 'x' from different tasks have different shapes and padding is turned "
        "off. Set pad_variable_length_inputs to true, or ensure that all tensors with the same "
        "name have equal dimensions starting with the first dim."
    )


def test_a_shorter_input_is_padded_with_its_own_first_element() -> None:
    requests = [
        {"x": RawTensor.of(np.array([[7, 1]], "<i8"))},
        {"x": RawTensor.of(np.array([[2, 3, 4], [5, 6, 7]], "<i8"))},
    ]
    merged = merge(requests, 1, pad_lengths=True)["x"].array()
    assert merged.tolist() == [[7, 1, 7], [2, 3, 4], [5, 6, 7], [2, 3, 4]]
    texts = [{"x": strings(1, b"a")}, {"x": strings(1, b"b", b"c")}]
    assert merge(texts, 0, pad_lengths=True)["x"] == strings(2, b"a", b"a", b"b", b"c")


def test_what_cannot_be_padded_is_said() -> None:
    deep = [{"x": floats(*(1,) * 7)}, {"x": floats(*(1,) * 6, 2)}]
    assert refusal(merge, deep, 0, pad_lengths=True) == (
        3,
        "Only tensors with rank from 1 to 6 can be padded.",
    )
    empty = [{"x": floats(1, 0)}, {"x": floats(1, 2)}]
    assert refusal(merge, empty, 0, pad_lengths=True) == (
        3,
        "Got empty tensor in batch of non-empty tensors.",
    )
    ranks = [{"x": floats(1, 2)}, {"x": floats(1)}]
    assert refusal(merge, ranks, 0, pad_lengths=True)[0] == 9


def test_types_do_not_mix() -> None:
    code, words = refusal(join, [floats(1), RawTensor.of(np.zeros(1, "<i4"))])
    assert code == 13
    assert words.startswith("Tensor concat operation failed: ")


def test_an_output_must_have_a_row_for_each_row() -> None:
    assert refusal(cut_output, floats(), [1]) == (9, "Batched output tensor has 0 dimensions")
    assert refusal(cut_output, floats(3), [1, 1]) == (
        9,
        "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes "
        "of the input tensors",
    )
