"""Classify on one loaded version: ``tf.Example`` records in, labelled scores out. Pure.

A signature that takes numbers as its input ``inputs`` answers what its session says, here as in
TensorFlow Serving, and is reached by Predict.
"""

from collections.abc import Mapping
from typing import Any

from relentless.serving.model_server.codes import INVALID_ARGUMENT
from relentless.serving.model_server.inference.examples import (
    CLASSIFY,
    Method,
    check_method,
    dtype_name,
    shape_text,
)
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import FLOAT, STRING, RawTensor


def prepare(signature: Any, *, check: bool) -> tuple[str, list[str]]:
    """Give the tensor to feed and those to fetch.

    Raises:
        TFError: this is no signature to classify by.
    """
    if check:
        check_method("classification", signature, CLASSIFY)
    if len(signature.inputs) != 1:
        raise TFError(INVALID_ARGUMENT, "Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise TFError(
            INVALID_ARGUMENT,
            f"Expected one or two output Tensors, found {len(signature.outputs)}",
        )
    if "inputs" not in signature.inputs:
        raise TFError(
            INVALID_ARGUMENT,
            f"No classification inputs found in SignatureDef: {signature}",
        )
    fetches = [
        signature.outputs[alias].name
        for alias in ("classes", "scores")
        if alias in signature.outputs
    ]
    if not fetches:
        raise TFError(
            INVALID_ARGUMENT,
            'Expected classification signature outputs to contain at least one of "classes" or '
            f'"scores". Signature was: {signature}',
        )
    return signature.inputs["inputs"].name, fetches


def fill(signature: Any, rows: int, tables: Mapping[str, RawTensor], result: Any) -> None:
    """Fill a ``ClassificationResult`` from the tensors that were fetched.

    Raises:
        TFError: a tensor of another shape or type than this method answers.
    """
    found = {
        alias: tables[signature.outputs[alias].name]
        for alias in ("classes", "scores")
        if alias in signature.outputs
    }
    for alias, table in found.items():
        _check_table(alias, table, rows)
    labels = found["classes"].array() if "classes" in found else None
    values = found["scores"].array() if "scores" in found else None
    if labels is not None and values is not None and labels.shape[1] != values.shape[1]:
        raise TFError(
            INVALID_ARGUMENT,
            "Tensors class and score should match in dim_size(1). "
            f"Got {labels.shape[1]} vs. {values.shape[1]}",
        )
    width = next(iter(found.values())).shape[1]
    for row in range(rows):
        entry = result.classifications.add()
        for column in range(width):
            cell = entry.classes.add()
            if labels is not None:
                cell.label = bytes(labels[row, column]).decode("utf-8", "replace")
            if values is not None:
                cell.score = float(values[row, column])


classify = Method(prepare, fill)
"""Answers a ``ClassificationRequest``."""


def _check_table(alias: str, table: RawTensor, rows: int) -> None:
    if len(table.shape) != 2:
        raise TFError(
            INVALID_ARGUMENT,
            "Expected Tensor shape: [batch_size num_classes] but got " + shape_text(table.shape),
        )
    wanted = STRING if alias == "classes" else FLOAT
    if table.dtype != wanted:
        raise TFError(
            INVALID_ARGUMENT,
            f"Expected {alias} Tensor of {dtype_name(wanted)}. Got: {dtype_name(table.dtype)}",
        )
    if table.shape[0] != rows:
        raise TFError(
            INVALID_ARGUMENT,
            f"Expected {alias} output batch size of {rows}. Got: {table.shape[0]}",
        )
