"""Words of other servers' configurations, and the right place here. Pure.

Many files that are found for TensorFlow Serving are Triton's ``config.pbtxt``, or put a session's
setting into a model's entry. The parser says only that there is no such field; this adds where the
wish belongs.
"""

import re

BATCHING = "--enable_batching and --batching_parameters_file"
SESSION = "--tensorflow_session_config_file (ConfigProto)"
SAVED_MODEL = "the SavedModel's own signatures"
CLIENT = "the client, or a mesh before the servers: TensorFlow Serving splits no traffic"
FLAGS = "no file: it is one server's flags that say it"

MODEL_ENTRY = {
    "optimization": f"{SESSION}: graph_options",
    "gpu": f"{SESSION}: gpu_options, or --per_process_gpu_memory_fraction",
    "gpu_options": f"{SESSION}: gpu_options, or --per_process_gpu_memory_fraction",
    "per_process_gpu_memory_fraction": f"{SESSION}: gpu_options, or the flag of the same name",
    "allow_growth": f"{SESSION}: gpu_options",
    "batching": BATCHING,
    "max_batch_size": f"{BATCHING}: max_batch_size {{ value: 128 }}",
    "dynamic_batching": f"{BATCHING}; the word is Triton's",
    "preferred_batch_size": f"{BATCHING}: allowed_batch_sizes; the word is Triton's",
    "max_queue_delay_microseconds": f"{BATCHING}: batch_timeout_micros; the word is Triton's",
    "instance_group": f"{BATCHING}: num_batch_threads, or more servers; the word is Triton's",
    "input": f"{SAVED_MODEL}; the word is Triton's",
    "output": f"{SAVED_MODEL}; the word is Triton's",
    "platform": 'model_platform: "tensorflow"; the word is Triton\'s',
    "backend": 'model_platform: "tensorflow"; the word is Triton\'s',
    "version_policy": "model_version_policy { specific { versions: 1 } }; the word is Triton's",
    "default_model_filename": "the folder's own saved_model.pb; the word is Triton's",
    "parameters": f"{FLAGS}; the word is Triton's",
    "traffic": CLIENT,
    "traffic_percent": CLIENT,
    "weight": CLIENT,
    "labels": 'version_labels { key: "stable" value: 1 }',
    "version": "model_version_policy { specific { versions: 1 } }",
    "versions": "model_version_policy { specific { versions: 1 } }",
}

PLACES: dict[str, dict[str, str]] = {
    "ModelConfig": MODEL_ENTRY,
    "ModelServerConfig": MODEL_ENTRY
    | dict.fromkeys(
        ("config", "name", "base_path", "model_platform", "model_version_policy", "version_labels"),
        "model_config_list { config { ... } }",
    ),
    "BatchingParameters": {
        "preferred_batch_size": "allowed_batch_sizes; the word is Triton's",
        "max_queue_delay_microseconds": "batch_timeout_micros; the word is Triton's",
        "batch_timeout": "batch_timeout_micros { value: 1000 }",
        "max_batch": "max_batch_size { value: 128 }",
        "dynamic_batching": "the fields of this file itself; the word is Triton's",
        "max_queue_size": "max_enqueued_batches { value: 1000 }, in batches; the word is Triton's",
    },
    "MonitoringConfig": dict.fromkeys(
        ("enable", "path", "prometheus"), 'prometheus_config { enable: true path: "..." }'
    ),
    "ConfigProto": dict.fromkeys(
        (
            "per_process_gpu_memory_fraction",
            "gpu_memory_fraction",
            "allow_growth",
            "visible_device_list",
        ),
        "gpu_options { ... }",
    ),
    "GPUOptions": {
        "memory_fraction": "per_process_gpu_memory_fraction",
        "gpu_memory_fraction": "per_process_gpu_memory_fraction",
    },
}
"""By message, then by the field that somebody wrote: where that belongs."""

SHAPES = {
    "latest": "latest { num_versions: 1 }",
    "all": "all { }",
    "specific": "specific { versions: 1 versions: 2 }",
} | {
    name: f"{name} {{ value: {value} }}"
    for name, value in (
        ("max_batch_size", "128"),
        ("batch_timeout_micros", "1000"),
        ("max_enqueued_batches", "1000"),
        ("num_batch_threads", "8"),
        ("max_execution_batch_size", "128"),
        ("enable_large_batch_splitting", "true"),
        ("thread_pool_name", '"batch"'),
    )
}
"""Fields that are messages, though they look like numbers."""

_NO_FIELD = re.compile(r'Message type "[\w.]*?(\w+)" has no field named "(\w+)"')
_NO_LABEL = re.compile(r'VersionLabelsEntry" has no field named "(\w+)"')
_NO_BRACE = re.compile(r"^\d+:(\d+) : '(.*)': Expected \"\{\"", re.DOTALL)


def advice(error: str) -> str:
    """Give a sentence to put behind a parser's error, or nothing where none is known."""
    if found := _NO_LABEL.search(error):
        return f' A label is written version_labels {{ key: "{found[1]}" value: 1 }}.'
    if found := _NO_FIELD.search(error):
        place = PLACES.get(found[1], {}).get(found[2])
        return f" The place of {found[2]} is {place}." if place else ""
    if found := _NO_BRACE.search(error):
        before = found[2][: int(found[1]) - 1].rstrip(" :")
        name = re.split(r"\W", before)[-1]
        return f" It is written {SHAPES[name]}." if name in SHAPES else ""
    return ""
