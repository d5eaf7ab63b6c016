"""What the server serves: TensorFlow Serving's ``ModelServerConfig`` read into plain objects.

The file ``configs/tfserving/models.config`` is the one that a ``tensorflow/serving`` container
reads. Its base paths lie under the container's ``/models``; here they are moved under the model
root of the settings, and nothing outside that root is ever served.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from relentless.configs.settings import HERE
from relentless.proto.errors import InvalidSettings
from relentless.serving.model_server.capi import TFError
from relentless.serving.model_server.versions import Policy
from relentless.serving.tf_protos import model_server_config_pb2

MODELS_CONFIG = HERE / "tfserving" / "models.config"
CONTAINER_ROOT = Path("/models")

INVALID_ARGUMENT = 3

LATEST = Policy()


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One served model."""

    name: str
    base: Path
    policy: Policy = LATEST
    labels: Mapping[str, int] = field(default_factory=dict)


def read_config(path: Path, root: Path) -> tuple[ModelConfig, ...]:
    """Read a model config file, with its base paths moved under ``root``.

    Raises:
        InvalidSettings: a file that does not parse, or that names something unservable.
    """
    try:
        text = path.read_text(encoding="utf-8")
        parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        return from_proto(parsed, root)
    except (OSError, text_format.ParseError, TFError) as error:
        raise InvalidSettings(f"{path}: {error}") from error


def declared_labels(folder: Path) -> dict[str, int]:
    """Give the labels that our own config file declares for the model in a folder.

    For a process that must choose without a server to ask. Only versions that lie there count.

    Raises:
        InvalidSettings: the file does not parse, or declares no such model.
    """
    for config in read_config(MODELS_CONFIG, folder.parent):
        if config.name == folder.name:
            return {k: v for k, v in config.labels.items() if (folder / str(v)).is_dir()}
    raise InvalidSettings(f"{MODELS_CONFIG} declares no model {folder.name}")


def from_proto(config: Any, root: Path) -> tuple[ModelConfig, ...]:
    """Check a ``ModelServerConfig`` message and give its models.

    Raises:
        TFError: INVALID_ARGUMENT, in TensorFlow Serving's words where it has some.
    """
    models: dict[str, ModelConfig] = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise TFError(
                INVALID_ARGUMENT,
                f"Illegal to list model {entry.name} multiple times in config list",
            )
        models[entry.name] = ModelConfig(
            name=entry.name,
            base=_base(entry.name, entry.base_path, root),
            policy=_policy(entry.model_version_policy),
            labels=dict(entry.version_labels),
        )
    return tuple(models.values())


def _base(name: str, given: str, root: Path) -> Path:
    path = Path(given)
    if not path.is_absolute():
        raise TFError(
            INVALID_ARGUMENT,
            f"Expected model {name} to have an absolute path or URI; got base_path()={given}",
        )
    root = root.resolve()
    if not path.resolve().is_relative_to(root) and path.is_relative_to(CONTAINER_ROOT):
        path = root / path.relative_to(CONTAINER_ROOT)
    path = path.resolve()
    if not path.is_relative_to(root) or path == root:
        raise TFError(INVALID_ARGUMENT, f"Model {name} lies outside the model root")
    return path


def _policy(policy: Any) -> Policy:
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return Policy("all")
    if kind == "specific":
        if not policy.specific.versions:
            raise TFError(INVALID_ARGUMENT, "A specific version policy names no version")
        return Policy("specific", versions=frozenset(policy.specific.versions))
    return Policy("latest", count=policy.latest.num_versions or 1)
