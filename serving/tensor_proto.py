"""Tensors between numpy and TensorFlow Serving's TensorProto, for its client and its server.

In the middle a tensor is a dtype, a shape and its bytes in row-major order (strings: a list of byte
strings). float32, the model's own type, goes into and out of ``float_val`` as one block, so that
TensorFlow Serving's default encoding costs no loop.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from relentless.serving.tf_protos import tensor_pb2


class TensorError(ValueError):
    """A TensorProto that contradicts itself, or a type that is not carried."""


MAX_DIMS = 32
MAX_ELEMENTS = 1 << 24
"""A few bytes on the wire may declare any shape; none past this one is allocated."""

FLOAT, STRING = 1, 7

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    17: np.dtype("<u2"),
    19: np.dtype("<f2"),
    22: np.dtype("<u4"),
    23: np.dtype("<u8"),
}
"""TensorFlow's number of each fixed-size type that is carried."""

FIELDS = {
    1: "float_val",
    2: "double_val",
    3: "int_val",
    4: "int_val",
    5: "int_val",
    6: "int_val",
    9: "int64_val",
    10: "bool_val",
    17: "int_val",
    22: "uint32_val",
    23: "uint64_val",
}
"""The repeated field that holds each type; half (19) keeps its bits in ``half_val``."""

_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class RawTensor:
    """A dtype by TensorFlow's number, a shape, and the elements."""

    dtype: int
    shape: tuple[int, ...]
    data: bytes | list[bytes]

    @classmethod
    def of(cls, array: np.ndarray[Any, Any]) -> "RawTensor":
        """Take a numpy array of a carried type."""
        return cls(_NUMBERS[array.dtype], array.shape, array.tobytes())

    def array(self) -> np.ndarray[Any, Any]:
        """Give a numpy view (read-only), or an object array of byte strings."""
        if isinstance(self.data, list):
            return np.array(self.data, dtype=object).reshape(self.shape)
        return np.frombuffer(self.data, DTYPES[self.dtype]).reshape(self.shape)


def varint(value: int) -> bytes:
    """Encode a length the way protobuf does."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def pack(tensor: RawTensor, into: Any = None) -> Any:
    """Fill a TensorProto in typed fields, TensorFlow Serving's default encoding, and give it."""
    proto = tensor_pb2.TensorProto() if into is None else into
    proto.dtype = tensor.dtype
    add = proto.tensor_shape.dim.add
    for size in tensor.shape:
        add(size=size)
    if not tensor.shape:
        proto.tensor_shape.SetInParent()
    if isinstance(tensor.data, list):
        proto.string_val.extend(tensor.data)
    elif tensor.dtype == FLOAT:
        # Field 5, length-delimited: the wire form of a packed float_val is the array's own bytes.
        proto.MergeFromString(b"\x2a" + varint(len(tensor.data)) + tensor.data)
    elif tensor.dtype == 19:
        proto.half_val.extend(np.frombuffer(tensor.data, "<u2").tolist())
    else:
        getattr(proto, FIELDS[tensor.dtype]).extend(tensor.array().ravel().tolist())
    return proto


def _elements(proto: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if proto.dtype == 19:
        return np.array(proto.half_val, "<u2").view(dtype)
    return np.array(getattr(proto, FIELDS[proto.dtype]), dtype)


def _shape(proto: Any) -> tuple[tuple[int, ...], int]:
    """Give the sizes and their product; beside a zero, the others alone must not overflow."""
    shape = tuple([dim.size for dim in proto.dim])
    bound = 1
    for size in shape:
        bound *= size or 1
        if size < 0 or bound > MAX_ELEMENTS:
            break
    else:
        if not proto.unknown_rank and len(shape) <= MAX_DIMS:
            return shape, 0 if 0 in shape else bound
    raise TensorError(f"shape {list(shape)} is not defined, or has over {MAX_ELEMENTS} elements")


def unpack(proto: Any) -> RawTensor:
    """Read a TensorProto in either encoding; one value, or a short tail, repeats its last element.

    Raises:
        TensorError: an impossible shape, a wrong number of elements, or a type not carried.
    """
    shape, count = _shape(proto.tensor_shape)
    if proto.dtype == STRING:
        return RawTensor(STRING, shape, _strings(proto, count))
    if (dtype := DTYPES.get(proto.dtype)) is None:
        raise TensorError(f"tensors of type number {proto.dtype} are not supported")
    if proto.tensor_content:
        if len(proto.tensor_content) != count * dtype.itemsize:
            raise TensorError(
                f"{len(proto.tensor_content)} bytes of content for shape {list(shape)}",
            )
        return RawTensor(proto.dtype, shape, proto.tensor_content)
    values = _elements(proto, dtype)
    if len(values) > count:
        raise TensorError(f"{len(values)} values for shape {list(shape)}")
    if len(values) < count:
        last = values[-1] if len(values) else 0
        values = np.concatenate([values, np.full(count - len(values), last, dtype)])
    return RawTensor(proto.dtype, shape, values.tobytes())


def _strings(proto: Any, count: int) -> list[bytes]:
    values = list(proto.string_val)
    if len(values) > count:
        raise TensorError(f"{len(values)} strings for {count} elements")
    return values + [values[-1] if values else b""] * (count - len(values))
