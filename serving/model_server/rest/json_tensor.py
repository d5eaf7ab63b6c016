"""A Predict request's JSON to tensors: rows under ``instances``, columns under ``inputs``.

Pure. Valid bodies take the short way, whole lists at a time; whatever the short way does not accept
goes the long way, which says what is wrong. Below: ``json_text.py`` and ``json_values.py``. The way
back: ``json_answers.py``.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from itertools import chain
from typing import Any

import numpy as np

from relentless.serving.model_server.rest.json_text import bad, value_text
from relentless.serving.model_server.rest.json_values import (
    BOOL,
    DOUBLE,
    FLOAT,
    INTEGERS,
    STRING,
    RowByRow,
    as_type,
    is_row_object,
    long_way,
    shape_of,
    utf8,
)
from relentless.serving.tensor_proto import DTYPES, RawTensor, pack


class Format(Enum):
    """How a request spells its tensors, and hence how its answer does."""

    ROW = "predictions"
    COLUMNAR = "outputs"


def signature_name(document: dict[str, Any]) -> str:
    """Give the signature that a request names, or "".

    Raises:
        TFError: it is no string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise bad(
            f"JSON Value: {value_text(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return utf8(name)


def fill_tensors(document: dict[str, Any], inputs: Mapping[str, Any], request: Any) -> Format:
    """Put a document's tensors into a ``PredictRequest``.

    Args:
        document: the body.
        inputs: the signature's inputs, by name.
        request: filled.

    Raises:
        TFError: the document does not hold what the signature takes.
    """
    if not inputs:
        name = request.model_spec.signature_name or "DEFAULT"
        raise bad(f"Failed to get input map for signature: {name}")
    if "instances" in document and "inputs" in document:
        raise bad(
            f"JSON Value: {value_text(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise bad(
                f"JSON Value: {value_text(document)} Expecting 'instances' to be an list/array"
            )
        if not rows:
            raise bad(f"JSON Value: {value_text(document)} No values in 'instances' array")
        tensors, found = _rows(rows, inputs), Format.ROW
    elif "inputs" in document:
        tensors, found = _columns(document["inputs"], inputs), Format.COLUMNAR
    else:
        raise bad("Missing 'inputs' or 'instances' key")
    for name, tensor in tensors.items():
        pack(tensor, into=request.inputs[name])
    return found


def _rows(rows: list[Any], inputs: Mapping[str, Any]) -> dict[str, RawTensor]:
    if not isinstance(rows[0], dict) and len(inputs) > 1:
        raise bad(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    objects = is_row_object(rows[0])
    columns: dict[str, list[Any]] = {}
    if not objects:
        columns = {next(iter(inputs)): rows}
    elif all(isinstance(row, dict) and row.keys() == inputs.keys() for row in rows):
        columns = {name: [row[name] for row in rows] for name in inputs}
    quick = {name: short_way(column, inputs[name].dtype) for name, column in columns.items()}
    tensors = {name: tensor for name, tensor in quick.items() if tensor is not None}
    if columns and len(tensors) == len(columns):
        return tensors
    return RowByRow(inputs).read(rows, objects)


def _columns(value: Any, inputs: Mapping[str, Any]) -> dict[str, RawTensor]:
    if not is_row_object(value):
        if len(inputs) > 1:
            raise bad(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        value = {next(iter(inputs)): value}
    tensors = {}
    for name in sorted(inputs):
        if name not in value:
            raise bad(f"Missing named input: {name} in 'inputs' object.")
        dtype = inputs[name].dtype
        tensors[name] = short_way(value[name], dtype) or long_way(value[name], dtype)
    return tensors


def short_way(value: Any, dtype: int) -> RawTensor | None:
    """Convert a value whose lists and types are as they should be; None for any other."""
    shape = shape_of(value)
    level = [value]
    for size in shape:
        if any(type(item) is not list or len(item) != size for item in level):
            return None
        level = list(chain.from_iterable(level))
    data = _CONVERTERS[dtype](level, dtype) if dtype in _CONVERTERS else None
    return None if data is None else RawTensor(dtype, shape, data)


def _decimals(values: list[Any], dtype: int) -> bytes | None:
    if not set(map(type, values)) <= {int, float}:
        return None
    try:
        array = np.array(values, "f8")
    except OverflowError:
        return None
    return as_type(array, dtype)


def _integers(values: list[Any], dtype: int) -> bytes | None:
    if not set(map(type, values)) <= {int}:
        return None
    kind = DTYPES[dtype]
    try:
        array = np.array(values, "u8" if kind.kind == "u" else "i8")
    except OverflowError:
        return None
    limits = np.iinfo(kind)
    if array.size and not (limits.min <= int(array.min()) and int(array.max()) <= limits.max):
        return None
    return array.astype(kind).tobytes()


def _truths(values: list[Any], dtype: int) -> bytes | None:
    return bytes(values) if set(map(type, values)) <= {bool} else None


def _strings(values: list[Any], dtype: int) -> list[bytes] | None:
    if not set(map(type, values)) <= {str}:
        return None
    return [value.encode("utf-8", "surrogateescape") for value in values]


_CONVERTERS: dict[int, Callable[[list[Any], int], bytes | list[bytes] | None]] = {
    FLOAT: _decimals,
    DOUBLE: _decimals,
    STRING: _strings,
    BOOL: _truths,
    **dict.fromkeys(INTEGERS, _integers),
}
