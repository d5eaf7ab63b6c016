"""The command line of ``tensorflow_model_server``, read into ``ServerOptions``. Pure.

A flag is ``--name=value``; a boolean is also ``--name`` alone and takes ``true`` or ``false``.
Beyond TensorFlow Serving, ``--name value`` is understood for the others. What cannot be understood,
or exists there and not here, is an ``InvalidSettings`` that names the flag.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from relentless.proto.errors import InvalidSettings
from relentless.serving.model_server.options import ServerOptions, describe

_INT_RANGE = range(-(1 << 31), 1 << 31)
_WIDE = frozenset({"load_retry_interval_micros"})

_NO_TFLITE = "there is no TensorFlow Lite runtime here, save the model as a SavedModel"
UNSUPPORTED = {
    "use_tflite_model": _NO_TFLITE,
    "prefer_tflite_model": _NO_TFLITE,
    "num_tflite_pools": _NO_TFLITE,
    "num_tflite_interpreters_per_pool": _NO_TFLITE,
    "platform_config_file": "SavedModel is the only platform here, and other flags set its session",
    "use_alts_credentials": "ALTS works on Google's cloud only, use --ssl_config_file",
    "xla_gpu_compilation_enabled": "there is no GPU here",
    "thread_pool_factory_config_file": "set the threads with --tensorflow_session_config_file",
    "use_tfrt": "models run in TensorFlow sessions here",
}
"""Flags that exist in TensorFlow Serving and do nothing here, and why."""

IGNORED = frozenset({"use_saved_model", "skip_initialize_tpu"})
"""Flags without meaning here that change nothing either way."""

_KINDS = {name: kind for name, kind, _ in describe()}

Wish = ServerOptions | Literal["help", "version"]
"""What a command line asks for."""


def parse(arguments: Sequence[str]) -> Wish:
    """Read a command line, without the program's name.

    Raises:
        InvalidSettings: a flag that is unknown, not supported here, or has a value that it cannot.
    """
    given: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("--help", "-h", "--helpfull"):
            return "help"
        if word in ("--version", "--version=true"):
            return "version"
        if not word.startswith("--") or word == "--":
            raise InvalidSettings(f"unknown argument: {word}: flags are --name=value")
        name, equals, text = word[2:].partition("=")
        if name in _KINDS:
            given[name] = _value(name, text if equals else _next_word(name, rest))
        else:
            _refuse(name, text if equals else None)
    return _checked(replace(ServerOptions(), **given))


def _next_word(name: str, rest: list[str]) -> str | None:
    """Take the value of a flag that was given without "=": a boolean has none."""
    if _KINDS[name] is bool:
        return None
    if not rest or rest[0].startswith("--"):
        raise InvalidSettings(f"--{name} needs a value: --{name}=...")
    return rest.pop(0)


def _refuse(name: str, text: str | None) -> None:
    """Say why a flag is not taken; one that asks for nothing is left alone."""
    if name in UNSUPPORTED:
        if text not in ("false", ""):
            raise InvalidSettings(f"--{name} is not supported here: {UNSUPPORTED[name]}")
    elif name not in IGNORED:
        raise InvalidSettings(f"unknown argument: --{name}: see --help for the flags there are")


def _value(name: str, text: str | None) -> Any:
    kind = _KINDS[name]
    if kind is bool:
        if text not in (None, "true", "false"):
            raise InvalidSettings(f"--{name}={text}: give true or false")
        return text != "false"
    if kind is str or text is None:
        return text
    try:
        value = kind(text)
    except ValueError as error:
        word = "a whole number" if kind is int else "a number"
        raise InvalidSettings(f"--{name}={text}: give {word}") from error
    if kind is int and name not in _WIDE and value not in _INT_RANGE:
        raise InvalidSettings(f"--{name}={text}: give a number of at most 32 bits")
    return value


def _checked(options: ServerOptions) -> ServerOptions:
    for name in ("port", "rest_api_port"):
        if not 0 <= getattr(options, name) <= 65535:
            raise InvalidSettings(f"--{name}={getattr(options, name)}: a port is 0 to 65535")
    for name in ("grpc_max_threads", "rest_api_num_threads", "rest_api_timeout_in_ms"):
        if getattr(options, name) < 1:
            raise InvalidSettings(f"--{name}={getattr(options, name)}: give 1 or more")
    if not options.model_base_path and not options.model_config_file:
        raise InvalidSettings(
            "Both server_options.model_base_path and server_options.model_config_file are empty! "
            "Give --model_base_path or --model_config_file"
        )
    if options.batching_parameters_file and not options.enable_batching:
        raise InvalidSettings(
            "server_options.batching_parameters_file is set without setting "
            "server_options.enable_batching to true: add --enable_batching"
        )
    if (
        options.tensorflow_session_parallelism > 0
        and options.tensorflow_intra_op_parallelism > 0
        and options.tensorflow_inter_op_parallelism > 0
    ):
        raise InvalidSettings(
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, "
            "server_options.tensorflow_inter_op_parallelism) separately. You cannot configure all."
        )
    if not 0 <= options.per_process_gpu_memory_fraction <= 1:
        raise InvalidSettings("--per_process_gpu_memory_fraction is between 0.0 and 1.0")
    return options


def usage(program: str) -> str:
    """Give the text of ``--help``."""
    defaults = ServerOptions()
    lines = [
        f"usage: {program} --model_base_path=/path/to/model | --model_config_file=/path/to/file",
        "Flags:",
    ]
    for name, kind, words in describe():
        value = getattr(defaults, name)
        shown = str(value).lower() if kind is bool else f'"{value}"' if kind is str else value
        lines.append(f"  --{name}={shown}\t{kind.__name__}\t{words}")
    lines.append("  --version=false\tbool\tprint the versions and end")
    return "\n".join(lines) + "\n"
