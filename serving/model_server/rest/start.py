"""The REST port as the flags ask for it, with the metrics' path where a file asks for that."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from relentless.proto.gen import model_server_pb2
from relentless.serving.model_server.core import Core
from relentless.serving.model_server.listeners import LOOPBACK, require_local
from relentless.serving.model_server.metrics import Metrics
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.text_files import read_message

if TYPE_CHECKING:
    from relentless.serving.model_server.rest.http import RestServer

log = structlog.get_logger(__name__)

METRICS_PATH = "/monitoring/prometheus/metrics"
"""Where Prometheus reads, unless the file names another path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """How to listen; the flags of the same names say more."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    """All of them get the same port; one that the machine lacks is left out beside another."""
    port: int = 0
    threads: int = 4
    timeout_s: float | None = 30.0
    cors: bool = False
    metrics_path: str = ""
    """Where Prometheus reads; "" serves no metrics."""


def rest_options(options: ServerOptions) -> RestOptions | None:
    """Read what the flags say of REST; None where they ask for none.

    Raises:
        InvalidSettings: the monitoring file does not parse, or an address that others can reach.
    """
    path = metrics_path(options.monitoring_config_file)
    if not options.rest_api_port:
        if path:
            log.warning("metrics are served on the REST port: give --rest_api_port")
        return None
    if options.rest_api_port == options.port:
        log.error(
            "server_options.http_port cannot be same as grpc_port. Please use a different port for "
            "HTTP/REST API. Skipped exporting HTTP/REST API."
        )
        return None
    hosts = (options.bind_address,) if options.bind_address else LOOPBACK
    for host in hosts:
        require_local(f"{host}:{options.rest_api_port}")
    limit = options.rest_api_timeout_in_ms
    return RestOptions(
        hosts=tuple(host.strip("[]") for host in hosts),
        port=options.rest_api_port,
        threads=max(1, options.rest_api_num_threads),
        timeout_s=limit / 1000 if limit > 0 else None,
        cors=options.rest_api_enable_cors_support,
        metrics_path=path,
    )


def metrics_path(file: str) -> str:
    """Give the path that a ``MonitoringConfig`` asks for, or "".

    Raises:
        InvalidSettings: it does not parse.
    """
    if not file:
        return ""
    asked = read_message(Path(file), model_server_pb2.MonitoringConfig()).prometheus_config
    return (asked.path or METRICS_PATH) if asked.enable else ""


def rest_server(
    options: RestOptions | None, core: Core, metrics: Metrics, least_threads: int = 0
) -> "RestServer | None":
    """Open the REST port; nothing is answered before ``start``.

    Raises:
        ModelUnavailable: the address is taken.
    """
    if options is None:
        return None
    # A server without REST starts without HTTP's modules: 0.15 s and 4 MB.
    from relentless.serving.model_server.rest.api import RestApi
    from relentless.serving.model_server.rest.http import RestServer

    options = replace(options, threads=max(options.threads, least_threads))
    return RestServer(RestApi(core, metrics, options.timeout_s), metrics, options)
