"""A model server with REST for the tests: half plus two under labels, and the echo model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relentless.serving.model_server.config import ModelConfig, within
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.server import Models, ModelServer, start

from .by_flags import free_port
from .rest_models import echo
from .upstream_models import half_plus

HALF, ECHO = "/v1/models/half:predict", "/v1/models/echo:predict"
REGRESS, CLASSIFY = "/v1/models/half:regress", "/v1/models/half:classify"

MONITORING = "prometheus_config { enable: true }"


@contextmanager
def rest_server(root: Path, **options: Any) -> Iterator[ModelServer]:
    """Serve; "half" has the versions 1 (plus one) and 123 (plus two, the label "stable")."""
    if not root.exists():
        half_plus(root / "half" / "1", 1.0)
        half_plus(root / "half" / "123", 2.0)
        echo(root / "echo" / "7")
    monitoring = root.parent / f"{root.name}-monitoring.config"
    monitoring.write_text(MONITORING)
    made = ServerOptions(
        **{
            "port": 0,
            "rest_api_port": free_port(),
            "monitoring_config_file": str(monitoring),
            "allow_version_labels_for_unavailable_models": True,
            "rest_api_num_threads": 4,
            **options,
        }
    )
    configs = (
        ModelConfig("half", root / "half", Policy("all"), {"stable": 123, "a b": 1}),
        ModelConfig("echo", root / "echo"),
    )
    running = start(made, Models(configs, within(root)), ("127.0.0.1:0",))
    try:
        yield running
    finally:
        running.stop(0.2)
