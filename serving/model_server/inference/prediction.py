"""Predict on one loaded version: check a request against its signature, run, and answer.

Codes and words are TensorFlow Serving's. No gRPC here: ``services.py`` above does that, and
``lifecycle/warmup.py`` runs recorded requests through the same function.
"""

from collections.abc import Iterable
from typing import Any

from relentless.serving.model_server.codes import (
    FAILED_PRECONDITION,
    INTERNAL,
    INVALID_ARGUMENT,
)
from relentless.serving.model_server.inference.examples import (
    CLASSIFY,
    DEFAULT_SIGNATURE,
    PREDICT,
    REGRESS,
)
from relentless.serving.model_server.lifecycle.servable import Session
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import RawTensor, TensorError, pack, unpack
from relentless.serving.tf_protos import predict_pb2


def _listed(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def predict(
    session: Session,
    request: Any,
    version: int,
    *,
    content: bool = False,
    check: bool = False,
    timeout_s: float | None = None,
) -> Any:
    """Answer a ``PredictRequest`` with a ``PredictResponse``.

    Args:
        session: what runs the model.
        request: the request.
        version: the version that answers.
        content: answer in ``tensor_content`` instead of typed fields.
        check: refuse signatures of an unknown method.
        timeout_s: how long the session may run.

    Raises:
        TFError: a request that the signature refuses, or what the session says.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if (signature := session.signatures.get(name)) is None:
        raise TFError(FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    if check and signature.method_name not in (PREDICT, CLASSIFY, REGRESS):
        raise TFError(
            INTERNAL,
            "Expected prediction signature method_name to be one of "
            f"{{{PREDICT}, {CLASSIFY}, {REGRESS}}}. Was: {signature.method_name}",
        )
    feeds = _feeds(signature, request)
    aliases = _outputs(signature, request)
    fetches = [signature.outputs[alias].name for alias in aliases]
    results = session.run(feeds, fetches, timeout_s)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.signature_name = name
    response.model_spec.version.value = version
    for alias, tensor in zip(aliases, results, strict=True):
        pack(tensor, into=response.outputs[alias], content=content)
    return response


def _feeds(signature: Any, request: Any) -> dict[str, RawTensor]:
    sent, wanted = set(request.inputs), set(signature.inputs)
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise TFError(
            INVALID_ARGUMENT,
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({{{_listed(sent)}}}) != len({{{_listed(wanted)}}}). "
            f"Sent extra: {{{_listed(sent - wanted)}}}. "
            f"Missing but required: {{{_listed(wanted - sent)}}}.",
        )
    feeds: dict[str, RawTensor] = {}
    for alias in sorted(wanted):
        feed = signature.inputs[alias].name
        feeds[feed] = _tensor(alias, feed, signature, request)
    if sent - wanted:
        raise TFError(
            INVALID_ARGUMENT,
            f"Inputs contains invalid name. Used request inputs: {_listed(sent & wanted)}, "
            f"request input: {_listed(sent)}",
        )
    return feeds


def _tensor(alias: str, feed: str, signature: Any, request: Any) -> RawTensor:
    source = request.inputs if alias in request.inputs else signature.defaults
    if alias not in source:
        raise TFError(
            INVALID_ARGUMENT,
            f"Signature input alias: {alias}(feed name: {feed}) not found in request and no "
            f"default value provided. Inputs expected to be in the request "
            f"{{{_listed(request.inputs)}}}, or default input alias set: "
            f"{_listed(signature.defaults)}",
        )
    try:
        return unpack(source[alias])
    except TensorError as error:
        raise TFError(INVALID_ARGUMENT, f"tensor parsing error: {alias}") from error


def _outputs(signature: Any, request: Any) -> list[str]:
    seen: list[str] = []
    for alias in request.output_filter:
        if alias not in signature.outputs:
            raise TFError(
                INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {{{_listed(signature.outputs)}}}.",
            )
        if alias in seen:
            raise TFError(INVALID_ARGUMENT, f"duplicate output tensor alias: {alias}")
        seen.append(alias)
    return seen or sorted(signature.outputs)
