"""Answers and errors to JSON, laid out and numbered as TensorFlow Serving writes them.

Pure. A decimal has six digits where these read back as the same value, else nine (float32) or
seventeen (float64); a whole one ends in ".0"; NaN and Infinity are written as such. A string output
is text, or base64 where its name ends in ``_bytes``.
"""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.json_format import MessageToDict

from relentless.serving.model_server.rest.json_tensor import Format
from relentless.serving.model_server.rest.json_text import bad, decimal_text, finished
from relentless.serving.model_server.rest.json_values import (
    BOOL,
    DOUBLE,
    FLOAT,
    INTEGERS,
    dtype_name,
)
from relentless.serving.tensor_proto import RawTensor, unpack
from relentless.serving.tf_protos import get_model_metadata_pb2

BYTES_SUFFIX = "_bytes"


def error_json(message: str) -> bytes:
    """Give the body of a refusal."""
    return _object(f'"error": {_quoted(message)}')


def predictions_json(outputs: Mapping[str, Any], spelt: Format) -> bytes:
    """Give a Predict answer, by rows or by columns as the request was.

    Raises:
        TFError: outputs that have no such form: none, without rows, or of unequal rows.
    """
    if not outputs:
        raise bad("Cannot convert empty tensor map to JSON")
    tensors = {name: unpack(outputs[name]) for name in sorted(outputs)}
    if spelt is Format.ROW:
        return _by_rows(tensors)
    texts = {name: _tokens(name, tensor) for name, tensor in tensors.items()}
    if len(tensors) == 1:
        [(name, tensor)] = tensors.items()
        return _object(f'"outputs": {nested(texts[name], tensor.shape, 1)[0]}')
    members = ",\n        ".join(
        f"{_quoted(name)}: {nested(texts[name], tensor.shape, 2)[0]}"
        for name, tensor in tensors.items()
    )
    return _object(f'"outputs": {{\n        {members}\n    }}')


def _by_rows(tensors: Mapping[str, RawTensor]) -> bytes:
    rows = -1
    for name, tensor in tensors.items():
        if not tensor.shape:
            raise bad(f"Tensor name: {name} has no shape information ")
        if rows not in (-1, tensor.shape[0]):
            raise bad(
                f"Tensor name: {name} has inconsistent batch size: {tensor.shape[0]} "
                f"expecting: {rows}"
            )
        rows = tensor.shape[0]
    columns = {
        name: nested(_tokens(name, tensor), tensor.shape, keep=1)
        for name, tensor in tensors.items()
    }
    if not rows:
        return _object('"predictions": []')
    if len(columns) == 1:
        [items] = columns.values()
        return _object(f'"predictions": [{", ".join(items)}\n    ]')
    names = [_quoted(name) for name in columns]
    objects = (
        "\n        {\n            "
        + ",\n            ".join(f"{name}: {text}" for name, text in zip(names, row, strict=True))
        + "\n        }"
        for row in zip(*columns.values(), strict=True)
    )
    return _object(f'"predictions": [{",".join(objects)}\n    ]')


def classifications_json(result: Any) -> bytes:
    """Give a Classify answer: for each example a list of [label, score].

    Raises:
        TFError: there is none.
    """
    if not result.classifications:
        raise bad("Cannot convert empty ClassificationResults to JSON")
    rows = [
        "["
        + ", ".join(f"[{_quoted(c.label)}, {decimal_text(c.score, 9)}]" for c in row.classes)
        + "]"
        for row in result.classifications
    ]
    return _object(f'"results": [{", ".join(rows)}\n    ]')


def regressions_json(result: Any) -> bytes:
    """Give a Regress answer: a number for each example.

    Raises:
        TFError: there is none.
    """
    if not result.regressions:
        raise bad("Cannot convert empty RegressionResults to JSON")
    values = ", ".join(decimal_text(regression.value, 9) for regression in result.regressions)
    return _object(f'"results": [{values}]')


