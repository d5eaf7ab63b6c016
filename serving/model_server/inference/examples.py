"""``tf.Example`` records as the one string tensor that Classify, Regress and MultiInference feed.

Parsing them is the graph's work, in TensorFlow Serving as here. Pure.
"""

from typing import Any

from relentless.serving.model_server.codes import INVALID_ARGUMENT
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import STRING, RawTensor
from relentless.serving.tf_protos import types_pb2

DEFAULT_SIGNATURE = "serving_default"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
PREDICT = "tensorflow/serving/predict"


def examples(given: Any) -> RawTensor:
    """Serialize an ``Input``'s examples.

    Raises:
        TFError: there is none.
    """
    kind = given.WhichOneof("kind")
    serialized: list[bytes] = []
    if kind == "example_list":
        serialized = [item.SerializeToString() for item in given.example_list.examples]
    elif kind == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        # Serialized messages that follow each other read as one merged message.
        listed = given.example_list_with_context.examples
        serialized = [context + item.SerializeToString() for item in listed]
    if not serialized:
        raise TFError(INVALID_ARGUMENT, "Input is empty.")
    return RawTensor(STRING, (len(serialized),), serialized)


def signature_of(signatures: Any, name: str) -> Any:
    """Find a signature; an empty name means the default one.

    Raises:
        TFError: there is no such signature.
    """
    name = name or DEFAULT_SIGNATURE
    if (signature := signatures.get(name)) is None:
        raise TFError(INVALID_ARGUMENT, f"No signature was found with the name: {name}")
    return signature


def check_method(kind: str, signature: Any, method: str) -> None:
    """Hold a signature to the method that its author wrote into it.

    Raises:
        TFError: it is another.
    """
    if signature.method_name != method:
        raise TFError(
            INVALID_ARGUMENT,
            f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}",
        )


def dtype_name(number: int) -> str:
    """Give a type's name as TensorFlow prints it."""
    names = types_pb2.DataType.DESCRIPTOR.values_by_number
    return str(names[number].name) if number in names else f"type {number}"


def shape_text(shape: tuple[int, ...]) -> str:
    """Give a shape as TensorFlow prints it."""
    return f"[{','.join(map(str, shape))}]"
