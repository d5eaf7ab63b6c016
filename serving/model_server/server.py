"""One model server put together from its options: models, gRPC, and what else listens beside it.

The port opens after the first load, so an open port means ready, as with TensorFlow Serving. Above:
``main.py``, the processes.
"""

import threading
import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import grpc
import structlog
from grpc_health.v1 import (  # type: ignore[import-untyped]
    health_pb2,
    health_pb2_grpc,
)
from grpc_health.v1.health import HealthServicer  # type: ignore[import-untyped]

from relentless.proto.errors import InvalidSettings, ModelUnavailable, RelentlessError
from relentless.serving.model_server.batching.options import from_flags
from relentless.serving.model_server.batching.session import Batching
from relentless.serving.model_server.config import ModelConfig, Place, anywhere, read_config
from relentless.serving.model_server.core import Answering, Core
from relentless.serving.model_server.leaving import Door
from relentless.serving.model_server.lifecycle.loading import Loading, bare
from relentless.serving.model_server.lifecycle.manager import Manager
from relentless.serving.model_server.lifecycle.rules import Rules, unavailable_text
from relentless.serving.model_server.listeners import (
    addresses,
    channel_arguments,
    listen,
    read_ssl,
    require_local,
)
from relentless.serving.model_server.metering import MeteredCore
from relentless.serving.model_server.metrics import Metrics
from relentless.serving.model_server.options import ServerOptions, schedulable_cpus
from relentless.serving.model_server.profiler import Profiler, handler
from relentless.serving.model_server.rest.start import rest_options, rest_server
from relentless.serving.model_server.runtime.capi import TFError, library
from relentless.serving.model_server.runtime.recording import Recorder
from relentless.serving.model_server.runtime.session_config import from_options
from relentless.serving.model_server.services import ModelService, PredictionService
from relentless.serving.model_server.text_files import read_message
from relentless.serving.tf_protos import (
    config_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

log = structlog.get_logger(__name__)

SERVICES = ("PredictionService", "ModelService")
MAX_RPCS = 1024
GRACE_S = 1.5
LOOK_S = 0.25
"""How often a server that waits for its first models looks at what has become of them."""


class Part(Protocol):
    """Something that listens beside gRPC."""

    def stop(self, grace_s: float) -> None:
        """Refuse new calls and let those inside finish."""
        ...


@dataclass(frozen=True, slots=True)
class Models:
    """What a server serves."""

    configs: tuple[ModelConfig, ...]
    place: Place
    """Where a reload may find models."""
    required: tuple[str, ...] = ()
    """The signatures without which a version does not serve."""
    patient: bool = False
    """Wait for models that are not there yet, and try failed ones again, before the port opens."""


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A server that listens, and what stands behind it."""

    address: str
    grpc: grpc.Server
    manager: Manager
    core: Core
    health: HealthServicer | None = None
    parts: tuple[Part, ...] = ()
    batching: Batching | None = None
    metrics: Metrics = field(default_factory=Metrics)
    rest: str = ""
    """Where REST is answered, as "host:port"."""
    door: Door = field(default_factory=Door)

    def stop(self, grace_s: float = GRACE_S) -> bool:
        """Refuse new calls, let those inside finish, then unload; tell whether all of them did."""
        if self.health:
            self.health.enter_graceful_shutdown()
        beside = [threading.Thread(target=part.stop, args=(grace_s,)) for part in self.parts]
        for thread in beside:
            thread.start()
        begun = time.monotonic()
        self.door.close(grace_s)
        left = max(0.0, grace_s - (time.monotonic() - begun))
        # What gRPC itself still waits for are streams of the health service.
        self.grpc.stop(min(left, GRACE_S)).wait(GRACE_S + 0.5)
        for thread in beside:
            thread.join()
        ended_all = self.manager.close(drain_s=0.25)
        if self.batching:
            self.batching.stop()
        return ended_all


def start(
    options: ServerOptions,
    models: Models,
    wanted: tuple[str, ...] | None = None,
    stop: threading.Event | None = None,
) -> ModelServer:
    """Load the models, then listen.

    Args:
        options: the settings.
        models: what to serve.
        wanted: gRPC addresses instead of those of the options; port 0 is any.
        stop: ends the wait for models that are not there yet.

    Raises:
        ModelUnavailable: a model has no version that loads, or an address is taken.
        InvalidSettings: a file that does not parse, or an address that others can reach.
    """
    wanted = addresses(options) if wanted is None else wanted
    ssl = read_ssl(options.ssl_config_file)
    for address in wanted:
        require_local(address, certified=ssl is not None and ssl.client_verify)
    arguments = channel_arguments(options.grpc_channel_arguments)
    metrics = Metrics()
    rest_wanted = rest_options(options)
    batching = batching_for(options, metrics)
    recorder = Recorder()
    profiler = Profiler(recorder)
    loading = loading_for(options, models.required, batching, metrics, recorder)
    # A caller waits in a thread until its batch ran, so too few threads keep batches small.
    threads = max(options.grpc_max_threads, batching.callers if batching else 0)
    door = Door()
    server = grpc.server(
        futures.ThreadPoolExecutor(threads, thread_name_prefix="model-server"),
        interceptors=[door],
        maximum_concurrent_rpcs=MAX_RPCS,
        options=arguments,
    )
    manager = Manager(loading.load, rules=rules_for(options))
    core = Core(
        manager,
        models.place,
        Answering(
            options.enable_serialization_as_tensor_content,
            options.enable_signature_method_name_check,
        ),
        metrics,
    )
    watch = _register(server, core, metrics, profiler, options)
    try:
        library()
        _bring_up(manager, models, options, stop or threading.Event())
        opened = listen(server, wanted, ssl)
        rest = rest_server(rest_wanted, core, metrics, threads if batching else 0)
        if rest:
            log.info(f"Exporting HTTP/REST API at:{rest.start().name} ...")
    except RelentlessError:
        manager.close(drain_s=0.25)
        if batching:
            batching.stop()
        raise
    server.start()
    for address in opened:
        place = address.replace("unix:", "UNIX socket ", 1)
        log.info(f"Running gRPC ModelServer at {place} ...")
    return ModelServer(
        opened[0],
        server,
        manager,
        core,
        watch,
        (rest, profiler) if rest else (profiler,),
        batching,
        metrics,
        rest.address if rest else "",
        door,
    )


def batching_for(options: ServerOptions, metrics: Metrics) -> Batching | None:
    """Give the batching that the flags ask for, with its threads started.

    Raises:
        InvalidSettings: its file does not parse, or its numbers contradict each other.
    """
    if not options.enable_batching:
        return None
    made = from_flags(options.batching_parameters_file)
    return Batching(made, per_model=options.enable_per_model_batching_parameters, observer=metrics)


def loading_for(
    options: ServerOptions,
    required: tuple[str, ...],
    batching: Batching | None = None,
    metrics: Metrics | None = None,
    recorder: Recorder | None = None,
) -> Loading:
    """Give what every version is loaded with.

    Raises:
        InvalidSettings: the session's configuration does not parse.
    """
    given = None
    if options.tensorflow_session_config_file:
        given = read_message(Path(options.tensorflow_session_config_file), config_pb2.ConfigProto())
    return Loading(
        required=required,
        tags=tuple(filter(None, options.saved_model_tags.split(","))),
        config=from_options(options, given),
        warm_up=options.enable_model_warmup,
        iterations=max(1, options.num_request_iterations_for_warmup),
        check_methods=options.enable_signature_method_name_check,
        wrap=batching.wrap if batching else bare,
        metrics=metrics,
        recorder=recorder,
    )


def rules_for(options: ServerOptions) -> Rules:
    """Give how the manager treats failures and early labels."""
    labels = "available"
    if options.force_allow_any_version_labels_for_unavailable_models:
        labels = "any"
    elif options.allow_version_labels_for_unavailable_models:
        labels = "unassigned"
    return Rules(
        labels=labels,  # type: ignore[arg-type]
        retries=max(0, options.max_num_load_retries),
        retry_s=max(0, options.load_retry_interval_micros) / 1e6,
        workers=options.num_load_threads or schedulable_cpus(),
    )


def _register(
    server: grpc.Server, core: Core, metrics: Metrics, profiler: Profiler, options: ServerOptions
) -> HealthServicer | None:
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(MeteredCore(core, metrics)), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(core), server)
    if options.enable_profiler:
        server.add_generic_rpc_handlers((handler(profiler),))
    if not options.enable_grpc_healthcheck_service:
        return None
    watch = HealthServicer()
    for name in ("", *SERVICES, *(f"tensorflow.serving.{service}" for service in SERVICES)):
        watch.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(watch, server)
    return watch


def _bring_up(
    manager: Manager, models: Models, options: ServerOptions, stop: threading.Event
) -> None:
    """Load the first versions; wait for those that may still come, where that was asked for."""
    looks = options.file_system_poll_wait_seconds
    try:
        names = manager.apply(models.configs, look=looks >= 0 or not models.patient)
    except TFError as error:
        raise ModelUnavailable(f"the model server cannot start: {error}") from error
    every = Every(float(looks), manager.poll) if looks > 0 else None
    told = False
    while missing := manager.missing(names):
        lost = any(manager.given_up(name) for name, *_ in missing)
        never = looks == 0 and any(not code for *_, code, _ in missing)
        if lost or never or not models.patient:
            raise ModelUnavailable(
                f"the model server cannot start: {unavailable_text(missing, 'servable')}"
                + (": no version was found there" if never else "")
            )
        if not told:
            log.warning("waiting for models", models=[name for name, *_ in missing])
            told = True
        if stop.wait(LOOK_S):
            raise ModelUnavailable("the model server was told to end before its models came")
        if every:
            every.run_when_due()
        manager.retry()


class Every:
    """Something to be done again and again, so many seconds apart."""

    def __init__(self, seconds: float, task: Callable[[], object]) -> None:
        self._seconds = seconds
        self._task = task
        self._next = time.monotonic() + seconds

    def left(self) -> float:
        """Give the seconds until the next time."""
        return max(0.0, self._next - time.monotonic())

    def run_when_due(self) -> None:
        """Do it if its time has come."""
        if self.left() <= 0:
            self._task()
            self._next = time.monotonic() + self._seconds


def tend(server: ModelServer, options: ServerOptions, stop: threading.Event) -> None:
    """Look for new versions, failed loads to retry and a new configuration, until told to end."""
    tasks = [Every(1.0, server.manager.retry)]
    if options.file_system_poll_wait_seconds > 0:
        tasks.append(
            Every(
                options.file_system_poll_wait_seconds,
                lambda: server.manager.poll(patient=False),
            )
        )
    if options.model_config_file and options.model_config_file_poll_wait_seconds > 0:
        path = Path(options.model_config_file)
        tasks.append(
            Every(options.model_config_file_poll_wait_seconds, lambda: reload(server.manager, path))
        )
    while not stop.wait(min(task.left() for task in tasks)):
        for task in tasks:
            task.run_when_due()


def reload(manager: Manager, path: Path) -> None:
    """Serve what the configuration file lists by now; a file that is wrong changes nothing."""
    try:
        manager.apply(read_config(path, anywhere, manager.configured()))
    except (InvalidSettings, TFError) as error:
        log.error("configuration not taken over", path=str(path), error=str(error))
