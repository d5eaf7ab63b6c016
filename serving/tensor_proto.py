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


MAX_DIMS = 64
MAX_FILLED = 1 << 24
"""A few bytes on the wire may declare any shape; no more elements than these are filled in."""

FLOAT, STRING, HALF = 1, 7, 19

_OWN: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    8: np.dtype("<c8"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    17: np.dtype("<u2"),
    18: np.dtype("<c16"),
    19: np.dtype("<f2"),
    22: np.dtype("<u4"),
    23: np.dtype("<u8"),
}
"""TensorFlow's number of each fixed-size type that numpy has."""

_BITS: dict[int, np.dtype[Any]] = {
    11: np.dtype("i1"),  # qint8
    12: np.dtype("u1"),  # quint8
    13: np.dtype("<i4"),  # qint32
    14: np.dtype("<u2"),  # bfloat16
    15: np.dtype("<i2"),  # qint16
    16: np.dtype("<u2"),  # quint16
    24: np.dtype("u1"),  # float8_e5m2
    25: np.dtype("u1"),  # float8_e4m3fn
    26: np.dtype("u1"),  # float8_e4m3fnuz
    27: np.dtype("u1"),  # float8_e4m3b11fnuz
    28: np.dtype("u1"),  # float8_e5m2fnuz
    29: np.dtype("i1"),  # int4, one a byte
    30: np.dtype("u1"),  # uint4, one a byte
    31: np.dtype("i1"),  # int2, one a byte
    32: np.dtype("u1"),  # uint2, one a byte
    33: np.dtype("u1"),  # float4_e2m1fn, one a byte
}
"""The others, carried as the bits that they are stored in."""

DTYPES = _OWN | _BITS
"""Every fixed-size type that is carried."""

FIELDS = {
    1: "float_val",
    2: "double_val",
    8: "scomplex_val",
    9: "int64_val",
    10: "bool_val",
    14: "half_val",
    18: "dcomplex_val",
    19: "half_val",
    22: "uint32_val",
    23: "uint64_val",
    **dict.fromkeys((24, 25, 26, 27, 28, 33), "float8_val"),
}
"""The field that holds each type, where it is not ``int_val``."""

_PARTS: dict[int, np.dtype[Any]] = {8: np.dtype("<f4"), 18: np.dtype("<f8"), 19: np.dtype("<u2")}
"""What a field's elements are, where they are not the tensor's: real and imaginary, or bits."""

_BLOCKS = {1: b"\x2a", 2: b"\x32"}
"""The tag of a packed field whose wire form is the array's own bytes."""

_NUMBERS = {dtype: number for number, dtype in _OWN.items()}


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


def pack(tensor: RawTensor, into: Any = None, *, content: bool = False) -> Any:
    """Fill a TensorProto and give it.

    Args:
        tensor: what goes in.
        into: the message to fill; a new one where absent.
        content: use ``tensor_content``; else typed fields, TensorFlow Serving's default.
    """
    proto = tensor_pb2.TensorProto() if into is None else into
    proto.dtype = tensor.dtype
    add = proto.tensor_shape.dim.add
    for size in tensor.shape:
        add(size=size)
    if not tensor.shape:
        proto.tensor_shape.SetInParent()
    if isinstance(tensor.data, list):
        if content:
            lengths = b"".join(varint(len(value)) for value in tensor.data)
            proto.tensor_content = lengths + b"".join(tensor.data)
        else:
            proto.string_val.extend(tensor.data)
    elif content:
        proto.tensor_content = tensor.data
    elif tag := _BLOCKS.get(tensor.dtype):
        proto.MergeFromString(tag + varint(len(tensor.data)) + tensor.data)
    elif (field := FIELDS.get(tensor.dtype, "int_val")) == "float8_val":
        proto.float8_val = tensor.data
    else:
        parts = np.frombuffer(tensor.data, _PARTS.get(tensor.dtype, DTYPES[tensor.dtype]))
        getattr(proto, field).extend(parts.tolist())
    return proto


def unpack(proto: Any) -> RawTensor:
    """Read a TensorProto in either encoding, as TensorFlow does.

    Typed fields may hold fewer values than the shape, and the last one then repeats; without any,
    the tensor is zero. Values beyond the shape are left out.

    Raises:
        TensorError: an impossible shape, content of another length, or a type not carried.
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
    values = _elements(proto, dtype)[:count]
    if len(values) < count:
        last = values[-1] if len(values) else 0
        values = np.concatenate(
            [values, np.full(_missing(shape, count - len(values)), last, dtype)]
        )
    return RawTensor(proto.dtype, shape, values.tobytes())


def _elements(proto: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    name = FIELDS.get(proto.dtype, "int_val")
    field = getattr(proto, name)
    if isinstance(field, bytes):
        return np.frombuffer(field, dtype)
    if name in ("int_val", "half_val"):
        # These hold 32 bits an element whatever the type is; the others are cut off.
        bits = np.array(field, "<i4").astype(_PARTS.get(proto.dtype, dtype), copy=False)
        return bits.view(dtype)
    if parts := _PARTS.get(proto.dtype):
        return np.array(field[: len(field) // 2 * 2], parts).view(dtype)
    return np.array(field, dtype)


def _missing(shape: tuple[int, ...], count: int) -> int:
    if count > MAX_FILLED:
        raise TensorError(f"shape {list(shape)} lacks {count} elements, over {MAX_FILLED}")
    return count


def _shape(proto: Any) -> tuple[tuple[int, ...], int]:
    """Give the sizes and their product; beside a zero, the others alone must fit an array.

    numpy counts bytes, at most sixteen an element, in 63 bits, and does so beside a zero too.
    """
    shape = tuple([dim.size for dim in proto.dim])
    bound = 1
    for size in shape:
        bound *= size or 1
        if size < 0 or bound >= 1 << 59:
            break
    else:
        if not proto.unknown_rank and len(shape) <= MAX_DIMS:
            return shape, 0 if 0 in shape else bound
    raise TensorError(f"shape {list(shape)} is not defined")


def _strings(proto: Any, count: int) -> list[bytes]:
    if proto.tensor_content:
        return _string_content(proto.tensor_content, count)
    values = list(proto.string_val)[:count]
    if missing := count - len(values):
        values += [values[-1] if values else b""] * _missing((count,), missing)
    return values


def _string_content(content: bytes, count: int) -> list[bytes]:
    """Read strings as TensorFlow stores them: every length as a varint, then every string."""
    if count > len(content):
        raise TensorError(f"{len(content)} bytes of content for {count} strings")
    lengths, at = [], 0
    for _ in range(count):
        length, shift = 0, 0
        while True:
            if at >= len(content) or shift > 28:
                raise TensorError("the lengths of the strings are damaged")
            byte = content[at]
            length |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise TensorError(f"{len(content)} bytes of content for {count} strings")
    values = []
    for length in lengths:
        values.append(content[at : at + length])
        at += length
    return values
