"""What can be set of the model server: one field for every flag of ``tensorflow_model_server``.

The names and the defaults are TensorFlow Serving's. The last fields are this server's own and have
no counterpart there. ``flags.py`` above fills this from a command line; this module reads nothing.
"""

import os
from dataclasses import dataclass, field, fields
from typing import Any


def schedulable_cpus() -> int:
    """Give the number of processors that this process may run on."""
    count = getattr(os, "sched_getaffinity", None)
    return len(count(0)) if count else os.cpu_count() or 1


def _per_cpu() -> int:
    return 4 * schedulable_cpus()


def _flag(default: Any, words: str) -> Any:
    return field(default=default, metadata={"help": words})


def _threads(words: str) -> Any:
    return field(default_factory=_per_cpu, metadata={"help": words})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Every setting of one model server."""

    port: int = _flag(8500, "TCP port for gRPC; 0 opens none")
    grpc_socket_path: str = _flag("", "path of a Unix socket for gRPC, beside the port")
    grpc_channel_arguments: str = _flag("", "gRPC server arguments: key=value,key=value")
    grpc_max_threads: int = _threads("threads that answer gRPC calls; four a processor unless set")
    ssl_config_file: str = _flag("", "SSLConfig as text: TLS for gRPC, and clients' certificates")
    enable_grpc_healthcheck_service: bool = _flag(False, "answer grpc.health.v1 too")

    rest_api_port: int = _flag(0, "TCP port for REST; 0 opens none")
    rest_api_num_threads: int = _threads(
        "threads that answer REST calls; four a processor unless set"
    )
    rest_api_timeout_in_ms: int = _flag(30_000, "the longest that a REST call may take")
    rest_api_enable_cors_support: bool = _flag(False, "send CORS headers with REST answers")
    monitoring_config_file: str = _flag("", "MonitoringConfig as text: Prometheus metrics")

    model_name: str = _flag("default", "name of the one model, without --model_config_file")
    model_base_path: str = _flag("", "folder of its versions, without --model_config_file")
    model_config_file: str = _flag("", "ModelServerConfig as text: many models, policies, labels")
    model_config_file_poll_wait_seconds: int = _flag(
        0, "read that file again after so many seconds; 0: only at the start"
    )
    file_system_poll_wait_seconds: int = _flag(
        1, "look for new versions after so many seconds; 0: only at the start; below 0: never"
    )
    max_num_load_retries: int = _flag(5, "further attempts at a version that failed to load")
    load_retry_interval_micros: int = _flag(
        60_000_000, "time between two such attempts; below 0: none"
    )
    num_load_threads: int = _flag(0, "versions that may load at once after the start; 0: one")
    num_unload_threads: int = _flag(0, "accepted; a version is unloaded when its last call ends")
    flush_filesystem_caches: bool = _flag(True, "let go of cached model files after a load")
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "a new label may name a version that is not available yet"
    )
    force_allow_any_version_labels_for_unavailable_models: bool = _flag(
        False, "any label may name a version that is not available yet"
    )

    enable_batching: bool = _flag(False, "merge the requests of several clients into one run")
    batching_parameters_file: str = _flag("", "BatchingParameters as text")
    enable_per_model_batching_parameters: bool = _flag(
        False, "read batching_params.pbtxt beside each SavedModel"
    )

    saved_model_tags: str = _flag("serve", "tags of the graph to load, separated by commas")
    enable_model_warmup: bool = _flag(True, "run a version's recorded requests before it serves")
    num_request_iterations_for_warmup: int = _flag(
        0, "how often each recorded request runs, where above 0"
    )
    tensorflow_session_parallelism: int = _flag(
        0, "threads of a session, within and between operations; 0: chosen here"
    )
    tensorflow_intra_op_parallelism: int = _flag(0, "threads within one operation")
    tensorflow_inter_op_parallelism: int = _flag(0, "operations that may run at once")
    tensorflow_session_config_file: str = _flag("", "ConfigProto as text, for every session")
    mixed_precision: str = _flag("", "bfloat16: let oneDNN compute in it where that is faster")
    per_process_gpu_memory_fraction: float = _flag(0.0, "accepted; no GPU is used here")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(
        True, "accepted; only the signatures are kept anyway"
    )
    enable_signature_method_name_check: bool = _flag(
        False, "Classify and Regress refuse signatures of another method"
    )
    enable_serialization_as_tensor_content: bool = _flag(
        False, "Predict answers in tensor_content instead of typed fields"
    )
    enable_profiler: bool = _flag(True, "answer ProfilerService, for TensorBoard")
    xla_cpu_compilation_enabled: bool = _flag(False, "compile with XLA what a graph marks for it")

    bind_address: str = _flag(
        "", "own: address to listen on; loopback unless set, others need clients' certificates"
    )
    model_root: str = _flag(
        "", "own: folder that reloaded models must lie in; see docs/model-server.md"
    )


def describe() -> list[tuple[str, type, str]]:
    """Give every option's name, type and meaning, in order."""
    return [(f.name, _TYPES[f.type], f.metadata["help"]) for f in fields(ServerOptions)]


_TYPES: dict[Any, type] = {kind: kind for kind in (int, str, bool, float)}