def status_json(response: Any) -> bytes:
    """Give a GetModelStatus answer; 64-bit numbers are strings, as protobuf's JSON has them."""
    return _message(response)


def metadata_json(response: Any) -> bytes:
    """Give a GetModelMetadata answer with its signatures unpacked."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    spec, given = _message(response.model_spec), _message(signatures)
    return b'{\n"model_spec":%s,\n"metadata": {"signature_def": %s}\n}\n' % (spec, given)


def _message(message: Any) -> bytes:
    """Write a message as C++'s protobuf does: fields by number, all that have no presence too."""
    fields = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    text = json.dumps(_by_number(fields, message.DESCRIPTOR), indent=1, ensure_ascii=False) + "\n"
    return text.replace("<", "\\u003c").replace(">", "\\u003e").encode("utf-8", "replace")


def _by_number(fields: Any, kind: Any) -> Any:
    """Order the fields of a message's dictionary, and of those within; other values stay."""
    if kind is None or not isinstance(fields, dict):
        return fields
    if kind.GetOptions().map_entry:
        inner = kind.fields_by_name["value"].message_type
        return {key: _by_number(value, inner) for key, value in fields.items()}
    given = [field for field in kind.fields if field.name in fields]
    return {
        field.name: [_by_number(item, field.message_type) for item in fields[field.name]]
        if isinstance(fields[field.name], list)
        else _by_number(fields[field.name], field.message_type)
        for field in sorted(given, key=lambda field: field.number)
    }


def _object(member: str) -> bytes:
    return f"{{\n    {member}\n}}".encode("utf-8", "replace")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _tokens(name: str, tensor: RawTensor) -> list[str]:
    """Write each element, in row-major order."""
    if isinstance(tensor.data, list):
        if name.endswith(BYTES_SUFFIX):
            return [f'{{"b64": "{base64.b64encode(item).decode()}"}}' for item in tensor.data]
        return [_quoted(item.decode("utf-8", "replace")) for item in tensor.data]
    values = tensor.array().ravel()
    if tensor.dtype in (FLOAT, DOUBLE):
        return decimals(values)
    if tensor.dtype in INTEGERS:
        return [str(value) for value in values.tolist()]
    if tensor.dtype == BOOL:
        return ["true" if value else "false" for value in values.tolist()]
    raise bad(f"Failed to write JSON value for tensor type: {dtype_name(tensor.dtype)}")


def decimals(values: np.ndarray[Any, Any]) -> list[str]:
    """Write decimals; the short form is tried on all of them at once."""
    listed = values.tolist()
    texts = [f"{value:.6g}" for value in listed]
    back = np.array(list(map(float, texts)), "f8").astype(values.dtype)
    digits = 9 if values.dtype == np.float32 else 17
    for index in np.flatnonzero(back != values).tolist():
        texts[index] = f"{listed[index]:.{digits}g}"
    return [text if "." in text else finished(text) for text in texts]


def nested(
    tokens: list[str], shape: tuple[int, ...], depth: int | None = None, keep: int = 0
) -> list[str]:
    """Put brackets around elements by their shape; the first ``keep`` dimensions stay open.

    Without ``depth`` a list takes one line; with it a line for each element, indented four
    characters a level from there on.
    """
    for axis in range(len(shape) - 1, keep - 1, -1):
        size, lists = shape[axis], math.prod(shape[:axis])
        if not size:
            tokens = ["[]"] * lists
        elif depth is None:
            tokens = [
                f"[{', '.join(tokens[at : at + size])}]" for at in range(0, lists * size, size)
            ]
        else:
            inner = "\n" + "    " * (depth + axis + 1)
            outer = "\n" + "    " * (depth + axis)
            tokens = [
                f"[{inner}{(',' + inner).join(tokens[at : at + size])}{outer}]"
                for at in range(0, lists * size, size)
            ]
    return tokens
