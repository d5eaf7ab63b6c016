"""A Classify or Regress request's JSON to ``tf.Example`` records, with or without a context.

Pure. What a feature holds follows from the JSON alone, as with TensorFlow Serving: a decimal makes
floats, a whole number or a truth value makes integers, a string or base64 makes bytes.
"""

from typing import Any

from relentless.serving.model_server.rest.json_text import (
    as_double,
    bad,
    is_decimal,
    type_name,
    value_text,
)
from relentless.serving.model_server.rest.json_values import (
    decode_base64,
    is_base64,
    utf8,
)


def fill_examples(document: dict[str, Any], request: Any) -> None:
    """Put a document's examples into a ``ClassificationRequest`` or ``RegressionRequest``.

    Raises:
        TFError: they are missing, or one holds what no feature can.
    """
    listed = request.input.example_list
    if "context" in document:
        listed = request.input.example_list_with_context
        listed.context.SetInParent()
        _fill(document["context"], listed.context)
    if "examples" not in document:
        raise bad(
            f"JSON Value: {value_text(document)} When method is classify, key 'examples' is "
            "expected and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise bad(
            f"JSON Value: {value_text(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise bad(f"JSON Value: {value_text(document)} 'examples' value is an empty array")
    for example in examples:
        _fill(example, listed.examples.add())


def _fill(value: Any, example: Any) -> None:
    if not isinstance(value, dict):
        raise bad(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in value.items():
        name = utf8(name)
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add(item, name, feature)


def _add(value: Any, name: str, feature: Any) -> None:
    if (
        value is None
        or isinstance(value, list)
        or (isinstance(value, dict) and not is_base64(value))
    ):
        raise bad(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    if isinstance(value, dict):
        _kind(feature, "bytes_list", name).append(decode_base64(value))
    elif isinstance(value, str):
        _kind(feature, "bytes_list", name).append(value.encode("utf-8", "surrogateescape"))
    elif isinstance(value, bool):
        _kind(feature, "int64_list", name).append(int(value))
    elif is_decimal(value):
        _kind(feature, "float_list", name).append(as_double(value))
    else:
        values = _kind(feature, "int64_list", name)
        if value >= 1 << 63:
            raise bad(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        values.append(value)


def _kind(feature: Any, kind: str, name: str) -> Any:
    """Give the list of a feature's values; the first value decides which one it has."""
    if (has := feature.WhichOneof("kind")) not in (None, kind):
        word = str(has).removesuffix("_list")
        raise bad(f"Unexpected element type in feature: {name} expecting type: {word}")
    return getattr(feature, kind).value
