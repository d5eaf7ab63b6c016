"""The model server's process: load, open the port, poll, and end in order.

The port opens after the first load, so an open port means ready, as with TensorFlow Serving.
"""

import ipaddress
import signal
import threading
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import (  # type: ignore[import-untyped]
    health,
    health_pb2,
    health_pb2_grpc,
)

from relentless.configs.process import announce, configure_logging
from relentless.configs.settings import Settings
from relentless.models.manifest import MANIFEST, verify
from relentless.proto.errors import InvalidSettings, ModelInvalid, ModelUnavailable, RelentlessError
from relentless.serving.model_server.capi import TFError, library
from relentless.serving.model_server.config import MODELS_CONFIG, ModelConfig, read_config
from relentless.serving.model_server.core import Core
from relentless.serving.model_server.manager import Manager
from relentless.serving.model_server.services import ModelService, PredictionService
from relentless.serving.model_server.session import SavedModelSession
from relentless.serving.model_server.warmup import admit
from relentless.serving.tf_protos import model_service_pb2_grpc, prediction_service_pb2_grpc

log = structlog.get_logger(__name__)

SERVICES = ("PredictionService", "ModelService")
WORKERS = 4
MAX_RPCS = 256
POLL_S = 1.0
GRACE_S = 1.5

FAILED_PRECONDITION = 9

REQUIRED = ("serving_default", "encode_context", "fold_context", "predict_folded")
"""The signatures without which a version of our model does not serve."""


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A server that listens, and what stands behind it."""

    address: str
    grpc: grpc.Server
    manager: Manager
    health: health.HealthServicer

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Refuse new calls, let those inside finish, then unload."""
        self.health.enter_graceful_shutdown()
        self.grpc.stop(grace_s).wait(grace_s + 0.5)
        self.manager.close(drain_s=0.25)


def load_version(
    name: str, version: int, folder: Path, required: tuple[str, ...] = ()
) -> SavedModelSession:
    """Load a version and let it pass its checks and its warm-up.

    A version with a manifest is held to it: its files, and the features that it was trained on.

    Raises:
        TFError: it must not serve.
    """
    if (folder / MANIFEST).exists():
        try:
            verify(folder)
        except ModelInvalid as error:
            raise TFError(FAILED_PRECONDITION, str(error)) from error
    session = SavedModelSession(folder)
    try:
        count = admit(session, folder, version, required)
    except BaseException:
        session.close()
        raise
    log.info("version warmed up", model=name, version=version, requests=count)
    return session


def configs_for(settings: Settings) -> tuple[ModelConfig, ...]:
    """Give what to serve: the settings' model, as the shipped config file has it.

    A model that the file does not name is served by its highest version, without labels.

    Raises:
        InvalidSettings: the file does not parse.
    """
    name = settings.model_server.name
    root = settings.paths.models
    configs = read_config(MODELS_CONFIG, root)
    if any(config.name == name for config in configs):
        return tuple(config for config in configs if config.name == name)
    return (ModelConfig(name, (root / name).resolve()),)


def require_local(address: str) -> None:
    """Accept loopback and Unix sockets: TensorFlow Serving's contract knows no credential.

    Raises:
        InvalidSettings: an address that others can reach.
    """
    host = address.rpartition(":")[0].strip("[]")
    if address.startswith("unix:") or host == "localhost":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise InvalidSettings(
        f"the model server asks for no credential, so it does not listen on {address}: give "
        "127.0.0.1:8500 or unix:/path/to/socket"
    )


def serve(
    address: str, configs: tuple[ModelConfig, ...], root: Path, required: tuple[str, ...] = ()
) -> ModelServer:
    """Load the models, then listen on "host:port" (port 0: any) or "unix:path".

    Raises:
        ModelUnavailable: no version of a model loads, or the address is taken.
        InvalidSettings: an address that others can reach.
    """
    require_local(address)
    library()
    manager = Manager(lambda name, v, folder: load_version(name, v, folder, required))
    try:
        manager.configure(configs, labels_ahead=True)
    except TFError as error:
        raise ModelUnavailable(f"the model server cannot start: {error}") from error
    server = grpc.server(
        futures.ThreadPoolExecutor(WORKERS, thread_name_prefix="model-server"),
        maximum_concurrent_rpcs=MAX_RPCS,
        options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
    )
    core = Core(manager, root, labels_ahead=True)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(core), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(core), server)
    watch = health.HealthServicer()
    for name in ("", *SERVICES, *(f"tensorflow.serving.{service}" for service in SERVICES)):
        watch.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(watch, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ModelUnavailable(f"the model server cannot listen on {address}: {error}") from error
    server.start()
    bound = address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
    return ModelServer(bound, server, manager, watch)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SystemExit: 1, with the reason in the log, where it cannot start.
    """
    configure_logging("model-server")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    name = settings.model_server.name
    try:
        server = serve(
            settings.model_server.address, configs_for(settings), settings.paths.models, REQUIRED
        )
    except RelentlessError as error:
        log.error("not started", error=str(error))
        raise SystemExit(1) from error
    announce("model-server", address=server.address, versions=server.manager.available(name))
    while not stop.wait(POLL_S):
        server.manager.poll()
    server.stop()
