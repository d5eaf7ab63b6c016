"""What the server serves: TensorFlow Serving's ``ModelServerConfig`` read into plain objects.

The file ``configs/tfserving/models.config`` is the one that a ``tensorflow/serving`` container
reads. Its base paths lie under the container's ``/models``; with our own settings they are moved
under the model root, and nothing outside that root is ever served. A server that was started by
flags takes the paths as they are; a reload by a client stays under its root too.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relentless.configs.settings import HERE
from relentless.proto.errors import InvalidSettings
from relentless.serving.model_server.codes import INVALID_ARGUMENT
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.text_files import read_message
from relentless.serving.tf_protos import model_server_config_pb2

MODELS_CONFIG = HERE / "tfserving" / "models.config"
MONITORING_CONFIG = HERE / "tfserving" / "monitoring.config"
CONTAINER_ROOT = Path("/models")

PLATFORM = "tensorflow"

LATEST = Policy()

Place = Callable[[str, Path], Path]
"""Says where a model's base path lies; raises TFError where it may not lie there."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One served model."""

    name: str
    base: Path
    policy: Policy = LATEST
    labels: Mapping[str, int] = field(default_factory=dict)


def read_config(path: Path, place: Place, known: Collection[str] = ()) -> tuple[ModelConfig, ...]:
    """Read a model config file, with its base paths where ``place`` says.

    Args:
        path: the file.
        place: where a model's base path lies.
        known: the models that are served already; only another list takes their place.

    Raises:
        InvalidSettings: a file that does not parse, or that names something unservable.
    """
    parsed = read_message(path, model_server_config_pb2.ModelServerConfig())
    kind = parsed.WhichOneof("config")
    if known and kind != "model_config_list":
        raise InvalidSettings(
            f"{path}: Cannot transition to requested config. It is only legal to transition from "
            "one ModelConfigList to another."
        )
    if kind == "custom_model_config":
        raise InvalidSettings(f"{path}: ModelServer does not yet support custom model config.")
    try:
        return from_proto(parsed, place, known)
    except TFError as error:
        raise InvalidSettings(f"{path}: {error}") from error


def declared_labels(folder: Path) -> dict[str, int]:
    """Give the labels that our own config file declares for the model in a folder.

    For a process that must choose without a server to ask. Only versions that lie there count.

    Raises:
        InvalidSettings: the file does not parse, or declares no such model.
    """
    for config in read_config(MODELS_CONFIG, under(folder.parent)):
        if config.name == folder.name:
            return {k: v for k, v in config.labels.items() if (folder / str(v)).is_dir()}
    raise InvalidSettings(f"{MODELS_CONFIG} declares no model {folder.name}")


def from_proto(config: Any, place: Place, known: Collection[str] = ()) -> tuple[ModelConfig, ...]:
    """Check a ``ModelServerConfig`` message and give its models.

    Args:
        config: the message.
        place: where a model's base path lies.
        known: the models that are served already, which keep their platform.

    Raises:
        TFError: INVALID_ARGUMENT, in TensorFlow Serving's words where it has some.
    """
    entries = config.model_config_list.config
    _check_names(entries)
    for entry in entries:
        _check_path(entry)
    for entry in entries:
        _check_platform(entry, entry.name in known)
        _check_logging(entry)
    return tuple(
        ModelConfig(
            name=entry.name,
            base=place(entry.name, Path(entry.base_path)),
            policy=_policy(entry.model_version_policy),
            labels=dict(entry.version_labels),
        )
        for entry in entries
    )


def under(root: Path) -> Place:
    """Give the rule of our own settings: paths lie under a root, and ``/models`` is that root."""
    root = root.resolve()

    def place(name: str, given: Path) -> Path:
        if not given.resolve().is_relative_to(root) and given.is_relative_to(CONTAINER_ROOT):
            given = root / given.relative_to(CONTAINER_ROOT)
        path = given.resolve()
        if path == root:
            raise _outside(name)
        return within(root)(name, path)

    return place


def within(root: Path) -> Place:
    """Give the rule of a reload: paths lie under a root, and stay as they are."""
    root = root.resolve()

    def place(name: str, given: Path) -> Path:
        if not given.resolve().is_relative_to(root):
            raise _outside(name)
        return given

    return place


def anywhere(name: str, given: Path) -> Path:
    """Take a path as it is: the rule of the file that the server was started with."""
    return given


def common_root(configs: Iterable[ModelConfig], fallback: Path) -> Path:
    """Give the folder that holds every model's base path, or the fallback without models.

    Where the folder above that one is closed to everybody else, it is the root: nobody else can
    have put a model there.
    """
    parents = [str(config.base.resolve().parent) for config in configs]
    if not parents:
        return fallback
    root = Path(os.path.commonpath(parents))
    try:
        above = root.parent.stat()
    except OSError:
        return root
    closed = above.st_uid == os.getuid() and not above.st_mode & 0o077
    return root.parent if closed and root.parent != Path.home() else root


def _outside(name: str) -> TFError:
    return TFError(
        INVALID_ARGUMENT,
        f"Model {name} lies outside the model root; a server that is to serve it is started with "
        "another --model_root",
    )


def _check_names(entries: Iterable[Any]) -> None:
    names: set[str] = set()
    for entry in entries:
        if entry.name in names:
            raise TFError(
                INVALID_ARGUMENT,
                f"Illegal to list model {entry.name} multiple times in config list",
            )
        names.add(entry.name)


def _check_path(entry: Any) -> None:
    if "://" in entry.base_path:
        raise TFError(
            INVALID_ARGUMENT,
            f"Model {entry.name} lies at {entry.base_path}: only local folders are served here",
        )
    if not Path(entry.base_path).is_absolute():
        raise TFError(
            INVALID_ARGUMENT,
            f"Expected model {entry.name} to have an absolute path or URI; "
            f"got base_path()={entry.base_path}",
        )


def _check_platform(entry: Any, known: bool) -> None:
    if entry.model_type:
        if entry.model_platform:
            raise TFError(
                INVALID_ARGUMENT,
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                "ModelServerConfig::model_platform.",
            )
        if entry.model_type != model_server_config_pb2.TENSORFLOW:
            raise TFError(
                INVALID_ARGUMENT,
                f"ModelServerConfig::model_type choice {entry.model_type} not supported.",
            )
    elif not entry.model_platform:
        raise TFError(
            INVALID_ARGUMENT,
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {entry.name}",
        )
    elif entry.model_platform != PLATFORM and known:
        raise TFError(
            INVALID_ARGUMENT,
            f"Illegal to change a model's platform. For model {entry.name} platform was "
            f"{PLATFORM} and new platform requested is {entry.model_platform}",
        )
    elif entry.model_platform != PLATFORM:
        raise TFError(
            INVALID_ARGUMENT,
            f"Model {entry.name} requests unsupported platform {entry.model_platform}",
        )


def _check_logging(entry: Any) -> None:
    if entry.HasField("logging_config"):
        raise TFError(
            INVALID_ARGUMENT,
            f"No request-logger-creator provided. Requests of model {entry.name} cannot be "
            "logged: leave logging_config out",
        )


def _policy(policy: Any) -> Policy:
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return Policy("all")
    if kind == "specific":
        return Policy("specific", versions=frozenset(policy.specific.versions))
    return Policy("latest", count=policy.latest.num_versions or 1)
