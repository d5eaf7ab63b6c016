"""Requests made into one batch and an answer cut apart again: pure work on raw tensors.

Below ``session.py``. A tensor's bytes are in row-major order, so a batch is its requests' bytes
one after another. Codes and words of the refusals are TensorFlow Serving's.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from relentless.serving.model_server.codes import FAILED_PRECONDITION, INTERNAL, INVALID_ARGUMENT
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import STRING, RawTensor

PADDABLE_RANKS = range(1, 7)

Feeds = Mapping[str, RawTensor]


def count_rows(feeds: Feeds) -> int:
    """Give the size of the 0th dimension, which all inputs of a request share.

    Raises:
        TFError: no inputs, an input without dimensions, or inputs of unequal size.
    """
    if not feeds:
        raise TFError(INVALID_ARGUMENT, "Batching Run() must have at least one input tensor")
    if any(not tensor.shape for tensor in feeds.values()):
        raise TFError(
            INVALID_ARGUMENT, "Batching Run() input tensors must have at least one dimension"
        )
    sizes = {tensor.shape[0] for tensor in feeds.values()}
    if len(sizes) > 1:
        raise TFError(
            INVALID_ARGUMENT, "Batching Run() input tensors must have equal 0th-dimension size"
        )
    return sizes.pop()


def merge(requests: Sequence[Feeds], padding: int, *, pad_lengths: bool) -> dict[str, RawTensor]:
    """Put requests with the same inputs one behind another.

    Args:
        requests: at least one.
        padding: rows to add at the end; the first row of the last request repeats there.
        pad_lengths: make the other dimensions as large as the largest of the requests.

    Raises:
        TFError: tensors of one name whose other dimensions, or whose types, differ.
    """
    merged = {}
    for name in sorted(requests[0]):
        tensors = [feeds[name] for feeds in requests]
        if pad_lengths:
            tensors = _equal_lengths(name, tensors)
        if any(tensor.shape[1:] != tensors[0].shape[1:] for tensor in tensors):
            raise _unequal(name)
        if padding:
            first = cut(tensors[-1], [1, tensors[-1].shape[0] - 1])[0]
            tensors += [first] * padding
        merged[name] = join(tensors)
    return merged


def join(tensors: Sequence[RawTensor]) -> RawTensor:
    """Concatenate along the 0th dimension.

    Raises:
        TFError: INTERNAL for different types, as TensorFlow's own concatenation has it.
    """
    head = tensors[0]
    if any(tensor.dtype != head.dtype for tensor in tensors):
        kinds = ", ".join(str(number) for number in sorted({tensor.dtype for tensor in tensors}))
        raise TFError(
            INTERNAL, f"Tensor concat operation failed: tensors of different data types ({kinds})"
        )
    shape = (sum(tensor.shape[0] for tensor in tensors), *head.shape[1:])
    blocks, items = list[bytes](), list[bytes]()
    for tensor in tensors:
        if isinstance(tensor.data, bytes):
            blocks.append(tensor.data)
        else:
            items += tensor.data
    return RawTensor(head.dtype, shape, items if head.dtype == STRING else b"".join(blocks))


def cut(tensor: RawTensor, sizes: Iterable[int]) -> list[RawTensor]:
    """Split along the 0th dimension into pieces of these sizes, which sum to its size."""
    step = len(tensor.data) // tensor.shape[0] if tensor.shape[0] else 0
    pieces, at = [], 0
    for size in sizes:
        data = tensor.data[at * step : (at + size) * step]
        pieces.append(RawTensor(tensor.dtype, (size, *tensor.shape[1:]), data))
        at += size
    return pieces


def cut_output(tensor: RawTensor, sizes: Sequence[int]) -> list[RawTensor]:
    """Split one output of a batch among its requests; the sizes include the padding's.

    Raises:
        TFError: FAILED_PRECONDITION for an output that is not one row for each row.
    """
    if not tensor.shape:
        raise TFError(FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
    if tensor.shape[0] != sum(sizes):
        raise TFError(
            FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors",
        )
    return cut(tensor, sizes)


def _unequal(name: str) -> TFError:
    return TFError(
        FAILED_PRECONDITION,
        f"Tensors with name '{name}' from different tasks have different shapes and padding is "
        "turned off. Set pad_variable_length_inputs to true, or ensure that all tensors with the "
        "same name have equal dimensions starting with the first dim.",
    )


def _equal_lengths(name: str, tensors: Sequence[RawTensor]) -> list[RawTensor]:
    if len({len(tensor.shape) for tensor in tensors}) > 1:
        raise _unequal(name)
    lengths = tuple(map(max, zip(*(tensor.shape[1:] for tensor in tensors), strict=True)))
    return [_lengthened(tensor, lengths) for tensor in tensors]


def _lengthened(tensor: RawTensor, lengths: tuple[int, ...]) -> RawTensor:
    """Pad at the end of each dimension but the 0th, with the tensor's own first element."""
    shape = (tensor.shape[0], *lengths)
    if len(shape) not in PADDABLE_RANKS:
        raise TFError(INVALID_ARGUMENT, "Only tensors with rank from 1 to 6 can be padded.")
    if math.prod(shape) == math.prod(tensor.shape):
        return RawTensor(tensor.dtype, shape, tensor.data)
    if not math.prod(tensor.shape):
        raise TFError(INVALID_ARGUMENT, "Got empty tensor in batch of non-empty tensors.")
    given = tensor.array()
    padded = np.full(shape, given.flat[0], given.dtype)
    padded[tuple(slice(size) for size in tensor.shape)] = given
    if tensor.dtype == STRING:
        return RawTensor(STRING, shape, padded.ravel().tolist())
    return RawTensor(tensor.dtype, shape, padded.tobytes())
