"""Classify on one loaded version: ``tf.Example`` records in, labelled scores out.

TensorFlow Serving hands the examples as serialized strings to the signature's input ``inputs``;
parsing them is the graph's work. A signature that takes numbers there answers what its session
says, here as there, and is reached by Predict.
"""

from typing import Any

import numpy as np

from relentless.serving.model_server.capi import TFError
from relentless.serving.model_server.servable import Session
from relentless.serving.tensor_proto import FLOAT, STRING, RawTensor

INVALID_ARGUMENT, FAILED_PRECONDITION = 3, 9


def classify(session: Session, request: Any, result: Any) -> str:
    """Fill a ``ClassificationResult``; give the name of the signature that ran.

    Raises:
        TFError: a request that the signature refuses, or what the session says.
    """
    name = request.model_spec.signature_name or "serving_default"
    if (signature := session.signatures.get(name)) is None:
        raise TFError(INVALID_ARGUMENT, f"No signature was found with the name: {name}")
    fetches = _check(signature)
    examples = _examples(request.input)
    feed = RawTensor(STRING, (len(examples),), examples)
    outputs = session.run(
        {signature.inputs["inputs"].name: feed},
        [signature.outputs[alias].name for alias in fetches],
    )
    tables = dict(zip(fetches, outputs, strict=True))
    for alias, table in tables.items():
        _check_table(alias, table, len(examples))
    _fill(result, tables.get("classes"), tables.get("scores"), len(examples))
    return name


def _check(signature: Any) -> list[str]:
    if len(signature.inputs) != 1:
        raise TFError(INVALID_ARGUMENT, "Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise TFError(
            INVALID_ARGUMENT,
            f"Expected one or two output Tensors, found {len(signature.outputs)}",
        )
    if "inputs" not in signature.inputs:
        raise TFError(
            FAILED_PRECONDITION,
            f"No classification inputs found in SignatureDef: {signature}",
        )
    fetches = [alias for alias in ("classes", "scores") if alias in signature.outputs]
    if not fetches:
        raise TFError(
            FAILED_PRECONDITION,
            'Expected classification signature outputs to contain at least one of "classes" or '
            f'"scores". Signature was: {signature}',
        )
    return fetches


def _examples(given: Any) -> list[bytes]:
    kind = given.WhichOneof("kind")
    if kind == "example_list":
        serialized = [item.SerializeToString() for item in given.example_list.examples]
    elif kind == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        # Serialized messages that follow each other read as one merged message.
        listed = given.example_list_with_context.examples
        serialized = [context + item.SerializeToString() for item in listed]
    else:
        serialized = []
    if not serialized:
        raise TFError(INVALID_ARGUMENT, "Input is empty")
    return serialized


def _check_table(alias: str, table: RawTensor, rows: int) -> None:
    wanted, word = (STRING, "DT_STRING") if alias == "classes" else (FLOAT, "DT_FLOAT")
    if len(table.shape) != 2:
        raise TFError(
            INVALID_ARGUMENT,
            f"Expected Tensor shape: [batch_size num_classes] but got {list(table.shape)}",
        )
    if table.dtype != wanted:
        raise TFError(
            INVALID_ARGUMENT, f"Expected {alias} Tensor of {word}. Got: type {table.dtype}"
        )
    if table.shape[0] != rows:
        raise TFError(
            INVALID_ARGUMENT,
            f"Expected {alias} output batch size of {rows}. Got: {table.shape[0]}",
        )


def _fill(result: Any, classes: RawTensor | None, scores: RawTensor | None, rows: int) -> None:
    labels = classes.array() if classes else None
    values = scores.array() if scores else None
    if labels is not None and values is not None and labels.shape[1] != values.shape[1]:
        raise TFError(
            INVALID_ARGUMENT,
            "Tensors class and score should match in dim_size(1). "
            f"Got {labels.shape[1]} vs. {values.shape[1]}",
        )
    table = labels if labels is not None else values
    width = 0 if table is None else table.shape[1]
    for row, column in np.ndindex(rows, width):
        if column == 0:
            entry = result.classifications.add()
        cell = entry.classes.add()
        if labels is not None:
            cell.label = bytes(labels[row, column]).decode("utf-8", "replace")
        if values is not None:
            cell.score = float(values[row, column])
