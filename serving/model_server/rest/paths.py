"""Which method of which model a REST request names: TensorFlow Serving's paths, and nothing else.

Pure. A path is taken as it was sent, with its query, as TensorFlow Serving takes it.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from relentless.serving.model_server.rest.json_text import bad

_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(
    r"/v1/models/(?P<model>[^/:]+)" + _VERSION + r":(?P<method>classify|regress|predict)",
    re.IGNORECASE,
)
_GET = re.compile(
    r"/v1/models(?:/(?P<model>[^/:]+))?" + _VERSION + r"(?:/(?P<method>metadata))?",
    re.IGNORECASE,
)

API_PREFIX = "/v1/"


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is for: a method, a model, and a version or a label of it."""

    method: str
    model: str
    version: int | None = None
    label: str = ""

    def name_in(self, spec: Any) -> None:
        """Fill a ``ModelSpec``."""
        spec.name = self.model
        if self.version is not None:
            spec.version.value = self.version
        if self.label:
            spec.version_label = self.label


def target(verb: str, path: str) -> Target:
    """Read a request's verb and path.

    Raises:
        TFError: no method has that path.
    """
    pattern = {"POST": _POST, "GET": _GET}.get(verb)
    match = pattern.fullmatch(path) if pattern else None
    method = match["method"] if match else None
    if match is None or (verb == "POST" and method not in _METHODS):
        raise bad(f"Malformed request: {verb} {path}")
    if not match["model"]:
        raise bad("Missing model name in request.")
    version = match["version"]
    digits = version.lstrip("0") if version else ""
    if len(digits) > 19 or int(digits or 0) >= 1 << 63:
        raise bad(f"Failed to convert version: {version} to numeric.")
    return Target(
        method if method in _METHODS else "status",
        unquote(match["model"], errors="replace"),
        int(digits or 0) if version else None,
        unquote(match["label"] or "", errors="replace"),
    )


_METHODS = ("classify", "regress", "predict", "metadata")
"""As they are written: a POST to another spelling is malformed, a GET asks for the status."""
