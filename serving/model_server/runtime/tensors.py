"""Tensors between the middle form of ``tensor_proto`` and the library's ``TF_Tensor``."""

import ctypes
import math

from relentless.serving.model_server.runtime.capi import STRING_BYTES, TFError, library
from relentless.serving.tensor_proto import DTYPES, STRING, RawTensor

UNIMPLEMENTED = 12


def to_tf(tensor: RawTensor) -> int:
    """Allocate a ``TF_Tensor`` with these contents; ``free`` it after use."""
    tf = library()
    dims = (ctypes.c_int64 * len(tensor.shape))(*tensor.shape)
    if isinstance(tensor.data, list):
        size = STRING_BYTES * len(tensor.data)
        handle: int = tf.TF_AllocateTensor(tensor.dtype, dims, len(tensor.shape), size)
        base = tf.TF_TensorData(handle)
        for index, value in enumerate(tensor.data):
            tf.TF_StringInit(base + index * STRING_BYTES)
            tf.TF_StringCopy(base + index * STRING_BYTES, value, len(value))
        return handle
    handle = tf.TF_AllocateTensor(tensor.dtype, dims, len(tensor.shape), len(tensor.data))
    ctypes.memmove(tf.TF_TensorData(handle), tensor.data, len(tensor.data))
    return handle


def free_input(handle: int, tensor: RawTensor) -> None:
    """Free a tensor of ``to_tf``: the library does not run the destructors of strings there."""
    tf = library()
    if isinstance(tensor.data, list):
        base = tf.TF_TensorData(handle)
        for index in range(len(tensor.data)):
            tf.TF_StringDealloc(base + index * STRING_BYTES)
    tf.TF_DeleteTensor(handle)


def from_tf(handle: int) -> RawTensor:
    """Copy a ``TF_Tensor`` out of the library; the handle stays the caller's to free.

    Raises:
        TFError: UNIMPLEMENTED for a type that is not carried.
    """
    tf = library()
    dtype = tf.TF_TensorType(handle)
    shape = tuple(tf.TF_Dim(handle, axis) for axis in range(tf.TF_NumDims(handle)))
    data = tf.TF_TensorData(handle)
    if 0 in shape:
        return RawTensor(dtype, shape, [] if dtype == STRING else b"")
    if dtype == STRING:
        return RawTensor(dtype, shape, [_string_at(data, i) for i in range(math.prod(shape))])
    if dtype not in DTYPES:
        raise TFError(UNIMPLEMENTED, f"tensors of type number {dtype} are not supported")
    return RawTensor(dtype, shape, ctypes.string_at(data, tf.TF_TensorByteSize(handle)))


def _string_at(base: int, index: int) -> bytes:
    tf = library()
    item = base + index * STRING_BYTES
    return ctypes.string_at(tf.TF_StringGetDataPointer(item), tf.TF_StringGetSize(item))
