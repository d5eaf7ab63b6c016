"""What decides about versions and labels without holding any: retries, label checks. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from relentless.serving.model_server.codes import FAILED_PRECONDITION, NAMES
from relentless.serving.model_server.runtime.capi import TFError

LOAD_RETRIES = 5
RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class Rules:
    """How a manager treats what fails and what is named too early."""

    labels: Literal["available", "unassigned", "any"] = "available"
    """Which labels may name a version that is not available: none, new ones, or any."""
    retries: int = LOAD_RETRIES
    """Further attempts after a load that failed."""
    retry_s: float = RETRY_S
    """Seconds between two attempts."""
    workers: int = 1
    """Models that may load at once; the versions of one model load one after another."""


def check_labels(
    name: str,
    wanted: Mapping[str, int],
    current: Mapping[str, int],
    available: Collection[int],
    rules: Rules,
) -> None:
    """Refuse a label on a version that is not available, unless the rules allow it.

    Raises:
        TFError: FAILED_PRECONDITION.
    """
    for label, number in wanted.items():
        free = rules.labels == "any" or (
            rules.labels == "unassigned" and current.get(label, number) == number
        )
        if number not in available and not free:
            raise TFError(
                FAILED_PRECONDITION,
                f"Request to assign label to version {number} of model {name}, which is not "
                "currently available for inference",
            )


def unavailable_text(
    reasons: Iterable[tuple[str, int | None, int, str]],
    what: Literal["model", "servable"] = "model",
) -> str:
    """Say which models did not become available, as TensorFlow Serving says it.

    Args:
        reasons: model, the version that failed if any, its error's code and words.
        what: the word for them; it is "servable" at a server's start.
    """
    listed = list(reasons)
    parts = []
    for name, version, code, message in listed:
        which = f"{{name: {name} version: {version}}}" if version is not None else f"name: {name}"
        error = f" due to error: {NAMES.get(code, code)}: {message}" if code else ""
        parts.append(f"{{{which}{error}}}, ")
    return f"{len(listed)} {what}(s) did not become available: {{{''.join(parts)}}}"
