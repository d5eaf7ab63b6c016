"""The model server's two processes: by our own settings, and by TensorFlow Serving's flags."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from relentless import __version__
from relentless.configs.process import announce, configure_logging
from relentless.configs.settings import Settings
from relentless.proto.errors import InvalidSettings, RelentlessError
from relentless.serving.model_server.config import (
    MODELS_CONFIG,
    MONITORING_CONFIG,
    ModelConfig,
    anywhere,
    common_root,
    from_proto,
    read_config,
    under,
    within,
)
from relentless.serving.model_server.flags import parse, usage
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.runtime.capi import TFError, library
from relentless.serving.model_server.runtime.session_config import BFLOAT16
from relentless.serving.model_server.server import Models, ModelServer, start, tend
from relentless.serving.tf_protos import model_server_config_pb2

log = structlog.get_logger(__name__)

PROGRAM = "tensorflow_model_server"
GRACE_S = 8.0
"""How long calls inside may still take by flags: containers are given ten seconds and more."""

FAILED = 255
"""The exit status where ``tensorflow_model_server`` returns -1."""

REQUIRED = ("serving_default", "encode_context", "fold_context", "predict_folded")
"""The signatures without which a version of our model does not serve."""

OWN = ServerOptions(
    port=0,
    grpc_max_threads=4,
    enable_grpc_healthcheck_service=True,
    allow_version_labels_for_unavailable_models=True,
)
"""How the model of our own settings is served: the labels of a version may come before it."""


def configs_for(settings: Settings) -> tuple[ModelConfig, ...]:
    """Give what to serve: the settings' model, as the shipped config file has it.

    A model that the file does not name is served by its highest version, without labels.

    Raises:
        InvalidSettings: the file does not parse.
    """
    name = settings.model_server.name
    root = settings.paths.models
    configs = read_config(MODELS_CONFIG, under(root))
    if any(config.name == name for config in configs):
        return tuple(config for config in configs if config.name == name)
    return (ModelConfig(name, (root / name).resolve()),)


def serve(
    address: str,
    configs: tuple[ModelConfig, ...],
    root: Path,
    required: tuple[str, ...] = (),
    rest_port: int = 0,
) -> ModelServer:
    """Load the models, then listen on "host:port" (port 0: any) or "unix:path".

    With a ``rest_port`` REST and metrics are served there, on loopback.

    Raises:
        ModelUnavailable: no version of a model loads, or the address is taken.
        InvalidSettings: an address that others can reach.
    """
    options = OWN
    if rest_port:
        options = replace(
            OWN, rest_api_port=rest_port, monitoring_config_file=str(MONITORING_CONFIG)
        )
    return start(options, Models(configs, under(root), required), (address,))


def models_for(options: ServerOptions) -> Models:
    """Give what the flags ask to serve.

    Raises:
        InvalidSettings: a file that does not parse, or that names something unservable.
    """
    asked = model_server_config_pb2.ModelServerConfig()
    if options.model_config_file:
        configs = read_config(Path(options.model_config_file), anywhere)
    else:
        asked.model_config_list.config.add(
            name=options.model_name, base_path=options.model_base_path, model_platform="tensorflow"
        )
        try:
            configs = from_proto(asked, anywhere)
        except TFError as error:
            raise InvalidSettings(str(error)) from error
    fallback = Path(options.model_config_file).resolve().parent
    root = Path(options.model_root) if options.model_root else common_root(configs, fallback)
    return Models(configs, within(root), patient=True)


def run(settings: Settings) -> None:
    """Serve by our own settings until SIGTERM or SIGINT.

    Raises:
        SystemExit: 1, with the reason in the log, where it cannot start.
    """
    configure_logging("model-server")
    stop = _until_signal()
    name = settings.model_server.name
    try:
        server = serve(
            settings.model_server.address,
            configs_for(settings),
            settings.paths.models,
            REQUIRED,
            settings.model_server.rest_port,
        )
    except RelentlessError as error:
        log.error("not started", error=str(error))
        raise SystemExit(1) from error
    announce(
        "model-server",
        address=server.address,
        rest=server.rest,
        versions=server.manager.available(name),
    )
    tend(server, OWN, stop)
    _end(server.stop())


def run_flags(arguments: Sequence[str], program: str = PROGRAM) -> int:
    """Serve by TensorFlow Serving's flags until SIGTERM or SIGINT; give the exit status."""
    try:
        options = parse(arguments)
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    if options == "help":
        sys.stdout.write(usage(program))
        return 0
    if options == "version":
        sys.stdout.write(
            f"TensorFlow ModelServer: relentless {__version__}\n"
            f"TensorFlow Library: {library().TF_Version().decode()}\n"
        )
        return 0
    configure_logging("model-server")
    return _serve_flags(options)


def _serve_flags(options: ServerOptions) -> int:
    if options.per_process_gpu_memory_fraction:
        log.warning("--per_process_gpu_memory_fraction has no effect: no GPU is used here")
    if options.mixed_precision not in ("", BFLOAT16):
        log.warning(
            f"{options.mixed_precision} auto mixed precision is not supported. "
            f"Valid option: {BFLOAT16}"
        )
    stop = _until_signal()
    try:
        models = models_for(options)
        server = start(options, models, stop=stop)
    except RelentlessError as error:
        if stop.is_set():
            return 0
        sys.stderr.write(f"Failed to start server. Error: {error}\n")
        return FAILED
    served = {config.name: server.manager.available(config.name) for config in models.configs}
    announce("model-server", address=server.address, rest=server.rest, models=served)
    tend(server, options, stop)
    _end(server.stop(GRACE_S))
    return 0


def _end(in_order: bool) -> None:
    """Let the process end; where a model does not return, without waiting for its thread."""
    if not in_order:
        log.error("ended with requests inside")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _until_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def main() -> None:
    """Run the command ``tensorflow_model_server``."""
    sys.exit(run_flags(sys.argv[1:], Path(sys.argv[0]).name))
