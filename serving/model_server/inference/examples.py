"""What Classify, Regress and MultiInference share: ``tf.Example`` records in one string tensor.

Parsing them is the graph's work, in TensorFlow Serving as here. Pure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relentless.serving.model_server.codes import INVALID_ARGUMENT
from relentless.serving.model_server.lifecycle.servable import Session
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import STRING, RawTensor
from relentless.serving.tf_protos import types_pb2

DEFAULT_SIGNATURE = "serving_default"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
PREDICT = "tensorflow/serving/predict"


@dataclass(frozen=True, slots=True)
class Method:
    """A way to ask a signature by records: Classify or Regress."""

    prepare: Callable[..., tuple[str, list[str]]]
    """Gives a signature's tensor to feed and those to fetch; with ``check`` another method's is
    refused."""
    fill: Callable[[Any, int, Mapping[str, RawTensor], Any], None]
    """Fills the result: from the signature, the number of records and what was fetched."""

    def __call__(
        self,
        session: Session,
        request: Any,
        result: Any,
        *,
        check: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """Answer a request.

        Args:
            session: what runs the model.
            request: a ``ClassificationRequest`` or ``RegressionRequest``.
            result: the message to fill.
            check: refuse signatures of another method.
            timeout_s: how long the session may run.

        Raises:
            TFError: a request that the signature refuses, or what the session says.
        """
        signature = signature_of(session.signatures, request.model_spec.signature_name)
        feed, fetches = self.prepare(signature, check=check)
        rows, tables = run(session, request.input, (feed,), fetches, timeout_s)
        self.fill(signature, rows, tables, result)


def run(
    session: Session,
    given: Any,
    feeds: Iterable[str],
    fetches: Sequence[str],
    timeout_s: float | None,
) -> tuple[int, dict[str, RawTensor]]:
    """Feed an ``Input``'s records to each of the tensors; give their number and what was fetched.

    Raises:
        TFError: there are no records, or what the session says.
    """
    records = examples(given)
    tensors = session.run(dict.fromkeys(feeds, records), fetches, timeout_s)
    return len(records.data), dict(zip(fetches, tensors, strict=True))


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
