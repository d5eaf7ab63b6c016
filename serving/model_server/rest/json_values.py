"""One JSON value to a tensor, checked value by value, in TensorFlow Serving's order and words.

Pure. This is the long way, which knows what to say of a value that no tensor can hold;
``json_tensor.py`` above takes it where its short way, whole lists at a time, does not lead.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relentless.serving.model_server.codes import NAMES, UNIMPLEMENTED
from relentless.serving.model_server.rest.json_text import (
    as_double,
    bad,
    is_decimal,
    type_name,
    value_text,
)
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import DTYPES, MAX_DIMS, RawTensor
from relentless.serving.tf_protos import tensor_pb2

FLOAT, DOUBLE, STRING, BOOL = 1, 2, 7, 10
INTEGERS = (3, 4, 5, 6, 9, 22, 23)

_NAMES = tensor_pb2.TensorProto.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number

_BASE64 = re.compile(r"([A-Za-z0-9+/]*)(=*)", re.ASCII)


def dtype_name(dtype: int) -> str:
    """Give TensorFlow's name of a type, as its messages have it."""
    return str(_NAMES[dtype].name).removeprefix("DT_").lower()


def utf8(text: str) -> str:
    """Give a text that protobuf takes: bytes that are no UTF-8 become a replacement character."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def is_base64(value: Any) -> bool:
    """Tell whether a value is bytes: an object of the one key "b64" with a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: Any) -> bytes:
    """Give the bytes of a base64 object; padding and white space may be left out or added.

    Raises:
        TFError: it is no such object, or no base64.
    """
    if not is_base64(value):
        raise bad(f"JSON Value: {value_text(value)} not formatted correctly for base64 data")
    match = _BASE64.fullmatch("".join(value["b64"].split()))
    if match is None or len(match[1]) % 4 == 1 or match[2] not in ("", "=" * (-len(match[1]) % 4)):
        raise bad("Unable to base64 decode")
    return base64.b64decode(match[1] + "=" * (-len(match[1]) % 4))


def is_row_object(value: Any) -> bool:
    """Tell whether a value is an object of named tensors."""
    return isinstance(value, dict) and not is_base64(value)


def shape_of(value: Any) -> tuple[int, ...]:
    """Give the shape that the first value at each level spans.

    Raises:
        TFError: it has more dimensions than a tensor may have here.
    """
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > MAX_DIMS:
            raise bad(f"JSON value is nested deeper than {MAX_DIMS} dimensions")
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _tensor(dtype: int, shape: tuple[int, ...], values: list[Any]) -> RawTensor:
    if dtype == STRING:
        return RawTensor(STRING, shape, values)
    if dtype not in DTYPES:
        raise TFError(UNIMPLEMENTED, f"tensors of type {dtype_name(dtype)} are not supported")
    array = np.array(values, "f8" if dtype in (FLOAT, DOUBLE) else DTYPES[dtype])
    return RawTensor(dtype, shape, as_type(array, dtype))


def as_type(array: np.ndarray[Any, Any], dtype: int) -> bytes:
    """Give an array's bytes in a type; a double past the largest float32 becomes infinite."""
    with np.errstate(over="ignore"):
        return array.astype(DTYPES[dtype]).tobytes()


def long_way(value: Any, dtype: int) -> RawTensor:
    """Convert one value.

    Raises:
        TFError: it is no tensor of that type.
    """
    shape = shape_of(value)
    values: list[Any] = []
    _walk(value, 0, shape, dtype, values)
    return _tensor(dtype, shape, values)


def _walk(value: Any, level: int, shape: tuple[int, ...], dtype: int, into: list[Any]) -> None:
    """Check and convert one value and what it holds; ``shape`` bounds how deep this goes."""
    if not isinstance(value, list):
        if level != len(shape):
            raise bad(
                f"JSON Value: {value_text(value)} found at incorrect level: {level + 1} in the "
                f"JSON DOM. Expected at level: {len(shape)}"
            )
        into.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise bad(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise bad(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _walk(item, level + 1, shape, dtype, into)


def _leaf(value: Any, dtype: int) -> Any:
    if isinstance(value, dict):
        if dtype != STRING:
            raise _mistyped(value, dtype)
        return decode_base64(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype == STRING and isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if dtype == BOOL and isinstance(value, bool):
        return value
    if dtype in (FLOAT, DOUBLE) and number:
        return as_double(value)
    if dtype in INTEGERS and number and not is_decimal(value):
        limits = np.iinfo(DTYPES[dtype])
        if limits.min <= value <= limits.max:
            return value
    if dtype not in (FLOAT, DOUBLE, STRING, BOOL, *INTEGERS):
        raise TFError(
            UNIMPLEMENTED,
            f"Conversion of JSON Value: {value_text(value)} to type: {dtype_name(dtype)}",
        )
    raise _mistyped(value, dtype)


def _mistyped(value: Any, dtype: int) -> TFError:
    return bad(
        f"JSON Value: {value_text(value)} Type: {type_name(value)} is not of expected type: "
        f"{dtype_name(dtype)}"
    )


@dataclass(slots=True)
class RowByRow:
    """The long way through ``instances``: what is wrong with which row."""

    inputs: Mapping[str, Any]
    sizes: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    values: dict[str, list[Any]] = field(default_factory=dict)

    def read(self, rows: list[Any], objects: bool) -> dict[str, RawTensor]:
        """Convert every row; ``objects`` tells whether the first one is an object.

        Raises:
            TFError: a row is no tensor of its type, or not of the first one's shape.
        """
        for index, row in enumerate(rows):
            if objects:
                self._object(index, row)
            else:
                self._value(index, row)
        return {
            name: _tensor(self.inputs[name].dtype, (len(rows), *self.shapes[name]), values)
            for name, values in self.values.items()
        }

    def _object(self, index: int, row: Any) -> None:
        if not is_row_object(row):
            raise bad(f"Expecting object but got list at item {index} of input list")
        for name, value in row.items():
            try:
                self._add(name, value)
            except TFError as error:
                raise bad(
                    f"Failed to process element: {index} key: {name} of 'instances' list. "
                    f"Error: {_status(error)}"
                ) from error
        if row.keys() != self.inputs.keys():
            raise bad(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{value_text(row)} keys must be equal to: {','.join(sorted(self.inputs))}"
            )

    def _value(self, index: int, row: Any) -> None:
        if is_row_object(row):
            raise bad(f"Expecting value/list but got object at item {index} of input list")
        try:
            self._add(next(iter(self.inputs)), row)
        except TFError as error:
            raise bad(
                f"Failed to process element: {index} of 'instances' list. Error: {_status(error)}"
            ) from error

    def _add(self, name: str, value: Any) -> None:
        if name not in self.inputs:
            raise bad(f"JSON object: does not have named input: {name}")
        shape = shape_of(value)
        values = self.values.setdefault(name, [])
        before = len(values)
        _walk(value, 0, shape, self.inputs[name].dtype, values)
        size = len(values) - before
        if name not in self.sizes:
            self.sizes[name], self.shapes[name] = size, shape
        elif size != self.sizes[name]:
            raise bad(f"Expecting tensor size: {self.sizes[name]} but got: {size}")
        elif shape != self.shapes[name]:
            wanted, got = (",".join(map(str, s)) for s in (self.shapes[name], shape))
            raise bad(f"Expecting shape [{wanted}] but got: [{got}]")


def _status(error: TFError) -> str:
    return f"{NAMES[error.code]}: {error}"
