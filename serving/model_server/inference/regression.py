"""Regress on one loaded version: ``tf.Example`` records in, one number for each out. Pure."""

from collections.abc import Mapping
from typing import Any

from relentless.serving.model_server.codes import INVALID_ARGUMENT
from relentless.serving.model_server.inference.examples import (
    REGRESS,
    Method,
    check_method,
    dtype_name,
    shape_text,
)
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import FLOAT, RawTensor


def prepare(signature: Any, *, check: bool) -> tuple[str, list[str]]:
    """Give the tensor to feed and the one to fetch.

    Raises:
        TFError: this is no signature to regress by.
    """
    if check:
        check_method("regression", signature, REGRESS)
    if len(signature.inputs) != 1:
        raise TFError(INVALID_ARGUMENT, "Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise TFError(INVALID_ARGUMENT, "Expected one output Tensor.")
    for side in ("inputs", "outputs"):
        if side not in getattr(signature, side):
            raise TFError(
                INVALID_ARGUMENT, f"No regression {side} found in SignatureDef: {signature}"
            )
    return signature.inputs["inputs"].name, [signature.outputs["outputs"].name]


def fill(signature: Any, rows: int, tables: Mapping[str, RawTensor], result: Any) -> None:
    """Fill a ``RegressionResult`` from the tensor that was fetched.

    Raises:
        TFError: a tensor of another shape or type than this method answers.
    """
    table = tables[signature.outputs["outputs"].name]
    if len(table.shape) != 1 and not (len(table.shape) == 2 and table.shape[1] == 1):
        raise TFError(
            INVALID_ARGUMENT,
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            + shape_text(table.shape),
        )
    if table.shape[0] != rows:
        raise TFError(
            INVALID_ARGUMENT,
            f"Input batch size did not match output batch size: {rows} vs. {table.shape[0]}",
        )
    if table.dtype != FLOAT:
        raise TFError(
            INVALID_ARGUMENT,
            f"Expected output Tensor of DT_FLOAT.  Got: {dtype_name(table.dtype)}",
        )
    for value in table.array().ravel().tolist():
        result.regressions.add(value=value)


regress = Method(prepare, fill)
"""Answers a ``RegressionRequest``."""
