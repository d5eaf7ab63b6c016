"""MultiInference on one loaded version: several signatures, one run over the same records. Pure.

Signatures of TensorFlow 2 have an input tensor each, and each of them is fed.
"""

from typing import Any

from relentless.serving.model_server.codes import INVALID_ARGUMENT, UNIMPLEMENTED
from relentless.serving.model_server.inference.classification import classify
from relentless.serving.model_server.inference.examples import (
    CLASSIFY,
    DEFAULT_SIGNATURE,
    REGRESS,
    Method,
    run,
)
from relentless.serving.model_server.inference.regression import regress
from relentless.serving.model_server.lifecycle.servable import Session
from relentless.serving.model_server.runtime.capi import TFError

_METHODS: dict[str, Method] = {CLASSIFY: classify, REGRESS: regress}


def multi_inference(
    session: Session,
    request: Any,
    version: int,
    response: Any,
    *,
    check: bool = False,
    timeout_s: float | None = None,
) -> None:
    """Fill a ``MultiInferenceResponse``, one result for each task and in their order.

    Args:
        session: what runs the model.
        request: a ``MultiInferenceRequest``.
        version: the version that answers.
        response: the message to fill.
        check: refuse signatures of another method.
        timeout_s: how long the session may run.

    Raises:
        TFError: tasks that do not go together, or what the session says.
    """
    feeds, fetches = _plan(session, request, check)
    rows, tables = run(session, request.input, feeds, fetches, timeout_s)
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        result = response.results.add()
        result.model_spec.name = task.model_spec.name
        result.model_spec.signature_name = name
        result.model_spec.version.value = version
        kind = result.classification_result
        if task.method_name == REGRESS:
            kind = result.regression_result
        kind.SetInParent()
        _METHODS[task.method_name].fill(session.signatures[name], rows, tables, kind)


def _plan(session: Session, request: Any, check: bool) -> tuple[list[str], list[str]]:
    """Give every tensor to feed and every one to fetch."""
    feeds, fetches, model = set[str](), set[str](), ""
    seen = set[str]()
    for task in request.tasks:
        spec = task.model_spec
        if not spec.name:
            raise TFError(INVALID_ARGUMENT, "Found ModelSpec with an empty model name.")
        model = model or spec.name
        if spec.name != model:
            raise TFError(
                INVALID_ARGUMENT,
                "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
            )
        name = spec.signature_name or DEFAULT_SIGNATURE
        if name in seen:
            raise TFError(INVALID_ARGUMENT, f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        if (signature := session.signatures.get(name)) is None:
            raise TFError(INVALID_ARGUMENT, f"Requested signature not found in model graph: {name}")
        if (method := _METHODS.get(task.method_name)) is None:
            raise TFError(UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        feed, outputs = method.prepare(signature, check=check)
        feeds.add(feed)
        fetches.update(outputs)
    return sorted(feeds), sorted(fetches)
